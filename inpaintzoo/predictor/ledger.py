"""The files of an output folder and what they were made from, so that a later run continues with its own files only."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import torch

from inpaintzoo.files.reading import parse_json
from inpaintzoo.files.record import Record
from inpaintzoo.fills import FILLS
from inpaintzoo.generator import Generator
from inpaintzoo.types import ConfigError, DataError
from inpaintzoo.weights.registry import find_checkpoint
from inpaintzoo.words import some

_FILLED = "filled"  # beside the settings: file -> stamps of it and its sources
Stamps = list[list[int] | None]  # see `stamp`


def stamp(path: Path | None) -> list[int] | None:
    """Size in bytes and time of the last change, which tell one state of a file from another; None if it is missing."""
    if path is None or not path.exists():
        return None
    found = path.stat()
    return [found.st_size, found.st_mtime_ns]


def stamps(paths: Iterable[Path | None]) -> Stamps:
    """The stamp of each file."""
    return [stamp(path) for path in paths]


MODEL_SETTINGS = ("precision", "strategy", "tile", "overlap")
"""Arguments of `Predictor` that decide how pictures look."""


def identify(model: Generator | str | Path) -> dict[str, Any]:
    """What tells a model from others, as JSON values: a file's path or name, and state; a network's class and content.

    Raises:
        WeightsError: there is no such file.
    """
    if not isinstance(model, Generator):
        named = str(Path(model).resolve()) if Path(model).exists() else str(model)
        return {"model": named, "model-file": stamp(find_checkpoint(model)), "fill": None}
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

    A file counts as made if neither it nor its sources have changed since. While a run makes files, it appends a line
    to a journal beside the JSON file just before each takes its name; so a run that was killed has noted all its files,
    and a line costs the same however many there are.

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
        self._journal = path.with_suffix(".journal")
        self._state = self._stamps()
        begun = self._begun()
        try:
            noted = msgspec.convert(begun.get(_FILLED, {}), dict[str, Stamps | None])  # None in earlier versions
        except msgspec.ValidationError as error:
            raise DataError(f"{path} is damaged ({error}); delete it, or name another folder") from error
        self._filled: dict[str, Stamps] = {name: stamps for name, stamps in noted.items() if stamps}
        self._take_in([] if force else self._journalled())
        self._made: list[tuple[str, Stamps]] = []  # by this run, as in the journal
        self._check({**begun, **settings})

    def check_made_with(self, model: Mapping[str, Any]) -> None:
        """Check the model and its settings against those that the folder was begun with, and keep them for `begin`.

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

    def _stamps(self) -> Stamps:
        return stamps([self.path, self._journal])

    def _journalled(self) -> list[tuple[str, Stamps]]:
        """What a run that was killed has noted; a line that was cut off is left out."""
        found = []
        for line in self._journal.read_bytes().splitlines() if self._journal.is_file() else ():
            with contextlib.suppress(ValueError):
                found.append(parse_json(line, tuple[str, Stamps]))
        return found

    def _take_in(self, lines: Iterable[tuple[str, Stamps]]) -> None:
        """Note the files of a journal that did take their names."""
        self._filled.update({name: noted for name, noted in lines if stamp(self.path.parent / name) == noted[0]})

    def made(self, files: Iterable[Path], sources: Sequence[Path | None]) -> bool:
        """Whether all these files were made from these sources, and nothing has changed since."""
        expected = stamps(sources)
        return all(path.exists() and self._filled.get(self._name(path)) == [stamp(path), *expected] for path in files)

    def check_ours(self, files: Iterable[Path]) -> None:
        """Raise `ConfigError` if one of these files exists and was made or changed by something else."""
        if self.force:
            return
        foreign = [path for path in files if path.exists() and not self._ours(path)]
        if foreign:
            raise ConfigError(
                f"{some(foreign, 3)}: already in the folder, and not as this command made it; use another folder, or "
                "overwrite all with --force"
            )

    def _ours(self, path: Path) -> bool:
        noted = self._filled.get(self._name(path))
        return noted is not None and noted[0] == stamp(path)

    def begin(self, files: Iterable[Path]) -> None:
        """Start a run: write the settings, so that the folder is known to be made with them.

        Args:
            files: what it will make; with `force`, those that exist are noted as ours, to be made again.

        Raises:
            ConfigError: another command has changed the ledger since it was read.
        """
        if self._stamps() != self._state:
            raise ConfigError(f"another command has filled {self.path.parent} meanwhile; run this one again")
        if self.force:
            self._filled.update({self._name(path): [stamp(path)] for path in files if path.exists()})
        self._write()

    def note(self, path: Path, file: Path, sources: Stamps) -> None:
        """Note a file that is about to be made.

        Args:
            path: the file.
            file: its complete content, under another name.
            sources: stamps of its sources, from before they were read.
        """
        line = self._name(path), [stamp(file), *sources]
        with open(self._journal, "a", encoding="ascii") as journal:
            journal.write(f"\n{json.dumps(line)}")  # begins with the line break: the line before may be cut off
        self._made.append(line)

    def end(self) -> None:
        """Finish a run: write the JSON file, which then holds what the journal held."""
        self._take_in(self._made)
        self._made.clear()
        self._write()

    def _write(self) -> None:
        Record(self.path, {**self.settings, _FILLED: self._filled}).write()
        self._journal.unlink(missing_ok=True)
        self._state = self._stamps()

    def _name(self, path: Path) -> str:
        return path.relative_to(self.path.parent).as_posix()
