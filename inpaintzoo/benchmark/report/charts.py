"""Charts of a table: each metric by hole ratio, with a line per method and confidence intervals."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import Any, Literal

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from inpaintzoo.benchmark.report.tables import Table
from inpaintzoo.benchmark.report.wording import head_of
from inpaintzoo.metrics.results import ALL, Column

# Okabe and Ito's colours, distinguishable with any colour vision; black last.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F", "#000000")
_MARKER_SHAPES = "osD^vPX*"
_LINES = ("-", "--", ":", "-.")
_STYLE: Any = {
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#888888",
    "axes.titleweight": "bold",
    "grid.color": "#E6E6E6",
    "svg.hashsalt": "inpaintzoo",  # the same picture gives the same file
    "svg.fonttype": "path",
    "text.parse_math": False,  # names are not formulas
}


def draw_chart(table: Table) -> Figure | None:
    """A small chart for each metric of a table that has a number; None if no metric has one.

    Lines over the ratio bins if there are several, otherwise a bar per method.
    """
    columns = [column for column in table.columns if _has_number(table, column)]
    if not columns:
        return None
    width = min(3, len(columns))
    height = math.ceil(len(columns) / width)
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(3.6 * width + 0.4, 2.7 * height + 0.9), layout="constrained")
        grid = figure.subplots(height, width, squeeze=False)
        for axes, column in zip(grid.flat, columns, strict=False):
            _draw(axes, table, column)
        for axes in list(grid.flat)[len(columns) :]:
            axes.set_axis_off()
        handles, labels = grid.flat[0].get_legend_handles_labels()
        title = f"{table.pair_set.name}, protocol {table.protocol.name}, N = {table.pair_set.count}"
        figure.suptitle(" ".join(title.split()), x=0.01, ha="left", fontsize=11)
        figure.legend(handles, labels, loc="outside lower left", ncols=min(len(labels), 2 * width), frameon=False)
    return figure


def encode_chart(figure: Figure, form: Literal["png", "svg"]) -> bytes:
    """The file's content; the same for the same figure."""
    file = io.BytesIO()
    metadata: dict[str, str | None] = {"Date": None} if form == "svg" else {"Software": None}
    with mpl.rc_context(_STYLE):
        figure.savefig(file, format=form, dpi=150, metadata=metadata, facecolor="white")
    return file.getvalue()


def _has_number(table: Table, column: Column) -> bool:
    values = (table.entries[group, name, column.name].value for group in table.counts for name in table.names)
    return any(value is not None and math.isfinite(value) for value in values)


def _draw(axes: Axes, table: Table, column: Column) -> None:
    axes.set_title(head_of(column), loc="left")
    axes.set_axisbelow(True)
    axes.grid(axis="y")
    axes.tick_params(length=0, colors="#444444")
    bins = [group for group in table.groups if group != ALL]
    if bins:
        _lines(axes, table, column, bins)
    else:
        _bars(axes, table, column)


def _lines(axes: Axes, table: Table, column: Column, bins: Sequence[str]) -> None:
    count = len(table.names)
    for i, name in enumerate(table.names):
        shift = 0.04 * (i - (count - 1) / 2) if count <= 10 else 0.0  # so that intervals do not hide each other
        places = [position + shift for position in range(len(bins))]
        values = [_number(table, group, name, column) for group in bins]
        colour, marker = COLOURS[i % len(COLOURS)], _MARKER_SHAPES[i % len(_MARKER_SHAPES)]
        style = _LINES[i // len(COLOURS) % len(_LINES)]
        axes.errorbar(
            *(places, values, _spread(table, bins, name, column)),
            color=colour,
            marker=marker,
            markersize=4,
            linewidth=1.4,
            linestyle=style,
            elinewidth=0.9,
            capsize=0,
            label=_shown(name),
        )
    axes.set_xticks(range(len(bins)), [f"{group}\nN={table.counts[group]}" for group in bins], fontsize=7)
    axes.set_xlim(-0.4, len(bins) - 0.6)


def _bars(axes: Axes, table: Table, column: Column) -> None:
    """A bar per method, from 0; a point where 0 is no natural end, as of decibels and similarities."""
    from_zero = column.unit != "dB" and "ssim" not in column.name
    for i, name in enumerate(table.names):
        spread = _spread(table, [ALL], name, column)
        value = _number(table, ALL, name, column)
        above = spread[1][0] if spread else 0.0
        style: dict[str, Any] = {"color": COLOURS[i % len(COLOURS)], "ecolor": "#333333", "label": _shown(name)}
        if from_zero:
            axes.bar([i], [value], 0.6, yerr=spread, **style)
        else:
            marker = _MARKER_SHAPES[i % len(_MARKER_SHAPES)]
            axes.errorbar([i], [value], spread, marker=marker, markersize=6, linestyle="none", **style)
        if math.isfinite(value):
            axes.annotate(
                table.entries[ALL, name, column.name].text,
                (i, value + above),
                (0, 2),
                textcoords="offset points",
                ha="center",
                va="bottom",
                fontsize=7,
                color="#333333",
            )
    axes.set_xticks([])
    axes.set_xlim(-0.6, len(table.names) - 0.4)
    axes.margins(y=0.08 if from_zero else 0.2)


def _number(table: Table, group: str, name: str, column: Column) -> float:
    value = table.entries[group, name, column.name].value
    return math.nan if value is None or not math.isfinite(value) else value


def _spread(table: Table, groups: Sequence[str], name: str, column: Column) -> list[list[float]] | None:
    """How far the interval extends below and above each value."""
    below, above = [], []
    for group in groups:
        entry = table.entries[group, name, column.name]
        low, high = entry.interval or (math.nan, math.nan)
        value = _number(table, group, name, column)
        # The interval of a skewed sample may exclude its mean.
        below.append(max(value - low, 0.0) if not math.isnan(low) else math.nan)
        above.append(max(high - value, 0.0) if not math.isnan(high) else math.nan)
    return [below, above] if not all(map(math.isnan, below)) else None


def _shown(name: str) -> str:
    """A label on one line; matplotlib hides labels that start with an underscore."""
    name = " ".join(name.split())
    return f" {name}" if name.startswith("_") else name
