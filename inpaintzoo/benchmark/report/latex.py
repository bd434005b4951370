"""`table.tex`: the tables of a benchmark for a paper; needs the packages booktabs and graphicx."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from inpaintzoo.benchmark.report.bootstrap import Bootstrap
from inpaintzoo.benchmark.report.tables import Entry, Table
from inpaintzoo.benchmark.report.wording import COST_HEAD, cost_cells
from inpaintzoo.benchmark.results import BenchmarkResults
from inpaintzoo.metrics.results import ALL, Column

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
    about = [f"{name}: {' '.join(value.split())}" for name, value in results.run.items()]
    lines = [r"% \usepackage{booktabs,graphicx}", *(f"% {line}" for line in about), ""]
    for position, table in enumerate(tables, start=1):
        lines += [*_float(position, table, bootstrap), ""]
    costs = [cost_cells(one.name, one.cost) for one in results.contenders if one.cost]
    if costs:
        body = [_line(map(escape, cells)) for cells in costs]
        lines += _environment("lrrrrrll", _line(map(escape, COST_HEAD)), body, "Cost of one picture.", "cost")
    return "\n".join(lines).rstrip() + "\n"


def escape(text: str) -> str:
    """Text in which TeX sees no commands."""
    return " ".join(text.split()).translate(_ESCAPES)


def _float(position: int, table: Table, bootstrap: Bootstrap) -> list[str]:
    head = _line(["method", *(_head(column) for column in table.columns)])
    body: list[str] = []
    width = len(table.columns) + 1
    for group in table.groups:
        if len(table.groups) > 1:
            words = "all ratios" if group == ALL else f"ratio {group.replace('-', '--')}"
            body += [rf"\multicolumn{{{width}}}{{l}}{{\emph{{{words}}}, $N = {table.counts[group]}$}} \\"]
        body += [_row(table, group, name) for name in table.names]
        body.append(r"\midrule")
    caption = _caption(table, bootstrap)
    return _environment("l" + "r" * (width - 1), head, body[:-1], caption, f"benchmark-{position}")


def _environment(columns: str, head: str, body: Sequence[str], caption: str, label: str) -> list[str]:
    return [
        r"\begin{table}",
        r"  \centering",
        rf"  \caption{{{caption}}}",
        rf"  \label{{tab:{label}}}",
        r"  \resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"  \begin{{tabular}}{{{columns}}}",
        r"    \toprule",
        f"    {head}",
        r"    \midrule",
        *(f"    {line}" for line in body),
        r"    \bottomrule",
        r"  \end{tabular}}",
        r"\end{table}",
    ]


def _caption(table: Table, bootstrap: Bootstrap) -> str:
    pair_set = table.pair_set
    sentences = [
        f"{pair_set.name} ({pair_set.height}x{pair_set.width}, N = {pair_set.count}) under the protocol "
        f"{table.protocol.name}.",
        f"Best bold, second underlined; ≈: not significantly different from the best (paired bootstrap, "
        f"{100 * bootstrap.level:g} %).",
        *(f"Not measured: {name}." for name in table.missing),
        f"Manifest {pair_set.manifest_sha256[:12]}.",
    ]
    return escape(" ".join(sentences))


def _row(table: Table, group: str, name: str) -> str:
    cells = [_marked(table.entries[group, name, column.name]) for column in table.columns]
    return _line([escape(name), *cells])


def _marked(entry: Entry) -> str:
    text = "--" if entry.value is None else entry.text.replace("-", "$-$")
    text = {1: rf"\textbf{{{text}}}", 2: rf"\underline{{{text}}}"}.get(entry.place, text)
    return text + (r"\rlap{$^{\approx}$}" if entry.tied else "")


def _head(column: Column) -> str:
    return f"{escape(column.title)} {_ARROWS[column.better]}"


def _line(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"
