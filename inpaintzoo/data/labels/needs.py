"""Which parts of a training read labels, whether the data has them, and whether their classes fit the generator."""

from __future__ import annotations

from typing import Any, Protocol

from inpaintzoo.data.findings import Finding
from inpaintzoo.data.source import ImageSource
from inpaintzoo.generator import Generator
from inpaintzoo.metrics import MetricSuite
from inpaintzoo.types import Batch, ConfigError, Split


def require_labels(generator: Generator, batch: Batch) -> None:
    """Raise `ConfigError` if training needs labels that the batch lacks."""
    if generator.needs_labels and "labels" not in batch:
        raise ConfigError(_missing(generator))


class Learner(Protocol):
    """The attributes that are read from the model, an Inpainter."""

    generator: Generator
    losses: Any  # by name, like the adversaries
    adversaries: Any
    metrics: MetricSuite


class LabelledData(Protocol):
    """The attributes that are read from the data, an `InpaintingData`."""

    highest_label: int | None

    @property
    def label_count(self) -> int | None:
        """Number of classes in the label maps; None if unknown."""

    def source(self, split: Split) -> ImageSource:
        """The pictures of a split."""


def labels_are_read(model: Learner) -> bool:
    """Whether the generator, one of its losses or adversaries, or a metric looks at label maps."""
    return model.generator.needs_labels or _some_term_reads(model) or bool(model.metrics.segmentation_metrics)


def check_labels(model: Learner, data: LabelledData) -> list[Finding]:
    """Findings about a training's labels: whether a loss reads them, whether they exist, and whether classes fit.

    Args:
        model: the Inpainter to be trained.
        data: its data, whose own `check` has found no error.
    """
    generator, metrics = model.generator, model.metrics
    findings: list[Finding] = []
    if generator.needs_labels and not _some_term_reads(model):
        text = f"{type(generator).__name__} predicts labels, and no loss reads them, so they would never be learnt"
        remedy = (
            "add SegmentationLoss, or choose a variant without labels (a loss of your own says reads_labels = True)"
        )
        findings.append(Finding("error", f"{text}; {remedy}"))
    if generator.needs_labels and not _has_labels(data, "train"):
        findings.append(Finding("error", _missing(generator)))
    elif generator.needs_labels and metrics.segmentation_metrics and not _has_labels(data, "val"):
        text = "val: no label maps, so validation cannot measure the predicted labels"
        findings.append(Finding("warning", f"{text}; give FolderData's `labels` or `labels_val`"))
    return findings + _check_count(generator, data)


def _some_term_reads(model: Learner) -> bool:
    terms = [*model.losses.values(), *model.adversaries.values()]
    return any(getattr(term, "reads_labels", False) for term in terms)


def _has_labels(data: LabelledData, split: Split) -> bool:
    return data.source(split).load(0).labels is not None


def _check_count(generator: Generator, data: LabelledData) -> list[Finding]:
    count, known = generator.num_classes, data.label_count
    if count is None:
        return []
    name = type(generator).__name__
    wanted = max(known or 0, (data.highest_label or 0) + 1)
    if wanted > count:
        what = f"the data has {wanted} classes, 0 to {wanted - 1}, and {name} predicts {count}, 0 to {count - 1}"
        return [Finding("error", f"{what}; set its num_classes to {wanted}: --model.generator.num_classes {wanted}")]
    if known is not None and known < count:
        return [Finding("warning", f"{name} predicts {count} classes, the data has {known}; the others stay unused")]
    return []


def _missing(generator: Generator) -> str:
    return (
        f"{type(generator).__name__} learns from label maps and the training data has none; give FolderData's "
        f"`labels` or `labels_train` (`inpaintzoo label` makes maps), or a variant without labels"
    )
