"""All public generators, discriminators, objectives, losses, masks and metrics, and what the tests build them with.

`test_contract.py` and `test_matrix.py` run over these tables. A new class joins by being public; it needs a line in
`NEEDS` only where the defaults do not fit it.
"""

from __future__ import annotations

import inspect
from typing import Any

from torch import nn

from inpaintzoo import (
    Discriminator,
    Generator,
    Objective,
    discriminators,
    losses,
    metrics,
    models,
    objectives,
    teachers,
)
from inpaintzoo.data import masks
from inpaintzoo.losses import Loss
from inpaintzoo.metrics import Metric


def public(module: Any, base: type) -> dict[str, type]:
    """The subclasses of `base` that a module makes public, by name."""
    listed = getattr(module, "__all__", [name for name in vars(module) if not name.startswith("_")])
    found = {name: getattr(module, name) for name in sorted(listed) if name != base.__name__}
    return {name: kind for name, kind in found.items() if inspect.isclass(kind) and issubclass(kind, base)}


GENERATORS = public(models, Generator)
DISCRIMINATORS = public(discriminators, Discriminator)
OBJECTIVES = public(objectives, Objective)
LOSSES = public(losses, Loss)
MASKS = public(masks, masks.MaskGenerator)
# The kinds of metric are public too; they have no definition.
METRICS = {name: kind for name, kind in public(metrics, Metric).items() if kind.definition is not Metric.definition}

# What keeps networks small and offline: given to each generator, discriminator and loss that takes such an argument.
SMALL = {"width": 4, "hidden": 4, "blocks": 1, "growth": 4, "dense_blocks": 1, "weights": None}

# What a class needs beyond that: other `arguments`; for a generator also `losses` without which some of its parameters
# would learn nothing (the default is an L1), and the `size` of its pictures in pixels (64).
PYRAMID = {"HoleL1": {}, "PyramidL1": {}}
PRIORS = {"L1": {}, "PriorDistillation": {"teacher": {"class_path": "RandomTeacher"}}}
NEEDS: dict[str, dict[str, Any]] = {
    "Diversity": {"arguments": {"network": teachers.EdgeTeacher()}},
    "LimitedMask": {"arguments": {"mask": masks.CentreSquare(), "ratio": (0.1, 0.5)}},
    "MixedMasks": {"arguments": {"masks": [masks.CentreSquare(), masks.FreeForm()]}},
    "PENNet": {"arguments": {"width": 8}, "losses": PYRAMID},
    "PerceptualDiversity": {"arguments": {"network": teachers.EdgeTeacher()}},
    "PyramidGenerator": {"losses": {"L1": {}, "PyramidL1": {}, "StructureL1": {}}},
    "SGENet": {"losses": {"L1": {"which": "pyramid"}, "SegmentationLoss": {}}},
    "SPL": {"losses": PRIORS},
    "SPN": {"losses": PRIORS},
    "SRPNet": {"arguments": {"width": 8}, "losses": PYRAMID, "size": 128},
}


def arguments_of(kind: type) -> dict[str, Any]:
    """The arguments with which a class is tried."""
    taken = inspect.signature(kind).parameters if issubclass(kind, nn.Module) else ()
    small = {name: value for name, value in SMALL.items() if name in taken}
    return small | NEEDS.get(kind.__name__, {}).get("arguments", {})


def need(generator: str, what: str) -> Any:
    """A generator's picture size or losses."""
    return NEEDS.get(generator, {}).get(what, {"size": 64, "losses": {"L1": {}}}[what])
