"""What the zoo's own commands have in common: arguments in, an exit code out, an error in one sentence."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from inpaintzoo.types import InpaintzooError

INTERRUPTED = 130  # 128 and the number of the signal, as shells say it


def run_command(
    parser: ArgumentParser,
    argv: Sequence[str] | None,
    run: Callable[[Namespace], int | None],
    mended: tuple[type[Exception], ...] = (InpaintzooError, OSError),
) -> int:
    """Parse, run, and say what went wrong.

    Args:
        parser: of the command; errors begin with its program name and the subcommand, where it has one.
        argv: what stands behind the command; None takes it from the process.
        run: the command; an exit code that it returns is handed on, None counts as 0.
        mended: errors that the user can mend. They become a line on stderr, or with `INPAINTZOO_TRACEBACK` set in the
            environment go on as they are.

    Returns:
        The exit code: 0, 1 for an error that the user can mend, 2 for wrong usage, 130 for Ctrl-C.
    """
    try:
        config = parser.parse_args(list(sys.argv[1:] if argv is None else argv))
    except SystemExit as stop:  # wrong usage, which the parser has explained, or --help
        return int(stop.code or 0)
    try:
        return run(config) or 0
    except KeyboardInterrupt:
        print(f"{parser.prog}: stopped", file=sys.stderr)
        return INTERRUPTED
    except mended as error:
        if os.environ.get("INPAINTZOO_TRACEBACK"):
            raise
        name = " ".join(filter(None, (parser.prog, config.get("subcommand"))))
        rank = os.environ.get("RANK", "0")  # of several processes each may say the same
        which = "" if rank == "0" else f" (process {rank})"
        print(f"{name}: error{which}: {one_sentence(error)}", file=sys.stderr)
        return 1


def one_sentence(error: Exception) -> str:
    """An error's text on one line; of a loading process's error, which carries a traceback, the sentence alone."""
    return " ".join(re.split(r"inpaintzoo\.types\.\w+: ", str(error))[-1].split())


def instantiated(parser: ArgumentParser, config: Namespace) -> Any:
    """The config with its classes built."""
    # jsonargparse 4.49 renamed the method; older versions are still allowed.
    build = getattr(parser, "instantiate", None) or parser.instantiate_classes
    return build(config)
