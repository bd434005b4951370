"""`table.csv` and `results.json`: the numbers of a benchmark for programs, and what is needed to repeat it."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from inpaintzoo.benchmark.report.bootstrap import Bootstrap
from inpaintzoo.benchmark.report.comparison import compare
from inpaintzoo.benchmark.report.tables import Entry, Table
from inpaintzoo.benchmark.results import BenchmarkResults

_VERSION = 1  # of the layout of the files
_FIELDS = (
    "set",
    "protocol",
    "holes",
    "images",
    "method",
    "metric",
    "unit",
    "better",
    "value",
    "low",
    "high",
    "place",
    "difference_low",
    "difference_high",
)


def to_csv(tables: Sequence[Table]) -> str:
    """A line per number: set, protocol, group of holes, method and metric, with its intervals.

    Numbers are written to be read back bit for bit; undefined values stay empty.
    """
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, _FIELDS, lineterminator="\n")
    writer.writeheader()
    for table in tables:
        writer.writerows(_lines(table))
    return file.getvalue()


def _lines(table: Table) -> Iterator[dict[str, Any]]:
    units = {column.name: column for column in table.columns}
    for (group, name, metric), entry in table.entries.items():
        yield {
            "set": table.pair_set.name,
            "protocol": table.protocol.name,
            "holes": group,
            "images": table.counts[group],
            "method": name,
            "metric": metric,
            "unit": units[metric].unit,
            "better": units[metric].better,
            **{key: "" if value is None else repr(value) for key, value in _numbers(entry).items()},
        }


def _numbers(entry: Entry) -> dict[str, float | None]:
    low, high = entry.interval or (None, None)
    difference_low, difference_high = entry.difference or (None, None)
    return {
        "value": entry.value,
        "low": low,
        "high": high,
        "place": entry.place or None,
        "difference_low": difference_low,
        "difference_high": difference_high,
    }


def to_json(results: BenchmarkResults, tables: Sequence[Table], bootstrap: Bootstrap, files: Mapping[str, Any]) -> str:
    """Everything that is needed to read the numbers, or to repeat them.

    Args:
        results: what the benchmark found.
        tables: made from it.
        bootstrap: how their intervals were made.
        files: paths of the other files of the report, by what they are.
    """
    about = ("name", "title", "source", "split", "resize", "masks", "pitfalls")
    protocols = results.protocols
    content = {
        "version": _VERSION,
        "run": results.run,
        "bootstrap": dataclasses.asdict(bootstrap),
        "contenders": [dataclasses.asdict(one) for one in results.contenders],
        "sets": [dataclasses.asdict(one) for one in results.pair_sets],
        "protocols": [{**{field: getattr(one, field) for field in about}, "rules": one.rules()} for one in protocols],
        "missing": results.missing,
        "tables": [_table(table, results) for table in tables],
        "files": files,
    }
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _table(table: Table, results: BenchmarkResults) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for (group, name, metric), entry in table.entries.items():
        values.setdefault(group, {}).setdefault(name, {})[metric] = _finite(_numbers(entry))
    return {
        "set": table.pair_set.name,
        "protocol": table.protocol.name,
        "images": table.counts,
        "metrics": {column.name: dataclasses.asdict(column) for column in table.columns},
        "values": values,
        "remarks": table.remarks,
        "missing": table.missing,
        "published": [
            {**dataclasses.asdict(one), "ours": _finite(one.ours), "differences": _finite(one.differences)}
            for one in compare(table, results)
        ],
    }


def _finite(numbers: Mapping[str, float | None]) -> dict[str, float | None]:
    """JSON has neither NaN nor infinity."""
    return {name: value if value is not None and math.isfinite(value) else None for name, value in numbers.items()}
