"""Holes made of squares and rectangles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from inpaintzoo.data.masks.base import MaskGenerator, float_range, grow_hole, hole_tensor, int_range, resize_hole
from inpaintzoo.types import DataError


class CentreSquare(MaskGenerator):
    """A square hole in the middle.

    Args:
        size: Side in pixels; None uses half of each side (the papers' 128 of 256).
    """

    compact = True

    def __init__(self, size: int | None = None) -> None:
        if size is not None and size < 1:
            raise ValueError(f"CentreSquare: size must be at least 1 pixel, got {size}")
        self.size = size

    def draw(self, height: int, width: int, rng: np.random.Generator, index: int) -> Tensor:  # noqa: D102
        hole_height, hole_width = (height // 2, width // 2) if self.size is None else (self.size, self.size)
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
        if not 0.0 <= max_angle <= 45.0:
            raise ValueError(f"PENNetSquare: max_angle must lie in [0, 45] degrees, got {max_angle}")
        self.max_angle = max_angle

    def draw(self, height: int, width: int, rng: np.random.Generator, index: int) -> Tensor:  # noqa: D102
        side = max(1, min(height, width) // 2)
        top, left = rng.integers(height - side + 1), rng.integers(width - side + 1)
        frame = np.zeros((height, width), dtype=np.uint8)
        frame[top : top + side, left : left + side] = 255
        rotated = Image.fromarray(frame).rotate(rng.uniform(0.0, self.max_angle), expand=True)
        return resize_hole(grow_hole(hole_tensor(rotated), 1), height, width, "nearest")
