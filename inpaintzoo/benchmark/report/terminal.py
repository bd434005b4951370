"""The results in a terminal: a table for each set and protocol, a row for each contender."""

from __future__ import annotations

import textwrap

from tabulate import tabulate

from inpaintzoo.benchmark.report.wording import ARROWS, left_out
from inpaintzoo.benchmark.results import BenchmarkResults
from inpaintzoo.metrics.results import ALL, MetricResults, column_decimals, number

_WIDTH = 100


def terminal_report(results: BenchmarkResults) -> str:
    """Means over all images, and what was left out; only the report breaks them down by hole ratio."""
    blocks = []
    for pair_set in results.pair_sets:
        for protocol in results.protocols:
            title = f"{pair_set.name} ({pair_set.count} pictures), protocol {protocol.name}"
            blocks.append(f"{title}\n{_table(results.cells_of(pair_set.name, protocol.name))}")
    if results.missing:
        missing = {
            f"{protocol}/{metric}": reason
            for protocol, reasons in results.missing.items()
            for metric, reason in reasons.items()
        }
        # Addresses and paths stay whole.
        wrapper = textwrap.TextWrapper(_WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
        blocks.append("\n".join(wrapper.fill(sentence) for sentence in left_out(missing)))
    return "\n\n".join(blocks)


def _table(cells: dict[str, MetricResults]) -> str:
    summaries = {contender: results.summary() for contender, results in cells.items()}
    columns = {column.name: column for results in cells.values() for column in results.columns}
    # A metric may be undefined for everyone, such as the diversity of methods with a single fill.
    decimals = {
        name: column_decimals(column, summaries.values())
        for name, column in columns.items()
        if any(summary[ALL][name] is not None for summary in summaries.values())
    }
    head = ["", *(f"{columns[name].title} {ARROWS[columns[name].better]}" for name in decimals)]
    body = [
        [contender, *(number(summary[ALL][name], digits) for name, digits in decimals.items())]
        for contender, summary in summaries.items()
    ]
    alignment = ["left", *["right"] * len(decimals)]
    return tabulate([head, *body], tablefmt="plain", colalign=alignment, disable_numparse=True)
