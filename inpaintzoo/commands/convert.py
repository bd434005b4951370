"""`inpaintzoo convert`: converts weights that authors released into one of the zoo's weight files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from inpaintzoo.commands.export import add_file_options
from inpaintzoo.commands.run import run_command
from inpaintzoo.models.released import SOURCES
from inpaintzoo.weights.files import DTYPES, SUFFIX
from inpaintzoo.weights.released import convert_file


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: arguments after `inpaintzoo convert`; None reads sys.argv.

    Returns:
        The exit code: 0, 1 for an error that the user can fix, 2 for wrong usage.
    """
    return run_command(make_parser(), argv, _convert)


def make_parser() -> ArgumentParser:
    """The options of the command."""
    parser = ArgumentParser(
        prog="inpaintzoo convert",
        description="Convert weights that authors released into one of the zoo's weight files.",
    )
    parser.add_argument("--from", choices=SOURCES, help="what the file holds, if it fits several")
    parser.add_argument("file", type=str, help="the file as released")
    parser.add_argument("-o", "--out", type=str, required=True, help=f"the file to write; ends in {SUFFIX}")
    add_file_options(parser)
    return parser


def _convert(config: Namespace) -> None:
    network = convert_file(config["from"], config.file, config.out, config.licence, DTYPES[config.dtype], config.force)
    tensors = len(network.state_dict())
    print(f"{config.out}: {type(network).__name__}, {tensors} tensors, {Path(config.out).stat().st_size:,} bytes")
