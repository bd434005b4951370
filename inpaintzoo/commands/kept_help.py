"""The help of commands, kept between calls: it is the same each time, and its options take seconds to import."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import io
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from inpaintzoo.files.cache import cache_folder
from inpaintzoo.files.writing import write_text

_DEPENDENCIES = ("jsonargparse", "lightning", "torch", "torchvision")


def with_kept_help(command: str, arguments: Sequence[str], run: Callable[[], int]) -> int:
    """Run a command, or print its help as an earlier call has kept it.

    Args:
        command: The command's name.
        arguments: What follows it; classes of the user's own (`--import`) have their say in the help, which is not
            kept then.
        run: Runs it.

    Returns:
        The exit code.
    """
    if list(arguments) not in (["-h"], ["--help"]):
        return run()
    file, code = cache_folder() / "help" / f"{command}-{_state()}.txt", 0
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        with contextlib.redirect_stdout(io.StringIO()) as said:
            code = run()
        text = said.getvalue()
        if code == 0:
            with contextlib.suppress(OSError):  # a home that cannot be written, a full disk
                file.parent.mkdir(parents=True, exist_ok=True)
                write_text(file, text)
    print(text, end="")
    return code


def _state() -> str:
    """A digest of what the text depends on: the code, the packages that define options, the terminal's width."""
    package = Path(__file__).parents[1]
    files = [(str(file), file.stat().st_mtime_ns) for file in sorted(package.rglob("*.py"))]
    versions = [importlib.metadata.version(name) for name in _DEPENDENCIES]
    width = shutil.get_terminal_size().columns
    return hashlib.sha256(repr((files, versions, sys.version, width)).encode()).hexdigest()[:12]
