"""Finished batches on disk, each whole or not there at all, and the key that says what they are batches of."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from inpaintzoo.metrics.suite import Arrays, Measured
from inpaintzoo.types import DataError

KEY = "key.json"
Key = dict[str, str]


@dataclasses.dataclass(frozen=True)
class WorkFolder:
    """The batches that one contender has done on one set under one protocol.

    `key.json` holds everything that decides the numbers; `00007.json` has the rows of batch 7 and `00007.npz` its
    arrays, if there are any. Rows come last: where they are, the batch is done.

    Attributes:
        path: of the folder.
        key: what decides the numbers, in words and hashes.
    """

    path: Path
    key: Key

    def differences(self) -> list[str]:
        """How the work that is there differs from what is asked for, one phrase each; nothing if it can be used."""
        if not self.path.exists():
            return []
        file = self.path / KEY
        before = _read_json(file) if file.is_file() else {}
        changed = [name for name in {**before, **self.key} if before.get(name) != self.key.get(name)]
        return [f"{name} was {_short(before.get(name))} and is {_short(self.key.get(name))}" for name in changed]

    def claim(self) -> None:
        """Make the folder this benchmark's; work of another key is deleted."""
        if self.differences():
            shutil.rmtree(self.path)
        self.path.mkdir(parents=True, exist_ok=True)
        if not (self.path / KEY).exists():
            write_atomically(self.path / KEY, (json.dumps(self.key, indent=2) + "\n").encode())

    def has(self, batch: int) -> bool:
        """Whether a batch is done."""
        return self._rows(batch).exists()

    def write(self, batch: int, measured: Measured) -> None:
        """Keep a batch."""
        arrays, defined = _flat(measured)
        if arrays:
            write_atomically(self._rows(batch).with_suffix(".npz"), arrays)
        content = {"rows": measured.rows, "fills": measured.fills, "arrays": sorted(arrays), "defined": defined}
        write_atomically(self._rows(batch), (json.dumps(content) + "\n").encode())

    def read(self, batch: int) -> Measured:
        """A batch that is done.

        Raises:
            DataError: its files are damaged.
        """
        path = self._rows(batch)
        content = _read_json(path)
        try:
            arrays: Arrays = {}
            if content["arrays"]:
                with np.load(path.with_suffix(".npz"), allow_pickle=False) as file:
                    arrays = {name: file[name] for name in content["arrays"]}
            return _unflat(content, arrays)
        except (KeyError, ValueError, OSError, zipfile.BadZipFile) as error:
            raise DataError(f"{path.with_suffix('.npz')} is damaged; delete {path} and run again") from error

    def _rows(self, batch: int) -> Path:
        return self.path / f"{batch:05d}.json"


def hash_of(parts: Any) -> str:
    """SHA-256 (hex) of plain values."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def write_atomically(path: Path, content: bytes | Mapping[str, np.ndarray]) -> None:
    """Write bytes, or named arrays as npz: a kill or a power cut leaves the whole file or none."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    with open(part, "wb") as file:
        if isinstance(content, bytes):
            file.write(content)
        else:
            np.savez(file, **dict(content))  # type: ignore[arg-type]
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


def _flat(measured: Measured) -> tuple[Arrays, dict[str, list[int]]]:
    """All arrays under one name each, and for each segmentation metric the images where it is defined."""
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


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise DataError(f"{path} is damaged; delete it and run again") from error
    if not isinstance(content, dict):
        raise DataError(f"{path} is damaged; delete it and run again")
    return content


def _short(value: str | None) -> str:
    if value is None:
        return "not there"
    return value if len(value) <= 40 else f"{value[:37]}..."
