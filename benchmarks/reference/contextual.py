"""Contextual attention the way public code computes it: one sample at a time, patches as kernels, whole matrices.

Written from a description of that code, for clarity and not for speed. `benchmarks/speed.py` measures against it, and
the tests compare with it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def agree(scores: Tensor, height: int, width: int) -> Tensor:
    """Sum the scores of neighbouring pairs with an identity kernel, along rows and then along columns.

    Args:
        scores: `(1, keys, h, w)`, one plane per key.
        height: height of the map, in cells.
        width: width of the map, in cells.
    """
    cells, identity = height * width, torch.eye(3, dtype=scores.dtype, device=scores.device)[None, None]
    plane = scores.flatten(2)[:, None]  # (1, 1, keys, queries)
    plane = F.conv2d(plane, identity, padding=1)
    plane = plane.view(height, width, height, width).permute(1, 0, 3, 2).reshape(1, 1, cells, cells)
    plane = F.conv2d(plane, identity, padding=1)
    return plane.view(width, height, width, height).permute(1, 0, 3, 2).reshape(1, cells, height, width)


def attend_one(features: Tensor, mask: Tensor, fuse: bool = True, scale: float = 10.0) -> Tensor:
    """Contextual attention of one sample.

    Args:
        features: `(1, C, 2h, 2w)`.
        mask: `(1, 1, H, W)`, 1 = hole.
        fuse: whether neighbours agree where to copy from.
        scale: factor of the scores in the softmax.
    """
    small = F.interpolate(features, scale_factor=0.5, mode="nearest")
    channels, height, width = small.shape[1:]
    keys = F.unfold(small, 3, padding=1)[0].t().reshape(-1, channels, 3, 3)
    norms = keys.square().sum(dim=(1, 2, 3), keepdim=True).sqrt().clamp(min=1e-4)
    scores = F.conv2d(small, keys / norms, padding=1)  # (1, keys, h, w)
    if fuse:
        scores = agree(scores, height, width)
    hole = F.interpolate(mask, size=(height, width), mode="nearest")
    known = (F.unfold(hole, 3, padding=1)[0].sum(dim=0) == 0).to(features.dtype).view(1, -1, 1, 1)
    weights = torch.softmax(scores * known * scale, dim=1) * known
    values = F.unfold(features, 4, stride=2, padding=1)[0].t().reshape(-1, features.shape[1], 4, 4)
    return F.conv_transpose2d(weights, values, stride=2, padding=1) / 4


def attend_per_sample(features: Tensor, mask: Tensor, fuse: bool = True, scale: float = 10.0) -> Tensor:
    """`attend_one` of a batch `(B, C, 2h, 2w)`, `(B, 1, H, W)`, sample by sample."""
    pairs = zip(features.split(1), mask.split(1), strict=True)
    return torch.cat([attend_one(one, hole, fuse, scale) for one, hole in pairs])
