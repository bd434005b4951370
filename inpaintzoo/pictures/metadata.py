"""EXIF and XMP of picture files, adapted to an upright picture and otherwise kept byte for byte."""

from __future__ import annotations

import contextlib
import io
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import ExifTags, Image

from inpaintzoo.pictures.directories import EXIF, GPS, IPTC, Directory, Field, put_first, read_first, to_block
from inpaintzoo.pictures.tiffs import tags_of
from inpaintzoo.words import some

RAW_EXIF = "Raw profile type exif"  # ImageMagick's text in PNG files: three lines, then hexadecimal
XMP_TEXT = "XML:com.adobe.xmp"  # PNG's
PREFIX = b"Exif\0\0"  # of the block in JPEG files, and in most that Pillow returns
_SHORT, _BYTE = 3, 1
_XMP = 700  # TIFF's tag
# The tags of a TIFF file that describe the picture and not its storage.
_ABOUT = (
    *(269, 270, 271, 272, 285, 305, 306, 315, 316, 33432),  # DocumentName to HostComputer, Copyright
    *(318, 319),  # WhitePoint, PrimaryChromaticities
    *(18246, 18249, *range(40091, 40096)),  # ratings, and Windows' XPTitle to XPSubject
    *(EXIF, GPS, IPTC),
)
# GeoTIFF (OGC 19-008r4) and GDAL: where each pixel lies on the earth, and which value means no data.
_PLACES = (33550, 33922, 34264, 34735, 34736, 34737, 42112, 42113)
# The tags of an EXIF block's first directory that describe how its file was stored, or that show the picture again.
_STORAGE = {
    *range(254, 269),  # kinds of files, dimensions, compression, photometric
    *range(273, 285),  # strips, orientation, samples, resolution
    *range(286, 298),  # positions, fax
    *(301, 317, *range(320, 348)),  # transfer function, predictor, palette, tiles, SubIFDs, samples
    *range(512, 533),  # JPEG, YCbCr
    *(_XMP, 34377, 34675, 37724),  # XMP, Photoshop's thumbnail, ICC profile, Photoshop's layers
}


def stored_metadata(
    image: Image.Image, path: str | Path, orientation: int, note: Callable[[str], None]
) -> tuple[bytes, bytes]:
    """The EXIF block with its prefix and the XMP packet of an opened file; for TIFF, a block of its tags.

    Args:
        image: the file.
        path: its path.
        orientation: the picture's, 1 to 8. GeoTIFF's tags are true of the stored pixels only.
        note: called with a sentence about what is left out.
    """
    if image.format == "TIFF":
        kept = {*_ABOUT, *(_PLACES if orientation == 1 else ()), _XMP}
        lost = sorted(set(tags_of(image)) - kept - _STORAGE)
        if lost:
            note(f"{path}: TIFF tags {some(lost)} are left out")
        return _of_tiff(path, kept, note)
    exif = bytes(image.info.get("exif") or _raw_exif(image, path, note))
    if exif and not exif.startswith(PREFIX):  # WebP has no prefix, JPEG needs it
        exif = PREFIX + exif
    xmp = image.info.get("xmp") or getattr(image, "text", {}).get(XMP_TEXT, b"")  # older versions of Pillow: a text
    return exif, xmp if isinstance(xmp, bytes) else str(xmp).encode()


def _of_tiff(path: str | Path, kept: set[int], note: Callable[[str], None]) -> tuple[bytes, bytes]:
    try:
        with open(path, "rb") as file:
            directory, order, lost = read_first(file, only=kept)
    except ValueError:
        note(f"{path}: its metadata is damaged and left out")
        return b"", b""
    _note_lost(lost, path, note)
    xmp = directory.pop(_XMP).value if _XMP in directory else b""
    assert isinstance(xmp, bytes)
    return PREFIX + to_block(directory, order) if directory else b"", xmp


def _raw_exif(image: Image.Image, path: str | Path, note: Callable[[str], None]) -> bytes:
    try:
        return bytes.fromhex("".join(str(image.info.get(RAW_EXIF, "")).split("\n")[3:]))
    except ValueError:
        note(f"{path}: its EXIF is damaged and left out")
        return b""


def _note_lost(tags: list[int], path: str | Path, note: Callable[[str], None]) -> None:
    if tags:
        note(f"{path}: parts of its EXIF are damaged and left out (tags {', '.join(map(str, tags))})")


def add_metadata(file: str, exif: bytes, xmp: bytes, source: str | Path, note: Callable[[str], None]) -> None:
    """Add EXIF and XMP to a TIFF file of one picture that has none.

    Neither Pillow nor tifffile keeps every byte, so the file that they wrote gets a new first directory after its
    pixels; the few bytes of the old one stay in the file.

    Args:
        file: an upright picture.
        exif: the block, with or without its prefix; empty for none.
        xmp: the packet; empty for none.
        source: the file that a note names.
        note: called if some of the EXIF is damaged.
    """
    added: Directory = {_XMP: Field(_BYTE, xmp)} if xmp else {}
    try:
        found, _, lost = read_first(io.BytesIO(_split(exif)[1])) if exif else ({}, "", [])
        added |= {tag: field for tag, field in found.items() if tag not in _STORAGE}
        _note_lost(lost, source, note)
    except ValueError:
        note(f"{source}: its EXIF is damaged and left out")
    if added:
        with open(file, "r+b") as out:
            put_first(out, added | read_first(out)[0])


def _split(exif: bytes) -> tuple[bytes, bytes]:
    """The prefix, which some write twice, and the block."""
    start = len(exif) - len(re.sub(rb"^(Exif\0\0){1,2}", b"", exif))
    return exif[:start], exif[start:]


def filled_exif(exif: bytes, upright: bool, turned: bool) -> bytes:
    """The block for a picture that was filled.

    The thumbnail goes: it would still show what was removed. If the picture was brought upright, orientation becomes 1,
    and width and height trade places if it was turned by a quarter. All other bytes stay, so that makers' notes remain
    readable.

    Args:
        exif: the block, with or without its prefix.
        upright: whether the picture was brought upright.
        turned: whether that took a quarter turn.
    """
    prefix, rest = _split(exif)
    block = bytearray(rest)
    # Damage after the orientation does not keep readers such as Pillow from using it.
    with contextlib.suppress(struct.error, KeyError):
        _patch(block, upright, turned)
    return prefix + bytes(block)


def _patch(block: bytearray, upright: bool, turned: bool) -> None:
    order = {b"II": "<", b"MM": ">"}[bytes(block[:2])]
    long = struct.Struct(order + "I")
    entries, link = _entry_places(block, long.unpack_from(block, 4)[0], order)
    if upright and ExifTags.Base.Orientation in entries:
        struct.pack_into(order + "HIHH", block, entries[ExifTags.Base.Orientation] + 2, _SHORT, 1, 1, 0)
    if turned and EXIF in entries:
        with contextlib.suppress(struct.error, KeyError):  # there may be no sides
            inner, _ = _entry_places(block, long.unpack_from(block, entries[EXIF] + 8)[0], order)
            sides = (inner[ExifTags.Base.ExifImageWidth], inner[ExifTags.Base.ExifImageHeight])
            width, height = (slice(place + 2, place + 12) for place in sides)  # type, count and value
            block[width], block[height] = block[height], block[width]
    (thumbnail,) = long.unpack_from(block, link)
    long.pack_into(block, link, 0)
    if thumbnail:
        shown, _ = _entry_places(block, thumbnail, order)
        start, length = (long.unpack_from(block, shown[tag] + 8)[0] for tag in (0x0201, 0x0202))  # of its JPEG data
        end = min(start + length, len(block))
        block[start:end] = bytes(max(0, end - start))


def _entry_places(block: bytearray, start: int, order: str) -> tuple[dict[int, int], int]:
    """Where each tag's entry of a directory begins, and where its link to the next directory is."""
    (count,) = struct.unpack_from(order + "H", block, start)
    places = [start + 2 + 12 * index for index in range(count)]
    whole = [place for place in places if place + 12 <= len(block)]  # fewer than `count` if the block is cut short
    return {struct.unpack_from(order + "H", block, place)[0]: place for place in whole}, start + 2 + 12 * count


def filled_xmp(xmp: bytes, upright: bool) -> bytes:
    """The XMP packet with empty thumbnails and, if the picture was brought upright, orientation 1; it becomes UTF-8."""
    packet = _in_utf8(xmp)
    if upright:
        packet = re.sub(rb"(tiff:Orientation(?:=[\"']|>))\d", rb"\g<1>1", packet)
    return re.sub(rb"((?:xmp|xap)GImg:image(?:=[\"']|>))[^<\"']*", rb"\g<1>", packet)


def _in_utf8(xmp: bytes) -> bytes:
    for encoding in ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be"):  # UTF-32 first: some of it begins like UTF-16
        if xmp.startswith(("\ufeff".encode(encoding), "<".encode(encoding))):
            with contextlib.suppress(UnicodeDecodeError):
                return xmp.decode(encoding).removeprefix("\ufeff").encode()
    return xmp


def upright_info(info: dict[Any, Any], metadata: dict[str, Any]) -> dict[Any, Any]:
    """The `info` of a Pillow image that was brought upright.

    Args:
        info: the `info` before.
        metadata: as `PictureFile` has it, already adapted.
    """
    kept = {name: value for name, value in info.items() if name not in ("exif", RAW_EXIF)}
    kept.update({name: metadata[name] for name in ("xmp", "dpi") if name in kept and name in metadata})
    if "exif" in metadata:
        kept["exif"] = metadata["exif"]
    if XMP_TEXT in kept:
        kept[XMP_TEXT] = metadata.get("xmp", b"").decode("utf-8", "replace")
    return kept
