"""What a picture file says beside its pixels: EXIF and XMP, made to fit an upright picture, the rest byte for byte."""

from __future__ import annotations

import re
import struct

from PIL import ExifTags, Image

_PREFIX = b"Exif\0\0"
_SHORT = 3
# What of a TIFF file's own tags says something about the picture and not about its storage.
ABOUT = (
    ExifTags.Base.ImageDescription,
    ExifTags.Base.Make,
    ExifTags.Base.Model,
    ExifTags.Base.Software,
    ExifTags.Base.DateTime,
    ExifTags.Base.Artist,
    ExifTags.Base.Copyright,
)


def exif_bytes(image: Image.Image) -> bytes:
    """The EXIF block of an opened file, as stored; made of the tags about the picture if it is a TIFF file."""
    stored = image.info.get("exif", b"")
    if stored or image.format != "TIFF":
        return bytes(stored)
    found, kept = image.getexif(), Image.Exif()
    kept.update({int(tag): found[tag] for tag in ABOUT if tag in found})
    for part in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
        inner = found.get_ifd(part)
        if inner:
            kept[int(part)] = dict(inner)
    return kept.tobytes() if len(kept) else b""


def upright_exif(exif: bytes, turned: bool) -> bytes:
    """The block for a picture whose pixels were brought upright, and filled.

    Orientation becomes 1, width and height change places if it was turned by a quarter, and the thumbnail goes: it
    would still show what was removed. All other bytes stay, so that makers' notes remain readable.

    Args:
        exif: the block, with or without its prefix.
        turned: whether the pixels were turned by a quarter.
    """
    prefix = _PREFIX if exif.startswith(_PREFIX) else b""
    block = bytearray(exif[len(prefix) :])
    try:
        _patch(block, turned)
    except (struct.error, KeyError):
        return exif  # damaged: nobody reads an orientation or a thumbnail in it
    return prefix + bytes(block)


def _patch(block: bytearray, turned: bool) -> None:
    order = {b"II": "<", b"MM": ">"}[bytes(block[:2])]
    (first,) = struct.unpack_from(order + "I", block, 4)
    entries, link = _entries(block, first, order)
    if ExifTags.Base.Orientation in entries:
        struct.pack_into(order + "HIHH", block, entries[ExifTags.Base.Orientation] + 2, _SHORT, 1, 1, 0)
    if turned and int(ExifTags.IFD.Exif) in entries:
        (inner,) = struct.unpack_from(order + "I", block, entries[int(ExifTags.IFD.Exif)] + 8)
        sides, _ = _entries(block, inner, order)
        _swap(block, sides.get(ExifTags.Base.ExifImageWidth), sides.get(ExifTags.Base.ExifImageHeight))
    (thumbnail,) = struct.unpack_from(order + "I", block, link)
    struct.pack_into(order + "I", block, link, 0)
    if thumbnail:
        _blank(block, _entries(block, thumbnail, order)[0], order)


def _entries(block: bytearray, start: int, order: str) -> tuple[dict[int, int], int]:
    """Where each tag's entry of a directory begins, and where its link to the next directory stands."""
    (count,) = struct.unpack_from(order + "H", block, start)
    places = [start + 2 + 12 * index for index in range(count)]
    return {struct.unpack_from(order + "H", block, place)[0]: place for place in places}, start + 2 + 12 * count


def _swap(block: bytearray, first: int | None, second: int | None) -> None:
    """Exchange type, count and value of two entries."""
    if first is not None and second is not None:
        one, two = block[first + 2 : first + 12], block[second + 2 : second + 12]
        block[first + 2 : first + 12], block[second + 2 : second + 12] = two, one


def _blank(block: bytearray, entries: dict[int, int], order: str) -> None:
    if not {0x0201, 0x0202} <= entries.keys():  # start and length of the JPEG thumbnail
        return
    start, length = (struct.unpack_from(order + "I", block, entries[tag] + 8)[0] for tag in (0x0201, 0x0202))
    end = min(start + length, len(block))
    block[start:end] = bytes(max(0, end - start))


def upright_xmp(xmp: bytes) -> bytes:
    """The XMP packet with orientation 1, and without the pictures of its thumbnails."""
    upright = re.sub(rb"(tiff:Orientation(?:=[\"']|>))\d", rb"\g<1>1", xmp)
    return re.sub(rb"((?:xmp|xap)GImg:image(?:=[\"']|>))[^<\"']*", rb"\g<1>", upright)
