"""The results in a terminal: a table for each set and protocol, a row for each contender."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from inpaintzoo.benchmark.results import BenchmarkResults
from inpaintzoo.metrics.results import ALL, MetricResults, cell

_WIDTH = 100


def overview(results: BenchmarkResults) -> str:
    """Means over all images, and what was left out; the breakdown by hole ratio is the report's affair."""
    blocks = []
    for pair_set in results.pair_sets:
        for protocol in results.protocols:
            cells = {
                contender.name: results.cells[contender.name, pair_set.name, protocol.name]
                for contender in results.contenders
            }
            title = f"{pair_set.name} ({pair_set.count} pictures), protocol {protocol.name}"
            blocks.append("\n".join([title, *_table(cells)]))
    blocks += ["\n".join(_left_out(results))] if results.missing else []
    return "\n\n".join(blocks)


def _table(cells: dict[str, MetricResults]) -> list[str]:
    means = {contender: results.summary()[ALL] for contender, results in cells.items()}
    columns = {column.name: column for results in cells.values() for column in results.columns}
    # Undefined for everyone is such as how much the fills of methods with a single fill differ.
    shown = [column for name, column in columns.items() if any(of[name] is not None for of in means.values())]
    arrows = {"higher": "↑", "lower": "↓"}
    head = ["", *(f"{column.title} {arrows[column.better]}" for column in shown)]
    body = [[contender, *(cell(of[column.name]) for column in shown)] for contender, of in means.items()]
    return list(_aligned([head, *body]))


def _aligned(lines: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for first, *rest in lines:
        cells = [first.ljust(widths[0]), *(text.rjust(width) for text, width in zip(rest, widths[1:], strict=True))]
        yield "  ".join(cells).rstrip()


def _left_out(results: BenchmarkResults) -> Iterator[str]:
    reasons: dict[str, list[str]] = {}
    for protocol, missing in results.missing.items():
        for metric, reason in missing.items():
            reasons.setdefault(reason, []).append(f"{protocol}/{metric}")
    for reason, metrics in reasons.items():
        # Addresses and paths stay whole.
        yield from textwrap.wrap(
            f"left out: {', '.join(metrics)}: {reason}",
            _WIDTH,
            subsequent_indent="  ",
            break_long_words=False,
            break_on_hyphens=False,
        )
