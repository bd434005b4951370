"""`inpaintzoo convert`: converts weights that authors released into one of the zoo's weight files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace
from safetensors.torch import save_file
from torch import nn

from inpaintzoo.commands.export import add_file_options
from inpaintzoo.commands.run import run_command
from inpaintzoo.files.writing import new_file, write_whole
from inpaintzoo.models.released import SOURCES
from inpaintzoo.weights.files import DTYPES, SUFFIX
from inpaintzoo.weights.released import convert_file

POINT_REND = "pointrend"
"""Detectron2's segmenter: it fills no holes, so its file is not one for `load_model`."""


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
    parser.add_argument(
        "--from",
        choices=[*SOURCES, POINT_REND],
        help=f"what the file holds, if it fits several; {POINT_REND} must be named",
    )
    parser.add_argument("file", type=str, help="the file as released")
    parser.add_argument("-o", "--out", type=str, required=True, help=f"the file to write; ends in {SUFFIX}")
    add_file_options(parser)
    return parser


def _convert(config: Namespace) -> None:
    if config["from"] == POINT_REND:
        network: nn.Module = _convert_point_rend(config)
    else:
        network = convert_file(
            config["from"], config.file, config.out, config.licence, DTYPES[config.dtype], config.force
        )
    tensors = len(network.state_dict())
    print(f"{config.out}: {type(network).__name__}, {tensors} tensors, {Path(config.out).stat().st_size:,} bytes")


def _convert_point_rend(config: Namespace) -> nn.Module:
    from inpaintzoo.removal.point_rend import load_network  # here: the other sources need no kornia

    target = new_file(config.out, (SUFFIX,), config.force)
    network = load_network(Path(config.file), "convert").to(DTYPES[config.dtype])
    metadata = {"licence": config.licence or "converted from Detectron2's PointRend; CC BY-SA 3.0"}
    write_whole(target, lambda part: save_file(network.state_dict(), part, metadata=metadata))
    return network
