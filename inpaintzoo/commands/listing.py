"""`inpaintzoo list`: the zoo's generators in a table."""

from __future__ import annotations

from collections.abc import Sequence

from jsonargparse import ArgumentParser, Namespace
from tabulate import tabulate

from inpaintzoo.commands.run import run_command
from inpaintzoo.models.catalogue import list_models


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: arguments after `inpaintzoo list`; None reads sys.argv.

    Returns:
        The exit code: 0, 1 for an error that the user can fix, 2 for wrong usage.
    """
    return run_command(make_parser(), argv, _list)


def make_parser() -> ArgumentParser:
    """The options of the command."""
    return ArgumentParser(
        prog="inpaintzoo list", description="The zoo's generators: size, cost at 256x256, needs, and papers."
    )


def _list(config: Namespace) -> None:
    rows = [
        {
            "method": row.name,
            "parameters": f"{row.parameters:,}",
            "GMACs": f"{row.macs / 1e9:.1f}",
            "multiple": row.size_multiple,
            "least": row.smallest_side,
            "labels": "yes" if row.needs_labels else "-",
            "samples": "yes" if row.stochastic else "-",
            "guidance": "yes" if row.guidance else "-",
            "paper": row.paper,
        }
        for row in list_models()
    ]
    aligned = ["left", *["right"] * 4, *["left"] * 4]
    print(tabulate(rows, headers="keys", tablefmt="plain", colalign=aligned, disable_numparse=True))
