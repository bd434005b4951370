"""The Inception network that FID, IS, U-IDS and P-IDS look through: one for all of them, and one pass an image.

The network, its weights and its resizing to 299x299 are torch-fidelity's port of the original TensorFlow Inception;
images are rounded to 8 bits first, as if they came from PNG files.
"""

from __future__ import annotations

import io
import weakref
from pathlib import Path

import torch
from torch import Tensor, nn
from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3, FeatureExtractorInceptionV3

from inpaintzoo.files.published import published_file, read_state
from inpaintzoo.metrics.base import SetMetric
from inpaintzoo.types import WeightsError

_LAYERS = ["2048", "logits_unbiased"]
# A truth, and what up to three ways of judging make of a prediction.
_REMEMBERED = 4


class Inception:
    """The network with a short memory: pictures that it has just seen are not computed again.

    Args:
        weights: local file with torch-fidelity's Inception weights; without it torch hub's cache is looked at and,
            if need be, filled.
    """

    def __init__(self, weights: str | Path | None = None) -> None:
        self.weights = weights
        self.network: nn.Module | None = None
        self._recent: list[tuple[Tensor, tuple[Tensor, Tensor]]] = []

    @classmethod
    def shared(cls, weights: str | Path | None = None) -> Inception:
        """The one network of all metrics that use the same weights, for as long as one of them lives."""
        key = "" if weights is None else str(Path(weights).expanduser().absolute())
        found = _SHARED.get(key)
        if found is None:
            found = _SHARED[key] = cls(weights)
        return found

    def prepare(self, what: str, device: torch.device) -> None:
        """Load the network, once, and move it to the device.

        Args:
            what: names the user of the weights in errors.
            device: where it will run.

        Raises:
            WeightsError: the weights are missing and cannot be fetched, or do not fit.
        """
        if self.network is None:
            self.network = _load(what, read_state(published_file(URL_INCEPTION_V3, what, self.weights), what))
        self.network.to(device)

    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Pooled features `(B, 2048)` and logits without bias `(B, 1008)` of images in [0, 1], on the CPU."""
        assert self.network is not None, "prepare() comes first"
        levels = (images * 255).round().to(torch.uint8)
        for position, (seen, features) in enumerate(self._recent):
            if seen.shape == levels.shape and seen.device == levels.device and torch.equal(seen, levels):
                self._recent.insert(0, self._recent.pop(position))
                return features
        pooled, logits = self.network(levels)
        features = pooled.cpu(), logits.cpu()
        self._recent = [(levels, features), *self._recent[: _REMEMBERED - 1]]
        return features


class InceptionMetric(SetMetric):
    """Base of the metrics that compare Inception features; those with the same weights share network and features.

    Args:
        weights: local file with torch-fidelity's Inception weights; without it torch hub's cache is looked at and,
            if need be, filled.
    """

    pretrained = True

    def __init__(self, weights: str | Path | None = None) -> None:
        self.inception = Inception.shared(weights)

    @property
    def family(self) -> str:
        """Features are common to all metrics with the same weights."""
        return f"inception:{self.inception.weights or ''}"

    def prepare(self, device: torch.device) -> None:
        """Load the network, once.

        Raises:
            WeightsError: the weights are missing and cannot be fetched, or do not fit.
        """
        self.inception.prepare(type(self).__name__, device)

    def pooled(self, images: Tensor) -> Tensor:
        """Features of the last pooling layer, `(B, 2048)`, of images in [0, 1]."""
        self.prepare(images.device)  # the device may have changed since
        return self.inception(images)[0]

    def logits(self, images: Tensor) -> Tensor:
        """Logits without bias, `(B, 1008)`, of images in [0, 1]."""
        self.prepare(images.device)
        return self.inception(images)[1]


_SHARED: weakref.WeakValueDictionary[str, Inception] = weakref.WeakValueDictionary()


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
