"""The project's own JSON files, checked against the shape that they must have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypeVar

import msgspec

from inpaintzoo.types import DataError

T = TypeVar("T")


def read_json(path: Path, kind: type[T], remedy: str) -> T:
    """Read a JSON file.

    Args:
        path: The file.
        kind: The shape of its content: a `msgspec.Struct`, a dataclass, or a type such as `dict[str, int]`.
        remedy: What to do about a damaged file; it ends the error's sentence.

    Raises:
        DataError: The file cannot be read, is not JSON, or has another shape; the message says where.
    """
    try:
        return parse_json(path.read_bytes(), kind)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); {remedy}") from error
    except MemoryError as error:
        raise DataError(f"{path} does not fit into memory; {remedy}") from error
    except ValueError as error:
        raise DataError(f"{path} is damaged ({error}); {remedy}") from error


def parse_json(text: bytes | str, kind: type[T]) -> T:
    """Read a JSON text; NaN and infinity are allowed.

    Args:
        text: The text.
        kind: The shape of its content, see `read_json`.

    Raises:
        ValueError: The text is not JSON or has another shape; the message says where.
    """
    try:
        return msgspec.convert(json.loads(text), kind)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error}") from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
