"""Holes and guidance maps, read from files, Pillow images, arrays and tensors."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy import ndimage
from scipy.spatial import ConvexHull
from torch import Tensor

from inpaintzoo.data.masks.base import grow_hole, hole_tensor, resize_hole
from inpaintzoo.data.masks.reading import (
    Polarity,
    PolarityChoice,
    check_brightest,
    check_polarity,
    has_varied_alpha,
    mask_levels,
    rarer_colour,
    sample_positions,
)
from inpaintzoo.pictures.images import grey_levels, open_image, orientation_of, turn
from inpaintzoo.pictures.picture import Picture, PictureLike
from inpaintzoo.types import DataError

_SKETCH = 512  # pixels a side that show the shape of a hole
_MOST_PIECES = 100  # more are specks or scratches
_SAME_SHAPE = 0.01  # how much proportions may differ


def find_hole(
    mask: PictureLike | None, picture: Picture, polarity: PolarityChoice, grow: int, note: Callable[[str], None]
) -> np.ndarray:
    """The hole as `(H, W)` bool, upright, at the picture's size.

    Args:
        mask: a mask, see `Predictor`; None: the picture's own transparent pixels.
        picture: the picture it belongs to.
        polarity: the colour of the hole.
        grow: pixels by which it is enlarged on every side.
        note: called with a sentence about anything that the user may not expect.

    Raises:
        DataError: the mask cannot be read or does not fit, or it is unclear which colour is the hole.
    """
    check_polarity(polarity)
    if grow < 0 or int(grow) != grow:
        raise DataError(f"grow must be a number of pixels, 0 or more, got {grow}")
    if mask is None:
        alpha = picture.colours.alpha(picture.upright())
        if alpha is None:
            raise DataError("the picture has no transparency to take the hole from; give a mask")
        hole = alpha < 0.5
    else:
        name = str(mask) if isinstance(mask, (str, Path)) else "mask"
        grey, guess = _mask_levels(mask, note)
        white = grey > 0.5
        if polarity == "auto":
            polarity = rarer_colour(float(white.mean()), name) if guess else "white"
            if polarity == "black":
                note(f"{name}: black is taken as the hole ({1 - white.mean():.0%}); --polarity white for the other")
        hole = _at_picture_size(white if polarity == "white" else ~(grey >= 0.5), picture, name, note)
    return grow_hole(hole_tensor(hole), grow)[0].numpy() > 0 if grow else hole


def common_polarity(masks: Sequence[str | Path]) -> Polarity | None:
    """The hole's colour in mask files that belong together: the rarer one in up to 64 of them.

    Files that cannot be read do not count; None if none can.

    Raises:
        DataError: neither colour is clearly rarer.
    """
    parts = []
    for place in sample_positions(len(masks)):
        with contextlib.suppress(DataError):  # reported, as any notes are, when the file's turn comes
            parts.append((_mask_levels(masks[place], note=lambda text: None)[0] > 0.5).mean())
    return rarer_colour(float(np.mean(parts)), f"{len(parts)} masks such as {masks[0]}") if parts else None


def _mask_levels(mask: PictureLike, note: Callable[[str], None]) -> tuple[np.ndarray, bool]:
    """Grey levels `(H, W)` in [0, 1], and whether the hole's colour may be guessed from them."""
    if isinstance(mask, (str, Path)):
        with open_image(mask) as image:
            if image.format == "JPEG":
                note(f"{mask}: JPEG leaves grey edges; pixels nearer to the hole's colour are hole. PNG is exact")
            return _image_levels(image, str(mask)), True
    if isinstance(mask, Image.Image):
        return _image_levels(mask, "mask"), has_varied_alpha(mask)  # without alpha, white is the hole as in arrays
    array = mask.detach().cpu().float().numpy() if isinstance(mask, Tensor) else np.asarray(mask)
    while array.ndim > 2 and 1 in (array.shape[0], array.shape[-1]):
        array = array[0] if array.shape[0] == 1 else array[..., 0]
    if array.ndim != 2 or array.dtype.kind not in "buif" or 0 in array.shape:
        raise DataError(
            f"a mask must be (H, W), (1, H, W) or (H, W, 1) with numbers or bool, got {array.dtype} {array.shape}"
        )
    low, high = (float(array.min()), float(array.max())) if array.dtype != bool else (0.0, 1.0)
    if not (low >= 0 and high <= 65535):
        raise DataError(f"a mask's values must go from 0 to 1, 255 or 65535, got {low:g} to {high:g}")
    top = 1.0 if high <= 1 else 255.0 if high <= 255 else 65535.0
    return array.astype(np.float32) / np.float32(top), False


def _image_levels(image: Image.Image, name: str) -> np.ndarray:
    levels = mask_levels(image, name)
    check_brightest(float(levels.max()), name)
    return levels


def _at_picture_size(hole: np.ndarray, picture: Picture, name: str, note: Callable[[str], None]) -> np.ndarray:
    """The hole at the picture's upright size; if it must be scaled, a pixel with any hole in it is hole."""
    size = (picture.size[0], picture.size[1])
    if hole.shape == size:
        return hole
    if hole.shape == size[::-1] and picture.orientation >= 5:
        return turn(hole, picture.orientation)  # drawn on the stored pixels
    height, width = hole.shape
    if abs(np.log(width / height) - np.log(size[1] / size[0])) > _SAME_SHAPE:
        raise DataError(
            f"{name} is {width} pixels wide and {height} high, but its picture is {size[1]} and {size[0]}; "
            "give a mask of the picture's size, or at least of its proportions"
        )
    note(f"{name} is scaled from {width}x{height} to the picture's {size[1]}x{size[0]}")
    return resize_hole(hole_tensor(hole), *size, mode="any")[0].numpy() > 0


def is_compact(hole: np.ndarray) -> bool:
    """Whether the pieces of a hole `(H, W)` fill their convex hulls, as rectangles and discs do and strokes do not."""
    step = max(1, max(hole.shape) // _SKETCH)
    for axis in (0, 1):  # a cell with any hole is hole, so that thin lines stay lines
        hole = np.logical_or.reduceat(hole, np.arange(0, hole.shape[axis], step), axis=axis)
    numbered, count = ndimage.label(hole, structure=np.ones((3, 3)))
    if count > _MOST_PIECES:
        return False
    area = 0.0
    for number, box in enumerate(ndimage.find_objects(numbered), start=1):
        rows, columns = np.nonzero(numbered[box] == number)
        corners = [np.stack([rows + down, columns + right], axis=1) for down in (0, 1) for right in (0, 1)]
        # A piece much longer than wide counts as wider: a scratch would fill its own hull.
        area += max(ConvexHull(np.concatenate(corners)).volume, max(numbered[box].shape) ** 2 / 8)
    return bool(np.count_nonzero(numbered) >= 0.9 * area)


def read_guidance(guidance: PictureLike | None, picture: Picture) -> np.ndarray | None:
    """A guidance map as `(H, W)`, upright: bool or float32 permissions in [0, 1], or int64 class ids.

    Args:
        guidance: arrays and tensors as generators take them; in files and Pillow images, palette indices are class ids
            and grey levels permissions.
        picture: the picture it belongs to.

    Raises:
        DataError: it cannot be read, or does not have the picture's size.
    """
    if guidance is None:
        return None
    name = "the guidance map" if not isinstance(guidance, (str, Path)) else str(guidance)
    values = _guidance_values(guidance, name)
    if values.shape == picture.size[::-1] and values.shape != picture.size and picture.orientation >= 5:
        values = turn(values, picture.orientation)
    if values.shape != picture.size:
        raise DataError(f"{name} has height and width {values.shape}, but its picture {picture.size}; scale the map")
    if values.dtype.kind == "b":
        return values
    return values.astype(np.float32 if values.dtype.kind == "f" else np.int64)


def _guidance_values(guidance: PictureLike, name: str) -> np.ndarray:
    if isinstance(guidance, (str, Path)):
        with open_image(guidance) as image:
            return _guidance_values(image, name)
    if isinstance(guidance, Image.Image):
        if guidance.mode in ("1", "P"):
            return turn(np.array(guidance), orientation_of(guidance))
        grey = grey_levels(guidance)
        if 0 < grey.max() < 0.25:
            raise DataError(
                f"{name}: the brightest level is {grey.max() * 255:.0f} of 255, which permits almost nothing; class "
                "ids must be palette indices (mode P) or an integer array"
            )
        return grey
    values = guidance.detach().cpu() if isinstance(guidance, Tensor) else torch.from_numpy(np.asarray(guidance))
    array: np.ndarray = (values.float() if values.is_floating_point() else values).squeeze().numpy()
    if array.ndim != 2:
        raise DataError(f"{name} must be (H, W) or (1, H, W), got {tuple(values.shape)}")
    return array
