"""Boxes in a picture."""

from __future__ import annotations

from typing import NamedTuple


class Box(NamedTuple):
    """A rectangle in a picture, in pixels, ends exclusive."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def height(self) -> int:
        """In pixels."""
        return self.bottom - self.top

    @property
    def width(self) -> int:
        """In pixels."""
        return self.right - self.left

    @property
    def side(self) -> int:
        """The longer one, in pixels."""
        return max(self.height, self.width)

    @property
    def slices(self) -> tuple[slice, slice]:
        """To cut it out of an array `(H, W, ...)`."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def overlaps(self, other: Box) -> bool:
        """Whether they share a pixel."""
        rows = self.top < other.bottom and other.top < self.bottom
        return rows and self.left < other.right and other.left < self.right

    def union(self, other: Box) -> Box:
        """The smallest box around both."""
        return Box(
            min(self.top, other.top),
            min(self.left, other.left),
            max(self.bottom, other.bottom),
            max(self.right, other.right),
        )

    def moved(self, rows: int, columns: int) -> Box:
        """The box shifted."""
        return Box(self.top + rows, self.left + columns, self.bottom + rows, self.right + columns)

    def around(self, height: int, width: int, frame: tuple[int, int]) -> Box:
        """A box of this size, or the frame's if smaller, within the frame and as near this one's centre as possible."""
        top, bottom = _centred(self.top, self.bottom, height, frame[0])
        left, right = _centred(self.left, self.right, width, frame[1])
        return Box(top, left, bottom, right)


def _centred(start: int, end: int, length: int, whole: int) -> tuple[int, int]:
    length = min(length, whole)
    first = min(max((start + end - length) // 2, 0), whole - length)
    return first, first + length
