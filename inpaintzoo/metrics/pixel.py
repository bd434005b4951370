"""PSNR and L1, over the frame, over the hole and over the hole's border, on images in [0, 1]."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from inpaintzoo.metrics.base import ImageMetric

BORDER_WIDTH = 4  # pixels on each side of a hole's edge


class PSNR(ImageMetric):
    """Peak signal-to-noise ratio in dB: `10 log10(1 / MSE)`, MSE over all pixels and channels of the frame.

    An image equal to the truth has an infinite PSNR, which would make every mean infinite. An image's value is
    therefore cut to `cap`, in the CSV as well as in means, and the table says how many were. 100 dB means that one in
    150,000 values is off, by one 8-bit level.

    Args:
        cap: largest value, in dB.
    """

    name = "psnr"
    unit = "dB"
    better = "higher"
    region = "all pixels and channels"

    def __init__(self, cap: float = 100.0) -> None:
        if not 0 < cap < float("inf"):
            raise ValueError(f"{type(self).__name__}: cap must be a positive, finite number of dB, got {cap}")
        self.cap: float = cap

    @property
    def definition(self) -> str:
        """Formula, region and cap."""
        return f"10 log10(1 / MSE) over {self.region}, [0, 1] images, cut to {self.cap:g} dB per image"

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
    region = "hole pixels and channels"
    needs_hole = True

    def measure(self, prediction: Tensor, image: Tensor, mask: Tensor) -> Tensor:
        """PSNR of the hole."""
        return self._decibel(hole_mean((prediction - image).square(), mask))


class PSNRBorder(PSNR):
    """PSNR with the MSE over the hole's border (see `border`); undefined (NaN) without one.

    Args:
        width: pixels on each side of the hole's edge.
        cap: largest value, in dB, as in `PSNR`.
    """

    needs_hole = needs_known = True
    undefined = "have no hole or nothing else"

    def __init__(self, width: int = BORDER_WIDTH, cap: float = 100.0) -> None:
        super().__init__(cap)
        self.width = _checked_width(type(self).__name__, width)
        self.name = "psnr_border" if width == BORDER_WIDTH else f"psnr_border{width}"
        self.region = _border_region(width)

    def measure(self, prediction: Tensor, image: Tensor, mask: Tensor) -> Tensor:
        """PSNR of the border."""
        return self._decibel(hole_mean((prediction - image).square(), border(mask, self.width)))


class L1(ImageMetric):
    """Mean absolute error over all pixels and channels of the frame.

    Args:
        percent: multiply by 100, as most papers' tables do ("L1 %"); otherwise in [0, 1].
    """

    name = "l1"
    better = "lower"
    formula = "mean |prediction - truth| over all pixels and channels"

    def __init__(self, percent: bool = False) -> None:
        self.percent = percent
        self.unit = "%" if percent else ""
        self.scale = 100.0 if percent else 1.0

    @property
    def definition(self) -> str:
        """Formula, region and scale."""
        return f"{'100 * ' if self.percent else ''}{self.formula}, [0, 1] images"

    def measure(self, prediction: Tensor, image: Tensor, mask: Tensor) -> Tensor:
        """L1 of the frame."""
        return self.scale * (prediction - image).abs().mean()


class L1Hole(L1):
    """Mean absolute error over hole pixels only; undefined (NaN) without a hole.

    Args:
        percent: as in `L1`.
    """

    name = "l1_hole"
    formula = "mean |prediction - truth| over hole pixels and channels"
    needs_hole = True

    def measure(self, prediction: Tensor, image: Tensor, mask: Tensor) -> Tensor:
        """L1 of the hole."""
        return self.scale * hole_mean((prediction - image).abs(), mask)


class L1Border(L1):
    """Mean absolute error over the hole's border, where seams show (see `border`); undefined (NaN) without one.

    In a composite the known side has no error, so the value is about half of the error on the hole's side.

    Args:
        width: pixels on each side of the hole's edge.
        percent: as in `L1`.
    """

    needs_hole = needs_known = True
    undefined = "have no hole or nothing else"

    def __init__(self, width: int = BORDER_WIDTH, percent: bool = False) -> None:
        super().__init__(percent)
        self.width = _checked_width(type(self).__name__, width)
        self.name = "l1_border" if width == BORDER_WIDTH else f"l1_border{width}"
        self.formula = f"mean |prediction - truth| over {_border_region(width)}"

    def measure(self, prediction: Tensor, image: Tensor, mask: Tensor) -> Tensor:
        """L1 of the border."""
        return self.scale * hole_mean((prediction - image).abs(), border(mask, self.width))


class L1Grey(L1):
    """L1 between the plain RGB means of prediction and truth, as in SPN's evaluation script.

    Args:
        percent: as in `L1`.
    """

    name = "l1_grey"
    formula = "mean |RGB mean of prediction - RGB mean of truth| over all pixels"

    def measure(self, prediction: Tensor, image: Tensor, mask: Tensor) -> Tensor:
        """L1 of the channel means."""
        return self.scale * (prediction - image).mean(dim=0).abs().mean()


class L1Relative(L1):
    """Absolute error relative to brightness, `sum |prediction - truth| / sum (prediction + truth)`.

    This is what PEN-Net's released evaluation calls MAE; it is defined as 0 where both images are black.

    Args:
        percent: as in `L1`.
    """

    name = "l1_relative"
    formula = "sum |prediction - truth| / sum (prediction + truth) over all pixels and channels"

    def measure(self, prediction: Tensor, image: Tensor, mask: Tensor) -> Tensor:
        """Relative L1 of the frame."""
        brightness = (prediction + image).sum().clamp(min=torch.finfo(prediction.dtype).tiny)
        return self.scale * (prediction - image).abs().sum() / brightness


def border(mask: Tensor, width: int) -> Tensor:
    """The band along a hole's edge: hole pixels at most `width` from a known pixel, and known ones from a hole pixel.

    The distance is the larger of those along rows and columns. The sides of the frame do not count as edges.

    Args:
        mask: `(..., H, W)`, exactly 0 or 1, 1 = hole.
        width: pixels on each side of the edge.

    Returns:
        As `mask`, 1 in the band.
    """
    maps = mask.reshape(-1, 1, *mask.shape[-2:])
    near = (F.max_pool2d(side, 2 * width + 1, stride=1, padding=width) for side in (maps, 1 - maps))
    return torch.minimum(*near).reshape(mask.shape)


def hole_mean(error: Tensor, mask: Tensor) -> Tensor:
    """Mean of `(C, H, W)` errors over the pixels where the `(1, H, W)` mask is 1; NaN without any."""
    return (error * mask).sum() / (mask.sum() * error.shape[0])


def _checked_width(what: str, width: int) -> int:
    if width < 1:
        raise ValueError(f"{what}: width must be at least 1 pixel, got {width}")
    return width


def _border_region(width: int) -> str:
    return f"hole and known pixels at most {width} px from the hole's edge, all channels"
