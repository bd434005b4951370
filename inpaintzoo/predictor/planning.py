"""Which parts of a picture a generator is shown, and at what scale.

A network is shown parts of at most `tile` pixels a side. Automatic choice:

1. a picture that is no larger is shown whole (padded);
2. of a larger one, each hole is shown with a margin around it (crop);
3. a hole whose part would be larger still is filled tile by tile if it is thin, so that every tile shows much that is
   known (tile);
4. and shown scaled down otherwise (resize).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Literal

import numpy as np
from scipy import ndimage

from inpaintzoo.predictor.boxes import Box

Strategy = Literal["auto", "pad", "crop", "tile", "resize"]

CELL = 16  # pixels; holes closer than this count as one
MOST_GROUPS = 64  # more holes than this are treated as one spread-out hole
THIN = 0.5  # part of a tile that may be hole
ALL_HOLE = 0.95  # part of a tile from which on it shows nothing to go by
CONTEXT = 256  # pixels a side that a part has at least, where the picture has them


@dataclasses.dataclass(frozen=True)
class Limits:
    """What parts may look like.

    Attributes:
        tile: longest side, in pixels.
        overlap: of neighbouring tiles, in pixels.
        multiple: sides are multiples of it where the picture is large enough; elsewhere they are padded.
    """

    tile: int
    overlap: int
    multiple: int = 1


@dataclasses.dataclass(frozen=True)
class Part:
    """A part of the picture, and what is to be filled in it.

    Attributes:
        how: `pad` whole picture, `crop` a part as it is, `tile` by tiles, `resize` scaled down to a tile.
        box: the part.
        hole: `(h, w)` bool, pixels to fill here; other holes in sight are filled by other parts.
    """

    how: Literal["pad", "crop", "tile", "resize"]
    box: Box
    hole: np.ndarray


def plan(hole: np.ndarray, strategy: Strategy, limits: Limits) -> list[Part]:
    """Parts that together fill a hole.

    Args:
        hole: `(H, W)` bool, with a hole.
        strategy: `auto`, or one for everything; `tile` falls back to `resize` where a tile would be all hole.
        limits: of the parts.
    """
    frame = (hole.shape[0], hole.shape[1])
    whole = Box(0, 0, *frame)
    fits = all(-(-side // limits.multiple) * limits.multiple <= limits.tile for side in frame)
    if strategy == "pad" or (strategy == "auto" and fits):
        return [Part("pad", whole, hole)]
    if strategy in ("tile", "resize"):
        box = _window(_bounds(hole), limits, frame)
        return [_part(box, hole[box.slices], strategy, limits)]
    return [_part(group.box, group.hole(hole), strategy, limits) for group in _groups(hole, limits, frame)]


def _part(box: Box, hole: np.ndarray, strategy: Strategy, limits: Limits) -> Part:
    if strategy == "crop" or box.side <= limits.tile:
        return Part("crop", box, hole)
    if strategy == "resize":
        return Part("resize", box, hole)
    most = ALL_HOLE if strategy == "tile" else THIN
    thin = all(hole[tile.slices].mean() <= most for tile in tiles(box.height, box.width, limits))
    return Part("tile" if thin else "resize", box, hole)


def tiles(height: int, width: int, limits: Limits) -> Iterator[Box]:
    """Overlapping tiles of equal size that cover a part."""
    side_y, side_x = min(limits.tile, height), min(limits.tile, width)
    for top in _starts(height, side_y, limits.overlap):
        for left in _starts(width, side_x, limits.overlap):
            yield Box(top, left, top + side_y, left + side_x)


def _starts(length: int, side: int, overlap: int) -> list[int]:
    count = 1 + -(-(length - side) // max(1, side - overlap))
    return np.linspace(0, length - side, count).round().astype(int).tolist()


def feather(tile: Box, height: int, width: int, overlap: int) -> np.ndarray:
    """Weights `(h, w)` of a tile: rising from its inner edges over the overlap, 1 along the part's own border."""
    rows = _ramp(tile.top, tile.bottom, height, overlap)
    return rows[:, None] * _ramp(tile.left, tile.right, width, overlap)


def _ramp(start: int, end: int, length: int, overlap: int) -> np.ndarray:
    places = np.arange(end - start, dtype=np.float32)
    rising = (places + 1) / (overlap + 1) if start > 0 else np.inf
    falling = (end - start - places) / (overlap + 1) if end < length else np.inf
    return np.minimum(np.minimum(rising, falling), np.ones_like(places))


# -- holes with what is around them ----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _Group:
    """Holes that are filled together.

    Attributes:
        box: what is shown.
        inner: the holes' own box.
        numbers: of the cells that belong to them; None for all.
        cells: number of each cell of `CELL` pixels.
    """

    box: Box
    inner: Box
    numbers: frozenset[int] | None
    cells: np.ndarray

    def hole(self, hole: np.ndarray) -> np.ndarray:
        """The group's own hole pixels in its box."""
        part = hole[self.box.slices]
        if self.numbers is None:
            return part
        rows, columns = (np.arange(part.start, part.stop) // CELL for part in self.box.slices)
        own = np.isin(self.cells, list(self.numbers))
        return part & own[rows[:, None], columns]


def _groups(hole: np.ndarray, limits: Limits, frame: tuple[int, int]) -> list[_Group]:
    cells = _cells(hole)
    numbered, count = ndimage.label(cells, structure=np.ones((3, 3)))
    if count > MOST_GROUPS:
        inner = _bounds(hole)
        return [_Group(_window(inner, limits, frame), inner, None, numbered)]
    groups = []
    for number, found in enumerate(ndimage.find_objects(numbered), start=1):
        rows, columns = found
        rough = Box(
            rows.start * CELL, columns.start * CELL, min(rows.stop * CELL, frame[0]), min(columns.stop * CELL, frame[1])
        )
        inner = _bounds(hole[rough.slices]).moved(rough.top, rough.left)
        groups.append(_Group(_window(inner, limits, frame), inner, frozenset([number]), numbered))
    return _merged(groups, limits, frame)


def _merged(groups: list[_Group], limits: Limits, frame: tuple[int, int]) -> list[_Group]:
    """Holes in sight of each other are filled together, as long as that fits into a tile."""
    done: list[_Group] = []
    for group in groups:
        index = 0
        while index < len(done):
            other = done[index]
            inner = group.inner.union(other.inner)
            box = _window(inner, limits, frame)
            if group.box.overlaps(other.box) and box.side <= limits.tile:
                assert group.numbers is not None and other.numbers is not None
                group = _Group(box, inner, group.numbers | other.numbers, group.cells)
                del done[index]
                index = 0  # the larger one may be in sight of those that were passed
            else:
                index += 1
        done.append(group)
    return done


def _window(inner: Box, limits: Limits, frame: tuple[int, int]) -> Box:
    """What is shown for a hole: half of its longer side around it, less (an eighth) if only that fits into a tile."""
    room = (limits.tile - inner.side) // 2
    margin = min(inner.side // 2, max(inner.side // 8, room, 1))
    least = min(CONTEXT, limits.tile)
    height, width = (max(side + 2 * margin, least) for side in (inner.height, inner.width))
    multiple = limits.multiple
    return inner.around(-(-height // multiple) * multiple, -(-width // multiple) * multiple, frame)


def _bounds(hole: np.ndarray) -> Box:
    rows, columns = np.flatnonzero(hole.any(axis=1)), np.flatnonzero(hole.any(axis=0))
    return Box(int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)


def _cells(hole: np.ndarray) -> np.ndarray:
    """Whether any pixel of each cell is hole."""
    rows = np.logical_or.reduceat(hole, np.arange(0, hole.shape[0], CELL), axis=0)
    return np.logical_or.reduceat(rows, np.arange(0, hole.shape[1], CELL), axis=1)
