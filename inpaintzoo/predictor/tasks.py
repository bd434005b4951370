"""Files to fill, where the fills are written, and the outcome for each."""

from __future__ import annotations

import dataclasses
import functools
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from inpaintzoo.files.writing import new_file, write_whole
from inpaintzoo.pictures.picture import PictureLike
from inpaintzoo.pictures.picture_file import FORMATS, PictureFile, format_of
from inpaintzoo.predictor.filling import FilledPart, Scene
from inpaintzoo.types import DataError

NO_HOLE = "the mask has no hole, so the picture is returned as it is"


class PredictorWarning(UserWarning):
    """A note on a fill, such as that memory ran out and smaller tiles were used."""


class JpegWarning(PredictorWarning):
    """The output is a JPEG or AVIF file, which does not keep known pixels exactly."""


class LargePictureWarning(PredictorWarning):
    """A picture takes much memory, which is said before it is read."""


@dataclasses.dataclass(frozen=True)
class FileTask:
    """A file to fill.

    Attributes:
        image: the file.
        mask: its mask, see `Predictor`.
        out: the file to write.
        guidance: a map of where the model may copy from, or None.
    """

    image: str | Path
    mask: PictureLike | None
    out: str | Path
    guidance: PictureLike | None = None

    def opening(self) -> None:
        """Called before the files are read."""

    def announce(self, note: str) -> None:
        """Called before the files are read with a note that cannot wait until they are filled."""

    def complete(self, target: Path, file: Path) -> None:
        """Called when a file to write is complete, under a temporary name, before it becomes the target."""


@dataclasses.dataclass
class FileResult:
    """The outcome for one file.

    Attributes:
        task: what was asked for.
        files: the files written; empty if it failed.
        notes: each a `PredictorWarning`, or a warning that Pillow or the network gave.
        error: why it failed, or None.
    """

    task: FileTask
    files: list[Path] = dataclasses.field(default_factory=list)
    notes: list[UserWarning] = dataclasses.field(default_factory=list)
    error: Exception | None = None


@dataclasses.dataclass(frozen=True)
class OpenFile:
    """A file that has been read and is to be filled.

    Attributes:
        file: its content.
        targets: the files to write, one per sample.
        scene: its picture, with the hole.
        overwrite: whether existing targets may be replaced.
        task: what was asked for.
    """

    file: PictureFile
    targets: list[Path]
    scene: Scene
    overwrite: bool
    task: FileTask

    def write(self, parts: Sequence[FilledPart], samples: int, note: Callable[[PredictorWarning], None]) -> list[Path]:
        """Write the fills; without a hole and in the same format, copy the file byte for byte.

        Args:
            parts: the filled parts.
            samples: how many fills.
            note: called with anything worth knowing.

        Returns:
            The files written.

        Raises:
            DataError: a target exists and may not be replaced.
        """
        path, first = self.file.path, self.targets[0]
        for target in self.targets:  # again: it may have been written in the meantime
            new_file(target, (), self.overwrite, DataError)
        if not self.scene.hole.any() and FORMATS.get(path.suffix.lower()) == format_of(first):
            note(PredictorWarning(f"{path}: the mask has no hole, so the file is copied as it is"))
            for target in self.targets:
                complete = functools.partial(self.task.complete, target)
                write_whole(target, lambda copy: shutil.copyfile(path, copy), complete)
            return self.targets
        if not self.scene.hole.any():
            note(PredictorWarning(NO_HOLE))
        for target, pixels in zip(self.targets, self.scene.fills(parts, samples), strict=True):
            change = self.file.write(pixels, target, functools.partial(self.task.complete, target))
        if (form := format_of(first)) in ("AVIF", "JPEG"):
            where = f"everywhere a little, since {change}" if change else "in the blocks that the hole touches"
            note(JpegWarning(f"{first}: {form} changes known pixels {where}; write .png to keep them exactly"))
        return self.targets


def sample_paths(out: Path, samples: int) -> list[Path]:
    """The files to write: `out` itself for one sample, `NAME-0.png`, `NAME-1.png` and so on for several."""
    if samples == 1:
        return [out]
    return [out.with_name(f"{out.stem}-{number}{out.suffix}") for number in range(samples)]
