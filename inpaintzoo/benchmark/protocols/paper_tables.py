"""The numbers that papers printed, from `papers/PROTOCOL.csv`, in the units of the protocols' metrics.

The zoo's own methods carry their class names; settings without a class keep the paper's name.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from importlib import resources

from inpaintzoo.benchmark.protocols.protocol import Published


def published(name: str) -> tuple[Published, ...]:
    """The rows that papers printed under a named protocol."""
    text = (resources.files(__package__) / "papers" / f"{name}.csv").read_text(encoding="utf-8")
    return tuple(rows(text.splitlines()))


def rows(lines: Iterable[str]) -> Iterator[Published]:
    """The rows of a CSV table; an empty cell is a number that the paper does not give.

    Args:
        lines: the header `source,data,masks,method` and the metrics' names, then one line per row.

    Raises:
        ValueError: a row with more or fewer values than metrics.
    """
    table = csv.reader(lines)
    metrics = next(table)[4:]
    for source, data, masks, method, *values in table:
        if len(values) != len(metrics):
            raise ValueError(f"{source}: {method} has {len(values)} values for {len(metrics)} metrics")
        numbers = {metric: float(value) for metric, value in zip(metrics, values, strict=True) if value}
        yield Published(method, data, masks, numbers, source)
