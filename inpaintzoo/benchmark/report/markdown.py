"""`table.md`: the tables of a benchmark as Markdown that is readable as plain text too."""

from __future__ import annotations

import re
from collections.abc import Sequence

from inpaintzoo.benchmark.report.bootstrap import Bootstrap
from inpaintzoo.benchmark.report.comparison import compare
from inpaintzoo.benchmark.report.tables import Entry, Table
from inpaintzoo.benchmark.report.wording import ARROWS, COST_HEAD, TIE, about_marks, about_set, cost_cells, left_out
from inpaintzoo.benchmark.results import BenchmarkResults
from inpaintzoo.metrics.results import ALL, Column

_SPECIAL = re.compile(r"([\\`*_\[\]<>|~#&])")


def to_markdown(results: BenchmarkResults, tables: Sequence[Table], bootstrap: Bootstrap) -> str:
    """The page.

    Args:
        results: what the benchmark found.
        tables: made from it.
        bootstrap: how their intervals were made.
    """
    lines = ["# Side by side", "", about_marks(bootstrap, "**Best**", "*second best*"), ""]
    for pair_set in results.pair_sets:
        lines += [f"## {escape(pair_set.name)}", "", escape(about_set(pair_set)), ""]
        for table in tables:
            if table.pair_set.name == pair_set.name:
                lines += _section(table, results)
    costs = [cost_cells(escape(one.name), one.cost) for one in results.contenders if one.cost]
    if costs:
        lines += ["## Cost", "", *_grid(COST_HEAD, costs, left=(0, 6, 7)), ""]
    lines += ["## Methods", "", *_methods(results), "", "## Run", ""]
    lines += [f"- {escape(name)}: {code(value)}" for name, value in results.run.items()]
    return "\n".join(lines) + "\n"


def escape(text: str) -> str:
    """Text in which Markdown and HTML see no marks."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def code(text: str) -> str:
    """Text as code, whatever backticks it holds."""
    fence = "`" * (max(map(len, re.findall("`+", text)), default=0) + 1)
    pad = " " if "`" in text else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def _section(table: Table, results: BenchmarkResults) -> list[str]:
    protocol = table.protocol
    lines = [f"### {escape(protocol.name)}: {escape(protocol.title)}", "", *_numbers(table), ""]
    lines += [f"- {escape(sentence)}" for sentence in [*table.remarks, *left_out(table.missing)]]
    return [*lines, "", *_intervals(table), *_published(table, results)]


def _numbers(table: Table) -> list[str]:
    head = ["holes", "N", "method", *(_head(column, ARROWS[column.better]) for column in table.columns)]
    body = []
    for group in table.groups:
        for name in table.names:
            entries = [table.entries[group, name, column.name] for column in table.columns]
            body.append([group, str(table.counts[group]), escape(name), *(_marked(entry) for entry in entries)])
    return _grid(head, body, left=(0, 2))


def _head(column: Column, arrow: str = "") -> str:
    unit = f"({escape(column.unit)})" if column.unit else ""
    return " ".join(part for part in (code(column.name.replace("|", "\\|")), unit, arrow) if part)


def _marked(entry: Entry) -> str:
    mark = {1: "**", 2: "*"}.get(entry.place, "")
    return f"{mark}{entry.text}{mark}{' ' + TIE if entry.tied else ''}"


def _intervals(table: Table) -> list[str]:
    """Intervals over all images."""
    body = []
    shown = [c for c in table.columns if any(table.entries[ALL, name, c.name].interval for name in table.names)]
    for name in table.names:
        entries = [table.entries[ALL, name, column.name] for column in shown]
        body.append([escape(name), *(interval_text(entry) for entry in entries)])
    if not shown:
        return []
    head = ["method", *(_head(column) for column in shown)]
    return ["Confidence intervals of the means over all images:", "", *_grid(head, body, left=(0,)), ""]


def interval_text(entry: Entry, separator: str = " to ") -> str:
    """Both ends with the decimals of the number; a dash where there is no interval."""
    if entry.interval is None:
        return "-"
    decimals = len(entry.text.partition(".")[2])
    return separator.join(f"{end:.{decimals}f}" for end in entry.interval)


def _published(table: Table, results: BenchmarkResults) -> list[str]:
    found = compare(table, results)
    if not found:
        return []
    columns = [column for column in table.columns if any(column.name in one.row.values for one in found)]
    head = ["method", "paper", "measured on", *(_head(column) for column in columns)]
    body = [
        [
            escape(one.contender),
            escape(one.row.source),
            escape(one.words(table.pair_set)),
            *(one.cell(column.name, column.unit) for column in columns),
        ]
        for one in found
    ]
    note = "The paper's numbers / ours (ours less the paper's):"
    return [note, "", *_grid(head, body, left=(0, 1, 2)), ""]


def _methods(results: BenchmarkResults) -> list[str]:
    lines = []
    for one in results.contenders:
        sha256 = [f"SHA-256 {one.sha256}"] if one.sha256 else []
        facts = [f"{escape(name)} {code(value)}" for name, value in one.facts.items()]
        lines.append(f"- **{escape(one.name)}**: {'; '.join([escape(one.kind), code(one.source), *sha256, *facts])}")
    return lines


def _grid(head: Sequence[str], body: Sequence[Sequence[str]], left: Sequence[int]) -> list[str]:
    """A table whose source is aligned too."""
    widths = [max(3, *(len(line[i]) for line in [head, *body])) for i in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        padded = [
            cell.ljust(width) if i in left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return f"| {' | '.join(padded)} |"

    rule = [f"{'-' * width} " if i in left else f"{'-' * width}:" for i, width in enumerate(widths)]
    return [line(head), f"| {'| '.join(rule)}|", *map(line, body)]
