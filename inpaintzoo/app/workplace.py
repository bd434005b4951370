"""What the page works with: uploaded pictures, models, segmenters; it knows nothing of HTTP."""

from __future__ import annotations

import dataclasses
import re
import secrets
import shutil
import tempfile
import threading
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from inpaintzoo.app.line import Job, Line
from inpaintzoo.data.masks.reading import PolarityChoice
from inpaintzoo.fills import DEFAULT_FILL, FILLS
from inpaintzoo.generator import Generator
from inpaintzoo.pictures.boxes import Box
from inpaintzoo.pictures.images import open_image, orientation_of, tensor_to_image
from inpaintzoo.pictures.picture_file import FORMATS, read_picture
from inpaintzoo.predictor import FileTask, Predictor
from inpaintzoo.removal import OpenPicture, Remover, Segmenter
from inpaintzoo.types import ConfigError, DataError, InpaintzooError
from inpaintzoo.weights.files import read_about
from inpaintzoo.weights.registry import entries, kept_file
from inpaintzoo.words import did_you_mean

_SUFFIXES = {form: suffix for suffix, form in reversed(FORMATS.items())}  # the first suffix of each format
_SHOWN = ("JPEG", "PNG", "WEBP", "BMP")  # what every browser shows
_OPEN = 2  # pictures kept decoded and segmented


class TooLarge(DataError):
    """An upload beyond the limits."""


class NotKept(InpaintzooError):
    """A picture that is not there, or not any more."""


@dataclasses.dataclass(frozen=True)
class Limits:
    """What is accepted.

    Attributes:
        megabytes: size of a request, uploads included.
        megapixels: size of a picture.
        samples: fills of one hole.
        kept: bytes of pictures kept; the oldest are dropped.
    """

    megabytes: float = 200
    megapixels: float = 100
    samples: int = 16
    kept: int = 2_000_000_000


@dataclasses.dataclass(frozen=True)
class Kept:
    """A picture in the workplace's folder.

    Attributes:
        id: cannot be guessed.
        file: where it lies.
        name: what the user calls it.
        format: Pillow's name.
        width: in pixels, upright.
        height: in pixels, upright.
    """

    id: str
    file: Path
    name: str
    format: str
    width: int
    height: int


class Workplace:
    """Pictures in a private folder that goes when the workplace is closed, and what works on them.

    Args:
        models: generators, or paths of their weight files, by the name that users see; paths are loaded at once. Fills
            and downloaded weights are there without being named.
        segmenters: by the name that users see. The first is the default.
        limits: what is accepted.
        device: where models run; `auto` picks a GPU if there is one.

    Raises:
        WeightsError: a model cannot be loaded.
    """

    def __init__(
        self,
        models: Mapping[str, Generator | str | Path],
        segmenters: Mapping[str, Segmenter],
        limits: Limits | None = None,
        device: str = "auto",
    ) -> None:
        self.limits = limits or Limits()
        self.device = device
        self.segmenters = segmenters
        self.line = Line()
        self._models = {name: Predictor(model, device=device) for name, model in models.items()}
        self._default = Predictor(
            fill=DEFAULT_FILL, device="cpu"
        )  # a `Remover` needs one; `fill` uses the model asked for
        self._pictures: dict[str, Kept] = {}
        self._opened: dict[tuple[str, str], OpenPicture] = {}
        self._reading = threading.Lock()  # one decoded picture at a time: each may take gigabytes
        self._segmenting = threading.Lock()
        self._listing = threading.Lock()
        self.folder = Path(tempfile.mkdtemp(prefix="inpaintzoo-app-"))  # for this user only

    def __enter__(self) -> Workplace:
        return self

    def __exit__(self, *error: object) -> None:
        self.line.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    # -- pictures ------------------------------------------------------------------------------------------------------

    def keep(self, upload: BinaryIO, name: str) -> Kept:
        """Keep an uploaded picture.

        Args:
            upload: its bytes.
            name: what the user calls it; never part of a path.

        Raises:
            DataError: it cannot be read, or is too large (`TooLarge`).
        """
        file = self.folder / secrets.token_urlsafe(12)
        name = re.sub(r"[\x00-\x1f\x7f]", "", re.split(r"[/\\]", name)[-1]) or "picture"
        try:
            with open(file, "xb") as kept:
                shutil.copyfileobj(upload, kept)
            with self._reading:
                return self._register(file, name, check=True)
        except InpaintzooError as error:
            file.unlink()
            bomb = isinstance(error.__cause__, Image.DecompressionBombError)
            raise (TooLarge if bomb else type(error))(_renamed(error, {str(file): name})) from error

    def _register(self, file: Path, name: str, check: bool = False) -> Kept:
        """Enter a file into the list of pictures, under a suffix that tells its format."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, of large pictures
            with open_image(file, load=False) as image:
                form = "JPEG" if image.format == "MPO" else str(image.format)
                width, height = image.size[::-1] if orientation_of(image) >= 5 else image.size
        megapixels = width * height / 1e6
        if megapixels > self.limits.megapixels:
            raise TooLarge(
                f"{name} has {megapixels:.3g} megapixels, and {self.limits.megapixels:g} are allowed; scale it down"
            )
        if check:
            read_picture(file, lambda note: None)
        given = Path(name)
        suffix = given.suffix if FORMATS.get(given.suffix.lower()) == form else _SUFFIXES[form]
        stem = given.stem if given.suffix.lower() in FORMATS else name
        kept = file.rename(file.with_name(file.stem + suffix.lower()))
        picture = Kept(file.stem, kept, f"{stem[:100]}{suffix}", form, width, height)
        with self._listing:
            self._pictures[picture.id] = picture
            self._drop_oldest()
        return picture

    def _drop_oldest(self) -> None:
        sizes = {each.id: each.file.stat().st_size for each in list(self._pictures.values())}
        while len(sizes) > 1 and sum(sizes.values()) > self.limits.kept:
            oldest = next(iter(sizes))
            del sizes[oldest]
            file = self._pictures.pop(oldest).file
            for each in (file, _shown_file(file)):
                each.unlink(missing_ok=True)

    def picture(self, id: str) -> Kept:
        """A kept picture.

        Raises:
            NotKept: it is not there.
        """
        if id not in self._pictures:
            raise NotKept(f"there is no picture {id[:40]!r} any more; open it again")
        return self._pictures[id]

    def shown(self, id: str) -> Path:
        """A file with a picture that a browser shows: its own, or a PNG file."""
        picture = self.picture(id)
        if picture.format in _SHOWN:
            return picture.file
        shown = _shown_file(picture.file)
        if not shown.is_file():
            with self._reading:
                pixels = read_picture(picture.file, lambda note: None).picture
                tensor_to_image(pixels.read(Box(0, 0, *pixels.size))).save(shown, compress_level=1)
        return shown

    # -- models and fills ----------------------------------------------------------------------------------------------

    def models(self) -> list[dict[str, Any]]:
        """The models that are there: name, and whether their fills differ from sample to sample."""
        own = {name: predictor.generator.stochastic for name, predictor in self._models.items()}
        fills = dict.fromkeys([DEFAULT_FILL, *FILLS], False)
        downloaded = {
            name: bool(read_about(kept_file(name)).init_args.get("stochastic"))
            for name, entry in entries().items()
            if entry.masks is not None and kept_file(name).is_file()
        }
        return [{"name": name, "stochastic": each} for name, each in {**own, **fills, **downloaded}.items()]

    def predictor(self, name: str) -> Predictor:
        """What fills under a name; loaded on first use.

        Raises:
            ConfigError: no model of this name is there.
        """
        if name not in self._models:
            known = [each["name"] for each in self.models()]
            if name not in known:
                raise ConfigError(f"there is no model {name!r}{did_you_mean(name, known) or '; see /models'}")
            self._models[name] = Predictor(
                None if name in FILLS else name, self.device, fill=name if name in FILLS else None
            )
        return self._models[name]

    def fill(
        self,
        job: Job,
        picture: Kept,
        mask: Kept | np.ndarray | None,
        model: str,
        *,
        samples: int = 1,
        seed: int = 0,
        grow: int = 0,
        polarity: PolarityChoice = "auto",
        format: str | None = None,
        guidance: np.ndarray | None = None,
    ) -> tuple[list[Kept], list[str]]:
        """Fill a picture's hole, with the picture's format and metadata.

        Args:
            job: may be cancelled.
            picture: the picture.
            mask: the hole; None: its transparent pixels.
            model: a name of `models`.
            samples: how many fills.
            seed: see `Predictor`.
            grow: see `Predictor`.
            polarity: see `Predictor`.
            format: a suffix without its dot; None for the picture's own.
            guidance: see `Predictor`.

        Returns:
            The filled pictures, and notes.

        Raises:
            InpaintzooError: it cannot be filled; the message says why.
        """
        suffix = f".{format.lower()}" if format else picture.file.suffix
        if suffix not in FORMATS:
            raise ConfigError(f"format must be one of {', '.join(each[1:] for each in FORMATS)}, got {format!r}")
        if not 1 <= samples <= self.limits.samples:
            raise ConfigError(f"samples must be from 1 to {self.limits.samples}, got {samples}")
        predictor = self.predictor(model)
        stem = Path(picture.name).stem
        stem = stem if stem.endswith("-filled") else f"{stem}-filled"
        name = stem + (suffix if format else Path(picture.name).suffix)
        out = self.folder / f"{secrets.token_urlsafe(12)}{suffix}"
        task = FileTask(picture.file, mask.file if isinstance(mask, Kept) else mask, out, guidance)
        with job.stopping(predictor.generator):
            (result,) = predictor.fill_files([task], samples=samples, seed=seed, grow=grow, polarity=polarity)
        names = {str(out): name, str(picture.file): picture.name}
        if isinstance(mask, Kept):
            names[str(mask.file)] = mask.name
        names[str(out.with_suffix(""))] = stem  # of several samples
        try:
            job.check()
            if result.error is not None:
                raise result.error
            return [self._register(file, name) for file in result.files], [
                _renamed(note, names) for note in result.notes
            ]
        except InpaintzooError as error:
            for file in result.files:
                file.unlink(missing_ok=True)
            raise type(error)(_renamed(error, names)) from error

    # -- objects -------------------------------------------------------------------------------------------------------

    def segmenter(self, name: str) -> Segmenter:
        """A segmenter by its name.

        Raises:
            ConfigError: there is none of this name.
        """
        if name not in self.segmenters:
            raise ConfigError(f"there is no segmenter {name!r}{did_you_mean(name, self.segmenters) or '; see /models'}")
        return self.segmenters[name]

    def open(self, picture: Kept, segmenter: str) -> tuple[Remover, OpenPicture]:
        """A picture, segmented (the last ones are kept), and what selects objects in it.

        Raises:
            InpaintzooError: as `segmenter`, or the picture cannot be segmented.
        """
        key = picture.id, segmenter
        with self._segmenting:
            remover = Remover(self.segmenter(segmenter), self._default)
            if key not in self._opened:
                while len(self._opened) >= _OPEN:
                    del self._opened[next(iter(self._opened))]
                self._opened[key] = remover.open(picture.file)
            return remover, self._opened[key]


def _shown_file(file: Path) -> Path:
    return file.with_name(f"{file.name}.shown.png")


def _renamed(text: object, names: Mapping[str, str]) -> str:
    """A sentence with the user's names in place of paths."""
    said = str(text)
    for path, name in names.items():
        said = said.replace(path, name)
    return said
