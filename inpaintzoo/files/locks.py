"""One command at a time in an output folder."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from inpaintzoo.types import ConfigError

LOCK = ".inpaintzoo.lock"


@contextlib.contextmanager
def taking_turns(file: Path) -> Iterator[None]:
    """Make one process after another run the block that makes a file; its folder must exist."""
    lock = FileLock(f"{file}.lock", thread_local=False)
    with lock:
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # Windows removes no open files
                Path(lock.lock_file).unlink()  # while it is locked, as below


@contextlib.contextmanager
def sole_use(folder: Path) -> Iterator[None]:
    """Keep other commands out of a folder while the block runs.

    A folder that does not exist is made, and removed again if nothing is written into it. The system drops the lock
    when the process ends, however it ends.

    Raises:
        ConfigError: Another command is using the folder.
        OSError: The folder cannot be made or written to.
    """
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK, timeout=0, thread_local=False)
    try:
        lock.acquire()
    except Timeout as error:
        raise ConfigError(
            f"{folder} is in use by another inpaintzoo command; wait until it has ended, or name another folder"
        ) from error
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # Windows removes no open files
            (folder / LOCK).unlink()  # while it is locked: filelock refuses a file that has been removed
        lock.release()
        if made:
            with contextlib.suppress(OSError):  # it is not empty
                folder.rmdir()
