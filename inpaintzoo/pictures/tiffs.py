"""TIFF files that Pillow reads as something other than they are, or not at all."""

from __future__ import annotations

import contextlib
import ctypes
import logging
from pathlib import Path
from typing import Any, cast

import numpy as np
import tifffile
from PIL import Image

from inpaintzoo.types import DataError
from inpaintzoo.words import counted

# TIFF 6.0: tags, and values of some of them
BITS, PHOTOMETRIC, SAMPLES, PLANAR, COLOUR_MAP, EXTRA, FORMAT = 258, 262, 277, 284, 320, 338, 339
RGB, FREE_ALPHA = 2, 2
_UNSIGNED, _SIGNED = 1, 2
_TRUE_TYPES = {(8, _SIGNED): "int8", (16, _SIGNED): "int16", (32, _UNSIGNED): "uint32"}
TYPES = tuple(_TRUE_TYPES.values())  # that Pillow has no mode for
_KINDS = {_UNSIGNED: "unsigned integers", _SIGNED: "signed integers", 3: "floating point"}  # by SampleFormat
_WHITE_IS_ZERO, _MULTIPLIED_ALPHA, _COREL_ALPHA = 0, 1, 999


def tags_of(image: Image.Image) -> Any:
    """An opened TIFF file's tags; none for other formats."""
    return getattr(image, "tag_v2", {}) if image.format == "TIFF" else {}


def silence_decoders() -> None:
    """Keep decoders from writing to the terminal what is wrong with a file; they raise what they cannot decode."""
    for name in ("PIL", "tifffile"):
        logging.getLogger(name).addHandler(logging.NullHandler())
    with contextlib.suppress(OSError, AttributeError):  # where it is linked into Pillow
        library = ctypes.CDLL(Image.core.__file__)
        library.TIFFSetErrorHandler(None)
        library.TIFFSetWarningHandler(None)


silence_decoders()


def layout_of(image: Image.Image) -> str:
    """Pillow's name for how the pixels of an opened file are stored, such as `L;4`; empty once they are decoded."""
    tiles = getattr(image, "tile", None) or [("", None, 0, "")]
    layout = tiles[0][3]
    return str(layout[0] if isinstance(layout, tuple) and layout else layout)


def set_layout(image: Image.Image, layout: str) -> None:
    """Have an opened file decoded as if its pixels were stored in another way."""
    file: Any = image
    tiles = []
    for tile in file.tile:
        args = (layout, *tile[3][1:]) if isinstance(tile[3], tuple) else layout
        # Named tuples since Pillow 11, whose TIFF reader relies on it.
        tiles.append(tile._replace(args=args) if hasattr(tile, "_replace") else (*tile[:3], args))
    file.tile = tiles


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


def true_type(image: Image.Image) -> np.dtype | None:
    """The type of a TIFF file's numbers if Pillow holds them as another, which has enough bits but not their sign."""
    tags = tags_of(image)
    bits, kinds = tuple(tags.get(BITS, ())), tuple(tags.get(FORMAT, (_UNSIGNED,)))
    name = _TRUE_TYPES.get((bits[0], kinds[0])) if len(bits) == 1 else None
    return None if name is None else np.dtype(name)


def prepare(image: Image.Image) -> None:
    """Name the byte order of a compressed TIFF file's numbers, before it is decoded: libtiff has already changed it."""
    tiles: Any = getattr(image, "tile", None)
    if image.format == "TIFF" and tiles and tiles[0][0] == "libtiff":
        native = {"I;16BS": "I;16NS", "I;32BS": "I;32NS", "F;32BF": "F;32NF"}
        set_layout(image, native.get(layout_of(image), layout_of(image)))


def correct(image: Image.Image) -> None:
    """Change the pixels or the palette of a decoded TIFF file to what it says, where Pillow reads something else.

    12-bit levels become 16-bit ones, where zero is white it becomes black, and palettes may have 8 bits.

    Raises:
        DataError: zero is white in floating-point numbers, or in integers that do not have 16 bits.
    """
    tags = tags_of(image)
    colour_map = tags.get(COLOUR_MAP, ())
    if image.mode == "P" and 0 < max(colour_map, default=0) < 256:
        image.putpalette(np.array(colour_map, np.uint8).reshape(3, -1).T.tobytes())
    if not image.mode.startswith(("I", "F")):
        return
    white_is_zero = tags.get(PHOTOMETRIC) == _WHITE_IS_ZERO
    if white_is_zero and not image.mode.startswith("I;16"):
        raise DataError(
            f"{getattr(image, 'filename', '') or 'image'}: zero is white in it, which is supported up to 16 bits but "
            f"not in Pillow's mode {image.mode}; convert it"
        )
    twelve = tuple(tags.get(BITS, ())) == (12,)
    if white_is_zero or twelve:
        pixels = np.asarray(image)
        pixels = pixels << 4 | pixels >> 8 if twelve else pixels
        pixels = (65535 - pixels if white_is_zero else pixels).astype(pixels.dtype)
        image.im = Image.frombytes(image.mode, image.size, pixels.tobytes()).im  # a file may be mapped
