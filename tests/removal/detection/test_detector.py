"""A detector through the command line, and what it makes of batches and checkpoints."""

import json

import pytest
import torch
from places import CONFIGS, TESTS

from inpaintzoo.commands import main
from inpaintzoo.commands.training import ZooCLI
from inpaintzoo.files.pickled import load_pickled
from inpaintzoo.removal.detection import FSSD, MPSSD, SSD, Detector, SceneBoxes, read_detector
from inpaintzoo.removal.detection.detector import load_weights
from inpaintzoo.types import WeightsError
from inpaintzoo.weights import save_model

TINY = str(TESTS / "conf" / "detection.yaml")
# Two updates of two batches each, and a schedule.
RECIPE = ["--ema.decay", 0.9, "--model.warm_up", 2, "--model.clip_norm", 1.0, "--model.accumulate", 2]
RECIPE += ["--model.scheduler", "torch.optim.lr_scheduler.StepLR", "--model.scheduler.step_size", 1]


def run(command, folder, *options):
    return main([command, "--config", TINY, "--trainer.default_root_dir", str(folder), *map(str, options)])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fit")
    assert run("fit", folder, *RECIPE) == 0
    return folder / "lightning_logs" / "version_0"


def test_fit_leaves_checkpoints_and_picture_sheets(trained):
    assert {path.name for path in (trained / "images").iterdir()} == {
        "first-training-batch-0000000.png",
        "validation-0000002.png",
        "validation-0000004.png",
    }
    checkpoint = load_pickled(trained / "checkpoints" / "last.ckpt")
    assert checkpoint["inpainter"]["iteration"] == 4
    assert list((trained / "checkpoints").glob("best-*val_map=*"))


def test_test_reports_average_precision_and_time(trained, tmp_path, capsys):
    assert run("test", tmp_path, "--ckpt_path", trained / "checkpoints" / "last.ckpt") == 0
    printed = capsys.readouterr().out
    assert "AP .5:.95" in printed and "ms a picture, without non-maximum suppression" in printed
    folder = tmp_path / "lightning_logs" / "version_0" / "test"
    facts = json.loads((folder / "metrics.json").read_text())
    assert facts["count"] == 3 and facts["milliseconds"] > 0 and "map_50" in facts["summary"]
    assert len((folder / "per_image.csv").read_text().splitlines()) == 4


def test_predict_writes_pictures_with_boxes(trained, tmp_path):
    assert run("predict", tmp_path, "--ckpt_path", trained, "--predictions.folder", tmp_path / "out") == 0
    assert len(list((tmp_path / "out").glob("scene-test-*.png"))) == 3


def test_a_resumed_run_ends_as_one_that_never_stopped(trained, tmp_path):
    assert run("fit", tmp_path, *RECIPE, "--model.max_iterations", 3) == 0
    last = next(tmp_path.rglob("last.ckpt"))
    assert run("fit", tmp_path, *RECIPE, "--ckpt_path", last) == 0
    ends = [
        load_pickled(path)
        for path in (tmp_path / "lightning_logs/version_1/checkpoints/last.ckpt", trained / "checkpoints/last.ckpt")
    ]
    for name, tensor in ends[1]["state_dict"].items():
        assert torch.equal(ends[0]["state_dict"][name], tensor), name
    assert ends[0]["lr_schedulers"] == ends[1]["lr_schedulers"]


def test_a_resumed_run_takes_its_settings_from_the_config(trained, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr("inpaintzoo.training_module.rank_zero_info", said.append)
    options = ["--model.optimizer", "torch.optim.SGD", "--model.optimizer.lr", 0.5, "--model.optimizer.momentum", 0.9]
    options += ["--model.optimizer.weight_decay", 5e-4, "--model.scheduler.gamma", 0.5, "--model.max_iterations", 5]
    assert run("fit", tmp_path, *RECIPE, *options, "--ckpt_path", trained) == 0
    assert [line.removeprefix("resumed with another setting: ") for line in said] == [
        "optimizer.lr was 0.004 and is 0.5",
        "scheduler.gamma was 0.1 and is 0.5",
    ]
    end = load_pickled(next(tmp_path.rglob("last.ckpt")))
    assert end["optimizer_states"][0]["param_groups"][0]["lr"] == 0.25  # one epoch is over


def test_moments_of_another_optimizer_are_refused(trained, tmp_path, capsys):
    assert (
        run("fit", tmp_path, "--model.optimizer", "torch.optim.Adam", "--ema.decay", 0.9, "--ckpt_path", trained) == 1
    )
    assert "optimizer: the checkpoint's moments are not those of Adam" in capsys.readouterr().err


def test_the_averaged_network_of_a_run_and_its_weight_file(trained, tmp_path):
    network = read_detector(trained)
    average = load_pickled(trained / "checkpoints" / "last.ckpt")["callbacks"]["GeneratorEMA"]["average"]
    assert isinstance(network, MPSSD) and network.settings["modules"] == 2
    assert all(torch.equal(tensor, average[name]) for name, tensor in network.state_dict().items())
    save_model(network, tmp_path / "detector.safetensors")
    again = read_detector(tmp_path / "detector.safetensors")
    assert all(torch.equal(tensor, average[name]) for name, tensor in again.state_dict().items())
    fresh = MPSSD(classes="scenes", width=2, modules=2)
    load_weights(fresh, str(tmp_path / "detector.safetensors"))
    assert torch.equal(
        fresh.head.regression_head.module_list[0].weight, average["head.regression_head.module_list.0.weight"]
    )


def test_weights_of_another_network(trained):
    with pytest.raises(WeightsError, match="does not fit"):
        load_weights(MPSSD(classes="scenes", width=2, modules=1), str(trained))


def test_imagenet_weights_fill_the_convolutions_before_fc6(tmp_path, monkeypatch):
    network = SSD(classes=("cat",), width=64)
    layers = network.backbone.base.base
    state = {f"features.{key}": torch.full_like(value, 0.5) for key, value in layers[:30].state_dict().items()}
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    torch.save(state, tmp_path / "checkpoints" / "vgg16_features-amdegroot-88682ab5.pth")
    load_weights(network, "imagenet")
    assert (layers[28].weight == 0.5).all() and not (layers[31].weight == 0.5).any()
    with pytest.raises(WeightsError, match="use width=64"):
        load_weights(SSD(width=2), "imagenet")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--model.network.classes", "voc"], "set --model.network.classes"),
        (["--model.accumulate", "0"], "accumulate and max_iterations must be at least 1"),
        (["--model.clip_norm", "0"], "clip_norm must be above 0"),
        (["--trainer.gradient_clip_val", "1"], "use --model.clip_norm 1"),
        (["--checkpoint.monitor", "val/psnr_hole"], "no such metric; there are val/map, val/map_50"),
        (
            ["--model.optimizer", "torch.optim.SGD", "--model.optimizer.lr", "-1"],
            "--model.optimizer: Invalid learning rate",
        ),
        (["--data.batch_size", "9"], "8 pictures do not fill one batch of 9"),
        (["--model.network.modules", "5"], "modules must be 1 to 4"),
    ],
)
def test_mistakes_are_one_sentence(tmp_path, capsys, options, words):
    assert run("fit", tmp_path, *options) in (1, 2)
    assert words in capsys.readouterr().err.splitlines()[-1]


def test_a_loss_that_is_not_finite_ends_the_run(tmp_path, capsys):
    options = [
        "--model.optimizer",
        "torch.optim.SGD",
        "--model.optimizer.lr",
        "1e30",
        "--trainer.limit_val_batches",
        "0",
    ]
    assert run("fit", tmp_path, *options) == 1
    assert "training stopped at iteration" in capsys.readouterr().err


def test_doctor_tries_the_losses(tmp_path, capsys):
    assert main(["doctor", "--config", TINY]) == 0
    assert "losses: bbox_regression, classification" in capsys.readouterr().out


@pytest.mark.parametrize("network", ["MPSSD", "SSD", "FSSD"])
def test_the_shipped_config_parses_with_each_network(network):
    options = ["--model.network", f"inpaintzoo.removal.detection.{network}", "--model.network.classes", "scenes"]
    options += ["--model.network.width", "2", "--model.init_from", "null"]
    cli = ZooCLI(["--config", str(CONFIGS / "mpssd.yaml"), *options], run=False)
    assert isinstance(cli.model.network, {"MPSSD": MPSSD, "SSD": SSD, "FSSD": FSSD}[network])
    assert isinstance(cli.model, Detector) and cli.datamodule.batch_size == 24
    optimizer = cli.model.optimizer(cli.model.network.parameters())
    schedule = cli.model.scheduler(optimizer)
    rates = []
    for _ in range(250):
        rates.append(round(optimizer.param_groups[0]["lr"], 7))
        optimizer.step()
        schedule.step()
    assert (rates[149], rates[150], rates[199], rates[200]) == (4e-3, 4e-4, 4e-4, 4e-5)


@pytest.mark.slow
def test_a_narrow_mpssd_learns_three_pictures_by_heart():
    from lightning import Trainer

    torch.manual_seed(0)
    data = SceneBoxes(3, 1, 1, image_size=300, batch_size=3, num_workers=0, augment=False, least=300)
    model = Detector(MPSSD(classes="scenes", width=8), clip_norm=5.0, max_iterations=80)
    data.source = lambda split, source=data.source: source("train")
    trainer = Trainer(accelerator="cpu", max_epochs=-1, logger=False, enable_checkpointing=False, limit_val_batches=0)
    trainer.fit(model, data)
    trainer.test(model, data)
    assert model.test_results.values["map_50"] >= 0.9
