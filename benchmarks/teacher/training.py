"""Trains the built-in teacher: multi-label classification of the scenes' tags with the asymmetric loss.

Ridnik et al.: "Asymmetric Loss For Multi-Label Classification", ICCV 2021, https://arxiv.org/abs/2009.14119 (Ben-Baruch
et al. in SPN's bibliography): asymmetric focusing and probability shifting; the loss of SPN's own teacher.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
import torch.nn.functional as F
from lightning import LightningModule
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.utilities import rank_zero_info
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer
from torchmetrics import MeanMetric
from torchmetrics.classification import MultilabelAveragePrecision

from inpaintzoo.ops import mean_over_ranks
from inpaintzoo.teachers.base import SIZE_MULTIPLE, SMALLEST_SIDE
from inpaintzoo.teachers.builtin import TagNetwork
from inpaintzoo.types import Batch, ConfigError, DataError, NonFiniteLossError, WeightsError

_LEVELS = ("map_stride1", "map_stride2", "map_stride4")


def asymmetric_loss(
    logits: Tensor, targets: Tensor, gamma_negative: float = 4.0, gamma_positive: float = 0.0, clip: float = 0.05
) -> Tensor:
    """The asymmetric loss, summed over the tags and averaged over everything before them; a float32 scalar.

    With p the probability of a tag: `-(1 - p)^gamma_positive * log(p)` where the tag is present, and, with
    `q = max(p - clip, 0)`, `-q^gamma_negative * log(1 - q)` where it is not. Defaults as published.

    Args:
        logits: `(..., T)`.
        targets: `(..., T)`, 0 or 1.
        gamma_negative: how much less the easy absent tags count.
        gamma_positive: how much less the easy present tags count.
        clip: absent tags below this probability do not count.
    """
    logits, targets = logits.float(), targets.float()
    present = torch.sigmoid(logits)
    absent = (present - clip).clamp(min=0)
    positive = (1 - present) ** gamma_positive * F.logsigmoid(logits)
    # 1 - q from the probability of absence, which stays exact where that of presence rounds to 1.
    log_absent = torch.log((torch.sigmoid(-logits) + clip).clamp(max=1)) if clip else F.logsigmoid(-logits)
    negative = absent**gamma_negative * log_absent
    return -(targets * positive + (1 - targets) * negative).sum(-1).mean()


class TagMetrics(nn.Module):
    """Mean average precision over the tags, of the levels' mean verdict (`map`) and of each level (`map_stride1`, …).

    `chance` is the share of tags that are present: the score of a guess.

    Args:
        tags: number of tags.
    """

    def __init__(self, tags: int) -> None:
        super().__init__()
        self.share = MeanMetric()
        self.metrics = nn.ModuleList(AveragePrecision(name, tags) for name in ("map", *_LEVELS))

    def update(self, logits: Tensor, tags: Tensor) -> None:
        """Add `(levels, B, T)` logits and `(B, T)` tags."""
        for metric, verdict in zip(self.metrics, [logits.mean(dim=0), *logits], strict=True):
            metric.update(torch.sigmoid(verdict), tags.long())  # type: ignore[operator]
        self.share.update(tags.float())

    def compute(self) -> dict[str, Tensor]:
        """Name to mean average precision, in [0, 1]; tags without a positive sample are left out."""
        found: dict[str, Tensor] = {str(metric.name): metric.compute() for metric in self.metrics}  # type: ignore[operator]
        return {**found, "chance": self.share.compute()}

    def reset(self) -> None:
        """Forget all samples."""
        for metric in self.metrics:
            metric.reset()  # type: ignore[operator]
        self.share.reset()


class AveragePrecision(MultilabelAveragePrecision):
    """Torchmetrics' average precision over the tags that have a positive sample, with a name for logs."""

    positives: Tensor

    def __init__(self, name: str, tags: int) -> None:
        super().__init__(num_labels=tags, average="none")
        self.name = name
        self.add_state("positives", default=torch.zeros(tags), dist_reduce_fx="sum")

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Add `(B, T)` probabilities and 0/1 tags."""
        super().update(preds, target)
        self.positives += target.sum(dim=0)

    def compute(self) -> Tensor:  # type: ignore[override]
        """The mean, a scalar in [0, 1]."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="No positive samples")  # torchmetrics counts them as 0
            each = super().compute()
        return each[self.positives > 0].mean()


def resize(image: Tensor, side: int) -> Tensor:
    """`(B, 3, H, W)` with its shorter side brought to `side` pixels, antialiased; both sides become multiples of 4."""
    scale = side / min(image.shape[-2:])
    size = [max(SIZE_MULTIPLE * round(length * scale / SIZE_MULTIPLE), SMALLEST_SIDE) for length in image.shape[-2:]]
    if tuple(size) == tuple(image.shape[-2:]):
        return image
    return F.interpolate(image, size=size, mode="bilinear", antialias=True, align_corners=False)


def _adamw(parameters: Any) -> Optimizer:
    return AdamW(parameters, lr=2e-3, weight_decay=0.01)


class TagClassifier(LightningModule):
    """Trains a `TagNetwork` on the tags of a data set such as `ScenesData`.

    Each level of the network has its own term in the loss; validation measures each level and their mean verdict.

    Args:
        network: the network to train.
        optimizer: from parameters to optimizer; AdamW(2e-3, weight decay 0.01) by default.
        scheduler: from optimizer to scheduler, stepped once per iteration.
        max_iterations: stop after this many batches, resumed runs included; None leaves it to the Trainer.
        sizes: sides in pixels; each batch is resized to the next one, so that the network sees textures at several
            scales. Empty: no resizing.
        gamma_negative: see `asymmetric_loss`.
        gamma_positive: see `asymmetric_loss`.
        clip: see `asymmetric_loss`.

    Raises:
        ConfigError: a bad argument.
    """

    def __init__(
        self,
        network: TagNetwork,
        optimizer: OptimizerCallable = _adamw,
        scheduler: LRSchedulerCallable | None = None,
        max_iterations: int | None = None,
        sizes: tuple[int, ...] = (),
        gamma_negative: float = 4.0,
        gamma_positive: float = 0.0,
        clip: float = 0.05,
    ) -> None:
        super().__init__()
        if max_iterations is not None and max_iterations < 1:
            raise ConfigError(f"max_iterations must be at least 1, got {max_iterations}")
        if min(gamma_negative, gamma_positive) < 0 or not 0 <= clip < 1:
            raise ConfigError(
                f"the asymmetric loss needs gammas of 0 or more and a clip in [0, 1), got {gamma_negative}, "
                f"{gamma_positive} and {clip}"
            )
        if any(side < SMALLEST_SIDE or side % SIZE_MULTIPLE for side in sizes):
            raise ConfigError(f"sizes must be multiples of {SIZE_MULTIPLE} from {SMALLEST_SIDE} pixels, got {sizes}")
        self.network = network
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.max_iterations = max_iterations
        self.sizes = tuple(sizes)
        self.shape = {"gamma_negative": gamma_negative, "gamma_positive": gamma_positive, "clip": clip}
        self.iteration = 0
        self.metrics = TagMetrics(network.tags)

    def forward(self, image: Tensor) -> Tensor:
        """Probabilities of the tags, `(B, tags)`, by the mean verdict of the levels."""
        return torch.sigmoid(self.network(image).mean(dim=0))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """One iteration."""
        image, tags = batch["image"], self._tags(batch)
        if self.sizes:
            image = resize(image, self.sizes[self.iteration % len(self.sizes)])
        logits = self.network(image)
        loss = asymmetric_loss(logits, tags.expand_as(logits), **self.shape)
        if not torch.isfinite(mean_over_ranks(loss)):  # so that all processes stop together
            raise NonFiniteLossError(
                f"training stopped at iteration {self.iteration}: tags = {loss.item():g}; lower the learning rate"
            )
        self.log("train/tags", loss.detach(), batch_size=image.shape[0])
        self.log("iteration", float(self.iteration + 1), batch_size=image.shape[0])
        self.iteration += 1
        return loss

    def _tags(self, batch: Batch) -> Tensor:
        tags = batch.get("tags")
        if tags is None or tags.shape[1] != self.network.tags:
            found = "no tags" if tags is None else f"{tags.shape[1]} tags per image"
            raise DataError(f"the data has {found}, the network predicts {self.network.tags}; use data: ScenesData")
        return tags

    def measured(self) -> list[str]:
        """Names of the metrics that validation logs."""
        return [str(metric.name) for metric in self.metrics.metrics]

    def on_train_start(self) -> None:
        """Stop at once if the checkpoint already has all iterations."""
        if self.max_iterations is not None and self.iteration >= self.max_iterations:
            rank_zero_info(f"nothing to do: {self.iteration} of {self.max_iterations} iterations are already done")
            self.trainer.should_stop = True

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """End the run after `max_iterations`."""
        if self.max_iterations is not None and self.iteration >= self.max_iterations:
            self.trainer.should_stop = True

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Measure a batch."""
        self.metrics.update(self.network(batch["image"]), self._tags(batch))

    test_step = validation_step

    def on_validation_epoch_end(self) -> None:
        """Log the mean average precision."""
        self._log_metrics("val")

    def on_test_epoch_end(self) -> None:
        """Log the mean average precision."""
        self._log_metrics("test")

    def _log_metrics(self, split: str) -> None:
        # Every process has computed the same from all samples: nothing to reduce.
        self.log_dict({f"{split}/{name}": value for name, value in self.metrics.compute().items()})
        self.metrics.reset()

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """One optimizer, its scheduler stepped once per iteration."""
        optimizer = self.optimizer(self.network.parameters())
        if self.scheduler is None:
            return optimizer
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": self.scheduler(optimizer), "interval": "step"},
        }  # type: ignore[return-value]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save the counter and the network's arguments."""
        checkpoint["tag_classifier"] = {"iteration": self.iteration, "network": self.network.settings}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the counter.

        Raises:
            WeightsError: the checkpoint is of another kind of run, or of another network.
        """
        state = checkpoint.get("tag_classifier")
        if state is None:
            raise WeightsError("the checkpoint is not from a TagClassifier: it has no `tag_classifier` state")
        if state["network"] != self.network.settings:
            raise WeightsError(
                f"the checkpoint is from another network: {state['network']} in the file, {self.network.settings} "
                f"here; use the config.yaml of the run that wrote it"
            )
        self.iteration = state["iteration"]
