"""The prior learner of SPN and SPL: from a masked picture it predicts a teacher's features of the whole one.

Zhang et al., "Fully Context-Aware Image Inpainting with a Learned Semantic Pyramid", https://arxiv.org/abs/2112.04107,
section 3.1. `inpaintzoo.models.spn` lists where the released code differs from the paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from inpaintzoo.layers.residual import ResBlock, ResidualDenseBlock, ShuffleUp, reflect


class Posterior(NamedTuple):
    """Mean and standard deviation of the latent's normal distribution, `(B, latent, H / 32, W / 32)` each."""

    mean: Tensor
    std: Tensor


def run_block(block: nn.Module, *inputs: Tensor | None, checkpointing: bool) -> Tensor:
    """The block's result; with checkpointing only its inputs are kept, and it is recomputed in the backward pass."""
    if checkpointing and torch.is_grad_enabled():
        return checkpoint(block, *inputs, use_reentrant=False)
    return block(*inputs)


class PriorEncoder(nn.Module):
    """Enc_prior of equation 2, and the dense blocks after it.

    Args:
        width: channels of the first convolution.
        growth: channels that each layer of a dense block adds.
        dense_blocks: number of dense blocks.
        negative_slope: negative slope of the activation: 0 (ReLU) in SPN, 0.1 in SPL.
        checkpointing: recompute the dense blocks in the backward pass.
    """

    def __init__(
        self, width: int, growth: int, dense_blocks: int, negative_slope: float = 0.0, checkpointing: bool = False
    ) -> None:
        super().__init__()
        self.negative_slope = negative_slope
        self.checkpointing = checkpointing
        deep = 4 * width
        self.convolutions = nn.ModuleList(
            [
                nn.Conv2d(4, width, 7),
                nn.Conv2d(width, 2 * width, 4, stride=2, padding=1),
                nn.Conv2d(2 * width, deep, 4, stride=2, padding=1),
                nn.Conv2d(deep, deep, 4, stride=2, padding=1),
            ]
        )
        self.entry = nn.Conv2d(deep, deep, 3, padding=1)
        self.dense = nn.ModuleList(ResidualDenseBlock(deep, growth) for _ in range(dense_blocks))
        self.fusion = nn.Sequential(nn.Conv2d(dense_blocks * deep, deep, 1), nn.Conv2d(deep, deep, 3, padding=1))

    def forward(self, masked_image: Tensor, mask: Tensor) -> tuple[list[Tensor], Tensor]:
        """Skip maps `(B, 2 * width, H, W)` and `(B, 4 * width, H / 2, W / 2)`; features at a quarter of the size."""
        doubled = F.interpolate(torch.cat([masked_image, mask], dim=1), scale_factor=2.0, mode="nearest")
        maps = [reflect(doubled, 3)]
        for convolution in self.convolutions:
            maps.append(F.leaky_relu(convolution(maps[-1]), self.negative_slope, inplace=True))
        _, _, full, half, deep = maps
        block, results = self.entry(deep), []
        for dense in self.dense:
            block = run_block(dense, block, checkpointing=self.checkpointing)
            results.append(block)
        return [full, half], self.fusion(torch.cat(results, dim=1)) + deep


class VariationalModule(nn.Module):
    """The variational inference module (section 3.1.2, figure 3a).

    Args:
        width: channels of the network's finest map.
        latent: channels of the latent.
    """

    def __init__(self, width: int, latent: int) -> None:
        super().__init__()
        self.latent = latent
        channels = (4 * width, 8 * width, 8 * width, 8 * width)
        self.encoder = nn.ModuleList(nn.Conv2d(channels[i], channels[i + 1], 4, stride=2, padding=1) for i in range(3))
        self.mean = nn.Conv2d(channels[-1], latent, 1)
        self.std = nn.Conv2d(channels[-1], latent, 1)
        self.decoder = nn.ModuleList(ShuffleUp(latent if i == 0 else 4 * width, 4 * width) for i in range(3))

    def encode(self, features: Tensor) -> Posterior:
        """E_v of equation 5: the latent's distribution, an eighth of the size of the features."""
        for convolution in self.encoder:
            features = F.leaky_relu(convolution(features), 0.2, inplace=True)
        return Posterior(self.mean(features), F.softplus(self.std(features)))

    def decode(self, latent: Tensor) -> Tensor:
        """G_v of equation 5, first part: `(B, 4 * width, 8h, 8w)` from a latent `(B, latent, h, w)`."""
        for layer in self.decoder:
            latent = F.relu(layer(latent), inplace=True)
        return latent


class PriorDecoder(nn.Module):
    """Equation 3: residual blocks, then an upsampling step for each additional level.

    Args:
        width: channels at full size; 2 and 4 times as many at a half and a quarter of it.
        levels: levels of the pyramid.
        in_channels: channels of the features; None: `4 * width`.
    """

    def __init__(self, width: int, levels: int, in_channels: int | None = None) -> None:
        super().__init__()
        deep = 4 * width
        self.blocks = nn.ModuleList([ResBlock(in_channels or deep, deep), *(ResBlock(deep) for _ in range(3))])
        channels = [deep, 2 * width, width][:levels]
        self.ups = nn.ModuleList(ShuffleUp(channels[i], channels[i + 1]) for i in range(levels - 1))
        # A skip map has as many channels as the features enlarged to its size.
        self.merges = nn.ModuleList(ResBlock(channels[i] + channels[i + 1], channels[i + 1]) for i in range(levels - 1))

    def forward(self, features: Tensor, skips: Sequence[Tensor]) -> list[Tensor]:
        """The prior pyramid, finest first, from features at a quarter of the size and skip maps, finest first."""
        for block in self.blocks:
            features = block(features)
        pyramid = [features]
        for up, merge, skip in zip(self.ups, self.merges, reversed(skips), strict=False):
            enlarged = F.relu(up(pyramid[0]), inplace=True)
            pyramid.insert(0, merge(torch.cat([skip, enlarged], dim=1)))
        return pyramid
