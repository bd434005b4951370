"""The contract of mask generators, and helpers that they share."""

from __future__ import annotations

import inspect
import math
import numbers
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from inpaintzoo.data.findings import Finding
from inpaintzoo.ops import resize_mask
from inpaintzoo.types import DataError

MaskResize = Literal["nearest", "any"]


class MaskGenerator(ABC):
    """Draws hole masks; every random choice comes from the `rng` it is given.

    A subclass keeps each constructor argument in an attribute of the same name: `recipe` relies on it.

    Attributes:
        compact: Whether all holes are squares or rectangles. A network trained on these alone copes badly with strokes
            and scratches.
    """

    compact: ClassVar[bool] = False

    @abstractmethod
    def draw(self, height: int, width: int, rng: np.random.Generator, index: int) -> Tensor:
        """A `(1, height, width)` float32 mask, exactly 0 or 1, 1 = hole.

        Args:
            height: height of the picture, in pixels.
            width: width of the picture, in pixels.
            rng: seeded from (seed, epoch, index), so that a mask depends on nothing else.
            index: the picture's index, for sets whose masks are paired by order.
        """

    def check(self) -> list[Finding]:
        """Findings that the user should see before these masks are used, such as a polarity that was guessed."""
        return []

    def for_pictures(self, names: Sequence[str]) -> MaskGenerator:
        """The generator for these pictures; one that pairs by name returns a copy that knows them.

        Args:
            names: the pictures' names, by index.

        Raises:
            DataError: A picture has no mask.
        """
        return self

    def mask_files(self) -> list[Path]:
        """The files that masks are read from, which are no pictures even if they lie among them."""
        return []

    @classmethod
    def recipe_name(cls) -> str:
        """The class's name in recipes: short for those of this package, else the class path."""
        short = cls.__module__.startswith(f"{__package__}.")
        return cls.__name__ if short else f"{cls.__module__}.{cls.__qualname__}"

    def recipe(self) -> dict[str, Any]:
        """Class and arguments in JSON types; `mask_from_recipe` builds an equal generator from it.

        Raises:
            DataError: An argument that is not kept in an attribute of its name, or that JSON cannot hold.
        """
        arguments = {}
        for name in inspect.signature(type(self)).parameters:
            try:
                arguments[name] = _plain(getattr(self, name))
            except (AttributeError, TypeError) as error:
                raise DataError(
                    f"{type(self).__name__}: its masks cannot be pinned, since argument {name!r} cannot be read back "
                    f"({error}); keep it in an attribute of the same name, as numbers, text, lists or mask generators"
                ) from error
        return {"class": self.recipe_name(), "args": arguments}


def hole_tensor(hole: np.ndarray | Image.Image) -> Tensor:
    """A `(1, H, W)` float32 mask from a two-dimensional array or grey image; whatever is not 0 is hole."""
    return torch.from_numpy((np.asarray(hole) != 0).astype(np.float32, order="C"))[None]


def grow_hole(mask: Tensor, pixels: int) -> Tensor:
    """Dilate a `(1, H, W)` mask by this many pixels on every side, with a square window."""
    if pixels == 0:
        return mask
    hole = mask[0].numpy() > 0.5
    return hole_tensor(_grow_rows(_grow_rows(hole, pixels).T, pixels).T)


def _grow_rows(hole: np.ndarray, pixels: int) -> np.ndarray:
    """Whether any pixel up to this many rows above or below is hole; a running sum, so all windows cost the same."""
    sums = np.pad(hole, ((pixels + 1, pixels), (0, 0))).cumsum(axis=0, dtype=np.int32)
    return sums[2 * pixels + 1 :] > sums[: -2 * pixels - 1]


def resize_hole(mask: Tensor, height: int, width: int, mode: MaskResize) -> Tensor:
    """Resize a `(1, H, W)` mask; still exactly 0 or 1.

    Args:
        mask: 1 = hole.
        height: New height in pixels.
        width: New width in pixels.
        mode: `nearest` takes the pixel at each cell's centre, which keeps the hole ratio; `any` makes a cell hole if it
            contains any hole pixel, so no hole is lost, but thin ones grow.
    """
    if mask.shape[-2:] == (height, width):
        return mask
    if mode == "any":
        return resize_mask(mask[None], (height, width), "any")[0]
    return F.interpolate(mask[None], size=(height, width), mode="nearest-exact")[0]


def check_angle(owner: str, max_angle: float) -> None:
    """Raise `ValueError` unless it is a largest rotation of 0 to 45 degrees."""
    if not 0.0 <= max_angle <= 45.0:
        raise ValueError(f"{owner}: max_angle must lie in [0, 45] degrees, got {max_angle}")


def rotate_hole(mask: Tensor, degrees: float, dilation: int, mode: MaskResize) -> Tensor:
    """Rotate a `(1, H, W)` mask in a frame enlarged to hold its corners, dilate it there, and shrink the frame back.

    The augmentation of masks in PEN-Net's public code.
    """
    frame = Image.fromarray((mask[0].numpy() * 255).astype(np.uint8)).rotate(degrees, expand=True)
    height, width = mask.shape[-2:]
    return resize_hole(grow_hole(hole_tensor(frame), dilation), height, width, mode)


def int_range(owner: str, name: str, value: Sequence[int], least: int, most: int = 10_000) -> tuple[int, int]:
    """Check a pair `(low, high)` of whole numbers, both ends included; YAML and JSON give lists."""
    if not _is_range(value, least, most) or any(int(end) != end for end in value):
        raise ValueError(
            f"{owner}: {name} must be two whole numbers (low, high) with {least} <= low <= high <= {most}, got {value}"
        )
    return int(value[0]), int(value[1])


def float_range(owner: str, name: str, value: Sequence[float], least: float, most: float) -> tuple[float, float]:
    """Check a pair `(low, high)` of numbers within `[least, most]`."""
    if not _is_range(value, least, most):
        raise ValueError(
            f"{owner}: {name} must be two numbers (low, high) with {least:g} <= low <= high <= {most:g}, got {value}"
        )
    return float(value[0]), float(value[1])


def _is_range(value: Any, least: float, most: float) -> bool:
    """Whether it is two finite numbers in order; a manifest may hold anything."""
    return (
        isinstance(value, (list, tuple))
        and len(value) == 2
        and all(isinstance(end, numbers.Real) and abs(end) != math.inf for end in value)
        and least <= value[0] <= value[1] <= most
    )


def _plain(value: Any) -> Any:
    """The value in JSON types, nested generators as their recipes."""
    if isinstance(value, MaskGenerator):
        return value.recipe()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"{type(value).__name__} is not a JSON type")
