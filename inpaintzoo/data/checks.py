"""Checks of image and label files: whether they can be read, their sizes, and what two splits share."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from inpaintzoo.data.findings import Finding
from inpaintzoo.data.labels.contents import check_proportions
from inpaintzoo.data.listing import FileSet
from inpaintzoo.data.transforms import ResizePolicy
from inpaintzoo.files.writing import file_digest
from inpaintzoo.pictures.images import decode_rgb, open_image, read_labels, upright_size
from inpaintzoo.types import IGNORE, DataError
from inpaintzoo.words import counted, some

QUICK_FILES = 256  # checked per split before training; `inpaintzoo doctor` checks all

T = TypeVar("T")
R = TypeVar("R")


@dataclasses.dataclass(frozen=True)
class Look:
    """The result of looking at one image file and its label map.

    Attributes:
        path: the image.
        size: height and width, upright; None if the image cannot be read.
        problem: why the image or its label map cannot be used, with the file's name; None if they can.
        transparent: whether some pixel is not opaque; known only after decoding.
        labels: the label values that occur, except 255; None without a usable label map.
        label_map: the label map's file.
    """

    path: Path
    size: tuple[int, int] | None = None
    problem: str | None = None
    transparent: bool = False
    labels: frozenset[int] | None = None
    label_map: Path | None = None


def in_threads(function: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """The function's results in order; decoding and hashing release the interpreter lock."""
    with ThreadPoolExecutor(min(16, (os.cpu_count() or 1) + 2)) as pool:
        return list(pool.map(function, items))


def look_at(image: Path, labels: Path | None, decode: bool) -> Look:
    """Look at one image: its header only, or all of it (`decode`); its label map is always read in full."""
    try:
        with open_image(image, load=decode) as file:
            # Only JPEG headers are sure to have the orientation; other formats may store it after the pixels.
            size = upright_size(file) if decode or file.format == "JPEG" else (file.height, file.width)
            if decode:
                decode_rgb(file, shrink=8.0)  # the fastest decoding that still reads every byte
            transparent = decode and _has_transparency(file)
        if labels is None:
            return Look(image, size, transparent=transparent)
        values = read_labels(labels)
        check_proportions(labels, values.shape, image, size)
    except DataError as error:
        return Look(image, problem=str(error))
    return Look(image, size, None, transparent, frozenset(map(int, np.unique(values))) - {IGNORE}, labels)


def _has_transparency(image: Image.Image) -> bool:
    if image.mode not in ("RGBA", "LA", "PA") and "transparency" not in image.info:
        return False
    lowest = image.convert("RGBA").getchannel("A").getextrema()[0]
    return isinstance(lowest, (int, float)) and lowest < 255


def find_unreadable(images: Sequence[Path], labels: Sequence[Path] | None) -> dict[int, str]:
    """Decode every file; positions of the images that cannot be used, and why."""
    looks = in_threads(lambda pair: look_at(*pair, decode=True), _pairs(images, labels))
    return {position: look.problem for position, look in enumerate(looks) if look.problem}


def _pairs(images: Sequence[Path], labels: Sequence[Path] | None) -> list[tuple[Path, Path | None]]:
    return list(zip(images, labels if labels is not None else [None] * len(images), strict=True))


def look_at_some(images: Sequence[Path], labels: Sequence[Path] | None, thorough: bool) -> list[Look]:
    """Look at the images of a split, or at an even sample of them.

    Args:
        images: image files.
        labels: the label map of each, or None.
        thorough: decode every file, instead of reading some headers.
    """
    pairs = _pairs(images, labels)
    if not thorough:
        step = max(1.0, len(pairs) / QUICK_FILES)
        pairs = [pairs[int(position * step)] for position in range(min(len(pairs), QUICK_FILES))]
    return in_threads(lambda pair: look_at(*pair, decode=thorough), pairs)


def check_files(split: str, looks: list[Look], total: int, policy: ResizePolicy, thorough: bool) -> list[Finding]:
    """Findings about the image files of one split.

    Args:
        split: for the messages.
        looks: see `look_at_some`.
        total: images of the split.
        policy: decides which pictures have to be enlarged.
        thorough: whether every file has been decoded.
    """
    return [
        *_about_problems(split, looks, total, thorough),
        *_about_sizes(split, looks, policy),
        *_about_transparency(split, looks),
    ]


def _about_problems(split: str, looks: list[Look], total: int, thorough: bool) -> list[Finding]:
    problems = [look.problem for look in looks if look.problem]
    if problems:
        remedy = "repair or remove the files, or set on_bad_image: skip"
        text = f"{split}: {len(problems)} of {counted(looks, 'image')} looked at cannot be used: "
        return [Finding("error", f"{text}{by_reason(problems)}; {remedy}")]
    if thorough:
        return [Finding("ok", f"{split}: all images decoded without errors")]
    opened = "all" if len(looks) == total else f"{len(looks)} of {total}"
    text = f"{split}: headers of {opened} images read without errors"
    return [Finding("ok", f"{text}; `inpaintzoo doctor` decodes every file")]


def by_reason(problems: Iterable[str], names: int = 4, reasons: int = 5) -> str:
    """One text from sentences `FILE: reason`, the files with the same reason listed together.

    Args:
        problems: the sentences.
        names: how many files to name for each reason.
        reasons: how many reasons to give.
    """
    groups: dict[str, tuple[list[str], str]] = {}
    for problem in problems:
        file, _, reason = problem.partition(": ")
        # Reasons that differ only in another file they name, such as a label map's image, count as one.
        groups.setdefault(re.sub(r"\S*[/\\]\S+", "", reason), ([], reason))[0].append(file)
    listed = [f"{some(files, names)}: {reason}" for files, reason in groups.values()]
    more = [f"and {len(listed) - reasons} more reasons"] if len(listed) > reasons else []
    return "; ".join(listed[:reasons] + more)


def _about_sizes(split: str, looks: list[Look], policy: ResizePolicy) -> list[Finding]:
    sizes = [look.size for look in looks if look.size]
    if not sizes:
        return []
    heights, widths = [size[0] for size in sizes], [size[1] for size in sizes]
    findings = [Finding("ok", f"{split}: heights {_range(heights)}, widths {_range(widths)} pixels")]
    crops = [policy.plan(*size, None) for size in sizes]
    enlarged = sum(crop.shrink < 1.0 - 1e-9 for crop in crops)
    if enlarged:
        wanted = f"{crops[0].size[0]}x{crops[0].size[1]}"
        text = f"{split}: {enlarged} of {counted(sizes, 'image')} looked at are too small for {wanted} and are enlarged"
        findings.append(Finding("warning", f"{text}; use larger images or a smaller size for sharp results"))
    return findings


def _about_transparency(split: str, looks: list[Look]) -> list[Finding]:
    names = [look.path for look in looks if look.transparent]
    if not names:
        return []
    text = f"{split}: {counted(names, 'image')} with transparent parts ({some(names)})"
    return [Finding("warning", f"{text}: their transparency is dropped, and the colours stored beneath it are used")]


def _range(values: Sequence[int]) -> str:
    return f"{min(values)}" if min(values) == max(values) else f"{min(values)} to {max(values)}"


def check_overlap(first: str, ours: FileSet, second: str, theirs: FileSet, thorough: bool) -> list[Finding]:
    """Findings about images that two splits share: by path, by name, and (`thorough`) by content."""
    paths = {os.path.realpath(path) for path in ours.paths}
    shared = [path for path in theirs.paths if os.path.realpath(path) in paths]
    if shared:
        text = f"{first} and {second} share {counted(shared, 'file')} ({some(shared)})"
        return [Finding("warning", f"{text}: figures on {second} will not show how well new images are filled")]
    same = _same_content(ours, theirs) if thorough else []
    if same:
        text = f"{first} and {second} hold {counted(same, 'identical image')}"
        listed = some(f"{mine} = {other}" for mine, other in same)
        text += f" ({listed}): figures on {second} will look better than they are"
        return [Finding("warning", f"{text}; remove them from {first}")]
    names = sorted(set(ours.names()) & set(theirs.names()))
    if names and not thorough:
        text = f"{first} and {second} have {counted(names, 'name')} in common ({some(names)})"
        return [Finding("warning", f"{text}; `inpaintzoo doctor` shows whether they are the same images")]
    done = "no image in common" if thorough else "no file and no name in common"
    return [Finding("ok", f"{first} and {second} have {done}" + (f" ({len(names)} names are)" if names else ""))]


def _same_content(ours: FileSet, theirs: FileSet) -> list[tuple[Path, Path]]:
    # Only files of equal length can be equal; the rest need no hashing.
    lengths = {path.stat().st_size for path in ours.paths} & {path.stat().st_size for path in theirs.paths}
    mine, others = ([path for path in files.paths if path.stat().st_size in lengths] for files in (ours, theirs))
    by_hash = dict(zip(in_threads(file_digest, mine), mine, strict=True))
    return [
        (by_hash[key], path)
        for key, path in zip(in_threads(file_digest, others), others, strict=True)
        if key in by_hash
    ]
