"""The contract of a metric: of one image, of its fills, or of a whole set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from inpaintzoo.metrics.extractors import Extractor


class Metric:
    """A number that says how good predictions are; subclass one of the kinds below, or `SegmentationMetric`.

    It is not an `nn.Module`, so that networks inside a metric stay out of checkpoints, optimizers and DDP.

    Attributes:
        name: key in logs, CSV and JSON; two metrics of one suite need different names.
        unit: such as `dB`; empty for a plain number.
        better: whether higher or lower values are better.
        cap: the value that larger ones are cut to, or None.
        pretrained: whether it needs published weights, which may be missing.
        undefined: why images have no value, worded to follow "3 of 100 images".
        extractor: the network that it looks through, or None.
    """

    name: str
    unit: str = ""
    better: ClassVar[Literal["higher", "lower"]]
    cap: float | None = None
    pretrained: ClassVar[bool] = False
    undefined: ClassVar[str] = "have no hole"
    extractor: Extractor | None = None

    @property
    def definition(self) -> str:
        """One line that defines the number, parameters included; it accompanies every result."""
        raise NotImplementedError

    def prepare(self, device: torch.device) -> None:
        """Load what the metric needs, before the run starts, and move it to the device.

        Raises:
            WeightsError: weights that can be neither found nor fetched.
        """
        if self.extractor is not None:
            self.extractor.prepare(type(self).__name__, device)


class ImageMetric(Metric):
    """A metric of single images: `metric(prediction, image, mask) -> (B,)`; a subclass writes `measure`.

    Images are measured one by one in float64, and values are returned as float32. So they depend neither on the
    batch an image came in, nor on autocast or TF32, nor on the number of threads.

    Attributes:
        needs_hole: whether the metric is undefined for an image without a hole.
        needs_known: whether it is undefined for an image that is all hole.
    """

    needs_hole: ClassVar[bool] = False
    needs_known: ClassVar[bool] = False

    def __call__(self, prediction: Tensor, image: Tensor, mask: Tensor) -> Tensor:
        """One value per image.

        Args:
            prediction: `(B, 3, H, W)` in [0, 1], what is judged.
            image: `(B, 3, H, W)` in [0, 1], the truth.
            mask: `(B, 1, H, W)`, exactly 0 or 1, 1 = hole.

        Returns:
            `(B,)` float32; NaN where the metric is undefined.

        Raises:
            ValueError: the shapes do not fit together.
        """
        check_pictures(prediction, image, mask)
        values = [self.measure(*sample) for sample in zip(exact(prediction), exact(image), exact(mask), strict=True)]
        return torch.stack(values).float()

    def defined(self, ratio: float) -> bool:
        """Whether the metric is defined for an image with this hole ratio."""
        return not ((self.needs_hole and ratio == 0) or (self.needs_known and ratio == 1))

    def measure(self, prediction: Tensor, image: Tensor, mask: Tensor) -> Tensor:
        """The value of one image as a scalar; arguments as in `__call__`, without batch dimension, in float64."""
        raise NotImplementedError


class SampleMetric(Metric):
    """A metric of all fills of an image: `metric(fills, mask) -> (B,)`; a subclass writes `measure`.

    It is undefined for images without a hole and for generators that give a single fill.
    """

    undefined = "have no hole or a single fill"

    def __call__(self, fills: Tensor, mask: Tensor) -> Tensor:
        """One value per image.

        Args:
            fills: `(B, n, 3, H, W)` in [0, 1], what is judged.
            mask: `(B, 1, H, W)`, exactly 0 or 1, 1 = hole.

        Returns:
            `(B,)` float32; NaN where the metric is undefined.
        """
        if fills.shape[1] < 2:
            return torch.full((len(fills),), torch.nan)
        return torch.stack([self.measure(*sample) for sample in zip(fills, mask, strict=True)]).float()

    def measure(self, fills: Tensor, mask: Tensor) -> Tensor:
        """The value of one image as a scalar: fills `(n, 3, H, W)`, n of 2 or more, and mask `(1, H, W)`."""
        raise NotImplementedError


class SetMetric(Metric):
    """A metric of a whole set: features are kept for each image and compared at the end.

    Attributes:
        reads_truth: whether `features` looks at the truth.
    """

    reads_truth: ClassVar[bool] = True

    @property
    def family(self) -> str:
        """Metrics of one family give the same feature the same name, so that it is kept once."""
        return self.name if self.extractor is None else self.extractor.key

    def features(self, prediction: Any, image: Any) -> dict[str, Tensor]:
        """Features to keep for each image of a batch, as named `(B, ...)` tensors.

        Args:
            prediction: `(B, 3, H, W)` in [0, 1]; or, if the metric has an extractor, what that finds in it.
            image: as `prediction`, of the truth.
        """
        raise NotImplementedError

    def compute(self, features: Mapping[str, np.ndarray]) -> float | None:
        """The value of a set, or None where the set is too small for one.

        Args:
            features: the named features, `(N, ...)`, ordered by the images' index.
        """
        raise NotImplementedError


def exact(tensor: Tensor) -> Tensor:
    """The tensor in float64, on the CPU if the device has no float64."""
    return (tensor.cpu() if tensor.device.type == "mps" else tensor).double()


def check_pictures(prediction: Tensor, image: Tensor, mask: Tensor) -> None:
    """Raise `ValueError` unless the shapes of prediction, truth and mask fit together."""
    batch, _, height, width = image.shape if image.ndim == 4 else (0, 0, 0, 0)
    if image.ndim != 4 or prediction.shape != image.shape or mask.shape != (batch, 1, height, width):
        raise ValueError(
            "metrics need prediction and image (B, 3, H, W) and mask (B, 1, H, W), got "
            f"{tuple(prediction.shape)}, {tuple(image.shape)} and {tuple(mask.shape)}"
        )
