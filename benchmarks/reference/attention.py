"""Attention transfer the way PEN-Net's released code computes it: one sample at a time, patches as kernels.

Written from a description of that code, for clarity and not for speed. `benchmarks/speed.py` measures against it, and
the tests compare with it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def valid_keys(mask: Tensor, size: tuple[int, int], kernel: int) -> Tensor:
    """Which keys see no hole at all: `(B, h * w)` of 0 and 1, after a bilinear resize with aligned corners."""
    small = F.interpolate(mask, size=size, mode="bilinear", align_corners=True)
    patches = F.unfold(small, kernel, padding=kernel // 2)
    return (patches.mean(dim=1) == 0).to(mask.dtype)


def transfer_one(shallow: Tensor, deep: Tensor, valid: Tensor, kernel: int) -> Tensor:
    """Attention of one sample.

    Args:
        shallow: `(1, C, 2h, 2w)`, the map whose patches are copied.
        deep: `(1, D, h, w)`, the map whose patches are compared.
        valid: `(h * w,)`, 1 where a key may be copied from.
        kernel: side of the compared patches.
    """
    channels, (height, width) = deep.shape[1], deep.shape[-2:]
    keys = F.unfold(deep, kernel, padding=kernel // 2)[0].t().reshape(height * width, channels, kernel, kernel)
    norms = keys.pow(2).sum(dim=(1, 2, 3), keepdim=True).sqrt().clamp(min=1e-4)
    scores = F.conv2d(deep, keys / norms, padding=kernel // 2)  # (1, keys, h, w)
    gate = valid.view(1, -1, 1, 1)
    attention = torch.softmax(scores * gate * 10.0, dim=1) * gate
    attention = attention.clamp(min=1e-8)
    values = F.unfold(shallow, 4, stride=2, padding=1)[0].t().reshape(height * width, shallow.shape[1], 4, 4)
    return F.conv_transpose2d(attention, values, stride=2, padding=1) / 4


def transfer_per_sample(shallow: Tensor, deep: Tensor, mask: Tensor, kernel: int) -> Tensor:
    """Attention transfer of a batch `(B, C, 2h, 2w)`, `(B, D, h, w)`, `(B, 1, H, W)`, sample by sample."""
    valid = valid_keys(mask, (deep.shape[-2], deep.shape[-1]), kernel)
    samples = [transfer_one(shallow[i : i + 1], deep[i : i + 1], valid[i], kernel) for i in range(len(deep))]
    return torch.cat(samples)


def cosine_transfer_one(shallow: Tensor, deep: Tensor, mask: Tensor, kernel: int, scale: float) -> Tensor:
    """Attention of one sample as the equations of PEN-Net and SRPNet have it: cosines, known patches, the hole alone.

    Args:
        shallow: `(1, C, 2h, 2w)`, the map whose patches are copied.
        deep: `(1, D, h, w)`, the map whose patches are compared.
        mask: `(1, 1, H, W)`, 1 = hole; the maps' cells take its nearest pixel.
        kernel: side of the compared patches.
        scale: factor of the cosines in the softmax.
    """
    hole = F.interpolate(mask, size=deep.shape[-2:], mode="nearest")
    known = F.unfold(hole, kernel, padding=kernel // 2)[0].sum(dim=0) == 0
    patches = F.normalize(F.unfold(deep, kernel, padding=kernel // 2)[0], dim=0, eps=1e-4)  # (D * kernel**2, h * w)
    attention = torch.softmax(scale * patches.t() @ patches[:, known], dim=1)

    def rebuild(value: Tensor) -> Tensor:
        copied = F.unfold(value, 4, stride=2, padding=1)[0][:, known] @ attention.t()
        return F.fold(copied[None], shallow.shape[-2:], 4, stride=2, padding=1)

    rebuilt = rebuild(shallow) / rebuild(torch.ones_like(shallow))  # without what lies outside the map
    shallow_hole = F.interpolate(mask, size=shallow.shape[-2:], mode="nearest")
    return torch.where(shallow_hole.bool(), rebuilt, shallow)


def cosine_transfer_per_sample(shallow: Tensor, deep: Tensor, mask: Tensor, kernel: int, scale: float = 10.0) -> Tensor:
    """`cosine_transfer_one` of a batch, sample by sample."""
    rows = [slice(i, i + 1) for i in range(len(deep))]
    return torch.cat([cosine_transfer_one(shallow[i], deep[i], mask[i], kernel, scale) for i in rows])
