"""PSNR and L1, over the frame and over the hole, on images in [0, 1]."""

from __future__ import annotations

import torch
from torch import Tensor

from inpaintzoo.metrics.base import ImageMetric


class PSNR(ImageMetric):
    """Peak signal-to-noise ratio in dB: `10 log10(1 / MSE)`, MSE over all pixels and channels of the frame.

    An image equal to the truth has an infinite PSNR, which no mean survives. The value of an image is therefore cut
    to `cap`, in the CSV and in means alike, and the table says how many were. At 100 dB a single one of 150,000
    numbers is off, by one 8-bit step.

    Args:
        cap: largest value, in dB.
    """

    name = "psnr"
    unit = "dB"
    better = "higher"

    def __init__(self, cap: float = 100.0) -> None:
        if not 0 < cap < float("inf"):
            raise ValueError(f"{type(self).__name__}: cap must be a positive, finite number of dB, got {cap}")
        self.cap: float = cap

    @property
    def definition(self) -> str:
        """Formula, region and rule for identical images."""
        return f"10 log10(1 / MSE) over all pixels and channels, [0, 1] images, cut to {self.cap:g} dB per image"

    def measure(self, prediction: Tensor, image: Tensor, mask: Tensor) -> Tensor:
        """PSNR of the frame."""
        return self._decibel((prediction - image).square().mean())

    def _decibel(self, mse: Tensor) -> Tensor:
        return (-10 * torch.log10(mse)).clamp(max=self.cap)


class PSNRHole(PSNR):
    """PSNR with the MSE over hole pixels only; undefined (NaN) without a hole.

    Args:
        cap: largest value, in dB, as in `PSNR`.
    """

    name = "psnr_hole"
    needs_hole = True

    @property
    def definition(self) -> str:
        """Formula, region and rule for identical images."""
        return f"10 log10(1 / MSE) over hole pixels and channels, [0, 1] images, cut to {self.cap:g} dB per image"

    def measure(self, prediction: Tensor, image: Tensor, mask: Tensor) -> Tensor:
        """PSNR of the hole."""
        return self._decibel(hole_mean((prediction - image).square(), mask))


class L1(ImageMetric):
    """Mean absolute error over all pixels and channels of the frame.

    Args:
        percent: times 100, as most papers' tables print it ("L1 %"); otherwise in [0, 1].
    """

    name = "l1"
    better = "lower"

    def __init__(self, percent: bool = False) -> None:
        self.percent = percent
        self.unit = "%" if percent else ""

    @property
    def definition(self) -> str:
        """Formula, region and scale."""
        return self._scaled("mean |prediction - truth| over all pixels and channels")

    def measure(self, prediction: Tensor, image: Tensor, mask: Tensor) -> Tensor:
        """L1 of the frame."""
        return self._scale * (prediction - image).abs().mean()

    @property
    def _scale(self) -> float:
        return 100.0 if self.percent else 1.0

    def _scaled(self, formula: str) -> str:
        return f"100 * {formula}, [0, 1] images" if self.percent else f"{formula}, [0, 1] images"


class L1Hole(L1):
    """Mean absolute error over hole pixels only; undefined (NaN) without a hole.

    Args:
        percent: as in `L1`.
    """

    name = "l1_hole"
    needs_hole = True

    @property
    def definition(self) -> str:
        """Formula, region and scale."""
        return self._scaled("mean |prediction - truth| over hole pixels and channels")

    def measure(self, prediction: Tensor, image: Tensor, mask: Tensor) -> Tensor:
        """L1 of the hole."""
        return self._scale * hole_mean((prediction - image).abs(), mask)


class L1Grey(L1):
    """L1 between the plain RGB means of prediction and truth, as SPN's evaluation script takes it.

    Args:
        percent: as in `L1`.
    """

    name = "l1_grey"

    @property
    def definition(self) -> str:
        """Formula, region and scale."""
        return self._scaled("mean |RGB mean of prediction - RGB mean of truth| over all pixels")

    def measure(self, prediction: Tensor, image: Tensor, mask: Tensor) -> Tensor:
        """L1 of the channel means."""
        return self._scale * (prediction - image).mean(dim=0).abs().mean()


class L1Relative(L1):
    """Absolute error relative to brightness, `sum |prediction - truth| / sum (prediction + truth)`.

    This is what PEN-Net's released evaluation calls MAE; it is defined as 0 where both images are black.

    Args:
        percent: as in `L1`.
    """

    name = "l1_relative"

    @property
    def definition(self) -> str:
        """Formula, region and scale."""
        return self._scaled("sum |prediction - truth| / sum (prediction + truth) over all pixels and channels")

    def measure(self, prediction: Tensor, image: Tensor, mask: Tensor) -> Tensor:
        """Relative L1 of the frame."""
        brightness = (prediction + image).sum().clamp(min=torch.finfo(prediction.dtype).tiny)
        return self._scale * (prediction - image).abs().sum() / brightness


def hole_mean(error: Tensor, mask: Tensor) -> Tensor:
    """Mean of `(C, H, W)` errors over the pixels where the `(1, H, W)` mask is 1; NaN without any."""
    return (error * mask).sum() / (mask.sum() * error.shape[0])
