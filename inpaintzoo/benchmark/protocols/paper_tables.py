"""The numbers that papers printed, from `papers/`.

`PROTOCOL.csv` holds those of a protocol, in the units of its metrics, and `without_protocol.csv` all others: user
studies, speed, sizes, and detection. A row that a paper repeats unchanged in another table is there once.

The zoo's own methods carry their class names; settings without a class keep the paper's name.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from importlib import resources

from inpaintzoo.benchmark.protocols.protocol import Published


def published(name: str) -> tuple[Published, ...]:
    """The rows that papers printed under a named protocol."""
    return tuple(rows(_lines(name)))


def without_protocol() -> tuple[Published, ...]:
    """The rows that papers printed of what no protocol measures; their values are named by quantity and unit."""
    found: dict[tuple[str, str, str, str], dict[str, float]] = {}
    for *key, quantity, value in csv.reader(_lines("without_protocol")[1:]):
        source, data, masks, method = key
        found.setdefault((source, data, masks, method), {})[quantity] = float(value)
    return tuple(
        Published(method, data, masks, values, source) for (source, data, masks, method), values in found.items()
    )


def _lines(name: str) -> list[str]:
    return (resources.files(__package__) / "papers" / f"{name}.csv").read_text(encoding="utf-8").splitlines()


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
