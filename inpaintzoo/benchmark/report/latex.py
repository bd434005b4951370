"""`table.tex`: the tables of a benchmark for a paper, which needs the packages booktabs and graphicx."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from markupsafe import Markup

from inpaintzoo.benchmark.report.bootstrap import Bootstrap
from inpaintzoo.benchmark.report.names import in_words
from inpaintzoo.benchmark.report.rendering import environment
from inpaintzoo.benchmark.report.tables import Entry, Table
from inpaintzoo.benchmark.report.wording import COST_HEAD, cost_cells, title_of
from inpaintzoo.benchmark.results import BenchmarkResults

_ESCAPES = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "{": r"\{",
        "}": r"\}",
        "#": r"\#",
        "$": r"\$",
        "%": r"\%",
        "&": r"\&",
        "_": r"\_",
        "^": r"\textasciicircum{}",
        "~": r"\textasciitilde{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        "≈": r"$\approx$",
    }
)
_ARROWS = {"higher": r"$\uparrow$", "lower": r"$\downarrow$"}


def to_latex(results: BenchmarkResults, tables: Sequence[Table], bootstrap: Bootstrap) -> str:
    """The tables, one float each.

    Args:
        results: what the benchmark found.
        tables: made from it.
        bootstrap: how their intervals were made.
    """
    filters = {
        "caption": lambda table: _caption(table, bootstrap),
        "comment": lambda text: Markup(" ".join(text.split())),
        "head": lambda column: Markup(f"{escape_latex(title_of(column))} {_ARROWS[column.better]}"),
        "line": _line,
        "row": lambda table, group, name: [name, *(_marked(table.entries[group, name, c.name]) for c in table.columns)],
    }
    syntax = {
        "block_start_string": "<%",
        "block_end_string": "%>",
        "variable_start_string": "<<",
        "variable_end_string": ">>",
    }
    template = environment(filters, escape_latex, **syntax).get_template("table.tex.j2")
    return template.render(results=results, tables=tables, cost_head=COST_HEAD, cost_cells=cost_cells)


def escape_latex(text: str) -> str:
    """Text escaped for TeX."""
    return " ".join(text.split()).translate(_ESCAPES)


def _caption(table: Table, bootstrap: Bootstrap) -> str:
    pair_set = table.pair_set
    sentences = [
        f"{pair_set.name} ({pair_set.height}x{pair_set.width}, N = {pair_set.count}) under the protocol "
        f"{table.protocol.name}.",
        f"Best bold, second underlined; ≈: not significantly different from the best (paired bootstrap, "
        f"{100 * bootstrap.level:g} %).",
        *([f"Not measured: {', '.join(map(in_words, table.missing))}."] if table.missing else []),
        f"Manifest {pair_set.manifest_sha256[:12]}.",
    ]
    return " ".join(sentences)


def _marked(entry: Entry) -> Markup:
    text = "--" if entry.value is None else entry.text.replace("-", "$-$")
    text = {1: rf"\textbf{{{text}}}", 2: rf"\underline{{{text}}}"}.get(entry.place, text)
    return Markup(text + (r"\rlap{$^{\approx}$}" if entry.tied else ""))


def _line(cells: Iterable[str]) -> Markup:
    escaped = [cell if isinstance(cell, Markup) else escape_latex(cell) for cell in cells]
    return Markup(" & ".join(escaped) + r" \\")
