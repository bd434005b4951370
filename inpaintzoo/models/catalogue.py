"""The zoo's generators: size, cost and needs, read from the classes themselves."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import re
import sys
from collections.abc import Iterator
from typing import Any, get_args, get_type_hints

import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from inpaintzoo import models
from inpaintzoo.generator import Generator

SIDE = 256
# Arguments whose values are separate methods rather than settings of one.
_VARIANTS = ("variant", "stochastic")


@dataclasses.dataclass(frozen=True)
class ModelInfo:
    """One method.

    Attributes:
        name: as written in Python, such as `SPN(stochastic=True)`.
        class_path: as written in configs.
        parameters: number of the generator's parameters.
        macs: multiply-accumulates of one forward at 256x256, in convolutions, matrix products and attention.
        size_multiple: height and width must be multiples of this.
        smallest_side: height and width must be at least this.
        needs_labels: whether training needs label maps.
        stochastic: whether it samples different fills for the same hole.
        guidance: whether a guidance map can steer its patch attention.
        paper: URL of the paper, or its title.
    """

    name: str
    class_path: str
    parameters: int
    macs: int
    size_multiple: int
    smallest_side: int
    needs_labels: bool
    stochastic: bool
    guidance: bool
    paper: str


def list_models() -> list[ModelInfo]:
    """All generators of `inpaintzoo.models` and their variants, with default arguments otherwise."""
    classes = [getattr(models, name) for name in sorted(models.__all__)]
    with torch.random.fork_rng(devices=[]):  # some constructors still draw
        return [_info(kind, arguments) for kind in classes for arguments in _variants(kind)]


def _variants(kind: type[Generator]) -> list[dict[str, Any]]:
    parameters, hints = inspect.signature(kind).parameters, get_type_hints(kind.__init__)
    for name in _VARIANTS:
        if name in parameters:
            values = (False, True) if hints[name] is bool else get_args(hints[name])
            return [{} if value == parameters[name].default else {name: value} for value in values]
    return [{}]


def _info(kind: type[Generator], arguments: dict[str, Any]) -> ModelInfo:
    with FakeTensorMode():  # shapes only
        model = kind(**arguments).eval()
        parameters = sum(parameter.numel() for parameter in model.parameters())
        try:
            macs = _macs(model)
        except DataDependentOutputException:  # an iterative solver needs values
            macs = None
    written = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
    return ModelInfo(
        name=f"{kind.__name__}({written})" if written else kind.__name__,
        class_path=f"inpaintzoo.models.{kind.__name__}",
        parameters=parameters,
        macs=_macs(kind(**arguments).eval()) if macs is None else macs,
        size_multiple=model.size_multiple,
        smallest_side=max(model.smallest_side, model.size_multiple),
        needs_labels=model.needs_labels,
        stochastic=model.stochastic,
        guidance=model.accepts_guidance,
        paper=_paper(kind),
    )


def _macs(model: Generator) -> int:
    # No hole, so that solvers that only work on holes have nothing to do.
    image, mask = torch.zeros(1, 3, SIDE, SIDE), torch.zeros(1, 1, SIDE, SIDE)
    with _dense(model), torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(image, mask)
    return counter.get_total_flops() // 2


@contextlib.contextmanager
def _dense(model: Generator) -> Iterator[None]:
    """Compute attention with plain operators, which the counter knows."""
    parts = [part for part in model.modules() if hasattr(part, "engine")]
    before = [part.engine for part in parts]
    try:
        for part in parts:
            part.engine = "dense"  # type: ignore[assignment]
        yield
    finally:
        for part, engine in zip(parts, before, strict=True):
            part.engine = engine


def _paper(kind: type[Generator]) -> str:
    """The first URL in the docstring of the method's file, or else the first quoted title."""
    text = " ".join((sys.modules[kind.__module__].__doc__ or "").split())
    found = re.search(r"https://[^\s,)]+", text) or re.search(r'"[^"]+"', text)
    return found.group().strip('."') if found else ""
