"""Checks of label maps: whether a map fits its image, whether its classes are in range, and which classes occur."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from inpaintzoo.data.findings import Finding
from inpaintzoo.data.labels.classes import LabelClasses
from inpaintzoo.types import IGNORE, DataError
from inpaintzoo.words import counted


def check_proportions(labels: Path, size: Sequence[int], image: Path, picture: tuple[int, int]) -> None:
    """Raise `DataError` unless a label map has its image's proportions; its size may differ.

    Args:
        labels: the label map's file, for the message.
        size: its height and width.
        image: the image's file, for the message.
        picture: its height and width, upright.
    """
    height, width = size
    if abs(width - height * picture[1] / picture[0]) >= 1.0 and abs(height - width * picture[0] / picture[1]) >= 1.0:
        raise DataError(
            f"{labels}: the label map is {height}x{width}, its image {image} {picture[0]}x{picture[1]} (height "
            "x width, upright); they must have the same proportions"
        )


def check_class_count(classes: LabelClasses | None, num_classes: int | None) -> None:
    """Raise `DataError` if the two disagree; None is not known."""
    if classes is not None and num_classes is not None and num_classes != len(classes):
        raise DataError(
            f"num_classes={num_classes}, but classes, {type(classes).__name__}, has {len(classes)}; leave "
            "num_classes out"
        )


def check_label_range(labels: Path, highest: int, num_classes: int | None) -> None:
    """Raise `DataError` if a class index is too large.

    Args:
        labels: the file, for the message.
        highest: its largest class index, apart from 255.
        num_classes: indices must be smaller; None allows all.
    """
    if num_classes is not None and highest >= num_classes:
        raise DataError(
            f"{labels}: label {highest}, but num_classes={num_classes} allows 0..{num_classes - 1} (255 is ignored); "
            f"raise num_classes, or put {highest} into ignore_labels"
        )


def classes_of(values: Iterable[int], classes: LabelClasses | None, ignore_labels: Iterable[int]) -> frozenset[int]:
    """The classes that a map's values stand for, without the ignored ones; None reads values as classes."""
    met = frozenset(values) if classes is None else classes.of_set(values)
    return met - {IGNORE, *ignore_labels}


def check_label_maps(
    split: str, maps: Sequence[tuple[Path, frozenset[int]]], num_classes: int | None, ignore_labels: Iterable[int]
) -> list[Finding]:
    """Findings about the classes in the label maps of a split.

    Args:
        split: for the messages.
        maps: the files looked at, each with its classes (see `classes_of`).
        num_classes: class indices must be smaller; None allows all.
        ignore_labels: class indices that are ignored besides 255.
    """
    if not maps:  # there are none, or none could be read, already reported
        return []
    findings = []
    too_large: list[str] = []
    for path, classes in maps:
        try:
            check_label_range(path, max(classes, default=0), num_classes)
        except DataError as error:
            too_large.append(str(error))
    if too_large:
        text = f"{split}: {len(too_large)} of {counted(maps, 'label map')} looked at have labels out of range"
        findings.append(Finding("error", f"{text}, the first: {too_large[0]}"))
    seen = frozenset[int]().union(*(classes for _, classes in maps))
    if not seen:
        text = f"{split}: the label maps looked at hold no class at all, only ignored pixels"
        return [*findings, Finding("warning", f"{text}; check the files and ignore_labels")]
    met = f"{len(seen)} class{'es' if len(seen) > 1 else ''}, from {min(seen)} to {max(seen)}"
    ignored = ", ".join(map(str, sorted({IGNORE, *ignore_labels})))
    return [*findings, Finding("ok", f"{split}: label maps hold {met}; ignored: {ignored}")]
