"""How much the fills of a stochastic generator differ from each other, over all pairs of an image's fills."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from inpaintzoo.metrics.base import SampleMetric, exact
from inpaintzoo.metrics.perceptual import LPIPS, LPIPSNetwork
from inpaintzoo.metrics.pixel import hole_mean


class DiversityL1(SampleMetric):
    """Mean over pairs of fills of the mean absolute difference inside the hole, images in [0, 1]."""

    name = "diversity_l1"
    better = "higher"

    @property
    def definition(self) -> str:
        """Formula and region."""
        return "mean over pairs of an image's fills of mean |a - b| over hole pixels and channels, [0, 1] images"

    def measure(self, fills: Tensor, mask: Tensor) -> Tensor:
        """Diversity of the fills of one image."""
        fills, mask = exact(fills), exact(mask)
        return torch.stack([hole_mean((a - b).abs(), mask) for a, b in combinations(fills, 2)]).mean()


class DiversityLPIPS(SampleMetric):
    """Mean over pairs of fills of their LPIPS distance over the frame (Zhu et al. 2017; SPN's comparison).

    Args:
        net: the backbone, as in `LPIPS`.
        weights: local file with torchvision's weights of the backbone, as in `LPIPS`.
    """

    better = "higher"
    pretrained = True
    extractor: LPIPSNetwork

    def __init__(self, net: Literal["alex", "vgg"] = "alex", weights: str | Path | None = None) -> None:
        distance = LPIPS(net, weights)
        self.extractor = distance.extractor
        self.name = f"diversity_{distance.name}"
        self._distance = distance.definition

    @property
    def definition(self) -> str:
        """Formula, version and backbone."""
        return f"mean over pairs of an image's fills of their {self._distance}"

    def measure(self, fills: Tensor, mask: Tensor) -> Tensor:
        """Diversity of the fills of one image; each fill passes through the network once."""
        self.prepare(fills.device)  # it may have changed
        first, second = zip(*combinations(range(len(fills)), 2), strict=True)
        layers = self.extractor(fills.float())
        return self.extractor.distance([x[list(first)] for x in layers], [x[list(second)] for x in layers]).mean()
