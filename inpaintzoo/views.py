"""Views: which picture a discriminator judges, and against which ground truth."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import roi_align

from inpaintzoo.ops import composite, hole_box, resize_mask
from inpaintzoo.types import Batch, ConfigError


class Seen(NamedTuple):
    """The pictures that a discriminator is shown.

    Attributes:
        fake: `(B, 3, h, w)` from the generator, or `(n * B, 3, h, w)`: one fake of every image, then the next.
        real: `(B, 3, h, w)`, the same part of the ground truth.
        mask: the hole in each fake, one channel.
    """

    fake: Tensor
    real: Tensor
    mask: Tensor


class View(ABC):
    """Picks what an adversary judges."""

    @abstractmethod
    def __call__(self, output: Any, batch: Batch) -> Seen:
        """The fake and the real picture, and the hole in them."""


class Composite(View):
    """The prediction pasted into the known picture (PEN-Net equation 7): what users see."""

    def __call__(self, output: Any, batch: Batch) -> Seen:  # noqa: D102
        return Seen(composite(batch["image"], output.image, batch["mask"]), batch["image"], batch["mask"])


class RawPrediction(View):
    """The whole predicted frame, known pixels included."""

    def __call__(self, output: Any, batch: Batch) -> Seen:  # noqa: D102
        return Seen(output.image, batch["image"], batch["mask"])


class Samples(View):
    """Both raw predictions of a stochastic generator in training, each against the ground truth (probabilistic SPN)."""

    def __call__(self, output: Any, batch: Batch) -> Seen:  # noqa: D102
        second = getattr(output, "second_sample", None)
        if second is None:
            raise ConfigError(
                f"Samples: {type(output).__name__} has no second sample; use a stochastic generator (SPN with "
                f"stochastic: true), or the view RawPrediction"
            )
        fake = torch.cat([output.image, second])
        return Seen(fake, batch["image"], torch.cat([batch["mask"]] * 2))


class HoleMasked(View):
    """The frame, black outside the hole: a local view for holes of any shape (SRPNet)."""

    def __call__(self, output: Any, batch: Batch) -> Seen:  # noqa: D102
        image, mask = batch["image"], batch["mask"]
        return Seen(output.image * mask, image * mask, mask)


class HoleBox(View):
    """The box around each sample's hole, resized: a local view for rectangular holes.

    Each box is resampled bilinearly to `size`, or cropped as it is if it has that size. Without a hole the whole frame
    is shown.

    Args:
        size: side of the square that the discriminator sees, in pixels; None uses half the frame's height
            (the papers' 128 of 256).
    """

    def __init__(self, size: int | None = None) -> None:
        if size is not None and size < 1:
            raise ValueError(f"HoleBox: size must be at least 1 pixel, got {size}")
        self.size = size

    def __call__(self, output: Any, batch: Batch) -> Seen:  # noqa: D102
        size = self.size or max(batch["image"].shape[-2] // 2, 1)
        seen = Composite()(output, batch)
        boxes = [box[None] for box in hole_box(seen.mask).float()]

        def crop(picture: Tensor) -> Tensor:
            # float32, since half precision cannot represent the coordinates of large frames
            return roi_align(picture.float(), boxes, size, sampling_ratio=1, aligned=True)

        return Seen(crop(seen.fake), crop(seen.real), (crop(seen.mask) > 0.5).to(seen.mask))


class PyramidLevel(View):
    """One predicted picture of the output's pyramid, composited at its own size.

    Args:
        level: position in `output.pyramid`, 0 = the first.
    """

    def __init__(self, level: int) -> None:
        if level < 0:
            raise ValueError(f"PyramidLevel: level must be 0 or more, got {level}")
        self.level = level

    def __call__(self, output: Any, batch: Batch) -> Seen:  # noqa: D102
        pyramid = getattr(output, "pyramid", None)
        if pyramid is None or self.level >= len(pyramid):
            raise ConfigError(
                f"PyramidLevel: {type(output).__name__} has {len(pyramid or [])} pyramid pictures, so there is no "
                f"level {self.level}; choose another view or another generator"
            )
        prediction = pyramid[self.level]
        size = (prediction.shape[-2], prediction.shape[-1])
        real = F.interpolate(batch["image"], size=size, mode="area")
        mask = resize_mask(batch["mask"], size, mode="any")
        return Seen(composite(real, prediction, mask), real, mask)
