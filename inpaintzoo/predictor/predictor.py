"""A picture of any kind and size in; the same picture, with its hole filled, out."""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import torch

from inpaintzoo.data.masks import mask_classes
from inpaintzoo.files.writing import new_file
from inpaintzoo.fills import FILLS
from inpaintzoo.generator import Generator
from inpaintzoo.ops import evaluating, find_device
from inpaintzoo.pictures.picture import Picture, PictureLike, picture_from
from inpaintzoo.pictures.picture_file import format_of, read_picture
from inpaintzoo.predictor.filling import FilledPart, PartFiller, Scene, out_of_memory
from inpaintzoo.predictor.holes import find_hole, is_compact, read_guidance
from inpaintzoo.predictor.ledger import MODEL_SETTINGS, identify
from inpaintzoo.predictor.memory import affordable_pixels, affordable_tile, note_if_large
from inpaintzoo.predictor.planning import Limits, Part, plan
from inpaintzoo.predictor.tasks import (
    NO_HOLE,
    FileResult,
    FileTask,
    LargePictureWarning,
    OpenFile,
    PredictorWarning,
    sample_paths,
)
from inpaintzoo.types import ConfigError, DataError, InpaintzooError, PolarityChoice, Precision, Strategy
from inpaintzoo.weights.loading import load_described
from inpaintzoo.weights.registry import find_checkpoint
from inpaintzoo.words import did_you_mean

SMALLEST_TILE = 64
_MOST_HELD = 64_000_000  # pixels of pictures that are kept in memory to be filled together


class Predictor:
    """Fills holes in pictures of any kind and size.

    Known pixels come back bit for bit. The generator never sees what lies in the hole.

    Args:
        model: a generator; the path of a weight file, checkpoint or run folder; or a name of `list --weights`. None:
            `fill` is given instead.
        device: `cpu`, `cuda`, `cuda:1`, and so on; `auto` picks a GPU if there is one. The model is moved there.
        precision: number format that the network computes in.
        strategy: `auto`, or how parts are shown to the network: `pad` the whole picture, `crop` each hole with a
            margin, `tile` overlapping tiles, `resize` scaled down; see `inpaintzoo.predictor.planning`.
        tile: longest side in pixels that the network is shown at once; None: 512 (the `widest_view` of a fill), or
            less if memory is short.
        overlap: pixels over which neighbouring tiles are blended; None: a quarter of a tile.
        max_memory: GiB that may be used; None: half of the free memory.
        batch_size: tiles, holes and pictures of the same size that are filled at once, if memory allows.
        fill: the name of a fill without a network, one of `inpaintzoo.fills.FILLS`, such as `shiftmap`.

    Attributes:
        notes: what was worth knowing about the last fill, such as that memory ran out and smaller tiles were used. The
            calls also emit them as `PredictorWarning`; `fill_files` puts those of a file into its result instead.

    Raises:
        ConfigError: a value that is not allowed, or a device that cannot be used.
        WeightsError: the model cannot be loaded.
    """

    def __init__(
        self,
        model: Generator | str | Path | None = None,
        device: str = "auto",
        precision: Precision = "float32",
        strategy: Strategy = "auto",
        tile: int | None = None,
        overlap: int | None = None,
        max_memory: float | None = None,
        batch_size: int = 1,
        fill: str | None = None,
    ) -> None:
        _check_settings(precision, strategy, tile, overlap, max_memory, batch_size)
        self.device = find_device(device)
        if precision == "float16" and self.device.type == "cpu":
            raise ConfigError("precision float16 needs a GPU; use float32 or bfloat16")
        self._compact_holes: str | None = None
        self._identity: dict[str, Any] | None = None
        model = _model_or_fill(model, fill)
        if not isinstance(model, Generator):
            self._identity = identify(model)  # before it is read: the file may be replaced later
            file = find_checkpoint(model)
            model, about = load_described(file)
            self._compact_holes = _compact_holes(file, about.facts)
        self.generator = model.to(self.device)
        self.precision = precision
        self.strategy = strategy
        self.tile = tile
        self.overlap = overlap
        self.max_memory = max_memory
        self.batch_size = batch_size
        self.notes: list[UserWarning] = []

    def __call__(
        self,
        image: PictureLike,
        mask: PictureLike | None,
        *,
        samples: int = 1,
        seed: int = 0,
        grow: int = 0,
        polarity: PolarityChoice = "auto",
        guidance: PictureLike | None = None,
    ) -> list[Any]:
        """Fill the hole of a picture.

        Args:
            image: a path, a Pillow image, an array `(H, W)` or `(H, W, C)`, or a tensor `(C, H, W)`; C = 1 grey, 2
                grey and alpha, 3 RGB, 4 RGB and alpha; 8 or 16 bits, or floats in [0, 1].
            mask: with the size of the upright picture, or its proportions: a path, a Pillow image, an array `(H, W)` or
                a tensor `(1, H, W)`. None: the picture's own transparent pixels, which become opaque.
            samples: how many fills; more than 1 need a stochastic generator.
            seed: seed of a stochastic model's fills.
            grow: pixels by which the hole is enlarged on every side.
            polarity: the colour of the hole; `auto`: white (1, 255) in arrays, tensors and Pillow images, the rarer
                colour in files, with a note if that is black.
            guidance: for generators with patch attention: where they may copy from. Arrays and tensors as in
                `inpaintzoo.layers.attention.Guidance`; in files and Pillow images, palette indices are class ids and
                grey levels permissions (white: may be copied from).

        Returns:
            The fills, each of the kind, size, mode and type of `image`; for a path, an upright Pillow image.

        Raises:
            InpaintzooError: it cannot be filled; the message says why.
        """
        self.check_request(samples, guidance)
        with self._emitting_notes(image):
            picture = self._picture(image)
            scene = self._scene(picture, mask, grow, polarity, guidance)
            if not scene.hole.any():
                self._note(NO_HOLE)
            parts = self._filled(scene, samples, seed)
            return [picture.finish(pixels) for pixels in scene.fills(parts, samples)]

    def fill_file(
        self,
        image: str | Path,
        mask: PictureLike | None,
        out: str | Path,
        *,
        samples: int = 1,
        seed: int = 0,
        grow: int = 0,
        polarity: PolarityChoice = "auto",
        guidance: PictureLike | None = None,
        overwrite: bool = False,
    ) -> list[Path]:
        """Fill the hole of a picture file, and write it with all its bits and its metadata.

        It comes out upright, except from JPEG to JPEG, where it stays stored as it is, with its EXIF orientation.

        Args:
            image: the file.
            mask: see `__call__`, also for the other arguments.
            out: the file to write; the suffix decides the format. Several samples go to `NAME-0.png`, `NAME-1.png`.
            samples: how many fills.
            seed: seed of a stochastic model's fills.
            grow: pixels by which the hole is enlarged.
            polarity: the colour of the hole.
            guidance: where the generator may copy from.
            overwrite: whether existing files may be replaced.

        Returns:
            The files written.

        Raises:
            InpaintzooError: it cannot be filled or written; the message says why.
        """
        with self._emitting_notes(image):
            opened = self._open(FileTask(image, mask, out, guidance), samples, grow, polarity, overwrite)
            return opened.write(self._filled(opened.scene, samples, seed), samples, self._note)

    def fill_all(
        self,
        images: Sequence[PictureLike],
        masks: Sequence[PictureLike | None],
        *,
        samples: int = 1,
        seed: int = 0,
        grow: int = 0,
        polarity: PolarityChoice = "auto",
        guidance: Sequence[PictureLike | None] | None = None,
    ) -> list[list[Any]]:
        """`__call__` for several pictures; the network gets up to `batch_size` pictures of the same size at once.

        Args:
            images: the pictures.
            masks: one for each.
            samples: how many fills of each.
            seed: seed of a stochastic model's fills, which do not depend on the other pictures.
            grow: pixels by which holes are enlarged.
            polarity: the colour of holes.
            guidance: one map for each, or None.

        Returns:
            What `__call__` returns for each picture, up to rounding: a batch sums in another order.

        Raises:
            ConfigError: the numbers of pictures, masks and maps differ.
            InpaintzooError: a picture cannot be filled; the message says which, counted from 0.
        """
        self.check_request(samples, guidance)
        maps = [None] * len(images) if guidance is None else guidance
        if not len(images) == len(masks) == len(maps):
            raise ConfigError(f"{len(images)} pictures need as many masks and maps, got {len(masks)} and {len(maps)}")
        filled: list[list[Any]] = []
        with self._emitting_notes(*images):
            while (start := len(filled)) < len(images):
                scenes = []
                for number in range(start, min(start + self.batch_size, len(images))):
                    with _naming(number):
                        picture = self._picture(images[number])
                        scenes.append(self._scene(picture, masks[number], grow, polarity, maps[number]))
                together = self._try_together(scenes, samples, seed)
                for number, scene in enumerate(scenes, start):
                    with _naming(number):
                        parts = together[number - start] if together else self._filled(scene, samples, seed)
                        filled.append([scene.picture.finish(pixels) for pixels in scene.fills(parts, samples)])
        return filled

    def fill_files(
        self,
        tasks: Iterable[FileTask],
        *,
        samples: int = 1,
        seed: int = 0,
        grow: int = 0,
        polarity: PolarityChoice = "auto",
        overwrite: bool = False,
    ) -> Iterator[FileResult]:
        """`fill_file` for many files, read `batch_size` at a time and filled together if their sizes are equal.

        A file that cannot be filled does not stop the others: its result says why.

        Args:
            tasks: what to fill; taken as needed.
            samples: how many fills of each.
            seed: seed of a stochastic model's fills.
            grow: pixels by which holes are enlarged.
            polarity: the colour of holes.
            overwrite: whether existing files may be replaced.

        Yields:
            A result for each task, in order.
        """
        results: list[FileResult] = []
        opened: list[tuple[FileResult, OpenFile]] = []
        for task in tasks:
            results.append(FileResult(task))
            with self._watching(results[-1]):
                if note := note_if_large(Path(task.image)):
                    task.announce(note)
                    self._note(LargePictureWarning(note))
                opened.append((results[-1], self._open(task, samples, grow, polarity, overwrite)))
            pixels = sum(file.scene.hole.size for _, file in opened)
            if len(results) >= self.batch_size or pixels >= _MOST_HELD:
                self._fill_opened(opened, samples, seed)
                done, results, opened = results, [], []
                yield from done
        self._fill_opened(opened, samples, seed)
        yield from results

    def made_with(self) -> dict[str, Any]:
        """What decides how its pictures look, as JSON values: the model, and the settings it is used with."""
        settings = {name: getattr(self, name) for name in MODEL_SETTINGS}
        return {**(self._identity or identify(self.generator)), **settings}

    def check_request(self, samples: int, guidance: object) -> None:
        """Raise `ConfigError` if the generator cannot do this.

        Args:
            samples: how many fills are wanted.
            guidance: a map, or None.
        """
        name = type(self.generator).__name__
        if samples < 1:
            raise ConfigError(f"samples must be 1 or more, got {samples}")
        if samples > 1 and not self.generator.stochastic:
            raise ConfigError(f"{name} is deterministic: it has one fill per hole; leave out samples={samples}")
        if guidance is not None and not self.generator.accepts_guidance:
            raise ConfigError(f"{name} has no patch attention that guidance could steer; leave it out")

    def _fill_opened(self, opened: Sequence[tuple[FileResult, OpenFile]], samples: int, seed: int) -> None:
        """Fill files together or, if that fails, one by one, so that an error belongs to the file that causes it."""
        together: list[list[FilledPart]] = []
        if opened:
            with self._watching(opened[0][0]):  # a note on all of them goes to the first
                together = self._try_together([file.scene for _, file in opened], samples, seed)
        for number, (result, file) in enumerate(opened):
            with self._watching(result):
                parts = together[number] if together else self._filled(file.scene, samples, seed)
                result.files = file.write(parts, samples, self._note)

    # -- notes -----------------------------------------------------------------------------------------------------

    def _note(self, note: str | PredictorWarning) -> None:
        self.notes.append(PredictorWarning(note) if isinstance(note, str) else note)

    @contextlib.contextmanager
    def _emitting_notes(self, *images: PictureLike) -> Iterator[None]:
        """Emit the block's notes as warnings of the line that called the method around it.

        What large pictures take is emitted before the block.
        """
        large = [note_if_large(Path(image)) for image in images if isinstance(image, (str, Path))]
        early = [LargePictureWarning(note) for note in large if note]
        notes: list[UserWarning] = [*early]
        self.notes = notes
        for warning in early:
            warnings.warn(warning, stacklevel=4)  # 2 is contextlib, 3 the method
        try:
            yield
        finally:
            for note in notes[len(early) :]:
                warnings.warn(note, stacklevel=4)

    @contextlib.contextmanager
    def _watching(self, result: FileResult) -> Iterator[None]:
        """Put the block's notes and its error into a file's result, with warnings of Pillow and of networks."""
        self.notes = result.notes
        with warnings.catch_warnings(record=True) as others:
            warnings.simplefilter("always")
            try:
                yield
            except Exception as error:  # whatever it is, it must not keep the other files waiting
                result.error = error
        result.notes += [other.message for other in others if isinstance(other.message, UserWarning)]

    # -- reading and filling -----------------------------------------------------------------------------------------

    def _try_together(self, scenes: Sequence[Scene], samples: int, seed: int) -> list[list[FilledPart]]:
        """The filled parts of several scenes; empty for a single one or on failure: then each must be tried alone."""
        if len(scenes) < 2:
            return []
        try:
            return self._filled_together(scenes, samples, seed)
        except Exception as error:  # the scene that causes it will raise it again
            short = out_of_memory(error)
        if short:
            torch.cuda.empty_cache()
            self.batch_size = max(1, self.batch_size // 2)
            self._note(f"memory ran out for {len(scenes)} pictures at once; continuing with {self.batch_size}")
        return []

    def _picture(self, image: PictureLike) -> Picture:
        return read_picture(image, self._note).picture if isinstance(image, (str, Path)) else picture_from(image)

    def _open(self, task: FileTask, samples: int, grow: int, polarity: PolarityChoice, overwrite: bool) -> OpenFile:
        task.opening()
        self.check_request(samples, task.guidance)
        targets = sample_paths(Path(task.out), samples)
        format_of(targets[0])  # which they all have
        for target in targets:
            new_file(target, (), overwrite, DataError)
        file = read_picture(task.image, self._note)
        file.check_target(targets[0])
        scene = self._scene(file.picture, task.mask, grow, polarity, task.guidance)
        return OpenFile(file, targets, scene, overwrite, task)

    def _scene(
        self,
        picture: Picture,
        mask: PictureLike | None,
        grow: int,
        polarity: PolarityChoice,
        guidance: PictureLike | None,
    ) -> Scene:
        hole = find_hole(mask, picture, polarity, grow, self._note)
        picture.check_known(hole)
        if hole.all():
            self._note("the whole picture is hole: the model has nothing to go by")
        if self._compact_holes and not is_compact(hole):
            self._note(f"{self._compact_holes}; strokes and scratches may come out worse")
            self._compact_holes = None  # reported once
        return Scene(picture, hole, read_guidance(guidance, picture), opaque=mask is None)

    def _filled(self, scene: Scene, samples: int, seed: int) -> list[FilledPart]:
        """The filled parts of a scene; if memory runs out, smaller parts are tried."""
        limits, strategy, batch_size = self._limits(), self.strategy, self.batch_size
        while scene.hole.any():
            parts = plan(scene.hole, strategy, limits)
            self._note_reduced(parts, limits)
            try:
                return self._fill_parts([(scene, part) for part in parts], limits, batch_size, samples, seed)
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
            # Outside the handler, whose traceback would keep the failed attempt's tensors alive.
            torch.cuda.empty_cache()
            if batch_size > 1 and (len(parts) > 1 or parts[0].how == "tile"):
                batch_size = 1  # the first thing to try
                continue
            largest = max(
                min(limits.tile, part.box.side) if part.how in ("tile", "resize") else part.box.side for part in parts
            )
            limits, batch_size = self._smaller(limits, largest), 1
            strategy = "auto" if strategy in ("pad", "crop") else strategy  # a whole picture cannot be shown smaller
        return []

    def _filled_together(self, scenes: Sequence[Scene], samples: int, seed: int) -> list[list[FilledPart]]:
        """`_filled` for several scenes, whose parts share batches; raises where `_filled` would try smaller parts."""
        limits = self._limits()
        planned = [plan(scene.hole, self.strategy, limits) if scene.hole.any() else [] for scene in scenes]
        parts = [(scene, part) for scene, own in zip(scenes, planned, strict=True) for part in own]
        self._note_reduced([part for _, part in parts], limits)
        filled = iter(self._fill_parts(parts, limits, self.batch_size, samples, seed))
        return [[next(filled) for _ in own] for own in planned]

    def _note_reduced(self, parts: Sequence[Part], limits: Limits) -> None:
        scales = [limits.tile / part.box.side for part in parts if part.how == "resize" and part.box.side > limits.tile]
        if scales and self.strategy == "auto":
            self._note(f"a large hole is filled at {min(scales):.0%} of its size and enlarged, so it may look soft")

    def _fill_parts(
        self, parts: Sequence[tuple[Scene, Part]], limits: Limits, batch_size: int, samples: int, seed: int
    ) -> list[FilledPart]:
        pixels = affordable_pixels(self.generator, self.device, self.max_memory)
        filler = PartFiller(self.generator, self.device, self.precision, batch_size, pixels, samples, seed)
        with evaluating(self.generator):
            return filler.fill(parts, limits)

    def _limits(self, tile: int | None = None) -> Limits:
        """Sizes of parts for a tile size; None: the one asked for, or what memory allows."""
        generator = self.generator
        tile = self.tile if tile is None else tile
        if tile is None:
            pixels = affordable_pixels(generator, self.device, self.max_memory)
            tile = affordable_tile(pixels, generator.widest_view)
        least = max(generator.smallest_side, generator.size_multiple)
        tile = max(tile, least) // generator.size_multiple * generator.size_multiple
        overlap = tile // 4 if self.overlap is None else self.overlap
        return Limits(tile, min(overlap, tile // 2), generator.size_multiple)

    def _smaller(self, limits: Limits, largest: int) -> Limits:
        least = max(SMALLEST_TILE, self.generator.smallest_side, self.generator.size_multiple)
        if largest <= least:
            raise InpaintzooError(
                f"memory runs out even for {largest} pixels a side; close other programs or use a smaller model"
            )
        smaller = self._limits(max(least, min(limits.tile, largest) // 2))
        self._note(f"memory ran out for {largest} pixels a side; continuing with {smaller.tile}")
        return smaller


def _model_or_fill(model: Generator | str | Path | None, fill: str | None) -> Generator | str | Path:
    if model is not None and fill is None:
        return model
    if model is not None or fill is None:
        raise ConfigError("give either a model or a fill, such as Predictor(fill='shiftmap')")
    if fill not in FILLS:
        raise ConfigError(f"fill must be one of {', '.join(FILLS)}, got {fill!r}{did_you_mean(fill, FILLS)}")
    return FILLS[fill]()


def _compact_holes(file: Path, facts: Mapping[str, Any]) -> str | None:
    """A sentence about a model that was trained on squares and rectangles only."""
    masks = facts.get("masks")
    kind = mask_classes().get(masks) if isinstance(masks, str) else None
    return f"{file} was trained on {masks} holes" if kind is not None and kind.compact else None


@contextlib.contextmanager
def _naming(number: int) -> Iterator[None]:
    """Name the picture in errors of the block."""
    try:
        yield
    except InpaintzooError as error:
        raise type(error)(f"picture {number}: {error}") from error


def _check_settings(
    precision: str, strategy: str, tile: int | None, overlap: int | None, max_memory: float | None, batch_size: int
) -> None:
    if precision not in get_args(Precision):
        raise ConfigError(f"precision must be one of {', '.join(get_args(Precision))}, got {precision!r}")
    if strategy not in get_args(Strategy):
        raise ConfigError(f"strategy must be one of {', '.join(get_args(Strategy))}, got {strategy!r}")
    if tile is not None and tile < SMALLEST_TILE:
        raise ConfigError(f"tile must be at least {SMALLEST_TILE} pixels, got {tile}")
    if overlap is not None and overlap < 0:
        raise ConfigError(f"overlap must be 0 pixels or more, got {overlap}")
    if max_memory is not None and not 0 < max_memory < math.inf:
        raise ConfigError(f"max_memory must be a number of GiB above 0, got {max_memory}")
    if not isinstance(batch_size, int) or batch_size < 1:
        raise ConfigError(f"batch_size must be a whole number, 1 or more, got {batch_size}")
