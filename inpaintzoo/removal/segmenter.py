"""The contract of a segmenter: it opens a picture once, then answers what lies under clicks and in boxes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from torch import Tensor

from inpaintzoo.pictures.boxes import Box
from inpaintzoo.types import DataError

Point = tuple[int, int]
"""A pixel, counted from the left and from the top."""


@dataclasses.dataclass(frozen=True)
class Instance:
    """An object in a picture.

    Attributes:
        mask: `(H, W)` bool, at least one pixel.
        name: its class; empty if unknown.
        score: confidence in [0, 1].
    """

    mask: np.ndarray
    name: str = ""
    score: float = 1.0

    @property
    def box(self) -> Box:
        """The smallest box around it."""
        rows, columns = np.flatnonzero(self.mask.any(axis=1)), np.flatnonzero(self.mask.any(axis=0))
        return Box(int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)


@dataclasses.dataclass(frozen=True)
class Prompt:
    """What a user points at: one object.

    Attributes:
        at: clicks on it.
        away: clicks beside it.
        box: a box around it; clicks outside are ignored.

    Raises:
        ValueError: there is neither a click on the object nor a box.
    """

    at: tuple[Point, ...] = ()
    away: tuple[Point, ...] = ()
    box: Box | None = None

    def __post_init__(self) -> None:
        if not self.at and self.box is None:
            raise ValueError("a prompt needs a click on the object, or a box around it")

    def check(self, height: int, width: int) -> None:
        """Raise `DataError` if a click or the box lies outside the picture."""
        for x, y in (*self.at, *self.away):
            if not (0 <= x < width and 0 <= y < height):
                raise DataError(f"the click {x},{y} lies outside the picture, which is {width} wide and {height} high")
        if self.box is not None:
            top, left, bottom, right = self.box
            if not (0 <= top < bottom <= height and 0 <= left < right <= width):
                raise DataError(
                    f"the box {left},{top},{right},{bottom} does not fit: left,top,right,bottom must be in order and "
                    f"within the picture, which is {width} wide and {height} high"
                )


class Segmentation:
    """What a segmenter knows about one picture.

    Attributes:
        size: height and width.
        instances: all objects that it found without being pointed at them; empty for one that must be.
    """

    def __init__(self, size: tuple[int, int], instances: Sequence[Instance] = ()) -> None:
        self.size = size
        self.instances = list(instances)

    def select(self, prompt: Prompt) -> Instance | None:
        """The object that a user points at; None if there is nothing.

        Raises:
            DataError: a click or the box lies outside the picture.
        """
        prompt.check(*self.size)
        return self._select(prompt)

    def _select(self, prompt: Prompt) -> Instance | None:
        """Of the found instances, the smallest one under all clicks; for a box alone, the one that fits it best."""
        fitting = [
            instance
            for instance in self.instances
            if all(instance.mask[y, x] for x, y in prompt.at) and not any(instance.mask[y, x] for x, y in prompt.away)
        ]
        if prompt.box is None:
            return min(fitting, key=lambda instance: np.count_nonzero(instance.mask), default=None)
        overlaps = [(_overlap(instance.box, prompt.box), instance) for instance in fitting]
        overlap, best = max(overlaps, key=lambda pair: pair[0], default=(0.0, None))
        return best if overlap >= LEAST_OVERLAP else None


LEAST_OVERLAP = 0.3
"""Intersection over union that an instance's box must have with the user's."""


def _overlap(a: Box, b: Box) -> float:
    rows = max(0, min(a.bottom, b.bottom) - max(a.top, b.top))
    columns = max(0, min(a.right, b.right) - max(a.left, b.left))
    both = rows * columns
    return both / (a.height * a.width + b.height * b.width - both)


class Segmenter:
    """Finds the pixels of objects.

    Attributes:
        finds_all: whether it finds the objects of a picture, with their class, without being pointed at them.
    """

    finds_all: bool = False

    def open(self, image: Tensor) -> Segmentation:
        """Look at a picture, which may take long; what is asked afterwards is quick.

        Args:
            image: `(3, H, W)` in [0, 1].
        """
        raise NotImplementedError
