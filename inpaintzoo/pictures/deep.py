"""Pixels that Pillow has no mode for: 16-bit colour in PNG and TIFF files, few bits in PNG, TIFF's other integers.

Pillow would drop the low bytes of 16-bit colour. Such files are decoded twice, once for the high and once for the low
bytes. PNG is written here, TIFF by tifffile.
"""

from __future__ import annotations

import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import tifffile
from PIL import Image

from inpaintzoo.pictures.colours import Colours, Levels
from inpaintzoo.pictures.images import open_image
from inpaintzoo.pictures.tiffs import (
    BITS,
    EXTRA,
    FREE_ALPHA,
    PHOTOMETRIC,
    PLANAR,
    RGB,
    SAMPLES,
    layout_of,
    set_layout,
    tags_of,
)
from inpaintzoo.types import DataError

_Reader: TypeAlias = Callable[[Image.Image, "str | Path"], tuple[np.ndarray, Colours]]


def deep_reader(image: Image.Image, path: str | Path) -> _Reader | None:
    """The function that reads an opened file's pixels if they are 16-bit colour.

    Raises:
        DataError: they have more than 8 bits in a layout of which Pillow would silently drop half.
    """
    if _has_deep_planes(image, path):
        return deep_planes
    deep = image.format in ("PNG", "TIFF") and layout_of(image).startswith(("RGB;16", "RGBA;16", "LA;16"))
    return _deep_pixels if deep else None


def _has_deep_planes(image: Image.Image, path: str | Path) -> bool:
    """Whether a TIFF file stores more than 8 bits per channel, one channel after the other.

    Raises:
        DataError: it has more than 8 bits per channel in a layout of which Pillow would silently drop half.
    """
    tags = tags_of(image)
    bits, samples = tags.get(BITS, (1,)), tags.get(SAMPLES, 1)
    if max(bits) <= 8 or samples == 1:
        return False
    extra = tuple(tags.get(EXTRA, ()))
    plain = samples == 3 or (samples == 4 and extra == (FREE_ALPHA,))
    if tags.get(PHOTOMETRIC) != RGB or not plain:
        raise DataError(
            f"{path}: {max(bits)}-bit TIFF files in colour are read as RGB, or RGB with alpha not multiplied in; "
            "this one is CMYK, premultiplied or has other channels; convert it"
        )
    return bool(tags.get(PLANAR, 1) == 2)


def deep_planes(image: Image.Image, path: str | Path) -> tuple[np.ndarray, Colours]:
    """A TIFF file's planes as pixels; unlike Pillow's they are not turned upright.

    Raises:
        DataError: their compression cannot be read, or they do not have 16 bits.
    """
    try:
        with tifffile.TiffFile(path) as file:
            planes = file.pages[0].asarray()
    except ValueError as error:
        raise DataError(
            f"{path}: 16-bit planes with this compression cannot be read ({error}); save it again"
        ) from error
    if planes.dtype != np.uint16 or planes.ndim != 3:
        raise DataError(f"{path}: its planes are {planes.dtype} {planes.shape}, not 16-bit colour; convert it")
    return np.ascontiguousarray(planes.transpose(1, 2, 0)), Levels(len(planes), 65535.0)


def _deep_pixels(image: Image.Image, path: str | Path) -> tuple[np.ndarray, Colours]:
    kind, order = layout_of(image).split(";")
    if kind == "LA":
        # Two 16-bit levels are four bytes, which an 8-bit mode of four channels passes through unchanged.
        pairs = _decode_as(image, "RGBA").astype(np.uint16)
        return pairs[..., ::2] << 8 | pairs[..., 1::2], Levels(2, 65535.0)
    native = "16L" if sys.byteorder == "little" else "16B"
    other = {"16B": "16L", "16L": "16B"}[native if order == "16N" else order]
    image.load()
    high = np.array(image).astype(np.uint16)
    # In the other byte order, the high bytes are the low ones.
    with open_image(path, load=False) as again:
        low = _decode_as(again, f"{kind};{other}")
    key = image.info.get("transparency")
    return high << 8 | low, Levels(len(kind), 65535.0, key=key if isinstance(key, tuple) else None)


def _decode_as(image: Image.Image, layout: str) -> np.ndarray:
    set_layout(image, layout)
    image.load()
    return np.array(image)


def write_deep(pixels: np.ndarray, file: str, form: str, metadata: dict[str, Any]) -> None:
    """Write pixels that Pillow cannot write, upright.

    Args:
        pixels: `(H, W, C)` uint16, C = 2 grey and alpha, 3 RGB, 4 RGB and alpha; for TIFF also `(H, W)` of any type.
        file: the file to write.
        form: `PNG` or `TIFF`.
        metadata: as `PictureFile` has it; EXIF and XMP are left out of TIFF.
    """
    (_write_tiff if form == "TIFF" else write_png)(pixels, file, metadata)


def _write_tiff(pixels: np.ndarray, file: str, metadata: dict[str, Any]) -> None:
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    grey, alpha = channels < 3, channels in (2, 4)
    tifffile.imwrite(
        file,
        np.ascontiguousarray(pixels),
        byteorder="<",
        photometric="minisblack" if grey else "rgb",
        planarconfig="contig",
        extrasamples=("unassalpha",) if alpha else None,
        compression="adobe_deflate",
        predictor=False,
        iccprofile=metadata.get("icc_profile"),
        resolution=metadata.get("dpi"),
        resolutionunit="inch" if "dpi" in metadata else None,
        software=False,
        metadata=None,
    )


def write_png(
    pixels: np.ndarray, file: str, metadata: dict[str, Any], depth: int = 16, palette: bytes | None = None
) -> None:
    """Write a PNG file of any depth.

    Args:
        pixels: `(H, W, C)` uint16 if the depth is 16, otherwise `(H, W)` uint8 below `2**depth`: levels or indices.
        file: the file to write.
        metadata: as `PictureFile` has it; a transparent level counts as the pixels do.
        depth: bits of a level or an index.
        palette: the bytes of red, green and blue of each entry; None for levels.
    """
    icc, key = metadata.get("icc_profile"), metadata.get("transparency")
    height, width = pixels.shape[:2]
    if depth == 16:
        rows = np.ascontiguousarray(pixels.astype(">u2")).view(np.uint8).reshape(height, -1)
        colours = {2: 4, 3: 2, 4: 6}[pixels.shape[2]]
    else:
        bits = pixels[..., None] >> np.arange(depth, dtype=np.uint8)[::-1] & 1
        rows = np.packbits(bits.reshape(height, -1), axis=1)
        colours = 0 if palette is None else 3
    filtered = np.full((height, rows.shape[1] + 1), 2, dtype=np.uint8)  # filter 2: each row minus the one above
    filtered[0, 1:] = rows[0]
    filtered[1:, 1:] = rows[1:] - rows[:-1]
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colours, 0, 0, 0))]
    if icc:
        chunks.append((b"iCCP", b"ICC Profile\0\0" + zlib.compress(icc)))
    own = [(chunk[0], chunk[1]) for chunk in metadata["pnginfo"].chunks] if "pnginfo" in metadata else []
    chunks += [chunk for chunk in own if chunk[0] != b"bKGD"]
    if "exif" in metadata:
        chunks.append((b"eXIf", metadata["exif"].removeprefix(b"Exif\0\0")))
    if "dpi" in metadata:  # as pixels per metre
        chunks.append((b"pHYs", struct.pack(">IIB", *(round(value / 0.0254) for value in metadata["dpi"]), 1)))
    if palette is not None:
        chunks.append((b"PLTE", palette))
    if isinstance(key, tuple):
        chunks.append((b"tRNS", struct.pack(">HHH", *key)))
    elif isinstance(key, int):  # of a palette, the entry
        chunks.append((b"tRNS", struct.pack(">H", key) if palette is None else b"\xff" * key + b"\0"))
    elif key is not None:
        chunks.append((b"tRNS", key))
    chunks += [chunk for chunk in own if chunk[0] == b"bKGD"]  # after the palette
    chunks += [(b"IDAT", zlib.compress(filtered.data, 3)), (b"IEND", b"")]
    with open(file, "wb") as out:
        out.write(b"\x89PNG\r\n\x1a\n")
        for kind, data in chunks:
            out.write(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)))
