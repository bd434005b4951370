"""Multi-scale cross-entropy of predicted labels.

Source: SGE-Net, Liao et al. 2020, https://arxiv.org/abs/2003.06877, equation 9. Its sum over pixels is a mean here, so
that the weight does not depend on image size or ignored pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from inpaintzoo.losses.base import Loss, at_least_float32
from inpaintzoo.ops import gather_over_ranks, mean_over_ranks
from inpaintzoo.types import IGNORE, Batch, ConfigError, DataError


class HasSegmentations(Protocol):
    """An output with predicted labels: logits `(B, classes, h, w)`, of any sizes."""

    segmentations: list[Tensor]


def segmentation_loss(segmentations: Sequence[Tensor], labels: Tensor, ignore: int = IGNORE) -> Tensor:
    """Sum over scales of the mean cross-entropy over labelled pixels; 0 if there are none.

    The mean is over the pixels of the batch in all training processes, so that a batch split over processes has the
    gradient of the whole batch.

    Args:
        segmentations: at least one `(B, classes, h, w)` of logits, resized bilinearly to the labels' size.
        labels: `(B, H, W)` int64, below `classes`, or `ignore`.
        ignore: the label of pixels that do not count.

    Raises:
        DataError: the labels have the wrong shape or type, or their number differs from the logits'.
        ConfigError: a label is not one of the classes.
    """
    share = _labelled_share(segmentations[0], labels, ignore)
    total = torch.stack([_summed(logits, labels, ignore) for logits in segmentations]).sum()
    # If the share is 0, so is the numerator; any other divisor gives a loss and a gradient of 0.
    return total / labels.numel() / (share + (share == 0))


def _summed(logits: Tensor, labels: Tensor, ignore: int) -> Tensor:
    logits, size = at_least_float32(logits), (labels.shape[-2], labels.shape[-1])
    if logits.shape[-2:] != size:
        logits = F.interpolate(logits, size=size, mode="bilinear", align_corners=False)
    return F.cross_entropy(logits, labels, ignore_index=ignore, reduction="sum")


def _labelled_share(logits: Tensor, labels: Tensor, ignore: int) -> Tensor:
    """Share of labelled pixels over all processes; all of them raise if the labels of one are wrong."""
    # If only one process raised, the others would wait for it forever in the mean.
    unfit = labels.ndim != 3 or len(labels) != len(logits) or labels.dtype != torch.int64
    wrong = torch.ones_like(labels) if unfit else _wrong(labels, logits.shape[1], ignore)
    share, trouble = mean_over_ranks(torch.stack([(labels != ignore).float().mean(), wrong.any().float()])).unbind()
    # This waits for the device, but without it CUDA would stop at an assertion that names nothing.
    if bool(trouble > 0):
        raise next(error for error in gather_over_ranks(_complaint(logits, labels, ignore, unfit)) if error is not None)
    return share


def _wrong(labels: Tensor, classes: int, ignore: int) -> Tensor:
    return ((labels < 0) | (labels >= classes)) & (labels != ignore)


def _complaint(logits: Tensor, labels: Tensor, ignore: int, unfit: bool) -> ConfigError | DataError | None:
    if unfit:
        return DataError(
            f"labels must be ({len(logits)}, H, W) int64 class indices, got {tuple(labels.shape)} {labels.dtype}"
        )
    classes = logits.shape[1]
    wrong = labels[_wrong(labels, classes, ignore)]
    if not len(wrong):
        return None
    return ConfigError(
        f"the data has the label {int(wrong.max())}, but the generator predicts {classes} classes, 0 to "
        f"{classes - 1}; raise the generator's num_classes, or mark such pixels as ignored ({ignore})"
    )


class SegmentationLoss(Loss):
    """The labels predicted at all scales should be those of the whole image (SGE-Net equation 9).

    Labels are targets only: training needs `batch["labels"]`, and no generator reads them.

    Args:
        weight: factor, 0 or more; SGE-Net's is not printed.
        ignore: the label of pixels that do not count.
    """

    reads_labels = True

    def __init__(self, weight: float = 0.1, ignore: int = IGNORE) -> None:
        super().__init__(weight)
        self.ignore = ignore

    def attach(self, generator: Any) -> None:
        """Check that the generator predicts labels.

        Raises:
            ConfigError: it does not.
        """
        if not getattr(generator, "needs_labels", False):
            variant = f" with variant {generator.variant!r}" if hasattr(generator, "variant") else ""
            raise ConfigError(
                f"SegmentationLoss teaches predicted labels, and {type(generator).__name__}{variant} predicts none; "
                f"use SGENet with variant 'guided' or 'evaluated', or remove this loss from the config"
            )

    def forward(self, output: HasSegmentations, batch: Batch) -> Tensor:
        """The weighted loss as a scalar.

        Raises:
            ConfigError: the output or the batch has no labels, or a label is not one of the classes.
        """
        segmentations = getattr(output, "segmentations", None)
        if not segmentations:
            raise ConfigError(
                f"SegmentationLoss reads output.segmentations, but {type(output).__name__} has none; use SGENet with "
                f"variant 'guided' or 'evaluated', or remove this loss from the config"
            )
        if "labels" not in batch:
            raise ConfigError(
                "SegmentationLoss needs labels, and the data has none; use data with label maps (ScenesData has them, "
                "FolderData reads those of --data.labels), or train without labels: SGENet with variant 'base', and "
                "this loss removed from the config"
            )
        return self.weight * segmentation_loss(segmentations, batch["labels"], self.ignore)
