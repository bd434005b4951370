"""Files to fill, where the fills are written, and what became of each."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from inpaintzoo.files.writing import write_whole
from inpaintzoo.pictures.files import PictureFile
from inpaintzoo.pictures.images import is_image_name
from inpaintzoo.pictures.picture import Pixels
from inpaintzoo.predictor.filling import Patch, Scene
from inpaintzoo.types import DataError

NO_HOLE = "the mask has no hole, so the picture is returned as it is"


class PredictorWarning(UserWarning):
    """A note on a fill, such as that memory ran out and smaller tiles were used."""


class JpegWarning(PredictorWarning):
    """The output is a JPEG file, which does not keep known pixels exactly."""


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
    mask: Pixels | None
    out: str | Path
    guidance: Pixels | None = None


@dataclasses.dataclass
class FileResult:
    """What became of a file.

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
    """

    file: PictureFile
    targets: list[Path]
    scene: Scene
    overwrite: bool

    def write(self, patches: Sequence[Patch], samples: int, note: Callable[[PredictorWarning], None]) -> list[Path]:
        """Write the fills; without a hole and in the same format, copy the file byte by byte.

        Args:
            patches: what fills the hole.
            samples: how many fills.
            note: is called with what is worth knowing.

        Returns:
            The files written.

        Raises:
            DataError: a target exists and may not be replaced.
        """
        path, first = self.file.path, self.targets[0]
        for target in self.targets:  # again: it may have been written in the meantime
            check_target(target, self.overwrite)
        if not self.scene.hole.any() and _same_format(path, first):
            note(PredictorWarning(f"{path}: the mask has no hole, so the file is copied as it is"))
            for target in self.targets:
                write_whole(target, lambda copy: shutil.copyfile(path, copy))
            return self.targets
        if first.suffix.lower() in (".jpg", ".jpeg"):
            note(JpegWarning(f"{first}: JPEG changes known pixels a little; write .png to keep them exactly"))
        if not self.scene.hole.any():
            note(PredictorWarning(NO_HOLE))
        for target, pixels in zip(self.targets, self.scene.fills(patches, samples), strict=True):
            self.file.write(pixels, target)
        return self.targets


def sample_paths(out: Path, samples: int) -> list[Path]:
    """The files to write: `out` itself for one sample, `NAME-0.png`, `NAME-1.png` and so on for several."""
    if samples == 1:
        return [out]
    return [out.with_name(f"{out.stem}-{number}{out.suffix}") for number in range(samples)]


def check_target(target: Path, overwrite: bool) -> None:
    """Raise `DataError` unless a picture may be written there."""
    if not is_image_name(target):
        raise DataError(f"{target}: cannot tell the format; name it .png, .tif, .webp, .bmp or .jpg")
    if not target.parent.is_dir():
        raise DataError(f"{target}: there is no folder {target.parent}")
    if target.is_dir() or (os.path.lexists(target) and not overwrite):  # lexists: a dangling link counts
        raise DataError(f"{target} is there already; name another file or allow to overwrite it (--force)")


def _same_format(one: Path, other: Path) -> bool:
    short = {".jpeg": ".jpg", ".tiff": ".tif"}
    first, second = one.suffix.lower(), other.suffix.lower()
    return short.get(first, first) == short.get(second, second)
