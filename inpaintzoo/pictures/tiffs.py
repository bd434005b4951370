"""TIFF files that Pillow would read as something other than they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import tifffile
from PIL import Image

from inpaintzoo.types import DataError
from inpaintzoo.words import counted

# TIFF 6.0: tags, and values of two of them
BITS, PHOTOMETRIC, SAMPLES, PLANAR, EXTRA = 258, 262, 277, 284, 338
RGB, FREE_ALPHA = 2, 2
_KINDS = {1: "unsigned integers", 2: "signed integers", 3: "floating point"}  # by SampleFormat
_WHITE_IS_ZERO, _MULTIPLIED_ALPHA, _COREL_ALPHA = 0, 1, 999


def tags_of(image: Image.Image) -> Any:
    """An opened TIFF file's tags; none for other formats."""
    return getattr(image, "tag_v2", {}) if image.format == "TIFF" else {}


def describe(path: str | Path) -> str:
    """The pixels of a TIFF file in words, such as `5 bands of 16-bit unsigned integers`; empty if it is damaged."""
    try:
        with tifffile.TiffFile(path) as file:
            page = cast(tifffile.TiffPage, file.pages.first)
            kind = _KINDS.get(int(page.sampleformat), "numbers")
            layout = f"{_name(page.photometric)}, compression {_name(page.compression)}"
            return f"{counted(page.samplesperpixel, 'band')} of {page.bitspersample}-bit {kind} ({layout})"
    except Exception:  # damaged bytes make the reader raise almost anything
        return ""


def _name(value: Any) -> str:
    return str(getattr(value, "name", value)).lower()


def check_channels(image: Image.Image, path: str | Path) -> None:
    """Raise `DataError` if an opened TIFF file has channels that Pillow drops, or premultiplied alpha."""
    extra = tuple(tags_of(image).get(EXTRA, ()))
    if extra in ((), (FREE_ALPHA,), (_COREL_ALPHA,)) or (extra == (0,) and image.mode == "RGBA"):
        return
    what = "premultiplied alpha" if extra == (_MULTIPLIED_ALPHA,) else f"further channels (ExtraSamples {extra})"
    raise DataError(
        f"{path}: TIFF files may have colours and one channel of unpremultiplied alpha; this one has "
        f"{what}, which would be lost; convert it"
    )


def black_is_zero(pixels: np.ndarray, image: Image.Image, path: str | Path) -> np.ndarray:
    """The pixels of an opened file, inverted where zero means white and Pillow has not done so.

    Raises:
        DataError: zero is white in floating-point numbers, or in integers that do not have 16 bits.
    """
    if not image.mode.startswith(("I", "F")) or tags_of(image).get(PHOTOMETRIC) != _WHITE_IS_ZERO:
        return pixels
    if pixels.dtype != np.uint16:
        raise DataError(
            f"{path}: zero is white in it, which is supported up to 16 bits but not in Pillow's mode {image.mode}; "
            "convert it"
        )
    return 65535 - pixels
