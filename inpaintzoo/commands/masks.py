"""`inpaintzoo masks make|bin|pair|show`: draw masks, measure mask files, pin masks to pictures, show masks."""

from __future__ import annotations

import re
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from jsonargparse import ArgumentParser, Namespace
from tabulate import tabulate

from inpaintzoo.commands.run import instantiated, parse, run_command
from inpaintzoo.commands.usage import UsageError
from inpaintzoo.data.dataset import evaluation_masks
from inpaintzoo.data.findings import Finding
from inpaintzoo.data.listing import find_files, without_masks
from inpaintzoo.data.manifest import MANIFEST_SUFFIXES, Manifest, PinnedMasks
from inpaintzoo.data.masks import MaskFolder, MaskGenerator, mask_classes
from inpaintzoo.data.masks.pairing import named_after, pair_by_name
from inpaintzoo.data.masks.writing import write_masks, write_ratios
from inpaintzoo.files.writing import new_file, write_whole
from inpaintzoo.ops import count_bins
from inpaintzoo.pictures.images import list_images
from inpaintzoo.pictures.sheet import mask_sheet
from inpaintzoo.types import DataError, PolarityChoice
from inpaintzoo.words import counted, did_you_mean, some

_DRAWN = re.compile(r"\d{5,}\.png")  # the names that `make` gives


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: arguments after `inpaintzoo masks`; None reads sys.argv.

    Returns:
        The exit code: 0, 1 for an error that the user can fix, 2 for wrong usage.
    """
    return run_command(make_parser(), argv, _run)


def _run(config: Namespace) -> None:
    settings = {name: value for name, value in config[config.subcommand].items() if name != "config"}
    _COMMANDS[config.subcommand](**settings)


def make(
    mask: str, out: str, count: int = 100, size: int | tuple[int, int] = 256, seed: int = 0, force: bool = False
) -> None:
    """Draw masks and write them as PNG files, 255 = hole.

    Args:
        mask: a mask class such as FreeForm, or '{class_path: FreeForm, init_args: {strokes: [1, 2]}}', or a folder.
        out: folder for the files, 00000.png and so on.
        count: number of masks.
        size: side in pixels, or [height, width].
        seed: seed of the masks; mask i is the one that evaluation with this seed draws for picture i.
        force: write into a folder that is not empty; masks that this command made in it are replaced or removed.
    """
    if count < 1:
        raise DataError(f"--count must be at least 1, got {count}")
    height, width = _height_width(size, seed)
    masks = _masks(mask, "--mask")
    _say(masks.check())
    folder = Path(out)
    if folder.exists() and not folder.is_dir():
        raise DataError(f"--out {folder} is a file; name a folder")
    if folder.is_dir() and any(folder.iterdir()) and not force:
        raise DataError(f"--out {folder} is not empty; name another folder, or add --force")
    if others := [path.name for path in list_images(folder) if not _DRAWN.fullmatch(path.name)]:
        raise DataError(
            f"--out {folder} holds other pictures ({some(others, 3)}), which would count as masks; name another"
        )
    ratios = write_masks(evaluation_masks(masks, count, height, width, seed), folder)
    for path in folder.glob("*.png"):  # of an earlier run with more masks
        if _DRAWN.fullmatch(path.name) and int(path.stem) >= count:
            path.unlink()
    mean = statistics.fmean(ratios)
    print(f"{count} masks of {height}x{width} in {folder}, white is hole, {mean:.1%} hole on average")


def bin_files(
    folder: str,
    polarity: PolarityChoice = "auto",
    threshold: float = 0.5,
    csv: str | None = None,
    force: bool = False,
) -> None:
    """Count a folder's mask files by their hole ratio.

    Args:
        folder: folder of mask files, subfolders included.
        polarity: the colour of the hole; auto picks the rarer one and reports which.
        threshold: a pixel is hole above this fraction of the way to the hole's colour.
        csv: also write each file's name, ratio and bin to this file.
        force: replace the CSV file.
    """
    if csv is not None:
        new_file(csv, (), force, DataError, make_folder=True)
    masks = MaskFolder(folder, polarity, threshold)
    _say(masks.check())
    ratios = masks.ratios()
    rows = [(label, count, f"{count / len(ratios):.1%}") for label, count in count_bins(ratios).items()]
    print(tabulate(rows, ("bin", "files", "share"), tablefmt="plain", colalign=("right",) * 3, disable_numparse=True))
    if csv is not None:
        write_ratios(masks.files, ratios, csv)
        print(f"written: {csv}")


def pair(
    images: str,
    masks: str,
    out: str,
    size: int | tuple[int, int] = 256,
    seed: int = 0,
    split: str = "test",
    force: bool = False,
) -> None:
    """Pair each image with a mask, and pin the pairs in a manifest (JSON lines).

    Args:
        images: folder of images, or a text file with one path per line.
        masks: a mask class such as FreeForm, or a folder of mask files, paired by name where they are named after the
            images and drawn at random otherwise, or a class with its arguments, such as
            '{class_path: MaskFolder, init_args: {path: DIR, order: index}}', which pairs them in order.
        out: the manifest, a .jsonl file.
        size: side in pixels that the images will have, or [height, width].
        seed: seed of the masks.
        split: which part of the data this is, for the manifest's header.
        force: replace the manifest.
    """
    from inpaintzoo.data.folder import FolderSource  # here: the other commands need no image files
    from inpaintzoo.data.transforms import ResizeTo

    target = new_file(out, MANIFEST_SUFFIXES, force, DataError, make_folder=True)
    height, width = _height_width(size, seed)
    generator = _masks(masks, "--masks")
    files = without_masks(find_files("--images", Path(images).expanduser()), generator.mask_files())
    source = FolderSource(files, transform=ResizeTo((height, width)))
    if isinstance(generator, MaskFolder) and Path(masks).expanduser().is_dir():
        generator.order = _folder_order(generator, source.names)
    generator = generator.for_pictures(source.names)
    _say(generator.check())
    manifest = Manifest.make(source, generator, seed, height, width, description=images, split=split)
    manifest.save(target, overwrite=force)
    counts = count_bins(pinned.ratio for pinned in manifest.pairs)
    bins = ", ".join(f"{label}: {number}" for label, number in counts.items() if number)
    print(f"{len(manifest)} pairs in {target}, digest {manifest.digest()[:12]}; by hole ratio {bins}")


def show(
    what: str,
    out: str,
    count: int = 64,
    size: int | tuple[int, int] = 256,
    seed: int = 0,
    columns: int = 8,
    force: bool = False,
) -> None:
    """Draw a contact sheet of masks with their hole ratios, white = hole.

    Args:
        what: a manifest, a folder of mask files, or a mask class as for `make`.
        out: the picture to write.
        count: at most this many masks.
        size: side in pixels of drawn masks, or [height, width]; a manifest has its own.
        seed: seed of drawn masks; manifests and folders are shown in their order.
        columns: masks per row.
        force: replace the picture.
    """
    if count < 1 or columns < 1:
        raise DataError(f"--count and --columns must be at least 1, got {count} and {columns}")
    target = Path(out)
    if target.suffix.lower() not in (".png", ".jpg", ".webp"):
        raise DataError(f"--out {target} must end in .png, .jpg or .webp")
    new_file(target, (), force, DataError, make_folder=True)
    height, width = _height_width(size, seed)
    masks, captions = _shown(what, count)
    if isinstance(masks, PinnedMasks):
        height, width = masks.pinned.height, masks.pinned.width
    _say(masks.check())
    drawn = list(evaluation_masks(masks, len(captions), height, width, seed))
    target.parent.mkdir(parents=True, exist_ok=True)
    write_whole(target, mask_sheet(drawn, captions, columns).save)
    print(f"{len(drawn)} masks on {target}")


_COMMANDS: dict[str, Any] = {"make": make, "bin": bin_files, "pair": pair, "show": show}
_POSITIONAL = {
    "bin": {"folder": "folder of mask files, subfolders included"},
    "show": {"what": "a manifest, a folder of mask files, or a mask class as for make"},
}


def make_parser() -> ArgumentParser:
    """The options of the command."""
    parser = ArgumentParser(prog="inpaintzoo masks", description="Make, count, pin and show masks.")
    commands = parser.add_subcommands(required=True)
    for name, function in _COMMANDS.items():
        summary = (function.__doc__ or "").splitlines()[0]
        command = ArgumentParser(description=summary)
        named: set[str | int] = {"force", *_POSITIONAL.get(name, {})}
        for argument, about in _POSITIONAL.get(name, {}).items():
            command.add_argument(argument, type=str, help=about)
        command.add_function_arguments(function, skip=named)
        command.add_argument("--force", action="store_true", help="replace existing files")
        commands.add_subcommand(name, command, help=summary)
    return parser


def _masks(text: str, option: str) -> MaskGenerator:
    """A generator from what the user wrote: a folder, a manifest, a class, or a class with arguments."""
    path = Path(text).expanduser()
    if path.is_dir():
        return MaskFolder(path)
    if path.suffix in MANIFEST_SUFFIXES:
        return PinnedMasks(path)
    names = list(mask_classes())
    if text not in names and not text.lstrip().startswith("{") and not re.fullmatch(r"\w+(\.\w+)+", text):
        if meant := did_you_mean(text, names):
            raise UsageError(f"{text!r} is neither a folder that exists nor a mask class{meant}")
        raise DataError(f"{text!r} is neither a folder that exists nor a mask class ({', '.join(names)})")
    parser = ArgumentParser()
    parser.add_argument(option, type=MaskGenerator)
    parsed = parse(parser, [f"{option}={text}" if option.startswith("-") else text])
    generator: MaskGenerator = instantiated(parser, parsed)[option.lstrip("-")]
    return generator


def _folder_order(folder: MaskFolder, names: Sequence[str]) -> Literal["random", "name"]:
    """By name if masks are named after pictures; a few equal numbers, as those of public archives, mean nothing.

    Raises:
        DataError: only some pictures have a mask of their name.
    """
    pairs = pair_by_name(names, folder.files)
    missing = [name for name, mask in zip(names, pairs.masks, strict=True) if mask is None]
    if not missing:
        return "name"
    if not named_after(pairs):
        return "random"
    raise DataError(
        f"mask folder {folder.path}: {len(missing)} of {counted(names, 'picture')} have no mask of their name "
        f"({some(missing, 3)}); add masks, or draw from all of them: --masks "
        f"'{{class_path: MaskFolder, init_args: {{path: {folder.path}}}}}'"
    )


def _shown(what: str, count: int) -> tuple[MaskGenerator, list[str]]:
    """The generator to show and a caption for each mask."""
    masks = _masks(what, "what")
    if isinstance(masks, PinnedMasks):
        return masks, [Path(pinned.image).name[-14:] for pinned in masks.pinned.pairs[:count]]
    if isinstance(masks, MaskFolder) and Path(what).expanduser().is_dir():
        masks.order = "index"
        return masks, [Path(file).name[-14:] for file in masks.files[:count]]
    return masks, [str(index) for index in range(count)]


def _height_width(size: int | tuple[int, int], seed: int) -> tuple[int, int]:
    height, width = (size, size) if isinstance(size, int) else size
    if height < 1 or width < 1:
        raise DataError(f"--size must be at least 1 pixel, got {size}")
    if seed < 0:
        raise DataError(f"--seed must be 0 or more, got {seed}")
    return height, width


def _say(findings: list[Finding]) -> None:
    for finding in findings:
        print(finding.text if finding.level == "ok" else f"{finding.level}: {finding.text}", file=sys.stderr)
