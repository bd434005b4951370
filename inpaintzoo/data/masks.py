"""Mask generators: which part of a picture is hole."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import torch
from torch import Tensor


class MaskGenerator(ABC):
    """Draws hole masks; every random choice comes from the `rng` handed in."""

    @abstractmethod
    def draw(self, height: int, width: int, rng: np.random.Generator, index: int) -> Tensor:
        """A `(1, height, width)` float32 mask, exactly 0 or 1, 1 = hole.

        Args:
            height: of the picture, in pixels.
            width: of the picture, in pixels.
            rng: seeded from (seed, epoch, index), so that a mask depends on nothing else.
            index: the picture's index, for sets whose masks are paired by order.
        """


class CentreSquare(MaskGenerator):
    """A square hole in the middle.

    Args:
        size: side in pixels; None takes half of each side (the papers' 128 of 256).
    """

    def __init__(self, size: int | None = None) -> None:
        if size is not None and size < 1:
            raise ValueError(f"CentreSquare: size must be at least 1 pixel, got {size}")
        self.size = size

    def draw(self, height: int, width: int, rng: np.random.Generator, index: int) -> Tensor:  # noqa: D102
        hole_height, hole_width = (height // 2, width // 2) if self.size is None else (self.size, self.size)
        if hole_height > height or hole_width > width:
            raise ValueError(f"CentreSquare: a hole of {self.size} pixels does not fit into {height}x{width}")
        top, left = (height - hole_height) // 2, (width - hole_width) // 2
        mask = torch.zeros(1, height, width)
        mask[:, top : top + hole_height, left : left + hole_width] = 1.0
        return mask
