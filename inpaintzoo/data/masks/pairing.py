"""Which mask file belongs to which picture, by name.

A picture `a/b.jpg` goes with the first of these that exists: the mask of exactly its name (`a/b.png`, `a/b.jpg.png`),
`a/b_mask.png` or `a/b-mask.png`, then the same with a number (`a/b_mask001.png`). Names that differ only in Unicode
form are equal: some systems write letters such as é as two characters.
"""

from __future__ import annotations

import collections
import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from inpaintzoo.pictures.images import is_image_name
from inpaintzoo.types import DataError

_ENDING, _NUMBERED = re.compile(r"[_-]mask$", re.IGNORECASE), re.compile(r"[_-]mask\d+$", re.IGNORECASE)


class NamePairs(NamedTuple):
    """The mask of each picture, None where there is none, and the masks that belong to no picture."""

    masks: list[str | None]
    unused: list[str]


def pair_by_name(pictures: Sequence[str], masks: Sequence[str]) -> NamePairs:
    """The mask of each picture.

    Args:
        pictures: names with `/` between folders, with or without suffix.
        masks: names with suffix.

    Raises:
        DataError: two masks fit a picture equally well.
    """
    meant = [_names_of_mask(mask) for mask in masks]
    found: list[str | None] = [None] * len(pictures)
    taken: set[str] = set()
    names = [_names_of_picture(picture) for picture in pictures]
    for ranked in zip(*meant, strict=True):  # rank by rank: a mask of one picture's name is not another's `NAME_mask`
        there = collections.defaultdict(list)
        for mask, name in zip(masks, ranked, strict=True):
            if mask not in taken:
                there[name].append(mask)
        claimed: set[str] = set()
        for place, (full, stem) in enumerate(names):
            fitting = there.get(full) or there.get(stem)
            if found[place] is not None or not fitting:
                continue
            if len(fitting) > 1:
                raise DataError(
                    f"{fitting[0]} and {fitting[1]} have one name, so it is unclear which belongs to the picture "
                    f"{pictures[place]}; remove one"
                )
            found[place] = fitting[0]
            claimed.add(fitting[0])
        taken |= claimed
    return NamePairs(found, [mask for mask in masks if mask not in taken])


def named_after(pairs: NamePairs) -> bool:
    """Whether masks are named after the pictures.

    Numbers alone, as those of public archives, are so only where most pictures and most masks fit.
    """
    fitting = [mask for mask in pairs.masks if mask is not None]
    if not all(map(is_number, fitting)):
        return True
    return 2 * len(fitting) > max(len(pairs.masks), len(fitting) + len(pairs.unused))


def is_number(name: str) -> bool:
    """Whether a file's name says no more than a number."""
    return _stem(os.path.basename(name)).isdecimal()


def masks_among(names: Iterable[str]) -> set[str]:
    """The masks in one folder that holds pictures and their masks: files named after another file in it.

    A file that has a mask itself is a picture, whatever its own name ends in.
    """
    names = sorted(names, key=len, reverse=True)
    owners: dict[str, list[str]] = collections.defaultdict(list)
    for name in names:
        for key in set(_names_of_picture(name)):
            owners[key].append(name)
    masks: set[str] = set()
    pictures: set[str] = set()
    for name in names:
        own = [
            owner
            for key in _names_of_mask(name)
            for owner in owners.get(key, [])
            if owner != name and len(owner) < len(name) and _stem(owner) != _stem(name)
        ]
        if own and name not in pictures:
            masks.add(name)
            pictures.update(own)
    return masks


def _names_of_mask(mask: str) -> tuple[str, ...]:
    """The names of a picture that a mask's may mean, the likeliest first; pictures may be named without suffix."""
    whole = _composed(mask)
    stem = _stem(whole)
    ended, numbered = _ENDING.sub("", stem), _NUMBERED.sub("", stem)
    return whole, stem, ended, numbered, _stem(stem), _stem(ended), _stem(numbered)


def _names_of_picture(picture: str) -> tuple[str, str]:
    whole = _composed(picture)
    return whole, _stem(whole)


def _stem(name: str) -> str:
    return os.path.splitext(name)[0] if is_image_name(name) else name


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)
