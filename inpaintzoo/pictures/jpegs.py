"""JPEG files: how they are encoded, what Pillow drops of them, and blocks that a fill leaves alone, kept bit for bit.

A JPEG file holds each component, such as luma, as blocks of 8x8 quantised DCT coefficients (ITU-T T.81). Encoding a
picture again changes them all; `keep_blocks` puts those of the file that was read back wherever no pixel has changed.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, JpegImagePlugin
from scipy.fft import dctn

_SUBSAMPLINGS = {(1, 1): 0, (2, 1): 1, (2, 2): 2}  # what Pillow writes: luma samples per colour sample, across and down
_SOI, _EOI = b"\xff\xd8", b"\xff\xd9"  # start and end of image
_SOF, _SOS, _DQT = (0xC0, 0xC1), 0xDA, 0xDB  # start of frame, baseline or extended, and of scan; quantisation tables
_APP0, _APP13, _APP14, _METADATA = 0xE0, 0xED, 0xEE, (*range(0xE0, 0xF0), 0xFE)
# jpeglib's names for the components of each colour space
_PLANES = {
    "L": ("Y",),
    "YCbCr": ("Y", "Cb", "Cr"),
    "RGB": ("Y", "Cb", "Cr"),
    **dict.fromkeys(("CMYK", "YCCK"), ("Y", "Cb", "Cr", "K")),
}
_MARKER = re.compile(rb"\xff+(?=[^\x00\xd0-\xd7\xff])")  # not those within a scan
_ADOBE = b"\xff\xee\0\x0eAdobe"  # its segment tells what colour the components are
_PHOTOSHOP = b"Photoshop 3.0\0"
_THUMBNAILS = (0x0409, 0x040C)  # of Photoshop: they show what was removed
# From RGB to YCbCr, both around 0 (JFIF 1.02).
_YCBCR = np.array([[0.299, -0.168736, 0.5], [0.587, -0.331264, -0.418688], [0.114, 0.5, -0.081312]], np.float32)


def encoding(image: JpegImagePlugin.JpegImageFile) -> dict[str, Any]:
    """Options of Pillow's `save` that encode a picture as its opened file was encoded, which changes it least."""
    layers = image.layer  # id, samples across and down, table of each component
    if not layers or any(table not in image.quantization for *_, table in layers):
        return {}
    tables = [image.quantization[table] for *_, table in layers]
    sampling = {(layers[0][1] // across, layers[0][2] // down) for _, across, down, _ in layers[1:]}
    if len(layers) == 3 and layers[1][3] == layers[2][3]:
        del tables[2]  # Pillow uses the last for all that follow
    options: dict[str, Any] = {"qtables": [list(table) for table in tables]}
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


def keep_blocks(source: bytes, made: Path, before: np.ndarray, after: np.ndarray) -> str:
    """Write a JPEG file again with the coefficients of another one, except for blocks with a pixel that has changed.

    A block of luma covers 8x8 pixels, one of 4:2:0 colour 16x16.

    Args:
        source: the content of the file that was read.
        made: the file to write again, as Pillow wrote it with all metadata.
        before: the pixels of the source, `(H, W)` or `(H, W, C)` uint8.
        after: the filled pixels.

    Returns:
        Why the file was left as it is; empty if it was not.
    """
    encoded = made.read_bytes()
    if reason := _splice(source, made, encoded, before, after):
        return reason
    with Image.open(made) as image:
        if _same_outside(image, before, after):
            return ""
    made.write_bytes(encoded)  # such as for a progressive file without its last scans, which decoders smooth
    return "its blocks decode to other values once they are written again"


def _splice(source: bytes, made: Path, encoded: bytes, before: np.ndarray, after: np.ndarray) -> str:
    """Write `made`, whose content is `encoded`, with the blocks of the source; see `keep_blocks`."""
    try:
        import jpeglib
    except ImportError:  # it has no wheel for some platforms
        return "the package jpeglib is not installed"
    jpeglib.version.set("turbo210")  # the newest libjpeg-turbo that it has; its default is libjpeg 6b of 1998
    space = _space(source)
    about = [data for kind, data in _segments(encoded) if kind in _METADATA]
    if space in ("RGB", "YCbCr") and (space == "RGB") != about[0].startswith(_ADOBE):
        return "its colour space is not clear"  # or Pillow is older than 10.2, which wrote no RGB
    scratch = made.with_name(f"{made.name}-blocks")
    scratch.write_bytes(_without_metadata(source))
    try:
        with _nothing_printed():
            jpeg = jpeglib.read_dct(str(scratch))
            planes = [getattr(jpeg, name) for name in _PLANES[space]]
    except OSError as error:
        if error.errno:  # of the system, such as a full disk; those of libjpeg have no number
            raise
        return "its blocks cannot be read"
    factors = jpeg.samp_factor  # (components, 2): blocks down and across in a minimum coded unit (MCU)
    most = factors.max(axis=0)
    if before.shape[:2] != (jpeg.height, jpeg.width) or np.any(most % factors):
        return "its components do not fit together"
    tables = np.stack([jpeg.get_component_qt(number) for number in range(len(planes))])
    _encode_changes(planes, tables, factors, before, after, space)
    try:
        if len(planes) == 4:
            about = _about_inks(about, source, space)
            rest = _scan_by_scan(planes, tables, factors, before.shape[:2], scratch)
        else:
            numbers = [0, 1, 1] if len(planes) == 3 and np.array_equal(tables[1], tables[2]) else range(len(planes))
            rest = _written(planes, tables[: max(numbers) + 1], list(numbers), factors, before.shape[:2], scratch)
    except OSError:
        scratch.write_bytes(encoded)  # raises if the disk is full, which libjpeg does not tell from other reasons
        return "its blocks cannot be written"
    made.write_bytes(_SOI + b"".join(about) + rest + _EOI)
    return ""


def _space(source: bytes) -> str:
    """What the components of a JPEG file are, one of `_PLANES`, by libjpeg's rules."""
    with Image.open(io.BytesIO(source)) as image:
        assert isinstance(image, JpegImagePlugin.JpegImageFile)
        if len(image.layer) == 4:
            return "YCCK" if image.info.get("adobe_transform") else "CMYK"
        return "L" if len(image.layer) == 1 else "RGB" if _is_rgb(image) else "YCbCr"


def _same_outside(image: Image.Image, before: np.ndarray, after: np.ndarray) -> bool:
    """Whether an opened JPEG file has the pixels from before the fill outside the MCUs with a changed pixel.

    Where colours are subsampled, the pixels beside such an MCU may differ too, since decoders smooth them.
    """
    assert isinstance(image, JpegImagePlugin.JpegImageFile)
    wide, high = (8 * max(layer[axis] for layer in image.layer) for axis in (1, 2))
    now, starts = np.asarray(image), range(0, len(before), high)  # in strips, to take little memory

    def differing(pixels: np.ndarray, top: int) -> np.ndarray:
        strip = before[top : top + high] != pixels[top : top + high]
        return strip.reshape(*strip.shape[:2], -1).any(axis=2)

    columns = np.arange(0, before.shape[1], wide)
    touched = np.stack([np.logical_or.reduceat(differing(after, top).any(axis=0), columns) for top in starts])
    reach = (-1, 0, 1) if max(wide, high) > 8 else (0,)
    for top in starts:
        y, x = np.nonzero(differing(now, top))
        near = [
            touched[
                (y + top + down).clip(0, len(before) - 1) // high, (x + across).clip(0, before.shape[1] - 1) // wide
            ]
            for down in reach
            for across in reach
        ]
        if not np.any(near, axis=0).all():
            return False
    return True


def _about_inks(about: list[bytes], source: bytes, space: str) -> list[bytes]:
    """The metadata of a file with four components; Adobe's segment, which Pillow writes anyhow, is as in the source."""
    adobe = _ADOBE + b"\0d\0\0\0\0" + (b"\2" if space == "YCCK" else b"\0")
    others = [data for data in about if not data.startswith(_ADOBE)]
    return [adobe, *others] if _ADOBE in source else others


def _written(
    planes: Sequence[np.ndarray],
    tables: np.ndarray,
    numbers: list[int],
    factors: np.ndarray,
    sides: tuple[int, ...],
    scratch: Path,
) -> bytes:
    """The segments of a file with up to three components, from tables to scan."""
    import jpeglib

    file = jpeglib.from_dct(*planes, qt=tables, quant_tbl_no=numbers)
    file.height, file.width = sides
    file.samp_factor = np.ascontiguousarray(factors)
    with _nothing_printed():
        file.write_dct(str(scratch), flags=["OPTIMIZE_CODING"])
    return b"".join(_numbered(kind, data) for kind, data in _segments(scratch.read_bytes()) if kind not in _METADATA)


def _scan_by_scan(
    planes: list[np.ndarray], tables: np.ndarray, factors: np.ndarray, sides: tuple[int, ...], scratch: Path
) -> bytes:
    """The segments of a file with four components, which jpeglib cannot write: each in a scan of its own.

    The scan of one component is that of a grey file with its blocks (ITU-T T.81, A.2.2).
    """
    quantisation, components, scans, frames = b"", b"", b"", set()
    most = factors.max(axis=0)
    for number, (plane, table, factor) in enumerate(zip(planes, tables, factors, strict=True)):
        down, across = factor.tolist()
        components += bytes([number + 1, across << 4 | down, number])
        own = tuple((-(-np.array(sides) * factor // most)).tolist())
        grey = _written([plane], table[None], [0], np.ones((1, 2), factors.dtype), own, scratch)
        for kind, data in _segments(_SOI + grey):
            segment = bytearray(data)
            if kind in _SOF:
                frames.add(kind)
            elif kind == _DQT:
                segment[4] |= number
                quantisation += segment
            else:
                segment[5] = number + 1 if kind == _SOS else segment[5]
                scans += segment
    frame = struct.pack(">BBHBHHB", 0xFF, max(frames), 8 + len(components), 8, *sides, len(planes)) + components
    return quantisation + frame + scans


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
    while (found := _MARKER.search(file, start)) and (kind := file[found.end()]) != _EOI[1]:
        start = found.end() + 1 + int.from_bytes(file[found.end() + 1 : found.end() + 3], "big")
        if kind == _SOS:
            following = _MARKER.search(file, start)
            start = following.start() if following else len(file)
        yield kind, file[found.end() - 1 : start]


def _without_metadata(file: bytes) -> bytes:
    """A JPEG file that has only what its pixels depend on; jpeglib has room for 50 segments of metadata."""
    segments = list(_segments(file))
    colours = [data for kind, data in segments if kind in (_APP0, _APP14)][:40]
    return _SOI + b"".join([*colours, *(data for kind, data in segments if kind not in _METADATA)]) + _EOI


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
        if len(planes) == 4:  # Pillow inverts all four
            values = -1 - values
            values[..., :3] = (-1 - values[..., :3]) @ _YCBCR if space == "YCCK" else values[..., :3]
        elif space == "YCbCr":
            values = values @ _YCBCR
        parts = zip(planes, tables, factors, most // factors, strict=True)
        for number, (plane, table, (rows, _), (down, across)) in enumerate(parts):
            blocks = plane[unit * rows : (unit + 1) * rows]
            there = slice(len(blocks)), slice(blocks.shape[1])  # the last MCU may have fewer
            touched = changed.reshape(rows, 8 * down, -1, 8 * across).max(axis=(1, 3))[there]
            samples = values[..., number].reshape(rows * 8, down, -1, across).mean(axis=(1, 3))
            cells = samples.reshape(rows, 8, -1, 8).swapaxes(1, 2)[there][touched]
            blocks[touched] = np.rint(dctn(cells, axes=(1, 2), norm="ortho") / table)
