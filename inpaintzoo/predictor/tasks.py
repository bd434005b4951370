"""Files to fill, where they are written to, and what became of them."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

from inpaintzoo.files.writing import write_whole
from inpaintzoo.pictures.files import PictureFile
from inpaintzoo.pictures.images import is_image_name
from inpaintzoo.pictures.picture import Pixels
from inpaintzoo.predictor.filling import Patch, Scene
from inpaintzoo.types import DataError

NO_HOLE = "the mask has no hole, so the picture comes back as it is"


class PredictorWarning(UserWarning):
    """What is worth knowing about a fill, such as that memory allowed smaller tiles only."""


class JpegWarning(PredictorWarning):
    """A file format that does not keep known pixels as they are."""


def say(text: str) -> None:
    """Warn of something in a fill."""
    warnings.warn(text, PredictorWarning, stacklevel=4)


@dataclasses.dataclass(frozen=True)
class FileTask:
    """A file to fill.

    Attributes:
        image: the file.
        mask: its mask, see `Predictor`.
        out: the file to write.
        guidance: where may be copied from, or None.
    """

    image: str | Path
    mask: Pixels | None
    out: str | Path
    guidance: Pixels | None = None


@dataclasses.dataclass
class FileResult:
    """What became of a file.

    Attributes:
        task: what was to be done.
        files: what was written; empty if it failed.
        notes: what was worth a warning.
        error: why it failed, or None.
    """

    task: FileTask
    files: list[Path] = dataclasses.field(default_factory=list)
    notes: list[UserWarning] = dataclasses.field(default_factory=list)
    error: Exception | None = None

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Keep the warnings of a block, and its error."""
        with warnings.catch_warnings(record=True) as notes:
            warnings.simplefilter("always")
            try:
                yield
            except Exception as error:  # whatever it is, it must not keep the other files waiting
                self.error = error
        self.notes += [note.message for note in notes if isinstance(note.message, UserWarning)]


@dataclasses.dataclass(frozen=True)
class OpenFile:
    """A file that was read.

    Attributes:
        file: as it was read.
        targets: what to write, one a sample.
        scene: its picture, with the hole.
        overwrite: whether targets that are there may be replaced.
    """

    file: PictureFile
    targets: list[Path]
    scene: Scene
    overwrite: bool

    def write(self, patches: Sequence[Patch], samples: int) -> list[Path]:
        """Write the fills; the file itself, byte by byte, where there is no hole and the format stays.

        Returns:
            The files written.

        Raises:
            DataError: one is there and may not be replaced.
        """
        path, first = self.file.path, self.targets[0]
        for target in self.targets:  # again: it may have been written since
            check_target(target, self.overwrite)
        if not self.scene.hole.any() and _same_format(path, first):
            say(f"{path}: the mask has no hole, so the file is copied as it is")
            for target in self.targets:
                write_whole(target, lambda copy: shutil.copyfile(path, copy))
            return self.targets
        if first.suffix.lower() in (".jpg", ".jpeg"):
            text = f"{first}: JPEG changes known pixels a little; write .png to keep each of them"
            warnings.warn(text, JpegWarning, stacklevel=3)
        if not self.scene.hole.any():
            say(NO_HOLE)
        for target, pixels in zip(self.targets, self.scene.fills(patches, samples), strict=True):
            self.file.write(pixels, target)
        return self.targets


def sample_paths(out: Path, samples: int) -> list[Path]:
    """The files that several samples are written to: `out` itself if there is one, else `NAME-0.png` and so on."""
    if samples == 1:
        return [out]
    return [out.with_name(f"{out.stem}-{number}{out.suffix}") for number in range(samples)]


def check_target(target: Path, overwrite: bool) -> None:
    """Raise `DataError` unless a picture may be written there."""
    if not is_image_name(target):
        raise DataError(f"{target}: cannot tell the format; name it .png, .tif, .webp, .bmp or .jpg")
    if not target.parent.is_dir():
        raise DataError(f"{target}: there is no folder {target.parent}")
    if target.is_dir() or (os.path.lexists(target) and not overwrite):  # a link that leads nowhere is there too
        raise DataError(f"{target} is there already; name another file or allow to overwrite it (--force)")


def _same_format(one: Path, other: Path) -> bool:
    short = {".jpeg": ".jpg", ".tiff": ".tif"}
    first, second = one.suffix.lower(), other.suffix.lower()
    return short.get(first, first) == short.get(second, second)
