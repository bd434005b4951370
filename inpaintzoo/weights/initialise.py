"""Starts training from the weights of another run: generator, discriminators or both."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from inpaintzoo.files.published import check_kinds
from inpaintzoo.layers.rebuildable import Rebuildable
from inpaintzoo.types import ConfigError, WeightsError
from inpaintzoo.weights.checkpoints import CHECKPOINT_SUFFIX, RunCheckpoint, read_checkpoint
from inpaintzoo.weights.files import WeightFile, read_weights
from inpaintzoo.weights.networks import Description, describe, find_class, not_finite
from inpaintzoo.weights.registry import find_checkpoint
from inpaintzoo.words import some

LEAST_SHARE = 0.5
_Content = RunCheckpoint | tuple[WeightFile, dict[str, Tensor]]


@dataclasses.dataclass(frozen=True)
class Matched:
    """A report on the tensors that a network took from a file.

    Attributes:
        part: the network's name: `generator` or an adversary's.
        path: the file.
        matched: names that both have with the same shape; these were loaded.
        missing: names that only the network has; they keep their initial values.
        unused: names that only the file has.
        reshaped: names that both have with different shapes; the network's keep their initial values.
        share: loaded part of the network's parameters, by size, in [0, 1].
        settings: arguments of the file's network that differ from this one's, such as `padding='same_tf'`.
    """

    part: str
    path: str
    matched: list[str]
    missing: list[str]
    unused: list[str]
    reshaped: list[str]
    share: float
    settings: list[str] = dataclasses.field(default_factory=list)

    def __str__(self) -> str:
        """One line."""
        kinds = {"missing": self.missing, "unused": self.unused, "of another shape": self.reshaped}
        rest = "; ".join(
            f"{len(names)} {kind} ({some(names)})" if names else f"0 {kind}" for kind, names in kinds.items()
        )
        otherwise = f"; its network was built with other settings: {', '.join(self.settings)}" if self.settings else ""
        return (
            f"init_from: {self.part} from {self.path}: {len(self.matched)} tensors matched ({self.share:.1%} of the "
            f"parameters); {rest}{otherwise}"
        )


def refuse_to_resume(init_from: object) -> None:
    """Raise `ConfigError` if a resumed run also has `init_from`."""
    if init_from is not None:
        raise ConfigError(
            f"init_from ({init_from}) starts a new run and --ckpt_path resumes an old one: give one of them "
            f"(--model.init_from null for none)"
        )


def initialise(
    generator: nn.Module, adversaries: nn.ModuleDict, init_from: str | Mapping[str, str], whole: bool = False
) -> list[Matched]:
    """Load weights of another run into networks, before training or, with `whole`, before measuring.

    Args:
        generator: the Inpainter's generator.
        adversaries: the Inpainter's adversaries, by name.
        init_from: a generator's weight file; a checkpoint or run folder, which gives the generator (its average if
            there is one) and the adversaries of the same names; or files by part, `generator` or an adversary's name.
        whole: refuse a generator that is not loaded completely, since nothing will train the rest of it.

    Returns:
        A report for each network.

    Raises:
        ConfigError: a part does not exist.
        WeightsError: a file cannot be read, nothing in it matches, or less than half of the network's parameters match
            while tensors of the file are left over; with `whole`, a tensor of the generator is not in its file.
    """
    reports = _load_parts(generator, adversaries, init_from)
    loaded = next((report for report in reports if report.part == "generator"), None)
    if whole and loaded is None:
        raise WeightsError(f"init_from: no file is given for the generator, only for {', '.join(init_from)}")
    if whole and loaded is not None and (left := loaded.missing + loaded.reshaped):
        raise WeightsError(
            f"{loaded.path} fits only {loaded.share:.1%} of the generator's parameters, and nothing would train the "
            f"other tensors ({some(left)}); use the settings of the network that the file is from"
        )
    return reports


def _load_parts(generator: nn.Module, adversaries: nn.ModuleDict, init_from: str | Mapping[str, str]) -> list[Matched]:
    parts: dict[str, nn.Module] = {"generator": generator, **adversaries}
    if isinstance(init_from, Mapping):
        unknown = [str(name) for name in init_from if name not in parts]
        if unknown:
            raise ConfigError(f"init_from: there is no {some(unknown)} here; there are {', '.join(parts)}")
        empty = [name for name, path in init_from.items() if not path]
        if empty:
            raise ConfigError(f"init_from: {some(empty)} has no file; name one, or leave it out")
        files = {name: find_checkpoint(path) for name, path in init_from.items()}
        return [_load_part(parts[name], name, str(file), _read(file)) for name, file in files.items()]
    file = find_checkpoint(init_from)
    content = _read(file)
    chosen = ["generator"]
    if isinstance(content, RunCheckpoint):
        chosen += [name for name in adversaries if content.state(f"adversaries.{name}")]
    return [_load_part(parts[name], name, str(file), content) for name in chosen]


def _read(file: Path) -> _Content:
    return read_checkpoint(file) if file.suffix == CHECKPOINT_SUFFIX else read_weights(file)


def _load_part(network: nn.Module, part: str, path: str, content: _Content) -> Matched:
    description, state = _described_state(part, path, content)
    own = network.state_dict()
    if part != "generator" and not own.keys() & state.keys():
        # A discriminator's own file: the adversary calls it `discriminator`.
        state = {f"discriminator.{name}": tensor for name, tensor in state.items()}
    matched = [name for name in own if name in state and state[name].shape == own[name].shape]
    report = Matched(
        part,
        path,
        matched,
        [name for name in own if name not in state],
        [name for name in state if name not in own],
        [name for name in own if name in state and name not in set(matched)],
        _share(network, matched),
        _otherwise(network, description),
    )
    if not matched:
        raise WeightsError(
            f"nothing of {path} fits the {part}: its tensors are {some(list(state))}, here {some(list(own))}"
        )
    # A file may hold a complete part of a larger network; left-over tensors mean that it is another network's.
    if report.share < LEAST_SHARE and (report.reshaped or report.unused):
        raise WeightsError(
            f"{path} is for another network than the {part}: only {len(matched)} of {len(own)} tensors match, "
            f"{report.share:.1%} of the parameters; {len(report.reshaped)} have another shape "
            f"({some(report.reshaped)}) and {len(report.unused)} are not here ({some(report.unused)})"
        )
    check_kinds({name: state[name] for name in matched}, own, path)
    if bad := not_finite({name: state[name] for name in matched}):
        raise WeightsError(f"{path}: {len(bad)} tensors hold values that are not finite, such as {bad[0]}")
    with torch.no_grad():
        for name in matched:
            own[name].copy_(state[name])
    return report


def _share(network: nn.Module, matched: list[str]) -> float:
    """The share by parameters, not tensors: biases are half of the tensors but hardly any of the parameters."""
    sizes = {name: parameter.numel() for name, parameter in network.named_parameters()}
    return sum(sizes.get(name, 0) for name in matched) / max(1, sum(sizes.values()))


def _described_state(part: str, path: str, content: _Content) -> tuple[Description | None, dict[str, Tensor]]:
    """The description of a file's network, if it has one, and its tensors."""
    if isinstance(content, RunCheckpoint):
        if part == "generator":
            return content.parts().get(part), content.generator_state()
        name = f"adversaries.{part}"
        return content.parts().get(f"{name}.discriminator"), content.state(name)
    about, state = content
    try:
        find_class(about.class_path)
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from error
    return Description(class_path=about.class_path, init_args=about.init_args), state


def _otherwise(network: nn.Module, description: Description | None) -> list[str]:
    """Arguments of the file's network that differ from this one's, so that the same weights compute something else."""
    judge = getattr(network, "discriminator", network)
    if description is None or not isinstance(judge, Rebuildable):
        return []
    try:
        own: Description = describe(judge)
    except WeightsError:  # no file can hold the arguments of the user's own class
        return []
    if own["class_path"].rpartition(".")[2] != description["class_path"].rpartition(".")[2]:
        return [description["class_path"].rpartition(".")[2]]
    given = description["init_args"]
    return [f"{name}={given[name]!r}" for name, value in own["init_args"].items() if given.get(name, value) != value]
