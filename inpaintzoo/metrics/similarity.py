"""Structural similarity (SSIM) and its multi-scale form, on images in [0, 1].

SSIM: Wang et al. 2004 (https://ieeexplore.ieee.org/document/1284395). MS-SSIM: Wang et al. 2003
(https://ieeexplore.ieee.org/document/1292216). As in the authors' code and in scikit-image, only windows that lie
wholly inside the image count; libraries that pad the image give other numbers, as does `padded`.

scikit-image's SSIM agrees to 3e-8, but has no terms for MS-SSIM and does not run on a GPU. On one core (8 images of
256x256) this one takes 0.8 times as long with Gaussian windows, as long with uniform 11x11, and 2.5 times as long with
uniform 51x51.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from inpaintzoo.metrics.base import ImageMetric
from inpaintzoo.types import DataError

# Wang et al. 2003, section 3.2: the exponents of the five scales.
MS_SSIM_BETAS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
# Wang et al. 2004, equation 12 with K1 = 0.01, K2 = 0.03 and a data range of 1.
C1, C2 = 0.01**2, 0.03**2


class SSIM(ImageMetric):
    """Mean structural similarity, per channel, averaged over windows and channels.

    Published numbers differ by up to 10 % on identical predictions because windows differ; unless it is the default,
    the name contains the window (`ssim_uniform51`).

    Args:
        window: weights of the pixels in a window.
        size: side of a window in pixels, odd.
        sigma: standard deviation of a Gaussian window in pixels; uniform windows ignore it.
        sample_covariance: divide (co)variances by n - 1 instead of n. This is scikit-image's default, and thus used by
            most papers' scripts with uniform windows.
        padded: pad the image with black, so that there is a window around every pixel, as in LaMa's evaluation.
    """

    better = "higher"

    def __init__(
        self,
        window: Literal["gaussian", "uniform"] = "gaussian",
        size: int = 11,
        sigma: float = 1.5,
        sample_covariance: bool = False,
        padded: bool = False,
    ) -> None:
        self.weights = window_weights(window, size, sigma)
        self.sample_covariance = sample_covariance
        self.padded = padded
        gaussian = f"Gaussian {size}x{size} windows, sigma {sigma:g}"
        self._windows = gaussian if window == "gaussian" else f"uniform {size}x{size} windows"
        default = (window, size, sigma, sample_covariance, padded) == ("gaussian", 11, 1.5, False, False)
        self.name = "ssim" if default else f"ssim_{window}{size}{'_padded' if padded else ''}"

    @property
    def definition(self) -> str:
        """Windows, covariance, borders and range."""
        covariance = "sample" if self.sample_covariance else "population"
        borders = "a window around each pixel, black beyond the frame" if self.padded else "windows inside the frame"
        return f"SSIM, {self._windows}, {covariance} covariance, {borders}, RGB mean, data range 1"

    def measure(self, prediction: Tensor, image: Tensor, mask: Tensor) -> Tensor:
        """SSIM of the frame."""
        smallest = len(self.weights)
        if self.padded:
            prediction, image = (F.pad(side, [smallest // 2] * 4) for side in (prediction, image))
        if min(image.shape[-2:]) < smallest:
            raise DataError(
                f"{self.name} needs images of at least {smallest}x{smallest}, got {image.shape[-2]}x{image.shape[-1]}; "
                "choose a smaller `size` or larger images"
            )
        luminance, contrast = ssim_maps(prediction, image, self.weights, self.sample_covariance)
        return (luminance * contrast).mean()


class MSSSIM(ImageMetric):
    """Multi-scale SSIM: contrast and structure at each scale, luminance at the coarsest, to the power of `betas`.

    Windows are Gaussian, 11x11, sigma 1.5. Each scale halves the image by averaging 2x2 pixels (fewer at an odd
    edge). The product is taken per channel; negative terms count as 0.

    Args:
        betas: exponent of each scale, from fine to coarse. Five scales need 161 pixels a side; for smaller images
            give fewer, such as `[0.0448, 0.2856, 0.3001]` for 41 pixels, and report it, because the values differ.
        percent: multiply by 100, as PEN-Net and SRPNet do.
    """

    better = "higher"

    def __init__(self, betas: tuple[float, ...] = MS_SSIM_BETAS, percent: bool = False) -> None:
        betas = tuple(betas)
        if not betas or not all(math.isfinite(beta) and beta > 0 for beta in betas):
            raise ValueError(f"MSSSIM: betas must be positive numbers, one per scale, got {list(betas)}")
        self.betas = betas
        self.percent = percent
        self.unit = "%" if percent else ""
        self.weights = window_weights("gaussian", 11, 1.5)
        self.smallest = (len(self.weights) - 1) * 2 ** (len(betas) - 1) + 1
        self.name = "ms_ssim" if betas == MS_SSIM_BETAS else f"ms_ssim_{len(betas)}"

    @property
    def definition(self) -> str:
        """Windows, scales and range."""
        scales = ", ".join(f"{beta:g}" for beta in self.betas)
        of = "100 * MS-SSIM" if self.percent else "MS-SSIM"
        return f"{of}, Gaussian 11x11 windows inside the frame, sigma 1.5, betas {scales}, RGB mean, data range 1"

    def measure(self, prediction: Tensor, image: Tensor, mask: Tensor) -> Tensor:
        """MS-SSIM of the frame."""
        if min(image.shape[-2:]) < self.smallest:
            raise DataError(
                f"{self.name} with {len(self.betas)} scales needs images of at least {self.smallest}x{self.smallest}, "
                f"got {image.shape[-2]}x{image.shape[-1]}; give fewer `betas`, or leave it out"
            )
        product = torch.ones_like(image[:, 0, 0])  # one factor per channel
        for scale, beta in enumerate(self.betas):
            if scale:
                prediction, image = (F.avg_pool2d(side, 2, ceil_mode=True) for side in (prediction, image))
            luminance, similarity = ssim_maps(prediction, image, self.weights)
            if scale == len(self.betas) - 1:
                similarity = luminance * similarity
            product = product * similarity.mean(dim=(-2, -1)).clamp(min=0) ** beta
        return (100.0 if self.percent else 1.0) * product.mean()


def ssim_maps(a: Tensor, b: Tensor, weights: Tensor, sample_covariance: bool = False) -> tuple[Tensor, Tensor]:
    """The luminance term and the contrast-structure term of SSIM at every window inside the image.

    Args:
        a: `(C, H, W)` float64 in [0, 1].
        b: as `a`.
        weights: `(n,)`, one side of the separable window.
        sample_covariance: scale (co)variances by N / (N - 1) for windows of N pixels.

    Returns:
        Two `(C, H - n + 1, W - n + 1)` maps; their product is SSIM (Wang et al. 2004, equation 13).
    """
    mean_a, mean_b, square_a, square_b, cross = slide(torch.stack([a, b, a * a, b * b, a * b]), weights)
    pixels = len(weights) ** 2
    norm = pixels / (pixels - 1) if sample_covariance else 1.0
    variances = norm * (square_a - mean_a**2 + square_b - mean_b**2)
    covariance = norm * (cross - mean_a * mean_b)
    luminance = (2 * mean_a * mean_b + C1) / (mean_a**2 + mean_b**2 + C1)
    return luminance, (2 * covariance + C2) / (variances + C2)


def slide(maps: Tensor, weights: Tensor) -> Tensor:
    """Weighted means over every window inside `(..., H, W)` maps, for a separable window."""
    # Sums of shifted views are several times faster than a float64 convolution, and identical on every device.
    for dim in (-1, -2):
        length = maps.shape[dim] - len(weights) + 1
        total = maps.narrow(dim, 0, length) * weights[0].item()
        for shift, weight in enumerate(weights.tolist()[1:], start=1):
            total.add_(maps.narrow(dim, shift, length), alpha=weight)
        maps = total
    return maps


def window_weights(window: Literal["gaussian", "uniform"], size: int, sigma: float) -> Tensor:
    """One side of a separable window as `(size,)` float64 that sums to 1."""
    if size < 3 or size % 2 == 0:
        raise ValueError(f"an SSIM window must have an odd side of at least 3 pixels, got {size}")
    if window == "uniform":
        return torch.full((size,), 1 / size, dtype=torch.float64)
    if window != "gaussian":
        raise ValueError(f"an SSIM window is `gaussian` or `uniform`, got {window!r}")
    if not 0 < sigma < math.inf:
        raise ValueError(f"an SSIM window's sigma must be a positive number of pixels, got {sigma}")
    offsets = torch.arange(size, dtype=torch.float64) - size // 2
    weights = torch.exp(-(offsets**2) / (2 * sigma**2))
    return weights / weights.sum()
