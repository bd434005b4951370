"""The settings that an output folder's files were made with, so that only a run with the same settings resumes it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from inpaintzoo.files.reading import read_json
from inpaintzoo.files.writing import write_text


@dataclasses.dataclass(frozen=True)
class Record:
    """A JSON file of settings in an output folder.

    Attributes:
        path: the JSON file, in the output folder.
        settings: everything that affects the folder's files, as JSON values.
    """

    path: Path
    settings: Mapping[str, Any]

    def read(self) -> dict[str, Any] | None:
        """The recorded settings, None if there are none.

        Raises:
            DataError: the file is damaged or cannot be read.
        """
        if not self.path.is_file():
            return None
        return read_json(self.path, dict[str, Any], "delete it, or name another folder")

    def differences(self) -> list[str]:
        """How the recorded settings differ from these, one phrase each; empty if nothing is recorded."""
        before = self.read()
        if before is None:
            return []
        names = [name for name in {**before, **self.settings} if before.get(name) != self.settings.get(name)]
        return [
            f"{name} was {_abridged(before.get(name))} and is {_abridged(self.settings.get(name))}" for name in names
        ]

    def write(self) -> None:
        """Write the settings atomically; creates the folder if needed."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_text(self.path, json.dumps(dict(self.settings), indent=2) + "\n")


def _abridged(value: object) -> str:
    if value is None:
        return "not there"
    text = str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
