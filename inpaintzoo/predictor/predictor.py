"""A picture of any kind and size in, the same picture out but for the hole."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch

from inpaintzoo.data.images import is_image_name
from inpaintzoo.generator import Generator
from inpaintzoo.modes import evaluating
from inpaintzoo.predictor.files import read_picture
from inpaintzoo.predictor.filling import Filler, Patch, Precision, Scene, out_of_memory
from inpaintzoo.predictor.holes import Polarity, read_guidance, read_hole
from inpaintzoo.predictor.memory import affordable_tile
from inpaintzoo.predictor.pictures import Picture, Pixels, picture_of
from inpaintzoo.predictor.planning import Limits, Strategy, plan
from inpaintzoo.types import ConfigError, DataError, InpaintzooError
from inpaintzoo.weights.checkpoints import find_checkpoint
from inpaintzoo.weights.files import load_model, write_whole

SMALLEST_TILE = 64


class PredictorWarning(UserWarning):
    """What is worth knowing about a fill, such as that memory allowed smaller tiles only."""


class JpegWarning(PredictorWarning):
    """A file format that does not keep known pixels as they are."""


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
        batch_size: tiles filled at once.

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
        generator = model if isinstance(model, Generator) else load_model(find_checkpoint(model))
        self.generator = generator.to(self.device)
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
                `inpaintzoo.layers.guidance`; of files and Pillow images, palette indices are class ids, and grey levels
                permissions (white: may be copied from).

        Returns:
            The fills, each of the kind, size, mode and type of `image`; a Pillow image, upright, for a path.

        Raises:
            InpaintzooError: what cannot be filled; the sentence says why.
        """
        self._check_request(samples, guidance)
        picture = read_picture(image).picture if isinstance(image, (str, Path)) else picture_of(image)
        scene = self._scene(picture, mask, grow, polarity, guidance)
        return [picture.finish(pixels) for pixels in self._fills(scene, samples, seed, mask is None)]

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
        self._check_request(samples, guidance)
        targets = sample_paths(Path(out), samples)
        for target in targets:
            _check_target(target, overwrite)
        file = read_picture(image)
        file.check_target(targets[0])
        scene = self._scene(file.picture, mask, grow, polarity, guidance)
        if not scene.hole.any() and _same_format(file.path, targets[0]):
            _say(f"{image}: the mask has no hole, so the file is copied as it is")
            for target in targets:
                write_whole(target, lambda copy: shutil.copyfile(file.path, copy))
            return targets
        if targets[0].suffix.lower() in (".jpg", ".jpeg"):
            text = f"{targets[0]}: JPEG changes known pixels a little; write .png to keep each of them"
            warnings.warn(text, JpegWarning, stacklevel=2)
        for target, pixels in zip(targets, self._fills(scene, samples, seed, mask is None), strict=True):
            file.write(pixels, target)
        return targets

    def _check_request(self, samples: int, guidance: Pixels | None) -> None:
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
            _say("the whole picture is hole: the model has nothing to go by")
        return Scene(picture, hole, read_guidance(guidance, picture))

    def _fills(self, scene: Scene, samples: int, seed: int, from_alpha: bool) -> Iterator[np.ndarray]:
        """Pixels stored like the picture's, one array a sample."""
        if not scene.hole.any():
            _say("the mask has no hole, so the picture comes back as it is")
        patches = self._patches(scene, samples, seed) if scene.hole.any() else []
        for number in range(samples):
            pixels = scene.picture.stored.copy()
            if from_alpha and patches:
                upright = scene.picture.upright(pixels)
                upright[scene.hole] = scene.picture.colours.opaque(upright[scene.hole])
            for patch in patches:
                scene.picture.paste(pixels, patch.box, patch.hole, patch.image(number))
            yield pixels

    def _patches(self, scene: Scene, samples: int, seed: int) -> list[Patch]:
        limits, strategy, batch_size = self._limits(self.tile), self.strategy, self.batch_size
        while True:
            parts = plan(scene.hole, strategy, limits)
            filler = Filler(self.generator, self.device, self.precision, batch_size, samples, seed)
            try:
                with evaluating(self.generator):
                    return [filler.fill(scene, part, limits) for part in parts]
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
            # Outside the handler, where the failed attempt's tensors are no longer held by its traceback.
            largest = max(
                min(limits.tile, part.box.side) if part.how in ("tile", "resize") else part.box.side for part in parts
            )
            limits, strategy, batch_size = self._smaller(limits, largest), _without_frames(strategy), 1

    def _limits(self, tile: int | None) -> Limits:
        generator = self.generator
        tile = affordable_tile(generator, self.device, self.max_memory) if tile is None else tile
        least = max(generator.smallest_side, generator.size_multiple)
        tile = max(tile, least) // generator.size_multiple * generator.size_multiple
        overlap = tile // 4 if self.overlap is None else self.overlap
        return Limits(tile, min(overlap, tile // 2), generator.size_multiple)

    def _smaller(self, limits: Limits, largest: int) -> Limits:
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        least = max(SMALLEST_TILE, self.generator.smallest_side, self.generator.size_multiple)
        if largest <= least:
            raise InpaintzooError(
                f"memory runs out even for {largest} pixels a side; close other programs or take a smaller model"
            )
        smaller = self._limits(max(least, min(limits.tile, largest) // 2))
        _say(f"memory ran out for {largest} pixels a side; going on with {smaller.tile}")
        return smaller


def sample_paths(out: Path, samples: int) -> list[Path]:
    """The files that several samples are written to: `out` itself if there is one, else `NAME-0.png` and so on."""
    if samples == 1:
        return [out]
    return [out.with_name(f"{out.stem}-{number}{out.suffix}") for number in range(samples)]


def _same_format(one: Path, other: Path) -> bool:
    short = {".jpeg": ".jpg", ".tiff": ".tif"}
    first, second = one.suffix.lower(), other.suffix.lower()
    return short.get(first, first) == short.get(second, second)


def _without_frames(strategy: Strategy) -> Strategy:
    """What is shown whole cannot be shown smaller."""
    return "auto" if strategy in ("pad", "crop") else strategy


def _check_target(target: Path, overwrite: bool) -> None:
    if not is_image_name(target):
        raise DataError(f"{target}: cannot tell the format; name it .png, .tif, .webp, .bmp or .jpg")
    if not target.parent.is_dir():
        raise DataError(f"{target}: there is no folder {target.parent}")
    if target.is_dir() or (target.exists() and not overwrite):
        raise DataError(f"{target} is there already; name another file or allow to overwrite it (--force)")


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
    if max_memory is not None and max_memory <= 0:
        raise ConfigError(f"max_memory must be above 0 GiB, got {max_memory}")
    if batch_size < 1:
        raise ConfigError(f"batch_size must be 1 or more, got {batch_size}")


def _device(device: str) -> torch.device:
    name = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    try:
        return torch.zeros((), device=name).device
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"device {device} cannot be used ({reason}); auto takes what there is") from error


def _say(text: str) -> None:
    warnings.warn(text, PredictorWarning, stacklevel=4)
