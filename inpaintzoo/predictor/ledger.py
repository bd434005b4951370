"""The files of an output folder and what they were made from, so that a later run continues with its own files only."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import torch

from inpaintzoo.files.record import Record
from inpaintzoo.fills import FILLS
from inpaintzoo.generator import Generator
from inpaintzoo.types import ConfigError, DataError
from inpaintzoo.weights.checkpoints import find_checkpoint
from inpaintzoo.words import some

_FILLED = "filled"  # beside the settings: file -> stamps of it and its sources; None: not made yet
Stamps = list[list[int] | None]  # of a file and its sources, see `stamp`


def stamp(path: Path | None) -> list[int] | None:
    """Size in bytes and time of the last change, which tell one state of a file from another; None if it is missing."""
    if path is None or not path.exists():
        return None
    found = path.stat()
    return [found.st_size, found.st_mtime_ns]


MODEL_SETTINGS = ("precision", "strategy", "tile", "overlap")
"""Arguments of `Predictor` that decide how pictures look."""


def identify(model: Generator | str | Path) -> dict[str, Any]:
    """What tells a model from others, as JSON values: a file's path and state, or a network's class and content.

    Raises:
        WeightsError: there is no such file.
    """
    if not isinstance(model, Generator):
        return {"model": str(Path(model).resolve()), "model-file": stamp(find_checkpoint(model)), "fill": None}
    fill = next((name for name, kind in FILLS.items() if type(model) is kind), None)
    if fill is not None:
        return {"model": None, "model-file": None, "fill": fill}
    settings = json.dumps(model.settings, sort_keys=True, default=lambda value: type(value).__name__)
    digest = hashlib.sha256(settings.encode())
    for name, tensor in model.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return {"model": f"{digest.hexdigest()[:16]} {model.class_path}", "model-file": None, "fill": None}


class Ledger:
    """The settings of an output folder and the files made with them, in a JSON file.

    A file counts as made if neither it nor its sources have changed since.

    Args:
        path: the JSON file, in the folder.
        settings: what decides how the pictures look besides the model, as JSON values; see `check_made_with`.
        force: start over, whatever is there.

    Raises:
        ConfigError: the folder was made with other settings.
        DataError: the JSON file is damaged.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any], force: bool) -> None:
        self.path = path
        self.settings = settings
        self.force = force
        self._due = 0.0  # when the JSON file is to be written again
        begun = self._begun()
        try:
            self._filled = msgspec.convert(begun.get(_FILLED, {}), dict[str, Stamps | None])
        except msgspec.ValidationError as error:
            raise DataError(f"{path} is damaged ({error}); delete it, or name another folder") from error
        self._before: dict[str, Stamps | None] = {}  # what was noted of files that are being made again
        self._check({**begun, **settings})

    def check_made_with(self, model: Mapping[str, Any]) -> None:
        """Check the model and its settings against those that the folder was begun with, and keep them for `write`.

        A folder without any of these was begun from Python by an earlier version, and is continued.

        Args:
            model: as JSON values, see `Predictor.made_with`.

        Raises:
            ConfigError: they differ.
        """
        begun = self._begun()
        compared = model if model.keys() & begun.keys() else {}
        self._check({**self.settings, **compared, _FILLED: begun.get(_FILLED)})
        self.settings = {**self.settings, **model}

    def _begun(self) -> dict[str, Any]:
        return {} if self.force else Record(self.path, {}).read() or {}

    def _check(self, settings: Mapping[str, Any]) -> None:
        other = [] if self.force else Record(self.path, settings).differences()
        if other:
            raise ConfigError(
                f"{self.path.parent} was made with other settings: {'; '.join(other)}; use another folder, or start "
                "over with --force"
            )

    def made(self, files: Iterable[Path], sources: Sequence[Path | None]) -> bool:
        """Whether all these files were made from these sources, and nothing has changed since."""
        return all(path.exists() and self._filled.get(self._name(path)) == _stamps(path, sources) for path in files)

    def check_ours(self, files: Iterable[Path]) -> None:
        """Raise `ConfigError` if one of these files exists and was made or changed by something else."""
        foreign = []
        for path in files:
            name = self._name(path)
            noted = self._filled.get(name)  # None with a name: an interrupted run may have made it
            ours = name in self._filled and (noted is None or noted[0] == stamp(path))
            if path.exists() and not ours:
                foreign.append(path)
        if foreign and not self.force:
            raise ConfigError(
                f"{some(foreign, 3)}: already in the folder, and not as this command made it; use another folder, or "
                "overwrite all with --force"
            )

    def begin(self, files: Iterable[Path]) -> None:
        """Note files that are about to be made."""
        names = [self._name(file) for file in files]
        self._before = {name: self._filled[name] for name in names if self._filled.get(name) is not None}
        self._filled.update(dict.fromkeys(names))
        self.write()

    def note(self, files: Iterable[Path], sources: Sequence[Path | None]) -> None:
        """Note that files were made from sources.

        A small JSON file is written at once. With many thousands of files it is written rarely enough to take a
        twentieth of the time; files that it misses when a run is killed are made again. `write` brings it up to date.
        """
        self._filled.update({self._name(path): _stamps(path, sources) for path in files})
        if time.monotonic() >= self._due:
            self.write()

    def end(self) -> None:
        """Drop entries of files never written, and save; a file that appears later is not ours.

        Files that were to be made again keep their earlier entry.
        """
        kept = {name: self._before.get(name) if noted is None else noted for name, noted in self._filled.items()}
        folder = self.path.parent
        self._filled = {name: noted for name, noted in kept.items() if noted is not None or (folder / name).exists()}
        self.write()

    def write(self) -> None:
        """Write the JSON file."""
        start = time.monotonic()
        Record(self.path, {**self.settings, _FILLED: self._filled}).write()
        end = time.monotonic()
        self._due = end + 20 * (end - start)

    def _name(self, path: Path) -> str:
        return path.relative_to(self.path.parent).as_posix()


def _stamps(path: Path, sources: Sequence[Path | None]) -> Stamps:
    return [stamp(path), *map(stamp, sources)]
