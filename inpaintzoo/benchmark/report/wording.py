"""Words and marks shared by all tables of a report."""

from __future__ import annotations

from collections.abc import Mapping

from inpaintzoo.benchmark.report.bootstrap import Bootstrap
from inpaintzoo.benchmark.report.names import in_words
from inpaintzoo.benchmark.report.tables import Entry
from inpaintzoo.benchmark.results import Cost, PairSet
from inpaintzoo.metrics.results import Column

ARROWS = {"higher": "↑", "lower": "↓"}
TIE = "≈"
COST_HEAD = (
    "method",
    "parameters",
    "MACs",
    "ms per image (quartiles)",
    "peak memory",
    "picture",
    "device",
    "precision",
)


def title_of(column: Column) -> str:
    """Name in words, and unit."""
    return in_words(column.name) + (f" ({column.unit})" if column.unit else "")


def head_of(column: Column) -> str:
    """Name in words, unit and which way is better."""
    return f"{title_of(column)} {ARROWS[column.better]}"


def about_marks(bootstrap: Bootstrap, best: str, second: str) -> str:
    """The meaning of the marks in a table.

    Args:
        bootstrap: how intervals were made.
        best: how the best number of a group looks.
        second: how the second looks.
    """
    share = f"{100 * bootstrap.level:g} %"
    return (
        f"↑ higher is better, ↓ lower is better. {best} and {second} are marked. {TIE}: the difference from the best "
        f"is not significant: its {share} interval contains 0 (paired bootstrap over images, {bootstrap.resamples} "
        f"resamples, seed {bootstrap.seed}; no correction for multiple comparisons). Intervals over few images are too "
        f"narrow; single images and metrics of a whole set (FID and others) have no interval and so no mark."
    )


def about_set(pair_set: PairSet) -> str:
    """N, pictures, manifest and its hash, in one sentence."""
    return (
        f"N = {pair_set.count} pairs, {pair_set.height}x{pair_set.width}; {pair_set.description}. Manifest "
        f"{pair_set.manifest}, SHA-256 {pair_set.manifest_sha256}."
    )


def left_out(missing: Mapping[str, str]) -> list[str]:
    """For each reason, a sentence with the names of the metrics that were not measured."""
    names: dict[str, list[str]] = {}
    for name, reason in missing.items():
        names.setdefault(" ".join(reason.split()).rstrip("."), []).append(name)
    return [f"Not measured: {', '.join(of_one)}. Reason: {reason}." for reason, of_one in names.items()]


def interval_text(entry: Entry) -> str:
    """Both ends with the decimals of the number; a dash without an interval."""
    if entry.interval is None:
        return "-"
    decimals = len(entry.text.partition(".")[2])
    return " to ".join(f"{end:.{decimals}f}" for end in entry.interval)


def cost_cells(name: str, cost: Cost) -> list[str]:
    """A row under `COST_HEAD`."""
    low, high = cost.spread
    return [
        name,
        scaled(cost.parameters),
        "-" if cost.macs is None else scaled(cost.macs),
        f"{cost.milliseconds:.3g} ({low:.3g} to {high:.3g})",
        "-" if cost.peak_bytes is None else f"{cost.peak_bytes / 2**20:,.0f} MiB",
        f"{cost.height}x{cost.width}",
        cost.device,
        cost.precision,
    ]


def scaled(count: int) -> str:
    """A count with three digits and K, M, G or T."""
    value = float(count)
    for suffix in ("", " K", " M", " G"):
        if value < 999.5:
            return f"{value:.3g}{suffix}"
        value /= 1000
    return f"{value:,.3g} T" if value < 999.5 else f"{value:,.0f} T"
