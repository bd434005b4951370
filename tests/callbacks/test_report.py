"""The report callback, with a stub of the trainer and inside a real one."""

import csv
import json
from types import SimpleNamespace

import lightning
import pytest
import torch
from torch.utils.data import DataLoader
from toys import NoiseData, quiet_trainer

from inpaintzoo.callbacks.report import TestReport
from inpaintzoo.data.manifest import Manifest
from inpaintzoo.metrics import L1, PSNR, MetricSuite


def sample(index):
    mask = torch.zeros(1, 16, 16)
    mask[:, : 2 + 4 * index] = 1
    return {"image": torch.full((3, 16, 16), 0.5), "mask": mask, "index": index, "name": f"{index}.png"}


class Module(lightning.LightningModule):
    """Predicts the image, a little too bright."""

    def __init__(self):
        super().__init__()
        self.metrics = MetricSuite([PSNR(), L1()])
        self.test_results = self.val_results = None

    def test_step(self, batch):
        self.metrics.update(batch["image"] + 0.1, batch)

    validation_step = test_step

    def on_test_epoch_end(self):
        self.test_results = self.metrics.compute()

    def on_validation_epoch_end(self):
        self.val_results = self.metrics.compute()


def results():
    module = Module()
    module.test_step(next(iter(DataLoader([sample(i) for i in range(3)], batch_size=3))))
    return module.metrics.compute()


def stub(root, **changes):
    attributes = {
        "loggers": [SimpleNamespace(save_dir=str(root), name="", version="version_0")],
        "strategy": SimpleNamespace(broadcast=lambda value: value),
        "default_root_dir": str(root),
        "is_global_zero": True,
        "ckpt_path": "runs/last.ckpt",
        "datamodule": NoiseData(),
        "state": SimpleNamespace(fn="test"),
    }
    return SimpleNamespace(**{**attributes, **changes})


def test_files_hold_numbers_and_provenance(tmp_path, capsys):
    found = results()
    TestReport().on_test_end(stub(tmp_path), SimpleNamespace(test_results=found))
    folder = tmp_path / "version_0" / "test"
    content = json.loads((folder / "metrics.json").read_text())
    assert content["count"] == 3 and content["judge"] == "composite"
    assert content["summary"] == found.summary()
    assert content["checkpoint"] == "runs/last.ckpt" and content["manifest_digest"] == NoiseData().pinned.digest()
    assert Manifest.load(folder / "manifest.jsonl").digest() == content["manifest_digest"]
    assert torch.__version__.startswith(content["versions"]["torch"])
    assert content["versions"]["lightning"] == lightning.__version__
    assert content["versions"]["inpaintzoo"]
    assert "mean |prediction - truth|" in content["metrics"]["l1"]["definition"]
    with (folder / "per_image.csv").open(newline="") as file:
        assert [row["name"] for row in csv.DictReader(file)] == ["0.png", "1.png", "2.png"]
    assert found.table() in capsys.readouterr().out


def test_nothing_is_overwritten(tmp_path):
    for _ in range(3):
        TestReport().on_test_end(stub(tmp_path, loggers=[]), SimpleNamespace(test_results=results()))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["test", "test-1", "test-2"]


@pytest.mark.parametrize(
    ("changes", "module"),
    [
        ({"is_global_zero": False}, SimpleNamespace(test_results=results())),
        ({}, SimpleNamespace(test_results=None)),
        ({}, SimpleNamespace()),
    ],
)
def test_silent_without_results_or_on_other_ranks(tmp_path, capsys, changes, module):
    TestReport().on_test_end(stub(tmp_path, **changes), module)
    assert list(tmp_path.iterdir()) == [] and capsys.readouterr().out == ""


def test_plain_trainer_without_checkpoint_or_datamodule(tmp_path):
    loader = DataLoader([sample(i) for i in range(3)], batch_size=2)
    trainer = quiet_trainer(default_root_dir=tmp_path, callbacks=[TestReport()], enable_checkpointing=True)
    trainer.test(Module(), loader, verbose=False)
    trainer.validate(Module(), loader, verbose=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["test", "validate"]
    content = json.loads((tmp_path / "test" / "metrics.json").read_text())
    assert content["checkpoint"] is None and content["manifest_digest"] is None
    # A constant offset of 0.1 in 2, 6 and 10 of 16 rows.
    assert content["summary"]["all"]["l1"] == pytest.approx(0.1 * 18 / 48, rel=1e-5)


def test_validation_during_training_is_not_reported(tmp_path):
    report, module = TestReport(), SimpleNamespace(val_results=results())
    report.on_validation_end(stub(tmp_path, state=SimpleNamespace(fn="fit")), module)
    assert list(tmp_path.iterdir()) == []
