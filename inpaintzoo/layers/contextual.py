"""Contextual attention: a map's hole is rebuilt from its own known patches, and neighbours agree where from.

Yu et al., "Generative Image Inpainting with Contextual Attention", CVPR 2018, https://arxiv.org/abs/1801.07892,
section 4, as in the code of the gated network that followed it (https://arxiv.org/abs/1806.03589). The papers write the
similarity as a cosine; the code normalises the keys only, and so does this. Every sample has its own mask (public code
takes the first one of the batch for all), and a mask without any known patch gives zeros.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inpaintzoo.layers.attention import Engine, patch_norm, valid_keys


def _aligned_half(features: Tensor) -> Tensor:
    """Half the size by nearest neighbour with aligned corners, as TensorFlow's resize of the released network does."""
    for dim in (2, 3):
        size = features.shape[dim] // 2
        out = torch.arange(size, device=features.device)
        # round(i * (2 * size - 1) / (size - 1)), halves up, in whole numbers
        steps = max(size - 1, 1)
        features = features.index_select(dim, (2 * out * (2 * size - 1) + steps) // (2 * steps))
    return features


class ContextualAttention(nn.Module):
    """Attention over a map's own patches; no parameters.

    Args:
        fuse: whether neighbouring places should copy from neighbouring patches.
        scale: factor of the scores in the softmax.
        aligned: whether maps and masks are halved with aligned corners, as released TensorFlow weights need.
    """

    def __init__(self, fuse: bool = True, scale: float = 10.0, aligned: bool = False, engine: Engine = "auto") -> None:
        super().__init__()
        if scale <= 0:
            raise ValueError(f"ContextualAttention: scale must be above 0, got {scale}")
        self.fuse, self.scale, self.aligned, self.engine = fuse, scale, aligned, engine

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """Rebuild a map.

        Args:
            features: `(B, C, h, w)`, sides even.
            mask: `(B, 1, H, W)`, 1 = hole, at a multiple of the map's size.

        Returns:
            `(B, C, h, w)`.
        """
        small = _aligned_half(features) if self.aligned else features[:, :, ::2, ::2]
        hole = F.interpolate(mask, size=features.shape[2:], mode="nearest")
        if self.aligned:
            hole = mask
            while hole.shape[2] > small.shape[2]:
                hole = _aligned_half(hole)
        valid = valid_keys(hole, (small.shape[2], small.shape[3]), resize="nearest")
        keys, queries = (F.unfold(s, 3, padding=1) for s in (small / 1, small))
        norm = patch_norm(small, 3).flatten(2)
        scores = queries.transpose(1, 2) @ (keys / norm)
        if self.fuse:
            scores = fused(scores, small.shape[2], small.shape[3])
        v = valid.flatten(2)
        weights = torch.softmax(scores * v * self.scale, dim=-1) * v
        patches = F.unfold(features, 4, stride=2, padding=1)
        out = patches @ weights.transpose(1, 2)
        return F.fold(out, features.shape[2:], 4, stride=2, padding=1) / 4


def _diagonal(scores: Tensor) -> Tensor:
    padded = F.pad(scores, (1, 1, 1, 1))
    return padded[:, 1:-1, 1:-1] + padded[:, 2:, 2:] + padded[:, :-2, :-2]


def fused(scores: Tensor, height: int, width: int) -> Tensor:
    n = height * width
    scores = _diagonal(scores)
    swapped = scores.view(-1, height, width, height, width).permute(0, 2, 1, 4, 3).reshape(-1, n, n)
    return _diagonal(swapped).view(-1, width, height, width, height).permute(0, 2, 1, 4, 3).reshape(-1, n, n)
