"""What a folder of filled pictures was made with, so that a run goes on only with what is really its own."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from inpaintzoo.files.writing import write_whole
from inpaintzoo.types import ConfigError

_FILLED = "filled"  # beside the settings: file -> stamps of it and of what it was made from; None: not made yet
_SHOWN = 3  # files that a sentence names


def stamp(path: Path | None) -> list[int] | None:
    """Size in bytes and time of the last change of a file, which tell it from another; None if there is none."""
    if path is None or not path.exists():
        return None
    found = path.stat()
    return [found.st_size, found.st_mtime_ns]


class Ledger:
    """The settings of an output folder and the files made with them, in a JSON file.

    A file counts as made if neither it nor what it was made from has changed since.

    Args:
        path: the JSON file, in the folder.
        settings: what decides how the pictures look, as JSON values.
        force: begin anew, whatever is there.

    Raises:
        ConfigError: the folder was begun with other settings, or the JSON file is damaged.
    """

    def __init__(self, path: Path, settings: dict[str, Any], force: bool) -> None:
        self.path = path
        self.settings = settings
        self.force = force
        self._due = 0.0  # when the file is to be written again
        self._filled: dict[str, Any] = {}
        self._before: dict[str, Any] = {}  # what was noted of files that are being made anew
        if not force and path.exists():
            begun = self._read()
            other = [name for name, value in settings.items() if begun.get(name) != value]
            if other:
                told = ", ".join(f"--{name} {begun.get(name)} (now {settings[name]})" for name in other)
                raise ConfigError(
                    f"{path.parent} was begun with {told}; take another folder, or do all anew with --force"
                )
            self._filled = dict(begun.get(_FILLED, {}))

    def _read(self) -> dict[str, Any]:
        try:
            begun = json.loads(self.path.read_text(encoding="utf-8"))
            if isinstance(begun, dict) and isinstance(begun.get(_FILLED, {}), dict):
                return begun
        except ValueError:
            pass
        raise ConfigError(f"{self.path} is damaged; delete it, or begin anew with --force")

    def made(self, files: Iterable[Path], sources: Sequence[Path | None]) -> bool:
        """Whether all these files were made from these sources, and nothing has changed since."""
        return all(path.exists() and self._filled.get(self._name(path)) == _stamps(path, sources) for path in files)

    def check_ours(self, files: Iterable[Path]) -> None:
        """Raise `ConfigError` if one of these files is there and was made or changed by something else."""
        foreign = [path for path in files if path.exists() and not self._ours(path)]
        if foreign and not self.force:
            named = ", ".join(map(str, foreign[:_SHOWN])) + (", ..." if len(foreign) > _SHOWN else "")
            raise ConfigError(
                f"{named}: there already, and not as this command made it; take another folder, or overwrite all with "
                "--force"
            )

    def begin(self, files: Iterable[Path]) -> None:
        """Note files that are to be made, in a file of the folder's own."""
        names = [self._name(file) for file in files]
        self._before = {name: self._filled[name] for name in names if self._filled.get(name) is not None}
        self._filled.update(dict.fromkeys(names))
        self.write()

    def note(self, files: Iterable[Path], sources: Sequence[Path | None]) -> None:
        """Note that files were made from sources.

        The JSON file follows at once while it is small. With many thousands of files it is written so rarely that this
        takes a twentieth of the time; after a killed run, files that it does not know yet are made anew. `write` brings
        it up to date.
        """
        self._filled.update({self._name(path): _stamps(path, sources) for path in files})
        if time.monotonic() >= self._due:
            self.write()

    def end(self) -> None:
        """Forget files that were to be made and were not, and write: what comes to lie there is somebody else's.

        Of those that were to be made anew, what was noted before holds.
        """
        kept = {name: self._before.get(name) if noted is None else noted for name, noted in self._filled.items()}
        folder = self.path.parent
        self._filled = {name: noted for name, noted in kept.items() if noted is not None or (folder / name).exists()}
        self.write()

    def _ours(self, path: Path) -> bool:
        name = self._name(path)
        if name not in self._filled:
            return False
        noted = self._filled[name]
        return noted is None or noted[0] == stamp(path)  # None: an interrupted run may have made it

    def _name(self, path: Path) -> str:
        return path.relative_to(self.path.parent).as_posix()

    def write(self) -> None:
        """Write the JSON file."""
        start = time.monotonic()
        text = json.dumps({**self.settings, _FILLED: self._filled}, indent=1) + "\n"
        write_whole(self.path, lambda file: Path(file).write_text(text, encoding="utf-8"))
        end = time.monotonic()
        self._due = end + 20 * (end - start)


def _stamps(path: Path, sources: Sequence[Path | None]) -> list[list[int] | None]:
    return [stamp(path), *map(stamp, sources)]
