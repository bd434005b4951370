"""`inpaintzoo remove`: point at objects in a photograph; they are gone."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from jsonargparse import ArgumentParser, Namespace
from PIL import Image, ImageDraw, ImageFont

from inpaintzoo.commands.run import run_command
from inpaintzoo.files.writing import new_file, write_whole
from inpaintzoo.types import DEFAULT_FILL, ConfigError, DataError, FillName
from inpaintzoo.words import counted

if TYPE_CHECKING:
    from inpaintzoo.removal import OpenPicture, Segmenter

SegmenterName = Literal["grabcut", "maskrcnn", "mpssd", "pointrend", "sam"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: arguments after `inpaintzoo remove`; None reads sys.argv.

    Returns:
        The exit code: 0; 1 if nothing could be removed; 2 for wrong usage.
    """
    return run_command(make_parser(), argv, _remove)


def make_parser() -> ArgumentParser:
    """The options of the command."""
    parser = ArgumentParser(prog="inpaintzoo remove", description="Remove objects from a photograph.")
    add = parser.add_argument
    add("image", type=str, help="the photograph")
    add("-o", "--out", type=str, help="the file to write; with --list, a picture of what was found")
    add(
        "--at",
        type=str,
        action="append",
        default=[],
        help="X,Y: a pixel on an object; X,Y+X,Y: several on one object",
    )
    add("--away", type=str, action="append", default=[], help="X,Y: a pixel that is not on the object")
    add("--box", type=str, action="append", default=[], help="LEFT,TOP,RIGHT,BOTTOM: a box around an object")
    add(
        "--class",
        dest="classes",
        type=str,
        action="append",
        default=[],
        help="a class, such as person: all its objects",
    )
    add("--mask", type=str, help="a mask in addition, drawn by hand")
    add("--list", action="store_true", help="say what the segmenter finds, and remove nothing")
    add(
        "--segmenter",
        choices=get_args(SegmenterName),
        default="grabcut",
        help="what finds objects; grabcut needs no weights",
    )
    add("--weights", type=str, help="a copy of the segmenter's weight file")
    add("--instances", type=str, help="instead of a segmenter: a picture of instance ids, 0 = none")
    add("--grow", type=int, help="pixels by which objects are grown; in proportion to the picture if not given")
    add("--over-neighbours", action="store_true", help="let grown objects reach into other instances")
    add("--guide-away", type=str, action="append", default=[], help="a class that the fill must not copy from")
    add("--save-mask", type=str, help="a file to write the hole to, white = removed")
    add("--model", type=str, help="weights: a file, a run's folder, or a name of `inpaintzoo list --weights`")
    add(
        "--fill",
        choices=get_args(FillName),
        help=f"a fill without a network; without --model too, {DEFAULT_FILL}",
    )
    add("--samples", type=int, default=1, help="fills, by a stochastic model: NAME-0.png, NAME-1.png, ...")
    add("--seed", type=int, default=0, help="seed of stochastic fills")
    add("--device", type=str, default="auto", help="cpu, cuda, cuda:1, ...; auto picks a GPU if there is one")
    add("--force", action="store_true", help="overwrite existing files")
    return parser


def _remove(config: Namespace) -> None:
    # Here: they import torch, which the help does not need.
    from inpaintzoo.fills import FILLS
    from inpaintzoo.predictor import Predictor
    from inpaintzoo.removal import Remover
    from inpaintzoo.removal.prompts import read_prompts

    if config.model is not None and config.fill is not None:
        raise ConfigError("give either --model FILE or --fill NAME")
    if config.out is None and not config.list:
        raise ConfigError("name the file to write: -o OUT")
    prompts = read_prompts(config.at, config.away, config.box, "--")
    if not config.list and not (prompts or config.classes or config.mask):
        raise ConfigError("nothing to remove: give --at X,Y, --box LEFT,TOP,RIGHT,BOTTOM, --class NAME or --mask FILE")
    for path in filter(None, (config.out, config.save_mask)):
        new_file(path, (), config.force, DataError)
    model = FILLS[config.fill or DEFAULT_FILL]() if config.model is None else config.model
    remover = Remover(_segmenter(config), Predictor(model, device=config.device))
    opened = remover.open(config.image)
    if config.list:
        _list(opened, remover.segmenter, config.out)
        return
    removal = remover.select(
        opened,
        *prompts,
        classes=config.classes,
        mask=config.mask,
        grow=config.grow,
        keep_neighbours=not config.over_neighbours,
        guide_away=config.guide_away,
    )
    for note in removal.notes:
        print(f"note: {note}", file=sys.stderr)
    if config.save_mask:
        _write(Image.fromarray(removal.hole), config.save_mask)
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always")
        files = remover.predictor.fill_file(
            config.image,
            removal.hole,
            config.out,
            samples=config.samples,
            seed=config.seed,
            guidance=removal.guidance,
            overwrite=config.force,
        )
    for warning in notes:
        if isinstance(warning.message, UserWarning):
            print(f"note: {warning.message}", file=sys.stderr)
    names = [each.name for each in removal.instances if each.name]
    what = f" ({', '.join(names)})" if names else ""
    print(
        f"{', '.join(map(str, files))}: {counted(removal.instances, 'object')} removed{what}, "
        f"{removal.hole.mean():.1%} of the picture filled"
    )


def _segmenter(config: Namespace) -> Segmenter:
    from inpaintzoo.pictures.images import open_image
    from inpaintzoo.removal import PRETRAINED, GrabCut, InstanceMap

    if config.instances is not None:
        with open_image(config.instances) as image:
            if image.mode not in ("L", "P", "I;16", "I"):
                raise DataError(f"{config.instances} must hold one number a pixel, got mode {image.mode}")
            return InstanceMap(np.asarray(image).astype(np.int64))
    if config.segmenter == "grabcut":
        if config.weights is not None:
            raise ConfigError("grabcut has no weights; leave out --weights, or choose another --segmenter")
        return GrabCut()
    return PRETRAINED[config.segmenter](weights=config.weights, device=config.device)


def _list(opened: OpenPicture, segmenter: Segmenter, out: str | None) -> None:
    """Print what was found, and draw its outlines and numbers into a picture."""
    if not segmenter.finds_all:
        raise ConfigError(f"{type(segmenter).__name__} finds what it is pointed at only; use --segmenter maskrcnn")
    pixels = (opened.image.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    numbers = []
    for number, instance in enumerate(opened.segmentation.instances, start=1):
        top, left, bottom, right = instance.box
        rows, columns = np.nonzero(instance.mask)
        middle = len(rows) // 2
        numbers.append((columns[middle], rows[middle], number))
        name = instance.name or "object"
        print(
            f"{number:>3}  {name:<16} {instance.score:.2f}  {instance.mask.mean():6.1%} of the picture  "
            f"--at {columns[middle]},{rows[middle]}  --box {left},{top},{right},{bottom}"
        )
        colour = np.array([(37 * number) % 256, (151 * number) % 256, 255 - (83 * number) % 256])
        pixels[instance.mask] = (pixels[instance.mask] * 0.55 + colour * 0.45).astype(np.uint8)
    print(f"{counted(numbers, 'object')} found")
    if out is not None:
        picture = Image.fromarray(pixels)
        draw = ImageDraw.Draw(picture)
        font = ImageFont.load_default(max(12, min(picture.size) // 25))
        for x, y, number in numbers:
            draw.text((x, y), str(number), "white", font, anchor="mm", stroke_width=2, stroke_fill="black")
        _write(picture, out)


def _write(picture: Image.Image, path: str) -> None:
    target = Path(path)
    kind = Image.registered_extensions().get(target.suffix.lower())
    if kind is None:
        raise DataError(f"{path}: no picture format is known by {target.suffix!r}; use .png")
    write_whole(target, lambda part: picture.save(part, kind))
