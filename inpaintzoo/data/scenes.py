"""Built-in scenes as data: the image source that paints them, and the data module that trains on them."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from lightning.pytorch.utilities import rank_zero_info
from torch.utils.data import DataLoader

from inpaintzoo.data.labels.classes import LabelClasses
from inpaintzoo.data.masks import MaskGenerator
from inpaintzoo.data.module import InpaintingData
from inpaintzoo.data.source import ImageSource, Sample
from inpaintzoo.scenes.compose import paint_scene
from inpaintzoo.scenes.parts import PART_CLASS, SCENE_CLASSES, SCENE_COLOURS, tag_vector
from inpaintzoo.scenes.parts import SCENE_TAGS as SCENE_TAGS
from inpaintzoo.types import SPLITS, Split

SCENES_VERSION = "scenes-1"
"""Part of every fingerprint; changes whenever scenes look different."""

MIN_SIZE, MAX_SIZE = 32, 4096


def check_size(owner: str, size: int | Sequence[int]) -> tuple[int, int]:
    """Height and width in pixels from one number or two.

    Raises:
        ValueError: unless it is one or two whole numbers from 32 to 4096.
    """
    sides = (size, size) if isinstance(size, int) else tuple(size)
    whole = all(isinstance(side, int) and not isinstance(side, bool) for side in sides)
    if len(sides) != 2 or not whole or not all(MIN_SIZE <= side <= MAX_SIZE for side in sides):
        raise ValueError(
            f"{owner} must be one side or (height, width) in pixels, each from {MIN_SIZE} to {MAX_SIZE}, got {size!r}"
        )
    return sides[0], sides[1]


class SceneSource(ImageSource):
    """Painted landscapes and streets with exact labels, made on demand.

    A picture depends on (seed, split, index) alone: no two splits or seeds share one, any process paints it
    identically, and another size shows the same scene at another resolution.

    Args:
        split: `train`, `val` or `test`.
        count: number of pictures.
        size: side of a square or (height, width), in pixels, from 32.
        seed: another seed gives other pictures.
        flip: whether training (`load` with `rng`) mirrors half of the pictures, labels included.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self, split: Split, count: int, size: int | tuple[int, int] = 256, seed: int = 0, flip: bool = True
    ) -> None:
        if split not in SPLITS:
            raise ValueError(f"SceneSource: split must be one of {', '.join(SPLITS)}, got {split!r}")
        if count < 1:
            raise ValueError(f"SceneSource: count must be at least 1, got {count}")
        if seed < 0:
            raise ValueError(f"SceneSource: seed must be 0 or more, got {seed}")
        self.split: Split = split
        self.size = check_size("SceneSource: size", size)
        self.seed = seed
        self.flip = flip
        self.names = [f"scene-{split}-{index:06d}" for index in range(count)]
        self._kept: list[Sample] = []

    def keep(self, workers: int = 0) -> None:
        """Paint all pictures now and keep them in memory, so that later epochs need not paint.

        A picture takes 20 bytes per pixel (1.3 MB at 256x256) and the time of one `load`.

        Args:
            workers: processes that paint; 0 paints in this one.
        """
        if not self._kept:
            # A DataLoader's workers return pictures in order, in shared memory. They are copied out of it, since it is
            # scarce and each picture would keep a file open.
            painted: DataLoader[Sample] = DataLoader(self, batch_size=None, num_workers=workers)  # type: ignore[arg-type]
            self._kept = [_copied(sample) for sample in painted]

    def __getitem__(self, index: int) -> Sample:
        return self.load(index)

    def load(self, index: int, rng: np.random.Generator | None = None) -> Sample:
        """Paint a picture: image, labels (indices into `SCENE_CLASSES`) and tags (as `SCENE_TAGS`).

        Args:
            index: from 0.
            rng: decides whether to mirror; None never does.
        """
        picture = self._kept[self._checked(index)] if self._kept else self._paint(index)
        if rng is not None and self.flip and rng.random() < 0.5:
            assert picture.labels is not None
            return dataclasses.replace(picture, image=picture.image.flip(-1), labels=picture.labels.flip(-1))
        return picture

    def _paint(self, index: int) -> Sample:
        canvas = paint_scene((self.seed, SPLITS.index(self.split), self._checked(index)), *self.size)
        image = torch.from_numpy(canvas.image).permute(2, 0, 1).contiguous()
        labels = torch.from_numpy(PART_CLASS[canvas.parts].astype(np.int64))
        tags = torch.from_numpy(tag_vector(canvas.parts, canvas.notes))
        return Sample(image, self.names[index], labels, tags)

    def fingerprint(self, index: int) -> str:
        """SHA-256 (hex) of the recipe: version, seed, split, index and size."""
        height, width = self.size
        recipe = f"{SCENES_VERSION} seed={self.seed} split={self.split} index={self._checked(index)} {height}x{width}"
        return hashlib.sha256(recipe.encode()).hexdigest()

    def _checked(self, index: int) -> int:
        if not 0 <= index < len(self.names):
            raise IndexError(f"scene {index} of split {self.split}: there are {len(self.names)}, counted from 0")
        return int(index)


def _copied(sample: Sample) -> Sample:
    labels = None if sample.labels is None else sample.labels.clone()
    tags = None if sample.tags is None else sample.tags.clone()
    return dataclasses.replace(sample, image=sample.image.clone(), labels=labels, tags=tags)


class ScenesData(InpaintingData):
    """Built-in scenes with labels and tags, on which every config runs without a download.

    Args:
        train_size: pictures in the training split.
        val_size: pictures in the validation split.
        test_size: pictures in the test split.
        image_size: side of a square or (height, width), in pixels, from 32.
        cache: paint training and validation pictures once, before training, and keep them in memory (1.3 MB each at
            256x256); worth it if painting, at 25 to 40 ms per picture, would slow the training down.
        batch_size: samples per step and process.
        num_workers: loading processes; samples do not depend on it.
        masks: holes for training.
        test_masks: holes for validation and test.
        seed: seeds pictures, order, mirroring and masks.
        manifest: JSON-lines file of pinned image-mask pairs, which then decides the masks of the test split.

    Raises:
        ValueError: an argument is out of range.
    """

    classes = LabelClasses(SCENE_CLASSES, SCENE_COLOURS)

    def __init__(
        self,
        train_size: int = 2000,
        val_size: int = 64,
        test_size: int = 100,
        image_size: int | tuple[int, int] = 256,
        cache: bool = False,
        batch_size: int = 16,
        num_workers: int = 2,
        masks: MaskGenerator | None = None,
        test_masks: MaskGenerator | None = None,
        seed: int = 0,
        manifest: str | Path | None = None,
    ) -> None:
        super().__init__(
            batch_size=batch_size,
            num_workers=num_workers,
            masks=masks,
            test_masks=test_masks,
            seed=seed,
            manifest=manifest,
        )
        for name, count in (("train_size", train_size), ("val_size", val_size), ("test_size", test_size)):
            if count < 1:
                raise ValueError(f"ScenesData: {name} must be at least 1 picture, got {count}")
        if seed < 0:
            raise ValueError(f"ScenesData: seed must be 0 or more, got {seed}")
        self.image_size = check_size("ScenesData: image_size", image_size)
        self.cache = cache
        self._counts: dict[Split, int] = {"train": train_size, "val": val_size, "test": test_size}
        self._sources: dict[Split, SceneSource] = {}

    @property
    def picture_size(self) -> tuple[int, int]:  # noqa: D102
        return self.image_size

    def source(self, split: Split) -> ImageSource:
        """The scenes of a split, the same object each time."""
        return self._scenes(split)

    def _scenes(self, split: Split) -> SceneSource:
        if split not in self._sources:
            self._sources[split] = SceneSource(split, self._counts[split], self.image_size, self.seed)
        return self._sources[split]

    def setup(self, stage: str) -> None:
        """Check the data, and paint before training if `cache` is set."""
        super().setup(stage)
        if stage == "fit" and self.cache:
            rank_zero_info(f"data: painting {self._counts['train'] + self._counts['val']} scenes once, to keep them")
            self._scenes("train").keep(workers=os.cpu_count() or 0)
            self._scenes("val").keep(workers=os.cpu_count() or 0)
