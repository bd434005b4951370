"""The contract of a metric: of one image, or of a whole set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from inpaintzoo.types import Batch


class Metric:
    """A number that says how good predictions are; subclass one of the four kinds below.

    No `nn.Module`: networks inside a metric stay out of checkpoints, optimizers and DDP.

    Attributes:
        name: key in logs, CSV and JSON; two metrics of one suite need different names.
        unit: such as `dB`; empty for a plain number.
        better: whether higher or lower values are better.
        cap: the value that larger ones are cut to, or None.
        pretrained: whether it needs published weights, which may be missing.
        undefined: what is true of images without a value, to be read behind "3 of 100 images".
    """

    name: str
    unit: str = ""
    better: ClassVar[Literal["higher", "lower"]]
    cap: float | None = None
    pretrained: ClassVar[bool] = False
    undefined: ClassVar[str] = "have no hole"

    @property
    def definition(self) -> str:
        """One line that defines the number, parameters included; it is written beside every result."""
        raise NotImplementedError

    def prepare(self, device: torch.device) -> None:
        """Load what the metric needs, before the run starts, and move it to the device.

        Raises:
            WeightsError: weights that can be neither found nor fetched.
        """


class ImageMetric(Metric):
    """A metric of single images: `metric(prediction, image, mask) -> (B,)`; a subclass writes `measure`.

    Images are measured one by one and in float64, and the value is handed out as float32. So it depends neither
    on the batch an image came in, nor on autocast or TF32, nor on the number of threads.

    Attributes:
        needs_hole: whether the metric is undefined for an image without a hole.
        needs_known: whether it is undefined for an image that is nothing but hole.
    """

    needs_hole: ClassVar[bool] = False
    needs_known: ClassVar[bool] = False

    def __call__(self, prediction: Tensor, image: Tensor, mask: Tensor) -> Tensor:
        """One value an image.

        Args:
            prediction: `(B, 3, H, W)` in [0, 1], what is judged.
            image: `(B, 3, H, W)` in [0, 1], the truth.
            mask: `(B, 1, H, W)`, exactly 0 or 1, 1 = hole.

        Returns:
            `(B,)` float32; NaN where the metric is undefined.

        Raises:
            ValueError: shapes that do not fit each other.
        """
        check_shapes(prediction, image, mask)
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

    It is undefined for images without a hole and for generators that have one fill.
    """

    undefined = "have no hole or a single fill"

    def __call__(self, fills: Tensor, mask: Tensor) -> Tensor:
        """One value an image.

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
    """A metric of a whole set: features are kept for each image, and compared at the end."""

    @property
    def family(self) -> str:
        """Metrics of one family mean the same tensor by the same name of a feature, so that it can be kept once."""
        return self.name

    def features(self, prediction: Tensor, image: Tensor) -> dict[str, Tensor]:
        """What to keep of each image of a batch, as named `(B, ...)` tensors.

        Args:
            prediction: `(B, 3, H, W)` in [0, 1].
            image: `(B, 3, H, W)` in [0, 1], the truth.
        """
        raise NotImplementedError

    def compute(self, features: Mapping[str, np.ndarray]) -> float | None:
        """The value of a set, or None where the set is too small for one.

        Args:
            features: the named features, `(N, ...)`, in order of the images' index.
        """
        raise NotImplementedError


class SegmentationMetric(Metric):
    """A metric of a whole set that looks at the labels a generator predicts; statistics are kept for each image.

    It is undefined for generators that predict no labels.
    """

    def statistics(self, logits: Tensor, prediction: Tensor, batch: Batch) -> dict[str, Tensor] | None:
        """What to keep of each image of a batch, as named `(B, ...)` tensors; None where the batch lacks something.

        Args:
            logits: `(B, classes, h, w)`, the finest that the generator made.
            prediction: `(B, 3, H, W)` in [0, 1], what is judged.
            batch: the truth, with `labels` where the data has them.
        """
        raise NotImplementedError

    def compute(self, statistics: Mapping[str, np.ndarray]) -> float | None:
        """The value of a set, or None where it is undefined.

        Args:
            statistics: the named statistics, `(N, ...)`, in order of the images' index.
        """
        raise NotImplementedError


def exact(tensor: Tensor) -> Tensor:
    """The tensor in float64, on the CPU where the device has no float64."""
    return (tensor.cpu() if tensor.device.type == "mps" else tensor).double()


def check_shapes(prediction: Tensor, image: Tensor, mask: Tensor) -> None:
    """Raise `ValueError` unless prediction, truth and mask belong together."""
    batch, _, height, width = image.shape if image.ndim == 4 else (0, 0, 0, 0)
    if image.ndim != 4 or prediction.shape != image.shape or mask.shape != (batch, 1, height, width):
        raise ValueError(
            "metrics need prediction and image (B, 3, H, W) and mask (B, 1, H, W), got "
            f"{tuple(prediction.shape)}, {tuple(image.shape)} and {tuple(mask.shape)}"
        )
