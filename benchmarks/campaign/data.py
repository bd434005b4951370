"""The general model's data: photographs mixed with built-in scenes, and holes in the shape of objects."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from inpaintzoo.data.folder import FolderSource
from inpaintzoo.data.masks import MaskGenerator
from inpaintzoo.data.module import InpaintingData
from inpaintzoo.data.scenes import SceneSource
from inpaintzoo.data.source import ImageSource, Sample
from inpaintzoo.data.transforms import ColourJitter, RandomCrop, ResizeTo
from inpaintzoo.types import DataError, Split

SCENES = 20_000


class MixedSource(ImageSource):
    """Each picture is a crop of a random photograph or, with probability `scene_share`, a random built-in scene."""

    def __init__(self, photographs: FolderSource, scenes: SceneSource, scene_share: float, count: int) -> None:
        self.photographs, self.scenes, self.scene_share = photographs, scenes, scene_share
        self.names = [f"mixed-{index:06d}" for index in range(count)]

    def load(self, index: int, rng: np.random.Generator | None = None) -> Sample:  # noqa: D102
        if rng is None:
            raise DataError("MixedSource draws its pictures at random, so it is for training only")
        source: ImageSource = self.scenes if rng.random() < self.scene_share else self.photographs
        return Sample(source.load(int(rng.integers(len(source))), rng).image, self.names[index])

    def fingerprint(self, index: int) -> str:  # noqa: D102
        raise DataError("MixedSource draws its pictures at random, so they have no fingerprint")


class PhotographsAndScenes(InpaintingData):
    """Trains on photographs and scenes, judges on held-back crops.

    Args:
        train: folder of photographs, each at several scales, so that random crops are of several scales too.
        held_back: folder of square crops of other photographs.
        size: side of the pictures in pixels.
        scene_share: share of scenes among the training pictures.
        train_size: training pictures in an epoch.
        batch_size: samples per step and process.
        num_workers: loading processes; samples do not depend on it.
        masks: holes for training.
        test_masks: holes for validation and test.
        seed: seeds pictures, order and masks.
    """

    def __init__(
        self,
        train: str,
        held_back: str,
        size: int = 256,
        scene_share: float = 0.25,
        train_size: int = 8000,
        batch_size: int = 16,
        num_workers: int = 12,
        masks: MaskGenerator | None = None,
        test_masks: MaskGenerator | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(batch_size, num_workers, masks, test_masks, seed)
        photographs = FolderSource(Path(train), transform=RandomCrop(size), flip=True, colour_jitter=ColourJitter())
        scenes = SceneSource("train", SCENES, size, seed)
        self._train = MixedSource(photographs, scenes, scene_share, train_size)
        self._held_back = FolderSource(Path(held_back), transform=ResizeTo(size))

    def source(self, split: Split) -> ImageSource:  # noqa: D102
        return self._train if split == "train" else self._held_back


class ObjectMasks(MaskGenerator):
    """Holes in the shape of a connected part of a random scene's label map, grown by up to `grow` pixels.

    Args:
        share: smallest and largest hole ratio before growing.
        grow: most pixels by which the hole grows on every side.
    """

    def __init__(self, share: tuple[float, float] = (0.03, 0.4), grow: int = 8) -> None:
        if not 0 <= share[0] < share[1] <= 1:
            raise ValueError(f"ObjectMasks: share must be two rising numbers in [0, 1], got {share}")
        if grow < 1:
            raise ValueError(f"ObjectMasks: grow must be at least 1 pixel, got {grow}")
        self.share, self.grow = tuple(share), grow

    def draw(self, height: int, width: int, rng: np.random.Generator, index: int) -> Tensor:  # noqa: D102
        scenes = SceneSource("train", SCENES, (height, width))
        for _ in range(1000):
            labels = scenes.load(int(rng.integers(SCENES))).labels
            assert labels is not None
            parts, _ = ndimage.label(labels.numpy() == rng.choice(np.unique(labels)))
            ratios = np.bincount(parts.ravel())[1:] / parts.size
            fitting = 1 + np.flatnonzero((ratios >= self.share[0]) & (ratios <= self.share[1]))
            if len(fitting):
                steps = int(rng.integers(1, self.grow, endpoint=True))
                hole = ndimage.binary_dilation(parts == rng.choice(fitting), iterations=steps)
                return torch.from_numpy(hole[None].astype(np.float32))
        raise DataError(f"ObjectMasks: no scene has a part with a hole ratio in {self.share}; widen share")
