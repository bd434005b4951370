"""The suite of metrics against its promise of exactness, and the ways its results are written down."""

import csv
import json
import math
import sys

import numpy as np
import pytest
import torch
import torch.multiprocessing as mp
import yaml
from jsonargparse import ArgumentParser
from metric_toys import as_batch, pairs
from toys import process_of

from inpaintzoo.metrics import (
    L1,
    MSSSIM,
    PSNR,
    SSIM,
    ImageMetric,
    L1Hole,
    MetricSuite,
    PSNRHole,
    SetMetric,
)
from inpaintzoo.metrics.results import mean

# ---------------------------------------------------------------- suite


def test_values_do_not_depend_on_the_batch():
    prediction, image, mask = pairs(count=3, size=161)
    metrics = [PSNR(), PSNRHole(), SSIM(), SSIM("uniform", 51), MSSSIM(), L1(), L1Hole()]
    whole, single, other_threads = (MetricSuite(metrics) for _ in range(3))
    whole.update(prediction, as_batch(image, mask))
    for i in reversed(range(3)):
        single.update(prediction[i : i + 1], as_batch(image[i : i + 1], mask[i : i + 1], [i]))
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1 if threads > 1 else 2)
        other_threads.update(prediction, as_batch(image, mask))
    finally:
        torch.set_num_threads(threads)
    assert single.compute().rows == whole.compute().rows == other_threads.compute().rows
    assert single.compute().summary() == whole.compute().summary()


def test_breakdown_by_ratio():
    prediction, image, mask = pairs(count=4)  # holes of 4.3, 15.7, 36.6 and 62.7 %
    mask[2] = mask[1]
    suite = MetricSuite([L1(), L1Hole()])
    suite.update(prediction, as_batch(image, mask))
    summary = suite.compute().summary()
    assert list(summary) == ["0.01-0.1", "0.1-0.2", "0.6-1", "all"]
    assert [values["count"] for values in summary.values()] == [1, 2, 1, 4]
    error = (prediction - image).abs() * mask
    assert summary["0.1-0.2"]["l1"] == pytest.approx(error[1:3].mean().item(), rel=1e-6)
    per_image = error.sum(dim=(1, 2, 3)) / (3 * mask.sum(dim=(1, 2, 3)))
    assert summary["all"]["l1_hole"] == pytest.approx(per_image.mean().item(), rel=1e-6)
    coarse = MetricSuite([L1()], bins=(0.2, 0.4))
    coarse.update(prediction, as_batch(image, mask))
    assert list(coarse.compute().summary()) == ["0-0.2", "0.4-1", "all"]


def test_judge_and_quantise():
    prediction, image, mask = pairs()
    far = prediction + 0.6  # out of range: clamped first
    expected = {
        "composite": torch.where(mask.bool(), far.clamp(0, 1), image),
        "raw": far.clamp(0, 1),
    }
    for judge, judged in expected.items():
        suite = MetricSuite([L1()], judge=judge)
        suite.update(far, as_batch(image, mask))
        assert suite.compute().flat()["l1"] == pytest.approx((judged - image).abs().mean().item(), rel=1e-6)
        assert torch.equal(suite.judged(far, image, mask), judged)
    value = torch.full_like(image, 100.7 / 255)
    for quantise, level in (("none", 100.7), ("round", 101), ("truncate", 100)):
        seen = MetricSuite([L1()], judge="raw", quantise=quantise).judged(value, image, mask)
        torch.testing.assert_close(seen * 255, torch.full_like(image, level))


def test_reduced_precision_around_the_suite_changes_nothing():
    prediction, image, mask = pairs()
    plain, cast = MetricSuite(), MetricSuite()
    plain.update(prediction, as_batch(image, mask))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast.update(prediction, as_batch(image, mask))
    assert plain.compute().rows == cast.compute().rows
    half = MetricSuite()
    half.update(prediction.bfloat16(), as_batch(image, mask))  # what a generator under autocast returns
    reference = MetricSuite()
    reference.update(prediction.bfloat16().float(), as_batch(image, mask))
    assert half.compute().rows == reference.compute().rows


def test_repeats_are_dropped_and_the_first_one_counts():
    prediction, image, mask = pairs()
    suite = MetricSuite()
    suite.update(prediction, as_batch(image, mask))
    once = suite.compute()
    suite.update(prediction[:2].flip(-1), as_batch(image[:2], mask[:2], [0, 1]))
    assert suite.compute().rows == once.rows
    suite.reset()
    assert suite.compute().rows == []
    assert suite.compute().flat() == {}
    assert "all" in suite.compute().table()


def test_image_without_a_hole_and_exact_image():
    prediction, image, mask = pairs()
    mask[0] = 0
    prediction[1] = image[1]
    suite = MetricSuite([PSNR(), PSNRHole(), L1Hole()])
    suite.update(prediction, as_batch(image, mask))
    results = suite.compute()
    assert results.rows[0]["psnr_hole"] is None and results.rows[0]["l1_hole"] is None
    assert results.rows[0]["psnr"] == 100.0 and results.rows[0]["bin"] == "0-0.01"
    summary = results.summary()
    assert summary["0-0.01"]["psnr_hole"] is None
    assert summary["all"]["l1_hole"] == pytest.approx(np.mean([row["l1_hole"] for row in results.rows[1:]]))
    assert "psnr: 2 of 4 images count as the cap, 100.00." in results.table()
    assert "l1_hole: 1 of 4 images have no hole and do not count." in results.table()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_prediction_that_is_not_finite_shows(value):
    prediction, image, mask = pairs()
    prediction[1] = value
    suite = MetricSuite([PSNR(), L1Hole()])
    suite.update(prediction, as_batch(image, mask))
    results = suite.compute()
    assert math.isnan(results.flat()["psnr"]) and math.isnan(results.flat()["l1_hole"])
    assert "nan" in results.table()
    assert json.loads(results.to_json())["summary"]["all"]["psnr"] is None


def test_suite_refuses():
    prediction, image, mask = pairs()
    batch = as_batch(image, mask)
    del batch["index"]
    with pytest.raises(ValueError, match=r"need batch\['index'\]"):
        MetricSuite().update(prediction, batch)
    with pytest.raises(ValueError, match=r"unique .* got \['psnr'\]"):
        MetricSuite([PSNR(), PSNR(cap=60)])
    with pytest.raises(ValueError, match="the list of metrics is empty"):
        MetricSuite([])
    with pytest.raises(ValueError, match="judge must be `composite` or `raw`, got 'both'"):
        MetricSuite(judge="both")
    with pytest.raises(ValueError, match="quantise must be"):
        MetricSuite(quantise="floor")
    with pytest.raises(ValueError, match="ratio edges must increase"):
        MetricSuite(bins=(0.5, 0.2))


def test_suite_from_yaml():
    parser = ArgumentParser()
    parser.add_argument("--suite", type=MetricSuite)
    text = """
    class_path: MetricSuite
    init_args:
      judge: raw
      bins: [0.2, 0.4]
      metrics:
        - class_path: PSNR
        - class_path: inpaintzoo.metrics.SSIM
          init_args: {window: uniform, size: 51, sample_covariance: true}
        - class_path: inpaintzoo.metrics.LPIPS
          init_args: {net: vgg}
        - class_path: inpaintzoo.metrics.FID
    """
    instantiate = getattr(parser, "instantiate", None) or parser.instantiate_classes  # the name changed in 4.49
    suite = instantiate(parser.parse_object({"suite": yaml.safe_load(text)})).suite
    assert [metric.name for metric in suite.metrics] == ["psnr", "ssim_uniform51", "lpips_vgg", "fid"]
    assert suite.judge == "raw" and suite.bins == (0.2, 0.4)


class Brightness(SetMetric):
    """Mean brightness of the predictions, as a set metric."""

    name = "brightness"
    better = "higher"
    definition = "mean"

    def features(self, prediction, image):
        return {"mean": prediction.double().mean(dim=(1, 2, 3))}

    def compute(self, features):
        return float(features["mean"].mean()) if len(features["mean"]) > 1 else None


class Seen(ImageMetric):
    """The mean of the prediction, to see which rows reach which set."""

    name = "seen"
    better = "higher"
    definition = "mean"

    def measure(self, prediction, image, mask):
        return prediction.mean()


def test_set_metrics_follow_bins_and_drop_repeats():
    prediction, image, mask = pairs(count=4)
    mask[2] = mask[1]
    suite = MetricSuite([Brightness(), Seen()])
    suite.update(prediction[2:], as_batch(image[2:], mask[2:], [2, 3]))
    suite.update(prediction[:3], as_batch(image[:3], mask[:3], [0, 1, 2]))
    results = suite.compute()
    summary = results.summary()
    assert [column.name for column in results.columns] == ["seen", "brightness"]
    for group in ("0.1-0.2", "all"):
        assert summary[group]["brightness"] == pytest.approx(summary[group]["seen"], rel=1e-6)
    assert summary["0.6-1"]["brightness"] is None  # a single image


def one_of_two(rank, folder, split):
    """A process of two: measures its part and leaves what it gets."""
    with process_of(2, rank, folder):
        suite = suite_of(split[rank], batch_size=2)
        (folder / f"{rank}.json").write_text(json.dumps([suite.rows, suite.summary()]))


def suite_of(indices, batch_size):
    prediction, image, mask = pairs(count=5, size=32)
    suite = MetricSuite([PSNR(), PSNRHole(), SSIM(), L1Hole(), Brightness()])
    for start in range(0, len(indices), batch_size):
        part = indices[start : start + batch_size]
        suite.update(prediction[part], as_batch(image[part], mask[part], part))
    return suite.compute()


@pytest.mark.skipif(sys.platform != "linux", reason="forks")
def test_two_processes_equal_one(tmp_path):
    # Five images on two ranks: the sampler repeats image 0 to even them out.
    mp.start_processes(one_of_two, args=(tmp_path, [[0, 2, 4], [1, 3, 0]]), nprocs=2, start_method="fork")
    one = suite_of([0, 1, 2, 3, 4], batch_size=3)
    for rank in range(2):
        rows, summary = json.loads((tmp_path / f"{rank}.json").read_text())
        assert rows == one.rows
        assert summary == one.summary()


# ---------------------------------------------------------------- results


def test_table_by_eye():
    image = torch.full((2, 3, 16, 16), 0.5)
    mask = torch.zeros(2, 1, 16, 16)
    mask[0, :, :4], mask[1, :, :8] = 1, 1
    suite = MetricSuite([PSNR(), L1Hole(percent=True)], quantise="round")
    suite.update(image + 0.1, as_batch(image, mask))
    # 0.6 is level 153; in the hole 0.1 off, so MSE 0.01/4 and 0.01/2.
    assert suite.compute().table().splitlines() == [
        "hole ratio  images  psnr (dB)  l1_hole (%)",
        "------------------------------------------",
        "0.2-0.3          1      26.02        10.00",
        "0.4-0.5          1      23.01        10.00",
        "------------------------------------------",
        "all              2      24.52        10.00",
        "Judged: composites (known pixels from the image). Means over images.",
        "Predictions are 8-bit levels (quantise: round).",
    ]


def test_mean_is_exactly_rounded_and_leaves_out_the_undefined():
    assert mean([1e16, 1.0, None, -1e16]) == mean([1.0, 1e16, -1e16]) == 1 / 3
    assert mean([None]) is None


def test_csv_and_json_give_the_values_back(tmp_path):
    prediction, image, mask = pairs()
    mask[0] = 0
    suite = MetricSuite([PSNR(), L1Hole(), SSIM(), Brightness()])
    suite.update(prediction, as_batch(image, mask, [7, 3, 5, 4]))
    results = suite.compute()
    results.to_csv(tmp_path / "rows.csv")
    with (tmp_path / "rows.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["index", "name", "ratio", "bin", "psnr", "l1_hole", "ssim"]
    assert [row["index"] for row in rows] == ["3", "4", "5", "7"]
    for row, kept in zip(rows, results.rows, strict=True):
        assert row["name"] == kept["name"] and row["bin"] == kept["bin"]
        for name in ("psnr", "l1_hole", "ssim"):
            if kept[name] is None:
                assert row[name] == ""
            else:
                assert np.float32(row[name]) == np.float32(kept[name])
    content = json.loads(results.to_json({"protocol": "own"}))
    assert content["protocol"] == "own" and content["count"] == 4
    assert content["summary"] == results.summary()
    assert content["metrics"]["psnr"]["unit"] == "dB" and "MSE" in content["metrics"]["psnr"]["definition"]
    with pytest.raises(ValueError, match=r"\['count'\] are taken"):
        results.to_json({"count": 3})
