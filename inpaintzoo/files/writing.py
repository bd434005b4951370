"""Files written whole or not at all, under names that are free."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from inpaintzoo.types import WeightsError

_HOST = hashlib.sha256(platform.node().encode()).hexdigest()[:8]


def new_file(path: str | Path, suffixes: tuple[str, ...], overwrite: bool) -> Path:
    """A path to write to.

    Raises:
        WeightsError: it has another suffix, its folder is missing, or the file is there and may not be replaced.
    """
    target = Path(path)
    if target.suffix not in suffixes:
        raise WeightsError(f"{str(path)!r} must end in {' or '.join(suffixes)}")
    if not target.parent.is_dir():
        raise WeightsError(f"{target}: there is no folder {target.parent}")
    # A link that leads nowhere is there too.
    if target.is_dir() or (os.path.lexists(target) and not overwrite):
        raise WeightsError(f"{target} is there already; name another file or allow to overwrite it (--force)")
    return target


def write_whole(target: Path, write: Callable[[str], Any]) -> None:
    """Let `write` make a file beside the target, and put it in the target's place when it is complete.

    Its permissions are those of any new file (the umask decides). What a killed process left of the same target is
    removed.
    """
    # Of fixed length, for the target's own name may be as long as the file system allows.
    prefix = f".part-{hashlib.sha256(os.fsencode(target.name)).hexdigest()[:8]}-"
    for left in target.parent.glob(f"{prefix}*"):
        if _abandoned(left, prefix):
            shutil.rmtree(left, ignore_errors=True)
    with (
        _named(target),
        tempfile.TemporaryDirectory(prefix=f"{prefix}{_HOST}-{os.getpid()}-", dir=target.parent) as folder,
    ):
        file = Path(folder) / target.name
        file.touch()
        mode = stat.S_IMODE(file.stat().st_mode)
        file.unlink()
        write(str(file))
        file.chmod(mode)  # some writers take 0600
        os.replace(file, target)


@contextlib.contextmanager
def _named(target: Path) -> Iterator[None]:
    """Errors of the system name the target, and not the temporary file."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, f"cannot be written ({error.strerror})", str(target)) from error


def _abandoned(folder: Path, prefix: str) -> bool:
    """Whether the process that writes there is known to be gone: on this machine, or for a day without a change."""
    host, _, rest = folder.name.removeprefix(prefix).partition("-")
    process = rest.partition("-")[0]
    if os.name == "posix" and host == _HOST and process.isdecimal():
        try:
            os.kill(int(process), 0)  # sends nothing
        except ProcessLookupError:
            return True
        except OSError:  # another user's
            return False
        return False
    try:
        newest = max(path.stat().st_mtime for path in (folder, *folder.iterdir()))
    except OSError:  # gone in the meantime
        return False
    return time.time() - newest > 24 * 3600


def write_text(target: Path, text: str) -> None:
    """Write a UTF-8 file, whole or not at all; its folder must be there."""
    write_whole(target, lambda file: Path(file).write_text(text, encoding="utf-8"))


def free_path(path: Path) -> Path:
    """The path itself, or if it is taken `stem-1.suffix`, `stem-2.suffix`, …: nothing is overwritten."""
    free, number = path, 0
    while os.path.lexists(free):
        number += 1
        free = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return free


def new_folder(path: Path) -> Path:
    """Make a folder of that name, or of the first of `name-1`, `name-2`, … that is free."""
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
