"""`inpaintzoo export`, `convert` and `list`: weight files made from runs and from released files, and what there is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from jsonargparse import ArgumentParser, Namespace

from inpaintzoo.commands import run_command
from inpaintzoo.generator import Generator
from inpaintzoo.listing import list_models
from inpaintzoo.types import WeightsError
from inpaintzoo.weights.checkpoints import find_checkpoint
from inpaintzoo.weights.conversion import SOURCES
from inpaintzoo.weights.export import SUFFIXES, Exported, export_model
from inpaintzoo.weights.files import DTYPES, SUFFIX, load_model, read_about, save_model
from inpaintzoo.weights.released import convert_file


def main(command: str, argv: Sequence[str] | None = None) -> int:
    """Run one of the commands.

    Args:
        command: `export`, `convert` or `list`.
        argv: what stands behind it; None takes it from the process.

    Returns:
        The exit code: 0, 1 for an error that the user can mend, 2 for wrong usage.
    """
    build, run = COMMANDS[command]
    return run_command(build(), argv, run)


def _export_parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="inpaintzoo export", description="Write a run's generator as a weight file or as a program of its own."
    )
    parser.add_argument("--ckpt", type=str, required=True, help="a run's folder, its .ckpt, or a .safetensors file")
    endings = f"{SUFFIX}, {' or '.join(SUFFIXES)}"
    parser.add_argument("--to", type=str, required=True, help=f"the file to write; ends in {endings}")
    parser.add_argument("--raw", action="store_true", help="the trained weights, not their moving average")
    _add_shared(parser)
    return parser


def _convert_parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="inpaintzoo convert", description="Turn a file of weights that authors released into one of ours."
    )
    parser.add_argument("--from", choices=SOURCES, required=True, help="what the file holds")
    parser.add_argument("file", type=str, help="the file as released")
    parser.add_argument("-o", "--out", type=str, required=True, help=f"the file to write; ends in {SUFFIX}")
    _add_shared(parser)
    return parser


def _add_shared(parser: ArgumentParser) -> None:
    parser.add_argument("--dtype", choices=list(DTYPES), default="fp32", help="of the weights in the file")
    parser.add_argument("--licence", type=str, default="", help="a note on the terms of use, kept in the file")
    parser.add_argument("--force", action="store_true", help="overwrite the file if it is there")


def _list_parser() -> ArgumentParser:
    return ArgumentParser(
        prog="inpaintzoo list", description="The zoo's generators: size, cost at 256x256, needs, and papers."
    )


def _export(config: Namespace) -> None:
    source, target = find_checkpoint(config.ckpt), Path(config.to)
    if target.suffix not in (SUFFIX, *SUFFIXES):
        raise WeightsError(f"--to {config.to!r} must end in {SUFFIX}, {' or '.join(SUFFIXES)}")
    if target.suffix in SUFFIXES and config.dtype != "fp32":
        raise WeightsError(f"--dtype {config.dtype} is for {SUFFIX}; exported programs have float32 weights")
    about = read_about(source, config.raw)
    model, licence = load_model(source, dtype=torch.float32, raw=config.raw), config.licence or about.licence
    if target.suffix in SUFFIXES:
        _tell_program(model, export_model(model, target, config.force, about.facts, licence))
        return
    save_model(model, target, about.facts, licence, DTYPES[config.dtype], overwrite=config.force)
    print(
        f"{target}: {type(model).__name__}, {about.facts.get('weights', 'stored')} weights after "
        f"{about.facts.get('iterations', 'unknown')} iterations, {config.dtype}, {target.stat().st_size:,} bytes"
    )


def _tell_program(model: Generator, exported: Exported) -> None:
    for comparison in exported.comparisons:
        batch, height, width = comparison.shape
        print(f"  {batch} x {height} x {width}: differs from the network by {comparison.difference:.2g} at most")
    found = f"{exported.difference:.2g}" if exported.comparisons else "not measured, since onnxruntime is missing"
    print(
        f"{exported.path}: {exported.kind}, any batch, sides multiples of {exported.multiple} from "
        f"{exported.smallest_side} up; maximum difference {found}"
    )
    if noise := model.noise_shape(exported.multiple, exported.multiple):
        shape = f"(batch, {noise[0]}, {noise[1]}/{exported.multiple} height, {noise[2]}/{exported.multiple} width)"
        print(f"{exported.path}: takes noise beside image and mask, standard normal {shape}, a fill for each draw")


def _convert(config: Namespace) -> None:
    network = convert_file(config["from"], config.file, config.out, config.licence, DTYPES[config.dtype], config.force)
    tensors = len(network.state_dict())
    print(f"{config.out}: {type(network).__name__}, {tensors} tensors, {Path(config.out).stat().st_size:,} bytes")


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


COMMANDS: dict[str, tuple[Callable[[], ArgumentParser], Callable[[Namespace], None]]] = {
    "export": (_export_parser, _export),
    "convert": (_convert_parser, _convert),
    "list": (_list_parser, _list),
}
