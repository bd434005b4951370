"""Shared by all commands: arguments in, an exit code out, an error in one sentence."""

from __future__ import annotations

import argparse
import ast
import contextlib
import os
import re
import select
import sys
import traceback
import typing
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ArgumentParser, Namespace, get_loader, set_loader

from inpaintzoo.commands.checks import check_options, check_values, replaced_parts
from inpaintzoo.commands.mistakes import usage_error
from inpaintzoo.commands.usage import UsageError, subcommand
from inpaintzoo.types import InpaintzooError

INTERRUPTED, OUTPUT_CLOSED = 130, 141  # 128 plus the number of the signal, as shells do


def run_command(parser: ArgumentParser, argv: Sequence[str] | None, run: Callable[[Namespace], int | None]) -> int:
    """Parse, run, and say what went wrong.

    Args:
        parser: The command's; errors begin with its program name and the subcommand, if it has any.
        argv: Arguments after the command; None reads sys.argv.
        run: The command. The exit code that it returns is passed on; None counts as 0.

    Returns:
        The exit code: 0, 1 for an error, 2 for wrong usage, 130 for Ctrl-C, 141 if nobody reads the output any more.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    name = " ".join(filter(None, (parser.prog, subcommand(parser, arguments)[0])))
    return exit_code(name, lambda: run(parse(parser, arguments)))


def exit_code(name: str, run: Callable[[], int | None]) -> int:
    """Run a command; an error becomes one line on stderr.

    Every error ends here. What the user can change is told as it is; anything else is named with its type, file and
    line, since it is a mistake of the zoo or of the user's own class. With `INPAINTZOO_TRACEBACK` set in the
    environment, the error is raised instead.

    Args:
        name: The command's name, to begin the line with.
        run: The command.

    Returns:
        The exit code, see `run_command`.
    """
    try:
        code = run() or 0
        sys.stdout.flush()
        return code
    except SystemExit as stop:  # --help and the like
        if isinstance(stop.code, str):
            print(f"{name}: error: {stop.code}", file=sys.stderr)
        return 1 if isinstance(stop.code, str) else stop.code or 0
    except KeyboardInterrupt:
        print(f"{name}: stopped", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        if isinstance(error, BrokenPipeError) and _output_closed():
            return OUTPUT_CLOSED
        if os.environ.get("INPAINTZOO_TRACEBACK"):
            raise
        rank = _rank()  # each of several may say the same
        which = "" if rank == "0" else f" (process {rank})"
        print(f"{name}: error{which}: {told(error)}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1


def _output_closed() -> bool:
    """Whether what reads the output, such as `head`, has ended; what is still to be written is dropped then."""
    try:
        output, poll = sys.stdout.fileno(), select.poll()
    except (AttributeError, OSError):  # Windows has no poll; an output that is no file cannot break
        return False
    poll.register(output, 0)
    closed = any(event & select.POLLERR for _, event in poll.poll(0))
    if closed:
        os.dup2(os.open(os.devnull, os.O_WRONLY), output)
    return closed


def parse(parser: ArgumentParser, argv: Sequence[str]) -> Namespace:
    """Parse a command line.

    Args:
        parser: The command's.
        argv: What follows the command.

    Raises:
        UsageError: A mistake in it, or in a config file that it names, in one sentence.
    """
    for each in (parser, *subcommand(parser, argv)[2].values()):
        each.exit_on_error = False
        each.allow_abbrev = False  # a misspelt option must not pass for another one
    name, options, _ = subcommand(parser, argv)
    check_options(options, argv)
    try:
        with _python_values():
            config = parser.parse_args(_without_nulls(parser, argv))
    except argparse.ArgumentError as error:
        raise UsageError(usage_error(parser, argv, error)) from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{_not_text(argv)}: a config file is not text in UTF-8 ({error.reason})") from error
    check_values(options, config[name] if name else config)
    if _rank() == "0":
        for note in replaced_parts(argv):
            print(f"note: {note}", file=sys.stderr)
    return config


def _rank() -> str:
    """The number of this process among those of its run."""
    return os.environ.get("RANK") or os.environ.get("LOCAL_RANK") or "0"


def _not_text(argv: Sequence[str]) -> str:
    """The config file that cannot be decoded."""
    for path in [Path(word.partition("=")[2] or word) for word in argv]:
        try:
            if os.path.isfile(path):
                path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            return str(path)
    return "--config"


def _without_nulls(parser: ArgumentParser, argv: Sequence[str]) -> list[str]:
    """The arguments without options of a plain type that are set to null and are None if left out."""
    options, kept = subcommand(parser, argv)[1], list(argv)
    for place in range(len(argv) - 2, -1, -1):  # from the end, so that the places before stay what they are
        action = options._option_string_actions.get(argv[place])
        if argv[place + 1] != "null" or action is None:
            continue
        hint = getattr(action, "_typehint", action.type)
        if type(None) in typing.get_args(hint) or action.nargs == 0 or "Config" in type(action).__name__:
            continue  # jsonargparse reads it
        if any(other.dest == "config" for other in options._actions):  # whose value would stand instead
            raise UsageError(f"{argv[place]} null: must not be null")
        if action.default is not None:
            raise UsageError(f"{argv[place]} null: must not be null; leave it out for the default, {action.default!r}")
        kept[place : place + 2] = []
    return kept


def told(error: Exception) -> str:
    """An error in one sentence: what the user can do something about as it is, anything else with its place."""
    text = one_sentence(error)
    for pattern, sentence in _SYSTEM:
        if re.search(pattern, f"{type(error).__name__}: {text}"):
            return sentence
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    if isinstance(error, (UsageError, InpaintzooError, ValueError, OSError)) or type(error).__name__ in _TOLD:
        return text
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "site-packages" not in frame.filename] or frames
    place = f"{Path(own[-1].filename).name}, line {own[-1].lineno}" if own else "unknown place"
    return f"{type(error).__name__}: {text} ({place}); INPAINTZOO_TRACEBACK=1 shows how it came to this"


def one_sentence(error: BaseException) -> str:
    """An error's text on one line, without the traceback that comes with the error of a loading process."""
    text = str(error)
    if "Original Traceback" in text:
        text = re.split(r"\n(?:\w+\.)*\w+: ", text)[-1]
    return " ".join(text.split())[:600]


PARTNER_LOST = "another process of this run ended or does not answer, so this one stops; its own line says why"
_TOLD = ("MisconfigurationException", "SafetensorError", "BadZipFile")
_SYSTEM = [  # errors whose own text says nothing to the user
    (
        r"DataLoader worker .*(?:killed by signal|exited unexpectedly)|Bus error",
        "a loading process was killed, most likely because memory ran out; lower --data.num_workers or "
        "--data.batch_size",
    ),
    (
        r"^MemoryError|OutOfMemoryError|CUDA out of memory|DefaultCPUAllocator|[Cc]annot allocate memory|bad_alloc",
        "memory ran out; use a smaller batch, fewer loading processes or smaller pictures",
    ),
    (
        r"(?i)^(?:Runtime|DistBackend|DistNetwork|DistStore)Error: .*"
        r"(?:connection (?:closed|reset|refused)|broken pipe|timed? ?out|nccl|gloo|tcpstore)",
        PARTNER_LOST,
    ),
]


def instantiated(parser: ArgumentParser, config: Namespace) -> Any:
    """The config with its classes built."""
    # jsonargparse 4.49 renamed the method; older versions are still allowed.
    build = getattr(parser, "instantiate", None) or parser.instantiate_classes
    return build(config)


@contextlib.contextmanager
def _python_values() -> Iterator[None]:
    """Makes jsonargparse read values in Python's spelling too.

    For an option of a class within a class, jsonargparse loads the value and hands it on as Python writes it: null as
    None, which YAML would take for text.
    """
    load_yaml = get_loader("yaml")

    def load(text: str) -> Any:
        if text.strip() == "None":
            return None
        with contextlib.suppress(ValueError, SyntaxError, MemoryError, RecursionError):
            if isinstance(value := ast.literal_eval(text.strip()), (list, dict)):
                return value
        return load_yaml(text)

    set_loader("yaml", load, (yaml.YAMLError,))
    try:
        yield
    finally:
        set_loader("yaml", load_yaml, (yaml.YAMLError,))
