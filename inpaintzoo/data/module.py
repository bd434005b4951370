"""The LightningDataModule that every data set of the zoo shares."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any

import torch
from lightning import LightningDataModule
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn

from inpaintzoo.data.dataset import InpaintingDataset
from inpaintzoo.data.findings import Finding, raise_errors
from inpaintzoo.data.loader import EpochSampler, ResumableLoader
from inpaintzoo.data.masks import CentreSquare, MaskGenerator
from inpaintzoo.data.source import ImageSource, Split


class InpaintingData(LightningDataModule):
    """Pictures and masks for fit, validate, test and predict; a subclass says where the pictures come from.

    Args:
        batch_size: samples a step and process.
        num_workers: loading processes; the samples do not depend on it.
        masks: holes for training.
        test_masks: holes for validation and test.
        seed: of order, augmentation and masks.
        manifest: JSON-lines file of pinned image-mask pairs for test (`inpaintzoo masks pair` makes one);
            it then decides the masks of the test split.
    """

    def __init__(
        self,
        batch_size: int = 16,
        num_workers: int = 2,
        masks: MaskGenerator | None = None,
        test_masks: MaskGenerator | None = None,
        seed: int = 0,
        manifest: str | Path | None = None,
    ) -> None:
        super().__init__()
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        if num_workers < 0:
            raise ValueError(f"num_workers must be 0 or more, got {num_workers}")
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.masks = masks or CentreSquare()
        self.test_masks = test_masks or CentreSquare()
        self.seed = seed
        self.manifest = manifest

    @abstractmethod
    def source(self, split: Split) -> ImageSource:
        """The pictures of a split; called once for each split that is used."""

    def check(self, splits: tuple[Split, ...] = ("train", "val", "test"), thorough: bool = False) -> list[Finding]:
        """Look at the data before anything starts; subclasses look closer.

        Args:
            splits: those that will be used.
            thorough: open every file (`inpaintzoo doctor`) instead of a quick look.
        """
        return [Finding("ok", f"{split}: {len(self.source(split))} images") for split in splits]
