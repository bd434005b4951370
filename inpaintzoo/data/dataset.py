"""Pairs pictures with masks, reproducibly: a sample depends on nothing but (seed, epoch, index)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset

from inpaintzoo.data.masks import MaskGenerator
from inpaintzoo.data.source import ImageSource

# Pictures and masks have random streams of their own, so that a new augmentation does not change the masks.
IMAGE_STREAM, MASK_STREAM = 0, 1


class SampleKey(NamedTuple):
    """The key that the sampler sends to the workers; it carries the epoch, which they could not see otherwise."""

    epoch: int
    sample: int


def sample_rng(seed: int, epoch: int, index: int, stream: int) -> np.random.Generator:
    """The random numbers of one sample, the same in any process or worker."""
    return np.random.default_rng([seed, epoch, index, stream])


def evaluation_masks(masks: MaskGenerator, count: int, height: int, width: int, seed: int) -> Iterator[Tensor]:
    """The masks that evaluation with this seed draws for the first pictures, `(1, height, width)` each."""
    return (masks.draw(height, width, sample_rng(seed, 0, index, MASK_STREAM), index) for index in range(count))


class InpaintingDataset(Dataset[dict[str, Any]]):
    """Pictures with masks; samples have the keys of a `Batch`.

    Args:
        source: loads the pictures.
        masks: draws the holes, or pairs files with the pictures by name.
        seed: the same seed gives the same pairs.
        augment: for training. If False, a key's epoch is ignored, so evaluation always sees the same pairs.
    """

    def __init__(self, source: ImageSource, masks: MaskGenerator, seed: int, augment: bool) -> None:
        self.source = source
        self.masks = masks.for_pictures(source.names)
        self.seed = seed
        self.augment = augment

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, key: SampleKey | int) -> dict[str, Any]:
        epoch, index = key if isinstance(key, SampleKey) else (0, key)
        epoch = epoch if self.augment else 0
        rng = sample_rng(self.seed, epoch, index, IMAGE_STREAM) if self.augment else None
        picture = self.source.load(index, rng)
        height, width = picture.image.shape[-2:]
        mask = self.masks.draw(height, width, sample_rng(self.seed, epoch, index, MASK_STREAM), index)
        sample: dict[str, Any] = {"image": picture.image, "mask": mask, "name": picture.name, "index": index}
        if picture.labels is not None:
            sample["labels"] = picture.labels
        if picture.tags is not None:
            sample["tags"] = picture.tags
        return sample
