"""Fills of stochastic generators: the same for a seed, whatever the batch; the best of several; their diversity."""

import json

import pytest
import torch
from lightning import Trainer
from lightning.pytorch.callbacks import Callback
from metric_toys import MeanDifference
from PIL import Image
from toys import NoiseData, NoisyGenerator, NormFreeGenerator

from inpaintzoo import Inpainter
from inpaintzoo.callbacks import PredictionWriter, TestReport
from inpaintzoo.losses import L1
from inpaintzoo.metrics import L1 as L1Metric
from inpaintzoo.metrics import DiversityL1, DiversityLPIPS, MetricSuite, PSNRHole


def model(generator=None, **options):
    torch.manual_seed(0)
    return Inpainter(generator or NoisyGenerator(), {"frame": L1()}, **options).eval()


def batch(count=3):
    torch.manual_seed(1)
    mask = torch.zeros(count, 1, 16, 16)
    mask[:, :, 4:12, 4:12] = 1
    return {"image": torch.rand(count, 3, 16, 16), "mask": mask, "index": torch.arange(count) + 7}


def test_fills_depend_on_seed_and_index_alone():
    pairs = batch()
    fills = model().fills(pairs, 4)
    assert fills.shape == (3, 4, 3, 16, 16)
    torch.manual_seed(123)
    assert torch.equal(model().fills(pairs, 4), fills)
    alone = {key: value[1:2] for key, value in pairs.items()}
    torch.testing.assert_close(model().fills(alone, 4), fills[1:2])
    torch.testing.assert_close(model().fills(pairs, 2), fills[:, :2])
    assert not torch.equal(model(sample_seed=1).fills(pairs, 4), fills)
    assert all(not torch.equal(fills[:, i], fills[:, j]) for i in range(4) for j in range(i))


def test_a_deterministic_generator_has_one_fill():
    plain, pairs = model(NormFreeGenerator()), batch()
    assert torch.equal(plain.fills(pairs, 5), plain.predict_frame(pairs).image.unsqueeze(1))
    with pytest.raises(ValueError, match="NormFreeGenerator is deterministic: it has one fill"):
        plain.generator.sample(pairs["image"], pairs["mask"], 2)


def test_the_best_fill_counts_and_diversity_is_that_of_all():
    pairs = batch(2)
    suite = MetricSuite([PSNRHole(), L1Metric(), DiversityL1()])
    offsets = torch.tensor([[0.3, 0.1, 0.2], [-0.05, 0.2, 0.4]])
    image = 0.4 + 0.1 * pairs["image"]
    pairs["image"] = image
    suite.update(image.unsqueeze(1) + offsets[:, :, None, None, None], pairs)
    first, second = suite.compute().rows
    # By hand: the nearest fill is off by 0.1 and 0.05; pairs differ by (.2 + .1 + .1) / 3 and (.25 + .45 + .2) / 3.
    assert first["psnr_hole"] == pytest.approx(20.0, abs=1e-3)
    assert second["psnr_hole"] == pytest.approx(26.0206, abs=1e-3)
    assert first["l1"] == pytest.approx(0.1 / 4, abs=1e-6), "known pixels come from the image"
    assert [first["diversity_l1"], second["diversity_l1"]] == pytest.approx([0.4 / 3, 0.3], abs=1e-6)
    assert "Of 3 fills per image, the one with the best PSNR counts." in suite.compute().table()


def test_one_fill_has_no_diversity():
    suite, pairs = MetricSuite([L1Metric(), DiversityL1()]), batch(2)
    suite.update(pairs["image"], pairs)
    results = suite.compute()
    assert [row["diversity_l1"] for row in results.rows] == [None, None]
    assert "diversity_l1: 2 of 2 images have no hole or a single fill and do not count." in results.table()
    assert "diversity_l1" not in results.flat()


def test_lpips_diversity_is_the_mean_over_pairs(monkeypatch):
    metric = DiversityLPIPS()
    monkeypatch.setattr(metric, "extractor", MeanDifference())
    fills = torch.tensor([0.1, 0.2, 0.4]).view(1, 3, 1, 1, 1).expand(1, 3, 3, 16, 16)
    assert metric(fills, torch.ones(1, 1, 16, 16)).item() == pytest.approx(0.2, abs=1e-6)
    assert metric.name == "diversity_lpips_alex"


class NoNoise(Callback):
    """Disturbs the global random state, on which fills must not depend."""

    def on_test_batch_start(self, *args):
        torch.manual_seed(torch.seed() % 1000)


def test_a_test_run_repeats_and_reports(tmp_path):
    tables = []
    for number, size in enumerate((2, 5)):
        module = model(metrics=MetricSuite([PSNRHole(), DiversityL1()]), samples=3)
        trainer = Trainer(
            accelerator="cpu", default_root_dir=tmp_path / str(number), logger=False, enable_progress_bar=False,
            callbacks=[TestReport(), NoNoise()],
        )  # fmt: skip
        trainer.test(module, NoiseData(batch_size=size), verbose=False)
        tables.append(json.loads((tmp_path / str(number) / "test" / "metrics.json").read_text())["summary"])
    assert tables[0]["all"]["psnr_hole"] == pytest.approx(tables[1]["all"]["psnr_hole"], abs=1e-5)
    assert tables[0]["all"]["diversity_l1"] > 0


def test_predict_writes_every_fill_and_only_the_hole_differs(tmp_path):
    for number in (0, 1):
        trainer = Trainer(
            accelerator="cpu", logger=False, enable_progress_bar=False, default_root_dir=tmp_path,
            callbacks=[PredictionWriter(str(tmp_path / f"out{number}"))],
        )  # fmt: skip
        trainer.predict(model(samples=2), NoiseData(), return_predictions=False)
    names = sorted(path.name for path in (tmp_path / "out0").iterdir())
    assert names == [f"noise-{2000 + i}-{k}.png" for i in range(5) for k in range(2)]
    for name in names:
        assert (tmp_path / "out0" / name).read_bytes() == (tmp_path / "out1" / name).read_bytes()
    first, second = (Image.open(tmp_path / "out0" / f"noise-2000-{k}.png") for k in range(2))
    assert first.getpixel((0, 0)) == second.getpixel((0, 0))
    assert first.getpixel((8, 8)) != second.getpixel((8, 8))


def test_samples_must_be_a_count():
    with pytest.raises(ValueError, match="samples must be at least 1, got 0"):
        model(samples=0)
