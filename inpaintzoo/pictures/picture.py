"""A picture of any kind: its pixels as they are stored, seen upright, and the way back to its kind."""

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
from inpaintzoo.pictures.colours import Colours, colours_of_array, colours_of_image
from inpaintzoo.pictures.images import orientation_of
from inpaintzoo.types import DataError

Pixels: TypeAlias = str | Path | Image.Image | np.ndarray | Tensor
"""What a picture, mask or guidance map may be given as."""


@dataclasses.dataclass(frozen=True)
class Picture:
    """Pixels with their meaning.

    Attributes:
        stored: `(H, W)` or `(H, W, C)`, as the file or object holds them.
        colours: what they mean.
        finish: makes the kind of thing that the picture came as from such pixels.
        orientation: EXIF's: how `stored` is turned to stand upright.
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
        """A view of the pixels (or of others stored alike) as one looks at them; writing to it writes to them."""
        return turn(self.stored if stored is None else stored, self.orientation)

    def read(self, box: Box) -> Tensor:
        """A part as `(3, h, w)` float32 RGB in [0, 1]."""
        rgb = self.colours.read(self.upright()[box.slices])
        return torch.from_numpy(rgb.transpose(2, 0, 1).copy(order="C"))

    def paste(self, stored: np.ndarray, box: Box, hole: np.ndarray, image: Tensor) -> None:
        """Write new colours into the hole pixels of a part, and nothing anywhere else.

        Args:
            stored: pixels like this picture's own, which are written to.
            box: the part.
            hole: `(h, w)` bool.
            image: `(3, h, w)` in [0, 1].
        """
        if hole.any():
            part = self.upright(stored)[box.slices]
            part[hole] = self.colours.write(image.permute(1, 2, 0).numpy()[hole], part[hole])

    def check_known(self, hole: np.ndarray) -> None:
        """Raise `DataError` if a known pixel is no colour: NaN, or beyond white."""
        if self.stored.dtype.kind not in "fi":
            return
        known = self.upright()[~hole]
        top = getattr(self.colours, "top", 1.0)
        if known.size and not (known.min() >= 0 and known.max() <= top):
            raise DataError(
                f"{self.stored.dtype} pixels must lie in 0..{top:g}, got {known.min():g}..{known.max():g}; rescale them"
            )


def turn(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """A view of stored pixels that stands upright (EXIF 2.3, tag 0x0112)."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    rows = slice(None, None, -1) if orientation in (3, 4, 7, 8) else slice(None)
    columns = slice(None, None, -1) if orientation in (2, 3, 6, 7) else slice(None)
    return pixels[rows, columns]


def picture_of(source: Image.Image | np.ndarray | Tensor) -> Picture:
    """A picture in memory; what is filled comes back as the same kind, size, mode and type.

    Raises:
        DataError: its shape, type or mode is not supported.
    """
    if isinstance(source, Image.Image):
        return of_image(source)
    if isinstance(source, np.ndarray):
        return Picture(source.copy(), colours_of_array(source), np.copy)
    if isinstance(source, Tensor):
        return _of_tensor(source)
    raise DataError(f"a picture must be a path, a Pillow image, an array or a tensor, got {type(source).__name__}")


def of_image(image: Image.Image) -> Picture:
    """A Pillow image, in whatever orientation.

    Raises:
        DataError: its file cannot be decoded, or its mode is not supported.
    """
    try:
        image.load()  # NumPy would take one that cannot be decoded for an object
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"the image cannot be decoded ({error})") from error
    return Picture(
        np.array(image), colours_of_image(image), lambda pixels: image_like(image, pixels), orientation_of(image)
    )


def image_like(image: Image.Image, pixels: np.ndarray) -> Image.Image:
    """A Pillow image of such pixels, of any size, with the mode, palette and metadata of another."""
    data = np.packbits(pixels, axis=1) if image.mode == "1" else np.ascontiguousarray(pixels)
    made = Image.frombytes(image.mode, (pixels.shape[1], pixels.shape[0]), data.tobytes())
    if image.mode == "P" and image.palette is not None:
        made.putpalette(image.palette)
    made.info = dict(image.info)
    return made


def _of_tensor(tensor: Tensor) -> Picture:
    if tensor.ndim != 3:
        raise DataError(
            f"a picture as a tensor must be (C, H, W) with 1 to 4 channels, got {tuple(tensor.shape)}; of a batch give "
            "one picture after the other"
        )
    values = tensor.detach().cpu()
    # NumPy has no bfloat16; to float32 and back changes nothing.
    array = (values.float() if values.dtype == torch.bfloat16 else values).permute(1, 2, 0).numpy()

    def finish(pixels: np.ndarray) -> Tensor:
        filled = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))
        return filled.to(tensor.device, tensor.dtype)

    return Picture(array.copy(), colours_of_array(array), finish)
