"""The files of a split: a folder, a list file, or one folder split by fractions."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from inpaintzoo.pictures.images import IMAGE_SUFFIXES, is_image_name, list_images
from inpaintzoo.types import SPLITS, DataError, Split
from inpaintzoo.words import counted, some


@dataclasses.dataclass(frozen=True)
class FileSet:
    """Image files of one split.

    Attributes:
        paths: the files.
        base: the folder that names are relative to.
        origin: the folder or list file that names them, for messages.
    """

    paths: tuple[Path, ...]
    base: Path
    origin: Path

    def names(self) -> list[str]:
        """A name for each file: its path below `base`, with `/`; the suffix is kept only where names would clash.

        Raises:
            DataError: two files would have the same name.
        """
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
        root: what relative entries of a list file are relative to; None uses the list file's own folder.
        exclude: sub-folders to leave out.

    Raises:
        DataError: nothing there, no images in it, or list entries without a file.
    """
    if path.is_dir():
        found = list_images(path, exclude)
        if not found:
            raise DataError(f"{what}: no images in {path}: looked for {' '.join(IMAGE_SUFFIXES)}; {_contents(path)}")
        return FileSet(tuple(found), path, path)
    if not path.exists():
        raise DataError(f"{what}: {path} does not exist; {nearby(path)}")
    if is_image_name(path):
        raise DataError(f"{what}: {path} is a single image; give the folder, or a text file with one path per line")
    return _from_list(what, path, root or path.parent)


def without_masks(files: FileSet, masks: Sequence[Path]) -> FileSet:
    """The files without the mask files among them, for folders that hold both.

    Raises:
        DataError: no picture is left.
    """
    base = os.path.realpath(files.base)
    inside = {real for real in map(os.path.realpath, masks) if real.startswith(base + os.sep)}
    if not inside:
        return files
    left = tuple(path for path in files.paths if os.path.realpath(path) not in inside)
    if not left:
        raise DataError(f"{files.origin}: all {len(files.paths)} files are used as masks; name the pictures' folder")
    return dataclasses.replace(files, paths=left)


def _from_list(what: str, path: Path, base: Path) -> FileSet:
    entries = read_list(path)
    if not entries:
        raise DataError(f"{what}: the list file {path} has no entries; write one image path per line")
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
        raise DataError(f"{path}: neither a folder nor a text file with one image path per line") from error
    return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]


def split_by_fractions(files: FileSet, fractions: tuple[float, float, float], seed: int) -> dict[Split, FileSet]:
    """Files of one folder divided into train, val and test.

    A file's split depends on its name and the seed, not on the order in which the file system lists files, and adding
    a file moves few others.

    Raises:
        DataError: fewer files than splits.
    """
    wanted = [index for index, fraction in enumerate(fractions) if fraction > 0]
    if len(files.paths) < len(wanted):
        raise DataError(
            f"{files.origin}: {len(files.paths)} images cannot be split into {len(wanted)} parts, fractions={fractions}"
        )

    def lot(path: Path) -> str:
        name = os.path.relpath(path, files.base).replace(os.sep, "/")
        return hashlib.sha256(f"{seed}/{name}".encode(errors="surrogatepass")).hexdigest()

    ranked = sorted(files.paths, key=lot)
    result: dict[Split, FileSet] = {}
    start = 0
    for split, size in zip(SPLITS, _sizes(len(ranked), fractions), strict=True):
        chosen = sorted(ranked[start : start + size], key=lambda path: path.as_posix())
        result[split] = dataclasses.replace(files, paths=tuple(chosen))
        start += size
    return result


def _sizes(total: int, fractions: Sequence[float]) -> list[int]:
    """Whole numbers close to the fractions of `total`, which they add up to; at least 1 for a fraction above 0."""
    sizes = [max(1, int(total * fraction + 1e-9)) if fraction > 0 else 0 for fraction in fractions]
    while sum(sizes) != total:
        step = 1 if sum(sizes) < total else -1
        open_to = [i for i, fraction in enumerate(fractions) if fraction > 0 and sizes[i] + step >= 1]
        sizes[max(open_to, key=lambda i: step * (total * fractions[i] - sizes[i]))] += step
    return sizes


def nearby(path: Path) -> str:
    """The contents of a missing path's nearest existing parent, for messages."""
    parent = next((folder for folder in path.absolute().parents if folder.is_dir()), Path("/"))
    entries = sorted(entry.name for entry in parent.iterdir() if not entry.name.startswith("."))
    return f"{parent} holds {some(entries)}" if entries else f"{parent} is empty"


def _contents(folder: Path) -> str:
    files = [name for _, _, names in os.walk(folder, followlinks=False) for name in names]
    suffixes = collections.Counter(os.path.splitext(name)[1].lower() or "no suffix" for name in files)
    kinds = ", ".join(f"{count} {suffix}" for suffix, count in suffixes.most_common(5))
    return f"it holds {counted(files, 'other file')} ({kinds})" if files else "it is empty"
