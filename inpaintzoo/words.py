"""Words that messages are made of."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence, Sized


def some(things: Iterable[object], limit: int = 5) -> str:
    """The first few things, comma separated, and how many more there are; `none` if there are none."""
    names = [str(thing) for thing in things]
    more = f", … ({len(names) - limit} more)" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more if names else "none"


def counted(things: Sized | int, noun: str) -> str:
    """`1 image`, `2 images`."""
    number = things if isinstance(things, int) else len(things)
    return f"{number} {noun}{'' if number == 1 else 's'}"


def listed(names: Sequence[str], word: str = "or") -> str:
    """`a`, `a or b`, `a, b or c`."""
    return f" {word} ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def did_you_mean(name: str, names: Iterable[str], limit: int = 1, before: str = "", after: str = "") -> str:
    """`; did you mean a or b?` with the names that a misspelt one may have meant; empty if nothing is alike.

    Args:
        name: What was given.
        names: What it could have been.
        limit: How many names to suggest.
        before: Text to put in front of each suggestion.
        after: Text to put after each suggestion.
    """
    close = [f"{before}{found}{after}" for found in nearest(name, names, limit)]
    return f"; did you mean {listed(close)}?" if close else ""


def nearest(name: str, names: Iterable[str], limit: int = 3) -> list[str]:
    """The names that a misspelt one may have meant, the likeliest first; none if nothing is alike."""
    by_lower = {known.lower(): known for known in names}
    return [by_lower[found] for found in difflib.get_close_matches(name.lower(), by_lower, limit, cutoff=0.6)]
