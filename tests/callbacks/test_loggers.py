"""A run keeps its files together whatever the logger, and shows its pictures to loggers that take them."""

import re
from pathlib import Path

import pytest
import torch
import yaml
from lightning.pytorch.callbacks import LearningRateMonitor
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.tuner import Tuner
from PIL import Image
from places import TESTS
from toys import NoiseData, NormFreeGenerator, SharedLogger, quiet_trainer

from inpaintzoo.callbacks import Checkpoints, CompareFills, ImageLogger, RunRecord, TestReport
from inpaintzoo.callbacks.record import run_folder
from inpaintzoo.commands import main
from inpaintzoo.inpainter import Inpainter
from inpaintzoo.losses import L1
from inpaintzoo.types import ConfigError
from inpaintzoo.weights.checkpoints import read_checkpoint

TINY = str(TESTS / "conf" / "tiny.yaml")


def fitted(folder, logger, *callbacks, **options):
    torch.manual_seed(0)
    model = Inpainter(NormFreeGenerator(), {"frame": L1()}, max_iterations=2)
    parts = [Checkpoints(), ImageLogger(count=2), CompareFills(pictures=1), RunRecord(), TestReport(), *callbacks]
    trainer = quiet_trainer(
        default_root_dir=folder, logger=logger, callbacks=parts, enable_checkpointing=True, val_check_interval=2,
        check_val_every_n_epoch=None, log_every_n_steps=1, **options,
    )  # fmt: skip
    trainer.fit(model, NoiseData())
    return trainer


@pytest.mark.parametrize(
    "loggers",
    [
        lambda folder: SharedLogger(folder, "a1b2"),
        lambda folder: SharedLogger(None, "a1b2"),
        lambda folder: CSVLogger(folder),
        lambda folder: TensorBoardLogger(folder, sub_dir="events"),
        lambda folder: [SharedLogger(folder, "a1b2"), CSVLogger(folder)],
        lambda folder: [CSVLogger(folder), TensorBoardLogger(folder)],
        lambda folder: False,
    ],
    ids=["shared", "without a folder", "csv", "tensorboard", "shared first", "csv first", "none"],
)
def test_everything_lies_beside_the_checkpoints(tmp_path, loggers):
    trainer = fitted(tmp_path, loggers(tmp_path))
    folder = run_folder(trainer)
    (checkpoints,) = tmp_path.rglob("checkpoints")
    assert folder == checkpoints.parent
    for name in ("run.json", "comparison.png", "images/validation-0000002.png"):
        assert [str(path) for path in tmp_path.rglob(name)] == [str(folder / name)]


def test_runs_of_a_logger_with_one_folder_for_all_do_not_mix(tmp_path):
    for run in ("first", "second"):
        trainer = fitted(tmp_path, SharedLogger(tmp_path, run))
        trainer.test(trainer.lightning_module, NoiseData())
    for run in ("first", "second"):
        names = {str(path.relative_to(tmp_path / "zoo" / run)) for path in (tmp_path / "zoo" / run).rglob("*.*")}
        assert {"checkpoints/last.ckpt", "comparison.png", "run.json", "test/metrics.json"} <= names
    assert [path.name for path in tmp_path.iterdir()] == ["zoo"]


def test_a_second_run_in_the_same_folder_overwrites_no_picture(tmp_path):
    for _ in range(2):
        fitted(tmp_path, False)
    for stem in ("comparison", "images/first-training-batch-0000000", "images/validation-0000002"):
        assert (tmp_path / f"{stem}.png").is_file() and (tmp_path / f"{stem}-1.png").is_file()


def test_pictures_go_to_loggers_that_take_them(tmp_path):
    logger = SharedLogger(tmp_path, "a1b2")
    fitted(tmp_path, [CSVLogger(tmp_path), logger])
    assert [(key.split(":")[0], step) for key, _, step in logger.pictures] == [
        ("first-training-batch", 0),
        ("validation", 2),
    ]
    (picture,) = logger.pictures[1][1]
    folder = tmp_path / "lightning_logs" / "version_0" / "images"
    assert isinstance(picture, Image.Image)
    assert picture.tobytes() == Image.open(folder / "validation-0000002.png").tobytes()


def test_the_config_of_a_run_lies_with_its_checkpoints(tmp_path):
    options = ["--trainer.logger", "toys.SharedLogger", "--trainer.logger.save_dir", str(tmp_path)]
    for run, seed in (("first", 5), ("second", 6)):
        given = ["--trainer.default_root_dir", str(tmp_path), "--trainer.logger.run", run, "--data.seed", str(seed)]
        assert main(["fit", "--config", TINY, *options, *given, "--model.max_iterations", "2"]) == 0
    for run, seed in (("first", 5), ("second", 6)):
        folder = tmp_path / "zoo" / run
        assert yaml.safe_load((folder / "config.yaml").read_text())["data"]["init_args"]["seed"] == seed
        facts = read_checkpoint(folder / "checkpoints" / "last.ckpt").facts()
        assert facts["config"]["data"]["init_args"]["seed"] == seed
    assert [path.name for path in tmp_path.iterdir()] == ["zoo"]


def test_the_config_of_a_run_is_one_file_when_its_parts_came_from_several(tmp_path):
    tiny = yaml.safe_load(Path(TINY).read_text())
    data, rest = tmp_path / "data.yaml", tmp_path / "rest.yaml"
    data.write_text(yaml.safe_dump(tiny.pop("data")))
    rest.write_text(yaml.safe_dump(tiny))
    out = tmp_path / "out"
    given = ["--config", str(rest), "--data", str(data), "--trainer.default_root_dir", str(out)]
    given += ["--trainer.logger", "false", "--model.max_iterations", "1", "--trainer.limit_val_batches", "0"]
    for name in ("config.yaml", "config-1.yaml"):
        assert main(["fit", *given]) == 0
        assert yaml.safe_load((out / name).read_text())["data"]["init_args"]["train_size"] == 8
    assert sorted(path.name for path in out.glob("*.yaml")) == ["config-1.yaml", "config.yaml"]


CONFIG = "model: {class_path: Inpainter}\ndata: {class_path: ScenesData, init_args: {seed: 5}}\n"


def test_a_checkpoint_without_settings_is_not_given_those_of_another_run(tmp_path):
    fitted(tmp_path, False)  # a script's, in the folder of a command's
    (tmp_path / "config.yaml").write_text(CONFIG)
    last = tmp_path / "checkpoints" / "last.ckpt"
    assert "config" not in read_checkpoint(last).facts()
    content = torch.load(last, weights_only=True)
    del content["inpainter"]["settings"]  # as earlier versions wrote them
    torch.save(content, last)
    assert read_checkpoint(last).facts()["config"]["data"]["init_args"] == {"seed": 5}
    torch.save(content, last.with_name("last-v1.ckpt"))
    assert "config" not in read_checkpoint(last.with_name("last-v1.ckpt")).facts(), "whose config.yaml is it?"
    last.with_name("last-v1.ckpt").unlink()
    (tmp_path / "config-1.yaml").write_text(CONFIG)
    assert "config" not in read_checkpoint(last).facts()


@pytest.mark.filterwarnings("ignore:The PyTorch Profiler default schedule")
@pytest.mark.parametrize("profiler", ["simple", "advanced", "pytorch"])
def test_profilers_and_the_monitor_of_rates_work(tmp_path, profiler):
    fitted(tmp_path, CSVLogger(tmp_path), LearningRateMonitor(logging_interval="step"), profiler=profiler)
    header = (tmp_path / "lightning_logs" / "version_0" / "metrics.csv").read_text().splitlines()[0]
    assert "lr-Adam" in header.split(",")


@pytest.mark.parametrize(
    ("tune", "instead"),
    [
        (lambda tuner, *parts: tuner.lr_find(*parts), "set the rate of the model's optimizers"),
        (lambda tuner, *parts: tuner.scale_batch_size(*parts), "set the data's batch_size"),
    ],
)
def test_the_tuner_is_refused_with_what_to_do_instead(tmp_path, tune, instead):
    model = Inpainter(NormFreeGenerator(), {"frame": L1()}, max_iterations=2)
    with pytest.raises(ConfigError, match=f"Finder does not work with Inpainter.* {re.escape(instead)}"):
        tune(Tuner(quiet_trainer(default_root_dir=tmp_path)), model, NoiseData())
