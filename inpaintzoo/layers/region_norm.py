"""Region normalisation: hole and valid pixels are standardised separately.

Yu et al., "Region Normalization for Image Inpainting", AAAI 2020, https://arxiv.org/abs/1911.10375. The released code
fills the outside of each region with the region's mean, applies instance normalisation to the two planes and scales
them by `sqrt(area / (h * w))`. Without the filled planes this is, for a region of `area` cells,

    y = (x - mean) / sqrt(variance + eps * h * w / area)

which is what this module computes. As released, the shifts of both regions are added everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from inpaintzoo.ops import is_exporting, resize_mask


def normalize_regions(features: Tensor, hole: Tensor, eps: float = 1e-5) -> Tensor:
    """Zero mean and unit variance for every sample, channel and region.

    Args:
        features: `(B, C, h, w)`. Statistics are computed in float32 (float64 for float64).
        hole: `(B, 1, h, w)`, 0 or 1; the two values are the two regions, and either may be empty.
        eps: added to the variances, times `h * w / area`.

    Returns:
        `(B, C, h, w)` in the dtype of the features.
    """
    wide = features.to(torch.promote_types(features.dtype, torch.float32))
    region = hole.to(wide.dtype)
    regions = (region, 1 - region)
    areas = [cells.sum(dim=(2, 3), keepdim=True).clamp(min=1) for cells in regions]
    inside, size = hole.bool(), features.shape[-2] * features.shape[-1]

    hole_mean, valid_mean = _means(wide, regions, areas)
    centred = wide - torch.where(inside, hole_mean, valid_mean)
    variances = _means(centred.square(), regions, areas)
    hole_scale, valid_scale = (
        torch.rsqrt(variance + eps * size / area) for variance, area in zip(variances, areas, strict=True)
    )
    return (centred * torch.where(inside, hole_scale, valid_scale)).to(features.dtype)


def _means(values: Tensor, regions: Sequence[Tensor], areas: Sequence[Tensor]) -> list[Tensor]:
    """Mean of each sample and channel over each region; 0 where it is empty."""
    # Row by row when exported: onnxruntime adds cells one by one, which on large flat areas leaves errors that the
    # variance magnifies.
    parts = [values * cells for cells in regions]
    if is_exporting():
        parts = [part.sum(dim=3, keepdim=True) for part in parts]
    return [part.sum(dim=(2, 3), keepdim=True) / area for part, area in zip(parts, areas, strict=True)]


class RegionNorm(nn.Module):
    """Region normalisation by the mask (RN-B), with a learned scale and shift for each region.

    Args:
        channels: channels of the features. Scales start at 1, shifts at 0.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.hole_gamma = nn.Parameter(torch.zeros(channels))
        self.hole_beta = nn.Parameter(torch.zeros(channels))
        self.valid_gamma = nn.Parameter(torch.zeros(channels))
        self.valid_beta = nn.Parameter(torch.zeros(channels))

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """Normalise `(B, channels, h, w)` by a mask `(B, 1, H, W)`, 1 = hole, of any size (resized by nearest)."""
        hole = resize_mask(mask, (features.shape[-2], features.shape[-1]), "nearest")
        column = (1, -1, 1, 1)
        scale = torch.where(hole.bool(), self.hole_gamma.view(column), self.valid_gamma.view(column)) + 1
        shift = (self.hole_beta + self.valid_beta).view(column)
        return torch.addcmul(shift, normalize_regions(features, hole), scale).to(features.dtype)


class LearnedRegionNorm(nn.Module):
    """Region normalisation by a map computed from the features (RN-L), for layers where the mask no longer applies.

    Mean and maximum over the channels give a map in [0, 1]; its cells at `threshold` or above are one region. Scale
    and shift, one channel each, are computed from the map before thresholding.

    Args:
        threshold: threshold that turns the map into regions; 0.8 as released.
    """

    def __init__(self, threshold: float = 0.8) -> None:
        super().__init__()
        if not 0 < threshold < 1:
            raise ValueError(f"LearnedRegionNorm: threshold must lie between 0 and 1, got {threshold}")
        self.threshold = threshold
        self.attention = nn.Conv2d(2, 1, 7, padding=3, bias=False)
        self.affine = nn.Conv2d(1, 2, 7, padding=3)  # gamma, then beta

    def forward(self, features: Tensor) -> Tensor:
        """Normalise `(B, C, h, w)`."""
        pooled = torch.cat([features.mean(dim=1, keepdim=True), features.amax(dim=1, keepdim=True)], dim=1)
        attention = torch.sigmoid(self.attention(pooled))
        gamma, beta = self.affine(attention).chunk(2, dim=1)
        normalised = normalize_regions(features, (attention >= self.threshold).detach())
        return torch.addcmul(beta, normalised.to(gamma.dtype), 1 + gamma)
