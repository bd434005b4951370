"""The results of a suite of metrics: a row for each image, means by hole ratio, as table, JSON and CSV."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tabulate import tabulate

from inpaintzoo.metrics.base import Metric

ALL = "all"
Row = dict[str, Any]
Summary = dict[str, dict[str, float | None]]


@dataclasses.dataclass(frozen=True)
class Column:
    """A metric as it appears in results; the fields are those of `Metric`."""

    name: str
    unit: str
    better: str
    definition: str
    cap: float | None = None
    undefined: str = Metric.undefined

    @classmethod
    def of(cls, metric: Metric) -> Column:
        """The column for a metric."""
        return cls(metric.name, metric.unit, metric.better, metric.definition, metric.cap, metric.undefined)

    @property
    def title(self) -> str:
        """Name and unit."""
        return f"{self.name} ({self.unit})" if self.unit else self.name


@dataclasses.dataclass
class MetricResults:
    """Values per image and over the set.

    Attributes:
        rows: one per image, by ascending index: `index`, `name`, `ratio`, `bin` and each image metric. A value is
            None where a metric is undefined (metrics of the hole for an image without one).
        columns: the metrics, in order; image metrics first.
        labels: labels of the ratio bins, from small to large holes.
        judge: whether the composite or the raw prediction was judged.
        set_values: values of set metrics, by bin and over `all`.
        notes: further facts that belong beside the numbers.
        batch: 1 for means over images. Larger: the mean of the means of batches of this many images, in order of their
            index, without an incomplete last batch, as in some papers' code. In a ratio bin its own images form the
            batches; fewer images than a batch are simply averaged.
    """

    rows: list[Row]
    columns: list[Column]
    labels: list[str]
    judge: str
    set_values: Summary = dataclasses.field(default_factory=dict)
    notes: list[str] = dataclasses.field(default_factory=list)
    batch: int = 1

    def summary(self) -> Summary:
        """`count` and each metric, by bin, without empty ones, and over `all`.

        An image metric is the mean over the images where it is defined, exactly rounded, so that it does not depend
        on their order; None if it is undefined for all. With `batch` above 1 it is the mean of the batches' means.
        """
        return {group: self._group(group, rows) for group, rows in self.groups().items()}

    def groups(self) -> dict[str, list[Row]]:
        """The rows of each non-empty bin, then all rows."""
        bins = {label: [row for row in self.rows if row["bin"] == label] for label in self.labels}
        return {**{label: rows for label, rows in bins.items() if rows}, ALL: self.rows}

    def _group(self, group: str, rows: Sequence[Row]) -> dict[str, float | None]:
        values: dict[str, float | None] = {"count": len(rows)}
        of_set = self.set_values.get(group, {})
        for column in self.columns:
            name = column.name
            values[name] = of_set[name] if name in of_set else self._mean([row[name] for row in rows])
        return values

    def _mean(self, values: Sequence[float | None]) -> float | None:
        if self.batch == 1 or len(values) < self.batch:
            return mean(values)
        whole = range(0, len(values) - self.batch + 1, self.batch)
        return mean([mean(values[start : start + self.batch]) for start in whole])

    def flat(self) -> dict[str, float]:
        """Each metric over the set, by name, for a logger; without metrics that are undefined on this set."""
        values = self.summary()[ALL]
        return {name: value for name, value in values.items() if name != "count" and value is not None}

    def table(self) -> str:
        """The summary as aligned text, followed by remarks about the numbers."""
        head = ["hole ratio", "images", *(column.title for column in self.columns)]
        summary = self.summary()
        decimals = {column.name: column_decimals(column, [summary]) for column in self.columns}
        body = [
            [group, str(values["count"]), *(number(values[name], digits) for name, digits in decimals.items())]
            for group, values in summary.items()
        ]
        alignment = ["left", *["right"] * (len(head) - 1)]
        lines = tabulate([head, *body], tablefmt="plain", colalign=alignment, disable_numparse=True).splitlines()
        rule = "-" * len(lines[0])
        return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1], *self._remarks()])

    def _remarks(self) -> list[str]:
        judged = "composites (known pixels from the image)" if self.judge == "composite" else "raw predictions"
        remarks = [f"Judged: {judged}. {self._kind_of_mean()}", *self.notes]
        for column in self.columns:
            remarks += column_remarks(column, {"": self.rows})
        return remarks

    def _kind_of_mean(self) -> str:
        if self.batch == 1:
            return "Means over images."
        left_out = len(self.rows) % self.batch if len(self.rows) >= self.batch else 0
        text = f"Means over the means of batches of {self.batch}; an incomplete last one does not count"
        return f"{text} ({left_out} of {len(self.rows)} images)." if left_out else f"{text}."

    def to_json(self, extra: Mapping[str, Any] | None = None) -> str:
        """Summary, count, judge and definitions as JSON; values that are undefined or NaN are `null`.

        Args:
            extra: more keys for the top level.

        Raises:
            ValueError: a key of `extra` is taken.
        """
        content: dict[str, Any] = {
            "count": len(self.rows),
            "judge": self.judge,
            "notes": self.notes,
            "metrics": {column.name: dataclasses.asdict(column) for column in self.columns},
            "summary": self.summary(),
        }
        if taken := content.keys() & (extra or {}).keys():
            raise ValueError(f"to_json: the keys {sorted(taken)} are taken")
        return json.dumps(_finite({**content, **(extra or {})}), indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    def to_csv(self, path: str | Path) -> None:
        """Write the rows as CSV, with nine digits, which identify a float32 value. Undefined values are empty."""
        of_set = self.set_values.get(ALL, {})
        names = ["index", "name", "ratio", "bin", *(c.name for c in self.columns if c.name not in of_set)]
        with Path(path).open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            for row in self.rows:
                values = {name: row[name] for name in names}
                writer.writerow({n: f"{v:.9g}" if isinstance(v, float) else v for n, v in values.items()})


def mean(values: Sequence[float | None]) -> float | None:
    """Mean of the values that are not None, independent of their order; None if there are none, NaN if one is NaN."""
    defined = [value for value in values if value is not None]
    if not defined:
        return None
    return math.fsum(defined) / len(defined)


def column_remarks(column: Column, rows: Mapping[str, Sequence[Row]]) -> list[str]:
    """How many images count as the metric's cap, and how many not at all: a sentence each, for tables to print.

    Args:
        column: the metric.
        rows: of each method, by its name; a single method is not named.
    """
    values = {name: [row[column.name] for row in of_one if column.name in row] for name, of_one in rows.items()}
    total = max(map(len, values.values()))
    capped = {name: sum(v is not None and v == column.cap for v in of_one) for name, of_one in values.items()}
    undefined = {name: sum(v is None for v in of_one) for name, of_one in values.items()}
    cap = column.cap or 0.0
    facts = (
        (capped, f"count as the cap, {number(cap, decimals_of(column.unit, cap))}"),
        (undefined, f"{column.undefined} and do not count"),
    )
    return [
        f"{column.name}: {_by_method(counts)} of {total} images {fact}."
        for counts, fact in facts
        if any(counts.values())
    ]


def _by_method(counts: Mapping[str, int]) -> str:
    """`3` for a single method, `3 (each method)`, or `3 (A), 1 (B)` without zeros."""
    if len(set(counts.values())) == 1:
        same = next(iter(counts.values()))
        return str(same) if len(counts) == 1 else f"{same} (each method)"
    return ", ".join(f"{count} ({name})" for name, count in counts.items() if count)


def column_decimals(column: Column, summaries: Iterable[Summary]) -> int:
    """Decimals of all of a metric's numbers in a table; see `decimals_of`."""
    values = [group.get(column.name) for summary in summaries for group in summary.values()]
    finite = [abs(value) for value in values if value is not None and math.isfinite(value)]
    return decimals_of(column.unit, max(finite, default=0.0))


def decimals_of(unit: str, largest: float) -> int:
    """Decimals to print: two for dB and percent; for plain numbers enough for about four digits of the largest."""
    if unit in ("dB", "%") or 1.0 <= largest < 100.0:
        return 2
    if largest >= 100.0:
        return 1
    return 4 if largest >= 0.1 or largest == 0.0 else 5


def number(value: float | None, decimals: int) -> str:
    """A number as every table prints it; a dash for None."""
    if value is None:
        return "-"
    return f"{value:.{decimals}f}" if math.isfinite(value) else str(value)


def _finite(value: Any) -> Any:
    """A copy with None for NaN and infinity, which JSON lacks."""
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
