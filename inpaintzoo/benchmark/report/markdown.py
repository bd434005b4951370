"""`table.md`: the tables of a benchmark as Markdown that is readable as plain text too."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from markupsafe import Markup
from tabulate import tabulate

from inpaintzoo.benchmark.report.bootstrap import Bootstrap
from inpaintzoo.benchmark.report.comparison import compare, published_columns
from inpaintzoo.benchmark.report.names import in_words
from inpaintzoo.benchmark.report.rendering import environment
from inpaintzoo.benchmark.report.tables import Entry, Table
from inpaintzoo.benchmark.report.wording import (
    ARROWS,
    COST_HEAD,
    TIE,
    about_marks,
    about_set,
    cost_cells,
    interval_text,
    left_out,
)
from inpaintzoo.benchmark.results import BenchmarkResults, Contender
from inpaintzoo.metrics.results import ALL, Column

_SPECIAL = re.compile(r"([\\`*_\[\]<>|~#&])")


def to_markdown(results: BenchmarkResults, tables: Sequence[Table], bootstrap: Bootstrap) -> str:
    """The page.

    Args:
        results: what the benchmark found.
        tables: made from it.
        bootstrap: how their intervals were made.
    """
    filters = {
        "about_set": about_set,
        "code": code,
        "costs": _costs,
        "intervals": _intervals,
        "left_out": lambda missing: left_out({in_words(name): reason for name, reason in missing.items()}),
        "numbers": _numbers,
        "published": _published,
    }
    marks = Markup(about_marks(bootstrap, "**Best**", "*second best*"))
    template = environment(filters, escape_markdown).get_template("table.md.j2")
    return template.render(results=results, tables=tables, about_marks=marks)


def escape_markdown(text: str) -> str:
    """Text escaped for Markdown and HTML."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def code(text: str) -> Markup:
    """Text as code, even with backticks inside."""
    text = " ".join(text.split())
    fence = "`" * (max(map(len, re.findall("`+", text)), default=0) + 1)
    pad = " " if "`" in text else ""
    return Markup(f"{fence}{pad}{text}{pad}{fence}")


def _numbers(table: Table) -> Markup:
    head = ["holes", "N", "method", *(_head(column, ARROWS[column.better]) for column in table.columns)]
    body = [
        [group, str(table.counts[group]), name, *(_marked(table.entries[group, name, c.name]) for c in table.columns)]
        for group in table.groups
        for name in table.names
    ]
    return _grid(head, body, left=(0, 2))


def _head(column: Column, arrow: str = "") -> Markup:
    unit = f"({escape_markdown(column.unit)})" if column.unit else ""
    return Markup(" ".join(part for part in (escape_markdown(in_words(column.name)), unit, arrow) if part))


def _marked(entry: Entry) -> Markup:
    mark = {1: "**", 2: "*"}.get(entry.place, "")
    return Markup(f"{mark}{entry.text}{mark}{' ' + TIE if entry.tied else ''}")


def _intervals(table: Table) -> Markup:
    """Intervals over all images, for the metrics that have any."""
    shown = [c for c in table.columns if any(table.entries[ALL, name, c.name].interval for name in table.names)]
    body = [[name, *(interval_text(table.entries[ALL, name, c.name]) for c in shown)] for name in table.names]
    return _grid(["method", *map(_head, shown)], body, left=(0,)) if shown else Markup()


def _published(table: Table, results: BenchmarkResults) -> Markup:
    found = compare(table, results)
    columns = published_columns(table, found)
    body = [
        [
            one.contender,
            one.row.source,
            one.words(table.pair_set),
            *(one.cell(c.name, table.decimals[c.name]) for c in columns),
        ]
        for one in found
    ]
    return _grid(["method", "paper", "measured on", *map(_head, columns)], body, left=(0, 1, 2)) if found else Markup()


def _costs(contenders: Sequence[Contender]) -> Markup:
    return _grid(COST_HEAD, [cost_cells(one.name, one.cost) for one in contenders if one.cost], left=(0, 6, 7))


def _grid(head: Sequence[str], body: Sequence[Sequence[str]], left: Collection[int]) -> Markup:
    """A table whose source is aligned too."""
    head, *body = [
        [cell if isinstance(cell, Markup) else escape_markdown(cell) for cell in line] for line in [head, *body]
    ]
    alignment = ["left" if i in left else "right" for i in range(len(head))]
    return Markup(tabulate(body, head, tablefmt="pipe", colalign=alignment, disable_numparse=True))
