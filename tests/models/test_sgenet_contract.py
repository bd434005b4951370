"""The contract of a generator, for SGENet: shapes, gradients, what it may not see, sizes, precision, bad settings."""

import copy

import pytest
import torch
from contract import COMPILERS, without_gradient
from sgenet_toys import small, small_case, tensors

from inpaintzoo import Inpainter
from inpaintzoo.losses import L1, SegmentationLoss
from inpaintzoo.models import SGENet
from inpaintzoo.models.sgenet import (
    SGENetOutput,
)

VARIANTS = [
    {},
    {"variant": "guided"},
    {"variant": "base"},
    {"num_classes": 5, "rho": 0.6, "hidden": 6},
    {"statistics": "instance"},
]
CONNECTED = {"cim": "fully_connected", "image_size": 96}


@pytest.mark.parametrize("arguments", VARIANTS)
def test_shapes_ranges_and_gradients(arguments):
    network, (image, mask) = small(**arguments), small_case()
    output = network(image, mask)
    sizes = [(64, 96), (32, 48), (16, 24), (8, 12), (4, 6)]
    assert [tuple(level.shape) for level in output.pyramid] == [(3, 3, *size) for size in sizes]
    classes, variant = arguments.get("num_classes", 14), arguments.get("variant", "evaluated")
    expected = [] if variant == "base" else [(3, classes, *size) for size in sizes]
    assert [tuple(logits.shape) for logits in output.segmentations] == expected
    expected = [(3, 1, *size) for size in sizes] if variant == "evaluated" else []
    assert [tuple(level.shape) for level in output.confidences] == expected
    assert [tuple(level.shape) for level in output.unreliable] == expected
    assert all(level.min() >= 0 and level.max() <= 1 for level in (*output.pyramid, *output.confidences))
    assert all(set(level.unique().tolist()) <= {0.0, 1.0} for level in output.unreliable)
    labels = torch.randint(0, classes, (3, 64, 96))
    batch = {"image": image, "mask": mask, "labels": labels}
    loss = L1(which="pyramid")(output, batch)
    if output.segmentations:
        loss = loss + SegmentationLoss()(output, batch)
    loss.backward()
    assert without_gradient(network, noise=1e-5) == []
    assert all(not tensor.requires_grad for tensor in tensors(output.detach()))


@pytest.mark.parametrize("variant", ["guided", "evaluated"])
def test_labels_are_targets_only(variant):
    """Labels change neither a fill, however it is made, nor the gradients of the losses that read no labels."""
    network, (image, mask) = small(variant=variant), small_case()
    model = Inpainter(network, {"image": L1(which="pyramid"), "labels": SegmentationLoss()})
    draw = torch.Generator().manual_seed(0)
    batch = {"image": image, "mask": mask, "index": torch.arange(3)}
    first, second = ({**batch, "labels": torch.randint(0, 14, (3, 64, 96), generator=draw)} for _ in range(2))
    seen, start = [], copy.deepcopy(network.state_dict())
    for case in (first, second, batch):
        model.zero_grad()
        network.load_state_dict(start)  # running statistics too
        output = model.train().predict_frame(case)
        model.losses["image"](output, case).backward()
        gradients = [p.grad.clone() for p in network.parameters() if p.grad is not None]
        with torch.no_grad():
            model.eval()
            fills = [model.fills(case), model.predict_step(case, 0), model(case["image"], case["mask"])]
        seen.append([*tensors(output.detach()), *gradients, *fills])
    for one, other, without in zip(*seen, strict=True):
        assert torch.equal(one, without) and torch.equal(other, without)
    output = model.predict_frame(batch)
    assert model.losses["labels"](output, first) != model.losses["labels"](output, second), "and their own loss?"


def test_the_finest_labels_cost_no_softmax_where_nothing_reads_it(monkeypatch):
    sizes = []
    monkeypatch.setattr(
        "inpaintzoo.models.sgenet.probabilities", lambda logits: sizes.append(logits.shape[-1]) or logits.softmax(dim=1)
    )
    image, mask = small_case()
    small(variant="guided")(image, mask)
    assert sizes == [6, 12, 24, 48]
    small()(image, mask)
    assert sizes[4:] == [6, 12, 24, 48, 96]


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_no_hole_and_nothing_but_hole(value):
    network, (image, _) = small(), small_case()
    output = network(image, torch.full_like(image[:, :1], value))
    assert output.unreliable[4].eq(value).all()
    (output.image.mean() + output.segmentations[0].mean()).backward()
    assert all(tensor.isfinite().all() for tensor in tensors(output))
    assert all(p.grad.isfinite().all() for p in network.parameters() if p.grad is not None)


@pytest.mark.parametrize("size", [(64, 64), (64, 160), (96, 64), (128, 192)])
def test_every_multiple_of_32_from_64_up(size):
    image, mask = small_case(1, *size)
    with torch.no_grad():
        assert small()(image, mask).image.shape == (1, 3, *size)


def test_training_under_autocast():
    network, (image, mask) = small(), small_case()
    batch = {"image": image, "mask": mask, "labels": torch.randint(0, 14, (3, 64, 96))}
    with torch.autocast("cpu", torch.bfloat16):
        output = network(image, mask)
        loss = L1(which="pyramid")(output, batch) + SegmentationLoss()(output, batch)
    assert output.confidences[0].dtype == torch.float32
    loss.backward()
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters())
    with torch.no_grad():
        whole = network(image, mask).image
    assert (output.image.float() - whole).abs().mean() < 0.02


@COMPILERS
@pytest.mark.parametrize("variant", ["base", "evaluated"])
def test_traces_without_graph_breaks(variant, backend):
    network, (image, mask) = small(variant=variant), small_case()
    compiled = torch.compile(network, fullgraph=True, backend=backend)
    with torch.no_grad():
        for found, expected in zip(tensors(compiled(image, mask)), tensors(network(image, mask)), strict=True):
            torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-5)  # logits of about 10


def test_output_class():
    network, (image, mask) = small(), small_case()
    assert type(network(image, mask)) is SGENetOutput


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"variant": "full"}, "variant must be 'base', 'guided' or 'evaluated', got 'full'"),
        ({"num_classes": 1}, r"num_classes must lie in 2\.\.255 \(label 255 is ignored\), got 1"),
        ({"num_classes": 300}, r"num_classes must lie in 2\.\.255 \(label 255 is ignored\), got 300"),
        ({"width": 0}, "width must be 1 or more, got 0"),
        ({"hidden": 0}, "hidden must be 1 or more, got 0"),
        ({"rho": 1.0}, "rho must lie between 0 and 1, got 1.0"),
        ({"statistics": "layer"}, "statistics must be 'batch' or 'instance', got 'layer'"),
        ({"cim": "conv"}, "cim must be 'dilated' or 'fully_connected', got 'conv'"),
        ({"image_size": 64}, "image_size is for cim 'fully_connected'"),
        ({"cim": "fully_connected"}, "needs image_size, a multiple of 32 from 64 up, got None"),
        ({"cim": "fully_connected", "image_size": 80}, "needs image_size, a multiple of 32 from 64 up, got 80"),
    ],
)
def test_bad_settings_are_named(arguments, text):
    with pytest.raises(ValueError, match=text):
        SGENet(**{"width": 4, **arguments})


@pytest.mark.parametrize(
    ("arguments", "size", "text"),
    [
        ({}, (64, 80), "multiples of 32, got 64x80"),
        ({}, (32, 64), "at least 64, got 32x64"),
        (CONNECTED, (96, 64), "fully connected context for 96x96, got 96x64; crop the images, or use cim: dilated"),
    ],
)
def test_wrong_sizes_are_named(arguments, size, text):
    with pytest.raises(ValueError, match=text):
        small(**arguments)(torch.zeros(1, 3, *size), torch.zeros(1, 1, *size))
