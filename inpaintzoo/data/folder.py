"""Your own image files as data: the image source, and the data module that trains on it."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from inpaintzoo.data.checks import by_reason, check_files, check_overlap, find_unreadable, look_at_some
from inpaintzoo.data.findings import Finding
from inpaintzoo.data.known import KNOWN_SETS
from inpaintzoo.data.labels.classes import LabelClasses
from inpaintzoo.data.labels.contents import (
    check_class_count,
    check_label_maps,
    check_label_range,
    check_proportions,
    classes_of,
)
from inpaintzoo.data.labels.matching import match_labels, without_label_maps
from inpaintzoo.data.listing import FileSet, find_files, split_by_fractions, without_masks
from inpaintzoo.data.manifest import PinnedMasks
from inpaintzoo.data.masks import MaskFolder, MaskGenerator
from inpaintzoo.data.masks.pairing import masks_among
from inpaintzoo.data.masks.reading import is_no_mask, sample_positions
from inpaintzoo.data.module import InpaintingData
from inpaintzoo.data.source import ImageSource, Sample
from inpaintzoo.data.transforms import ColourJitter, Crop, ResizePolicy, ResizeTo, flip_pair
from inpaintzoo.files.writing import file_digest
from inpaintzoo.pictures.images import decode_rgb, note_left_out, open_image, read_labels, upright_size
from inpaintzoo.types import IGNORE, SPLITS, DataError, Split
from inpaintzoo.words import counted, did_you_mean, listed, some

# Subfolders, in lower case, that hold something else than pictures.
_NO_PICTURES = (
    "mask",
    "masks",
    "label",
    "labels",
    "segmentation",
    "segmentations",
    "annotations",
    "gtfine",
    "gtcoarse",
)

BadImages = Literal["raise", "skip"]


class FolderSource(ImageSource):
    """Pictures from files, with their label maps where there are any.

    A picture's name is its path below the folder without the suffix, which only files that share a stem keep. Training
    (`rng` given) crops at random, flips and jitters, and decodes large JPEG files at a reduced scale that is still at
    least twice the size needed; evaluation decodes in full and makes no random choice.

    Args:
        images: a folder, a text file with one path per line, or a `FileSet`.
        labels: folder of label maps, matched by relative path or by name without suffix; 255 is ignored.
        transform: brings every picture to one size; None uses `ResizeTo(256)`.
        flip: mirror half of the pictures, in training.
        colour_jitter: applied in training.
        num_classes: class indices must be smaller than this; None allows all.
        ignore_labels: class indices to turn into 255, such as a data set's "unlabelled".
        on_bad_image: `raise` raises when a file that cannot be used is loaded; `skip` decodes every file now, leaves
            out those that cannot be used, and lists them in `skipped`.
        classes: what the values of label maps mean; without `num_classes` it bounds them too.
        label_ends: how the stems of images and of label maps end, if they differ.

    Attributes:
        files: the image files in use, by index.
        skipped: why pictures were left out, by name.
        matched_by_name: how many label maps were found by name instead of by relative path.

    Raises:
        DataError: there are no images or none can be used, list entries are not files, images have no label map, or
            `num_classes` and `classes` differ.
    """

    def __init__(
        self,
        images: str | Path | FileSet,
        labels: str | Path | None = None,
        transform: ResizePolicy | None = None,
        flip: bool = False,
        colour_jitter: ColourJitter | None = None,
        num_classes: int | None = None,
        ignore_labels: tuple[int, ...] = (),
        on_bad_image: BadImages = "raise",
        classes: LabelClasses | None = None,
        label_ends: tuple[str, str] | None = None,
    ) -> None:
        if on_bad_image not in ("raise", "skip"):
            raise ValueError(f"on_bad_image must be raise or skip, got {on_bad_image!r}")
        if num_classes is not None and not 1 <= num_classes <= IGNORE:
            raise ValueError(f"num_classes must lie in 1..{IGNORE} (label {IGNORE} is ignored), got {num_classes}")
        check_class_count(classes, num_classes)
        found = images if isinstance(images, FileSet) else find_files("images", Path(images))
        ends = label_ends or ("", "")
        if labels is not None:
            found = without_label_maps(found, Path(labels), ends[1])
        self.names = found.names()
        self.files: tuple[Path, ...] = found.paths
        maps = None if labels is None else match_labels("labels", found, Path(labels), ends)
        self.label_files = None if maps is None else maps.paths
        self.matched_by_name = 0 if maps is None else maps.by_name
        self.transform = transform or ResizeTo(256)
        self.flip = flip
        self.colour_jitter = colour_jitter
        self.num_classes = len(classes) if num_classes is None and classes is not None else num_classes
        self.ignore_labels = tuple(ignore_labels)
        self.classes = classes
        self.skipped = self._leave_out_unreadable() if on_bad_image == "skip" else {}
        self._fingerprints: dict[int, str] = {}

    def load(self, index: int, rng: np.random.Generator | None = None) -> Sample:  # noqa: D102
        path = self.files[index]
        with open_image(path) as file:
            picture = upright_size(file)
            crop = self.transform.plan(*picture, rng)
            rgb, divisor = decode_rgb(file, shrink=1.0 if rng is None else crop.shrink / 2.0)
        image = crop.cut_image(rgb, self.transform.resample, divisor)
        labels = None if self.label_files is None else self._labels(self.label_files[index], path, picture, crop)
        if rng is not None and self.flip and rng.random() < 0.5:
            image, labels = flip_pair(image, labels)
        if rng is not None and self.colour_jitter is not None:
            image = self.colour_jitter(image, rng)
        return Sample(image, self.names[index], labels)

    def fingerprint(self, index: int) -> str:  # noqa: D102
        if index not in self._fingerprints:
            self._fingerprints[index] = file_digest(self.files[index])
        return self._fingerprints[index]

    def _labels(self, path: Path, image: Path, picture: tuple[int, int], crop: Crop) -> Tensor:
        labels = read_labels(path)
        check_proportions(path, labels.shape, image, picture)
        cut = crop.cut_labels(labels, picture).astype(np.int64)
        if self.classes is not None:
            cut = self.classes.of_values(cut)
        for ignored in self.ignore_labels:
            cut[cut == ignored] = IGNORE
        check_label_range(path, int(cut[cut != IGNORE].max(initial=0)), self.num_classes)
        return torch.from_numpy(cut)

    def _leave_out_unreadable(self) -> dict[str, str]:
        bad = find_unreadable(self.files, self.label_files)
        good = [index for index in range(len(self.files)) if index not in bad]
        if not good:
            raise DataError(f"none of the {len(bad)} images can be used: {some(bad.values(), 3)}")
        skipped = {self.names[index]: reason for index, reason in bad.items()}
        self.names = [self.names[index] for index in good]
        self.files = tuple(self.files[index] for index in good)
        if self.label_files is not None:
            self.label_files = tuple(self.label_files[index] for index in good)
        return skipped


def _masks_named_after_pictures(files: FileSet) -> list[str]:
    """Files such as `a_mask.png` beside `a.jpg`, unless they are photographs, as of a face with a mask."""
    paths = {os.path.relpath(path, files.base).replace(os.sep, "/"): path for path in files.paths}
    named = sorted(masks_among(paths))
    looked_at = [paths[named[place]] for place in sample_positions(len(named), 8)] if named else []
    return named if not any(map(is_no_mask, looked_at)) else []


class FolderData(InpaintingData):
    """Trains and tests on your own image files.

    Give either those of `train`, `val` and `test` that you need, or only `root`, which is then split by `fractions`.
    Each of `train`, `val` and `test` is a folder, searched with its sub-folders, or a text file with one path per line.
    Without `val`, validation uses the test images, and vice versa; a warning says so.

    Args:
        root: the folder that relative paths, also those in list files, start from; given alone, the folder to split.
            Without it, paths start from the working directory, and a list's entries from the list's folder.
        train: training images.
        val: validation images.
        test: test images.
        fractions: shares of train, val and test if only `root` is given; None uses 0.8, 0.1, 0.1.
        split_seed: seeds that split, which does not depend on the order of the files.
        transform: brings every picture to one size; None uses `ResizeTo(256)`.
        flip: mirror half of the training pictures.
        colour_jitter: applied to training pictures.
        labels: folder of label maps for all splits, matched by relative path or by name without suffix.
        labels_train: folder of label maps for the training images, if they have their own.
        labels_val: folder of label maps for the validation images, if they have their own.
        labels_test: folder of label maps for the test images, if they have their own.
        num_classes: class indices must be smaller than this (255 is ignored); None allows those of `classes`, or all.
        ignore_labels: class indices to turn into 255, such as a data set's "unlabelled".
        on_bad_image: `raise` stops at a file that cannot be used and names it; `skip` decodes every file before
            training, leaves out those that cannot be used, and lists them.
        classes: what the values of label maps mean, such as `CityscapesClasses`: names, colours, and the class of each
            value; None reads values as class indices.
        label_ends: how the stems of images and of label maps end, if they differ, such as
            `[_leftImg8bit, _gtFine_labelIds]`; files with another ending are then not taken as label maps.
        batch_size: samples per step and process.
        num_workers: loading processes; samples do not depend on it.
        masks: holes for training.
        test_masks: holes for validation and test.
        seed: seeds the order, the augmentation and the masks.
        manifest: JSON-lines file of pinned image-mask pairs for test.
        dataset: a data set of the papers that these are, such as `places2`; `check` then says what is missing of it.

    Raises:
        DataError: no paths, bad fractions, an unknown `dataset`, or settings for label maps without any. Problems with
            the files themselves are raised by `source` and listed by `check`.
    """

    def __init__(
        self,
        root: str | Path | None = None,
        train: str | Path | None = None,
        val: str | Path | None = None,
        test: str | Path | None = None,
        fractions: tuple[float, float, float] | None = None,
        split_seed: int = 0,
        transform: ResizePolicy | None = None,
        flip: bool = True,
        colour_jitter: ColourJitter | None = None,
        labels: str | Path | None = None,
        labels_train: str | Path | None = None,
        labels_val: str | Path | None = None,
        labels_test: str | Path | None = None,
        num_classes: int | None = None,
        ignore_labels: tuple[int, ...] = (),
        on_bad_image: BadImages = "raise",
        classes: LabelClasses | None = None,
        label_ends: tuple[str, str] | None = None,
        batch_size: int = 16,
        num_workers: int = 2,
        masks: MaskGenerator | None = None,
        test_masks: MaskGenerator | None = None,
        seed: int = 0,
        manifest: str | Path | None = None,
        dataset: str | None = None,
    ) -> None:
        super().__init__(batch_size, num_workers, masks, test_masks, seed, manifest)
        if dataset is not None and dataset not in KNOWN_SETS:
            hint = did_you_mean(dataset, KNOWN_SETS)
            raise DataError(
                f"FolderData: dataset {dataset!r} is unknown; the known ones are {', '.join(KNOWN_SETS)}{hint}"
            )
        if root is None and train is None and val is None and test is None:
            raise DataError("FolderData: no images given; set train, val and test, or root to split one folder")
        self.fractions = self._checked_fractions(fractions, alone=train is None and val is None and test is None)
        self.root = None if root is None else Path(root).expanduser()
        self.paths = {"train": self._below(train), "val": self._below(val), "test": self._below(test)}
        shared = self._below(labels)
        own: dict[Split, Path | None]
        own = {"train": self._below(labels_train), "val": self._below(labels_val), "test": self._below(labels_test)}
        self.label_paths = {split: folder or shared for split, folder in own.items()}
        self.split_seed = split_seed
        self.transform = transform or ResizeTo(256)
        self.flip = flip
        self.colour_jitter = colour_jitter
        self.num_classes = num_classes
        self.ignore_labels = tuple(ignore_labels)
        self.on_bad_image: BadImages = on_bad_image
        self.classes = classes
        self.label_ends = label_ends
        self.dataset = dataset
        self._files: dict[Split, FileSet] = {}
        self._sources: dict[tuple[Split, bool], FolderSource] = {}
        check_class_count(classes, num_classes)
        self._check_label_settings(shared, own)

    @property
    def picture_size(self) -> tuple[int, int] | None:  # noqa: D102
        return getattr(self.transform, "size", None)

    def source(self, split: Split) -> FolderSource:
        """The pictures of a split.

        Raises:
            DataError: there are none, or they cannot be used.
        """
        key = split, _ = self._stand_in(split), self.loads_labels
        if key not in self._sources:
            self._sources[key] = FolderSource(
                self.files(split),
                self.label_paths[split] if self.loads_labels else None,
                self.transform,
                self.flip,
                self.colour_jitter,
                self.num_classes,
                self.ignore_labels,
                self.on_bad_image,
                self.classes,
                self.label_ends,
            )
        return self._sources[key]

    @property
    def label_count(self) -> int | None:
        """Number of classes in label maps: those of `classes`, up to the last one that is not ignored."""
        if self.classes is None:
            return self.num_classes
        return 1 + max(set(range(len(self.classes))) - set(self.ignore_labels), default=-1)

    def files(self, split: Split) -> FileSet:
        """The image files of a split, before any are skipped.

        Raises:
            DataError: there are none.
        """
        split = self._stand_in(split)
        if split not in self._files:
            path = self.paths[split]
            if path is not None:
                self._files[split] = self._pictures(find_files(split, path, self.root, self._label_folders()))
            else:
                assert self.root is not None  # _stand_in has checked
                self._check_whole(self.root)
                whole = self._pictures(find_files("root", self.root, None, self._label_folders()))
                self._files.update(split_by_fractions(whole, self.fractions, self.split_seed))
        return self._files[split]

    def check(self, splits: tuple[Split, ...] = SPLITS, thorough: bool = False) -> list[Finding]:
        """Check paths, files, sizes, label maps, and what the splits share.

        Args:
            splits: the splits that will be used.
            thorough: decode every file and compare contents, instead of a quick look at some headers.
        """
        findings: list[Finding] = []
        usable: list[Split] = []
        known = None if self.dataset is None else KNOWN_SETS[self.dataset]
        for split in splits:
            try:
                self.source(split)
                usable.append(split)
                if known and split != "val" and self._has_own(split):
                    findings.append(known.check(split, len(self.files(split).paths)))
            except DataError as error:
                findings.append(Finding("error", f"{error}; {known.remedy}" if known else str(error)))
        findings += super().check(tuple(usable), thorough)
        for split in usable:
            findings += self._check_split(split, splits, thorough)
        return findings + self._check_overlaps(usable, thorough)

    def _check_split(self, split: Split, splits: tuple[Split, ...], thorough: bool) -> list[Finding]:
        findings = []
        actual = self._stand_in(split)
        if actual != split:
            text = f"{split}: no images of its own, so those of {actual} are used, and test figures depend on the"
            findings.append(Finding("warning", f"{text} choice of checkpoint; give `{split}` to keep them apart"))
            if actual in splits:  # which are checked there
                return findings
        source = self.source(split)
        if source.skipped:
            text = f"{split}: left out {counted(len(source.skipped), 'image')} that cannot be used"
            findings.append(Finding("warning", f"{text}: {by_reason(source.skipped.values())}"))
        left_out = note_left_out(self.files(split).origin, self._label_folders())
        if left_out:
            findings.append(Finding("warning", f"{split}: {left_out}"))
        if not self.loads_labels and self.label_paths[actual]:
            findings.append(Finding("ok", f"{split}: label maps are left alone, since nothing in this run reads them"))
        if source.matched_by_name:
            text = f"{split}: {source.matched_by_name} of {counted(source.files, 'image')} matched with a label map by"
            findings.append(Finding("ok", f"{text} name only, since there is none at the image's relative path"))
        looks = look_at_some(source.files, source.label_files, thorough)
        maps = [
            (look.label_map, classes_of(look.labels, self.classes, self.ignore_labels))
            for look in looks
            if look.label_map is not None and look.labels is not None
        ]
        highest = [max(met) for _, met in maps if met]
        self.highest_label = max(highest, default=self.highest_label)
        return [
            *findings,
            *check_files(split, looks, len(source.files), self.transform, thorough),
            *check_label_maps(split, maps, source.num_classes, self.ignore_labels),
        ]

    def _check_overlaps(self, usable: list[Split], thorough: bool) -> list[Finding]:
        """Training images are compared with test images even if this run does not test."""
        compared = [split for split in SPLITS if split in usable or (split == "test" and "train" in usable)]
        compared = [split for split in compared if self._has_own(split)]
        findings: list[Finding] = []
        for first, second in itertools.combinations(compared, 2):
            try:
                findings += check_overlap(first, self.files(first), second, self.files(second), thorough)
            except DataError as error:
                findings.append(Finding("warning", f"{first} and {second} could not be compared: {error}"))
        return findings

    def _has_own(self, split: Split) -> bool:
        if any(self.paths.values()):
            return self.paths[split] is not None
        return self.fractions[SPLITS.index(split)] > 0

    def _stand_in(self, split: Split) -> Split:
        """The split whose images are used: the requested one, or val for test and test for val."""
        if self._has_own(split):
            return split
        others: dict[Split, Split] = {"val": "test", "test": "val"}
        if split in others and self._has_own(others[split]):
            return others[split]
        raise DataError(
            f"FolderData: no images for {split}; set `{split}` to a folder or list file, or give only `root`, "
            "which is then split by `fractions`"
        )

    @staticmethod
    def _checked_fractions(fractions: tuple[float, float, float] | None, alone: bool) -> tuple[float, float, float]:
        if fractions is None:
            return (0.8, 0.1, 0.1)
        if not alone:
            raise DataError("FolderData: fractions divide `root`; leave them out, or leave out train, val and test")
        if min(fractions) < 0 or abs(sum(fractions) - 1.0) > 1e-6:
            raise DataError(f"FolderData: fractions must be three numbers from 0 that add up to 1, got {fractions}")
        return fractions

    def _check_label_settings(self, shared: Path | None, own: Mapping[Split, Path | None]) -> None:
        """Refuse settings that would have no effect."""
        present = [split for split in SPLITS if self._has_own(split)]
        if idle := [f"labels_{split}" for split, folder in own.items() if folder and split not in present]:
            names = ", ".join(split.removeprefix("labels_") for split in idle)
            raise DataError(f"FolderData: {', '.join(idle)} is for images of {names}, and none are given; leave it out")
        if shared and all(own[split] for split in present):
            raise DataError("FolderData: each split has label maps of its own, so nothing reads `labels`; leave it out")
        if shared or any(own.values()):
            return
        settings: dict[str, object] = {
            "num_classes": self.num_classes,
            "ignore_labels": self.ignore_labels,
            "classes": self.classes,
            "label_ends": self.label_ends,
        }
        if without := [name for name, value in settings.items() if value]:
            raise DataError(
                f"FolderData: {', '.join(without)} describe label maps, but no folder of label maps is given; "
                f"give `labels`, or leave them out"
            )

    def _check_whole(self, root: Path) -> None:
        """Refuse to split a folder whose subfolders are splits already, or hold masks or label maps."""
        ours = {folder.resolve() for folder in self._label_folders()}
        names = {
            entry.name.lower(): entry.name
            for entry in sorted(root.iterdir() if root.is_dir() else [])
            if entry.is_dir() and entry.resolve() not in ours
        }
        splits = {split: found for split, found in zip(SPLITS, map(names.get, SPLITS), strict=True) if found}
        if validation := names.get("valid") or names.get("validation"):
            splits.setdefault("val", validation)
        others = [found for name, found in names.items() if name in _NO_PICTURES]
        used = {folder.path.resolve() for folder in (self.masks, self.test_masks) if isinstance(folder, MaskFolder)}
        others = [name for name in others if (root / name).resolve() not in used]
        if len(splits) > 1:
            options = " ".join(f"--data.{split} {found}" for split, found in splits.items())
            raise DataError(
                f"FolderData: root {root} holds {listed(list(splits.values()), 'and')}, which would be mixed and split "
                f"anew; add {options} to use them as they are"
            )
        if others:
            raise DataError(
                f"FolderData: root {root} holds {listed(others, 'and')}, whose files would be used as pictures; give "
                "the folder of the pictures as root, and folders of label maps as labels"
            )

    def _pictures(self, files: FileSet) -> FileSet:
        """The files without label maps and masks that lie among them."""
        masks = [PinnedMasks(self.manifest)] if self.manifest else []
        files = without_masks(
            files, [path for kind in (self.masks, self.test_masks, *masks) for path in kind.mask_files()]
        )
        for folder in self._label_folders():
            files = without_label_maps(files, folder, self.label_ends[1] if self.label_ends else "")
        if among := _masks_named_after_pictures(files):
            raise DataError(
                f"FolderData: {files.origin} holds {counted(among, 'mask')} named after pictures ({some(among, 3)}), "
                "which would be used as pictures; keep them in a folder of their own, or use them as masks: MaskFolder "
                "with order: name"
            )
        return files

    def _label_folders(self) -> list[Path]:
        return [folder for folder in self.label_paths.values() if folder is not None]

    def _below(self, path: str | Path | None) -> Path | None:
        if path is None:
            return None
        path = Path(path).expanduser()
        return path if self.root is None else self.root / path
