"""A picture of any kind and size in, the same picture out but for the hole."""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import torch

from inpaintzoo.data.masks import MASK_CLASSES
from inpaintzoo.generator import Generator
from inpaintzoo.ops import evaluating
from inpaintzoo.pictures.files import read_picture
from inpaintzoo.pictures.picture import Picture, Pixels, picture_of
from inpaintzoo.predictor.filling import Filler, Patch, Precision, Scene, out_of_memory
from inpaintzoo.predictor.holes import Polarity, is_compact, read_guidance, read_hole
from inpaintzoo.predictor.memory import affordable_pixels, affordable_tile
from inpaintzoo.predictor.planning import Limits, Part, Strategy, plan
from inpaintzoo.predictor.tasks import NO_HOLE, FileResult, FileTask, OpenFile, check_target, sample_paths, say
from inpaintzoo.types import ConfigError, InpaintzooError
from inpaintzoo.weights.checkpoints import find_checkpoint
from inpaintzoo.weights.files import load_described

SMALLEST_TILE = 64
_MOST_HELD = 64_000_000  # pixels of pictures that are held to be filled together


class Predictor:
    """Fills holes in pictures of any kind and size.

    What is known comes back bit by bit. The generator never sees what lies in the hole.

    Args:
        model: a generator, or the path of a weight file, checkpoint or run folder.
        device: `cpu`, `cuda`, `cuda:1`, and so on; `auto` takes a GPU where there is one. The model is moved there.
        precision: in which the network computes.
        strategy: `auto`, or how parts are shown to the network: `pad` the whole picture, `crop` each hole with a
            margin, `tile` overlapping tiles, `resize` scaled down; see `inpaintzoo.predictor.planning`.
        tile: longest side in pixels of what the network is shown at once; None: 512, or less if
            memory is short.
        overlap: of tiles in pixels, over which they are blended; None: a quarter of a tile.
        max_memory: GiB that may be used; None: half of what is free.
        batch_size: tiles, holes and pictures of one size that are filled at once, if memory allows.

    Raises:
        ConfigError: a value that is not allowed, or a device that cannot be used.
        WeightsError: the model cannot be loaded.
    """

    def __init__(
        self,
        model: Generator | str | Path,
        device: str = "auto",
        precision: Precision = "float32",
        strategy: Strategy = "auto",
        tile: int | None = None,
        overlap: int | None = None,
        max_memory: float | None = None,
        batch_size: int = 1,
    ) -> None:
        _check(precision, strategy, tile, overlap, max_memory, batch_size)
        self.device = _device(device)
        if precision == "float16" and self.device.type == "cpu":
            raise ConfigError("precision float16 needs a GPU; take float32 or bfloat16")
        self._compact_holes: str | None = None
        if not isinstance(model, Generator):
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

    def __call__(
        self,
        image: Pixels,
        mask: Pixels | None,
        *,
        samples: int = 1,
        seed: int = 0,
        grow: int = 0,
        polarity: Polarity = "auto",
        guidance: Pixels | None = None,
    ) -> list[Any]:
        """Fill the hole of a picture.

        Args:
            image: a path, a Pillow image, an array `(H, W)` or `(H, W, C)`, or a tensor `(C, H, W)`; C = 1 grey, 2
                grey and alpha, 3 RGB, 4 RGB and alpha; 8 or 16 bits, or floats in [0, 1].
            mask: of the picture's size as one looks at it, or of its proportions: a path, a Pillow image, an array
                `(H, W)` or a tensor `(1, H, W)`. None: the picture's own transparent pixels, which become opaque.
            samples: how many fills; more than 1 of a stochastic generator only.
            seed: of stochastic fills.
            grow: pixels by which the hole is enlarged on every side.
            polarity: the colour of the hole; `auto`: white (1, 255) in arrays, tensors and Pillow images, the rarer
                colour in files, with a note if that is black.
            guidance: for generators with patch attention, where may be copied from. Arrays and tensors as in
                `inpaintzoo.layers.attention.Guidance`; of files and Pillow images, palette indices are class ids, and
                grey levels permissions (white: may be copied from).

        Returns:
            The fills, each of the kind, size, mode and type of `image`; a Pillow image, upright, for a path.

        Raises:
            InpaintzooError: what cannot be filled; the sentence says why.
        """
        self.check_request(samples, guidance)
        picture = _picture(image)
        scene = self._scene(picture, mask, grow, polarity, guidance)
        if not scene.hole.any():
            say(NO_HOLE)
        patches = self._patches(scene, samples, seed)
        return [picture.finish(pixels) for pixels in scene.fills(patches, samples)]

    def fill_file(
        self,
        image: str | Path,
        mask: Pixels | None,
        out: str | Path,
        *,
        samples: int = 1,
        seed: int = 0,
        grow: int = 0,
        polarity: Polarity = "auto",
        guidance: Pixels | None = None,
        overwrite: bool = False,
    ) -> list[Path]:
        """Fill the hole of a picture file, and write it with all its bits and its metadata, upright.

        Args:
            image: the file.
            mask: see `__call__`, as the other arguments.
            out: the file to write; the suffix decides the format. Of several samples the first is `NAME-0.png`.
            samples: how many fills.
            seed: of stochastic fills.
            grow: pixels by which the hole is enlarged.
            polarity: the colour of the hole.
            guidance: where may be copied from.
            overwrite: whether files that are there may be replaced.

        Returns:
            The files written.

        Raises:
            InpaintzooError: what cannot be filled or written.
        """
        opened = self._open(FileTask(image, mask, out, guidance), samples, grow, polarity, overwrite)
        return opened.write(self._patches(opened.scene, samples, seed), samples)

    def fill_all(
        self,
        images: Sequence[Pixels],
        masks: Sequence[Pixels | None],
        *,
        samples: int = 1,
        seed: int = 0,
        grow: int = 0,
        polarity: Polarity = "auto",
        guidance: Sequence[Pixels | None] | None = None,
    ) -> list[list[Any]]:
        """`__call__` for several pictures, of which the network gets `batch_size` at once where they are of one size.

        Args:
            images: the pictures.
            masks: one for each.
            samples: how many fills of each.
            seed: of stochastic fills; they are those that a picture has alone.
            grow: pixels by which holes are enlarged.
            polarity: the colour of holes.
            guidance: one map for each, or None.

        Returns:
            For each picture what `__call__` returns, to rounding: a batch adds up in another order.

        Raises:
            ConfigError: there are not as many masks or maps as pictures.
            InpaintzooError: what cannot be filled; the sentence says which picture, counted from 0.
        """
        self.check_request(samples, guidance)
        maps = [None] * len(images) if guidance is None else guidance
        if not len(images) == len(masks) == len(maps):
            raise ConfigError(f"{len(images)} pictures need as many masks and maps, got {len(masks)} and {len(maps)}")
        filled: list[list[Any]] = []
        while (start := len(filled)) < len(images):
            scenes = []
            for number in range(start, min(start + self.batch_size, len(images))):
                with _named(number):
                    scenes.append(self._scene(_picture(images[number]), masks[number], grow, polarity, maps[number]))
            together = self._try_together(scenes, samples, seed)
            for number, scene in enumerate(scenes, start):
                with _named(number):
                    patches = together[number - start] if together else self._patches(scene, samples, seed)
                    filled.append([scene.picture.finish(pixels) for pixels in scene.fills(patches, samples)])
        return filled

    def fill_files(
        self,
        tasks: Iterable[FileTask],
        *,
        samples: int = 1,
        seed: int = 0,
        grow: int = 0,
        polarity: Polarity = "auto",
        overwrite: bool = False,
    ) -> Iterator[FileResult]:
        """`fill_file` for many files, of which `batch_size` are held, and filled together where they are of one size.

        A file that cannot be filled does not keep the others waiting: its result says why.

        Args:
            tasks: what to fill; taken as they are needed.
            samples: how many fills of each.
            seed: of stochastic fills.
            grow: pixels by which holes are enlarged.
            polarity: the colour of holes.
            overwrite: whether files that are there may be replaced.

        Yields:
            A result for each task, in order.
        """
        results: list[FileResult] = []
        opened: list[tuple[FileResult, OpenFile]] = []
        for task in tasks:
            results.append(FileResult(task))
            with results[-1].watching():
                opened.append((results[-1], self._open(task, samples, grow, polarity, overwrite)))
            pixels = sum(file.scene.hole.size for _, file in opened)
            if len(results) >= self.batch_size or pixels >= _MOST_HELD:
                self._fill_opened(opened, samples, seed)
                done, results, opened = results, [], []
                yield from done
        self._fill_opened(opened, samples, seed)
        yield from results

    def _fill_opened(self, opened: Sequence[tuple[FileResult, OpenFile]], samples: int, seed: int) -> None:
        """Fill files together or, where that fails, one by one: so the failure belongs to the file that causes it."""
        together: list[list[Patch]] = []
        if opened:
            with opened[0][0].watching():  # what is said of all is said once
                together = self._try_together([file.scene for _, file in opened], samples, seed)
        for number, (result, file) in enumerate(opened):
            with result.watching():
                patches = together[number] if together else self._patches(file.scene, samples, seed)
                result.files = file.write(patches, samples)

    def _try_together(self, scenes: Sequence[Scene], samples: int, seed: int) -> list[list[Patch]]:
        """What fills several scenes; nothing if there is one only, or if it fails: then each is to be tried alone."""
        if len(scenes) < 2:
            return []
        with warnings.catch_warnings(record=True) as notes:
            warnings.simplefilter("always")
            try:
                patches = self._patches_together(scenes, samples, seed)
            except Exception as error:  # whatever it is, it is said of the scene that causes it
                patches, notes = [], []
                short = out_of_memory(error)
            else:
                short = False
        if short:
            self._free()
            self.batch_size = max(1, self.batch_size // 2)
            say(f"memory ran out for {len(scenes)} pictures at once; going on with {self.batch_size}")
        for note in notes:
            warnings.warn(note.message, stacklevel=3)
        return patches

    def _free(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _open(self, task: FileTask, samples: int, grow: int, polarity: Polarity, overwrite: bool) -> OpenFile:
        self.check_request(samples, task.guidance)
        targets = sample_paths(Path(task.out), samples)
        for target in targets:
            check_target(target, overwrite)
        file = read_picture(task.image)
        file.check_target(targets[0])
        scene = self._scene(file.picture, task.mask, grow, polarity, task.guidance)
        return OpenFile(file, targets, scene, overwrite)

    def check_request(self, samples: int, guidance: object) -> None:
        """Raise `ConfigError` if the generator has no such fills.

        Args:
            samples: how many are wanted.
            guidance: a map, or None.
        """
        name = type(self.generator).__name__
        if samples < 1:
            raise ConfigError(f"samples must be 1 or more, got {samples}")
        if samples > 1 and not self.generator.stochastic:
            raise ConfigError(f"{name} is deterministic: it has one fill for a hole; leave out samples={samples}")
        if guidance is not None and not self.generator.accepts_guidance:
            raise ConfigError(f"{name} has no patch attention that guidance could steer; leave it out")

    def _scene(
        self, picture: Picture, mask: Pixels | None, grow: int, polarity: Polarity, guidance: Pixels | None
    ) -> Scene:
        hole = read_hole(mask, picture, polarity, grow)
        picture.check_known(hole)
        if hole.all():
            say("the whole picture is hole: the model has nothing to go by")
        if self._compact_holes and not is_compact(hole):
            say(f"{self._compact_holes}; strokes and scratches may come out worse")
            self._compact_holes = None  # said once
        return Scene(picture, hole, read_guidance(guidance, picture), opaque=mask is None)

    def _patches(self, scene: Scene, samples: int, seed: int) -> list[Patch]:
        """What fills a scene's hole; where memory runs out, smaller parts are tried."""
        limits, strategy, batch_size = self._limits(), self.strategy, self.batch_size
        while scene.hole.any():
            parts = plan(scene.hole, strategy, limits)
            try:
                return self._fill_parts([(scene, part) for part in parts], limits, batch_size, samples, seed)
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
            # Outside the handler, where the failed attempt's tensors are no longer held by its traceback.
            self._free()
            if batch_size > 1 and (len(parts) > 1 or parts[0].how == "tile"):
                batch_size = 1  # before parts become smaller
                continue
            largest = max(
                min(limits.tile, part.box.side) if part.how in ("tile", "resize") else part.box.side for part in parts
            )
            limits, strategy, batch_size = self._smaller(limits, largest), _without_frames(strategy), 1
        return []

    def _patches_together(self, scenes: Sequence[Scene], samples: int, seed: int) -> list[list[Patch]]:
        """The same of several scenes, whose parts share batches; it raises where `_patches` would try smaller parts."""
        limits = self._limits()
        planned = [plan(scene.hole, self.strategy, limits) if scene.hole.any() else [] for scene in scenes]
        parts = [(scene, part) for scene, own in zip(scenes, planned, strict=True) for part in own]
        patches = iter(self._fill_parts(parts, limits, self.batch_size, samples, seed))
        return [[next(patches) for _ in own] for own in planned]

    def _fill_parts(
        self, parts: Sequence[tuple[Scene, Part]], limits: Limits, batch_size: int, samples: int, seed: int
    ) -> list[Patch]:
        pixels = affordable_pixels(self.generator, self.device, self.max_memory)
        filler = Filler(self.generator, self.device, self.precision, batch_size, pixels, samples, seed)
        with evaluating(self.generator):
            return filler.fill(parts, limits)

    def _limits(self, tile: int | None = None) -> Limits:
        """What parts may look like, with tiles of a size, or of the one that was asked for or is affordable."""
        generator = self.generator
        tile = self.tile if tile is None else tile
        if tile is None:
            tile = affordable_tile(affordable_pixels(generator, self.device, self.max_memory))
        least = max(generator.smallest_side, generator.size_multiple)
        tile = max(tile, least) // generator.size_multiple * generator.size_multiple
        overlap = tile // 4 if self.overlap is None else self.overlap
        return Limits(tile, min(overlap, tile // 2), generator.size_multiple)

    def _smaller(self, limits: Limits, largest: int) -> Limits:
        least = max(SMALLEST_TILE, self.generator.smallest_side, self.generator.size_multiple)
        if largest <= least:
            raise InpaintzooError(
                f"memory runs out even for {largest} pixels a side; close other programs or take a smaller model"
            )
        smaller = self._limits(max(least, min(limits.tile, largest) // 2))
        say(f"memory ran out for {largest} pixels a side; going on with {smaller.tile}")
        return smaller


def _compact_holes(file: Path, facts: Mapping[str, Any]) -> str | None:
    """A sentence on a model that has seen no other holes than squares and rectangles."""
    masks = facts.get("masks")
    kind = MASK_CLASSES.get(masks) if isinstance(masks, str) else None
    return f"{file} was trained on {masks} holes" if kind is not None and kind.compact else None


def _picture(image: Pixels) -> Picture:
    return read_picture(image).picture if isinstance(image, (str, Path)) else picture_of(image)


@contextlib.contextmanager
def _named(number: int) -> Iterator[None]:
    """Say which of several pictures an error is about."""
    try:
        yield
    except InpaintzooError as error:
        raise type(error)(f"picture {number}: {error}") from error


def _without_frames(strategy: Strategy) -> Strategy:
    """What is shown whole cannot be shown smaller."""
    return "auto" if strategy in ("pad", "crop") else strategy


def _check(
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


def _device(device: str) -> torch.device:
    name = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    try:
        return torch.zeros((), device=name).device
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"device {device} cannot be used ({reason}); auto takes what there is") from error
