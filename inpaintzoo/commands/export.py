"""`inpaintzoo export`: writes a run's generator as a weight file or a standalone program."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from jsonargparse import ArgumentParser, Namespace

from inpaintzoo.commands.run import run_command
from inpaintzoo.generator import Generator
from inpaintzoo.types import WeightsError
from inpaintzoo.weights.export import SUFFIXES, Exported, export_model
from inpaintzoo.weights.files import DTYPES, SUFFIX, save_model
from inpaintzoo.weights.loading import load_described
from inpaintzoo.weights.registry import find_checkpoint


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: arguments after `inpaintzoo export`; None reads sys.argv.

    Returns:
        The exit code: 0, 1 for an error that the user can fix, 2 for wrong usage.
    """
    return run_command(make_parser(), argv, _export)


def add_file_options(parser: ArgumentParser) -> None:
    """The options of `export` and `convert` for the file that they write."""
    parser.add_argument("--dtype", choices=list(DTYPES), default="fp32", help="type of the weights in the file")
    parser.add_argument("--licence", type=str, default="", help="a note on the terms of use, kept in the file")
    parser.add_argument("--force", action="store_true", help="overwrite an existing file")


def make_parser() -> ArgumentParser:
    """The options of the command."""
    parser = ArgumentParser(
        prog="inpaintzoo export", description="Write a run's generator as a weight file or a standalone program."
    )
    parser.add_argument("--ckpt", type=str, required=True, help="a run's folder, its .ckpt, or a .safetensors file")
    endings = f"{SUFFIX}, {' or '.join(SUFFIXES)}"
    parser.add_argument("--to", type=str, required=True, help=f"the file to write; ends in {endings}")
    parser.add_argument("--raw", action="store_true", help="use the trained weights instead of their moving average")
    add_file_options(parser)
    return parser


def _export(config: Namespace) -> None:
    source, target = find_checkpoint(config.ckpt), Path(config.to)
    if target.suffix not in (SUFFIX, *SUFFIXES):
        raise WeightsError(f"--to {config.to!r} must end in {SUFFIX}, {' or '.join(SUFFIXES)}")
    if target.suffix in SUFFIXES and config.dtype != "fp32":
        raise WeightsError(f"--dtype {config.dtype} is for {SUFFIX}; exported programs have float32 weights")
    model, about = load_described(source, dtype=torch.float32, raw=config.raw)
    licence = config.licence or about.licence
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
        print(f"{exported.path}: also takes noise, standard normal {shape}; each draw gives another fill")
