"""Finds the label map of each image."""

from __future__ import annotations

import collections
import dataclasses
import os
from pathlib import Path
from typing import NamedTuple

from inpaintzoo.data.listing import FileSet, nearby
from inpaintzoo.pictures.images import list_images
from inpaintzoo.types import DataError
from inpaintzoo.words import counted, some


class LabelMaps(NamedTuple):
    """The label map of each image, and how many of them were found by name alone."""

    paths: tuple[Path, ...]
    by_name: int


def match_labels(what: str, files: FileSet, folder: Path, ends: tuple[str, str] = ("", "")) -> LabelMaps:
    """The label map of each image: the one at the same relative path, or else the only one with the same stem.

    Args:
        what: the argument's name, for messages.
        files: the images.
        folder: folder of label maps.
        ends: how the stems of images and of label maps end; files in the folder with another ending are skipped.

    Raises:
        DataError: images without a label map, or with several.
    """
    if not folder.is_dir():
        raise DataError(f"{what}: the folder {folder} does not exist; {nearby(folder)}")
    images_too = set(files.paths)  # in the same folder
    labels = [path for path in list_images(folder) if path.stem.endswith(ends[1]) and path not in images_too]
    by_path: dict[str, list[Path]] = collections.defaultdict(list)
    by_stem: dict[str, list[Path]] = collections.defaultdict(list)
    for label in labels:
        by_path[_relative_stem(label, folder).removesuffix(ends[1])].append(label)
        by_stem[label.stem.removesuffix(ends[1])].append(label)
    stems = [path.stem.removesuffix(ends[0]) for path in files.paths]
    images = collections.Counter(stems)
    at_path = [by_path.get(_relative_stem(path, files.base).removesuffix(ends[0])) for path in files.paths]
    candidates = [
        beside or (by_stem.get(stem, []) if images[stem] == 1 else [])
        for beside, stem in zip(at_path, stems, strict=True)
    ]
    noun = "other image file" if _inside(files.base, folder) else "image file"
    _raise_unmatched(what, files, folder, candidates, f"{counted(labels, noun)}{_ending(ends)}")
    return LabelMaps(tuple(found[0] for found in candidates), at_path.count(None))


def _raise_unmatched(what: str, files: FileSet, folder: Path, candidates: list[list[Path]], there: str) -> None:
    pairs = list(zip(files.paths, candidates, strict=True))
    if alone := [_relative_stem(path, files.base) for path, found in pairs if not found]:
        raise DataError(
            f"{what}: {len(alone)} of {len(pairs)} images have no label map in {folder} ({there}): {some(alone)}; a "
            "label map needs its image's relative path, or at least its name (without suffix); set label_ends if names "
            "end differently"
        )
    several = [
        f"{_relative_stem(path, files.base)} ({', '.join(map(str, found))})" for path, found in pairs if len(found) > 1
    ]
    if several:
        raise DataError(f"{what}: more than one label map in {folder} for {counted(several, 'image')}: {some(several)}")


def _ending(ends: tuple[str, str]) -> str:
    if not ends[0]:
        return f" that end in {ends[1]}" if ends[1] else ""
    return f" that end in {ends[1]} where images end in {ends[0]}" if ends[1] else f", images without their {ends[0]}"


def _relative_stem(path: Path, base: Path) -> str:
    return os.path.splitext(os.path.relpath(path, base))[0].replace(os.sep, "/")


def _inside(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())


def without_label_maps(files: FileSet, folder: Path, end: str) -> FileSet:
    """The files without the label maps among them: those whose stem ends in `end`, if the maps share the folder.

    Raises:
        DataError: no image is left.
    """
    if not end or not _inside(files.base, folder):
        return files
    images = tuple(path for path in files.paths if not path.stem.endswith(end))
    if not images:
        raise DataError(
            f"{files.origin}: all {len(files.paths)} files end in {end}, which label_ends reserves for label maps"
        )
    return dataclasses.replace(files, paths=images)
