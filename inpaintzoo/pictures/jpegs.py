"""The segments of JPEG files that Pillow does not carry over."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from pathlib import Path

from PIL import Image

_APP13 = 0xED
_PHOTOSHOP = b"Photoshop 3.0\0"
_THUMBNAILS = (0x0409, 0x040C)  # of Photoshop: they show what was removed


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
