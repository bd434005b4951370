"""The papers' own numbers beside ours, and how data and holes differ."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Sequence

from inpaintzoo.benchmark.protocols.protocol import Published
from inpaintzoo.benchmark.report.tables import Table
from inpaintzoo.benchmark.results import BenchmarkResults, Contender, PairSet
from inpaintzoo.metrics.results import ALL, Column

_BIN = re.compile(r"\d\S*-\d\S*")
# The papers' names for settings of a class.
_ALIASES = {"SGENet, guided": "SG-Net", "SGENet, base": "Base-Net"}
_DATA_NAME = re.compile(r"[A-Z][\w-]*")


@dataclasses.dataclass(frozen=True)
class PaperComparison:
    """A row of a paper beside ours.

    Attributes:
        contender: its name here.
        group: group that our number is for: `all` or a ratio bin.
        row: the paper's row.
        same_data: whether our set has the name of the paper's data; pictures, split and size may still differ.
        same_bin: whether both cover the same ratio bin, or all images; the shape of the holes may still differ.
        ours: our numbers by metric, without metrics that were not measured.
    """

    contender: str
    group: str
    row: Published
    same_data: bool
    same_bin: bool
    ours: dict[str, float]

    @property
    def differences(self) -> dict[str, float]:
        """Our number minus the paper's, by metric."""
        return {name: value - self.row.values[name] for name, value in self.ours.items()}

    def words(self, pair_set: PairSet) -> str:
        """The data that both numbers were measured on."""
        ours = pair_set.description if self.group == ALL else f"{pair_set.description}; ratio {self.group}"
        known = "data of the same name" if self.same_data else "other data"
        return f"paper's data: {self.row.data}, holes: {self.row.masks}; ours: {ours} ({known})"

    def cell(self, metric: str, decimals: int) -> str:
        """The paper's number, ours and the difference, as printed; a dash for one that is missing.

        Args:
            metric: its name.
            decimals: of our numbers in the table above.
        """
        if metric not in self.row.values:
            return "-"
        paper = self.row.values[metric]
        if metric not in self.ours:
            return f"{paper:g} / -"
        return f"{paper:g} / {self.ours[metric]:.{decimals}f} ({self.differences[metric]:+.{decimals}f})"


def compare(table: Table, results: BenchmarkResults) -> list[PaperComparison]:
    """The protocol's published rows for the contenders.

    A contender is recognised by its name, by its network's class with an argument that is on (`SPN, stochastic`), or
    by the class. If the paper has rows for data with our set's name, rows for other data are left out. So are rows for
    ratio bins in which we have no image.
    """
    found = []
    for contender in results.contenders:
        if contender.name in table.names:
            candidates = [_compared(contender, row, table) for row in _rows_of(contender, table)]
            kept = [one for one in candidates if one is not None]
            found += [one for one in kept if one.same_data] or kept
    return found


def published_columns(table: Table, found: Sequence[PaperComparison]) -> list[Column]:
    """The metrics for which the papers have numbers."""
    return [column for column in table.columns if any(column.name in one.row.values for one in found)]


def _rows_of(contender: Contender, table: Table) -> list[Published]:
    for name in _names(contender):
        rows = [row for row in table.protocol.published if _plain(row.method) == _plain(name)]
        if rows:
            return rows
    return []


def _names(contender: Contender) -> list[str]:
    """Names that a paper may use for a contender, most specific first."""
    network = contender.facts.get("network", "")
    if not network:
        return [contender.name]
    arguments = json.loads(contender.facts.get("arguments", "{}"))
    told = [
        f"{network}, {value if isinstance(value, str) else name}"
        for name, value in arguments.items()
        if value is True or isinstance(value, str)
    ]
    aliases = [_ALIASES[name] for name in told if name in _ALIASES]
    return [contender.name, *(aliases or [*told, network])]


def _compared(contender: Contender, row: Published, table: Table) -> PaperComparison | None:
    is_bin = bool(_BIN.fullmatch(row.masks))
    group = row.masks if is_bin else ALL
    if group not in table.counts:
        return None
    entries = {name: table.entries.get((group, contender.name, name)) for name in row.values}
    ours = {name: entry.value for name, entry in entries.items() if entry and entry.value is not None}
    same_data = _same_data(row.data, table.pair_set)
    return PaperComparison(contender.name, group, row, same_data, is_bin or row.masks == ALL, ours) if ours else None


def _same_data(data: str, pair_set: PairSet) -> bool:
    name = _DATA_NAME.search(data)
    words = re.split(r"[^a-z0-9_-]", f"{pair_set.name} {pair_set.description}".lower())
    return name is not None and _plain(name[0]).rstrip("s") in {_plain(word).rstrip("s") for word in words}


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9,]", "", name.lower())
