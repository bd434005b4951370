"""The contract of a teacher: the frozen pretext network whose features SPN's prior learner learns to predict.

Zhang et al.: "Fully context-aware image inpainting with a learned semantic pyramid", equation 1.
"""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from inpaintzoo.types import DataError

Doubling = Literal["nearest", "bilinear"]

SMALLEST_SIDE = 32
SIZE_MULTIPLE = 4


class Teacher(nn.Module):
    """Sees the whole image and returns features at full, half and quarter size.

    A loss holds it frozen: eval mode, no gradients, not in optimizers or checkpoints. In eval mode its features depend
    on the image alone.

    Attributes:
        channels: channels of the features, finest first: strides 1, 2 and 4.
        name: one line for the run's header.
    """

    channels: tuple[int, ...]
    name: str

    def forward(self, image: Tensor) -> list[Tensor]:
        """Features of the whole image.

        Args:
            image: `(B, 3, H, W)` in [0, 1], without a hole; sides of at least 32, multiples of 4.

        Returns:
            `(B, channels[i], H / s, W / s)` for the strides s = 1, 2, 4.

        Raises:
            DataError: the image has another shape.
        """
        raise NotImplementedError


def check_image(owner: str, image: Tensor) -> None:
    """Raise `DataError` unless the image can be brought to strides 1, 2 and 4."""
    sides = image.shape[-2:]
    if image.ndim != 4 or image.shape[1] != 3:
        raise DataError(f"{owner}: the image must be (B, 3, H, W), got {tuple(image.shape)}")
    if min(sides) < SMALLEST_SIDE or any(side % SIZE_MULTIPLE for side in sides):
        raise DataError(
            f"{owner} needs height and width of at least {SMALLEST_SIDE} that are multiples of {SIZE_MULTIPLE}, got "
            f"{sides[0]}x{sides[1]}; resize or crop the images"
        )


def double(image: Tensor, mode: Doubling) -> Tensor:
    """The image at twice the size, `(B, C, 2H, 2W)`, for teachers that start with a stride."""
    if mode == "nearest":
        return F.interpolate(image, scale_factor=2, mode="nearest")
    return F.interpolate(image, scale_factor=2, mode="bilinear", align_corners=False)
