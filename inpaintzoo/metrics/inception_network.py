"""The Inception network that FID, IS, U-IDS and P-IDS look through.

The network, its weights and its resizing to 299x299 are torch-fidelity's port of the original TensorFlow Inception;
images are rounded to 8 bits first, as if they came from PNG files.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3, FeatureExtractorInceptionV3

from inpaintzoo.files.published import published_file, read_state
from inpaintzoo.metrics.base import SetMetric
from inpaintzoo.metrics.extractors import Extractor
from inpaintzoo.types import WeightsError

_LAYERS = ["2048", "logits_unbiased"]


Plane = tuple[np.ndarray, float]  # normal and offset


class InceptionFeatures(NamedTuple):
    """Inception's features of a batch of pictures, on the CPU.

    Attributes:
        pooled: `(B, 2048)`, from the last pooling layer.
        logits: `(B, 1008)`, without bias.
    """

    pooled: Tensor
    logits: Tensor


class Inception(Extractor):
    """The network.

    Args:
        weights: local file with torch-fidelity's Inception weights; without one, torch hub's cache is used, and filled
            if necessary.
    """

    def __init__(self, weights: str | Path | None = None) -> None:
        self.weights = weights
        self.key = f"inception:{weights or ''}"
        self.network: nn.Module | None = None
        self.planes: dict[bytes, Plane] = {}  # what U-IDS and P-IDS have fitted to features, by their digest

    def prepare(self, what: str, device: torch.device) -> None:  # noqa: D102
        if self.network is None:
            self.network = _load(what, read_state(published_file(URL_INCEPTION_V3, what, self.weights), what))
        self.network.to(device)

    def visible(self, images: Tensor) -> Tensor:
        """The images' 8-bit levels."""
        return (images * 255).round().to(torch.uint8)

    def __call__(self, images: Tensor) -> InceptionFeatures:
        """Features of `(B, 3, H, W)` images in [0, 1]."""
        assert self.network is not None, "prepare() comes first"
        pooled, logits = self.network(self.visible(images))
        return InceptionFeatures(pooled.cpu(), logits.cpu())


class InceptionMetric(SetMetric):
    """Base of the metrics that compare Inception features.

    Args:
        weights: local file with torch-fidelity's Inception weights; without one, torch hub's cache is used, and filled
            if necessary.
    """

    pretrained = True

    def __init__(self, weights: str | Path | None = None) -> None:
        self.extractor = Inception(weights)

    def features(self, prediction: InceptionFeatures, image: InceptionFeatures) -> dict[str, Tensor]:
        """Pooled features of predictions and truths, `(B, 2048)` each."""
        return {"prediction": prediction.pooled, "image": image.pooled}


def _load(what: str, state: dict[str, Tensor]) -> nn.Module:
    # torch-fidelity unpickles any file it is given. It gets a copy of the state dict that was read safely.
    copy = io.BytesIO()
    torch.save(state, copy)
    copy.seek(0)
    try:
        return FeatureExtractorInceptionV3("inception", _LAYERS, feature_extractor_weights_path=copy)
    except RuntimeError as error:
        raise WeightsError(
            f"{what}: the weights are not torch-fidelity's Inception; fetch {URL_INCEPTION_V3}"
        ) from error
