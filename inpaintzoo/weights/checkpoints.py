"""Checkpoints of runs: their networks and how they were trained; no code in them is ever run."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

import yaml
from torch import Tensor, nn

from inpaintzoo.files.pickled import load_pickled
from inpaintzoo.files.run_state import average_state, part_state
from inpaintzoo.types import WeightsError
from inpaintzoo.weights.networks import Description, describe

CHECKPOINT_SUFFIX = ".ckpt"


@dataclasses.dataclass(frozen=True)
class RunCheckpoint:
    """A checkpoint of a run.

    Attributes:
        path: the file.
        content: the dictionary that Lightning wrote.
    """

    path: Path
    content: dict[str, Any]

    def parts(self) -> dict[str, Description]:
        """The networks by their names in the Inpainter's state dict: `generator` and the discriminators."""
        saved = self.content["inpainter"].get("networks")
        if saved is not None:
            return dict(saved)
        generator = self.content.get("hyper_parameters", {}).get("generator")  # runs of earlier versions
        if not isinstance(generator, dict) or not isinstance(generator.get("class_path"), str):
            return {}
        return {
            "generator": Description(class_path=generator["class_path"], init_args=generator.get("init_args") or {})
        }

    def description(self, part: str) -> Description:
        """Class and arguments of a network.

        Raises:
            WeightsError: the checkpoint does not hold them.
        """
        parts = self.parts()
        if part not in parts:
            raise WeightsError(f"{self.path} does not say how its {part} was built; load it with --ckpt_path instead")
        return parts[part]

    def state(self, part: str) -> dict[str, Tensor]:
        """The trained tensors of a part, such as `generator` or `adversaries.image`."""
        return part_state(self.content["state_dict"], part)

    def average(self) -> dict[str, Tensor]:
        """The generator's moving average; empty without one."""
        return average_state(self.content)

    def generator_state(self, raw: bool = False) -> dict[str, Tensor]:
        """The average; the trained tensors if there is none or with `raw`."""
        return self.state("generator") if raw or not self.average() else self.average()

    def facts(self, raw: bool = False) -> dict[str, Any]:
        """How the weights were trained: iterations, and the settings that the checkpoint holds.

        Those of earlier versions hold none; then the `config.yaml` of the run's folder is read. A script's hold none
        either, and a `config.yaml` in its folder is another run's.
        """
        facts: dict[str, Any] = {
            "iterations": self.content["inpainter"]["iteration"],
            "weights": "trained" if raw or not self.average() else "average",
        }
        config = self.content.get("config")
        if not isinstance(config, Mapping):
            config = {} if "settings" in self.content["inpainter"] else settings_beside(self.path)
        if config:
            facts["config"] = dict(config)
            arguments = _part(_part(config, "data"), "init_args")
            named = {"data": _part(config, "data"), "masks": _part(arguments, "masks")}
            facts |= {key: _class_name(part["class_path"]) for key, part in named.items() if "class_path" in part}
        return facts


def read_checkpoint(path: str | Path) -> RunCheckpoint:
    """Read a `.ckpt` file of a run.

    Raises:
        WeightsError: it is missing or damaged, holds more than tensors and plain values, or is from another program.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"{path}: there is no such checkpoint")
    try:
        content = load_pickled(path)
    except Exception as error:  # pickle and zip raise whatever the bytes lead to
        raise WeightsError(damaged(path)) from error
    if not isinstance(content, dict) or not {"inpainter", "state_dict"} <= content.keys():
        raise WeightsError(f"{path} is not the checkpoint of an inpaintzoo run: it holds no `inpainter` state")
    if problem := _problem(content):
        raise WeightsError(f"{path} is not a complete checkpoint: {problem}; use another one of the run")
    return RunCheckpoint(path, content)


def _problem(content: dict[str, Any]) -> str | None:
    """How the content differs from what runs write; None if it does not."""
    inpainter, state = content["inpainter"], content["state_dict"]
    if not isinstance(inpainter, dict) or not isinstance(inpainter.get("iteration"), int):
        return "it does not say its iteration"
    networks = inpainter.get("networks", {})
    if not isinstance(networks, dict) or not all(map(_describes, networks.values())):
        return "what it says about its networks is damaged"
    if not isinstance(state, dict):
        return "its weights hold something other than tensors"
    # A user's own loss may store other objects.
    networks_state = {
        name: value for name, value in state.items() if str(name).startswith(("generator.", "adversaries.", "network."))
    }
    for tensors in (networks_state, average_state(content)):
        if not isinstance(tensors, dict) or not all(isinstance(value, Tensor) for value in tensors.values()):
            return "its weights hold something other than tensors"
        # An expanded tensor would let a small file fill the memory.
        if any(value.untyped_storage().nbytes() < value.numel() * value.element_size() for value in tensors.values()):
            return "a tensor is larger than what is stored of it"
    return None


def _describes(network: object) -> bool:
    return (
        isinstance(network, dict)
        and network.keys() == {"class_path", "init_args"}
        and isinstance(network.get("class_path"), str)
        and isinstance(network.get("init_args"), dict)
    )


def damaged(path: Path) -> str:
    """What to say of a checkpoint that cannot be read."""
    previous = previous_checkpoint(path)
    remedy = f"; {previous} is the one before it" if previous != path and previous.is_file() else ""
    return f"{path} is damaged, or it holds more than tensors and plain values{remedy}"


def previous_checkpoint(last: Path) -> Path:
    """The name under which the checkpoint before `last.ckpt` is kept."""
    return last.with_name(last.name.replace("last", "previous", 1))


def describe_parts(generator: nn.Module, adversaries: nn.ModuleDict) -> dict[str, Description]:
    """Descriptions of an Inpainter's networks, by their names in its state dict."""
    named = [("generator", generator)]
    for name, adversary in adversaries.items():
        discriminators = {id(part) for part in adversary.discriminators()}  # type: ignore[operator]
        named += [
            (f"adversaries.{name}.{inner}", part)
            for inner, part in adversary.named_modules()
            if id(part) in discriminators
        ]
    parts: dict[str, Description] = {}
    for name, part in named:
        try:
            parts[name] = describe(part)
        except WeightsError:  # no file can name it, as for a class in a function; the run still resumes
            continue
    return parts


def check_resumes(checkpoint: Mapping[str, Any], own_state: Mapping[str, Tensor]) -> None:
    """Raise `WeightsError` unless a checkpoint fits this Inpainter."""
    if "inpainter" not in checkpoint:
        raise WeightsError("the checkpoint is not one of an inpaintzoo run: it holds no `inpainter` state")
    saved = {name: tuple(value.shape) for name, value in checkpoint["state_dict"].items()}
    own = {name: tuple(value.shape) for name, value in own_state.items()}
    names = sorted(saved.keys() | own.keys())
    wrong = [
        f"{name} is {saved.get(name, 'missing')} in the file and {own.get(name, 'missing')} here"
        for name in names
        if saved.get(name) != own.get(name)
    ]
    if wrong:
        raise WeightsError(
            f"the checkpoint is from another network: {len(wrong)} of {len(names)} tensors differ, such as {wrong[0]}; "
            f"use the config.yaml of the run that wrote it"
        )


def _part(settings: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """A mapping within settings, empty if there is none."""
    found = settings.get(key)
    return found if isinstance(found, Mapping) else {}


def _class_name(class_path: object) -> str:
    """Short for classes of this package; a user's own keeps its module, so that it can be found."""
    class_path = str(class_path)
    return class_path.rpartition(".")[2] if class_path.startswith("inpaintzoo.") else class_path


def run_settings(config: object) -> dict[str, Any]:
    """The settings in a run's config that decided how its weights came out; empty if it is another program's.

    Absolute paths are cut to their last part: the others are private.

    Args:
        config: What `config.yaml` holds.
    """
    if not isinstance(config, Mapping) or not all(isinstance(config.get(key), Mapping) for key in ("model", "data")):
        return {}
    kept = {key: config.get(key) for key in ("seed_everything", "model", "data")}
    trainer = config.get("trainer")
    return _without_folders({**kept, "precision": trainer.get("precision") if isinstance(trainer, Mapping) else None})


def settings_beside(checkpoint: Path) -> dict[str, Any]:
    """`run_settings` of the `config.yaml` in the folder of a checkpoint's run.

    Empty without one that can be read, and where several runs have shared the folder.
    """
    folder = checkpoint.resolve().parent
    try:
        configs = list(folder.parent.glob("config*.yaml"))
        if len(configs) != 1 or len(list(folder.glob("last*.ckpt"))) > 1:
            return {}
        return run_settings(yaml.safe_load(configs[0].read_text(encoding="utf-8")))
    except (yaml.YAMLError, OSError, ValueError, RecursionError):  # facts never stop a load
        return {}


def _without_folders(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_folders(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_folders(item) for item in value]
    return PurePath(value).name if isinstance(value, str) and PurePath(value).is_absolute() else value
