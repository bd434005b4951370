"""Finished batches on disk, each whole or absent, and the key that records what decided their numbers."""

from __future__ import annotations

import dataclasses
import json
import shutil
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from inpaintzoo.files.record import Record
from inpaintzoo.files.writing import write_whole
from inpaintzoo.metrics.suite import Arrays, Measured
from inpaintzoo.types import DataError

Key = dict[str, str]


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

    def read(self, batch: int) -> Measured:
        """A batch that is done.

        Raises:
            DataError: its files are damaged.
        """
        rows = file = self._rows(batch)
        try:
            content = json.loads(rows.read_text(encoding="utf-8"))
            arrays: Arrays = {}
            if content["arrays"]:
                file = rows.with_suffix(".npz")
                with np.load(file, allow_pickle=False) as found:
                    arrays = {name: found[name] for name in content["arrays"]}
            return _unflat(content, arrays)
        except (KeyError, TypeError, ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise DataError(f"{file} is damaged; delete {rows} and run again") from error

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


def _unflat(content: Mapping[str, Any], arrays: Arrays) -> Measured:
    features: dict[str, Arrays] = {}
    stacked: dict[str, Arrays] = {metric: {} for metric in content["defined"]}
    for name, array in arrays.items():
        kind, _, rest = name.partition("/")
        owner, _, key = rest.rpartition("/")  # an owner may be named after a path
        (features.setdefault(owner, {}) if kind == "features" else stacked[owner])[key] = array
    statistics: dict[str, list[Arrays | None]] = {}
    for metric, positions in content["defined"].items():
        statistics[metric] = [None] * len(content["rows"])
        for place, i in enumerate(positions):
            statistics[metric][i] = {key: array[place] for key, array in stacked[metric].items()}
    return Measured(content["rows"], features, statistics, content["fills"])
