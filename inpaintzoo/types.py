"""Types that all parts of the zoo share: the batch, a generator's output, closed choices, and the errors to catch.

Nothing heavy is imported here: torch takes seconds, and the commands' help needs the choices only.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Literal, TypedDict, TypeVar

if TYPE_CHECKING:
    from torch import Tensor

IGNORE = 255
"""Label of pixels that losses and metrics leave out."""

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, Split, Split] = ("train", "val", "test")

Polarity = Literal["white", "black"]
"""The colour of the hole in a mask."""
PolarityChoice = Literal["auto", "white", "black"]

Strategy = Literal["auto", "pad", "crop", "tile", "resize"]
"""How parts of a picture are shown to a network, see `inpaintzoo.predictor.planning`."""
Precision = Literal["float32", "bfloat16", "float16"]
"""Number format that a network computes in when it fills."""

FillName = Literal["mean", "diffusion", "biharmonic", "shiftmap", "fsr", "fsr_fast", "telea", "navier_stokes"]
"""A fill without a network; `inpaintzoo.fills.FILLS` has the classes."""
DEFAULT_FILL: FillName = "shiftmap"

OutputT = TypeVar("OutputT", bound="Output")


class _RequiredBatch(TypedDict):
    image: Tensor
    mask: Tensor


class Batch(_RequiredBatch, total=False):
    """One batch of training or evaluation pairs.

    Keys:
        image: `(B, 3, H, W)` float in [0, 1], the ground truth.
        mask: `(B, 1, H, W)` float, exactly 0 or 1, **1 = hole**.
        labels: `(B, H, W)` int64 class indices, 255 = ignore; present where the data has labels.
        tags: `(B, T)` float 0/1 image-level tags; present where the data has them.
        name: one image name per sample.
        index: `(B,)` int64, the sample's fixed position in its split; distributed evaluation relies on it.
    """

    labels: Tensor
    tags: Tensor
    name: list[str]
    index: Tensor


@dataclasses.dataclass
class Output:
    """The output of a generator; a method subclasses it to add what its losses read.

    Attributes:
        image: `(B, 3, H, W)` float in [0, 1], the raw prediction for the whole frame (not the composite).
    """

    image: Tensor

    def detach(self: OutputT) -> OutputT:
        """The same output with every tensor detached, including those in nested lists, tuples and dicts."""
        fields = {field.name: _detached(getattr(self, field.name)) for field in dataclasses.fields(self)}
        return dataclasses.replace(self, **fields)


@dataclasses.dataclass
class PyramidOutput(Output):
    """An output with smaller images in addition to the full-size one.

    Attributes:
        pyramid: `(B, 3, h, w)` images in [0, 1], finest first (PEN-Net and SRPNet: five, from half the size to a 32nd;
            with PEN-Net's paper setting the first is `image`).
    """

    pyramid: list[Tensor]


def _detached(value: Any) -> Any:
    from torch import Tensor  # here: errors and choices are needed by commands that do not use torch

    if isinstance(value, Tensor):
        return value.detach()
    if isinstance(value, dict):
        return {key: _detached(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        items = [_detached(item) for item in value]
        # A named tuple's constructor takes separate arguments.
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    return value


class InpaintzooError(Exception):
    """Base of the errors that tell the user what to change; the command line prints them without a traceback."""


class DataError(InpaintzooError, ValueError):
    """Images, masks, labels or manifests that cannot be used as they are."""


class WeightsError(InpaintzooError, RuntimeError):
    """A weight file that is missing, does not fit or must not be trusted."""


class ConfigError(InpaintzooError, ValueError):
    """Settings that contradict each other."""


class NonFiniteLossError(InpaintzooError, RuntimeError):
    """A loss became NaN or infinite; the message names the loss and the step."""
