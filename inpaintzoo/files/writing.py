"""Atomic writes, free file names and digests."""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import os
import platform
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from inpaintzoo.types import InpaintzooError, WeightsError


def _machine() -> str:
    """What tells machines, and containers that share a host's name, apart: numbers of processes hold within one."""
    try:
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:  # not Linux
        namespace = ""
    return hashlib.sha256(f"{platform.node()} {namespace}".encode()).hexdigest()[:8]


_HOST = _machine()
_PART = ".part-"  # temporary folders: .part-HOST-PROCESS-RANDOM


def new_file(
    path: str | Path,
    suffixes: tuple[str, ...],
    overwrite: bool,
    error: type[InpaintzooError] = WeightsError,
    make_folder: bool = False,
) -> Path:
    """Check a path to write to.

    Args:
        path: The file.
        suffixes: What it may end in; nothing allows any suffix.
        overwrite: Whether the file may exist.
        error: What to raise.
        make_folder: Whether the caller makes the folder if it is missing.

    Raises:
        InpaintzooError: An `error`: another suffix, no such folder, a folder of this name, or a file that exists.
    """
    target = Path(path)
    if suffixes and target.suffix not in suffixes:
        raise error(f"{str(path)!r} must end in {' or '.join(suffixes)}")
    if not make_folder and not target.parent.is_dir():
        raise error(f"{target}: there is no folder {target.parent}")
    if target.is_dir():
        raise error(f"{target} is a folder; name a file")
    if os.path.lexists(target) and not overwrite:  # lexists: a dangling link counts as existing
        raise error(f"{target} already exists; name another file or allow overwriting it (--force)")
    return target


def write_whole(
    target: Path,
    write: Callable[[str], Any],
    complete: Callable[[Path], Any] | None = None,
    flush: bool = False,
    keep_previous: Path | None = None,
) -> None:
    """Write a file atomically: `write` gets a temporary path, and the complete file then replaces the target.

    The permissions are those of any new file (umask). The first write into a folder removes temporary files that killed
    runs left there.

    Args:
        target: The file.
        write: Called with the temporary path, which lies on the target's file system.
        complete: Called with the complete temporary file, whose size and time of last change the target will have.
        flush: Wait until file and folder are on the disk, so that a power cut leaves the old file or the new one.
        keep_previous: The file that the target, if it exists, becomes; in the same folder.

    Raises:
        OSError: The file cannot be written; the error names the target and the reason.
    """
    _sweep(target.parent.absolute())
    prefix = f"{_PART}{_HOST}-{os.getpid()}-"
    with _named(target), tempfile.TemporaryDirectory(prefix=prefix, dir=target.parent) as folder:
        file = Path(folder) / target.name
        file.touch()
        mode = stat.S_IMODE(file.stat().st_mode)
        file.unlink()
        write(str(file))
        file.chmod(mode)  # some writers take 0600
        if flush:
            _to_disk(file)
        if complete is not None:
            complete(file)
        if keep_previous is not None and target.exists():
            _link(target, keep_previous, Path(folder))
        os.replace(file, target)
        if flush and os.name == "posix":  # Windows cannot open folders
            _to_disk(target.parent)


def _to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDWR if path.is_file() else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _link(file: Path, name: Path, folder: Path) -> None:
    """Give a file a second name, which may exist; without hard links the file is renamed."""
    try:
        os.link(file, folder / name.name)
        os.replace(folder / name.name, name)
    except OSError:  # the file system has no hard links
        os.replace(file, name)


def whole_files(folder: Path, pattern: str) -> list[Path]:
    """The files in a folder and below whose names fit a pattern, without those that are being written."""
    return [path for path in folder.rglob(pattern) if not path.parent.name.startswith(_PART)]


@contextlib.contextmanager
def _named(target: Path) -> Iterator[None]:
    """Make errors of the system name the target instead of the temporary file, whatever library reports them."""
    try:
        yield
    except Exception as error:
        number, reason = _system_error(error)
        if reason is None:
            raise
        raise OSError(number, f"cannot be written ({reason})", str(target)) from error


def _system_error(error: Exception) -> tuple[int, str | None]:
    """The number of a system's error and its text; no text if it is none."""
    if isinstance(error, RuntimeError) and isinstance(error.__context__, OSError):  # torch's writer hides why it failed
        error = error.__context__
    if isinstance(error, OSError):  # Pillow's have no number
        return error.errno or errno.EIO, error.strerror or str(error)
    if code := re.search(r"\(os error (\d+)\)", str(error)):  # libraries in Rust, such as safetensors
        return int(code[1]), os.strerror(int(code[1]))
    return errno.EIO, None


@functools.cache  # once per process: a folder of many thousand files is slow to list
def _sweep(folder: Path) -> None:
    for left in folder.glob(f"{_PART}*"):
        if _abandoned(left):
            shutil.rmtree(left, ignore_errors=True)


def _abandoned(folder: Path) -> bool:
    """Whether its writer is gone: not running on this machine, or, on another machine, idle for a day."""
    host, _, rest = folder.name.removeprefix(_PART).partition("-")
    process = rest.partition("-")[0]
    if os.name == "posix" and host == _HOST and process.isdecimal():
        try:
            os.kill(int(process), 0)  # signal 0 only checks
        except ProcessLookupError:
            return True
        except OSError:  # another user's process
            return False
        return False
    try:
        newest = max(path.stat().st_mtime for path in (folder, *folder.iterdir()))
    except OSError:  # removed meanwhile
        return False
    return time.time() - newest > 24 * 3600


def write_text(target: Path, text: str) -> None:
    """Write a UTF-8 file atomically; its folder must exist.

    What UTF-8 cannot express, as in the names of some files, is written as an escape.
    """
    write_whole(target, lambda file: Path(file).write_text(text, encoding="utf-8", errors="backslashreplace"))


def free_path(path: Path) -> Path:
    """Return the path, or the first of `stem-1.suffix`, `stem-2.suffix`, … if it is taken."""
    free, number = path, 0
    while os.path.lexists(free):
        number += 1
        free = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return free


def new_folder(path: Path) -> Path:
    """Create the folder, or the first free one of `name-1`, `name-2`, …, and return it."""
    while True:
        folder = free_path(path)
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:  # another process was faster
            continue


def file_digest(path: Path) -> str:
    """SHA-256 (hex) of a file's content."""
    with open(path, "rb") as file:
        digest = hashlib.sha256()
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()
