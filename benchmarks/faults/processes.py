"""Commands of the zoo in processes of their own, which may be killed, starved of disk space, or run side by side."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import functools
import multiprocessing
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path

from inpaintzoo.commands import main

_NEW_USER, _NEW_MOUNTS = 0x10000000, 0x00020000  # flags of unshare(2)
_LONGEST = 600.0  # seconds that a command may take before it counts as hanging


class Command:
    """`inpaintzoo ARGUMENTS`, forked from this process so that it need not import torch again.

    Args:
        arguments: the command and its arguments.
        folder: where its output is kept; its working folder too.
        environment: variables to set.
        disk: a folder and a size in bytes: the command finds a file system of that size mounted there.
        file_limit: bytes; the longest file that it may write.
    """

    def __init__(
        self,
        arguments: Sequence[object],
        folder: Path,
        environment: Mapping[str, str] | None = None,
        disk: tuple[Path, int] | None = None,
        file_limit: int | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.arguments, self.folder = [str(argument) for argument in arguments], folder
        self.environment, self.disk, self.file_limit = dict(environment or {}), disk, file_limit
        self._stderr, self._said = os.pipe()  # not a file: its size may be limited
        fcntl.fcntl(self._said, fcntl.F_SETPIPE_SZ, 2**20)  # so that the command never waits for a reader
        self._process = multiprocessing.get_context("fork").Process(target=self._run)
        self._process.start()
        os.close(self._said)

    def _run(self) -> None:
        os.setsid()  # so that a kill reaches its workers too
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(self._said, 2)
        sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1, closefd=False) for number in (1, 2))
        os.environ.update(self.environment)
        tempfile.tempdir = None  # TMPDIR may be among them
        code = 70
        try:
            if self.disk:
                mount(*self.disk)
            os.chdir(self.folder)  # after the mount, which may cover it
            if self.file_limit is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (self.file_limit, self.file_limit))
            code = main(self.arguments)
        except BaseException:
            traceback.print_exc()
        finally:
            if self.disk:
                self._bring_out(self.disk[0])
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _bring_out(self, folder: Path) -> None:
        """Copy what the command left on its own file system, which is gone when it ends, to `left` beside it."""
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        shutil.copytree(folder, folder.with_name("left"), dirs_exist_ok=True)

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.is_alive()

    def kill(self, how: int = signal.SIGKILL) -> None:
        """Send a signal to it and its workers."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid or 0, how)

    def wait(self, seconds: float = _LONGEST) -> int:
        """Its exit code, or minus the number of the signal that ended it.

        Raises:
            TimeoutError: it still runs after so many seconds; it is killed.
        """
        self._process.join(seconds)
        if self.running:
            self.kill()
            self._process.join()
            raise TimeoutError(f"{' '.join(self.arguments)}: still running after {seconds:.0f} s")
        return self._process.exitcode or 0

    @functools.cached_property
    def errors(self) -> str:
        """What it wrote to stderr; call it when the command has ended."""
        with os.fdopen(self._stderr, errors="replace") as text:
            return text.read()

    def problem(self, codes: Sequence[int] = (0, 1, 2)) -> str | None:
        """What a user would complain about: an unexpected exit code, a traceback, more than one line on an error."""
        code = self.wait()
        if code not in codes:
            return f"exit code {code}: {self.errors.strip()[-300:]}"
        return complaint(code, self.errors)


def complaint(code: int, errors: str) -> str | None:
    """What is wrong with an exit code and the text on stderr; None if the error is told in one sentence."""
    if "Traceback" in errors:
        return f"a traceback: {errors.strip()[-300:]}"
    told = [line for line in errors.splitlines() if ": error" in line]
    if code in (1, 2) and len(told) != 1:
        return f"exit code {code} with {len(told)} error lines: {errors.strip()[-300:]}"
    return None


def mount(folder: Path, size: int) -> None:
    """Mount an empty file system of so many bytes for this process alone.

    Raises:
        OSError: this system does not allow it.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.getuid(), os.getgid()

    def call(result: int) -> None:
        if result:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), "mount")

    call(libc.unshare(_NEW_USER | _NEW_MOUNTS))
    Path("/proc/self/uid_map").write_text(f"0 {user} 1")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    call(libc.mount(b"none", str(folder).encode(), b"tmpfs", 0, f"size={size}".encode()))


def can_mount(folder: Path) -> bool:
    """Whether `mount` works here; it needs Linux and user namespaces."""

    def attempt() -> None:
        try:
            mount(folder, 2**20)
        except BaseException:
            os._exit(1)
        os._exit(0)

    process = multiprocessing.get_context("fork").Process(target=attempt)
    process.start()
    process.join()
    return process.exitcode == 0


def other_file_system(folder: Path) -> Path | None:
    """A folder for temporary files on another file system than `folder`; None if there is none at hand."""
    for root in map(Path, ("/dev/shm", "/tmp", "/var/tmp")):
        if root.is_dir() and os.access(root, os.W_OK) and root.stat().st_dev != folder.stat().st_dev:
            return Path(tempfile.mkdtemp(dir=root))
    return None


def sleep_until(moment: float) -> None:
    """Sleep until a time of `time.monotonic`."""
    time.sleep(max(0.0, moment - time.monotonic()))
