"""The multi-scale cross-entropy against hand values and a slow reference, and what it says when labels do not fit."""

import math
import socket
import sys
import time

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from toys import TinyGenerator, process_of

from inpaintzoo import Inpainter
from inpaintzoo.losses import L1, Perceptual, SegmentationLoss, VGGFeatures
from inpaintzoo.losses.segmentation import segmentation_loss
from inpaintzoo.models import SGENet
from inpaintzoo.models.sgenet import SGENetOutput
from inpaintzoo.teachers import BuiltinTeacher
from inpaintzoo.types import ConfigError, DataError, Output, PyramidOutput


def case(classes=4, ignored=0.3):
    generator = torch.Generator().manual_seed(0)
    scales = [
        torch.randn(2, classes, 16 // 2**i, 24 // 2**i, generator=generator, requires_grad=True) for i in range(3)
    ]
    labels = torch.randint(0, classes, (2, 16, 24), generator=generator)
    labels[torch.rand(2, 16, 24, generator=generator) < ignored] = 255
    return scales, labels


def slow_loss(scales, labels, ignore):
    """Pixel by pixel, with the bilinear weights written out."""
    total = 0.0
    batch, height, width = labels.shape
    for logits in scales:
        terms = []
        down = height // logits.shape[2]
        for b in range(batch):
            for y in range(height):
                for x in range(width):
                    label = int(labels[b, y, x])
                    if label == ignore:
                        continue
                    values = bilinear(logits[b], (y + 0.5) / down - 0.5, (x + 0.5) / down - 0.5)
                    terms.append(math.log(sum(math.exp(v) for v in values)) - values[label])
        total += sum(terms) / len(terms)
    return total


def bilinear(picture, y, x):
    rows, columns = picture.shape[1:]
    y, x = min(max(y, 0), rows - 1), min(max(x, 0), columns - 1)
    top, left = int(y), int(x)
    low, right = min(top + 1, rows - 1), min(left + 1, columns - 1)
    dy, dx = y - top, x - left
    mixed = (1 - dy) * ((1 - dx) * picture[:, top, left] + dx * picture[:, top, right])
    return (mixed + dy * ((1 - dx) * picture[:, low, left] + dx * picture[:, low, right])).tolist()


def test_equals_the_slow_one():
    scales, labels = case()
    doubles = [logits.detach().double() for logits in scales]
    assert segmentation_loss(doubles, labels).item() == pytest.approx(slow_loss(doubles, labels, 255), rel=1e-6)


def test_by_hand():
    # Two labelled pixels with probabilities 1/2 and 3/4 of the right class, one ignored.
    logits = torch.tensor([[0.0, math.log(3.0), 9.0], [0.0, 0.0, -9.0]]).view(1, 2, 1, 3)
    labels = torch.tensor([[[1, 0, 7]]])
    expected = (math.log(2) + math.log(4 / 3)) / 2
    assert segmentation_loss([logits], labels, ignore=7).item() == pytest.approx(expected)
    output = SGENetOutput(torch.zeros(1), [], [logits, logits])
    assert SegmentationLoss(0.1, ignore=7)(output, {"labels": labels}).item() == pytest.approx(0.2 * expected)


def test_a_network_that_knows_nothing_pays_the_logarithm_of_the_classes():
    labels = torch.randint(0, 14, (2, 8, 8))
    assert segmentation_loss([torch.zeros(2, 14, 8, 8)], labels).item() == pytest.approx(math.log(14))


def test_ignored_pixels_have_no_gradient_and_the_others_the_right_one():
    logits = torch.randn(1, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    labels = torch.randint(0, 3, (1, 4, 4))
    labels[0, 1:3] = 255
    segmentation_loss([logits], labels).backward()
    assert logits.grad[:, :, 1:3].eq(0).all() and logits.grad[:, :, 0].abs().sum() > 0
    assert torch.autograd.gradcheck(lambda x: segmentation_loss([x], labels), logits)


def test_nothing_labelled_costs_nothing():
    scales, labels = case(ignored=2.0)
    loss = segmentation_loss(scales, labels)
    loss.backward()
    assert loss.item() == 0
    assert all(logits.grad.eq(0).all() for logits in scales)


def test_half_precision_is_summed_in_float32():
    scales, labels = case()
    halves = [logits.detach().bfloat16() for logits in scales]
    loss = segmentation_loss(halves, labels)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(segmentation_loss([h.float() for h in halves], labels).item())


def _worker(rank, port, queue):
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    scales, labels = uneven()
    half = slice(rank, rank + 1)
    logits = scales[0][half].detach().requires_grad_()
    segmentation_loss([logits], labels[half]).backward()
    gathered = [torch.zeros_like(logits.grad) for _ in range(2)]
    dist.all_gather(gathered, logits.grad)
    if rank == 0:
        queue.put((torch.cat(gathered) / 2).tolist())  # DDP takes the mean of the gradients
    dist.barrier()
    dist.destroy_process_group()


def uneven():
    """The second sample has few labels: a mean of the samples' means would count them too much."""
    scales, labels = case(ignored=0.0)
    labels[1, 2:] = 255
    return scales[:1], labels


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="forks")
def test_two_processes_have_the_gradient_of_the_whole_batch():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    context = mp.get_context("fork")
    queue = context.Queue()
    workers = [context.Process(target=_worker, args=(rank, port, queue)) for rank in range(2)]
    for worker in workers:
        worker.start()
    found = torch.tensor(queue.get(timeout=60))
    for worker in workers:
        worker.join()
    scales, labels = uneven()
    segmentation_loss(scales, labels).backward()
    torch.testing.assert_close(found, scales[0].grad, atol=1e-7, rtol=1e-5)


def test_the_divisor_is_that_of_all_processes(monkeypatch):
    # What two processes would do, in one: each has half of the batch and the mean share of both.
    scales, labels = uneven()
    whole = torch.autograd.grad(segmentation_loss(scales, labels), scales[0])[0]
    shared = (labels != 255).float().mean()
    monkeypatch.setattr("inpaintzoo.losses.segmentation.mean_over_ranks", lambda value: torch.stack([shared, value[1]]))
    halves = []
    for half in (slice(0, 1), slice(1, 2)):
        part = scales[0][half].detach().requires_grad_()
        halves.append(torch.autograd.grad(segmentation_loss([part], labels[half]), part)[0])
    torch.testing.assert_close(torch.cat(halves) / 2, whole)


def _strangers(rank, folder):
    """Process 1 alone meets wrong labels: first an unknown class, then maps of another type."""
    scales, labels = case()
    said = []
    with process_of(2, rank, folder):
        for other in (labels.masked_fill(labels == 3, 77), labels.float()):
            try:
                segmentation_loss(scales, other if rank == 1 else labels)
            except (ConfigError, DataError) as error:
                said.append(f"{type(error).__name__} {error}")
    (folder / f"{rank}.txt").write_text("\n".join(said))


@pytest.mark.skipif(sys.platform != "linux", reason="forks")
def test_all_processes_stop_at_the_wrong_label_of_one(tmp_path):
    context = mp.start_processes(_strangers, args=(tmp_path,), nprocs=2, start_method="fork", join=False)
    deadline = time.monotonic() + 60
    while not context.join(timeout=1):
        assert time.monotonic() < deadline, "a process waits for the other one"
    first, second = ((tmp_path / f"{rank}.txt").read_text() for rank in range(2))
    assert first == second
    assert first.startswith("ConfigError the data has the label 77, but the generator predicts 4 classes")
    assert first.splitlines()[1].startswith("DataError labels must be (2, H, W) int64 class indices")


# --- what does not fit ----------------------------------------------------------------------------------------------


def test_data_without_labels_and_generators_without_predictions_are_named():
    scales, labels = case()
    with pytest.raises(
        ConfigError, match=r"needs labels, and the data has none; use data with label maps \(ScenesData"
    ):
        SegmentationLoss()(SGENetOutput(torch.zeros(1), [], scales), {"image": torch.zeros(1)})
    for output in (Output(torch.zeros(1)), SGENetOutput(torch.zeros(1), [])):
        with pytest.raises(ConfigError, match="has none; use SGENet with variant 'guided' or 'evaluated'"):
            SegmentationLoss()(output, {"labels": labels})


def test_a_generator_without_labels_is_named_before_the_run():
    with pytest.raises(ConfigError, match="SGENet with variant 'base' predicts none; use SGENet with variant"):
        Inpainter(SGENet("base", width=4, hidden=4), {"labels": SegmentationLoss()})
    with pytest.raises(ConfigError, match="TinyGenerator predicts none"):
        Inpainter(TinyGenerator(), {"labels": SegmentationLoss()})
    Inpainter(SGENet("guided", width=4, hidden=4), {"labels": SegmentationLoss()})


@pytest.mark.parametrize("value", [4, 9, 254, -1])
def test_labels_that_are_no_class_are_named(value):
    scales, labels = case()
    labels[1, 3, 5] = value
    with pytest.raises(ConfigError, match=rf"the label {value}, but the generator predicts 4 classes, 0 to 3; raise"):
        segmentation_loss(scales, labels)


@pytest.mark.parametrize(
    "change", [lambda x: x.unsqueeze(1), lambda x: x[:1], lambda x: x.float(), lambda x: x.to(torch.uint8)]
)
def test_labels_of_another_form_are_named(change):
    scales, labels = case()
    with pytest.raises(DataError, match=r"labels must be \(2, H, W\) int64 class indices, got"):
        segmentation_loss(scales, change(labels))


def test_negative_weights_are_refused():
    with pytest.raises(ValueError, match="SegmentationLoss: weight must be 0 or more, got -1"):
        SegmentationLoss(-1)


# --- equation 7, with the losses that exist -------------------------------------------------------------------------


def test_equation_7_by_hand():
    """Each scale enlarged to full size against the whole truth, pixels and three layers of features, summed."""
    torch.manual_seed(0)
    image = torch.rand(1, 3, 32, 32)
    pyramid = [torch.rand(1, 3, 32 // 2**i, 32 // 2**i) for i in range(5)]
    output, batch = PyramidOutput(pyramid[0], pyramid), {"image": image, "mask": image[:, :1]}
    larger = [torch.nn.functional.interpolate(p, size=(32, 32), mode="bilinear") for p in pyramid]
    pixels = sum((picture - image).abs().mean() for picture in larger)
    torch.testing.assert_close(L1(which="pyramid")(output, batch), pixels)
    with pytest.warns(UserWarning, match="random"):
        network = VGGFeatures("vgg16", ("relu2_2", "relu3_3", "relu4_3"), weights=None)
    real = network(image)
    features = sum(
        (fake - true).abs().mean() for picture in larger for fake, true in zip(network(picture), real, strict=True)
    )
    for loss in (
        Perceptual(0.1, which="pyramid", network=network),
        Perceptual(0.1, "vgg16", ("relu2_2", "relu3_3", "relu4_3"), weights=None, which="pyramid"),
    ):
        torch.testing.assert_close(loss(output, batch), 0.1 * features, atol=1e-6, rtol=1e-5)


def test_a_teacher_may_stand_for_the_vgg():
    torch.manual_seed(0)
    teacher, image = BuiltinTeacher(), torch.rand(1, 3, 32, 32)
    output = Output(torch.rand(1, 3, 32, 32, requires_grad=True))
    loss = Perceptual(2.0, layer_weights=(1.0, 0.0, 0.5), network=teacher)
    fake, real = teacher(output.image), teacher(image)
    expected = 2 * ((fake[0] - real[0]).abs().mean() + 0.5 * (fake[2] - real[2]).abs().mean())
    found = loss(output, {"image": image, "mask": image[:, :1]})
    torch.testing.assert_close(found, expected)
    found.backward()
    assert output.image.grad.abs().sum() > 0
    assert list(loss.parameters()) == []
    with pytest.raises(ValueError, match="each of the 3 layers"):
        Perceptual(layer_weights=(1.0, 1.0), network=teacher)
    with pytest.raises(ValueError, match="network is BuiltinTeacher, so architecture, layers, weights and normalise"):
        Perceptual(architecture="vgg16", network=teacher)
