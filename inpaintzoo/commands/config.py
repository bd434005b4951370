"""`inpaintzoo config`: lists the zoo's configs, or prints one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from inpaintzoo.commands.config_files import config_names, folder_of_configs, meant_configs, zoo_config
from inpaintzoo.commands.run import run_command
from inpaintzoo.types import ConfigError


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: Arguments after `inpaintzoo config`; None reads sys.argv.

    Returns:
        The exit code: 0, 1 for an error that the user can fix, 2 for wrong usage.
    """
    return run_command(make_parser(), argv, _config)


def make_parser() -> ArgumentParser:
    """The options of the command."""
    parser = ArgumentParser(
        prog="inpaintzoo config", description="List the zoo's configs, or print one: inpaintzoo config spn > my.yaml"
    )
    parser.add_argument("name", nargs="?", type=str, help="such as spn or data/folder; all are listed without it")
    return parser


def _config(config: Namespace) -> None:
    if config.name is None:
        width = max(map(len, config_names()))
        for name in config_names():
            print(f"{name:<{width}}  {_summary(folder_of_configs() / f'{name}.yaml')}")
    elif path := zoo_config(config.name):
        print(path.read_text(encoding="utf-8"), end="")
    else:
        raise ConfigError(f"{config.name}: no config of the zoo has this name{meant_configs(config.name)}")


def _summary(config: Path) -> str:
    """The first sentence of a config's header."""
    lines = config.read_text(encoding="utf-8").split("\n#\n")[0].splitlines()
    text = " ".join(line.removeprefix("#").strip() for line in lines if line.startswith("#"))
    return re.split(r"\. (?=[A-Z])", text)[0].rstrip(".:")
