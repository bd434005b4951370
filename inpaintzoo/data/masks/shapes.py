"""Holes made of squares and rectangles."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from inpaintzoo.data.masks.base import MaskGenerator, check_angle, float_range, int_range, rotate_hole
from inpaintzoo.types import DataError


class CentreSquare(MaskGenerator):
    """A hole in the middle: a square, or a part of each side.

    Args:
        size: Side in pixels; None uses `share`.
        share: Share of the frame's area, in (0, 1]; the hole has the frame's proportions. None uses half of each side
            (the papers' 128 of 256).
    """

    compact = True

    def __init__(self, size: int | None = None, share: float | None = None) -> None:
        if size is not None and share is not None:
            raise ValueError(f"CentreSquare: give size or share, not both, got {size} and {share}")
        if size is not None and size < 1:
            raise ValueError(f"CentreSquare: size must be at least 1 pixel, got {size}")
        if share is not None and not 0.0 < share <= 1.0:
            raise ValueError(f"CentreSquare: share must lie in (0, 1], got {share}")
        self.size = size
        self.share = share

    def draw(self, height: int, width: int, rng: np.random.Generator, index: int) -> Tensor:  # noqa: D102
        if self.size is not None:
            hole_height = hole_width = self.size
        elif self.share is not None:
            part = math.sqrt(self.share)
            hole_height, hole_width = max(1, round(part * height)), max(1, round(part * width))
        else:
            hole_height, hole_width = height // 2, width // 2
        if hole_height > height or hole_width > width:
            raise DataError(
                f"CentreSquare: a hole of {self.size} pixels does not fit into {height}x{width}; lower its size, or "
                "use larger pictures"
            )
        top, left = (height - hole_height) // 2, (width - hole_width) // 2
        mask = torch.zeros(1, height, width)
        mask[:, top : top + hole_height, left : left + hole_width] = 1.0
        return mask


class RandomRectangles(MaskGenerator):
    """Rectangles of random size and position; they may overlap.

    `RandomRectangles(count=(1, 1), side=(0.5, 0.5))` is the papers' 128x128 square at a random position in 256x256.

    Args:
        count: Fewest and most rectangles.
        side: Shortest and longest side, as a fraction of the picture's height and width.
    """

    compact = True

    def __init__(self, count: Sequence[int] = (1, 4), side: Sequence[float] = (0.1, 0.4)) -> None:
        self.count = int_range("RandomRectangles", "count", count, least=1)
        self.side = float_range("RandomRectangles", "side", side, least=0.0, most=1.0)

    def draw(self, height: int, width: int, rng: np.random.Generator, index: int) -> Tensor:  # noqa: D102
        mask = torch.zeros(1, height, width)
        for _ in range(rng.integers(self.count[0], self.count[1], endpoint=True)):
            part_high, part_wide = rng.uniform(self.side[0], self.side[1], size=2)
            high, wide = max(1, round(part_high * height)), max(1, round(part_wide * width))
            top, left = rng.integers(height - high + 1), rng.integers(width - wide + 1)
            mask[:, top : top + high, left : left + wide] = 1.0
        return mask


class PENNetSquare(MaskGenerator):
    """A square at a random position in a rotated frame, as in the training of PEN-Net's public code.

    The square's side is half of the shorter side. The frame is rotated and enlarged to hold its corners, the hole is
    dilated by a 3x3 window, and the frame is shrunk to the picture's size: 12.9 to 25.8 % hole, 16.6 % on average.
    (PEN-Net's code also mirrors the square before rotating it, which changes nothing at a random position.)

    Args:
        max_angle: Largest rotation of the frame in degrees, 0 to 45.
    """

    compact = True

    def __init__(self, max_angle: float = 45.0) -> None:
        check_angle("PENNetSquare", max_angle)
        self.max_angle = max_angle

    def draw(self, height: int, width: int, rng: np.random.Generator, index: int) -> Tensor:  # noqa: D102
        side = max(1, min(height, width) // 2)
        top, left = rng.integers(height - side + 1), rng.integers(width - side + 1)
        mask = torch.zeros(1, height, width)
        mask[:, top : top + side, left : left + side] = 1.0
        return rotate_hole(mask, rng.uniform(0.0, self.max_angle), dilation=1, mode="nearest")
