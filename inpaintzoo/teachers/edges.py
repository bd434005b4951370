"""Edge maps as targets: low-level structure without semantics, the weakest supervision in the paper's figure 8.

There the edge maps are EdgeConnect's (Nazeri et al. 2019, https://arxiv.org/abs/1901.00212): Canny with sigma 2, one
binary channel. Edges are found at each size separately, in the resized image.
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from inpaintzoo.teachers.base import Teacher, check_image

EdgeMethod = Literal["canny", "sobel"]


class EdgeTeacher(Teacher):
    """Edges at full, half and quarter size, one channel each.

    Args:
        method: `canny`: binary, as in the paper; `sobel`: the gradient's magnitude, so strong edges differ from weak.
        sigma: standard deviation of the Gaussian blur, in pixels of each size.
        low: Canny's lower threshold on the unnormalised Sobel magnitude (8 times the intensity slope per pixel).
        high: the threshold that some pixel of an edge must reach; both as in EdgeConnect (scikit-image's defaults).

    Raises:
        ValueError: for a bad argument.
    """

    channels = (1, 1, 1)

    def __init__(self, method: EdgeMethod = "canny", sigma: float = 2.0, low: float = 0.1, high: float = 0.2) -> None:
        super().__init__()
        if method not in get_args(EdgeMethod):
            raise ValueError(f"EdgeTeacher: method must be one of {', '.join(get_args(EdgeMethod))}, got {method!r}")
        if not 0 < sigma <= 2:
            raise ValueError(f"EdgeTeacher: sigma must be above 0 and at most 2 pixels, got {sigma}")
        if not 0 < low < high:
            raise ValueError(f"EdgeTeacher: the thresholds must be 0 < low < high, got {low} and {high}")
        self.name = f"edges ({method}), without semantics (the paper's teacher is the ASL TResNet-L)"
        self.method = method
        self.sigma, self.low, self.high = float(sigma), low, high
        self.eval()

    def forward(self, image: Tensor) -> list[Tensor]:
        """`(B, 1, H / s, W / s)` float32 for s = 1, 2, 4: 0 or 1 (`canny`), 0 or more (`sobel`)."""
        from kornia.color import rgb_to_grayscale  # here: kornia takes a second, and few runs need it

        check_image("EdgeTeacher", image)
        with torch.autocast(image.device.type, enabled=False):
            grey = rgb_to_grayscale(image.float())
            return [self._edges(grey if stride == 1 else F.avg_pool2d(grey, stride)) for stride in (1, 2, 4)]

    def _edges(self, grey: Tensor) -> Tensor:
        from kornia.filters import canny, gaussian_blur2d, spatial_gradient

        # Three sigmas on each side, or as much as reflection allows on the smallest maps.
        reach = min(math.ceil(3 * self.sigma), min(grey.shape[-2:]) - 1)
        window, sigma = (2 * reach + 1, 2 * reach + 1), (self.sigma, self.sigma)
        if self.method == "canny":
            return canny(grey, self.low, self.high, window, sigma)[1]
        # Normalised: the intensity slope per pixel.
        gradient = spatial_gradient(gaussian_blur2d(grey, window, sigma), "sobel")
        return gradient.square().sum(dim=2).sqrt()
