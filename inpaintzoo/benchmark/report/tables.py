"""The tables of a benchmark: values with intervals, which is best, and which differ from it by more than chance."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np

from inpaintzoo.benchmark.protocols.protocol import Protocol
from inpaintzoo.benchmark.report.bootstrap import LEAST, Bootstrap, Interval, image_weights
from inpaintzoo.benchmark.report.names import in_words
from inpaintzoo.benchmark.results import BenchmarkResults, PairSet
from inpaintzoo.metrics import MetricResults
from inpaintzoo.metrics.results import ALL, Column, column_decimals, column_remarks, number
from inpaintzoo.types import DataError

Means = dict[tuple[str, str], np.ndarray]  # over resamples, by contender and metric


@dataclasses.dataclass(frozen=True)
class Entry:
    """One number of a table.

    Attributes:
        value: None where the metric is undefined.
        text: the number as printed; all numbers of a metric in a table have the same decimals.
        place: 1 for the best of its group, 2 for the second of three or more, otherwise 0. Numbers that are printed
            alike share a place.
        interval: confidence interval of the mean over images; None for metrics of a whole set.
        difference: interval of the paired difference from the best; None for the best itself.
    """

    value: float | None
    text: str
    place: int = 0
    interval: Interval | None = None
    difference: Interval | None = None

    @property
    def tied(self) -> bool:
        """Whether the difference from the best may be chance: its interval contains 0."""
        return self.difference is not None and self.difference[0] <= 0.0 <= self.difference[1]


@dataclasses.dataclass(frozen=True)
class Table:
    """All contenders on one set under one protocol.

    Attributes:
        pair_set: the pairs that were measured.
        protocol: how it was measured.
        names: names of the contenders, in order.
        columns: the metrics, in order.
        decimals: of the numbers of each metric, by its name.
        counts: number of images in each group: `all`, then the bins that are not empty.
        entries: by group, contender and metric.
        remarks: what to know about the numbers, one sentence each.
        missing: metrics that were left out, and why.
    """

    pair_set: PairSet
    protocol: Protocol
    names: list[str]
    columns: list[Column]
    decimals: dict[str, int]
    counts: dict[str, int]
    entries: dict[tuple[str, str, str], Entry]
    remarks: list[str]
    missing: dict[str, str]

    @property
    def groups(self) -> list[str]:
        """`all`, then the bins; only `all` if a single bin holds all images."""
        return list(self.counts) if len(self.counts) > 2 else [ALL]


def make_tables(results: BenchmarkResults, bootstrap: Bootstrap | None = None) -> list[Table]:
    """A table for each set and protocol.

    Args:
        results: what the benchmark found.
        bootstrap: how intervals are made.

    Raises:
        DataError: contenders were measured on different images.
    """
    tables = []
    for pair_set in results.pair_sets:
        for protocol in results.protocols:
            if cells := results.cells_of(pair_set.name, protocol.name):
                missing = results.missing.get(protocol.name, {})
                tables.append(_table(pair_set, protocol, cells, missing, bootstrap or Bootstrap()))
    return tables


def _table(
    pair_set: PairSet,
    protocol: Protocol,
    cells: Mapping[str, MetricResults],
    missing: Mapping[str, str],
    bootstrap: Bootstrap,
) -> Table:
    _check_images(pair_set, protocol, cells)
    summaries = {name: cell.summary() for name, cell in cells.items()}
    first = next(iter(cells.values()))
    found = first.groups()
    counts = {ALL: len(first.rows), **{group: len(rows) for group, rows in found.items() if group != ALL}}
    columns = list({column.name: column for cell in cells.values() for column in cell.columns}.values())
    entries = {}
    decimals = {column.name: column_decimals(column, summaries.values()) for column in columns}
    for group in counts:
        means = _resampled(group, cells, bootstrap)
        for column in columns:
            values = {name: summary[group].get(column.name) for name, summary in summaries.items()}
            for name, entry in _entries(column, values, decimals[column.name], means, bootstrap).items():
                entries[group, name, column.name] = entry
    remarks = _remarks(protocol, cells, columns)
    measured = {column.name for column in columns}  # a metric may be left out on another set only
    left_out = {name: reason for name, reason in missing.items() if name not in measured}
    return Table(pair_set, protocol, list(cells), columns, decimals, counts, entries, remarks, left_out)


def _check_images(pair_set: PairSet, protocol: Protocol, cells: Mapping[str, MetricResults]) -> None:
    seen = {name: [(row["index"], row["name"], row["bin"]) for row in cell.rows] for name, cell in cells.items()}
    (first, expected), *others = seen.items()
    if not expected:
        raise DataError(f"set {pair_set.name!r}: no image of it was measured")
    for name, images in others:
        if images != expected:
            raise DataError(
                f"set {pair_set.name!r}, protocol {protocol.name!r}: {first!r} and {name!r} were measured on different "
                f"images; run the benchmark again in a new output folder"
            )


def _resampled(group: str, cells: Mapping[str, MetricResults], bootstrap: Bootstrap) -> Means:
    """Means over resampled images, of all contenders at once: each resample holds the same images for all."""
    series: dict[tuple[str, str], list[float | None]] = {}
    weights: list[np.ndarray] = []
    for name, cell in cells.items():
        rows = cell.groups()[group]
        for column in cell.columns:
            if len(rows) >= LEAST and column.name in rows[0]:
                values = [row[column.name] for row in rows]
                series[name, column.name] = values
                weights.append(image_weights(values, cell.batch))
    if not series:
        return {}
    numbers = np.array([[math.nan if value is None else value for value in values] for values in series.values()])
    return dict(zip(series, bootstrap.means(numbers, np.stack(weights)).T, strict=True))


def _entries(
    column: Column, values: Mapping[str, float | None], decimals: int, means: Means, bootstrap: Bootstrap
) -> dict[str, Entry]:
    texts = {name: number(value, decimals) for name, value in values.items()}
    ranked = _ranked(column, values)
    places = {text: place for place, text in enumerate(dict.fromkeys(texts[name] for name in ranked), start=1)}
    compared = len(ranked) > 1
    marked = min(2, len(ranked) - 1)  # the second of two methods is simply the worse one
    entries = {}
    for name, value in values.items():
        own = means.get((name, column.name))
        best = means.get((ranked[0], column.name)) if compared and name != ranked[0] else None
        difference = None if own is None or best is None else bootstrap.interval(own - best)
        place = places.get(texts[name], 0) if compared and name in ranked else 0
        interval = None if own is None else bootstrap.interval(own)
        entries[name] = Entry(value, texts[name], place if place <= marked else 0, interval, difference)
    return entries


def _ranked(column: Column, values: Mapping[str, float | None]) -> list[str]:
    """Names of the contenders that have a value, best first; ties keep their order."""
    known = {name: value for name, value in values.items() if value is not None and not math.isnan(value)}
    return sorted(known, key=lambda name: known[name], reverse=column.better == "higher")


def _remarks(protocol: Protocol, cells: Mapping[str, MetricResults], columns: Sequence[Column]) -> list[str]:
    rules = protocol.rules()
    remarks = [f"Judged: {rules['judged']}. Means: {rules['mean']}."]
    first = next(iter(cells.values()))
    total = len(first.rows)
    if total < first.batch:
        remarks.append(f"{total} images are fewer than a batch and count as they are.")
    elif tail := total % first.batch:
        remarks.append(f"The last {tail} of {total} images fill no batch and do not count over all images.")
    for note in dict.fromkeys(note for cell in cells.values() for note in cell.notes):
        names = [name for name, cell in cells.items() if note in cell.notes]
        remarks.append(note if len(names) == len(cells) else f"{', '.join(names)}: {note}")
    for column in columns:
        found = column_remarks(column, {name: cell.rows for name, cell in cells.items()})
        remarks += [in_words(column.name) + remark.removeprefix(column.name) for remark in found]
    return remarks
