"""Folders of pictures: which picture goes with which mask, and what an earlier run has filled already."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import functools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from inpaintzoo.data.masks.pairing import masks_among, pair_by_name
from inpaintzoo.files.locks import sole_use
from inpaintzoo.pictures.images import is_image_name, list_images, note_left_out
from inpaintzoo.pictures.picture_file import FORMATS
from inpaintzoo.predictor.holes import common_polarity
from inpaintzoo.predictor.ledger import Ledger, Stamps, stamps
from inpaintzoo.predictor.predictor import Predictor
from inpaintzoo.predictor.tasks import FileResult, FileTask, JpegWarning, sample_paths
from inpaintzoo.types import ConfigError, DataError, InpaintzooError, PolarityChoice
from inpaintzoo.words import counted

_NO_ROOM = {errno.ENOSPC, errno.EROFS, getattr(errno, "EDQUOT", errno.ENOSPC)}  # Windows has no quotas
SETTINGS = "inpaint.json"  # in an output folder: what its pictures were made with


@dataclasses.dataclass(frozen=True)
class _Job(FileTask):
    """A task with everything in files."""

    image: Path
    mask: Path | None
    out: Path
    guidance: Path | None = None
    ledger: Ledger | None = None
    say: Callable[[str], None] | None = None
    read: Stamps = dataclasses.field(default_factory=list, compare=False)  # of the sources, from before they were read

    def opening(self) -> None:
        """Note which state of the sources is read."""
        self.read[:] = stamps(self.sources)

    def announce(self, note: str) -> None:
        """Say what cannot wait."""
        if self.say is not None:
            self.say(note)

    def complete(self, target: Path, file: Path) -> None:
        """Note the file; one that has been put there meanwhile stays."""
        if self.ledger is not None:
            self.ledger.check_ours([target])
            self.ledger.note(target, file, self.read)

    @property
    def sources(self) -> tuple[Path | None, ...]:
        """The files that the output is made from."""
        return self.image, self.mask, self.guidance


class FolderFill:
    """A folder of pictures to fill, or a single picture, with masks that are found by name.

    `a/b.jpg` goes with the mask `a/b.png`, `a/b_mask.png` or `a/b_mask001.png` (`inpaintzoo.data.masks.pairing` has the
    rule), and one folder may hold both. An output folder keeps an `inpaint.json` that notes the settings, the model and
    each file made, so that a later run with the same ones fills only what is missing or has changed. Nothing is written
    before `results` is iterated.

    Args:
        images: a picture, or a folder of pictures (sub-folders included).
        masks: a mask, a folder of masks, or None for the pictures' own transparency.
        out: the file to write, or the folder if `images` is one.
        guidance: a guidance map, a folder of maps, or None.
        format: suffix of the files of an output folder, such as `png`; `keep` for the pictures' own.
        samples: fills per picture; more than 1 need a stochastic model.
        seed: seed of a stochastic model's fills.
        grow: pixels by which holes are enlarged on every side.
        polarity: the colour of holes; with folders `auto` decides once, by all masks together.
        force: overwrite existing files, and ignore what an earlier run has filled.

    Attributes:
        tasks: what is left to do.
        done: how many pictures an earlier run has filled.
        unmatched: a sentence for each file without a partner.
        notes: sentences about all of the pictures.

    Raises:
        DataError: there are no pictures, a mask is missing, or it is unclear which mask or hole colour is meant.
        ConfigError: the output would overwrite what is read, or the output folder holds other files.
    """

    def __init__(
        self,
        images: str | Path,
        masks: str | Path | None,
        out: str | Path,
        *,
        guidance: str | Path | None = None,
        format: str = "keep",
        samples: int = 1,
        seed: int = 0,
        grow: int = 0,
        polarity: PolarityChoice = "auto",
        force: bool = False,
    ) -> None:
        self.images, self.out = Path(images), Path(out)
        self.masks = None if masks is None else Path(masks)
        self.guidance = None if guidance is None else Path(guidance)
        self.samples, self.seed, self.grow, self.polarity, self.force = samples, seed, grow, polarity, force
        if samples < 1:
            raise ConfigError(f"samples must be 1 or more, got {samples}")
        self.unmatched: list[str] = []
        self.notes: list[str] = []
        self._check_out()
        self.tasks = jobs = self._folder_jobs(format) if self.images.is_dir() else [self._single_job()]
        self._check_inputs_stay()
        self._ledger: Ledger | None = None
        if self.images.is_dir():
            places = {"image": images, "mask": masks, "guidance": guidance}
            settings: dict[str, Any] = {
                **{name: None if path is None else str(Path(path).resolve()) for name, path in places.items()},
                **({"mask": "alpha"} if masks is None else {}),
                **{"samples": samples, "seed": seed, "grow": grow, "polarity": polarity, "format": format},
            }
            self._ledger = ledger = Ledger(self.out / SETTINGS, settings, force)
            self.tasks = [job for job in jobs if not ledger.made(sample_paths(job.out, samples), job.sources)]
            ledger.check_ours(path for job in self.tasks for path in sample_paths(job.out, samples))
        self.done = len(jobs) - len(self.tasks)
        self._decide_polarity(jobs)
        for form, which in (("JPEG", "some known pixels"), ("AVIF", "all known pixels a little")):
            count = sum(FORMATS.get(job.out.suffix.lower()) == form for job in self.tasks)
            if self._ledger and count:
                self.notes.append(f"{form} changes {which} ({counted(count, 'file')}); --format png keeps them")

    def check_made_with(self, model: Mapping[str, Any]) -> None:
        """Check that an output folder was not begun with another model; `results` does it too.

        Args:
            model: the model and its settings, see `Predictor.made_with`.

        Raises:
            ConfigError: it was.
        """
        if self._ledger is not None:
            self._ledger.check_made_with(model)

    def results(self, predictor: Predictor, announce: Callable[[str], None] | None = None) -> Iterator[FileResult]:
        """Fill what is left to do.

        Args:
            predictor: what fills.
            announce: called with what large pictures take before each is read; their notes have it too.

        Yields:
            A result for each of `tasks`, in order. Those of a folder have no `JpegWarning`: `notes` has one for all.

        Raises:
            ConfigError: the model cannot do what is asked, the output folder was begun with another one, or another
                command is using it; nothing has been written.
            InpaintzooError: the disk of an output folder is full, or the folder cannot be written to.
        """
        predictor.check_request(self.samples, self.guidance)
        if self._ledger is not None:  # a model in memory takes a while to identify
            self.check_made_with(predictor.made_with())
        fill = functools.partial(
            predictor.fill_files, samples=self.samples, seed=self.seed, grow=self.grow, polarity=self.polarity
        )
        tasks = [dataclasses.replace(job, ledger=self._ledger, say=announce) for job in self.tasks]
        if self._ledger is None:
            yield from fill(tasks, overwrite=self.force)
        elif tasks:
            with sole_use(self.out):
                yield from self._noted(self._ledger, functools.partial(fill, tasks))

    def _noted(self, ledger: Ledger, fill: Callable[..., Iterator[FileResult]]) -> Iterator[FileResult]:
        """The results of a folder, whose ledger notes each file."""
        ledger.begin(path for job in self.tasks for path in sample_paths(job.out, self.samples))
        for folder in {job.out.parent for job in self.tasks}:
            folder.mkdir(parents=True, exist_ok=True)
        try:
            for result in fill(overwrite=True):
                result.notes = [note for note in result.notes if not isinstance(note, JpegWarning)]
                _check_room(self.out, result.error)
                yield result
        finally:  # also after Ctrl-C
            with contextlib.suppress(OSError):  # then the journal stays, which holds the same
                ledger.end()

    # -- what must not happen ------------------------------------------------------------------------------------------

    def _check_out(self) -> None:
        images, out = self.images, self.out
        if not images.exists():
            raise DataError(f"{images}: there is no such file or folder")
        if images.is_dir() and (out.is_file() or is_image_name(out)):
            raise ConfigError(f"--out {out} is a file, but {images} is a folder; name a folder")
        if not images.is_dir() and out.exists() and out.resolve() == images.resolve():
            raise ConfigError(f"--out {out} is the picture itself; name another file")
        places = {"pictures": images, "masks": self.masks, "guidance maps": self.guidance}
        for name, place in places.items():
            if place is not None and place.is_dir() and out.is_dir() and out.samefile(place):
                raise ConfigError(f"--out {out} is the folder of the {name}, which must stay as they are; name another")

    def _check_inputs_stay(self) -> None:
        """Nothing that is read may be overwritten, not even with force."""
        read = {_identity(path): path for job in self.tasks for path in job.sources if path and path.exists()}
        for target in (path for job in self.tasks for path in sample_paths(job.out, self.samples)):
            if target.exists() and _identity(target) in read:
                path = read[_identity(target)]
                raise ConfigError(f"{target} would overwrite {path}, which is read; name another --out")

    # -- which picture goes with which mask ----------------------------------------------------------------------------

    def _single_job(self) -> _Job:
        found: list[Path | None] = []
        for name, path in (("mask", self.masks), ("guidance map", self.guidance)):
            if path is not None and path.is_dir():
                files = [file for file in list_images(path, exclude=[self.out]) if not file.samefile(self.images)]
                partner = pair_by_name([self.images.name], _names(path, files)).masks[0]
                if partner is None:
                    raise DataError(f"{self.images}: there is no {name} of this name")
                path /= partner
            found.append(path)
        return _Job(self.images, found[0], self.out, found[1])

    def _folder_jobs(self, format: str) -> list[_Job]:
        inner = [path for path in (self.out, self.masks, self.guidance) if path is not None and path != self.images]
        images = [path for path in list_images(self.images, exclude=inner) if path not in inner]
        left_out = note_left_out(self.images, inner)
        if not images:
            raise DataError("; ".join(filter(None, (f"{self.images} holds 0 pictures, subfolders included", left_out))))
        if left_out:
            self.notes.append(left_out)
        if self.masks and self.masks.is_dir() and self.masks.samefile(self.images):
            own = masks_among(_names(self.images, images))
            images = [path for path in images if path.relative_to(self.images).as_posix() not in own]
        masks = self._partners(images, self.masks, "mask")
        maps = self._partners(images, self.guidance, "guidance map")
        jobs: dict[Path, _Job] = {}
        for image, mask, guidance in zip(images, masks, maps, strict=True):
            if (self.masks and not mask) or (self.guidance and not guidance):
                continue
            out = self.out / image.relative_to(self.images)
            out = out if format == "keep" else out.with_suffix(f".{format}")
            if out in jobs:  # pictures whose names differ in the suffix only
                self.unmatched.append(f"{image}: {jobs[out].image} is already written to {out}; rename one of them")
            else:
                jobs[out] = _Job(image, mask, out, guidance)
        return list(jobs.values())

    def _partners(self, images: Sequence[Path], place: Path | None, name: str) -> list[Path | None]:
        """The mask or map of each picture, None where there is none."""
        if place is None or place.is_file():
            return [place] * len(images)
        if not place.is_dir():
            raise DataError(f"{name} {place}: there is no such file or folder")
        files = [path for path in list_images(place, exclude=[self.out]) if path not in images]
        found, unused = pair_by_name(_names(self.images, images), _names(place, files))
        for image, partner in zip(images, found, strict=True):
            if partner is None:
                key = image.relative_to(self.images).with_suffix("").as_posix()
                self.unmatched.append(f"{image}: there is no {name} {place / key}.*")
        self.unmatched += [f"{place / partner}: no picture has this {name}'s name" for partner in unused]
        return [None if partner is None else place / partner for partner in found]

    def _decide_polarity(self, jobs: Sequence[_Job]) -> None:
        """Decided by all masks together, including those of pictures already filled."""
        masks = sorted({job.mask for job in jobs if job.mask is not None})
        if self.polarity == "auto" and masks and (self.images.is_dir() or (self.masks and self.masks.is_dir())):
            self.polarity = common_polarity(masks) or "auto"
            if self.polarity == "black":
                self.notes.append(
                    "black is taken as the hole, the rarer colour of the masks; --polarity white for the other"
                )


def _check_room(out: Path, error: Exception | None) -> None:
    """Raise `InpaintzooError` if an error of one file means that no other file can be written either."""
    if not isinstance(error, OSError) or error.filename is None:
        return
    denied = isinstance(error, PermissionError) and not os.access(Path(error.filename).parent, os.W_OK)
    if error.errno in _NO_ROOM or denied:
        raise InpaintzooError(
            f"{error.filename} {error.strerror} and the fill of {out} ends here; make room or allow writing there, and "
            "run the same command again, which goes on"
        ) from error


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino


def _names(folder: Path, files: Sequence[Path]) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in files]
