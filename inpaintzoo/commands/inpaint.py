"""`inpaintzoo inpaint`: fill holes in a picture, or in a folder of pictures."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, get_args

from jsonargparse import ArgumentParser, Namespace
from jsonargparse.typing import restricted_number_type
from tqdm import tqdm

from inpaintzoo.commands.run import run_command
from inpaintzoo.types import (
    DEFAULT_FILL,
    ConfigError,
    FillName,
    InpaintzooError,
    PolarityChoice,
    Precision,
    Strategy,
)

if TYPE_CHECKING:
    from inpaintzoo.predictor import FileResult

ALPHA = "alpha"  # in place of a mask
_Seed = restricted_number_type("_Seed", int, [(">=", 0), ("<=", 2**63 - 1)])
_Grow = restricted_number_type("_Grow", int, [(">=", 0), ("<=", 10_000)])


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: arguments after `inpaintzoo inpaint`; None reads sys.argv.

    Returns:
        The exit code: 0; 1 if a picture could not be filled (the others are) or nothing could be started; 2 for wrong
        usage.
    """
    return run_command(make_parser(), argv, _inpaint)


def make_parser() -> ArgumentParser:
    """The options of the command."""
    parser = ArgumentParser(prog="inpaintzoo inpaint", description="Fill holes in a picture or a folder of pictures.")
    add = parser.add_argument
    add("image", type=str, help="a picture, or a folder of pictures")
    add("mask", type=str, help=f"its mask, a folder of masks with the pictures' names, or {ALPHA}: transparent is hole")
    add("-o", "--out", type=str, required=True, help="the file or, for a folder, the folder to write")
    add("--model", type=str, help="weights: a file, a run's folder, or a name of `inpaintzoo list --weights`")
    fills = get_args(FillName)
    add("--fill", choices=fills, help=f"a fill without a network; {DEFAULT_FILL} if there is no --model either")
    add("--samples", type=int, default=1, help="fills of each hole, by a stochastic model: NAME-0.png, NAME-1.png, ...")
    add("--seed", type=_Seed, default=0, help="seed of stochastic fills")
    add("--grow", type=_Grow, default=0, help="pixels by which holes are enlarged on every side")
    add("--polarity", choices=get_args(PolarityChoice), default="auto", help="the colour of holes; auto: the rarer one")
    guidance = "what may be copied: white in a greyscale map, the hole's own class in a palette map; or a folder"
    add("--guidance", type=str, help=guidance)
    add("--strategy", choices=get_args(Strategy), default="auto", help="how large pictures are shown to the model")
    add("--tile", type=int, help="longest side in pixels that the model is shown at once; set by memory if not given")
    add("--overlap", type=int, help="pixels over which tiles are blended; a quarter of a tile if not given")
    add("--max-memory", type=float, help="GiB that may be used; half of the free memory if not given")
    add("--batch-size", type=int, default=1, help="tiles, and pictures of equal size, filled at once if memory allows")
    add("--device", type=str, default="auto", help="cpu, cuda, cuda:1, ...; auto picks a GPU if there is one")
    add("--precision", choices=get_args(Precision), default="float32", help="number format that the model computes in")
    formats = ["keep", "png", "tif", "webp", "jpg", "bmp", "heic", "avif", "jp2"]
    add("--format", choices=formats, default="keep", help="file format of a folder's output")
    add("--force", action="store_true", help="overwrite existing files")
    return parser


def _inpaint(config: Namespace) -> int:
    if config.model is not None and config.fill is not None:
        raise ConfigError("give either --model or --fill, not both")
    # Here, because they take seconds to import, which nobody should wait for to read the help or of a misspelt option.
    from inpaintzoo.fills import FILLS
    from inpaintzoo.predictor import FolderFill, Predictor
    from inpaintzoo.predictor.ledger import MODEL_SETTINGS, identify

    work = FolderFill(
        config.image,
        None if config.mask == ALPHA else config.mask,
        config.out,
        guidance=config.guidance,
        format=config.format,
        samples=config.samples,
        seed=config.seed,
        grow=config.grow,
        polarity=config.polarity,
        force=config.force,
    )
    model = FILLS[config.fill or DEFAULT_FILL]() if config.model is None else config.model
    settings = {name: config[name] for name in MODEL_SETTINGS}
    work.check_made_with({**identify(model), **settings})  # before the model is loaded, which may take long
    left, failed = len(work.tasks), len(work.unmatched)
    if work.done:
        print(f"{work.done} of {work.done + left} pictures are already filled")
    if work.tasks and config.model is None and config.fill is None:
        _print_note(
            f"note: filled by {DEFAULT_FILL}, which copies from around the hole; choose another fill with --fill, or a "
            "trained network with --model"
        )
    limits = {name: config[name] for name in ("device", "max_memory", "batch_size")}
    results = work.results(Predictor(model, **settings, **limits), announce=_announce) if work.tasks else iter(())
    for text in work.unmatched:
        _print_error(text)
    for text in work.notes:
        _print_note(f"note: {text}")
    for result in tqdm(results, total=left, unit="picture", disable=None if left > 1 else True):
        _tell(result)
        failed += result.error is not None
    print(f"{config.out}: {left + len(work.unmatched) - failed} filled, {failed} failed")
    return 1 if failed else 0


def _tell(result: FileResult) -> None:
    """Print the error and the notes of a picture; each names the picture."""
    from inpaintzoo.predictor.tasks import LargePictureWarning

    image, error = str(result.task.image), result.error
    if error is not None:
        if os.environ.get("INPAINTZOO_TRACEBACK"):
            raise error
        kind = "" if isinstance(error, (InpaintzooError, OSError)) else f"{type(error).__name__}: "
        text = f"{kind}{error}"
        if isinstance(error, OSError) and error.filename:
            text = f"{error.filename}: {error.strerror}"
        _print_error(text if image in text else f"{image}: {text}")
    for note in result.notes:
        if isinstance(note, LargePictureWarning):
            continue  # announced
        named = any(str(path) in str(note) for path in (image, result.task.mask, result.task.out))
        _print_note(f"note: {note}" if named else f"note: {image}: {note}")


def _announce(note: str) -> None:
    _print_note(f"note: {note}")


def _print_error(text: str) -> None:
    _print_note(f"inpaintzoo inpaint: error: {' '.join(text.split())}")


def _print_note(text: str) -> None:
    tqdm.write(text, file=sys.stderr)
