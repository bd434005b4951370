"""`inpaintzoo doctor`: the checks of `inpaintzoo.doctor` on the command line."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from jsonargparse import ArgumentParser

from inpaintzoo.commands.training import ZooCLI, run_training, unparsed
from inpaintzoo.doctor import examine

OPTIONS = ("--trainer.accelerator", "cpu", "--trainer.devices", "1")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: Arguments after `inpaintzoo doctor`; None reads sys.argv.

    Returns:
        The exit code: 0, 1 for an error that the user can fix, 2 for wrong usage.
    """
    arguments = [*OPTIONS, *(sys.argv[1:] if argv is None else argv)]

    def run() -> int:
        cli = ZooCLI(arguments, run=False, parser_kwargs={"prog": "inpaintzoo doctor"})
        return examine(cli.model, cli.datamodule)

    return run_training("inpaintzoo doctor", run)


def make_parser() -> ArgumentParser:
    """The options of the command."""
    return unparsed(run=False)
