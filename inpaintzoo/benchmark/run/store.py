"""Finished batches on disk, each whole or absent, and the key that records what decided their numbers."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Annotated, BinaryIO

import msgspec
import numpy as np

from inpaintzoo.files.reading import read_json
from inpaintzoo.files.record import Record
from inpaintzoo.files.writing import write_whole
from inpaintzoo.metrics.results import Row
from inpaintzoo.metrics.suite import Arrays, Measured, MetricSuite
from inpaintzoo.ops import ratio_bin
from inpaintzoo.types import DataError
from inpaintzoo.words import counted

Key = dict[str, str]


class _Stored(msgspec.Struct):
    """The content of a batch's JSON file."""

    rows: list[dict[str, float | int | str | None]]
    fills: Annotated[int, msgspec.Meta(ge=1)]
    arrays: list[str]
    defined: dict[str, list[int]]


@dataclasses.dataclass(frozen=True)
class WorkFolder:
    """The batches that one contender has done on one set under one protocol.

    `key.json` records everything that decides the numbers; `00007.json` has the rows of batch 7 and `00007.npz` its
    arrays, if there are any. Rows are written last: where they exist, the batch is done.

    Attributes:
        path: the folder.
        key: what decides the numbers, in words and hashes.
    """

    path: Path
    key: Key

    @property
    def _record(self) -> Record:
        return Record(self.path / "key.json", self.key)

    def differences(self) -> list[str]:
        """How existing results differ from the request, one phrase each; empty if they can be used."""
        if any(self.path.glob("[0-9]*.json")) and not self._record.path.is_file():
            return ["its key.json is missing"]
        return self._record.differences()

    def claim(self) -> None:
        """Make the folder this benchmark's; work done under another key is deleted."""
        if self.differences():
            shutil.rmtree(self.path)
        self._record.write()

    def has(self, batch: int) -> bool:
        """Whether a batch is done."""
        return self._rows(batch).exists()

    def write(self, batch: int, measured: Measured) -> None:
        """Keep a batch."""
        arrays, defined = _flat(measured)
        if arrays:
            _write(self._rows(batch).with_suffix(".npz"), lambda file: np.savez(file, **arrays))  # type: ignore[arg-type]
        content = {"rows": measured.rows, "fills": measured.fills, "arrays": sorted(arrays), "defined": defined}
        _write(self._rows(batch), lambda file: file.write((json.dumps(content) + "\n").encode()))

    def read(self, batch: int, indices: Sequence[int], suite: MetricSuite) -> Measured:
        """A batch that is done.

        Args:
            batch: its number.
            indices: the pictures that it must hold, in order.
            suite: what measured it.

        Raises:
            DataError: its files are damaged, or hold other pictures or metrics.
        """
        rows = file = self._rows(batch)
        content = read_json(rows, _Stored, "delete it and run again")
        try:
            _check_rows(content.rows, indices, suite)
            arrays: Arrays = {}
            if content.arrays:
                file = rows.with_suffix(".npz")
                with np.load(file, allow_pickle=False) as found:
                    if set(found.files) != set(content.arrays):
                        raise ValueError(f"it holds other arrays than {rows.name} names")
                    arrays = {name: found[name] for name in content.arrays}
            measured = _unflat(content, arrays)
            if {metric.family for metric in suite.set_metrics} != measured.features.keys() or {
                metric.name for metric in suite.segmentation_metrics
            } != measured.statistics.keys():
                raise ValueError("the arrays of a metric are missing")
            return measured
        except Exception as error:  # whatever the bytes of a damaged file lead to
            raise DataError(f"{file} is damaged ({error}); delete {rows} and run again") from error

    def _rows(self, batch: int) -> Path:
        return self.path / f"{batch:05d}.json"


def _write(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file whole or not at all, after a power cut too."""

    def to(part: str) -> None:
        with open(part, "wb") as file:
            write(file)

    write_whole(path, to, flush=True)


def _flat(measured: Measured) -> tuple[Arrays, dict[str, list[int]]]:
    """All arrays by name, and for each segmentation metric the images where it is defined."""
    arrays = {
        f"features/{family}/{key}": array
        for family, features in measured.features.items()
        for key, array in features.items()
    }
    defined: dict[str, list[int]] = {}
    for metric, found in measured.statistics.items():
        defined[metric] = [i for i, of_image in enumerate(found) if of_image]
        chosen = [of_image for of_image in found if of_image]
        arrays |= {f"statistics/{metric}/{key}": np.stack([s[key] for s in chosen]) for key in (chosen or [{}])[0]}
    return arrays, defined


def _check_rows(rows: Sequence[Row], indices: Sequence[int], suite: MetricSuite) -> None:
    """Raise `ValueError` unless these are the rows of these pictures."""
    if [row.get("index") for row in rows] != list(indices):
        raise ValueError(f"it has not the rows of its {counted(indices, 'picture')}")
    numbers = {metric.name for metric in (*suite.image_metrics, *suite.sample_metrics)}
    for row in rows:
        if row.keys() != {"index", "name", "ratio", "bin", *numbers}:
            raise ValueError(f"row {row['index']} has not the metrics that were measured")
        if any(isinstance(row[name], str) for name in numbers):
            raise ValueError(f"row {row['index']} has words for numbers")
        if not isinstance(row["name"], str) or row["bin"] != ratio_bin(row["ratio"], suite.bins):
            raise ValueError(f"row {row['index']} has another name or hole ratio than a picture can have")


def _unflat(content: _Stored, arrays: Arrays) -> Measured:
    count = len(content.rows)
    features: dict[str, Arrays] = {}
    stacked: dict[str, Arrays] = {metric: {} for metric in content.defined}
    for name, array in arrays.items():
        kind, _, rest = name.partition("/")
        owner, _, key = rest.rpartition("/")  # an owner may be named after a path
        expected: Collection[int] = range(count) if kind == "features" else content.defined[owner]
        if array.ndim == 0 or len(array) != len(expected):
            raise ValueError(f"{name} has the shape {array.shape} for {counted(expected, 'picture')}")
        (features.setdefault(owner, {}) if kind == "features" else stacked[owner])[key] = array
    statistics: dict[str, list[Arrays | None]] = {}
    for metric, positions in content.defined.items():
        if sorted(set(positions) & set(range(count))) != positions:
            raise ValueError(f"{metric} is defined for pictures that it does not hold")
        statistics[metric] = [None] * count
        for place, i in enumerate(positions):
            statistics[metric][i] = {key: array[place] for key, array in stacked[metric].items()}
    return Measured(content.rows, features, statistics, content.fills)
