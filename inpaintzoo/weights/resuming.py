"""What a resumed run takes from its checkpoint and what from its config.

Moments, counters and the position in a schedule come from the checkpoint; settings come from the config.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from inpaintzoo.types import ConfigError

# Settings of optimizers that choose how a step is computed and not which one.
_TECHNICAL = {"foreach", "fused", "capturable", "differentiable", "maximize", "decoupled_weight_decay", "params"}
# What schedules keep besides their settings.
_POSITION = {"last_epoch", "_step_count", "_last_lr", "_is_initial", "base_lrs", "_get_lr_called_within_step"}
# Settings whose changes `changes` tells.
_TOLD = {
    *(f"model.{part}_{kind}" for part in ("generator", "discriminator") for kind in ("optimizer", "scheduler")),
    "model.accumulate",
    "data.batch_size",
    "data.seed",
}
# Settings that do not change what is trained.
_NO_CHANGE = {"model.max_iterations", "model.init_from", "model.compile", "data.num_workers"}


class Schedules:
    """Optimizers and their schedules as the config makes them, before a checkpoint is restored.

    Args:
        optimizers: Just made, by the prefix of their settings' names, such as `generator_`. `add` takes the schedule of
            each that has one; then `begin` ends the making.
    """

    def __init__(self, optimizers: Mapping[str, Optimizer]) -> None:
        self.optimizers = dict(optimizers)
        self.schedules: dict[str, LRScheduler] = {}
        self.settings: dict[str, Any] = {
            f"{name}optimizer": {"class": type(optimizer).__name__, **_groups(optimizer)}
            for name, optimizer in optimizers.items()
        }
        self._start: dict[str, list[dict[str, Any]]] = {}

    def add(self, name: str, schedule: LRScheduler) -> None:
        """Take the schedule of an optimizer."""
        self.schedules[name] = schedule
        self.settings[f"{name}scheduler"] = {"class": type(schedule).__name__, **_plain(schedule.state_dict())}

    def begin(self) -> None:
        """Note the optimizers' settings once every schedule has set its first rate."""
        self._start = {
            name: [{key: copy.copy(value) for key, value in group.items() if key != "params"} for group in groups]
            for name, groups in ((name, optimizer.param_groups) for name, optimizer in self.optimizers.items())
        }

    def check(self, states: Sequence[Mapping[str, Any]]) -> None:
        """Refuse moments of another kind of optimizer.

        Args:
            states: The state dicts of a checkpoint's optimizers, in order.

        Raises:
            ConfigError: An optimizer that has other settings than the one that left the moments, or too few states.
        """
        if len(states) != len(self.optimizers):
            raise ConfigError(
                f"the checkpoint holds {len(states)} optimizers and this run has {len(self.optimizers)}: it was "
                f"trained with{'out' if len(states) == 1 else ''} adversaries; start a new run with --model.init_from"
            )
        for (name, optimizer), state in zip(self.optimizers.items(), states, strict=True):
            before, now = ({*groups[0]} for groups in (state["param_groups"], optimizer.param_groups))
            technical = {*_TECHNICAL, *(key for key in before ^ now if key.endswith("_lr") or "momentum" in key)}
            technical -= {"momentum", "momentum_decay"}
            if wrong := sorted((before ^ now) - technical):
                raise ConfigError(
                    f"{name}optimizer: the checkpoint's moments are not those of {type(optimizer).__name__} (only one "
                    f"of the two has {', '.join(wrong)}); keep the run's optimizer, or start a new run from the "
                    "weights with --model.init_from"
                )

    def restore(self, saved: Mapping[str, Any] | None, states: Sequence[Mapping[str, Any]], windows: int) -> None:
        """Put the schedules where the checkpoint's were, under the config's settings.

        Args:
            saved: The checkpoint's settings; None in those of earlier versions.
            states: The state dicts of its schedules, in order.
            windows: How many update windows are done, for a schedule that the checkpoint does not have.
        """
        before = [key for key in saved or self.settings if key.endswith("scheduler")]
        found = dict(zip(before, states, strict=False))
        for name, optimizer in self.optimizers.items():
            schedule, state = self.schedules.get(name), found.get(f"{name}scheduler")
            kinds = (f"{name}optimizer", f"{name}scheduler")
            if saved is not None and all(saved.get(kind) == self.settings.get(kind) for kind in kinds):
                if schedule is not None and state is not None:
                    schedule.load_state_dict(dict(state))
                continue
            for group, start in zip(optimizer.param_groups, self._start[name], strict=True):
                for key in [key for key in group if key != "params" and key not in start]:
                    del group[key]  # of a schedule that is no longer there
                group.update(copy.deepcopy(start))
            if schedule is not None:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # torch expects a step of the optimizer before each
                    for _ in range(int((state or {}).get("last_epoch", windows))):
                        schedule.step()


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """How the settings of a run differ from those of its checkpoint, one phrase each."""
    one, other = _flat(before), _flat(now)
    return [
        f"{name} was {one.get(name, 'not set')} and is {other.get(name, 'not set')}"
        for name in {**one, **other}
        if one.get(name) != other.get(name)
    ]


def changed_settings(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, str]:
    """How a run's config differs from that of its checkpoint, apart from what `changes` and the first lines tell.

    Args:
        before: The settings that the checkpoint holds, as `inpaintzoo.weights.checkpoints.run_settings` gives them.
        now: Those of this run.

    Returns:
        A phrase for each setting that changed; one for a class instead of one for each of its arguments.
    """
    found: dict[str, str] = {}

    def compare(one: Any, other: Any, name: str) -> None:
        if one == other or name in _TOLD or name in _NO_CHANGE:
            return
        whole = isinstance(one, Mapping) and isinstance(other, Mapping)
        if whole and one.get("class_path") == other.get("class_path"):
            for key in {**one, **other}:
                compare(one.get(key), other.get(key), f"{name}.{key}".replace(".init_args", "").lstrip("."))
        else:
            found[name] = f"{name} was {_short(one)} and is {_short(other)}"

    compare(before, now, "")
    return found


def _short(value: Any) -> str:
    """A setting in a few words: a class by its name."""
    if isinstance(value, Mapping) and "class_path" in value:
        value = str(value["class_path"]).rpartition(".")[2]
    text = "not set" if value is None else " ".join(str(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def _groups(optimizer: Optimizer) -> dict[str, Any]:
    groups = [
        _plain({key: value for key, value in group.items() if key != "params"}) for group in optimizer.param_groups
    ]
    return groups[0] if len(groups) == 1 else {str(number): group for number, group in enumerate(groups)}


def _plain(value: Any) -> Any:
    """The parts of a state that are settings, as values that a checkpoint may hold."""
    if isinstance(value, Mapping):
        kept = {str(key): _plain(item) for key, item in value.items() if key not in _POSITION}
        return {key: item for key, item in kept.items() if item is not None}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (bool, int, float, str)) or value is None:
        return value
    return float(value) if hasattr(value, "item") and getattr(value, "numel", lambda: 1)() == 1 else None


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in settings.items():
        name = f"{prefix}.{key}" if prefix else key
        found |= _flat(value, name) if isinstance(value, Mapping) else {name: value}
    return found
