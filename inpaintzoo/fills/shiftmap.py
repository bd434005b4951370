"""Shift-map: the hole is filled with pixels of the same picture, copied in large pieces.

K. He and J. Sun, "Statistics of patch offsets for image completion", ECCV 2012, as OpenCV computes it: similar patches
of the known part lie at a few dominant offsets from each other; a graph cut gives every hole pixel one of them.

OpenCV sees a window around each hole, in CIELab as its documentation recommends. A fourth channel carries each pixel's
place, too small to count as a colour: it tells which pixel was copied. The copy itself is made here, from the picture
with all its bits, and from the full picture where the search was made at reduced size.
"""

from __future__ import annotations

import warnings

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from inpaintzoo.fills.opencv import marched, xphoto_inpaint
from inpaintzoo.fills.smooth import fill_each, window_around

MARGIN = 64  # pixels around a hole that are searched, at least
APART = 64  # pixels; holes closer than this share a window
MOST_WINDOWS = 16  # more holes than this share one
# The search takes about 0.2 ms for each hole pixel and 10 us for each pixel of the window.
MOST_HOLE = 25_000  # pixels
MOST_SEARCHED = 256_000  # pixels
_LEAST_SIDE = 32  # pixels; OpenCV finds nothing in smaller windows, and crashes below 10
_PASSES = 8
_PLACE = np.float32(2.0**-40)  # a power of two: places come back exactly


@torch.no_grad()
def shiftmap_fill(image: Tensor, mask: Tensor) -> Tensor:
    """Each hole filled with pixels copied from around it, so that textures go on.

    A few seconds a hole. A hole of more than 25 000 pixels is searched at reduced size, and so are windows of more than
    256 000; the pixels are copied at full size. What is not found is filled by `telea_fill`. Both are said in a
    warning.

    Args:
        image: `(B, 3, H, W)` in [0, 1]; whatever lies in the hole is ignored.
        mask: `(B, 1, H, W)`, exactly 0 or 1, 1 = hole.

    Returns:
        `(B, 3, H, W)`, the known pixels bit-identical; a picture that is all hole becomes mid-grey. It carries no
        gradient.

    Raises:
        InpaintzooError: OpenCV is installed without its `xphoto`.
    """
    return fill_each(image, mask, _copied)


def _copied(picture: np.ndarray, hole: np.ndarray) -> np.ndarray:
    filled, left = picture.copy(), hole.copy()
    near = ndimage.maximum_filter(hole, APART)
    numbered, count = ndimage.label(near, structure=np.ones((3, 3)))
    for number in range(1, count + 1) if count <= MOST_WINDOWS else [None]:
        own = hole if number is None else hole & (numbered == number)
        rows, columns = window_around(own, 0)
        box = window_around(own, max(MARGIN, rows.stop - rows.start, columns.stop - columns.start))
        _copy_within(filled[box], left[box], own[box])
    if left.any():
        _warn("there is nothing to copy to some of the hole; Telea's method filled that")
        filled = marched(filled, left)
    return filled


def _copy_within(picture: np.ndarray, left: np.ndarray, own: np.ndarray) -> None:
    """Fill a hole `own` of a window in place, as far as there is something to copy, and take that out of `left`."""
    factor = 1
    while True:
        cells = _cells(left, factor)
        # OpenCV adds two pixels on each side of a hole to what it fills.
        few = ndimage.maximum_filter(cells, 5).sum() <= MOST_HOLE and cells.size <= MOST_SEARCHED
        if few or cells.all():
            break
        factor += 1
    if factor > 1:
        _warn("the hole is large, so the pixels to copy were searched at reduced size")
    padded = np.pad(picture, (*(_padding(side, factor) for side in left.shape), (0, 0)), mode="edge")
    height, width = cells.shape
    found = _sources(padded.reshape(height, factor, width, factor, 3).mean(axis=(1, 3)), cells)
    rows, columns = np.nonzero(own)
    source = found[rows // factor, columns // factor]
    rows, columns, source = rows[source >= 0], columns[source >= 0], source[source >= 0]
    from_row, from_column = np.divmod(source, width)
    picture[rows, columns] = padded[from_row * factor + rows % factor, from_column * factor + columns % factor]
    left[rows, columns] = False


def _cells(hole: np.ndarray, factor: int) -> np.ndarray:
    """Which cells of `factor` by `factor` pixels have any hole in them."""
    padded = np.pad(hole, [_padding(side, factor) for side in hole.shape], mode="edge")
    return np.asarray(padded.reshape(padded.shape[0] // factor, factor, -1, factor).any(axis=(1, 3)))


def _padding(side: int, factor: int) -> tuple[int, int]:
    return 0, -side % factor


def _sources(picture: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """Which pixel to copy to each pixel of a hole `(H, W)`, counted row by row; -1 where none was found."""
    import cv2  # here: few commands need it

    places = np.arange(hole.size).reshape(hole.shape)
    places[hole] = -1
    if min(hole.shape) < _LEAST_SIDE:
        return places
    colours = cv2.cvtColor(picture.astype(np.float32), cv2.COLOR_RGB2Lab)
    for _ in range(_PASSES):  # one pass fills what is within reach of an offset
        left = places < 0
        if not left.any() or left.all():
            break
        colours[left] = 0
        source = np.dstack([colours, (places + 1).astype(np.float32) * _PLACE])
        filled = np.zeros_like(source)
        xphoto_inpaint(source, left, filled, "INPAINT_SHIFTMAP")
        places[left] = np.rint(filled[..., 3][left] / _PLACE).astype(int) - 1
        if (places < 0).sum() == left.sum():
            break
        colours[left] = filled[..., :3][left]
    return places


def _warn(text: str) -> None:
    warnings.warn(f"shift-map: {text}", UserWarning, stacklevel=2)
