"""`inpaintzoo completion`: a script with which a shell completes commands, options, their values and configs' names."""

from __future__ import annotations

import argparse
import importlib
import typing
from collections.abc import Sequence

import shtab
from jsonargparse import ArgumentParser, Namespace

from inpaintzoo.commands import COMMANDS
from inpaintzoo.commands.config_files import config_names
from inpaintzoo.commands.run import run_command

_CONFIGS = {  # the zoo's names, and files
    "bash": '_inpaintzoo_configs() {{ compgen -W "{names}" -- "$1"; compgen -f -- "$1"; }}',
    "zsh": "_inpaintzoo_configs() {{ _alternative 'zoo:config of the zoo:({names})' 'files:file:_files'; }}",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: Arguments after `inpaintzoo completion`; None reads sys.argv.

    Returns:
        The exit code: 0, 1 for an error, 2 for wrong usage.
    """
    return run_command(make_parser(), argv, _print_script)


def make_parser() -> ArgumentParser:
    """The options of the command."""
    parser = ArgumentParser(
        prog="inpaintzoo completion",
        description="Print a script with which a shell completes commands, options and the names of configs.",
    )
    parser.add_argument("shell", choices=shtab.SUPPORTED_SHELLS, help="the shell that will read it")
    return parser


def _print_script(config: Namespace) -> None:
    zoo = argparse.ArgumentParser(prog="inpaintzoo")
    commands = zoo.add_subparsers()
    for name, (module, about) in COMMANDS.items():
        make = importlib.import_module(f"inpaintzoo.commands.{module}").make_parser
        given = make(name) if module == "training" else make()
        _copy(given, commands.add_parser(name, help=about.split("  ")[0]))
    preamble = _CONFIGS.get(config.shell, "").format(names=" ".join(config_names()))
    print(shtab.complete(zoo, config.shell, preamble=preamble))


def _copy(given: argparse.ArgumentParser, parser: argparse.ArgumentParser) -> None:
    """Copy a command's options into a plain parser, with what their values can be."""
    for action in given._actions:
        if isinstance(action, argparse._SubParsersAction):
            inner = parser.add_subparsers()
            for name, each in action.choices.items():
                _copy(each, inner.add_parser(name))
        elif action.help != argparse.SUPPRESS and not isinstance(action, argparse._HelpAction):
            about = " ".join((action.help or "").split("%")[0].split())
            named: dict[str, typing.Any] = {"help": about, "dest": action.dest}
            if action.nargs == 0:
                parser.add_argument(*action.option_strings, action="store_true", **named)
                continue
            choices = action.choices or _choices(getattr(action, "_typehint", None))
            option = parser.add_argument(*action.option_strings, nargs=action.nargs, choices=choices, **named)
            if choices is None:
                configs = {**shtab.FILE, **dict.fromkeys(_CONFIGS, "_inpaintzoo_configs")}
                option.complete = configs if action.dest == "config" else shtab.FILE  # type: ignore[attr-defined]


def _choices(hint: typing.Any) -> list[str] | None:
    """The values of a closed type; None if it is open."""
    if hint is bool:
        return ["true", "false"]
    return [str(value) for value in typing.get_args(hint)] if typing.get_origin(hint) is typing.Literal else None
