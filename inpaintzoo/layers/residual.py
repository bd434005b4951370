"""Residual blocks without normalisation, dense residual blocks, and upsampling by pixel shuffle."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def reflect(features: Tensor, padding: int) -> Tensor:
    """Mirror the borders of `(B, C, h, w)` by `padding` pixels on all four sides."""
    return F.pad(features, (padding,) * 4, mode="reflect")


class ResBlock(nn.Module):
    """Two 3x3 convolutions with mirrored borders and a ReLU between them, plus a shortcut.

    The shortcut is the identity, or another 3x3 convolution if the number of channels changes (as in SPN).

    Args:
        channels: channels of the input.
        out_channels: channels of the result; None: the same as the input.
    """

    def __init__(self, channels: int, out_channels: int | None = None) -> None:
        super().__init__()
        after = channels if out_channels is None else out_channels
        self.first = nn.Conv2d(channels, after, 3)
        self.second = nn.Conv2d(after, after, 3)
        self.shortcut = None if after == channels else nn.Conv2d(channels, after, 3)

    def forward(self, features: Tensor) -> Tensor:
        """Refine `(B, channels, h, w)`, both sides 2 or more."""
        padded = reflect(features, 1)
        inner = self.second(reflect(F.relu(self.first(padded)), 1))
        return inner + (features if self.shortcut is None else self.shortcut(padded))


class ResidualDenseBlock(nn.Module):
    """3x3 convolutions that each read all earlier results, a 1x1 convolution over everything, and the identity.

    Zhang et al., "Residual Dense Network for Image Super-Resolution", CVPR 2018, https://arxiv.org/abs/1802.08797.

    Args:
        channels: channels of the features.
        growth: channels that each layer adds.
        layers: number of layers.
    """

    def __init__(self, channels: int, growth: int = 32, layers: int = 6) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv2d(channels + i * growth, growth, 3, padding=1) for i in range(layers))
        self.fusion = nn.Conv2d(channels + layers * growth, channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Refine `(B, channels, h, w)`."""
        dense = features
        for layer in self.layers:
            dense = torch.cat([dense, F.relu(layer(dense))], dim=1)
        return self.fusion(dense) + features


class ShuffleUp(nn.Module):
    """Twice the height and width: a 3x3 convolution to four times the channels, whose quarters become pixels.

    Args:
        channels: channels of the input.
        out_channels: channels of the result.
    """

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels, 4 * out_channels, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """`(B, channels, h, w)` to `(B, out_channels, 2h, 2w)`."""
        return F.pixel_shuffle(self.convolution(features), 2)
