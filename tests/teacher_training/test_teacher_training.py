"""The built-in teacher's training: the asymmetric loss by hand, tiny runs through its entry point, its file."""

import json
import math

import pytest
import torch
import yaml
from places import ROOT
from safetensors import safe_open

from benchmarks.teacher.export import export
from benchmarks.teacher.export import main as export_main
from benchmarks.teacher.train import main
from benchmarks.teacher.training import TagClassifier, TagMetrics, asymmetric_loss, resize
from inpaintzoo.scenes import SCENE_TAGS
from inpaintzoo.teachers import BuiltinTeacher, TagNetwork
from inpaintzoo.teachers.builtin import SHIPPED
from inpaintzoo.types import ConfigError, DataError, NonFiniteLossError, WeightsError

CONFIG = ROOT / "benchmarks" / "teacher" / "teacher.yaml"
TINY_NETWORK = ["--model.network.widths", "[8,8,8,8,8]", "--model.network.channels", "[4,8,8]"]
TINY_DATA = ["--data.train_size", 8, "--data.val_size", 4, "--data.test_size", 4, "--data.image_size", 32]
TINY = [*TINY_NETWORK, *TINY_DATA, "--data.batch_size", 4, "--data.cache", "false", "--model.sizes", "[]"]
SHORT = ["--model.max_iterations", 4, "--trainer.val_check_interval", 2, "--trainer.log_every_n_steps", 1]


def run(folder, *options):
    arguments = ["--config", str(CONFIG), "--trainer.default_root_dir", str(folder), *TINY, *SHORT, *options]
    return main([str(argument) for argument in arguments])


# -- the loss ----------------------------------------------------------------------------------------------------------


def test_asymmetric_loss_by_hand() -> None:
    # p = 0.8 and present: -(0.2)^g * ln 0.8; p = 0.8 and absent: q = 0.75, -(0.75)^4 * ln 0.25;
    # p = 0.04 and absent: below the clip, nothing.
    logit = math.log(0.8 / 0.2)
    logits = torch.tensor([[logit, logit, math.log(0.04 / 0.96)]])
    targets = torch.tensor([[1.0, 0.0, 0.0]])
    present, absent = -math.log(0.8), -(0.75**4) * math.log(0.25)  # 0.223144, 0.438629
    assert asymmetric_loss(logits, targets).item() == pytest.approx(present + absent, rel=1e-5)
    assert asymmetric_loss(logits, targets).item() == pytest.approx(0.661773, abs=1e-5)
    focal = asymmetric_loss(logits, targets, gamma_negative=2, gamma_positive=1, clip=0)
    by_hand = -0.2 * math.log(0.8) - 0.64 * math.log(0.2) - 0.0016 * math.log(0.96)
    assert focal.item() == pytest.approx(by_hand, rel=1e-5)


def test_without_asymmetry_it_is_cross_entropy() -> None:
    generator = torch.Generator().manual_seed(0)
    logits, targets = torch.randn(5, 7, generator=generator), torch.rand(5, 7, generator=generator).round()
    plain = torch.nn.functional.binary_cross_entropy_with_logits(logits, targets) * 7  # a sum over the tags
    torch.testing.assert_close(asymmetric_loss(logits, targets, 0, 0, 0), plain)


def test_sure_and_wrong_is_finite_and_has_a_gradient() -> None:
    logits = torch.tensor([[60.0, -60.0, 0.0]], requires_grad=True)
    loss = asymmetric_loss(logits, torch.tensor([[0.0, 1.0, 1.0]]))
    loss.backward()
    assert loss.item() == pytest.approx(60 + math.log(2) - 0.95**4 * math.log(0.05), rel=1e-5)
    # An absent tag that is held for certain pulls no more: the authors take it for a wrong label.
    torch.testing.assert_close(logits.grad, torch.tensor([[0.0, -1.0, -0.5]]))
    sure = torch.tensor([[60.0, -60.0]], requires_grad=True)
    asymmetric_loss(sure, torch.tensor([[1.0, 0.0]])).backward()
    assert sure.grad.abs().max() < 1e-6, "right and certain: nothing to learn, and no NaN"
    assert asymmetric_loss(torch.tensor([[200.0]]), torch.zeros(1, 1), clip=0).item() == pytest.approx(200)
    half = asymmetric_loss(logits.half(), torch.tensor([[0.0, 1.0, 1.0]]))
    assert half.dtype == torch.float32 and half.item() == pytest.approx(loss.item(), rel=1e-3)


# -- the module --------------------------------------------------------------------------------------------------------


def test_average_precision_by_hand() -> None:
    # One tag right throughout; the other ranked 2nd and 3rd of three: precision 1/2 and 2/3, mean 7/12.
    metrics = TagMetrics(2)
    logits = torch.tensor([[2.0, 2.0], [1.0, 1.0], [-1.0, 0.0]]).expand(3, 3, 2).clone()
    tags = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    logits[2, :, 1] *= -1  # the coarsest level ranks the other way round
    metrics.update(logits, tags)
    values = {name: value.item() for name, value in metrics.compute().items()}
    assert values["map_stride1"] == values["map_stride2"] == pytest.approx((1 + 7 / 12) / 2)
    assert values["map_stride4"] == pytest.approx(1.0)
    assert set(values) == {"map", "map_stride1", "map_stride2", "map_stride4", "chance"}
    assert values["chance"] == pytest.approx(4 / 6)


def test_tags_that_no_sample_has_do_not_count() -> None:
    metrics = TagMetrics(2)
    logits = torch.tensor([[2.0, 2.0], [1.0, 1.0]]).expand(3, 2, 2)
    metrics.update(logits, torch.tensor([[1.0, 0.0], [0.0, 0.0]]))
    assert metrics.compute()["map"].item() == 1
    metrics.reset()
    metrics.update(logits, torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    assert metrics.compute()["map"].item() == 0.75


def test_resize_keeps_the_proportions() -> None:
    image = torch.rand(1, 3, 64, 96)
    assert resize(image, 64) is image
    assert resize(image, 32).shape == (1, 3, 32, 48)
    assert resize(image, 45).shape == (1, 3, 44, 68)


def test_bad_settings_and_data_are_refused() -> None:
    network = TagNetwork(tags=3, widths=(8, 8, 8, 8, 8), channels=(4, 8, 8))
    with pytest.raises(ConfigError, match="max_iterations must be at least 1, got 0"):
        TagClassifier(network, max_iterations=0)
    with pytest.raises(ConfigError, match="gammas of 0 or more and a clip"):
        TagClassifier(network, clip=1.0)
    with pytest.raises(ConfigError, match=r"multiples of 4 from 32 pixels, got \(64, 30\)"):
        TagClassifier(network, sizes=(64, 30))
    module, image = TagClassifier(network), torch.rand(1, 3, 32, 32)
    with pytest.raises(DataError, match="the data has no tags, the network predicts 3"):
        module.training_step({"image": image}, 0)
    with pytest.raises(DataError, match="the data has 2 tags per image, the network predicts 3"):
        module.training_step({"image": image, "tags": torch.zeros(1, 2)}, 0)
    with pytest.raises(NonFiniteLossError, match="stopped at iteration 0: tags = nan"):
        module.training_step({"image": image * float("nan"), "tags": torch.zeros(1, 3)}, 0)


# -- through the command line ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("teacher")
    assert run(folder) == 0
    return folder / "lightning_logs" / "version_0"


def test_a_run_leaves_config_and_checkpoints(trained) -> None:
    names = {path.name for path in (trained / "checkpoints").iterdir()}
    assert "last.ckpt" in names and any("val_map=" in name for name in names)
    assert (trained / "config.yaml").is_file()
    state = torch.load(trained / "checkpoints" / "last.ckpt", weights_only=True)["tag_classifier"]
    assert state["iteration"] == 4


def test_it_resumes_and_is_tested_at_the_end(trained, tmp_path, capsys, caplog) -> None:
    checkpoint = trained / "checkpoints" / "last.ckpt"
    assert run(tmp_path, "--ckpt_path", checkpoint, "--model.max_iterations", 6) == 0
    state = torch.load(next(tmp_path.rglob("last.ckpt")), weights_only=True)
    assert state["tag_classifier"]["iteration"] == 6 == state["global_step"]
    assert "test/map" in capsys.readouterr().out
    assert run(tmp_path / "again", "--ckpt_path", checkpoint) == 0
    assert "nothing to do: 4 of 4 iterations are already done" in caplog.text


def test_a_clip_is_the_trainers_own_affair_here(tmp_path) -> None:
    assert run(tmp_path, "--trainer.gradient_clip_val", 1.0, "--trainer.logger", "false") == 0


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--checkpoint.monitor", "val/psnr"], "no such metric; there are val/map, val/map_stride1"),
        (["--model.clip", "-1"], "gammas of 0 or more and a clip"),
        (["--model.network.tags", "7"], "the data has 45 tags per image, the network predicts 7"),
    ],
)
def test_bad_settings_end_in_one_sentence(tmp_path, capsys, options, text) -> None:
    assert run(tmp_path, *options) == 1
    error = capsys.readouterr().err
    assert text in error and "Traceback" not in error


def test_a_checkpoint_of_another_network_is_refused(trained, tmp_path, capsys) -> None:
    checkpoint = trained / "checkpoints" / "last.ckpt"
    assert run(tmp_path, "--ckpt_path", checkpoint, "--model.network.widths", "[8,8,8,8,16]") == 1
    assert "the checkpoint is from another network" in capsys.readouterr().err


# -- the file ----------------------------------------------------------------------------------------------------------


@torch.no_grad()
def test_a_checkpoint_becomes_a_teacher(trained, tmp_path, capsys) -> None:
    checkpoint, out = trained / "checkpoints" / "last.ckpt", tmp_path / "teacher.safetensors"
    assert export_main([str(checkpoint), str(out)]) == 0
    assert "trained for 4 iterations" in capsys.readouterr().out
    teacher = BuiltinTeacher(str(out))
    assert teacher.channels == (4, 8, 8)
    with safe_open(str(out), "pt") as file:
        config = json.loads(file.metadata()["config"])
    assert config["data"]["init_args"]["train_size"] == 8 and config["seed_everything"] == 1
    network = TagNetwork(widths=(8, 8, 8, 8, 8), channels=(4, 8, 8)).eval()
    state = torch.load(checkpoint, weights_only=True)["state_dict"]
    network.load_state_dict({k.removeprefix("network."): v for k, v in state.items() if k.startswith("network.")})
    image = torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(teacher(image), network.features(image), rtol=2e-2, atol=2e-3)  # float16 weights
    assert export_main([str(checkpoint), str(out)]) == 1
    assert "must be a new file" in capsys.readouterr().err


def test_only_a_classifiers_checkpoint_is_exported(tmp_path) -> None:
    torch.save({"state_dict": {}, "inpainter": {}}, tmp_path / "inpainter.ckpt")
    with pytest.raises(WeightsError, match="is not from a TagClassifier"):
        export(tmp_path / "inpainter.ckpt", tmp_path / "out.safetensors")


def test_the_config_trains_the_shipped_network_on_the_scenes_tags() -> None:
    config = yaml.safe_load(CONFIG.read_text())
    assert config["data"]["class_path"] == "ScenesData" and TagNetwork().tags == len(SCENE_TAGS)
    settings = config["model"]
    assert settings["max_iterations"] == settings["scheduler"]["init_args"]["total_steps"]
    with safe_open(str(SHIPPED), "pt") as file:
        facts = file.metadata()
    assert facts["iterations"] == str(settings["max_iterations"])
    assert TagNetwork(**{k: v for k, v in json.loads(facts["network"]).items()}).settings == TagNetwork().settings
