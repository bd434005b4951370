"""Chunks of PNG files that Pillow does not carry over: what the colours mean, texts, background, time of change."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

from PIL import Image, PngImagePlugin

from inpaintzoo.pictures.metadata import RAW_EXIF, XMP_TEXT

# Chunks that may stand in a file once, and the lengths in bytes they may have (PNG, third edition, 11.3).
_SINGLE = {b"cICP": {4}, b"sRGB": {1}, b"gAMA": {4}, b"cHRM": {32}, b"sBIT": {1, 2, 3, 4}, b"tIME": {7}}
_SINGLE[b"bKGD"] = {1, 2, 6}
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_LONGEST_KEYWORD = 79


def png_info(image: Image.Image, path: str | Path, xmp: bytes) -> PngImagePlugin.PngInfo:
    """Chunks to write into a PNG file: those of the PNG file that was read, as they are, and any file's XMP packet.

    Args:
        image: the opened file.
        path: its path.
        xmp: the packet; left out if it is empty or not UTF-8.
    """
    chunks = PngImagePlugin.PngInfo()
    for kind, data in _chunks(path) if image.format == "PNG" else []:
        if kind != b"sRGB" or not image.info.get("icc_profile"):  # the two exclude each other
            chunks.add(kind, data)
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


def _chunks(path: str | Path) -> list[tuple[bytes, bytes]]:
    found: list[tuple[bytes, bytes]] = []
    with open(path, "rb") as file:
        file.seek(33)  # after the signature and the header
        while len(head := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            wanted = kind in _TEXTS or length in _SINGLE.get(kind, ())
            data = file.read(length) if wanted else b""
            file.seek(length - len(data), io.SEEK_CUR)
            if file.read(4) != zlib.crc32(kind + data).to_bytes(4, "big"):
                continue  # damaged, or not wanted
            if kind in _TEXTS:
                keyword = data.partition(b"\0")[0]
                known = keyword in (XMP_TEXT.encode(), RAW_EXIF.encode())  # written in another way
                wanted = b"\0" in data and 0 < len(keyword) <= _LONGEST_KEYWORD and not known
            if wanted:
                found.append((kind, data))
    return found
