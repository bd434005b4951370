"""Attentional feature fusion: a network decides for every pixel and channel how two maps are blended.

Dai et al., "Attentional Feature Fusion", WACV 2021, https://arxiv.org/abs/2009.14082, sections 3 and 4.1. Equation
numbers refer to the dissertation that applied it to inpainting (chapter 4, see `inpaintzoo.models.aff`). The released
code returns twice the blend of equation 4.1; this is the equation.
"""

from __future__ import annotations

import warnings
from typing import Literal

import torch
from torch import Tensor, nn

from inpaintzoo.types import ConfigError

FusionNorm = Literal["batch", "group"]


class MSCAM(nn.Module):
    """Multi-scale channel attention (figure 4.2): weights from every pixel's channels and from their global averages.

    `channels^2 + 7.5 * channels` parameters at a reduction of 4.

    Args:
        channels: channels of the map, at least `reduction`, or three times that with `group`.
        reduction: factor by which the channels shrink between the two convolutions of each context.
        norm: `batch`: batch normalisation, as published. The global averages have one cell, so training needs a batch
            of 4 or more: normalising two values always gives plus and minus 1, and three are hardly better.
            `group`: group normalisation in one group, which makes samples independent of their batch; more groups
            would lose nearly all information in a map of one cell.

    Raises:
        ValueError: a bad argument, or batch normalisation in training with a batch of one.

    Warns:
        UserWarning: once, if batch normalisation trains with a batch of 2 or 3.
    """

    def __init__(self, channels: int, reduction: int = 4, norm: FusionNorm = "batch") -> None:
        super().__init__()
        if norm not in ("batch", "group"):
            raise ValueError(f"MSCAM: norm must be 'batch' or 'group', got {norm!r}")
        if reduction < 1:
            raise ValueError(f"MSCAM: reduction must be 1 or more, got {reduction}")
        # A group of two averages would always become plus and minus 1.
        least = reduction if norm == "batch" else 3 * reduction
        if channels < least:
            raise ValueError(
                f"MSCAM: channels must be {least} or more with reduction={reduction} and norm={norm!r}, got "
                f"{channels}; use a wider network (AFFNet: width) or a smaller reduction"
            )
        self.local = _context(channels, channels // reduction, norm)
        self.overall = _context(channels, channels // reduction, norm)
        self._warned = False

    def forward(self, features: Tensor) -> Tensor:
        """Weights in (0, 1), shaped like `features`, `(B, channels, h, w)`; W of equation 4.4."""
        self._check_batch(features)
        average = features.mean(dim=(2, 3), keepdim=True)
        return torch.sigmoid(self.local(features) + self.overall(average))

    def _check_batch(self, features: Tensor) -> None:
        # SyncBatchNorm, which sees the samples of all processes, is another class.
        if not self.training or features.shape[0] > 3 or not isinstance(self.overall[1], nn.BatchNorm2d):
            return
        remedy = "use norm 'group' (AFFNet: --model.generator.norm group) or a batch of 4 or more (--data.batch_size 4)"
        if features.shape[0] == 1:
            raise ConfigError(
                f"MSCAM: batch normalisation of a global average cannot train with a batch of one; {remedy}"
            )
        if not self._warned and not torch.compiler.is_compiling():
            self._warned = True
            warnings.warn(
                f"MSCAM: batch normalisation leaves next to nothing of the global averages in batches of "
                f"{features.shape[0]}, plus and minus 1 in a batch of 2; {remedy}",
                stacklevel=2,
            )


class AFF(nn.Module):
    """Attentional feature fusion, `M(x + y) * x + (1 - M(x + y)) * y` (equation 4.1).

    Args:
        channels: channels of both maps.
        reduction: see `MSCAM`.
        norm: see `MSCAM`.
    """

    def __init__(self, channels: int, reduction: int = 4, norm: FusionNorm = "batch") -> None:
        super().__init__()
        self.attention = MSCAM(channels, reduction, norm)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Blend two `(B, channels, h, w)` of one shape; the result lies between them everywhere.

        Raises:
            ValueError: the shapes of the maps differ.
        """
        if x.shape != y.shape:
            raise ValueError(f"AFF: both maps must have the same shape, got {tuple(x.shape)} and {tuple(y.shape)}")
        weight = self.attention(x + y).to(y.dtype)  # group normalisation returns float32 even under autocast
        return y + weight * (x - y)


def _context(channels: int, hidden: int, norm: FusionNorm) -> nn.Sequential:
    """Equations 4.2 and 4.3: two 1x1 convolutions across the channels, each normalised, with a ReLU between them."""
    return nn.Sequential(
        nn.Conv2d(channels, hidden, 1),
        _normalisation(hidden, norm),
        nn.ReLU(),
        nn.Conv2d(hidden, channels, 1),
        _normalisation(channels, norm),
    )


def _normalisation(channels: int, norm: FusionNorm) -> nn.Module:
    return nn.BatchNorm2d(channels) if norm == "batch" else nn.GroupNorm(1, channels)
