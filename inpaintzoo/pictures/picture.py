"""A picture of any kind: its pixels as stored, an upright view of them, and the way back to what it came as."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from inpaintzoo.pictures.boxes import Box
from inpaintzoo.pictures.colours import Colours, colours_of_array, pixels_of
from inpaintzoo.pictures.images import decode, orientation_of, turn
from inpaintzoo.types import DataError

PictureLike: TypeAlias = str | Path | Image.Image | np.ndarray | Tensor
"""Types accepted for a picture, mask or guidance map."""


@dataclasses.dataclass(frozen=True)
class Picture:
    """Pixels with their meaning.

    Attributes:
        stored: `(H, W)` or `(H, W, C)`, as the file or object holds them.
        colours: what the values mean.
        finish: turns such pixels into the type that the picture came as.
        orientation: EXIF's, 1 to 8: how `stored` has to be turned to be upright.
    """

    stored: np.ndarray
    colours: Colours
    finish: Callable[[np.ndarray], Any]
    orientation: int = 1

    @property
    def size(self) -> tuple[int, int]:
        """Height and width, upright."""
        height, width = self.stored.shape[:2]
        return (width, height) if self.orientation >= 5 else (height, width)

    def upright(self, stored: np.ndarray | None = None) -> np.ndarray:
        """An upright view of the pixels (or of others stored the same way); writes go through to the pixels."""
        return turn(self.stored if stored is None else stored, self.orientation)

    def read(self, box: Box) -> Tensor:
        """A part as `(3, h, w)` float32 RGB in [0, 1]."""
        rgb = self.colours.read(self.upright()[box.slices])
        return torch.from_numpy(rgb.transpose(2, 0, 1).copy(order="C"))

    def paste(self, stored: np.ndarray, box: Box, hole: np.ndarray, image: Tensor) -> None:
        """Write new colours into the hole pixels of a part, and nowhere else.

        Args:
            stored: pixels like this picture's own, to write to.
            box: the part.
            hole: `(h, w)` bool.
            image: `(3, h, w)` in [0, 1].
        """
        if hole.any():
            part = self.upright(stored)[box.slices]
            part[hole] = self.colours.write(image.permute(1, 2, 0).numpy()[hole], part[hole])

    def check_known(self, hole: np.ndarray) -> None:
        """Raise `DataError` if a known pixel is not a colour: NaN, negative or beyond white."""
        if self.stored.dtype.kind in "ub" and self.stored.itemsize < 4:
            return
        known = self.upright()[~hole]
        bottom, top = getattr(self.colours, "bottom", 0.0), getattr(self.colours, "top", 1.0)
        if known.size and not (known.min() >= bottom and known.max() <= top):
            raise DataError(
                f"{self.stored.dtype} pixels must lie in {bottom:g}..{top:g}, got {known.min():g}..{known.max():g}; "
                "rescale them"
            )


def picture_from(source: Image.Image | np.ndarray | Tensor) -> Picture:
    """A picture in memory; what is filled comes back as the same kind, size, mode and type.

    Raises:
        DataError: it cannot be decoded, or its shape, type or mode is not supported.
    """
    if isinstance(source, Image.Image):
        image = source
        try:
            decode(image)  # NumPy would turn an image that cannot be decoded into an array of one object
        except (OSError, SyntaxError, ValueError) as error:
            raise DataError(f"the image cannot be decoded ({error})") from error
        pixels, colours = pixels_of(image)
        if pixels.dtype == np.int8:
            raise DataError("Pillow has no mode for int8; pass the file's path to Predictor.fill_file")
        return Picture(pixels, colours, lambda filled: image_like(image, filled), orientation_of(image))
    if isinstance(source, np.ndarray):
        return Picture(source.copy(), colours_of_array(source), np.copy)
    if isinstance(source, Tensor):
        return _from_tensor(source)
    raise DataError(f"a picture must be a path, a Pillow image, an array or a tensor, got {type(source).__name__}")


def image_like(image: Image.Image, pixels: np.ndarray) -> Image.Image:
    """A Pillow image of these pixels, of any size, with the mode, palette and metadata of another."""
    pixels = pixels.astype(np.int32) if image.mode == "I" else pixels
    data = np.packbits(pixels, axis=1) if image.mode == "1" else np.ascontiguousarray(pixels)
    made = Image.frombytes(image.mode, (pixels.shape[1], pixels.shape[0]), data.tobytes())
    if image.mode == "P" and image.palette is not None:
        made.putpalette(image.palette)
    made.info = dict(image.info)
    return made


def _from_tensor(tensor: Tensor) -> Picture:
    if tensor.ndim != 3:
        raise DataError(
            f"a picture as a tensor must be (C, H, W) with 1 to 4 channels, got {tuple(tensor.shape)}; pass a "
            "batch's pictures one by one"
        )
    values = tensor.detach().cpu()
    # NumPy has no bfloat16; the way to float32 and back is exact.
    array = (values.float() if values.dtype == torch.bfloat16 else values).permute(1, 2, 0).numpy()

    def finish(pixels: np.ndarray) -> Tensor:
        filled = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))
        return filled.to(tensor.device, tensor.dtype)

    return Picture(array.copy(), colours_of_array(array), finish)
