"""The data module of procedural scenes."""

from __future__ import annotations

import os
from pathlib import Path

from lightning.pytorch.utilities import rank_zero_info

from inpaintzoo.data.classes import LabelClasses
from inpaintzoo.data.masks import MaskGenerator
from inpaintzoo.data.module import InpaintingData
from inpaintzoo.data.scenes.parts import SCENE_CLASSES, SCENE_COLOURS
from inpaintzoo.data.scenes.source import SceneSource, check_size
from inpaintzoo.data.source import ImageSource, Split


class ScenesData(InpaintingData):
    """Built-in scenes with labels and tags: every config runs on them without a download.

    Args:
        train_size: pictures in the training split.
        val_size: pictures in the validation split.
        test_size: pictures in the test split.
        image_size: side of a square or (height, width), in pixels, from 32.
        cache: paint the training and validation pictures once, before training, and keep them in memory (1.3 MB
            each at 256x256): worth it where painting, 25 to 40 ms a picture, would hold up the training.
        batch_size: samples a step and process.
        num_workers: loading processes; the samples do not depend on it.
        masks: holes for training.
        test_masks: holes for validation and test.
        seed: of pictures, order, mirroring and masks.
        manifest: JSON-lines file of pinned image-mask pairs for test; it then decides the masks of the test split.

    Raises:
        ValueError: for an argument out of range.
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

    def source(self, split: Split) -> ImageSource:
        """The scenes of a split, the same object each time."""
        return self._scenes(split)

    def _scenes(self, split: Split) -> SceneSource:
        if split not in self._sources:
            self._sources[split] = SceneSource(split, self._counts[split], self.image_size, self.seed)
        return self._sources[split]

    def setup(self, stage: str) -> None:
        """Check, and paint ahead of training where `cache` asks for it."""
        super().setup(stage)
        if stage == "fit" and self.cache:
            rank_zero_info(f"data: painting {self._counts['train'] + self._counts['val']} scenes once, to keep them")
            self._scenes("train").keep(workers=os.cpu_count() or 0)
            self._scenes("val").keep(workers=os.cpu_count() or 0)
