"""The canvas: colour and parts, painted together through one coverage mask.

World coordinates run from 0 to 1 over a square, x to the right and y down; a non-square picture is a window onto the
square. Shapes are rasterised at four times the resolution and averaged, which smooths their edges; a pixel belongs to
a part that covers at least half of it.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from inpaintzoo.scenes import noise
from inpaintzoo.scenes.parts import PART_IDS

ColourLike = np.ndarray | Sequence[float]

_OVERSAMPLING = 4
_WINDOW_CENTRE = 0.6  # a wide picture shows the square a little below its middle, where the horizon is
_FAR = 1.0e4  # pixels; corners further out are clamped, which does not show


@dataclasses.dataclass
class Coverage:
    """Coverage over a box of the canvas.

    Attributes:
        rows: pixel rows of the box.
        columns: pixel columns of the box.
        cover: `(rows, columns)` float32 in [0, 1], how much of each pixel is covered.
    """

    rows: slice
    columns: slice
    cover: np.ndarray


class Canvas:
    """A picture being painted.

    Args:
        height: height in pixels.
        width: width in pixels.

    Attributes:
        image: `(H, W, 3)` float32, sRGB from 0 to 1.
        parts: `(H, W)` uint8 part numbers.
        notes: tags that cannot be read off the parts.
        x: `(1, W)` world positions of the pixel centres.
        y: `(H, 1)` world positions of the pixel centres.
        unit: pixels per world unit.
    """

    def __init__(self, height: int, width: int) -> None:
        self.height, self.width = height, width
        self.unit = max(height, width)
        self.left = (1.0 - width / self.unit) * 0.5
        self.top = (1.0 - height / self.unit) * _WINDOW_CENTRE
        self.image = np.zeros((height, width, 3), dtype=np.float32)
        self.parts = np.zeros((height, width), dtype=np.uint8)
        self.notes: set[str] = set()
        self.x = ((np.arange(width, dtype=np.float32) + 0.5) / self.unit + self.left)[None, :]
        self.y = ((np.arange(height, dtype=np.float32) + 0.5) / self.unit + self.top)[:, None]

    def row(self, y: float) -> int:
        """The pixel row at world height `y`, clamped to the picture."""
        return int(np.clip(round((y - self.top) * self.unit), 0, self.height))

    def noise(
        self,
        kind: noise.NoiseKind,
        rng: np.random.Generator,
        scale: tuple[float, float] = (1.0, 1.0),
        patch: Coverage | None = None,
        offset: tuple[float, float] = (0.0, 0.0),
    ) -> np.ndarray:
        """A noise field over the canvas or a patch of it; the same `rng` state gives the same field at any resolution.

        Args:
            kind: the spectrum.
            rng: draws the place in the texture.
            scale: texture periods per world unit, down and across; at most 1.
            patch: where; None is everywhere.
            offset: moves the field, in world units down and across.
        """
        rows, columns = (patch.rows, patch.columns) if patch else (slice(0, self.height), slice(0, self.width))
        shape = (rows.stop - rows.start, columns.stop - columns.start)
        extent = (min(shape[0] / self.unit * scale[0], 1.0), min(shape[1] / self.unit * scale[1], 1.0))
        top, left = rows.start / self.unit + self.top + offset[0], columns.start / self.unit + self.left + offset[1]
        return noise.crop(kind, rng, shape, extent, (top * scale[0], left * scale[1]))

    def cover(
        self,
        polygons: Iterable[np.ndarray] = (),
        ellipses: np.ndarray | None = None,
        blur: float = 0.0,
    ) -> Coverage | None:
        """Rasterise shapes into one patch, or None if they all lie outside the picture.

        Args:
            polygons: `(n, 2)` arrays of world corners (or one `(m, n, 2)` array).
            ellipses: `(n, 4)` world x, y and radii in x and y.
            blur: radius of a soft edge, in world units.
        """
        corners, ends = self._corners(polygons)
        ovals = np.zeros((0, 2, 2))
        if ellipses is not None and len(ellipses):
            reach = ellipses[:, None, 2:] * np.array([[-1.0], [1.0]])
            ovals = self._pixels(ellipses[:, None, :2] + reach)
        points = np.concatenate([corners, ovals.reshape(-1, 2)])
        box = self._box(points, 2.0 * blur * self.unit) if len(points) else None
        if box is None:
            return None
        rows, columns = box
        mask = self._rasterise(corners, ends, ovals, rows, columns)
        if blur > 0.0:
            mask = mask.filter(ImageFilter.BoxBlur(blur * self.unit)).filter(ImageFilter.BoxBlur(blur * self.unit))
        return Coverage(rows, columns, np.asarray(mask).astype(np.float32) * np.float32(1 / 255))

    def paint(
        self, patch: Coverage | None, colour: ColourLike, part: str | None = None, alpha: float | np.ndarray = 1.0
    ) -> None:
        """Paint a colour over a patch, and set the part of pixels that are at least half covered.

        Args:
            patch: where; None paints nothing.
            colour: one colour, or an array that broadcasts against `(rows, columns, 3)` of the patch.
            part: name of the part; None changes the colour only (shadow, light, mist).
            alpha: opacity of the colour; it does not affect parts.
        """
        if patch is None:
            return
        target = self.image[patch.rows, patch.columns]
        weight = (patch.cover * alpha)[..., None] if not np.isscalar(alpha) or alpha != 1.0 else patch.cover[..., None]
        target += (np.asarray(colour, dtype=np.float32) - target) * weight.astype(np.float32, copy=False)
        if part is not None:
            self.parts[patch.rows, patch.columns][patch.cover >= 0.5] = PART_IDS[part]

    def multiply(self, patch: Coverage | None, factor: ColourLike, only: np.ndarray | None = None) -> None:
        """Darken or tint a patch; `only` limits it to those part numbers (shadows fall on the ground only)."""
        if patch is None:
            return
        cover = patch.cover
        if only is not None:
            cover = cover * np.isin(self.parts[patch.rows, patch.columns], only)
        factor = np.asarray(factor, dtype=np.float32)
        self.image[patch.rows, patch.columns] *= 1.0 + (factor - 1.0) * cover[..., None]

    def add(self, patch: Coverage | None, colour: ColourLike) -> None:
        """Add light to a patch."""
        if patch is not None:
            self.image[patch.rows, patch.columns] += np.asarray(colour, dtype=np.float32) * patch.cover[..., None]

    def below(self, profile: np.ndarray, bottom: float = 1.0) -> Coverage | None:
        """The region from a line, given as a world height for each column, down to `bottom`; its edge is exact."""
        top, end = self.row(float(profile.min()) - 1.0 / self.unit), self.row(bottom)
        if end <= top:
            return None
        rows = slice(top, end)
        cover = np.clip((self.y[rows] - profile[None, :]) * self.unit + 0.5, 0.0, 1.0)
        return Coverage(rows, slice(0, self.width), cover.astype(np.float32, copy=False))

    def disc(self, x: float, y: float, radius: float, power: float = 2.0) -> Coverage | None:
        """A soft glow: coverage falls from 1 at the centre to 0 at `radius`."""
        corners = self._pixels(np.array([[x - radius, y - radius], [x + radius, y + radius]]))
        box = self._box(corners, 0.0)
        if box is None:
            return None
        rows, columns = box
        distance = np.hypot(self.x[:, columns] - x, self.y[rows] - y) / radius
        return Coverage(rows, columns, (np.clip(1.0 - distance, 0.0, 1.0) ** power).astype(np.float32))

    def _pixels(self, points: np.ndarray) -> np.ndarray:
        moved = (np.asarray(points, dtype=np.float64) - (self.left, self.top)) * self.unit
        return np.clip(moved, -_FAR, _FAR)

    def _corners(self, polygons: Iterable[np.ndarray]) -> tuple[np.ndarray, list[int]]:
        """All corners in pixels, stacked, and where each polygon ends; a batch's polygons out of sight are dropped."""
        if isinstance(polygons, np.ndarray) and polygons.ndim == 3 and len(polygons):
            corners = self._pixels(polygons)
            low, high = corners.min(axis=1), corners.max(axis=1)
            inside = ((high > 0.0) & (low < (self.width, self.height))).all(axis=1)
            corners = corners[inside]
            return corners.reshape(-1, 2), list(range(corners.shape[1], corners[..., 0].size + 1, corners.shape[1]))
        outlines = list(polygons)
        if not outlines:
            return np.zeros((0, 2)), []
        return self._pixels(np.concatenate(outlines)), list(itertools.accumulate(map(len, outlines)))

    def _box(self, points: np.ndarray, margin: float) -> tuple[slice, slice] | None:
        low, high = points.min(axis=0) - margin, points.max(axis=0) + margin
        x0, y0 = max(int(np.floor(low[0])), 0), max(int(np.floor(low[1])), 0)
        x1, y1 = min(int(np.ceil(high[0])) + 1, self.width), min(int(np.ceil(high[1])) + 1, self.height)
        return None if x1 <= x0 or y1 <= y0 else (slice(y0, y1), slice(x0, x1))

    @staticmethod
    def _rasterise(corners: np.ndarray, ends: list[int], ovals: np.ndarray, rows: slice, columns: slice) -> Image.Image:
        n = _OVERSAMPLING
        mask = Image.new("L", ((columns.stop - columns.start) * n, (rows.stop - rows.start) * n))
        draw = ImageDraw.Draw(mask)
        origin = (columns.start, rows.start)
        flat, start = ((corners - origin) * n - 0.5).ravel().tolist(), 0
        for end in ends:
            draw.polygon(flat[2 * start : 2 * end], fill=255)
            start = end
        for oval in ((ovals - origin) * n - 0.5).reshape(-1, 4).tolist():
            draw.ellipse(oval, fill=255)
        return mask.reduce(n)


def line(points: np.ndarray, widths: float | np.ndarray) -> np.ndarray:
    """The polygon of a stroke through `(n, 2)` points, `widths` wide (one number, or one for each point)."""
    points = np.asarray(points, dtype=np.float64)
    along = np.gradient(points, axis=0)
    across = np.stack([-along[:, 1], along[:, 0]], axis=1) / np.maximum(np.hypot(*along.T), 1e-9)[:, None]
    half = 0.5 * np.broadcast_to(np.asarray(widths, dtype=np.float64), len(points))[:, None]
    return np.concatenate([points + across * half, (points - across * half)[::-1]])
