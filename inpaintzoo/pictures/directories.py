"""Directories of TIFF files and EXIF blocks, copied field by field, whatever the values mean.

TIFF 6.0, section 2, and its 64-bit variant BigTIFF. Pillow takes texts for Latin-1 when it reads and for ASCII when it
writes, which destroys all others.
"""

from __future__ import annotations

import dataclasses
import io
import struct
from collections.abc import Container, Mapping
from typing import BinaryIO, NamedTuple, TypeAlias

import numpy as np

EXIF, GPS, IPTC, _INTEROPERABILITY = 34665, 34853, 33723, 40965
_UNDEFINED = 7  # the type of bytes
# Which fields point to a directory, and which fields of that directory do.
_POINTERS: Mapping[int, Mapping[int, Mapping]] = {EXIF: {_INTEROPERABILITY: {}}, GPS: {}}
# Type -> bytes a value takes, and those of them that change places in the other byte order.
_SIZES = {
    **dict.fromkeys((1, 2, 6, 7, 129), (1, 1)),  # BYTE, ASCII, SBYTE, UNDEFINED, EXIF 3.0's UTF-8
    **dict.fromkeys((3, 8), (2, 2)),  # SHORT, SSHORT
    **dict.fromkeys((4, 9, 11, 13), (4, 4)),  # LONG, SLONG, FLOAT, IFD
    **dict.fromkeys((5, 10), (8, 4)),  # RATIONAL, SRATIONAL
    **dict.fromkeys((12, 16, 17, 18), (8, 8)),  # DOUBLE and BigTIFF's LONG8, SLONG8, IFD8
}
_ADDRESSES = (13, 18)  # the types IFD and IFD8


@dataclasses.dataclass(frozen=True)
class Field:
    """A field of a directory.

    Attributes:
        kind: TIFF's number of the type.
        data: the values, little-endian.
        inner: the directory that the field points to, if it is known to; there is no data then.
    """

    kind: int
    data: bytes = b""
    inner: Directory | None = None


Directory: TypeAlias = dict[int, Field]
"""Fields by their tag."""


class Found(NamedTuple):
    """A file's first directory.

    Attributes:
        directory: its fields, with the directories they point to.
        order: the file's byte order, as `struct` has it.
        lost: the tags of fields that are damaged.
    """

    directory: Directory
    order: str
    lost: list[int]


class _Layout:
    """How a file stores a directory.

    Args:
        order: `<` or `>`.
        big: whether it is a BigTIFF file.
    """

    def __init__(self, order: str, big: bool = False) -> None:
        self.order = order
        self.count = struct.Struct(order + ("Q" if big else "H"))
        self.entry = struct.Struct(order + ("HHQ8s" if big else "HHI4s"))
        self.offset = struct.Struct(order + ("Q" if big else "I"))
        self.pointer = 16 if big else 4
        self.start = 8 if big else 4  # of the header's link to the first directory

    def little(self, data: bytes, kind: int) -> bytes:
        """Values from this layout's byte order to little-endian, or back."""
        unit = _SIZES[kind][1]
        return (
            data if self.order == "<" or unit == 1 or not data else np.frombuffer(data, f"u{unit}").byteswap().tobytes()
        )


class _Reader:
    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.size = file.seek(0, io.SEEK_END)
        # Fields may share bytes, but in a sound file not so many that they would fill the memory.
        self.left = 2 * self.size
        self.layout = _layout(self.bytes_at(0, 4))
        self.lost: list[int] = []

    def bytes_at(self, start: int, length: int) -> bytes:
        self.left -= length
        if start + length > self.size or self.left < 0:
            raise ValueError(f"there are no bytes {start} to {start + length}")
        self.file.seek(start)
        return self.file.read(length)

    def first(self, only: Container[int] | None) -> Directory:
        link = self.bytes_at(self.layout.start, self.layout.offset.size)
        return self.directory(self.layout.offset.unpack(link)[0], _POINTERS, only)

    def directory(self, start: int, pointers: Mapping[int, Mapping], only: Container[int] | None) -> Directory:
        count, entry = self.layout.count, self.layout.entry
        (length,) = count.unpack(self.bytes_at(start, count.size))
        found: Directory = {}
        for tag, kind, values, slot in entry.iter_unpack(self.bytes_at(start + count.size, length * entry.size)):
            if only is not None and tag not in only:
                continue
            try:
                if tag in pointers:
                    inner = self.directory(self.address(kind, slot), pointers[tag], None)
                    found[tag] = Field(self.layout.pointer, inner=inner)
                elif kind not in _ADDRESSES:  # of what, nobody knows
                    # IPTC is bytes, though many declare it as LONG, which would be turned round.
                    data = self.values(kind, values, slot, turned=tag != IPTC)
                    found[tag] = Field(kind if tag != IPTC else _UNDEFINED, data)
            except (ValueError, KeyError):
                self.lost.append(tag)
        return found

    def address(self, kind: int, slot: bytes) -> int:
        size = _SIZES[kind][0]
        return int.from_bytes(slot[:size], "little" if self.layout.order == "<" else "big")

    def values(self, kind: int, count: int, slot: bytes, turned: bool) -> bytes:
        length = count * _SIZES[kind][0]
        (start,) = self.layout.offset.unpack(slot)
        data = slot[:length] if length <= len(slot) else self.bytes_at(start, length)
        return self.layout.little(data, kind) if turned else data


def _layout(head: bytes) -> _Layout:
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    number = head[2:].strip(b"\0")  # 42 or 43, in either order, as some write it
    if order is None or number not in (b"*", b"+"):
        raise ValueError(f"a header of {head!r}")
    return _Layout(order, big=number == b"+")


def read_first(file: BinaryIO, only: Container[int] | None = None) -> Found:
    """Read the first directory of a TIFF file or EXIF block, with the EXIF, GPS and interoperability ones below it.

    Args:
        file: which begins with TIFF's header.
        only: the tags of the first directory to read; None for all.

    Raises:
        ValueError: there is no such header, or no directory where it says so.
    """
    reader = _Reader(file)
    return Found(reader.first(only), reader.layout.order, reader.lost)


def to_block(directory: Directory, order: str) -> bytes:
    """An EXIF block (without prefix) of this directory.

    Args:
        directory: its fields.
        order: of the bytes, `<` or `>`.
    """
    head = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(order + "I", 8)
    return head + _pack(directory, 8, _Layout(order))


def put_first(file: BinaryIO, directory: Directory) -> None:
    """Add a directory at the end of a TIFF file and make it the first one, in place of that of its only picture."""
    file.seek(0)
    layout = _layout(file.read(4))
    start = file.seek(0, io.SEEK_END)
    start += file.write(bytes(start % 2))  # directories begin at even places
    file.write(_pack(directory, start, layout))
    file.seek(layout.start)
    file.write(layout.offset.pack(start))


def _pack(directory: Directory, start: int, layout: _Layout) -> bytes:
    """A directory that stands at `start`, and behind it what does not fit into its entries."""
    entries, behind = [], bytearray()
    end = start + layout.count.size + layout.entry.size * len(directory) + layout.offset.size
    for tag, field in sorted(directory.items()):
        place = end + len(behind)
        if field.inner is not None:
            kind, count, slot = layout.pointer, 1, layout.offset.pack(place)
            behind += _pack(field.inner, place, layout)
        else:
            kind, count = field.kind, len(field.data) // _SIZES[field.kind][0]
            slot = layout.little(field.data, kind)
            if len(slot) > layout.offset.size:
                behind += slot + bytes(len(slot) % 2)
                slot = layout.offset.pack(place)
        entries.append(layout.entry.pack(tag, kind, count, slot))  # which fills up with zeros
    return layout.count.pack(len(entries)) + b"".join(entries) + layout.offset.pack(0) + bytes(behind)
