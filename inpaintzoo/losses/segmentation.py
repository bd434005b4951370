"""Multi-scale cross-entropy of predicted labels.

Source: SGE-Net, Liao et al. 2020, https://arxiv.org/abs/2003.06877, equation 9. Its sum over the pixels is a mean here,
so that neither image size nor ignored pixels change the weight.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from inpaintzoo.losses.base import Loss
from inpaintzoo.ops import gather_over_ranks, mean_over_ranks
from inpaintzoo.types import Batch, ConfigError, DataError


class HasSegmentations(Protocol):
    """An output with predicted labels: logits `(B, classes, h, w)`, of any sizes."""

    segmentations: list[Tensor]


def segmentation_loss(segmentations: Sequence[Tensor], labels: Tensor, ignore: int = 255) -> Tensor:
    """Sum over scales of the mean cross-entropy over labelled pixels; 0 where there is none.

    The mean is over the pixels of the batch, and of all training processes: a batch that is split over processes has
    the gradient of the whole batch.

    Args:
        segmentations: at least one `(B, classes, h, w)` of logits, brought to the labels' size bilinearly.
        labels: `(B, H, W)` int64, below `classes`, or `ignore`.
        ignore: the label of pixels that do not count.

    Raises:
        DataError: the labels have another shape or type, or the images are not as many as the logits'.
        ConfigError: a label is none of the classes.
    """
    share = _labelled_share(segmentations[0], labels, ignore)
    total = torch.stack([_summed(logits, labels, ignore) for logits in segmentations]).sum()
    # The numerator is 0 where the share is: any divisor but 0 gives a loss and a gradient of 0.
    return total / labels.numel() / (share + (share == 0))


def _summed(logits: Tensor, labels: Tensor, ignore: int) -> Tensor:
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    size = (labels.shape[-2], labels.shape[-1])
    if wide.shape[-2:] != size:
        wide = F.interpolate(wide, size=size, mode="bilinear", align_corners=False)
    return F.cross_entropy(wide, labels, ignore_index=ignore, reduction="sum")


def _labelled_share(logits: Tensor, labels: Tensor, ignore: int) -> Tensor:
    """The part of the pixels that is labelled, over all processes; all of them raise if the labels of one are wrong."""
    # A process that raised on its own would leave the others waiting for its share of the mean.
    unfit = labels.ndim != 3 or len(labels) != len(logits) or labels.dtype != torch.int64
    wrong = torch.ones_like(labels) if unfit else _wrong(labels, logits.shape[1], ignore)
    share, trouble = mean_over_ranks(torch.stack([(labels != ignore).float().mean(), wrong.any().float()])).unbind()
    # One look at the device a step; without it CUDA would stop at an assertion that names nothing.
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
    """The predicted labels of all scales should be those of the whole image (SGE-Net equation 9).

    Labels are targets only: `batch["labels"]` must be there in training, and no generator reads them.

    Args:
        weight: factor, 0 or more; SGE-Net's is not printed.
        ignore: the label of pixels that do not count.
    """

    reads_labels = True

    def __init__(self, weight: float = 0.1, ignore: int = 255) -> None:
        super().__init__(weight)
        self.ignore = ignore

    def attach(self, generator: Any) -> None:
        """Look whether the generator predicts labels.

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
            ConfigError: the output has no predicted labels, the batch has none, or one is not among the classes.
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
