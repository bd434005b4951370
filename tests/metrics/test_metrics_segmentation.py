"""Metrics of predicted labels against slow references; the suite, the Inpainter and the doctor that feed them."""

import json
import math
import sys

import numpy as np
import pytest
import torch
import torch.multiprocessing as mp
import torch.nn.functional as F
from label_toys import LabelGenerator, LabelNoiseData
from toys import process_of, quiet_trainer

from inpaintzoo import Inpainter
from inpaintzoo.doctor import examine
from inpaintzoo.losses import HoleL1, SegmentationLoss
from inpaintzoo.metrics import ConfidenceCorrelation, L1Hole, MetricSuite, MIoU, segmentation
from inpaintzoo.metrics.segmentation import correlation, moments
from inpaintzoo.types import ConfigError, DataError


def labelled(count=4, size=24, classes=5, seed=0):
    """Predictions, batches with labels (some ignored) and holes of growing size, and logits of half the size."""
    draw = torch.Generator().manual_seed(seed)
    image = torch.rand(count, 3, size, size, generator=draw)
    prediction = (image + 0.2 * torch.randn(image.shape, generator=draw)).clamp(0, 1)
    labels = torch.randint(0, classes, (count, size, size), generator=draw)
    labels[torch.rand(labels.shape, generator=draw) < 0.1] = 255
    mask = torch.zeros(count, 1, size, size)
    for i in range(count):
        mask[i, :, : 4 * (i + 1), : 4 * (i + 1)] = 1
    # Right more often than not: the truth at half the size, with noise.
    coarse = F.one_hot(labels[:, ::2, ::2].clamp(max=classes - 1), classes).permute(0, 3, 1, 2).float()
    logits = 2 * coarse + torch.randn(coarse.shape, generator=draw)
    batch = {"image": image, "mask": mask, "labels": labels, "index": torch.arange(count)}
    return prediction, batch, logits


def part_of(batch, chosen):
    return {key: value[chosen] for key, value in batch.items()}


def slow_miou(logits, labels, where, classes):
    """Pixel by pixel, in Python."""
    overlap, union = [0] * classes, [0] * classes
    full = F.interpolate(logits, size=labels.shape[-2:], mode="bilinear")
    for i in range(len(labels)):
        for y in range(labels.shape[1]):
            for x in range(labels.shape[2]):
                truth = int(labels[i, y, x])
                if truth == 255 or not where[i, y, x]:
                    continue
                guess = int(full[i, :, y, x].argmax())
                overlap[truth] += truth == guess
                for seen in {truth, guess}:
                    union[seen] += 1
    return np.mean([o / u for o, u in zip(overlap, union, strict=True) if u])


@pytest.mark.parametrize("region", ["frame", "hole"])
def test_miou_equals_a_slow_reference(region):
    prediction, batch, logits = labelled()
    suite = MetricSuite([MIoU(region)])
    suite.update(prediction, batch, logits)
    where = torch.ones_like(batch["labels"], dtype=bool) if region == "frame" else batch["mask"][:, 0] > 0
    name = "miou" if region == "frame" else "miou_hole"
    expected = slow_miou(logits, batch["labels"], where, 5)
    assert suite.compute().flat() == {name: pytest.approx(expected, abs=1e-12)}
    assert 0.1 < expected < 0.95
    # by hole ratio: 2.8 % is the first image alone
    summary = suite.compute().summary()
    assert summary["0.01-0.1"][name] == pytest.approx(slow_miou(logits[:1], batch["labels"][:1], where[:1], 5))


def test_frame_and_hole_share_their_work(monkeypatch):
    prediction, batch, logits = labelled()
    calls = []
    real = segmentation.resized
    monkeypatch.setattr(segmentation, "resized", lambda *args: calls.append(args) or real(*args))
    both = MetricSuite([MIoU(), MIoU("hole")])
    both.update(prediction, batch, logits)
    assert len(calls) == 1
    both.update(prediction, {**batch, "index": batch["index"] + 4}, logits.flip(0))
    assert len(calls) == 2, "other logits"
    batch["labels"] = batch["labels"].flip(0)
    both.update(prediction, {**batch, "index": batch["index"] + 8}, logits)
    assert len(calls) == 3, "other labels"
    batch["labels"][:] = 0
    both.update(prediction, {**batch, "index": batch["index"] + 12}, logits)
    assert len(calls) == 4, "labels changed in place"


def test_logits_of_full_size_are_not_resized():
    logits = torch.rand(1, 3, 8, 9)
    assert segmentation.resized(logits, (8, 9)) is logits


def test_miou_by_hand():
    labels = torch.tensor([[[0, 0, 1, 1], [255, 0, 1, 1]]])
    guess = torch.tensor([[[0, 1, 1, 1], [2, 0, 0, 1]]])
    mask = torch.tensor([[[[1.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]]]])
    batch = {"image": torch.rand(1, 3, 2, 4), "mask": mask, "labels": labels, "index": torch.arange(1)}
    suite = MetricSuite([MIoU(), MIoU("hole")])
    suite.update(batch["image"], batch, F.one_hot(guess, 4).permute(0, 3, 1, 2).float())
    # Frame: class 0 has 2 of 4, class 1 has 3 of 5; class 2 stands only where the truth is ignored, class 3 nowhere.
    assert suite.compute().flat()["miou"] == pytest.approx((2 / 4 + 3 / 5) / 2)
    # Hole: truth 0 0, prediction 0 1, and one pixel ignored: class 0 has 1 of 2, class 1 0 of 1.
    assert suite.compute().flat()["miou_hole"] == pytest.approx(0.25)


def test_right_labels_have_1_and_an_empty_hole_none():
    _, batch, _ = labelled()
    batch["labels"][batch["labels"] == 255] = 0
    batch["mask"].zero_()
    suite = MetricSuite([MIoU(), MIoU("hole"), ConfidenceCorrelation()])
    suite.update(batch["image"], batch, F.one_hot(batch["labels"], 5).permute(0, 3, 1, 2).float())
    assert suite.compute().summary()["all"] == {
        "count": 4,
        "miou": 1.0,
        "miou_hole": None,
        "confidence_correlation": None,
    }


def test_correlation_equals_numpy_over_all_hole_pixels():
    prediction, batch, logits = labelled()
    suite = MetricSuite([ConfidenceCorrelation()], judge="raw")
    for chosen in ([0, 1, 2], [3]):
        suite.update(prediction[chosen], part_of(batch, chosen), logits[chosen])
    hole = batch["mask"][:, 0] > 0
    confidence = F.interpolate(logits, size=(24, 24), mode="bilinear").softmax(1).amax(1)[hole]
    error = (prediction - batch["image"]).abs().mean(1)[hole]
    expected = np.corrcoef(confidence.double(), error.double())[0, 1]
    assert suite.compute().flat()["confidence_correlation"] == pytest.approx(expected, abs=1e-6)


def test_correlation_of_a_line_and_of_a_constant():
    a, hole = torch.rand(2, 8, 8).double(), torch.ones(2, 1, 8, 8)
    assert correlation(moments(a, 0.5 - 0.3 * a, hole).numpy()) == pytest.approx(-1)
    assert correlation(moments(a, torch.full_like(a, 0.3), hole).numpy()) is None
    assert math.isnan(correlation(moments(a, a * math.nan, hole).numpy()))


def test_without_labels_or_segmentation_the_table_says_so():
    prediction, batch, logits = labelled()
    suite = MetricSuite([L1Hole(), MIoU(), ConfidenceCorrelation()])
    suite.update(prediction, batch)  # a generator that predicts none
    results = suite.compute()
    assert results.flat().keys() == {"l1_hole"}
    assert "miou: 4 of 4 images have no label map, or the generator predicts none, and do not count." in results.table()
    suite.reset()
    del batch["labels"]
    suite.update(prediction, batch, logits)
    assert suite.compute().flat().keys() == {"l1_hole", "confidence_correlation"}
    assert json.loads(suite.compute().to_json())["summary"]["all"]["miou"] is None


def test_images_without_labels_do_not_count():
    prediction, batch, logits = labelled()
    mixed, alone = MetricSuite([MIoU()]), MetricSuite([MIoU()])
    unlabelled = {key: value for key, value in part_of(batch, [0, 1]).items() if key != "labels"}
    mixed.update(prediction[:2], unlabelled, logits[:2])
    for suite in (mixed, alone):
        suite.update(prediction[2:], part_of(batch, [2, 3]), logits[2:])
    assert mixed.compute().flat() == alone.compute().flat()
    assert "miou: 2 of 4 images" in mixed.compute().table()


def test_labels_that_do_not_fit_are_named():
    prediction, batch, logits = labelled()
    with pytest.raises(DataError, match="hold class 4, and the generator predicts the 3 classes 0 to 2"):
        MetricSuite([MIoU()]).update(prediction, batch, logits[:, :3])
    with pytest.raises(ValueError, match=r"one fill per image, got 4 and \(4, 2\) fills"):
        MetricSuite([MIoU()]).update(torch.stack([prediction, prediction], dim=1), batch, logits)
    batch["labels"] = batch["labels"][:, :8]
    with pytest.raises(ValueError, match=r"labels must be .* got \(4, 8, 24\) for \(4, 3, 24, 24\)"):
        MetricSuite([MIoU()]).update(prediction, batch, logits)
    with pytest.raises(ValueError, match="region must be `frame` or `hole`, got 'edge'"):
        MIoU("edge")


# ---------------------------------------------------------------- processes


def suite_of(indices, size):
    prediction, batch, logits = labelled(count=5)
    suite = MetricSuite([MIoU(), MIoU("hole"), ConfidenceCorrelation()])
    for start in range(0, len(indices), size):
        part = indices[start : start + size]
        suite.update(prediction[part], part_of(batch, part), logits[part])
    return suite.compute().summary()


def one_of_two(rank, folder, split):
    with process_of(2, rank, folder):
        (folder / f"{rank}.json").write_text(json.dumps(suite_of(split[rank], 2)))


@pytest.mark.skipif(sys.platform != "linux", reason="forks")
def test_two_processes_equal_one(tmp_path):
    mp.start_processes(one_of_two, args=(tmp_path, [[0, 2, 4], [1, 3, 0]]), nprocs=2, start_method="fork")
    for rank in range(2):
        assert json.loads((tmp_path / f"{rank}.json").read_text()) == suite_of([4, 3, 2, 1, 0], 3)


# ---------------------------------------------------------------- through Inpainter and doctor


def inpainter(**options):
    suite = MetricSuite([L1Hole(), MIoU(), MIoU("hole"), ConfidenceCorrelation()])
    losses = {"hole": HoleL1()}
    if options.get("needs_labels", True):
        losses["labels"] = SegmentationLoss()
    return Inpainter(LabelGenerator(**options), losses, metrics=suite, max_iterations=1)


def test_the_inpainter_hands_on_what_the_generator_predicts(tmp_path):
    model, data = inpainter(), LabelNoiseData()
    quiet_trainer(default_root_dir=tmp_path).test(model, data, verbose=False)
    flat = model.test_results.flat()
    assert flat.keys() == {"l1_hole", "miou", "miou_hole", "confidence_correlation"}
    by_hand = MetricSuite(model.metrics.metrics)
    with torch.no_grad():
        for batch in data.test_dataloader():
            output = model.eval().predict_frame(batch)
            by_hand.update(output.image, batch, output.segmentations[0])
    assert by_hand.compute().flat() == flat


@pytest.mark.filterwarnings("ignore:You defined a `validation_step` but have no")
def test_training_on_data_without_labels_is_refused(tmp_path):
    sentence = "LabelGenerator learns from label maps and the training data has none; give"
    with pytest.raises(DataError, match=sentence):
        quiet_trainer(default_root_dir=tmp_path).fit(inpainter(), LabelNoiseData(labelled=False))
    with pytest.raises(ConfigError, match=sentence):  # loaders alone, without a data module
        quiet_trainer(default_root_dir=tmp_path).fit(inpainter(), LabelNoiseData(labelled=False).train_dataloader())
    quiet_trainer(default_root_dir=tmp_path).fit(inpainter(needs_labels=False), LabelNoiseData(labelled=False))


def test_doctor_looks_at_labels(capsys):
    assert examine(inpainter(), LabelNoiseData()) == 0
    assert "confidence_correlation" in capsys.readouterr().out
    assert examine(inpainter(), LabelNoiseData(labelled=False)) == 1
    assert "ERROR    LabelGenerator learns from label maps" in capsys.readouterr().out
    assert examine(inpainter(classes=2), LabelNoiseData()) == 1
    assert "ERROR    metrics: the label maps hold class" in capsys.readouterr().out
