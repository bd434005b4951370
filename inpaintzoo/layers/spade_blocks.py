"""SPADE residual blocks, in which a prior modulates the features, and for ablations the same blocks without a prior.

Zhang et al., "Fully Context-Aware Image Inpainting with a Learned Semantic Pyramid", https://arxiv.org/abs/2112.04107,
section 3.2, after Park et al. (`inpaintzoo.layers.spade`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inpaintzoo.layers.residual import reflect
from inpaintzoo.layers.spade import HiddenMaps, Modulation, instance_normalize

Conditioning = Literal["spade", "concat", "none"]


class _NoHiddenMaps(nn.Module):
    """Placeholder for the hidden maps of a block without a prior."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.maps = maps

    def forward(self, prior: Tensor | None, size: tuple[int, int]) -> tuple[None, ...]:
        return (None,) * self.maps


class _NoModulation(nn.Module):
    """Placeholder for the modulation of a block without a prior."""

    def forward(self, normalised: Tensor, hidden: None) -> Tensor:
        return normalised


def _conditioner(channels: Sequence[int], prior_channels: int, hidden: int) -> tuple[nn.Module, nn.ModuleList]:
    """Hidden maps of one prior and the modulations that read them; placeholders if `prior_channels` is 0."""
    if prior_channels == 0:
        return _NoHiddenMaps(len(channels)), nn.ModuleList(_NoModulation() for _ in channels)
    return HiddenMaps(prior_channels, hidden, len(channels)), nn.ModuleList(Modulation(c, hidden) for c in channels)


class SPADEBlock(nn.Module):
    """SPADE residual block at a quarter of the size, its first convolution dilated (equation 9, first line).

    Args:
        channels: channels of the features.
        prior_channels: channels of the prior; 0: the block only normalises.
        hidden: channels of SPADE's hidden maps.
    """

    def __init__(self, channels: int, prior_channels: int, hidden: int) -> None:
        super().__init__()
        self.hidden, self.modulations = _conditioner((channels, channels), prior_channels, hidden)
        self.dilated = nn.Conv2d(channels, channels, 3, dilation=2)
        self.plain = nn.Conv2d(channels, channels, 3)

    def forward(self, features: Tensor, prior: Tensor | None) -> Tensor:
        """Refine `(B, channels, h, w)`, both sides 3 or more, by a prior of any size."""
        first, second = self.hidden(prior, tuple(features.shape[-2:]))
        inner = F.relu(self.modulations[0](instance_normalize(features), first))
        inner = self.dilated(reflect(inner, 2))
        inner = F.relu(self.modulations[1](instance_normalize(inner), second))
        return features + self.plain(reflect(inner, 1))


class SPADEUpBlock(nn.Module):
    """Upsampling and a SPADE residual block in two branches (figure 3b; equation 9, second line).

    Args:
        channels: channels of the features.
        out_channels: channels of the result.
        prior_channels: channels of the prior.
        hidden: channels of SPADE's hidden maps.
        conditioning: `spade`: the prior modulates; `concat`: it is concatenated to the input; `none`: it is ignored.
    """

    def __init__(
        self, channels: int, out_channels: int, prior_channels: int, hidden: int, conditioning: Conditioning = "spade"
    ) -> None:
        super().__init__()
        self.concat = conditioning == "concat"
        before = channels + (prior_channels if self.concat else 0)
        modulated = prior_channels if conditioning == "spade" else 0
        self.hidden, self.modulations = _conditioner((before, out_channels, before), modulated, hidden)
        self.first = nn.Conv2d(before, out_channels, 3, padding=1)
        self.second = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.shortcut = nn.Conv2d(before, out_channels, 3, padding=1)

    def forward(self, features: Tensor, prior: Tensor | None) -> Tensor:
        """`(B, channels, h, w)` to `(B, out_channels, 2h, 2w)`."""
        # Repeating pixels changes neither mean nor variance, so the small map is normalised, once for both branches.
        normalised = F.interpolate(instance_normalize(features), scale_factor=2.0, mode="nearest")
        if self.concat and prior is not None:
            normalised = torch.cat([normalised, prior], dim=1)
        first, second, third = self.hidden(prior, tuple(normalised.shape[-2:]))
        inner = self.first(F.leaky_relu(self.modulations[0](normalised, first), 0.2))
        inner = self.second(F.leaky_relu(self.modulations[1](instance_normalize(inner), second), 0.2))
        return inner + self.shortcut(self.modulations[2](normalised, third))
