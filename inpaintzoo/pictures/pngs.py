"""Chunks of PNG files that Pillow does not carry over: what the colours mean, and texts."""

from __future__ import annotations

import io
import struct
from pathlib import Path

from PIL import Image, PngImagePlugin

from inpaintzoo.pictures.metadata import RAW_EXIF, XMP_TEXT

# Chunks on the meaning of colours, and their lengths in bytes (PNG, third edition, 11.3.2).
_COLOURS = {b"cICP": 4, b"sRGB": 1, b"gAMA": 4, b"cHRM": 32}


def png_info(image: Image.Image, path: str | Path, xmp: bytes) -> PngImagePlugin.PngInfo:
    """Chunks to write into a PNG file: colours and texts of the PNG file that was read, and any file's XMP packet.

    Args:
        image: the opened file.
        path: its path.
        xmp: the packet; left out if it is empty or not UTF-8.
    """
    chunks = PngImagePlugin.PngInfo()
    for kind, data in (_colour_chunks(path) if image.format == "PNG" else {}).items():
        if kind != b"sRGB" or not image.info.get("icc_profile"):  # the two exclude each other
            chunks.add(kind, data)
    for name, text in getattr(image, "text", {}).items():
        if name not in (XMP_TEXT, RAW_EXIF):
            chunks.add_itxt(name, str(text), getattr(text, "lang", "") or "")
    if xmp and is_text(xmp):
        chunks.add_itxt(XMP_TEXT, xmp.decode())
    return chunks


def is_text(data: bytes) -> bool:
    """Whether these bytes are UTF-8, as texts in PNG files must be."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _colour_chunks(path: str | Path) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    with open(path, "rb") as file:
        file.seek(8)  # the signature
        while len(head := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            if kind == b"IDAT":
                break
            data = file.read(length) if _COLOURS.get(kind) == length else b""
            if data:
                found[kind] = data
            file.seek(length - len(data) + 4, io.SEEK_CUR)  # and the checksum
    return found
