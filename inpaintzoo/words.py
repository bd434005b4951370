"""Words that messages are made of."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sized


def some(things: Iterable[object], limit: int = 5) -> str:
    """The first few things, comma separated, and how many more there are; `none` if there are none."""
    names = [str(thing) for thing in things]
    more = f", … ({len(names) - limit} more)" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more if names else "none"


def counted(things: Sized | int, noun: str) -> str:
    """`1 image`, `2 images`."""
    number = things if isinstance(things, int) else len(things)
    return f"{number} {noun}{'' if number == 1 else 's'}"


def nearest(name: str, names: Iterable[str], limit: int = 3) -> list[str]:
    """The names that a misspelt one may have meant, the likeliest first; none if nothing is alike."""
    by_lower = {known.lower(): known for known in names}
    return [by_lower[found] for found in difflib.get_close_matches(name.lower(), by_lower, limit, cutoff=0.6)]
