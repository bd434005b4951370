"""JPEG files: how they are encoded, what Pillow drops of them, and blocks that a fill leaves alone, kept bit for bit.

A JPEG file holds each component, such as luma, as blocks of 8x8 quantised DCT coefficients (ITU-T T.81). Encoding a
picture again changes them all; `keep_blocks` puts those of the file that was read back wherever no pixel has changed.
"""

from __future__ import annotations

import contextlib
import os
import re
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, JpegImagePlugin

from inpaintzoo.pictures.images import turn

_SUBSAMPLINGS = {(1, 1): 0, (2, 1): 1, (2, 2): 2}  # what Pillow writes: luma samples per colour sample, across and down
_SOF, _SOS, _EOI = (0xC0, 0xC1), 0xDA, 0xD9  # start of frame and of scan, end of image
_APP0, _APP13, _APP14, _METADATA = 0xE0, 0xED, 0xEE, (*range(0xE0, 0xF0), 0xFE)
_MARKER = re.compile(rb"\xff+(?=[^\x00\xd0-\xd7\xff])")  # not those within a scan
_PHOTOSHOP = b"Photoshop 3.0\0"
_THUMBNAILS = (0x0409, 0x040C)  # of Photoshop: they show what was removed
# From RGB to YCbCr, both around 0 (JFIF 1.02).
_YCBCR = np.array([[0.299, -0.168736, 0.5], [0.587, -0.331264, -0.418688], [0.114, 0.5, -0.081312]], np.float32)
_REVERSED = ((3, 4, 7, 8), (2, 3, 6, 7))  # the orientations for which rows and columns are reversed


def encoding(image: JpegImagePlugin.JpegImageFile, orientation: int) -> dict[str, Any]:
    """Options of Pillow's `save` that encode an upright picture as its file was encoded, which changes it least.

    Args:
        image: the opened file.
        orientation: EXIF's, 1 to 8: how the picture was turned.
    """
    layers = image.layer  # id, samples across and down, table of each component
    if not layers or any(table not in image.quantization for *_, table in layers):
        return {}
    tables = [np.reshape(image.quantization[table], (8, 8)) for *_, table in layers]
    sampling = {(layers[0][1] // across, layers[0][2] // down) for _, across, down, _ in layers[1:]}
    if orientation >= 5:
        tables = [table.T for table in tables]
        sampling = {(down, across) for across, down in sampling}
    if len(layers) == 3 and layers[1][3] == layers[2][3]:
        del tables[2]  # Pillow uses the last for all that follow
    options: dict[str, Any] = {"qtables": [table.ravel().tolist() for table in tables]}
    if _is_rgb(image):
        options.update(keep_rgb=True, dpi=(0, 0))  # with a resolution Pillow adds a JFIF header, which means YCbCr
    if len(layers) == 3:  # Pillow has no choice for others; what it cannot write becomes 4:4:4, which loses nothing
        options["subsampling"] = _SUBSAMPLINGS.get(sampling.pop(), 0) if len(sampling) == 1 else 0
    return options


def _is_rgb(image: JpegImagePlugin.JpegImageFile) -> bool:
    """Whether the components of a file in colour are red, green and blue, by libjpeg's rules."""
    if len(image.layer) != 3 or "jfif" in image.info:
        return False
    if "adobe" in image.info:
        return image.info.get("adobe_transform") == 0
    return [number for number, *_ in image.layer] == list(b"RGB")


def iptc_segments(image: Image.Image, path: str | Path, note: Callable[[str], None]) -> bytes:
    """The APP13 segments of an opened JPEG file, which hold its IPTC, ready to be written; without thumbnails."""
    found = [data for name, data in getattr(image, "applist", ()) if name == "APP13"]
    others = [data for data in found if not data.startswith(_PHOTOSHOP)]
    joined = b"".join(data.removeprefix(_PHOTOSHOP) for data in found if data.startswith(_PHOTOSHOP))
    try:
        kept = b"".join(data for number, data in _resources(joined) if number not in _THUMBNAILS)
    except (ValueError, IndexError, struct.error):
        note(f"{path}: its IPTC is damaged and left out")
        kept = b""
    size = 65533 - len(_PHOTOSHOP)
    parts = [_PHOTOSHOP + kept[start : start + size] for start in range(0, len(kept), size)]
    return b"".join(struct.pack(">BBH", 0xFF, _APP13, len(data) + 2) + data for data in [*others, *parts])


def _resources(block: bytes) -> Iterator[tuple[int, bytes]]:
    """The image resources of Photoshop: their number, and all of their bytes."""
    start = 0
    while block[start : start + 4].strip(b"\0"):  # not the padding at the end
        if not block[start : start + 4].isalnum():
            raise ValueError("not an image resource")
        name = start + 6
        (number,) = struct.unpack_from(">H", block, start + 4)
        data = name + (block[name] + 2) // 2 * 2  # the name begins with its length and is padded
        (length,) = struct.unpack_from(">I", block, data)
        end = data + 4 + (length + 1) // 2 * 2
        if data + 4 + length > len(block):
            raise ValueError("the image resource is cut short")
        yield number, block[start:end].ljust(end - start, b"\0")
        start = end


# -- blocks ------------------------------------------------------------------------------------------------------------


def keep_blocks(source: bytes, made: Path, before: np.ndarray, after: np.ndarray, orientation: int) -> str:
    """Write a JPEG file again with the coefficients of another one, except for blocks with a pixel that has changed.

    A block of luma covers 8x8 pixels, one of 4:2:0 colour 16x16. If the picture is turned, its blocks are turned too:
    coefficients trade places and signs, and decoders round the pixels a little differently.

    Args:
        source: the content of the file that was read.
        made: the upright file to write again, as Pillow wrote it with all metadata.
        before: the pixels of the source `(H, W)` or `(H, W, C)` uint8, as it is stored.
        after: the filled pixels, stored the same way.
        orientation: EXIF's, 1 to 8: how the pixels were turned for `made`.

    Returns:
        Why the file was left as it is; empty if it was not.
    """
    try:
        import jpeglib
    except ImportError:  # it has no wheel for some platforms
        return "the package jpeglib is not installed"
    jpeglib.version.set("turbo210")  # the newest libjpeg-turbo that it has; its default is libjpeg 6b of 1998
    about = b"".join(data for kind, data in _segments(made.read_bytes()) if kind in _METADATA)
    scratch = made.with_name(f"{made.name}-blocks")
    scratch.write_bytes(_without_metadata(source))
    try:
        with _nothing_printed():
            jpeg = jpeglib.read_dct(str(scratch))
            space = jpeg.jpeg_color_space.name.removeprefix("JCS_")
            if space not in ("GRAYSCALE", "YCbCr", "RGB"):
                return f"the blocks of {space} files cannot be kept"  # jpeglib does not write a fourth component
            planes = [plane for plane in (jpeg.Y, jpeg.Cb, jpeg.Cr) if plane is not None]
    except OSError:
        return "its blocks cannot be read"
    if (space == "RGB") != (about[1:2] == bytes([_APP14])):
        return "its colour space is not clear"  # or Pillow is older than 10.2, which wrote no RGB
    factors = jpeg.samp_factor  # (components, 2): blocks down and across in a minimum coded unit (MCU)
    most = factors.max(axis=0)
    if before.shape[:2] != (jpeg.height, jpeg.width) or np.any(most % factors):
        return "its components do not fit together"
    tables = np.stack([jpeg.get_component_qt(number) for number in range(len(planes))])
    sides = np.array(before.shape[:2])
    partial = list(np.any(sides * factors % (8 * most), axis=0))  # whether the last row and column of blocks are
    if orientation >= 5:
        partial.reverse()
    if any(cut and orientation in turns for cut, turns in zip(partial, _REVERSED, strict=True)):
        return "its sides are not a whole number of blocks, which therefore cannot be turned"
    _encode_changes(planes, tables, factors, before, after, space)
    if orientation >= 5:
        sides, factors, tables = sides[::-1], factors[:, ::-1], tables.swapaxes(1, 2)
    numbers = [0, 1, 1] if len(planes) == 3 and np.array_equal(tables[1], tables[2]) else list(range(len(planes)))
    turned = [_turned(plane, orientation) for plane in planes]
    result = jpeglib.from_dct(*turned, qt=tables[: max(numbers) + 1], quant_tbl_no=numbers)
    result.height, result.width = sides.tolist()
    result.samp_factor = np.ascontiguousarray(factors)
    try:
        with _nothing_printed():
            result.write_dct(str(scratch), flags=["OPTIMIZE_CODING"])
    except OSError:
        return "its blocks cannot be written"
    rest = [_numbered(kind, data) for kind, data in _segments(scratch.read_bytes()) if kind not in _METADATA]
    made.write_bytes(b"\xff\xd8" + about + b"".join(rest) + b"\xff\xd9")
    return ""


@contextlib.contextmanager
def _nothing_printed() -> Iterator[None]:
    """Keep off the terminal what jpeglib prints about slight damage, which Pillow passes over; its C code does too."""
    terminal = os.dup(2)
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)


def _segments(file: bytes) -> Iterator[tuple[int, bytes]]:
    """The segments of a JPEG file, each with the scan that follows it, and their kinds."""
    start = 2
    while (found := _MARKER.search(file, start)) and (kind := file[found.end()]) != _EOI:
        start = found.end() + 1 + int.from_bytes(file[found.end() + 1 : found.end() + 3], "big")
        if kind == _SOS:
            following = _MARKER.search(file, start)
            start = following.start() if following else len(file)
        yield kind, file[found.end() - 1 : start]


def _without_metadata(file: bytes) -> bytes:
    """A JPEG file that has only what its pixels depend on; jpeglib has room for 50 segments of metadata."""
    segments = list(_segments(file))
    colours = [data for kind, data in segments if kind in (_APP0, _APP14)][:40]
    return b"\xff\xd8" + b"".join([*colours, *(data for kind, data in segments if kind not in _METADATA)]) + b"\xff\xd9"


def _numbered(kind: int, segment: bytes) -> bytes:
    """A segment in which components are numbered from 1, as JFIF requires; jpeglib counts from 0."""
    numbered = bytearray(segment)
    for kinds, count, step in ((_SOF, 9, 3), ((_SOS,), 4, 2)):
        if kind in kinds:
            for number in range(segment[count]):
                numbered[count + 1 + step * number] = number + 1
    return bytes(numbered)


def _encode_changes(
    planes: list[np.ndarray], tables: np.ndarray, factors: np.ndarray, before: np.ndarray, after: np.ndarray, space: str
) -> None:
    """Replace the coefficients `(rows, columns, 8, 8)` of blocks with a pixel that has changed, in place."""
    from scipy.fft import dctn

    most = factors.max(axis=0)
    high, wide = 8 * most  # of an MCU, in pixels
    for unit, top in enumerate(range(0, len(before), high)):
        strip = after[top : top + high]
        differs = strip != before[top : top + high]
        if not differs.any():
            continue
        margins = [(0, high - len(strip)), (0, -strip.shape[1] % wide)]
        changed = np.pad(differs.reshape(*strip.shape[:2], -1).any(axis=2), margins)
        pixels = np.pad(strip, [*margins, (0, 0)][: strip.ndim], mode="edge")
        values = pixels.reshape(*pixels.shape[:2], -1).astype(np.float32) - 128
        if space == "YCbCr":
            values = values @ _YCBCR
        parts = zip(planes, tables, factors, most // factors, strict=True)
        for number, (plane, table, (rows, _), (down, across)) in enumerate(parts):
            blocks = plane[unit * rows : (unit + 1) * rows]
            there = slice(len(blocks)), slice(blocks.shape[1])  # the last MCU may have fewer
            touched = changed.reshape(rows, 8 * down, -1, 8 * across).max(axis=(1, 3))[there]
            samples = values[..., number].reshape(rows * 8, down, -1, across).mean(axis=(1, 3))
            cells = samples.reshape(rows, 8, -1, 8).swapaxes(1, 2)[there][touched]
            blocks[touched] = np.rint(dctn(cells, axes=(1, 2), norm="ortho") / table)


def _turned(blocks: np.ndarray, orientation: int) -> np.ndarray:
    """The coefficients of the upright picture from those of the stored one."""
    if orientation == 1:
        return blocks
    signs = np.ones((8, 8), dtype=np.int16)  # a mirrored block has its odd frequencies negated
    signs[1::2] *= -1 if orientation in _REVERSED[0] else 1
    signs[:, 1::2] *= -1 if orientation in _REVERSED[1] else 1
    turned = turn(blocks, orientation)
    return np.ascontiguousarray((turned.swapaxes(2, 3) if orientation >= 5 else turned) * signs)
