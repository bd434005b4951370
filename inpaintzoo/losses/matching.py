"""Feature matching: the fake should look like the real picture to the discriminator, layer by layer.

Source: pix2pixHD, Wang et al. 2018, https://arxiv.org/abs/1711.11585, eq. 4; SPN (https://arxiv.org/abs/2112.04107)
uses it with weight 10 and the mean over three layers (eq. 13).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inpaintzoo.losses.base import at_least_float32
from inpaintzoo.types import ConfigError


def feature_matching(fake: Sequence[Tensor], real: Sequence[Tensor], layers: Sequence[int] | None = None) -> Tensor:
    """Mean over layers of the mean absolute difference between a discriminator's features.

    Args:
        fake: the discriminator's output for the fake picture: features, then the logits, which are ignored.
        real: its output for the real picture, of the same shapes; no gradient flows into it.
        layers: positions in the list; None: all but the logits.

    Returns:
        A scalar, at least float32.

    Raises:
        ValueError: the lists do not match; a `ConfigError` if they hold no features, or lack one of the layers.
    """
    if len(fake) != len(real):
        raise ValueError(f"feature matching compares list by list, got {len(fake)} fake and {len(real)} real tensors")
    features = len(fake) - 1
    wanted = range(features) if layers is None else layers
    if features < 1 or any(not 0 <= layer < features for layer in wanted):
        raise ConfigError(
            f"feature matching on layers {list(wanted)}: the discriminator gives {max(features, 0)} feature maps "
            "(0 is the first) before its logits; choose among them, or use a discriminator that returns features"
        )
    return torch.stack([_layer(fake[layer], real[layer].detach()) for layer in wanted]).mean()


def _layer(fake: Tensor, real: Tensor) -> Tensor:
    if fake.shape != real.shape:
        raise ValueError(f"feature maps of fake {tuple(fake.shape)} and real {tuple(real.shape)} must have one shape")
    return F.l1_loss(at_least_float32(fake), at_least_float32(real))


class FeatureMatching(nn.Module):
    """Weighted feature matching, for the adversary that owns the discriminator.

    Args:
        weight: factor, 0 or more.
        layers: positions in the discriminator's list of features, from 0; None: all but the logits.
    """

    def __init__(self, weight: float = 10.0, layers: tuple[int, ...] | None = None) -> None:
        super().__init__()
        if weight < 0:
            raise ValueError(f"FeatureMatching: weight must be 0 or more, got {weight}")
        if layers is not None and (not layers or min(layers) < 0):
            raise ValueError(
                f"FeatureMatching: layers must name at least one position from 0, got {tuple(layers)}; null means all"
            )
        self.weight = weight
        self.layers = layers

    def forward(self, fake_features: Sequence[Tensor], real_features: Sequence[Tensor]) -> Tensor:
        """The weighted loss as a scalar; arguments as `feature_matching`."""
        return self.weight * feature_matching(fake_features, real_features, self.layers)
