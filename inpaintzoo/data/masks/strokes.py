"""Brush strokes: DeepFill v2's free-form masks and LaMa's thin, medium and thick ones."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from inpaintzoo.data.masks.base import MaskGenerator, float_range, hole_tensor, int_range
from inpaintzoo.types import DataError

Point = tuple[float, float]


class FreeForm(MaskGenerator):
    """Free-form brush strokes with the parameters of DeepFill v2 (https://arxiv.org/abs/1806.03589).

    Each stroke is a zigzag with round joints. The length of a segment is drawn from N(R, R/2) and clipped to [0, 2R],
    where R is an eighth of the diagonal. The mask is mirrored at random on either axis (the public code draws these
    flips but does not apply them). At 256x256, 15.3 % of the pixels are hole on average.

    Args:
        strokes: Fewest and most strokes.
        vertices: Fewest and most segments per stroke.
        width: Thinnest and thickest stroke, in pixels of a 256x256 picture; it scales with the diagonal.
        angle: Angle between zigzag and horizontal, in radians.
        angle_range: Largest deviation of either end of a stroke's angle range from `angle`, in radians.
    """

    def __init__(
        self,
        strokes: Sequence[int] = (1, 3),
        vertices: Sequence[int] = (4, 11),
        width: Sequence[float] = (12.0, 40.0),
        angle: float = 2 * math.pi / 5,
        angle_range: float = 2 * math.pi / 15,
    ) -> None:
        self.strokes = int_range("FreeForm", "strokes", strokes, least=1)
        self.vertices = int_range("FreeForm", "vertices", vertices, least=1)
        self.width = float_range("FreeForm", "width", width, least=1.0, most=math.inf)
        if not 0.0 <= angle_range <= math.pi:
            raise ValueError(f"FreeForm: angle_range must lie in [0, pi], got {angle_range}")
        self.angle = angle
        self.angle_range = angle_range

    def draw(self, height: int, width: int, rng: np.random.Generator, index: int) -> Tensor:  # noqa: D102
        canvas = Image.new("L", (width, height))
        brush = ImageDraw.Draw(canvas)
        scale = math.hypot(height, width) / math.hypot(256, 256)
        for _ in range(rng.integers(self.strokes[0], self.strokes[1], endpoint=True)):
            points = self._zigzag(height, width, rng)
            thickness = max(1, int(rng.uniform(self.width[0], self.width[1]) * scale))
            paint(brush, points, [thickness] * (len(points) - 1))
        mask = hole_tensor(canvas)
        mirrored = [axis for axis in (1, 2) if rng.random() < 0.5]
        return mask.flip(mirrored) if mirrored else mask

    def _zigzag(self, height: int, width: int, rng: np.random.Generator) -> list[Point]:
        count = int(rng.integers(self.vertices[0], self.vertices[1], endpoint=True))
        lowest = self.angle - rng.uniform(0.0, self.angle_range)
        highest = self.angle + rng.uniform(0.0, self.angle_range)
        angles = rng.uniform(lowest, highest, size=count)
        angles[::2] *= -1.0  # every second segment is mirrored: up, down, up
        radius = math.hypot(height, width) / 8
        lengths = rng.normal(radius, radius / 2, size=count).clip(0.0, 2 * radius)
        steps = np.stack([lengths * np.cos(angles), lengths * np.sin(angles)], axis=1)
        return walk((int(rng.integers(width)), int(rng.integers(height))), steps, height, width)


class SquareFreeForm(MaskGenerator):
    """Free-form strokes and a box at a random position: the training masks of the gated models.

    At 256x256, 31.2 % of the pixels are hole on average (19.2 % from the box alone).

    Args:
        brush: Draws the strokes; None uses `FreeForm()`.
        box: Side of the box, as a fraction of the picture's height and width.
        inset: Opposite edges move inwards by up to this fraction of the picture's side (published: 16 of 256).
    """

    def __init__(self, brush: FreeForm | None = None, box: float = 0.5, inset: float = 0.0625) -> None:
        if not 0.0 < box <= 1.0:
            raise ValueError(f"SquareFreeForm: box must lie in (0, 1], got {box}")
        if not 0.0 <= inset < box / 2:
            raise ValueError(f"SquareFreeForm: inset must lie in [0, box / 2) = [0, {box / 2:g}), got {inset}")
        self.brush = brush or FreeForm()
        self.box = box
        self.inset = inset

    def draw(self, height: int, width: int, rng: np.random.Generator, index: int) -> Tensor:  # noqa: D102
        rows, columns = self._span(height, rng), self._span(width, rng)
        mask = self.brush.draw(height, width, rng, index)
        mask[:, rows, columns] = 1.0
        return mask

    def _span(self, length: int, rng: np.random.Generator) -> slice:
        side = max(1, round(self.box * length))
        start = int(rng.integers(length - side + 1))
        inset = min(int(rng.integers(int(self.inset * length) + 1)), (side - 1) // 2)
        return slice(start + inset, start + side - inset)


@dataclasses.dataclass(frozen=True)
class LaMaParameters:
    """One row of LaMa's table, as published; sizes are in pixels at the row's resolution.

    Attributes:
        strokes: Fewest and most strokes.
        max_width: Limit for a stroke; the code draws `5 + [0, max_width)`.
        max_length: Limit for a segment; the code draws `10 + [0, max_length)`.
        boxes: Fewest and most boxes; None if there are no boxes.
        box_side: Shortest side, and exclusive upper limit of the longest.
        margin: Distance of boxes from the border.
    """

    strokes: tuple[int, int]
    max_width: int
    max_length: int
    boxes: tuple[int, int] | None = None
    box_side: tuple[int, int] = (0, 0)
    margin: int = 0


LAMA_TABLE: dict[tuple[str, int], LaMaParameters] = {
    ("thin", 256): LaMaParameters((4, 50), 10, 40),
    ("medium", 256): LaMaParameters((4, 5), 50, 100, (1, 5), (10, 50)),
    ("thick", 256): LaMaParameters((1, 5), 100, 200, (1, 3), (30, 150), margin=10),
    ("thin", 512): LaMaParameters((4, 70), 20, 100),
    ("medium", 512): LaMaParameters((4, 10), 100, 200, (1, 5), (30, 150)),
    ("thick", 512): LaMaParameters((1, 5), 250, 450, (1, 4), (30, 300), margin=10),
}
LAMA_BOX_CHANCE = 0.3 / 1.3  # strokes have the weight 1, boxes 0.3
LAMA_MAX_RATIO = 0.5
_LAMA_TRIES = 1000


class LaMaStrokes(MaskGenerator):
    """LaMa's test masks (https://arxiv.org/abs/2109.07161): strokes, or with probability 0.3 / 1.3 boxes.

    A mask that covers more than half of the picture is drawn again. Lengths are those of the table's resolution and
    scale with the picture's diagonal.

    Args:
        thickness: Row of the table.
        resolution: Use the published parameters for 256x256 or those for 512x512, which are more than twice as large.
    """

    def __init__(
        self, thickness: Literal["thin", "medium", "thick"] = "medium", resolution: Literal[256, 512] = 256
    ) -> None:
        if (thickness, resolution) not in LAMA_TABLE:
            raise ValueError(
                "LaMaStrokes: thickness must be thin, medium or thick and resolution 256 or 512, "
                f"got {thickness!r} and {resolution!r}"
            )
        self.thickness = thickness
        self.resolution = resolution

    def draw(self, height: int, width: int, rng: np.random.Generator, index: int) -> Tensor:  # noqa: D102
        table = LAMA_TABLE[self.thickness, self.resolution]
        for _ in range(_LAMA_TRIES):
            boxes = table.boxes is not None and rng.random() < LAMA_BOX_CHANCE
            mask = self._boxes(height, width, rng, table) if boxes else self._strokes(height, width, rng, table)
            if mask.mean() <= LAMA_MAX_RATIO:
                return mask
        raise DataError(
            f"LaMaStrokes: no {self.thickness} mask of at most {LAMA_MAX_RATIO:.0%} hole in {_LAMA_TRIES} tries "
            f"at {height}x{width}; use a larger picture or thinner strokes"
        )

    def _strokes(self, height: int, width: int, rng: np.random.Generator, table: LaMaParameters) -> Tensor:
        canvas = Image.new("L", (width, height))
        brush = ImageDraw.Draw(canvas)
        scale = self._scale(height, width)
        for stroke in range(rng.integers(table.strokes[0], table.strokes[1], endpoint=True)):
            segments = int(rng.integers(1, 5, endpoint=True))
            # The released code draws whole radians, 0.01 to 3.01, measured from the vertical.
            angles = (0.01 + rng.integers(4, size=segments)) * (-1.0 if stroke % 2 == 0 else 1.0)
            lengths = (10 + rng.integers(table.max_length, size=segments)) * scale
            widths = (5 + rng.integers(table.max_width, size=segments)) * scale
            steps = np.stack([lengths * np.sin(angles), lengths * np.cos(angles)], axis=1)
            points = walk((int(rng.integers(width)), int(rng.integers(height))), steps, height, width)
            paint(brush, points, [max(1, int(thickness)) for thickness in widths])
        return hole_tensor(canvas)

    def _boxes(self, height: int, width: int, rng: np.random.Generator, table: LaMaParameters) -> Tensor:
        assert table.boxes is not None
        mask = torch.zeros(1, height, width)
        scale = self._scale(height, width)
        for _ in range(rng.integers(table.boxes[0], table.boxes[1], endpoint=True)):
            rows, columns = (self._box_span(length, rng, table, scale) for length in (height, width))
            mask[:, rows, columns] = 1.0
        return mask

    @staticmethod
    def _box_span(length: int, rng: np.random.Generator, table: LaMaParameters, scale: float) -> slice:
        margin = min(int(table.margin * scale), (length - 1) // 2)
        side = round(int(rng.integers(table.box_side[0], table.box_side[1])) * scale)
        side = min(max(side, 1), length - 2 * margin)
        start = int(rng.integers(margin, length - margin - side, endpoint=True))
        return slice(start, start + side)

    def _scale(self, height: int, width: int) -> float:
        return math.hypot(height, width) / math.hypot(self.resolution, self.resolution)


def walk(start: Point, steps: np.ndarray, height: int, width: int) -> list[Point]:
    """The points reached from `start` by `(N, 2)` steps in x and y, each cut off at the border."""
    points = [start]
    for step_x, step_y in steps.tolist():
        x, y = points[-1]
        points.append((int(min(max(x + step_x, 0), width)), int(min(max(y + step_y, 0), height))))
    return points


def paint(brush: ImageDraw.ImageDraw, points: Sequence[Point], widths: Sequence[int]) -> None:
    """Draw a line of segments, each with its width in pixels and with round ends."""
    for start, end, width in zip(points[:-1], points[1:], widths, strict=True):
        brush.line((*start, *end), fill=255, width=width)
        radius = width / 2
        for x, y in (start, end):
            brush.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
