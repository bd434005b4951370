"""Which parts of a picture a generator is shown, and at what scale.

A network is shown parts with sides of at most `tile` pixels. The automatic choice:

1. pad: a picture that is no larger is shown whole;
2. crop: in a larger one, each hole is shown with a margin around it;
3. tile: if that is still too large and the hole is thin, it is filled tile by tile, so that every tile shows both
   sides of it;
4. resize: otherwise the hole with its margin is scaled down.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Literal

import numpy as np
from scipy import ndimage

from inpaintzoo.pictures.boxes import Box
from inpaintzoo.types import Strategy

CELL = 16  # pixels; holes closer than this count as one
MOST_GROUPS = 64  # more holes than this are treated as one spread-out hole
THIN = 0.25  # of a tile: how thick a hole may be for every tile to show both sides of it
ALL_HOLE = 0.95  # a tile with a larger part of hole shows too little to go by
CONTEXT = 256  # pixels: smallest side of a part, where the picture is large enough


@dataclasses.dataclass(frozen=True)
class Limits:
    """Sizes of parts, in pixels.

    Attributes:
        tile: longest side.
        overlap: shared by neighbouring tiles.
        multiple: sides are multiples of it where the picture is large enough; otherwise they are padded.
    """

    tile: int
    overlap: int
    multiple: int = 1


@dataclasses.dataclass(frozen=True)
class Part:
    """A part of the picture, and what to fill in it.

    Attributes:
        how: `pad` the whole picture, `crop` a part at full resolution, `tile` by tile, `resize` scaled down to a tile.
        box: where it is.
        hole: `(h, w)` bool, pixels to fill here; other holes in sight belong to other parts.
    """

    how: Literal["pad", "crop", "tile", "resize"]
    box: Box
    hole: np.ndarray


def plan(hole: np.ndarray, strategy: Strategy, limits: Limits) -> list[Part]:
    """Parts that together fill a hole.

    Args:
        hole: `(H, W)` bool, with a hole.
        strategy: `auto`, or one for everything; `tile` falls back to `resize` where a tile would be all hole.
        limits: sizes of the parts.
    """
    frame = (hole.shape[0], hole.shape[1])
    whole = Box(0, 0, *frame)
    fits = all(-(-side // limits.multiple) * limits.multiple <= limits.tile for side in frame)
    if strategy == "pad" or (strategy == "auto" and fits):
        return [Part("pad", whole, hole)]
    together = strategy in ("tile", "resize")
    groups = [_everything(hole, limits, frame)] if together else _groups(hole, limits, frame)
    return [_planned(group, hole, strategy, limits) for group in groups]


def _planned(group: _Group, hole: np.ndarray, strategy: Strategy, limits: Limits) -> Part:
    if strategy == "crop" or group.box.side <= limits.tile:
        return Part("crop", group.box, group.hole(hole, group.box))
    frame, half = (hole.shape[0], hole.shape[1]), group.inner.side // 2
    if strategy != "resize":
        box = _box_around(group.inner, min(half, limits.tile // 2), limits, frame)
        own = group.hole(hole, box)
        if _tileable(own, limits) if strategy == "tile" else _thickness(own) <= THIN * limits.tile:
            return Part("tile", box, own)
    box = _box_around(group.inner, half, limits, frame)
    return Part("resize", box, group.hole(hole, box))


def _tileable(hole: np.ndarray, limits: Limits) -> bool:
    """Whether every tile shows something to go by."""
    return all(hole[tile.slices].mean() <= ALL_HOLE for tile in tiles(hole.shape[0], hole.shape[1], limits))


def _thickness(hole: np.ndarray) -> float:
    """How thick a hole is at its thickest, in pixels, to about `CELL`."""
    known = _cells(~hole)
    return 2.0 * CELL * ndimage.distance_transform_cdt(~known).max() if known.any() else np.inf


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
    """Weights `(h, w)` of a tile: they rise from its inner edges over the overlap, and are 1 at the part's border."""
    rows = _ramp(tile.top, tile.bottom, height, overlap)
    return rows[:, None] * _ramp(tile.left, tile.right, width, overlap)


def _ramp(start: int, end: int, length: int, overlap: int) -> np.ndarray:
    places = np.arange(end - start, dtype=np.float32)
    rising = (places + 1) / (overlap + 1) if start > 0 else np.inf
    falling = (end - start - places) / (overlap + 1) if end < length else np.inf
    return np.minimum(np.minimum(rising, falling), np.ones_like(places))


# -- holes and their surroundings ------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _Group:
    """Holes that are filled together.

    Attributes:
        box: the crop that shows them.
        inner: the holes' own box.
        numbers: the numbers of the cells that belong to them; None for all.
        cells: the number of each cell of `CELL` pixels.
    """

    box: Box
    inner: Box
    numbers: frozenset[int] | None
    cells: np.ndarray

    def hole(self, hole: np.ndarray, box: Box) -> np.ndarray:
        """The group's own hole pixels in a box."""
        part = hole[box.slices]
        if self.numbers is None:
            return part
        rows, columns = (np.arange(part.start, part.stop) // CELL for part in box.slices)
        own = np.isin(self.cells, list(self.numbers))
        return part & own[rows[:, None], columns]


def _everything(hole: np.ndarray, limits: Limits, frame: tuple[int, int]) -> _Group:
    inner = _bounding_box(hole)
    return _Group(_close(inner, limits, frame), inner, None, np.empty((0, 0), dtype=np.int32))


def _groups(hole: np.ndarray, limits: Limits, frame: tuple[int, int]) -> list[_Group]:
    numbered, count = ndimage.label(_cells(hole), structure=np.ones((3, 3)))
    if count > MOST_GROUPS:
        return [_everything(hole, limits, frame)]
    groups = []
    for number, (rows, columns) in enumerate(ndimage.find_objects(numbered), start=1):
        rough = hole[rows.start * CELL : rows.stop * CELL, columns.start * CELL : columns.stop * CELL]
        inner = _bounding_box(rough).moved(rows.start * CELL, columns.start * CELL)
        groups.append(_Group(_close(inner, limits, frame), inner, frozenset([number]), numbered))
    return _merged(groups, limits, frame)


def _merged(groups: list[_Group], limits: Limits, frame: tuple[int, int]) -> list[_Group]:
    """Groups of holes; those in sight of each other are merged as long as they fit into a tile."""
    done: list[_Group] = []
    for group in groups:
        index = 0
        while index < len(done):
            other = done[index]
            inner = group.inner.union(other.inner)
            box = _close(inner, limits, frame)
            if group.box.overlaps(other.box) and box.side <= limits.tile:
                assert group.numbers is not None and other.numbers is not None
                group = _Group(box, inner, group.numbers | other.numbers, group.cells)
                del done[index]
                index = 0  # the larger group may be in sight of earlier ones
            else:
                index += 1
        done.append(group)
    return done


def _close(inner: Box, limits: Limits, frame: tuple[int, int]) -> Box:
    """The crop around a hole, with a margin of half its longer side, or down to an eighth of it to fit into a tile."""
    room = (limits.tile - inner.side) // 2
    return _box_around(inner, min(inner.side // 2, max(inner.side // 8, room, 1)), limits, frame)


def _box_around(inner: Box, margin: int, limits: Limits, frame: tuple[int, int]) -> Box:
    """A box with a margin, at least `CONTEXT` a side, and with sides that are multiples where the picture allows."""
    least, multiple = min(CONTEXT, limits.tile), limits.multiple
    height, width = (max(side + 2 * margin, least) for side in (inner.height, inner.width))
    return inner.around(-(-height // multiple) * multiple, -(-width // multiple) * multiple, frame)


def _bounding_box(hole: np.ndarray) -> Box:
    rows, columns = np.flatnonzero(hole.any(axis=1)), np.flatnonzero(hole.any(axis=0))
    return Box(int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)


def _cells(hole: np.ndarray) -> np.ndarray:
    """Whether any pixel of each cell is hole."""
    rows = np.logical_or.reduceat(hole, np.arange(0, hole.shape[0], CELL), axis=0)
    return np.logical_or.reduceat(rows, np.arange(0, hole.shape[1], CELL), axis=1)
