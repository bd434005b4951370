"""Region normalisation and SPADE the way SPN's released code computes them.

Written from a description of that code, for clarity and not for speed. `benchmarks/speed.py` measures against it, and
the tests compare with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor


def region_plane(features: Tensor, region: Tensor, eps: float = 1e-5) -> Tensor:
    """One region, standardised over a plane whose outside is filled with the region's mean; 0 outside."""
    height, width = features.shape[-2:]
    area = region.sum(dim=(2, 3), keepdim=True)
    area = torch.where(area == 0, torch.ones_like(area), area)
    mean = (features * region).sum(dim=(2, 3), keepdim=True) / area
    filled = features * region + mean * (1 - region)
    return F.instance_norm(filled, eps=eps) * torch.sqrt(area / (height * width)) * region


def region_norm(features: Tensor, hole: Tensor) -> Tensor:
    """Both regions of `(B, C, h, w)`, by a mask `(B, 1, h, w)`."""
    hole = hole.to(features.dtype)
    return region_plane(features, hole) + region_plane(features, 1 - hole)


def spade(
    features: Tensor,
    prior: Tensor,
    hidden_weight: Tensor,
    hidden_bias: Tensor,
    gamma_weight: Tensor,
    beta_weight: Tensor,
    gamma_bias: Tensor,
    beta_bias: Tensor,
) -> Tensor:
    """Instance normalisation, a hidden map, and one convolution each for scale and shift."""
    prior = F.interpolate(prior, size=features.shape[-2:], mode="nearest")
    hidden = F.relu(F.conv2d(prior, hidden_weight, hidden_bias, padding=1))
    gamma = F.conv2d(hidden, gamma_weight, gamma_bias, padding=1)
    beta = F.conv2d(hidden, beta_weight, beta_bias, padding=1)
    return F.instance_norm(features) * (1 + gamma) + beta


def block_spade(block: torch.nn.Module, index: int, features: Tensor, prior: Tensor) -> Tensor:
    """`spade` with the weights of one of a block's modulations."""
    shared, affine = block.hidden.convolution, block.modulations[index].affine
    count = block.hidden.maps
    weights = (shared.weight.chunk(count)[index], shared.bias.chunk(count)[index])
    return spade(features, prior, *weights, *affine.weight.chunk(2), *affine.bias.chunk(2))


def middle_block(block: torch.nn.Module, features: Tensor, prior: Tensor) -> Tensor:
    """A SPADE block at a quarter of the size."""
    inner = F.relu(block_spade(block, 0, features, prior))
    inner = block.dilated(F.pad(inner, (2, 2, 2, 2), mode="reflect"))
    inner = F.relu(block_spade(block, 1, inner, prior))
    return features + block.plain(F.pad(inner, (1, 1, 1, 1), mode="reflect"))


def up_block(block: torch.nn.Module, features: Tensor, prior: Tensor) -> Tensor:
    """Upsampling first, then a SPADE block in two branches, each with its own normalisation."""
    features = F.interpolate(features, scale_factor=2, mode="nearest")
    inner = block.first(F.leaky_relu(block_spade(block, 0, features, prior), 0.2))
    inner = block.second(F.leaky_relu(block_spade(block, 1, inner, prior), 0.2))
    return inner + block.shortcut(block_spade(block, 2, features, prior))


@contextmanager
def plain_forms() -> Iterator[None]:
    """A context in which SPN and SPL compute with the functions above."""
    from inpaintzoo.layers import region_norm as norms
    from inpaintzoo.layers import spade_blocks

    with (
        mock.patch.object(norms, "normalize_regions", region_norm),
        mock.patch.object(spade_blocks.SPADEBlock, "forward", middle_block),
        mock.patch.object(spade_blocks.SPADEUpBlock, "forward", up_block),
    ):
        yield
