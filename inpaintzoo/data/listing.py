"""Which files make up a split: folders, list files, one folder split by fractions, and the label map of each image."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from inpaintzoo.data.source import Split
from inpaintzoo.pictures.images import IMAGE_SUFFIXES, is_image_name, list_images
from inpaintzoo.types import DataError
from inpaintzoo.words import counted, some

SPLITS: tuple[Split, Split, Split] = ("train", "val", "test")


@dataclasses.dataclass(frozen=True)
class FileSet:
    """Image files of one split.

    Attributes:
        paths: the files.
        base: the folder that names are relative to.
        origin: the folder or list file they come from, for messages.
    """

    paths: tuple[Path, ...]
    base: Path
    origin: Path

    def names(self) -> list[str]:
        """One name a file: its path below `base`, with `/`, without suffix unless two files differ in that only."""
        full = [os.path.relpath(path, self.base).replace(os.sep, "/") for path in self.paths]
        stems = [os.path.splitext(name)[0] for name in full]
        count = collections.Counter(stems)
        names = [stem if count[stem] == 1 else name for stem, name in zip(stems, full, strict=True)]
        twice = [name for name, times in collections.Counter(names).items() if times > 1]
        if twice:
            raise DataError(f"{self.origin}: {counted(twice, 'name')} for two files each: {some(twice)}; rename them")
        return names


def find_files(what: str, path: Path, root: Path | None = None, exclude: Sequence[Path] = ()) -> FileSet:
    """The images of a folder (with sub-folders) or of a text file that lists them.

    Args:
        what: the argument's name, for messages.
        path: the folder or list file.
        root: what relative entries of a list file are relative to; None takes the list file's own folder.
        exclude: sub-folders to leave out.

    Raises:
        DataError: nothing there, no images in it, or list entries without a file.
    """
    if path.is_dir():
        return _from_folder(what, path, exclude)
    if not path.exists():
        raise DataError(f"{what}: {path} does not exist; {_nearby(path)}")
    if is_image_name(path):
        raise DataError(f"{what}: {path} is a single image; give the folder, or a text file with one path a line")
    return _from_list(what, path, root or path.parent)


def _from_folder(what: str, folder: Path, exclude: Sequence[Path]) -> FileSet:
    paths = list_images(folder, exclude)
    if not paths:
        raise DataError(f"{what}: no images in {folder}: looked for {' '.join(IMAGE_SUFFIXES)}; {_contents(folder)}")
    return FileSet(tuple(paths), folder, folder)


def _from_list(what: str, path: Path, base: Path) -> FileSet:
    entries = read_list(path)
    if not entries:
        raise DataError(f"{what}: the list file {path} has no entries; write one image path a line")
    paths = [base / entry for entry in entries]
    missing = [entry for entry, file in zip(entries, paths, strict=True) if not file.is_file()]
    if missing:
        raise DataError(
            f"{what}: {len(missing)} of the {len(entries)} entries of {path} are not files: {some(missing)} "
            f"(relative entries start at {base})"
        )
    twice = [entry for entry, times in collections.Counter(entries).items() if times > 1]
    if twice:
        raise DataError(f"{what}: {path} lists {counted(twice, 'image')} more than once: {some(twice)}")
    inside = all(not os.path.relpath(file, base).startswith("..") for file in paths)
    common = base if inside else Path(os.path.commonpath([file.absolute().parent for file in paths]))
    return FileSet(tuple(paths), common, path)


def read_list(path: Path) -> list[str]:
    """The lines of a list file, without blank lines and those that begin with `#`.

    Raises:
        DataError: the file is not text.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: neither a folder nor a text file with one image path a line") from error
    return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]


def split_by_fractions(files: FileSet, fractions: tuple[float, float, float], seed: int) -> dict[Split, FileSet]:
    """Files of one folder divided into train, val and test.

    A file's place depends on its name and the seed, not on the order in which the file system lists the files, and
    a file added later moves few others.

    Raises:
        DataError: fewer files than splits.
    """
    wanted = [index for index, fraction in enumerate(fractions) if fraction > 0]
    if len(files.paths) < len(wanted):
        raise DataError(
            f"{files.origin}: {len(files.paths)} images cannot be split into {len(wanted)} parts, fractions={fractions}"
        )
    ranked = sorted(files.paths, key=lambda path: _lot(os.path.relpath(path, files.base), seed))
    result: dict[Split, FileSet] = {}
    start = 0
    for split, size in zip(SPLITS, _sizes(len(ranked), fractions), strict=True):
        chosen = sorted(ranked[start : start + size], key=lambda path: path.as_posix())
        result[split] = dataclasses.replace(files, paths=tuple(chosen))
        start += size
    return result


def _lot(name: str, seed: int) -> str:
    return hashlib.sha256(f"{seed}/{name.replace(os.sep, '/')}".encode()).hexdigest()


def _sizes(total: int, fractions: Sequence[float]) -> list[int]:
    """Whole numbers near the fractions that add up to `total`, at least 1 for each fraction above 0."""
    sizes = [max(1, int(total * fraction + 1e-9)) if fraction > 0 else 0 for fraction in fractions]
    while sum(sizes) != total:
        step = 1 if sum(sizes) < total else -1
        open_to = [i for i, fraction in enumerate(fractions) if fraction > 0 and sizes[i] + step >= 1]
        sizes[max(open_to, key=lambda i: step * (total * fractions[i] - sizes[i]))] += step
    return sizes


def without_label_maps(files: FileSet, folder: Path | None, end: str) -> FileSet:
    """The files that are no label maps, where those lie among the images and their names end in `end`."""
    if folder is None or not end or not _inside(files.base, folder):
        return files
    images = tuple(path for path in files.paths if not path.stem.endswith(end))
    if not images:
        raise DataError(f"{files.origin}: all {len(files.paths)} files end in {end}, as label_ends says of label maps")
    return dataclasses.replace(files, paths=images)


def _inside(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())


class LabelMaps(NamedTuple):
    """The label map of each image, and of how many images it lies elsewhere than the image and has only its name."""

    paths: tuple[Path, ...]
    by_name: int


def match_labels(what: str, files: FileSet, folder: Path, ends: tuple[str, str] = ("", "")) -> LabelMaps:
    """The label map of each image: the one at the same relative path, or else the only one with the same stem.

    Args:
        what: the argument's name, for messages.
        files: the images.
        folder: of label maps.
        ends: what images' and label maps' names end in, the suffix aside; files in the folder that end otherwise are
            not looked at.

    Raises:
        DataError: images without a label map, or with several.
    """
    if not folder.is_dir():
        raise DataError(f"{what}: the folder {folder} does not exist; {_nearby(folder)}")
    images_too = set(files.paths)  # in the same folder
    labels = [path for path in list_images(folder) if path.stem.endswith(ends[1]) and path not in images_too]
    by_path: dict[str, list[Path]] = collections.defaultdict(list)
    by_stem: dict[str, list[Path]] = collections.defaultdict(list)
    for label in labels:
        by_path[_key(label, folder).removesuffix(ends[1])].append(label)
        by_stem[label.stem.removesuffix(ends[1])].append(label)
    stems = [path.stem.removesuffix(ends[0]) for path in files.paths]
    images = collections.Counter(stems)
    at_path = [by_path.get(_key(path, files.base).removesuffix(ends[0])) for path in files.paths]
    candidates = [
        beside or (by_stem.get(stem, []) if images[stem] == 1 else [])
        for beside, stem in zip(at_path, stems, strict=True)
    ]
    noun = "other image file" if _inside(files.base, folder) else "image file"
    _raise_unmatched(what, files, folder, candidates, f"{counted(labels, noun)}{_ending(ends)}")
    return LabelMaps(tuple(found[0] for found in candidates), at_path.count(None))


def _raise_unmatched(what: str, files: FileSet, folder: Path, candidates: list[list[Path]], there: str) -> None:
    pairs = list(zip(files.paths, candidates, strict=True))
    alone = [_key(path, files.base) for path, found in pairs if not found]
    if alone:
        raise DataError(
            f"{what}: {len(alone)} of {len(pairs)} images have no label map in {folder} ({there}): "
            f"{some(alone)}; a label map has its image's relative path or at least its name, the suffix aside; "
            "label_ends names further endings"
        )
    several = [f"{_key(path, files.base)} ({', '.join(map(str, found))})" for path, found in pairs if len(found) > 1]
    if several:
        raise DataError(f"{what}: more than one label map in {folder} for {counted(several, 'image')}: {some(several)}")


def _ending(ends: tuple[str, str]) -> str:
    if not ends[0]:
        return f" that end in {ends[1]}" if ends[1] else ""
    return f" that end in {ends[1]} where images end in {ends[0]}" if ends[1] else f", images without their {ends[0]}"


def _key(path: Path, base: Path) -> str:
    return os.path.splitext(os.path.relpath(path, base))[0].replace(os.sep, "/")


def _nearby(path: Path) -> str:
    """What there is instead of a path that does not exist."""
    parent = next((folder for folder in path.absolute().parents if folder.is_dir()), Path("/"))
    entries = sorted(entry.name for entry in parent.iterdir() if not entry.name.startswith("."))
    return f"{parent} holds {some(entries)}" if entries else f"{parent} is empty"


def _contents(folder: Path) -> str:
    files = [name for _, _, names in os.walk(folder, followlinks=False) for name in names]
    suffixes = collections.Counter(os.path.splitext(name)[1].lower() or "no suffix" for name in files)
    kinds = ", ".join(f"{count} {suffix}" for suffix, count in suffixes.most_common(5))
    return f"it holds {counted(files, 'other file')} ({kinds})" if files else "it is empty"
