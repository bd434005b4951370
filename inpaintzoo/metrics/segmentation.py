"""How good predicted labels are, and whether their confidence shows where the picture is wrong (SGE-Net).

Source: Liao et al. 2020 (https://arxiv.org/abs/2003.06877), table 4 and figure 8.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from inpaintzoo.metrics.base import Metric, exact
from inpaintzoo.types import IGNORE, Batch, DataError, Output


@dataclasses.dataclass(frozen=True)
class PredictedLabels:
    """The labels that a generator predicts for a batch, beside the truth.

    Attributes:
        logits: `(B, classes, h, w)`, the finest that the generator made.
        prediction: `(B, 3, H, W)` in [0, 1], what is judged.
        batch: the truth, with `labels` if the data has them.
    """

    logits: Tensor
    prediction: Tensor
    batch: Batch

    @functools.cached_property
    def confusions(self) -> Tensor:
        """`(B, 2, truth, prediction)` int64 pixel counts, outside the hole and inside.

        Raises:
            ValueError: the label maps are not of the images' size.
            DataError: they have classes that the generator does not know.
        """
        labels, classes = self.batch["labels"], self.logits.shape[1]
        _check_labels(labels, self.batch["image"], classes)
        chosen = resized(self.logits, labels.shape[-2:]).argmax(dim=1)
        sample = torch.arange(len(labels), device=labels.device).view(-1, 1, 1)
        hole = self.batch["mask"][:, 0] > 0.5
        cell = ((2 * sample + hole) * classes + labels.long()) * classes + chosen
        counts = torch.bincount(cell[labels != IGNORE], minlength=2 * len(labels) * classes**2)
        return counts.view(-1, 2, classes, classes)


class SegmentationMetric(Metric):
    """A metric of a whole set that looks at the labels a generator predicts; statistics are kept for each image.

    It is undefined for generators that predict no labels.
    """

    def statistics(self, labels: PredictedLabels) -> dict[str, Tensor] | None:
        """Statistics to keep for each image, as named `(B, ...)` tensors; None if the batch lacks something."""
        raise NotImplementedError

    def compute(self, statistics: Mapping[str, np.ndarray]) -> float | None:
        """The value of a set, or None where it is undefined.

        Args:
            statistics: the named statistics, `(N, ...)`, ordered by the images' index.
        """
        raise NotImplementedError


class MIoU(SegmentationMetric):
    """Mean intersection over union of predicted and true labels, pooled over the set.

    Args:
        region: the pixels that count: the whole `frame`, or the `hole` only.
    """

    better = "higher"
    undefined = "have no label map, or the generator predicts none,"

    def __init__(self, region: Literal["frame", "hole"] = "frame") -> None:
        if region not in ("frame", "hole"):
            raise ValueError(f"MIoU: region must be `frame` or `hole`, got {region!r}")
        self.region = region
        self.name = "miou" if region == "frame" else "miou_hole"

    @property
    def definition(self) -> str:
        """Formula, region, and which classes count."""
        where = "all pixels" if self.region == "frame" else "hole pixels"
        return (
            f"mean over classes of intersection / union, both summed over {where} of the set; pixels of label 255 and "
            "classes in neither truth nor prediction do not count; label = argmax of logits resized bilinearly"
        )

    def statistics(self, labels: PredictedLabels) -> dict[str, Tensor] | None:
        """`overlap`, `truth` and `predicted`: pixels of each class, `(B, classes)` int64; None without true labels."""
        if "labels" not in labels.batch:
            return None
        outside, hole = labels.confusions.unbind(1)
        confusion = hole if self.region == "hole" else outside + hole
        return {
            "overlap": confusion.diagonal(dim1=1, dim2=2),
            "truth": confusion.sum(dim=2),
            "predicted": confusion.sum(dim=1),
        }

    def compute(self, statistics: Mapping[str, np.ndarray]) -> float | None:
        """Mean IoU over the classes that occur; None if none does."""
        overlap, truth, predicted = (statistics[key].sum(axis=0) for key in ("overlap", "truth", "predicted"))
        union = truth + predicted - overlap
        present = union > 0
        return math.fsum(overlap[present] / union[present]) / int(present.sum()) if present.any() else None


class ConfidenceCorrelation(SegmentationMetric):
    """Correlation of the segmentation's confidence with the error of the fill, over the hole (figure 8).

    Below 0, pixels with surer labels have smaller errors, so confidence can tell what to correct.
    """

    name = "confidence_correlation"
    better = "lower"
    undefined = "have no hole, or the generator predicts no labels,"

    @property
    def definition(self) -> str:
        """Formula and region."""
        return (
            "Pearson correlation of P_max = max over classes of softmax(logits resized bilinearly) with the mean "
            "absolute error of the channels, over all hole pixels of the set"
        )

    def statistics(self, labels: PredictedLabels) -> dict[str, Tensor]:
        """`moments` of each image, see `moments`."""
        confidence, error = confidence_and_error(labels.logits, labels.prediction, labels.batch["image"])
        return {"moments": moments(confidence, error, labels.batch["mask"])}

    def compute(self, statistics: Mapping[str, np.ndarray]) -> float | None:
        """The correlation over the set; None without hole pixels, or if either quantity is constant."""
        return correlation(statistics["moments"])


def predicted_logits(output: Output) -> Tensor | None:
    """The finest label logits `(B, classes, h, w)` of an output that has `segmentations`, otherwise None."""
    segmentations = getattr(output, "segmentations", None)
    return segmentations[0] if segmentations else None


def resized(logits: Tensor, size: tuple[int, ...]) -> Tensor:
    """Logits `(B, classes, h, w)` in float32, resized bilinearly to height and width."""
    logits = logits.float()
    if logits.shape[-2:] == torch.Size(size):
        return logits
    return F.interpolate(logits, size=tuple(size), mode="bilinear", align_corners=False)


def confidence_and_error(logits: Tensor, prediction: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
    """P_max and the mean absolute error over the channels, both `(B, H, W)` float64.

    Args:
        logits: `(B, classes, h, w)`.
        prediction: `(B, 3, H, W)` in [0, 1].
        image: as `prediction`, the truth.
    """
    confidence = exact(resized(logits, image.shape[-2:])).softmax(dim=1).amax(dim=1)
    return confidence, (exact(prediction) - exact(image)).abs().mean(dim=1)


def moments(a: Tensor, b: Tensor, mask: Tensor) -> Tensor:
    """Count and sums of a, b, a², b² and ab over the hole of each image, `(B, 6)` float64.

    Args:
        a: `(B, H, W)` float64.
        b: as `a`.
        mask: `(B, 1, H, W)`, 1 = hole.
    """
    # Image by image, so that no sum depends on the batch.
    holes = (mask[:, 0] > 0.5).to(a.device)
    pairs = [(x[hole], y[hole]) for x, y, hole in zip(a, b, holes, strict=True)]
    rows = [[torch.ones_like(x), x, y, x * x, y * y, x * y] for x, y in pairs]
    return torch.stack([torch.stack([term.sum() for term in row]) for row in rows])


def correlation(rows: np.ndarray) -> float | None:
    """Pearson correlation over all pixels that `(N, 6)` rows of `moments` sum up; None where it is undefined."""
    count, sum_a, sum_b, sum_aa, sum_bb, sum_ab = (math.fsum(column) for column in np.asarray(rows).T)
    if count == 0:
        return None
    spread_a, spread_b = sum_aa / count - (sum_a / count) ** 2, sum_bb / count - (sum_b / count) ** 2
    # Rounding leaves a constant with a tiny spread.
    if spread_a <= 1e-14 or spread_b <= 1e-14:
        return math.nan if math.isnan(spread_a + spread_b) else None
    return (sum_ab / count - sum_a / count * sum_b / count) / math.sqrt(spread_a * spread_b)


def _check_labels(labels: Tensor, image: Tensor, classes: int) -> None:
    if labels.shape != (len(image), *image.shape[-2:]):
        raise ValueError(
            f"labels must be (B, H, W) like the images, got {tuple(labels.shape)} for {tuple(image.shape)}"
        )
    known = labels[labels != IGNORE]
    if known.numel() and (int(known.max()) >= classes or int(known.min()) < 0):
        raise DataError(
            f"the label maps hold class {int(known.max())}, and the generator predicts the {classes} classes 0 to "
            f"{classes - 1}; give the generator as many classes as the data has, or relabel the others as {IGNORE}"
        )
