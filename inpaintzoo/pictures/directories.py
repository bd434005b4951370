"""Directories of TIFF files and EXIF blocks, copied field by field, whatever the values mean.

TIFF 6.0, section 2, and its 64-bit variant BigTIFF. Pillow reads texts as Latin-1 and writes them as ASCII, which
destroys all others.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Container, Mapping
from typing import BinaryIO, NamedTuple, TypeAlias

import numpy as np

EXIF, GPS, IPTC, _INTEROPERABILITY = 34665, 34853, 33723, 40965
_UNDEFINED, _ADDRESSES = 7, (13, 18)  # types: bytes; IFD and IFD8
# The fields that point to a directory, and those in that directory that do.
_POINTERS: Mapping[int, Mapping[int, Mapping]] = {EXIF: {_INTEROPERABILITY: {}}, GPS: {}}
# Type -> bytes per value, and bytes per number in it: what the byte order applies to.
_SIZES = {
    **dict.fromkeys((1, 2, 6, 7, 129), (1, 1)),  # BYTE, ASCII, SBYTE, UNDEFINED, EXIF 3.0's UTF-8
    **dict.fromkeys((3, 8), (2, 2)),  # SHORT, SSHORT
    **dict.fromkeys((4, 9, 11, 13), (4, 4)),  # LONG, SLONG, FLOAT, IFD
    **dict.fromkeys((5, 10), (8, 4)),  # RATIONAL, SRATIONAL
    **dict.fromkeys((12, 16, 17, 18), (8, 8)),  # DOUBLE and BigTIFF's LONG8, SLONG8, IFD8
}


class Field(NamedTuple):
    """A field: TIFF's number of its type, and its values as little-endian bytes or the directory it points to."""

    kind: int
    value: bytes | Directory


Directory: TypeAlias = dict[int, Field]
"""Fields by their tag."""


class _Layout:
    """How a file with this header stores directories."""

    def __init__(self, head: bytes) -> None:
        number = head[2:4].strip(b"\0")  # 42 or 43, in either byte order, as some write it
        if head[:2] not in (b"II", b"MM") or number not in (b"*", b"+"):
            raise ValueError(f"a header of {head!r}")
        self.order, big = "<" if head[:2] == b"II" else ">", number == b"+"
        self.count = struct.Struct(self.order + ("Q" if big else "H"))
        self.entry = struct.Struct(self.order + ("HHQ8s" if big else "HHI4s"))
        self.offset = struct.Struct(self.order + ("Q" if big else "I"))
        self.pointer = 16 if big else 4  # type
        self.start = 8 if big else 4  # of the header's link to the first directory

    def little(self, data: bytes, kind: int) -> bytes:
        """Values from this layout's byte order to little-endian, or back."""
        swapped = data and self.order == ">" and _SIZES[kind][1] > 1
        return np.frombuffer(data, f"u{_SIZES[kind][1]}").byteswap().tobytes() if swapped else data

    def pack(self, directory: Directory, start: int) -> bytes:
        """A directory that begins at `start`, followed by what does not fit into its entries."""
        entries, rest = [], bytearray()
        end = start + self.count.size + self.entry.size * len(directory) + self.offset.size
        for tag, (kind, value) in sorted(directory.items()):
            place = self.offset.pack(end + len(rest))
            if isinstance(value, dict):
                count, slot = 1, place
                rest += self.pack(value, end + len(rest))
            else:
                count, slot = len(value) // _SIZES[kind][0], self.little(value, kind)
                if len(slot) > self.offset.size:
                    rest += slot + bytes(len(slot) % 2)
                    slot = place
            entries.append(self.entry.pack(tag, self.pointer if isinstance(value, dict) else kind, count, slot))
        return self.count.pack(len(entries)) + b"".join(entries) + self.offset.pack(0) + bytes(rest)


class _Reader:
    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.size = file.seek(0, io.SEEK_END)
        self.left = 2 * self.size  # fields may share bytes, but in a sound file not enough to fill the memory
        self.layout = _Layout(self.bytes_at(0, 4))
        self.lost: list[int] = []

    def bytes_at(self, start: int, length: int) -> bytes:
        self.left -= length
        if start + length > self.size or self.left < 0:
            raise ValueError(f"there are no bytes {start} to {start + length}")
        self.file.seek(start)
        return self.file.read(length)

    def directory(self, start: int, pointers: Mapping[int, Mapping], only: Container[int] | None) -> Directory:
        layout = self.layout
        found: Directory = {}
        (length,) = layout.count.unpack(self.bytes_at(start, layout.count.size))
        entries = self.bytes_at(start + layout.count.size, length * layout.entry.size)
        for tag, kind, count, slot in layout.entry.iter_unpack(entries):
            if only is not None and tag not in only:
                continue
            try:
                size = _SIZES[kind][0]
                if tag in pointers:
                    place = int.from_bytes(slot[:size], "little" if layout.order == "<" else "big")
                    found[tag] = Field(kind, self.directory(place, pointers[tag], None))
                elif kind not in _ADDRESSES:  # other addresses lead to unknown data
                    fits = count * size <= len(slot)
                    data = slot[: count * size] if fits else self.bytes_at(layout.offset.unpack(slot)[0], count * size)
                    # IPTC is bytes, though many declare it as LONG, which would be reordered.
                    found[tag] = Field(_UNDEFINED, data) if tag == IPTC else Field(kind, layout.little(data, kind))
            except (ValueError, KeyError):
                self.lost.append(tag)
        return found


def read_first(file: BinaryIO, only: Container[int] | None = None) -> tuple[Directory, str, list[int]]:
    """Read the first directory of a TIFF file or EXIF block, with the EXIF, GPS and interoperability ones below it.

    Args:
        file: begins with TIFF's header.
        only: the tags of the first directory to read; None for all.

    Returns:
        The directory, the file's byte order (`<` or `>`), and the tags of damaged fields.

    Raises:
        ValueError: the header is missing, or the directory that it points to.
    """
    reader = _Reader(file)
    layout = reader.layout
    (start,) = layout.offset.unpack(reader.bytes_at(layout.start, layout.offset.size))
    return reader.directory(start, _POINTERS, only), layout.order, reader.lost


def to_block(directory: Directory, order: str) -> bytes:
    """An EXIF block (without prefix) of this directory, in the byte order `<` or `>`."""
    head = {"<": b"II*\0", ">": b"MM\0*"}[order]
    return head + struct.pack(order + "I", 8) + _Layout(head).pack(directory, 8)


def put_first(file: BinaryIO, directory: Directory) -> None:
    """Append a directory to a TIFF file of one picture, in place of its first one."""
    file.seek(0)
    layout = _Layout(file.read(4))
    start = file.seek(0, io.SEEK_END)
    start += file.write(bytes(start % 2))  # directories begin at even offsets
    file.write(layout.pack(directory, start))
    file.seek(layout.start)
    file.write(layout.offset.pack(start))
