"""Perceptual diversity: two samples for one damaged image should differ inside the hole.

Source: SPN, Zhang et al. 2021, https://arxiv.org/abs/2112.04107, equation 14; it follows DSGAN and Zheng et al., with
VGG features as in SPADE.

With the paper's epsilon of 1e-5, the two samples of an untrained network, which hardly differ, get a gradient thousands
of times the image loss's, and the network learns patterns that excite the frozen network. `calibrate` measures
distances in units of `feature_spread`, so that one setting suits every frozen network. With weight 0.1 and epsilon
0.05, the term's gradient starts about as large as that of the image loss, and falls as the samples part.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from inpaintzoo.losses.base import Frozen, Loss
from inpaintzoo.losses.perceptual import VGGFeatures, feature_distance, layer_count
from inpaintzoo.losses.reconstruction import select_pictures
from inpaintzoo.ops import mean_over_ranks, resize_mask
from inpaintzoo.teachers import Teacher
from inpaintzoo.types import Batch

Form = Literal["mean_of_inverses", "inverse_of_sum"]


def hole_distances(first: Sequence[Tensor], second: Sequence[Tensor], mask: Tensor) -> Tensor:
    """Mean absolute difference of `(B, C, h, w)` features over the hole, per layer: `(layers,)`, 0 without a hole.

    Args:
        first: features of one sample, one tensor per layer.
        second: features of the other.
        mask: `(B, 1, H, W)`, 1 = hole; a layer's cell counts if it contains any hole, so that no layer misses a thin
            one, where the distance would be 0 and its inverse huge.
    """
    distances = []
    for one, other in zip(first, second, strict=True):
        hole = resize_mask(mask, (one.shape[-2], one.shape[-1]), "any").float()
        difference = ((one.float() - other.float()).abs() * hole).sum()
        distances.append(difference / (hole.sum() * one.shape[1]).clamp(min=1))
    return torch.stack(distances)


def feature_spread(features: Sequence[Tensor]) -> Tensor:
    """Mean absolute deviation of `(B, C, h, w)` features from their channel's mean, per layer: `(layers,)`, above 0.

    The mean is over pictures and positions; both are means over all processes.
    """
    spreads = []
    for level in features:
        level = level.detach().float()
        mean = mean_over_ranks(level.mean(dim=(0, 2, 3), keepdim=True))
        spreads.append((level - mean).abs().mean())
    return mean_over_ranks(torch.stack(spreads)).clamp(min=1e-3)


def diversity(distances: Tensor, form: Form = "mean_of_inverses", epsilon: float = 1e-5) -> Tensor:
    """The penalty for two samples being alike, a scalar.

    Args:
        distances: `(layers,)`, see `hole_distances`.
        form: `mean_of_inverses`: mean over layers of `1 / (d + epsilon)` (equation 14); `inverse_of_sum`:
            `1 / (sum of d + epsilon)` (SPN's released code).
        epsilon: keeps the penalty finite.
    """
    if form == "inverse_of_sum":
        return 1 / (distances.sum() + epsilon)
    return (1 / (distances + epsilon)).mean()


class _TwoSamples(Loss):
    """Base of the losses that compare a frozen network's features of two samples."""

    def __init__(
        self, network: VGGFeatures | Teacher | None, weight: float, form: Form, epsilon: float, calibrate: bool
    ) -> None:
        super().__init__(weight)
        if form not in ("mean_of_inverses", "inverse_of_sum"):
            raise ValueError(
                f"{type(self).__name__}: form must be 'mean_of_inverses' or 'inverse_of_sum', got {form!r}"
            )
        if epsilon <= 0:
            raise ValueError(f"{type(self).__name__}: epsilon must be above 0, got {epsilon}")
        self.form: Form = form
        self.epsilon = epsilon
        self.calibrate = calibrate
        self.teacher = Frozen(network if network is not None else VGGFeatures("vgg19"))
        if isinstance(network, Teacher):
            self.headline = f"{type(self).__name__} compares features of: {network.name}"

    def features(self, output: Any, batch: Batch) -> list[list[Tensor]]:
        """The network's features of the two samples."""
        return [self.teacher(picture) for picture in select_pictures(output, batch, "samples")]

    def diversity(self, features: Sequence[Sequence[Tensor]], mask: Tensor, real: Sequence[Tensor] | None) -> Tensor:
        """Equation 14, 0 for a batch without a hole; `real`: the truth's features, to calibrate by."""
        distances = hole_distances(features[0], features[1], mask)
        if real is not None:
            distances = distances / feature_spread(real)
        # Without a hole nothing can differ; the released code divides by 0.
        return torch.where(mask.sum() > 0, diversity(distances, self.form, self.epsilon), 0.0)


class Diversity(_TwoSamples):
    """Two samples of a stochastic generator should differ in the hole (SPN equation 14).

    Args:
        network: its features are compared: a `VGGFeatures` or a `Teacher`; VGG19 by default, as in the paper.
        weight: factor, 0 or more; 1 in the paper.
        form: see `inpaintzoo.losses.diversity.diversity`; the paper's by default.
        epsilon: keeps the penalty finite; 1e-5 in the paper.
        calibrate: measure distances in units of the spread of the network's features over the batch's pictures; use an
            `epsilon` of about 0.05 then. The paper does not.
    """

    def __init__(
        self,
        network: VGGFeatures | Teacher | None = None,
        weight: float = 1.0,
        form: Form = "mean_of_inverses",
        epsilon: float = 1e-5,
        calibrate: bool = False,
    ) -> None:
        super().__init__(network, weight, form, epsilon, calibrate)

    def forward(self, output: Any, batch: Batch) -> Tensor:
        """The weighted loss as a scalar.

        Raises:
            ConfigError: the output has no second sample.
        """
        with torch.no_grad():
            real = self.teacher(batch["image"]) if self.calibrate else None
        return self.weight * self.diversity(self.features(output, batch), batch["mask"], real)


class PerceptualDiversity(_TwoSamples):
    """Feature distance of both samples from the truth, and their diversity, in three network passes instead of five.

    `weight * mean over samples of sum over layers (layer weight * L1) + diversity_weight * diversity`: SPN's equation
    14 and the second half of 13.

    Args:
        network: its features are compared: a `VGGFeatures` or a `Teacher`; VGG19 by default, as in the paper.
        weight: factor of the distance from the truth, 0 or more; 10 in the paper.
        diversity_weight: factor of the diversity, 0 or more; 1 in the paper.
        form: see `inpaintzoo.losses.diversity.diversity`; the paper's by default.
        epsilon: keeps the penalty finite; 1e-5 in the paper.
        layer_weights: one per layer, for the distance from the truth; None: the mean over layers (equation 13). The
            released code has 1/32, 1/16, 1/8, 1/4, 1.
        calibrate: see `Diversity`.
    """

    def __init__(
        self,
        network: VGGFeatures | Teacher | None = None,
        weight: float = 10.0,
        diversity_weight: float = 1.0,
        form: Form = "mean_of_inverses",
        epsilon: float = 1e-5,
        layer_weights: tuple[float, ...] | None = None,
        calibrate: bool = False,
    ) -> None:
        if diversity_weight < 0:
            raise ValueError(f"PerceptualDiversity: diversity_weight must be 0 or more, got {diversity_weight}")
        super().__init__(network, weight, form, epsilon, calibrate)
        count = layer_count(self.teacher.module)
        if layer_weights is not None and (len(layer_weights) != count or min(layer_weights) < 0):
            raise ValueError(
                f"PerceptualDiversity: layer_weights must give one number of 0 or more for each of the {count} "
                f"layers, got {layer_weights}"
            )
        self.diversity_weight = diversity_weight
        self.layer_weights = tuple(layer_weights) if layer_weights else (1 / count,) * count

    @property
    def active(self) -> bool:  # noqa: D102
        return self.weight > 0 or self.diversity_weight > 0

    def forward(self, output: Any, batch: Batch) -> Tensor:
        """The weighted loss as a scalar.

        Raises:
            ConfigError: the output has no second sample.
        """
        features = self.features(output, batch)
        with torch.no_grad():
            real = self.teacher(batch["image"]) if self.weight > 0 or self.calibrate else []
        loss = output.image.new_zeros(())
        if self.weight > 0:
            distances = [feature_distance(fake, real, self.layer_weights) for fake in features]
            loss = loss + self.weight * torch.stack(distances).mean()
        if self.diversity_weight > 0:
            scale = real if self.calibrate else None
            loss = loss + self.diversity_weight * self.diversity(features, batch["mask"], scale)
        return loss
