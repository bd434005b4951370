"""Networks as class path and arguments: how weight files describe them, and how they are rebuilt.

A class path in a file is code to run, so it is looked up among the networks that are imported already, the zoo's and
the user's own; nothing is imported for it.
"""

from __future__ import annotations

import contextlib
import inspect
import json
from collections.abc import Iterator, Mapping
from typing import Any, TypedDict

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode

from inpaintzoo import discriminators, fills, models
from inpaintzoo.discriminators import Discriminator
from inpaintzoo.files.published import check_fit
from inpaintzoo.generator import Generator
from inpaintzoo.layers.rebuildable import Rebuildable
from inpaintzoo.teachers import asl
from inpaintzoo.types import WeightsError
from inpaintzoo.words import some

# The modules whose classes a file may name; importing them registers the classes.
HOMES = (models, discriminators, fills, asl)
_LARGE = 2**14  # integers up to this are accepted in any file


class Description(TypedDict):
    """A network as files describe it: a class, and its constructor's arguments as plain values."""

    class_path: str
    init_args: dict[str, Any]


def describe(network: nn.Module) -> Description:
    """The description of a network.

    Raises:
        WeightsError: it is not a Generator or Discriminator, its class is defined in a function, or a file cannot
            hold its arguments.
    """
    if not isinstance(network, Rebuildable):
        raise WeightsError(
            f"a {type(network).__name__} cannot be described; give a Generator or a Discriminator, not a wrapper of one"
        )
    find_class(network.class_path)
    for name, value in network.settings.items():
        if not _plain(value):
            raise WeightsError(
                f"{type(network).__name__} was built with a {type(value).__name__} as {name}, which no file can hold"
            )
    settings = json.dumps(
        network.settings, default=lambda part: Description(class_path=part.class_path, init_args=part.settings)
    )
    return Description(class_path=network.class_path, init_args=json.loads(settings))


def build(
    description: Description, where: str, state: Mapping[str, Tensor] | None = None, kind: type | None = None
) -> Rebuildable:
    """Build the network of a description, on the meta device if possible: names and shapes, no values.

    Args:
        description: class path and arguments; not trusted.
        where: the file, for errors.
        state: the file's tensors; they limit the network, so that a small file cannot take much memory or time.
        kind: the expected base class; None allows any.

    Raises:
        WeightsError: the class is not imported or not of this kind, its constructor refuses the arguments, or the
            network is larger than the file.
    """
    try:
        network_class = find_class(description["class_path"])
    except WeightsError as error:
        raise WeightsError(f"{where}: {error}") from error
    if kind is not None and not issubclass(network_class, kind):
        does = "fills no holes" if kind is Generator else f"is not a {kind.__name__}"
        raise WeightsError(
            f"{where} holds a {network_class.__name__}, which {does}; give a {kind.__name__.lower()}'s file"
        )
    unknown = sorted(description["init_args"].keys() - inspect.signature(network_class).parameters.keys())
    if unknown:
        raise WeightsError(
            f"{where}: {network_class.__name__} has no arguments {some(unknown)}; the file is of another version"
        )
    try:
        if state is not None:
            _check_integers(description["init_args"], max(_LARGE, sum(tensor.numel() for tensor in state.values())))
        with contextlib.nullcontext() if state is None else _Bounded(len(state)):
            try:
                with torch.device("meta"):
                    return _construct(network_class, description)
            except RuntimeError:  # a constructor that computes, as spectral norm's does, needs values
                if state is None:
                    return _construct(network_class, description)
                with FakeTensorMode():
                    shapes = _construct(network_class, description).state_dict()
    except Exception as error:  # the arguments are not trusted: anything may be raised
        raise WeightsError(f"{where}: {network_class.__name__} cannot be built from its arguments: {error}") from error
    assert state is not None
    check_state(state, shapes, where)  # before memory is taken
    return _construct(network_class, description)


def _construct(network_class: type[Rebuildable], description: Description) -> Rebuildable:
    try:
        arguments = {name: _with_tuples(value) for name, value in description["init_args"].items()}
    except (RuntimeError, WeightsError):  # raised as for the network itself
        raise
    except Exception as error:
        raise WeightsError(f"a part of {network_class.__name__} cannot be built: {error}") from error
    return network_class(**arguments)


def _check_integers(value: Any, most: int) -> None:
    """Raise `WeightsError` if a width, depth or number of steps exceeds what the file holds."""
    if isinstance(value, (dict, list)):
        for item in value.values() if isinstance(value, dict) else value:
            _check_integers(item, most)
    elif isinstance(value, int) and abs(value) > most:
        raise WeightsError(f"{value} is too large a number for a file of this size")


class _Bounded(TorchFunctionMode):
    """Stops a constructor that makes many more tensors than the file holds."""

    def __init__(self, tensors: int) -> None:
        super().__init__()
        self.tensors, self.calls = tensors, 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        # Creating a tensor takes about 10 calls; spectral norm's power iterations add up to 2000 in all.
        self.calls += 1
        if self.calls > 64 * self.tensors + 4096:
            raise WeightsError(f"the network has far more tensors than the file, which holds {self.tensors}")
        return func(*args, **(kwargs or {}))


def load_values(network: nn.Module, description: Description, state: Mapping[str, Tensor], where: str) -> Rebuildable:
    """Load values into a network made by `build`, and put it into eval mode.

    Raises:
        WeightsError: a tensor is missing, unknown, of another shape, or not finite.
    """
    check_state(state, network.state_dict(), where)
    network.load_state_dict(state, assign=True)
    if any(tensor.is_meta for tensor in (*network.parameters(), *network.buffers())):
        # Buffers outside the state dict get their values from the constructor.
        network = _construct(find_class(description["class_path"]), description)
        network.load_state_dict(state, assign=True)
    assert isinstance(network, Rebuildable)
    return network.eval()


def check_state(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor], where: str) -> None:
    """Raise `WeightsError` unless a state fits the wanted one and is finite."""
    check_fit(state, wanted, where)
    bad = not_finite(state)
    if bad:
        raise WeightsError(f"{where}: {len(bad)} tensors hold values that are not finite, such as {bad[0]}")


def not_finite(state: Mapping[str, Tensor]) -> list[str]:
    """Names of the tensors with a NaN or an infinity."""
    # One pass: NaN is both minimum and maximum.
    return [
        name
        for name, tensor in state.items()
        if tensor.numel() and not all(bool(torch.isfinite(extreme)) for extreme in torch.aminmax(tensor))
    ]


def find_class(class_path: str) -> type[Rebuildable]:
    """The imported network class of a path, which may name its module or a package above it (`inpaintzoo.models.SPN`).

    Raises:
        WeightsError: there is none.
    """
    package, _, name = class_path.rpartition(".")
    found = [
        kind
        for kind in _subclasses(Rebuildable)
        if kind.__qualname__ == name and f"{kind.__module__}.".startswith(f"{package}.")
    ]
    if found:
        return found[-1]  # a class that was defined again, as in a notebook, is the later one
    if package.split(".")[0] == "inpaintzoo":
        problem = "is not a generator or discriminator of this version of inpaintzoo"
    elif "<locals>" in class_path:
        problem = "is of a class within a function, which no file can name; define it at the top of a module"
    elif package == "__main__":
        problem = (
            "is of a class in a script, which nothing else can find; define it in a module that the script imports"
        )
    else:
        problem = (
            "is neither the zoo's nor of an imported module, and no file makes inpaintzoo import one; if it is your "
            f"own, import its module first, on the command line with --import {package or 'MODULE'}"
        )
    raise WeightsError(f"the class path {class_path} {problem}")


def _subclasses(of: type) -> Iterator[type[Rebuildable]]:
    subclass: type[Rebuildable]
    for subclass in of.__subclasses__():
        if subclass not in (Generator, Discriminator):
            yield subclass
        yield from _subclasses(subclass)


def _plain(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(_plain(item) for item in value)
    if isinstance(value, Rebuildable):  # a part of a network, such as a structure filter
        find_class(value.class_path)
        return all(_plain(item) for item in value.settings.values())
    return value is None or isinstance(value, (bool, int, float, str))


def _with_tuples(value: Any) -> Any:
    """Turn JSON's lists into tuples, and build the parts of a network."""
    if isinstance(value, dict):
        part = {name: _with_tuples(item) for name, item in value.get("init_args", {}).items()}
        return find_class(str(value.get("class_path", "")))(**part)
    return tuple(_with_tuples(item) for item in value) if isinstance(value, list) else value
