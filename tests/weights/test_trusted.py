"""Files that name what to call: through every door, nothing that they name is imported or called."""

import contextlib
import copy
import sys

import pytest
import torch
import toys
from places import TESTS

from inpaintzoo import Inpainter, WeightsError, load_model
from inpaintzoo.commands import main
from inpaintzoo.types import ConfigError
from inpaintzoo.weights.initialise import initialise
from inpaintzoo.weights.trusted import check_settings

TINY = str(TESTS / "conf" / "tiny.yaml")
SETTINGS = {
    "_instantiator": "lightning.pytorch.cli.instantiate_module",
    "_class_path": "inpaintzoo.Inpainter",
    "generator": {"class_path": "toys.NormFreeGenerator", "init_args": {"width": 4}},
    "losses": {"hole": {"class_path": "inpaintzoo.losses.HoleL1", "init_args": {"weight": 6.0}}},
    "adversaries": {
        "global": {
            "class_path": "inpaintzoo.Adversary",
            "init_args": {
                "discriminator": {"class_path": "toys.TinyDiscriminator", "init_args": {"width": 4}},
                "objective": {"class_path": "inpaintzoo.objectives.Hinge"},
            },
        }
    },
    "generator_optimizer": "inpaintzoo.inpainter._adam",
}
CLASSES = [
    {"class_path": "os.system", "init_args": {"command": "touch TRACE"}},
    {"class_path": "posix.system", "init_args": {"command": "touch TRACE"}},
    {"class_path": "subprocess.Popen", "init_args": {"args": ["touch", "TRACE"]}},
    {"class_path": "subprocess.run", "init_args": {"args": ["touch", "TRACE"]}},
    {"class_path": "builtins.eval", "dict_kwargs": {"source": "open('TRACE', 'w')"}},
    {"class_path": "builtins.open", "init_args": {"file": "TRACE", "mode": "w"}},
    {"class_path": "io.FileIO", "init_args": {"file": "TRACE", "mode": "w"}},
    {"class_path": "pathlib.Path.touch", "init_args": {"self": "TRACE"}},
    {"class_path": "functools.partial", "init_args": {"func": "os.system", "command": "touch TRACE"}},
    {"class_path": "torch.hub.load", "init_args": {"repo_or_dir": "FOLDER", "model": "trap", "source": "local"}},
    {"class_path": "torch.load", "init_args": {"f": "FOLDER/trap.pt", "weights_only": False}},
    {"class_path": "torch.save", "init_args": {"obj": 1, "f": "TRACE"}},
    {"class_path": "logging.FileHandler", "init_args": {"filename": "TRACE"}},
    {"class_path": "inpaintzoo.commands.main", "init_args": {"args": ["masks", "make", "--out", "TRACE"]}},
    {"class_path": "inpaintzoo.commands.os.system", "init_args": {"command": "touch TRACE"}},
    {"class_path": "trap.Adam", "init_args": {}},
    {"class_path": "torch.optim.lr_scheduler.LambdaLR", "init_args": {"lr_lambda": "trap.touch"}},
    {"class_path": "torch.optim.lr_scheduler.LambdaLR", "init_args": {"lr_lambda": ["trap.touch"]}},
    {"class_path": "torch.optim.Adam", "init_args": {"lr": {"class_path": "trap.Adam"}}},
    {"class_path": "torch.optim.Adam", "dict_kwargs": {"x": "{class_path: trap.Adam}"}},
    {"class_path": ["os.system"]},
    "trap.Adam",
    "os.system",
    "{class_path: os.system, init_args: {command: touch TRACE}}",
    "FOLDER/trap.yaml",
]  # fmt: skip
PLACES = [
    ["generator"],
    ["generator", "init_args", "width"],
    ["generator", "dict_kwargs"],
    ["losses"],
    ["losses", "hole"],
    ["losses", "hole", "init_args", "weight"],
    ["adversaries", "global", "init_args", "discriminator"],
    ["adversaries", "global", "init_args", "objective"],
    ["adversaries", "global", "init_args", "view"],
    ["generator_optimizer"],
    ["discriminator_optimizer"],
    ["generator_scheduler"],
    ["metrics"],
    ["_class_path"],
    ["_instantiator"],
]


@pytest.fixture
def trace(tmp_path, monkeypatch):
    """A file that a payload that runs leaves behind, and a module on the path that leaves it when imported."""
    file = tmp_path / "trace"
    (tmp_path / "trap.py").write_text(f"open({str(file)!r}, 'w')\ntouch = Adam = dict\n")
    (tmp_path / "hubconf.py").write_text(f"open({str(file)!r}, 'w')\ntrap = dict\n")
    (tmp_path / "trap.yaml").write_text("class_path: trap.Adam\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield file
    assert not file.exists() and "trap" not in sys.modules


def filled(value, trace):
    if isinstance(value, dict):
        return {name: filled(inner, trace) for name, inner in value.items()}
    if isinstance(value, list):
        return [filled(inner, trace) for inner in value]
    return value.replace("TRACE", str(trace)).replace("FOLDER", str(trace.parent)) if isinstance(value, str) else value


def placed(place, payload, trace):
    settings = copy.deepcopy(SETTINGS)
    inner = settings
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = filled(payload, trace)
    return settings


def saved(settings, path, **rest):
    state = {f"generator.{name}": value for name, value in toys.NormFreeGenerator().state_dict().items()}
    torch.save(
        {
            "pytorch-lightning_version": "2.6.0",
            "hyper_parameters": settings,
            "state_dict": state,
            "inpainter": {"iteration": 1},
            **rest,
        },
        path,
    )
    return path


@pytest.mark.parametrize("payload", CLASSES, ids=lambda payload: str(payload)[:60])
def test_a_checkpoint_runs_nothing_when_an_inpainter_is_rebuilt(payload, trace):
    for place in PLACES:
        path = saved(placed(place, payload, trace), trace.parent / "last.ckpt")
        plain = place[-1] in ("width", "weight", "dict_kwargs") and not isinstance(payload, dict)
        with pytest.raises(Exception if plain else WeightsError) as caught:
            Inpainter.load_from_checkpoint(path)
        assert not trace.exists(), (place, payload)
        assert plain or str(path) in str(caught.value)


@pytest.mark.parametrize("payload", CLASSES, ids=lambda payload: str(payload)[:60])
def test_a_checkpoint_runs_nothing_as_a_network_or_as_initial_weights(payload, trace):
    path = trace.parent / "last.ckpt"
    named = {"init_args": {}, **filled(payload, trace)} if isinstance(payload, dict) else payload
    for networks in ({}, {"networks": {"generator": named}}):
        saved({"generator": named}, path, inpainter={"iteration": 1, **networks})
        with pytest.raises(WeightsError):
            load_model(path)
        with contextlib.suppress(WeightsError):  # takes tensors alone, if the rest is in order
            initialise(toys.NormFreeGenerator(), torch.nn.ModuleDict(), str(path))
        assert not trace.exists()


@pytest.mark.filterwarnings(r"ignore:\s*Importing .* is not\s+allowed")
@pytest.mark.parametrize("payload", CLASSES[:15], ids=lambda payload: str(payload)[:60])
@pytest.mark.parametrize("slot", ["generator_optimizer", "generator_scheduler"])
def test_a_config_trains_with_optimizers_and_schedulers_alone(payload, slot, trace, capsys):
    config = trace.parent / "own.yaml"
    config.write_text(f"model: {{init_args: {{{slot}: {filled(payload, trace)!r}}}}}")
    for command in ("fit", "test"):
        assert main([command, "--config", TINY, "--config", str(config)]) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1 and slot in said and "Got value" not in said
        assert not trace.exists()


@pytest.mark.parametrize("key", ["hparams", "module_arguments"])
def test_old_names_of_the_arguments_are_checked_too(key, trace):
    hostile = {"generator_optimizer": filled(CLASSES[0], trace)}
    with pytest.raises(WeightsError, match=r"names 'os\.system'"):
        Inpainter.load_from_checkpoint(saved(SETTINGS, trace.parent / "last.ckpt", **{key: hostile}))


def test_settings_without_end_and_without_names_are_refused(tmp_path):
    endless = {}
    endless["losses"] = {"a": endless}
    for settings in (endless, [1], {"a.b": 1}, {"losses": {"a.class_path": "os.system"}}):
        with pytest.raises(WeightsError):
            Inpainter.load_from_checkpoint(saved(settings, tmp_path / "last.ckpt"))


@pytest.mark.parametrize("option", [{"weights_only": False}, {"hparams_file": "hparams.yaml"}])
def test_a_checkpoint_is_never_unpickled_and_needs_no_other_file(option, tmp_path):
    with pytest.raises(ConfigError, match="leave out"):
        Inpainter.load_from_checkpoint(saved(SETTINGS, tmp_path / "last.ckpt"), **option)


def test_what_a_run_writes_is_allowed():
    check_settings(Inpainter, {name: value for name, value in SETTINGS.items() if name[0] != "_"}, "here")
    adam = {"class_path": "torch.optim.AdamW", "init_args": {"lr": 1e-3, "betas": [0.9, 0.99]}}
    plateau = {
        "class_path": "torch.optim.lr_scheduler.OneCycleLR",
        "init_args": {"max_lr": 1, "anneal_strategy": "cos"},
    }
    check_settings(Inpainter, {"generator_optimizer": adam, "generator_scheduler": plateau}, "here")
    layers = {"class_path": "inpaintzoo.losses.Perceptual", "init_args": {"layers": [1, 2], "network": None}}
    check_settings(Inpainter, {"losses": {"a": layers}, "init_from": "a/b.ckpt"}, "here")
