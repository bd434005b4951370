"""Files of `torch.save`: written whole, read without running code."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

from inpaintzoo.files.writing import write_whole


def save_pickled(content: object, target: Path, keep_previous: Path | None = None) -> None:
    """Write a file of tensors and plain values, whole or not at all, and wait until it is on the disk.

    Args:
        content: What `load_pickled` returns.
        target: The file.
        keep_previous: As for `write_whole`.

    Raises:
        OSError: The file cannot be written.
    """

    def write(part: str) -> None:
        with open(part, "wb") as file:
            torch.save(content, file)

    write_whole(target, write, flush=True, keep_previous=keep_previous)


def load_pickled(file: Path, mmap: bool = False) -> Any:
    """Read a file of tensors and plain values, onto the CPU; nothing in it is run.

    Args:
        file: What `save_pickled` or `torch.save` has written.
        mmap: Leave the tensors in the file until they are used.

    Raises:
        pickle.UnpicklingError: The file holds other objects, or compressed parts: torch writes none, and a small file
            could inflate to fill the memory.
        Exception: Whatever the bytes of a damaged file lead to.
    """
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            if any(part.compress_type != zipfile.ZIP_STORED for part in archive.infolist()):
                raise pickle.UnpicklingError("compressed parts, which torch never writes")
    return torch.load(file, map_location="cpu", weights_only=True, mmap=mmap)
