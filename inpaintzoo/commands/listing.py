"""`inpaintzoo list`: the zoo's generators in a table."""

from __future__ import annotations

from collections.abc import Sequence

from jsonargparse import ArgumentParser, Namespace

from inpaintzoo.commands.run import run_command
from inpaintzoo.models.catalogue import list_models


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: what follows `inpaintzoo list`; None takes it from the process.

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
    head = ("method", "parameters", "GMACs", "multiple", "least", "labels", "samples", "guidance", "paper")
    rows = [
        (
            row.name,
            f"{row.parameters:,}",
            f"{row.macs / 1e9:.1f}",
            str(row.size_multiple),
            str(row.smallest_side),
            *("yes" if value else "-" for value in (row.needs_labels, row.stochastic, row.guidance)),
            row.paper,
        )
        for row in list_models()
    ]
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    for row in [head, *rows]:
        cells = [
            cell.rjust(w) if 1 <= i <= 4 else cell.ljust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())
