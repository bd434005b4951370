"""Perceptual diversity: two samples for one damaged image should differ inside the hole.

Source: SPN, Zhang et al. 2021, https://arxiv.org/abs/2112.04107, equation 14; it follows DSGAN and Zheng et al., with
VGG features as in SPADE.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from inpaintzoo.losses.base import Frozen, Loss
from inpaintzoo.losses.perceptual import VGGFeatures, feature_distance, layer_count
from inpaintzoo.losses.reconstruction import select_pictures
from inpaintzoo.ops import resize_mask
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

    def __init__(self, network: VGGFeatures | Teacher | None, weight: float, form: Form, epsilon: float) -> None:
        super().__init__(weight)
        if form not in ("mean_of_inverses", "inverse_of_sum"):
            raise ValueError(
                f"{type(self).__name__}: form must be 'mean_of_inverses' or 'inverse_of_sum', got {form!r}"
            )
        if epsilon <= 0:
            raise ValueError(f"{type(self).__name__}: epsilon must be above 0, got {epsilon}")
        self.form: Form = form
        self.epsilon = epsilon
        self.teacher = Frozen(network if network is not None else VGGFeatures("vgg19"))
        if isinstance(network, Teacher):
            self.headline = f"{type(self).__name__} compares features of: {network.name}"

    def features(self, output: Any, batch: Batch) -> list[list[Tensor]]:
        """The network's features of the two samples."""
        return [self.teacher(picture) for picture in select_pictures(output, batch, "samples")]

    def diversity(self, features: Sequence[Sequence[Tensor]], mask: Tensor) -> Tensor:
        """Equation 14, 0 for a batch without a hole."""
        distances = hole_distances(features[0], features[1], mask)
        # Without a hole nothing can differ; the released code divides by 0.
        return torch.where(mask.sum() > 0, diversity(distances, self.form, self.epsilon), 0.0)


class Diversity(_TwoSamples):
    """Two samples of a stochastic generator should differ in the hole (SPN equation 14).

    Args:
        network: its features are compared: a `VGGFeatures` or a `Teacher`; VGG19 by default, as in the paper.
        weight: factor, 0 or more; 1 in the paper.
        form: see `inpaintzoo.losses.diversity.diversity`; the paper's by default.
        epsilon: keeps the penalty finite; 1e-5 in the paper.
    """

    def __init__(
        self,
        network: VGGFeatures | Teacher | None = None,
        weight: float = 1.0,
        form: Form = "mean_of_inverses",
        epsilon: float = 1e-5,
    ) -> None:
        super().__init__(network, weight, form, epsilon)

    def forward(self, output: Any, batch: Batch) -> Tensor:
        """The weighted loss as a scalar.

        Raises:
            ConfigError: the output has no second sample.
        """
        return self.weight * self.diversity(self.features(output, batch), batch["mask"])


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
    """

    def __init__(
        self,
        network: VGGFeatures | Teacher | None = None,
        weight: float = 10.0,
        diversity_weight: float = 1.0,
        form: Form = "mean_of_inverses",
        epsilon: float = 1e-5,
        layer_weights: tuple[float, ...] | None = None,
    ) -> None:
        if diversity_weight < 0:
            raise ValueError(f"PerceptualDiversity: diversity_weight must be 0 or more, got {diversity_weight}")
        super().__init__(network, weight, form, epsilon)
        count = layer_count(self.teacher.module)
        if layer_weights is not None and (len(layer_weights) != count or min(layer_weights) < 0):
            raise ValueError(
                f"PerceptualDiversity: layer_weights must give one number of 0 or more for each of the {count} "
                f"layers, got {layer_weights}"
            )
        self.diversity_weight = diversity_weight
        self.layer_weights = tuple(layer_weights) if layer_weights else (1 / count,) * count

    def forward(self, output: Any, batch: Batch) -> Tensor:
        """The weighted loss as a scalar.

        Raises:
            ConfigError: the output has no second sample.
        """
        features = self.features(output, batch)
        with torch.no_grad():
            real = self.teacher(batch["image"])
        distance = torch.stack([feature_distance(fake, real, self.layer_weights) for fake in features]).mean()
        return self.weight * distance + self.diversity_weight * self.diversity(features, batch["mask"])
