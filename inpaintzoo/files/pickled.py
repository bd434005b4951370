"""Files of `torch.save`, written whole, and pickles of arrays: both are read without running code."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
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


def load_arrays(file: Path) -> Any:
    """Read a pickle of NumPy arrays in plain containers, such as Detectron2's `.pkl`; nothing in it is run.

    Args:
        file: A pickle of any protocol, from Python 2 or 3.

    Returns:
        Its content, with tensors in place of the arrays.

    Raises:
        pickle.UnpicklingError: The file holds other objects.
        Exception: Whatever the bytes of a damaged file lead to.
    """
    return _as_tensors(_ArrayUnpickler(io.BytesIO(file.read_bytes()), encoding="latin1").load())


class _DType:
    """In place of `numpy.dtype`, whose own `__setstate__` is not safe with hostile values."""

    def __init__(self, name: str, *_: Any) -> None:
        if name not in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "b1"):
            raise pickle.UnpicklingError(f"an array of {name!r}")
        self.dtype = np.dtype(name)

    def build(self, state: Any) -> None:
        if state[1] == ">":
            self.dtype = self.dtype.newbyteorder(">")


class _Array:
    """In place of `numpy.ndarray`: its pieces."""

    def __init__(self, *_: Any) -> None:
        self.value = np.zeros(0)

    def build(self, state: Any) -> None:
        _, shape, dtype, fortran, raw = state
        content = raw.encode("latin1") if isinstance(raw, str) else bytes(memoryview(raw))
        # A copy, in the machine's byte order: torch takes neither read-only nor swapped arrays.
        flat = np.frombuffer(content, dtype.dtype).astype(dtype.dtype.newbyteorder("="))
        self.value = flat.reshape(shape, order="F" if fortran else "C")


def _from_buffer(raw: Any, dtype: _DType, shape: Any, order: str) -> _Array:
    """In place of NumPy's `_frombuffer`, which protocol 5 calls."""
    array = _Array()
    array.build((1, shape, dtype, order == "F", raw))
    return array


def _scalar(dtype: _DType, raw: Any) -> _Array:
    """In place of NumPy's `scalar`."""
    return _from_buffer(raw.encode("latin1") if isinstance(raw, str) else raw, dtype, (), "C")


def _encode(text: str, encoding: str) -> bytes:
    """In place of `_codecs.encode`, by which protocol 2 writes bytes."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes in the encoding {encoding!r}")
    return text.encode("latin1")


_STAND_INS: dict[str, Any] = {
    "__builtin__.bytes": lambda: b"",  # no bytes, in protocol 2
    "_codecs.encode": _encode,
    "collections.OrderedDict": dict,
    "numpy.dtype": _DType,
    "numpy.ndarray": _Array,
}
for _core in ("numpy.core", "numpy._core"):  # NumPy 1 and 2
    _STAND_INS[f"{_core}.multiarray._reconstruct"] = _Array
    _STAND_INS[f"{_core}.multiarray.scalar"] = _scalar
    _STAND_INS[f"{_core}.numeric._frombuffer"] = _from_buffer


class _ArrayUnpickler(pickle._Unpickler):
    """Calls none of the functions that a file names, but stand-ins for the few that arrays need.

    Python's own slow unpickler: the fast one reserves memory for any number that a file gives as a memo index.
    """

    dispatch: ClassVar[dict[int, Any]] = dict(pickle._Unpickler.dispatch)
    stack: list[Any]

    def find_class(self, module: str, name: str) -> Any:
        found = _STAND_INS.get(f"{module}.{name}")
        if found is None:
            raise pickle.UnpicklingError(f"{module}.{name}")
        return found

    def _load_build(self) -> None:
        state = self.stack.pop()
        if not isinstance(self.stack[-1], (_DType, _Array)):
            raise pickle.UnpicklingError(f"a {type(self.stack[-1]).__name__} with a state")
        self.stack[-1].build(state)

    dispatch[pickle.BUILD[0]] = _load_build


def _as_tensors(content: Any) -> Any:
    if isinstance(content, _Array):
        return torch.from_numpy(content.value)
    if isinstance(content, dict):
        return {name: _as_tensors(value) for name, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_as_tensors(value) for value in content]
    if isinstance(content, _DType) or callable(content):
        raise pickle.UnpicklingError("something else than arrays and plain values")
    return content
