"""Hole ratios and the bins that tables are broken down by: the arithmetic exists once, for masks and for metrics."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor

# Liu et al. 2018 (https://arxiv.org/abs/1804.07723): the six levels of the NVIDIA irregular test masks.
RATIO_EDGES: tuple[float, ...] = (0.01, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)


def mask_ratio(mask: Tensor) -> Tensor:
    """Hole pixels over all pixels, one value a sample.

    Args:
        mask: `(B, 1, H, W)`, 1 = hole.

    Returns:
        `(B,)` in [0, 1]; float64 where the device has it, because 10 of 100 pixels must equal an edge of 0.1.
    """
    holes = (mask > 0.5).flatten(1).sum(dim=1)
    precision = torch.float32 if mask.device.type == "mps" else torch.float64
    return holes.to(precision) / mask[0].numel()


def ratio_bin(ratio: float, edges: Sequence[float] = RATIO_EDGES) -> str:
    """The label of the bin a hole ratio falls into, such as `0.2-0.3`.

    Bins are open on the left and closed on the right, as in the papers: 0.2 belongs to `0.1-0.2`. What lies
    outside the edges has a bin too, `0-0.01` (with 0 itself) and `0.6-1`, so that no sample vanishes from a table.

    Args:
        ratio: in [0, 1]. It is compared after rounding to 7 decimals, so that a ratio that went through float32
            stays on its side of an edge.
        edges: strictly increasing, in [0, 1].

    Raises:
        ValueError: a ratio or edges out of range.
    """
    if not 0.0 <= ratio <= 1.0:  # also refuses NaN
        raise ValueError(f"a hole ratio must lie in [0, 1], got {ratio}")
    bounds = _bounds(edges)
    rounded = round(ratio, 7)
    position = next(i for i in range(1, len(bounds)) if rounded <= bounds[i])
    return _label(bounds[position - 1], bounds[position])


def bin_labels(edges: Sequence[float] = RATIO_EDGES) -> list[str]:
    """Every label that `ratio_bin` can return, from small holes to large: the rows of a table."""
    bounds = _bounds(edges)
    return [_label(low, high) for low, high in itertools.pairwise(bounds)]


def _bounds(edges: Sequence[float]) -> list[float]:
    ordered = all(low < high for low, high in itertools.pairwise(edges))
    if not edges or not ordered or not all(math.isfinite(edge) and 0.0 <= edge <= 1.0 for edge in edges):
        raise ValueError(f"ratio edges must increase strictly within [0, 1], got {list(edges)}")
    return [*([0.0] if edges[0] > 0.0 else []), *edges, *([1.0] if edges[-1] < 1.0 else [])]


def _label(low: float, high: float) -> str:
    return f"{low:g}-{high:g}"
