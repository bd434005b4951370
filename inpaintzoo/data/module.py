"""The LightningDataModule behind every data set of the zoo."""

from __future__ import annotations

import functools
from abc import abstractmethod
from pathlib import Path
from typing import Any

import torch
from lightning import LightningDataModule
from torch.utils.data import DataLoader

from inpaintzoo.data.dataset import MASK_STREAM, InpaintingDataset, sample_rng
from inpaintzoo.data.findings import Finding, act_upon
from inpaintzoo.data.labels.classes import LabelClasses
from inpaintzoo.data.loader import EpochSampler, ResumableLoader
from inpaintzoo.data.manifest import Manifest, PinnedMasks
from inpaintzoo.data.masks import CentreSquare, MaskGenerator
from inpaintzoo.data.source import ImageSource
from inpaintzoo.types import SPLITS, DataError, Split

_MOST_WORKERS = 512  # each has open files and memory of its own, and few machines have more cores


class InpaintingData(LightningDataModule):
    """Pictures and masks for fit, validate, test and predict; a subclass provides the pictures.

    Args:
        batch_size: samples per step and process.
        num_workers: loading processes; samples do not depend on it.
        masks: holes for training.
        test_masks: holes for validation and test.
        seed: seeds the order, the augmentation and the masks.
        manifest: JSON-lines file of pinned image-mask pairs (`inpaintzoo masks pair` makes one), which then decides
            the masks of the test split.

    Attributes:
        classes: names and colours of the classes in label maps, if known.
        loads_labels: whether label maps are read; `setup` sets it to False if nothing in the run needs them.
        highest_label: the largest class that `check` has found in label maps, None if it has not looked.
    """

    classes: LabelClasses | None = None
    loads_labels: bool = True
    highest_label: int | None = None

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
        if not 0 <= num_workers <= _MOST_WORKERS:
            raise ValueError(f"num_workers must be 0 to {_MOST_WORKERS} processes, got {num_workers}")
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.masks = masks or CentreSquare()
        self.test_masks = test_masks or CentreSquare()
        self.seed = seed
        self.manifest = manifest

    @property
    def label_count(self) -> int | None:
        """Number of classes in label maps, if known from the settings."""
        return len(self.classes) if self.classes else None

    @property
    def picture_size(self) -> tuple[int, int] | None:
        """Height and width of every picture in pixels, if known from the settings."""
        return None

    @abstractmethod
    def source(self, split: Split) -> ImageSource:
        """The pictures of a split; a subclass returns the same object each time."""

    def check(self, splits: tuple[Split, ...] = SPLITS, thorough: bool = False) -> list[Finding]:
        """Check the data before a run; subclasses check more.

        Args:
            splits: the splits that will be used.
            thorough: open every file, as `inpaintzoo doctor` does, instead of a quick look.
        """
        findings = [Finding("ok", f"{split}: {len(self.source(split))} images") for split in splits]
        if "train" in splits:
            findings += self._check_masks("train", self.masks)
            findings += self._check_batch()
        if "val" in splits or ("test" in splits and not self.manifest):
            findings += self._check_masks("val" if "val" in splits else "test", self.test_masks)
        if "test" in splits and self.manifest:
            findings += PinnedMasks(self.pinned).check()
        return findings

    def _check_masks(self, split: Split, masks: MaskGenerator) -> list[Finding]:
        """What the generator says, and whether it draws a mask for the first picture."""
        source = self.source(split)
        try:
            masks = masks.for_pictures(source.names)
        except DataError as error:
            return [Finding("error", f"{split}: {error}")]
        findings = masks.check()
        try:
            height, width = source.load(0).image.shape[-2:]
        except DataError:  # found by the checks of the files
            return findings
        try:
            mask = masks.draw(height, width, sample_rng(self.seed, 0, 0, MASK_STREAM), 0)
            if mask.shape != (1, height, width) or mask.dtype != torch.float32 or ((mask != 0) & (mask != 1)).any():
                raise DataError(
                    f"a mask must be (1, {height}, {width}) float32 with 0 and 1, got {tuple(mask.shape)} {mask.dtype} "
                    f"from {mask.min():g} to {mask.max():g}"
                )
        except Exception as error:  # the class may be the user's own
            said = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
            text = f"{split}: {type(masks).__name__} cannot draw a mask of {height}x{width} ({said})"
            findings = [*findings, Finding("error", f"{text}; correct its settings or its draw method")]
        return findings

    def _check_batch(self) -> list[Finding]:
        count = len(self.source("train"))
        if count < self.batch_size * self._world_size:
            processes = f" in each of {self._world_size} processes" if self._world_size > 1 else ""
            return [
                Finding(
                    "error",
                    f"{count} training images do not fill one batch of {self.batch_size}{processes}, so no step would "
                    f"ever run; lower --data.batch_size or add images",
                )
            ]
        return []

    # ---------------------------------------------------------------- Lightning's hooks

    def setup(self, stage: str) -> None:
        """Check the data that this stage will use, and print or raise what was found."""
        used: dict[str, tuple[Split, ...]] = {
            "fit": ("train", "val"),
            "validate": ("val",),
            "test": ("test",),
            "predict": ("test",),
        }
        if self.trainer is not None and self.trainer.sanity_checking:
            return
        # A module other than an Inpainter has no `reads_labels`; it gets the labels.
        model = self.trainer.lightning_module if self.trainer is not None else None
        self.loads_labels = stage != "predict" and getattr(model, "reads_labels", True)
        check_size = getattr(model, "check_size", None)
        if self.picture_size and check_size is not None:  # before a picture is read or painted
            check_size(*self.picture_size, training=stage == "fit")
        act_upon(self.check(used[stage]))

    def train_dataloader(self) -> DataLoader[Any]:
        """Shuffled, augmented batches; they depend on seed and epoch, not on the workers."""
        return self._loader("train", self.masks)

    def val_dataloader(self) -> DataLoader[Any]:
        """The validation pairs, in order."""
        return self._loader("val", self.test_masks)

    def test_dataloader(self) -> DataLoader[Any]:
        """The test pairs, in order; those of the manifest if there is one."""
        return self._loader("test", PinnedMasks(self.pinned) if self.manifest else self.test_masks)

    def predict_dataloader(self) -> DataLoader[Any]:
        """The same pairs as for test."""
        return self.test_dataloader()

    @functools.cached_property
    def pinned(self) -> Manifest:
        """The test pairs: read from `manifest` and checked against the pictures, or pinned now.

        Raises:
            DataError: a manifest that does not fit the pictures, or masks that cannot be pinned.
        """
        source = self.source("test")
        if self.manifest:
            pinned = Manifest.load(self.manifest)
            pinned.verify(source)
            return pinned
        height, width = source.load(0).image.shape[-2:]
        return Manifest.make(source, self.test_masks, self.seed, height, width, type(self).__name__)

    def _loader(self, split: Split, masks: MaskGenerator) -> DataLoader[Any]:
        training = split == "train"
        dataset = InpaintingDataset(self.source(split), masks, self.seed, augment=training)
        rank = self.trainer.global_rank if self.trainer else 0
        sampler = EpochSampler(dataset, training, self.seed, rank, self._world_size)
        loader: type[DataLoader[Any]] = ResumableLoader if training else DataLoader
        return loader(
            dataset,
            sampler=sampler,
            batch_size=self.batch_size,
            num_workers=self.num_workers,
            drop_last=training,
            persistent_workers=self.num_workers > 0 and training,
            pin_memory=torch.cuda.is_available(),
        )

    @property
    def _world_size(self) -> int:
        return self.trainer.world_size if self.trainer else 1
