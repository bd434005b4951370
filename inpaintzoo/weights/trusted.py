"""What the settings inside a checkpoint may name: networks, losses, metrics and optimizers that are imported already.

A run's checkpoint holds the Inpainter's arguments as class paths with plain values, and rebuilding it means to call
what they name. A file may come from anywhere, so no module is imported for it, and nothing is called that is not a part
of a model.
"""

from __future__ import annotations

import importlib
import inspect
import sys
import typing
from collections.abc import Container, Mapping
from pathlib import Path, PurePath
from typing import Any

from lightning.pytorch.cli import ReduceLROnPlateau
from lightning.pytorch.core.saving import CHECKPOINT_PAST_HPARAMS_KEYS
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from inpaintzoo.metrics import Metric, MetricSuite
from inpaintzoo.objectives import Objective
from inpaintzoo.types import WeightsError
from inpaintzoo.views import View
from inpaintzoo.weights.checkpoints import read_checkpoint

_PARTS = (nn.Module, Objective, View, Metric, MetricSuite)
_TRAINERS = (Optimizer, LRScheduler, ReduceLROnPlateau)
_PLAIN = (bool, int, float, str, bytes, type(None), PurePath)
_INSTANTIATOR = "lightning.pytorch.cli.instantiate_module"
_DEFAULT_OPTIMIZER = "inpaintzoo.inpainter._adam"


def check_settings(kind: type, settings: Mapping[str, Any], where: str) -> None:
    """Refuse settings from a file that would call anything but the parts of a model.

    Args:
        kind: The class that is to be built from the settings.
        settings: Its arguments: plain values, and dictionaries with `class_path` and `init_args`.
        where: The file, for the error.

    Raises:
        WeightsError: A class is none of the zoo's or derived from one, no optimizer or scheduler of torch, or not
            imported; or a text stands where a class is expected.
    """
    hints = _hints(kind)
    for name, value in settings.items():
        if "." in str(name):
            raise WeightsError(f"{where}: {name!r} is not the name of an argument; the file is not a run's checkpoint")
        _check(value, hints.get(name, Any), where)


def check_checkpoint(kind: type, path: str | Path, given: Container[str] = ()) -> None:
    """`check_settings` for the arguments in a checkpoint's file.

    Args:
        kind: The LightningModule that is to be rebuilt.
        path: The file.
        given: Names of arguments that the caller gives instead of the file's.

    Raises:
        WeightsError: As `check_settings`, or the file cannot be read.
    """
    content = read_checkpoint(path).content
    try:
        for key in ("hyper_parameters", *CHECKPOINT_PAST_HPARAMS_KEYS):  # Lightning reads old names too
            settings = content.get(key, {})
            if not isinstance(settings, Mapping):
                raise WeightsError(f"{path} is not a complete checkpoint: its {key} have no names")
            settings = {name: value for name, value in settings.items() if name not in given}
            if settings.pop("_instantiator", _INSTANTIATOR) != _INSTANTIATOR:
                raise WeightsError(f"{path} names a function that builds it; do not trust the file")
            own = imported_class(str(settings.pop("_class_path", f"{kind.__module__}.{kind.__qualname__}")))
            if own is None or not issubclass(own, kind):
                raise WeightsError(f"{path} is not the checkpoint of {kind.__name__}, or its class is not imported")
            check_settings(kind, settings, str(path))
    except RecursionError as error:
        raise WeightsError(f"{path}: its settings are nested too deeply; do not trust the file") from error


def imported_class(class_path: str) -> type | None:
    """The class of a path if its module is imported already, or is one of the zoo's; else None."""
    module, _, name = class_path.rpartition(".")
    if module.split(".")[0] == "inpaintzoo" and module not in sys.modules:
        try:
            importlib.import_module(module)
        except ImportError:
            return None
    found = getattr(sys.modules.get(module), name, None)
    return found if inspect.isclass(found) else None


def _check(value: Any, hint: Any, where: str) -> None:
    if isinstance(value, Mapping) and "class_path" in value:
        class_path = value["class_path"]
        kind = imported_class(class_path) if isinstance(class_path, str) else None
        if kind is None or not _is_part(kind):
            raise WeightsError(
                f"{where} names {class_path!r}, which is not imported, or is neither a part of a model nor an "
                f"optimizer or scheduler; import your own class first, or do not trust the file"
            )
        for name in value.keys() - {"class_path"}:
            if name not in ("init_args", "dict_kwargs") or not isinstance(value[name], (Mapping, type(None))):
                raise WeightsError(f"{where}: the settings of {class_path} are damaged at {name!r}")
            check_settings(kind, value[name] or {}, where)
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            if "." in str(name):
                raise WeightsError(f"{where}: {name!r} is not the name of a part; the file is not a run's checkpoint")
            _check(inner, hint, where)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            _check(inner, hint, where)
    elif isinstance(value, str) and not value.isidentifier() and value != _DEFAULT_OPTIMIZER and _takes_class(hint):
        # The parser would import a dotted name, and read a class out of YAML.
        raise WeightsError(f"{where} holds {value[:80]!r} where a class is expected; do not trust the file")


def _is_part(kind: type) -> bool:
    if issubclass(kind, _TRAINERS):
        return True
    return issubclass(kind, _PARTS) and any(base.__module__.split(".")[0] == "inpaintzoo" for base in kind.__mro__)


def _hints(kind: type) -> dict[str, Any]:
    try:
        return typing.get_type_hints(kind.__init__)  # type: ignore[misc]
    except (AttributeError, NameError, TypeError):  # names that exist for type checkers only, as in torch's schedulers
        return {}


def _takes_class(hint: Any) -> bool:
    """Whether a value of this type may be a class or a function by name; an unknown type may."""
    if isinstance(hint, list) or hint is Ellipsis:  # the arguments of a callable, the rest of a tuple
        return False
    if inner := typing.get_args(hint):
        return typing.get_origin(hint) is not typing.Literal and any(map(_takes_class, inner))
    return not (inspect.isclass(hint) and issubclass(hint, _PLAIN))
