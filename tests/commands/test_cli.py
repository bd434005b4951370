"""Through the command line: tiny configs and the real command line, with good and bad input."""

import json
import os
import re
import signal
from unittest.mock import Mock

import pytest
import torch
import yaml
from lightning import Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from pages import ParsedOnly
from PIL import Image
from places import TESTS
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torchvision.transforms.functional import to_pil_image

from inpaintzoo import Inpainter
from inpaintzoo.callbacks.record import claim_folder
from inpaintzoo.commands import main
from inpaintzoo.commands.training import ZooCLI
from inpaintzoo.files.locks import LOCK, sole_use
from inpaintzoo.types import ConfigError
from inpaintzoo.weights.checkpoints import read_checkpoint

HERE = TESTS
TINY = str(HERE / "conf" / "tiny.yaml")
CONFIGS = sorted((HERE.parent / "configs").glob("*.yaml"))
ABLATIONS = sorted((HERE.parent / "configs" / "ablations").glob("*.yaml"))


def run(command, folder, *options):
    return main([command, "--config", TINY, "--trainer.default_root_dir", str(folder), *map(str, options)])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fit")
    assert run("fit", folder, "--ema.decay", 0.9) == 0
    return folder / "lightning_logs" / "version_0"


def test_a_run_leaves_everything_in_its_folder(trained):
    names = {str(path.relative_to(trained)) for path in trained.rglob("*") if path.is_file()}
    assert {"config.yaml", "run.json", "checkpoints/last.ckpt"} <= names
    assert {"images/first-training-batch-0000000.png", "images/validation-0000004.png"} <= names
    assert any(re.fullmatch(r"checkpoints/best-iteration=\d+-val_psnr_hole=[\d.]+\.ckpt", name) for name in names)
    versions = json.loads((trained / "run.json").read_text())["versions"]
    assert torch.__version__.startswith(versions["torch"])
    resolved = yaml.safe_load((trained / "config.yaml").read_text())
    assert resolved["model"]["init_args"]["accumulate"] == 1, "defaults are written out too"


def test_picture_rows_hold_masked_prediction_composite_truth(trained):
    sheet = Image.open(trained / "images" / "validation-0000004.png")
    assert sheet.size == (4 * 32 + 5 * 2, 2 * 32 + 3 * 2)
    cells = [sheet.crop((2 + 34 * i, 2, 34 + 34 * i, 34)) for i in range(4)]
    masked, _, composite, truth = cells
    assert masked.getpixel((16, 16)) == (255, 255, 255)
    assert composite.getpixel((1, 1)) == truth.getpixel((1, 1)) == masked.getpixel((1, 1))


def test_tensorboard_holds_scalars_and_pictures(trained):
    events = EventAccumulator(str(trained), size_guidance={"images": 0})
    events.Reload()
    tags = events.Tags()
    assert {"train/generator/hole", "train/discriminator/global", "val/psnr_hole", "iteration"} <= set(tags["scalars"])
    # The axis counts batches from 0, not Lightning's global_step, which counts both optimizers.
    assert [(event.step, event.value) for event in events.Scalars("iteration")] == [(0, 1), (1, 2), (2, 3), (3, 4)]
    assert any(tag.startswith("validation") for tag in tags["images"])
    assert [event.value for event in events.Scalars("learning_rate/generator")] == pytest.approx([1e-4] * 4)
    assert "learning_rate/discriminator" in tags["scalars"]


def test_test_predict_and_validate_use_the_checkpoint(trained, tmp_path, capsys):
    checkpoint = trained / "checkpoints" / "last.ckpt"
    assert run("test", tmp_path, "--ckpt_path", checkpoint) == 0
    table = capsys.readouterr().out
    assert "psnr_hole" in table and "0.2-0.3" in table
    (folder,) = (path.parent for path in tmp_path.rglob("metrics.json"))
    assert len((folder / "per_image.csv").read_text().splitlines()) == 1 + 5
    assert len((folder / "manifest.jsonl").read_text().splitlines()) == 1 + 5
    assert run("predict", tmp_path / "p", "--ckpt_path", checkpoint, "--predictions.folder", tmp_path / "out") == 0
    assert len(list((tmp_path / "out").glob("*.png"))) == 5
    assert run("predict", tmp_path / "p", "--predictions.folder", tmp_path / "out") == 1
    assert "holds files already and nothing is overwritten" in capsys.readouterr().err
    assert run("validate", tmp_path / "v", "--ckpt_path", checkpoint) == 0


def test_a_manifest_decides_the_test_masks(trained, tmp_path, capsys):
    assert run("test", tmp_path / "a") == 0
    manifest = next(tmp_path.rglob("manifest.jsonl"))
    first = json.loads(next((tmp_path / "a").rglob("metrics.json")).read_text())
    # other masks and another seed in the config: the pinned pairs win (the seed also makes the scenes)
    assert run("test", tmp_path / "b", "--data.manifest", manifest, "--data.test_masks", "RandomRectangles") == 0
    second = json.loads(next((tmp_path / "b").rglob("metrics.json")).read_text())
    assert first["manifest_digest"] == second["manifest_digest"]
    assert first["summary"] == second["summary"]
    capsys.readouterr()
    assert run("test", tmp_path / "c", "--data.manifest", manifest, "--data.seed", 5) == 1
    assert "not those that were pinned" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("variables", "text"),
    [
        ({}, "has 2 tasks (SLURM_NTASKS), but the command was started without srun"),
        ({"SLURM_STEP_ID": "0"}, "give --ntasks-per-node instead of --ntasks"),
    ],
)
def test_slurm_tasks_that_nobody_starts_are_named(tmp_path, monkeypatch, capsys, variables, text):
    for name, value in {"SLURM_NTASKS": "2", **variables}.items():
        monkeypatch.setenv(name, value)
    assert run("fit", tmp_path) == 1
    assert text in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_resuming_goes_on_and_more_iterations_can_be_asked_for(trained, tmp_path):
    checkpoint = trained / "checkpoints" / "last.ckpt"
    assert run("fit", tmp_path, "--ckpt_path", checkpoint, "--model.max_iterations", 6, "--ema.decay", 0.9) == 0
    state = torch.load(next(tmp_path.rglob("last.ckpt")), weights_only=True)
    assert state["inpainter"]["iteration"] == 6


def test_a_resumed_run_says_each_setting_that_changed(trained, tmp_path, caplog):
    options = ["--ckpt_path", trained / "checkpoints" / "last.ckpt", "--model.max_iterations", 5]
    assert run("fit", tmp_path, *options, "--ema.decay", 0.9) == 0
    assert "resumed with another setting" not in caplog.text
    changed = ["--seed_everything", 7, "--data.masks", "FreeForm", "--data.image_size", 48, "--trainer.precision"]
    changed += ["bf16-mixed", "--model.losses.hole.weight", 3, "--ema.decay", 0.8]
    assert run("fit", tmp_path, *options, *changed) == 0
    said = [record.getMessage() for record in caplog.records if "another setting" in record.getMessage()]
    assert sorted(line.removeprefix("resumed with another setting: ") for line in said) == [
        "data.image_size was 32 and is 48",
        "data.masks was RandomRectangles and is FreeForm",
        "ema.decay was 0.9 and is 0.8",
        "model.losses.hole.weight was 6.0 and is 3.0",
        "precision was not set and is bf16-mixed",
        "seed_everything was 1 and is 7",
    ]
    state = torch.load(next(tmp_path.rglob("version_1/**/last.ckpt")), weights_only=True)
    assert state["inpainter"]["seed"] == 7  # as the config that is written says


def test_a_resumed_run_goes_on_with_the_seed_that_was_drawn_for_it(tmp_path, caplog):
    assert run("fit", tmp_path / "a", "--seed_everything", "true") == 0
    last = next((tmp_path / "a").rglob("last.ckpt"))
    options = ["--seed_everything", "true", "--ckpt_path", last, "--model.max_iterations", 5]
    assert run("fit", tmp_path / "b", *options) == 0
    assert "resumed with another setting" not in caplog.text
    seeds = {
        torch.load(next((tmp_path / each).rglob("last.ckpt")), weights_only=True)["inpainter"]["seed"] for each in "ab"
    }
    assert len(seeds) == 1


def test_a_checkpoint_rebuilds_the_module(trained):
    # Under the command line save_hyperparameters stores nested class paths.
    module = Inpainter.load_from_checkpoint(trained / "checkpoints" / "last.ckpt", map_location="cpu")
    assert type(module.generator).__name__ == "NormFreeGenerator"
    assert module.losses["hole"].weight == 6.0
    saved = torch.load(trained / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    assert all(torch.equal(value, saved[name]) for name, value in module.state_dict().items())


def test_a_later_file_replaces_losses_whole_and_flags_merge(tmp_path):
    # A later file replaces `losses` as a whole, so a method's YAML is complete; options set single weights.
    other = tmp_path / "losses.yaml"
    other.write_text("model:\n  init_args:\n    losses:\n      frame:\n        class_path: inpaintzoo.losses.L1\n")
    cli = ZooCLI(["--config", TINY, "--config", str(other)], run=False)
    assert set(cli.model.losses) == {"frame"}
    cli = ZooCLI(["--config", TINY, "--model.losses.hole.weight", "3"], run=False)
    assert set(cli.model.losses) == {"hole", "valid"}
    assert cli.model.losses["hole"].weight == 3


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_shipped_configs_parse_and_their_data_fits(config, capsys):
    cli = ZooCLI(["--config", str(config), "--data.batch_size", "1", "--data.num_workers", "0"], run=False)
    assert cli.datamodule.batch_size == 1
    batch = next(iter(cli.datamodule.test_dataloader()))
    if "mask" in batch:
        cli.model.generator.check_size(batch["image"], batch["mask"])
    else:
        assert len(batch["image"]) == 1 and set(batch["target"][0]) == {"boxes", "labels", "ignored"}


@pytest.mark.parametrize("config", ABLATIONS, ids=lambda path: path.stem)
def test_ablations_parse_as_their_header_says(config, monkeypatch):
    monkeypatch.chdir(HERE.parent)
    (command,) = re.findall(r"^#   inpaintzoo fit (.*)$", config.read_text(), re.MULTILINE)
    *before, last = command.split()
    assert (HERE.parent / last).resolve() == config
    cli = ZooCLI([*before, last, "--data.batch_size", "1", "--data.num_workers", "0"], run=False)
    batch = next(iter(cli.datamodule.test_dataloader()))
    cli.model.generator.check_size(batch["image"], batch["mask"])
    full = ParsedOnly(before[:-1], run=False)
    assert cli.config["model"] != full.config["model"], "an ablation changes something"


def test_doctor_says_what_it_found(capsys):
    assert main(["doctor", "--config", TINY]) == 0
    out = capsys.readouterr().out
    assert "losses: hole, valid; adversaries: global" in out
    assert "train: 8 images" in out and "fits NormFreeGenerator" in out and "0 errors" in out


def test_doctor_reports_errors(capsys):
    assert main(["doctor", "--config", TINY, "--data.batch_size", "64"]) == 1
    assert re.search(r"ERROR.*8 training images do not fill one batch of 64", capsys.readouterr().out)


def test_doctor_puts_a_pair_through_the_adversaries(capsys):
    small = ["--model.adversaries.global.discriminator", "SRPNetDiscriminator"]
    assert main(["doctor", "--config", TINY, *small]) == 1
    out = capsys.readouterr().out
    assert re.search(r"ERROR.*SRPNetDiscriminator judges pictures of at least 63x63, got 32x32", out)
    level = ["--model.adversaries.global.view", "PyramidLevel", "--model.adversaries.global.view.level", "0"]
    assert main(["doctor", "--config", TINY, *level]) == 1
    assert re.search(
        r"ERROR.*losses and adversaries: PyramidLevel: Output has 0 pyramid pictures", capsys.readouterr().out
    )


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--ckpt_path", "nowhere.ckpt"], "nowhere.ckpt: there is no such file"),
        (["--data.batch_size", "99"], "8 training images do not fill one batch of 99"),
        (["--data.image_size", "8"], "image_size"),
        (["--model.losses.hole.weight", "-3"], "HoleL1: weight must be 0 or more, got -3"),
        (["--ema.decay", "1.5"], "decay must be in"),
        (["--model.generator", "PENNet"], "multiples of 64, got 32x32"),
        (["--trainer.gradient_clip_val", "1"], "use --model.clip_norm 1"),
        (["--trainer.accumulate_grad_batches", "2"], "use --model.accumulate 2"),
        (["--trainer.devices", "many"], "--trainer.devices must be a number"),
        (["--checkpoint.monitor", "val/psnrr"], "no such metric; there are val/psnr,"),
        (["--ckpt_path", __file__], "is damaged, or it holds more than tensors"),
        (["--ckpt_path", "last"], "last: there is no such file"),
        (["--data", "FolderData"], "FolderData: no images given"),
        (
            [
                "--model.generator",
                "SPN",
                "--model.losses.prior",
                "PriorDistillation",
                "--model.losses.prior.teacher",
                "ASLTeacher",
                "--model.losses.prior.teacher.weights",
                "nowhere.pth",
            ],
            "nowhere.pth",
        ),
        (
            [
                "--model.adversaries.global.feature_matching",
                "FeatureMatching",
                "--model.adversaries.global.feature_matching.layers",
                "[1,9]",
            ],
            "feature matching on layers [1, 9]",
        ),
    ],
)
def test_bad_settings_end_in_one_sentence(tmp_path, capsys, options, text):
    assert run("fit", tmp_path, *options) == 1
    error = capsys.readouterr().err
    (sentence,) = [line for line in error.splitlines() if line.startswith("inpaintzoo fit: error: ")]
    assert text in sentence and "Traceback" not in error and "validate against" not in error


@pytest.mark.parametrize("workers", [0, 1])
def test_a_bad_image_is_named_in_one_sentence(tmp_path, capsys, workers):
    noise = torch.rand(3, 64, 64, generator=torch.manual_seed(0))
    for number in range(4):
        to_pil_image(noise).save(tmp_path / f"{number}.png")
    whole = (tmp_path / "0.png").read_bytes()
    (tmp_path / "3.png").write_bytes(whole[: len(whole) // 2])
    data = ["--data", "FolderData", "--data.train", tmp_path, "--data.test", tmp_path, "--data.num_workers", workers]
    policy = ["--data.transform", "ResizeTo", "--data.transform.size", 32, "--data.batch_size", 2]
    assert run("fit", tmp_path / "run", *data, *policy) == 1
    error = capsys.readouterr().err
    (sentence,) = [line for line in error.splitlines() if line.startswith("inpaintzoo fit: error: ")]
    assert "3.png" in sentence and "Traceback" not in error


@pytest.mark.filterwarnings("ignore:You requested to overfit")
@pytest.mark.parametrize(
    "options", [("--trainer.enable_progress_bar", "false"), ("--trainer.enable_checkpointing", "false"),
                ("--trainer.overfit_batches", "1"), ("--trainer.logger", "false")]
)  # fmt: skip
def test_the_trainers_own_switches_work(tmp_path, options):
    short = ("--model.max_iterations", 2, "--data.train_size", 4, "--data.val_size", 1)
    assert run("fit", tmp_path, *short, *options) == 0
    assert run("fit", tmp_path, *short, *options) == 0, "a second run in the same folder"


def test_a_checkpoint_of_another_network_is_refused(trained, tmp_path, capsys):
    checkpoint = trained / "checkpoints" / "last.ckpt"
    assert run("test", tmp_path, "--ckpt_path", checkpoint, "--model.generator.width", 5) == 1
    assert "is from another network: 3 of 8 tensors differ" in capsys.readouterr().err


def test_random_weights_do_not_pass_silently(tmp_path, caplog):
    assert run("test", tmp_path) == 0
    assert "neither --ckpt_path nor --model.init_from is given, so the network has random weights" in caplog.text


def test_weights_and_run_folders_are_measured_as_their_checkpoint(trained, tmp_path, caplog, capsys):
    """A weight file given as `init_from` or `--ckpt_path`, the run's folder and its checkpoint: the same numbers."""
    file = tmp_path / "net.safetensors"
    assert main(["export", "--ckpt", str(trained), "--to", str(file)]) == 0
    ways = {
        "checkpoint": ("--ckpt_path", trained / "checkpoints" / "last.ckpt"),
        "folder": ("--ckpt_path", trained),
        "weights": ("--ckpt_path", file),
        "start": ("--model.init_from", file),
    }
    found = {}
    for way, options in ways.items():
        caplog.clear()
        assert run("test", tmp_path / way, *options) == 0, capsys.readouterr().err
        assert "random weights" not in caplog.text
        found[way] = json.loads(next((tmp_path / way).rglob("metrics.json")).read_text())["summary"]
    assert found == dict.fromkeys(ways, found["checkpoint"])
    capsys.readouterr()
    assert run("fit", tmp_path, "--ckpt_path", file) == 1
    assert "a weight file cannot continue a run" in capsys.readouterr().err
    assert run("test", tmp_path, "--model.init_from", tmp_path / "none.safetensors") == 1
    assert "there is no such weight file" in capsys.readouterr().err
    assert main(["doctor", "--config", TINY, "--model.init_from", str(tmp_path / "none.safetensors")]) == 1
    assert "there is no such weight file" in capsys.readouterr().out


def test_doctor_puts_a_pair_through_the_metrics(capsys):
    metrics = "{class_path: MetricSuite, init_args: {metrics: [{class_path: MSSSIM}]}}"
    assert main(["doctor", "--config", TINY, "--model.metrics", metrics]) == 1
    out = capsys.readouterr().out
    assert re.search(r"ERROR.*ms_ssim with 5 scales needs images of at least 161x161, got 32x32", out)


@pytest.mark.parametrize("arguments", [["fit", "--config", "nowhere.yaml"], ["fit", "--config", TINY, "--x"]])
def test_wrong_usage_exits_with_2(arguments, capsys):
    assert main(arguments) == 2


def test_only_the_parser_of_the_command_is_built(monkeypatch, capsys):
    built = []
    build = ZooCLI._add_arguments
    monkeypatch.setattr(ZooCLI, "_add_arguments", lambda self, parser: (built.append(parser), build(self, parser)))
    assert main(["test", "--help"]) == 0
    assert len(built) == 1 and "inpaintzoo test" in capsys.readouterr().out


def test_masks_and_version(capsys):
    assert main([]) == 0
    assert "doctor" in capsys.readouterr().out
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("inpaintzoo 0.")
    assert main(["masks", "show", "nowhere.jsonl", "--out", "x.png"]) != 0


# --- stopped, failed, and two at once ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_and_says_how_to_go_on(number, code, tmp_path, monkeypatch, caplog):
    step = Inpainter.training_step

    def interrupted(self, batch, batch_idx):
        step(self, batch, batch_idx)
        if self.iteration == 2:
            os.kill(os.getpid(), number)

    monkeypatch.setattr(Inpainter, "training_step", interrupted)
    caplog.set_level("INFO")
    assert run("fit", tmp_path) == code
    last = tmp_path / "lightning_logs" / "version_0" / "checkpoints" / "last.ckpt"
    assert f"stopped at iteration 2; to go on: --ckpt_path {last}" in caplog.text
    monkeypatch.undo()
    assert run("fit", tmp_path, "--ckpt_path", last) == 0


def test_a_run_that_fails_before_its_first_step_leaves_no_folder(tmp_path, monkeypatch):
    def fails(self):
        raise ConfigError("no")

    monkeypatch.setattr(Inpainter, "on_train_start", fails)
    assert run("fit", tmp_path) == 1
    assert not any((tmp_path / "lightning_logs").iterdir())


def test_two_runs_that_begin_at_once_get_a_folder_each(tmp_path, monkeypatch):
    loggers = [TensorBoardLogger(tmp_path) for _ in range(2)]
    for logger in loggers:
        monkeypatch.setattr(logger, "_get_next_version", Mock(side_effect=[0, 1]))
    assert [claim_folder(logger).name for logger in loggers] == ["version_0", "version_1"]
    assert [logger.version for logger in loggers] == [0, 1]
    assert claim_folder(TensorBoardLogger(tmp_path, version=7)) is None


@pytest.mark.parametrize(
    ("command", "folder", "options"),
    [
        ("fit", ".", ["--trainer.logger", "false"]),
        ("fit", "lightning_logs/mine", ["--trainer.logger", "TensorBoardLogger", "--trainer.logger.version", "mine"]),
        ("predict", "out", ["--predictions.folder", "out"]),
        ("predict", "predictions", ["--trainer.logger", "false"]),
    ],
)
def test_two_commands_do_not_write_into_one_folder(command, folder, options, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    options = [*options, *(["--trainer.logger.save_dir", "."] if "TensorBoardLogger" in options else [])]
    with sole_use(tmp_path / folder):
        assert run(command, tmp_path, *options) == 1
    assert re.search(r": error: \S+ is in use by another inpaintzoo command; wait until", capsys.readouterr().err)
    assert run(command, tmp_path, *options) == 0
    assert not [*tmp_path.rglob(LOCK)]


def test_the_processes_of_one_run_are_one_command(tmp_path, monkeypatch):
    monkeypatch.setattr(Trainer, "is_global_zero", False)
    with sole_use(tmp_path):  # by the first process
        assert run("fit", tmp_path, "--trainer.logger", "false") == 0


def test_a_checkpoint_carries_the_settings_of_its_own_run(tmp_path):
    """Not those in the folder: two runs may share it, and another program may have left a file of that name."""
    options = ("--trainer.logger", "false")
    assert run("fit", tmp_path, *options, "--data.seed", 5) == 0
    assert run("fit", tmp_path, *options, "--data.seed", 6) == 0
    (tmp_path / "config.yaml").write_text("model: [1, 2")
    found = {}
    for file in sorted((tmp_path / "checkpoints").glob("last*.ckpt")):
        found[file.name] = read_checkpoint(file).facts()["config"]["data"]["init_args"]["seed"]
    assert found == {"last.ckpt": 5, "last-v1.ckpt": 6}


@pytest.mark.parametrize("content", ["model: 3\ndata: 4\n", "[", "data: {class_path: [1]}\nmodel: {}", "\x00"])
def test_facts_never_stop_a_load(content, trained, tmp_path):
    place = tmp_path / "run" / "checkpoints"
    place.mkdir(parents=True)
    (tmp_path / "run" / "config.yaml").write_text(content)
    checkpoint = torch.load(trained / "checkpoints" / "last.ckpt", weights_only=True)
    for config in (None, {"data": 3}, {"data": {"class_path": 5, "init_args": []}}, [1]):
        torch.save({**checkpoint, "config": config}, place / "last.ckpt")
        assert read_checkpoint(place / "last.ckpt").facts()["iterations"] == checkpoint["inpainter"]["iteration"]


def test_the_run_says_what_it_has_left(tmp_path, caplog):
    caplog.set_level("INFO")
    assert run("fit", tmp_path) == 0
    said = caplog.text
    place = tmp_path / "lightning_logs" / "version_0"
    assert re.search(rf"best checkpoint: {place}/checkpoints/best-\S+\.ckpt \(val/psnr_hole [\d.]+\)", said)
    command = re.search(r"to measure it: inpaintzoo (.*)", said).group(1).split()
    assert main([*command, "--trainer.default_root_dir", str(tmp_path / "test")]) == 0
    facts = json.loads((place / "run.json").read_text())
    assert facts["git"] is None or re.fullmatch(r"[0-9a-f]{40}(\+changes)?", facts["git"])


def test_a_checkpoint_in_the_middle_of_an_update_window_is_loaded_from_python(tmp_path, caplog):
    caplog.set_level("INFO")
    assert run("fit", tmp_path, "--model.accumulate", 3) == 0
    assert "4 iterations make 1 update, which schedules count" in caplog.text
    last = tmp_path / "lightning_logs" / "version_0" / "checkpoints" / "last.ckpt"
    assert "gradients" in torch.load(last, weights_only=True)["inpainter"]
    assert Inpainter.load_from_checkpoint(last).iteration == 4
