"""Pixel losses: L1 in its variants, and total variation.

Sources:
    PEN-Net, Zeng et al. 2019, https://arxiv.org/abs/1904.07475 (hole, valid, pyramid L1, as in its code);
    SPN, Zhang et al. 2021, https://arxiv.org/abs/2112.04107 (weighted L1, eq. 10);
    partial convolutions, Liu et al. 2018, https://arxiv.org/abs/1804.07723 (total variation around the hole).

All pictures are in [0, 1]. A weight that a paper tuned on [-1, 1] must be doubled to have the same effect here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from inpaintzoo.losses.base import Loss
from inpaintzoo.ops import composite, mean_over_ranks
from inpaintzoo.types import Batch, ConfigError, Output

Resize = Literal["bilinear_aligned", "bilinear", "area"]
Pictures = Literal["prediction", "composite", "both", "pyramid", "samples", "coarse"]


class HasPyramid(Protocol):
    """An output with smaller pictures beside the full-size one: `(B, 3, h, w)` each, in [0, 1], of any size."""

    pyramid: list[Tensor]


# -- arithmetic ------------------------------------------------------------------------------------------------------


def l1(prediction: Tensor, image: Tensor) -> Tensor:
    """Mean absolute difference of two `(B, C, H, W)` pictures, a scalar."""
    return _checked_difference(prediction, image).mean()


def weighted_l1(prediction: Tensor, image: Tensor, mask: Tensor, delta: float) -> Tensor:
    """`mean(|prediction - image| * (1 + delta * mask))`: hole elements count `1 + delta` times (SPN eq. 10).

    Args:
        prediction: `(B, C, H, W)`, pictures or features.
        image: as `prediction`, the truth.
        mask: `(B, 1, H, W)`, 1 = hole.
        delta: extra weight of the hole.
    """
    return (_checked_difference(prediction, image) * (1 + delta * mask)).mean()


def hole_l1(prediction: Tensor, image: Tensor, mask: Tensor) -> Tensor:
    """Mean absolute difference over the elements of the hole, pooled over the batch; 0 without a hole.

    As in PEN-Net's code: the mean over all elements of `|prediction - image| * mask`, divided by the mean of the mask,
    so that a sample counts in proportion to its hole. The mean of the mask is taken over all training processes, so
    that a batch split over processes has the gradient of the whole batch.

    Args:
        prediction: `(B, C, H, W)`.
        image: as `prediction`, the truth.
        mask: `(B, 1, H, W)`, 1 = hole.
    """
    share = mean_over_ranks(mask.mean())
    # If the share is 0, so is the numerator; any other divisor gives a loss and a gradient of 0.
    return (_checked_difference(prediction, image) * mask).mean() / (share + (share == 0))


def valid_l1(prediction: Tensor, image: Tensor, mask: Tensor) -> Tensor:
    """As `hole_l1`, over the known part; 0 if everything is hole."""
    return hole_l1(prediction, image, 1 - mask)


def resize_truth(image: Tensor, size: tuple[int, int], resize: Resize = "bilinear_aligned") -> Tensor:
    """The truth at the size of a pyramid level.

    Args:
        image: `(B, C, H, W)`.
        size: height and width wanted.
        resize: `bilinear_aligned`: bilinear with aligned corners, as in PEN-Net; `bilinear`: with aligned pixel
            centres; `area`: the mean over each cell, without aliasing.
    """
    if image.shape[-2:] == size:
        return image
    if resize == "area":
        return F.interpolate(image, size=size, mode="area")
    return F.interpolate(image, size=size, mode="bilinear", align_corners=resize == "bilinear_aligned")


def pyramid_l1(pyramid: Sequence[Tensor], image: Tensor, resize: Resize = "bilinear_aligned") -> Tensor:
    """Sum over the levels of the mean absolute difference from the truth at that level's size.

    Args:
        pyramid: at least one `(B, C, h, w)`.
        image: `(B, C, H, W)`, the truth.
        resize: see `resize_truth`.
    """
    levels = [l1(level, resize_truth(image, (level.shape[-2], level.shape[-1]), resize)) for level in pyramid]
    return torch.stack(levels).sum()


def total_variation(picture: Tensor, region: Tensor | None = None) -> Tensor:
    """Anisotropic total variation: absolute differences of neighbours, summed, over the number of elements.

    As L_tv in Liu et al. 2018, only pairs with both pixels in the region count, but the divisor is the number of
    elements of the whole picture, so a small region gives a small value.

    Args:
        picture: `(B, C, H, W)`.
        region: `(B, 1, H, W)` of 0 and 1; None: the whole frame.
    """
    down = (picture[..., 1:, :] - picture[..., :-1, :]).abs()
    right = (picture[..., :, 1:] - picture[..., :, :-1]).abs()
    if region is not None:
        down = down * region[..., 1:, :] * region[..., :-1, :]
        right = right * region[..., :, 1:] * region[..., :, :-1]
    return (down.sum() + right.sum()) / picture.numel()


def dilate(mask: Tensor) -> Tensor:
    """The hole grown by one pixel on each side, in its eight-neighbourhood; `(B, 1, H, W)`."""
    return F.max_pool2d(mask, kernel_size=3, stride=1, padding=1)


def _checked_difference(prediction: Tensor, image: Tensor) -> Tensor:
    # With broadcasting, a forgotten resize or a lost channel would give a plausible loss.
    if prediction.shape != image.shape:
        raise ValueError(
            f"the prediction {tuple(prediction.shape)} and the truth {tuple(image.shape)} must have the same shape"
        )
    return (prediction - image).abs()


# -- which pictures of the output ------------------------------------------------------------------------------------


def select_pictures(output: Any, batch: Batch, which: Pictures) -> list[Tensor]:
    """The pictures that a loss compares with the truth, each `(B, 3, H, W)` of the truth's size.

    Args:
        output: what the generator returned.
        batch: the batch that the generator was given.
        which: `prediction`: the raw prediction; `composite`: the prediction in the hole, the truth elsewhere; `both`;
            `pyramid`: every level of `output.pyramid`, enlarged bilinearly (SGE-Net eq. 7); `samples`: the raw
            prediction and `output.second_sample` (probabilistic SPN); `coarse`: the raw prediction of a first stage,
            `output.coarse` (the gated networks).

    Raises:
        ConfigError: the output has no `pyramid`, `second_sample` or `coarse`.
    """
    if which == "prediction":
        return [output.image]
    if which == "composite":
        return [composite(batch["image"], output.image, batch["mask"])]
    if which == "both":
        return [output.image, composite(batch["image"], output.image, batch["mask"])]
    if which == "samples":
        return [output.image, _required(output, "second_sample", "a stochastic generator (SPN with stochastic: true)")]
    if which == "coarse":
        return [_required(output, "coarse", "a generator with two stages (GatedNet, for one)")]
    size = (batch["image"].shape[-2], batch["image"].shape[-1])
    return [
        level if level.shape[-2:] == size else F.interpolate(level, size=size, mode="bilinear", align_corners=False)
        for level in require_pyramid(output)
    ]


def require_pyramid(output: Any) -> list[Tensor]:
    """`output.pyramid`, or a `ConfigError` that names the output's class and the remedy."""
    levels: list[Tensor] = _required(output, "pyramid", "a generator that predicts several sizes (PENNet, for one)")
    return levels


def _required(output: Any, field: str, remedy: str) -> Any:
    value = getattr(output, field, None)
    # With an empty pyramid the loss would silently be 0.
    if value is None or (isinstance(value, (list, tuple)) and not value):
        raise ConfigError(
            f"a loss reads output.{field}, but the generator's {type(output).__name__} has none; "
            f"use {remedy}, or remove this loss from the config"
        )
    return value


# -- losses ----------------------------------------------------------------------------------------------------------


class L1(Loss):
    """Mean absolute difference over the whole frame; several pictures are summed.

    Args:
        weight: factor, 0 or more.
        which: pictures to compare, see `select_pictures`. For the mean of two samples, halve the weight.
    """

    def __init__(self, weight: float = 1.0, which: Pictures = "prediction") -> None:
        super().__init__(weight)
        self.which: Pictures = which

    def forward(self, output: Output, batch: Batch) -> Tensor:
        """The weighted loss as a scalar."""
        terms = [l1(picture, batch["image"]) for picture in select_pictures(output, batch, self.which)]
        return self.weight * torch.stack(terms).sum()


class WeightedL1(Loss):
    """`mean(|prediction - image| * (1 + delta * mask))` (SPN eq. 10); several pictures are summed.

    Args:
        weight: factor, 0 or more; SPN's is 10 on [0, 1].
        delta: extra weight of the hole, 0 or more; SPN's paper has 4, its released code 2.
        which: pictures to compare, see `select_pictures`. For the mean of two samples, halve the weight.
    """

    def __init__(self, weight: float = 10.0, delta: float = 4.0, which: Pictures = "prediction") -> None:
        super().__init__(weight)
        if delta < 0:
            raise ValueError(f"WeightedL1: delta must be 0 or more, got {delta}")
        self.delta = delta
        self.which: Pictures = which

    def forward(self, output: Output, batch: Batch) -> Tensor:
        """The weighted loss as a scalar."""
        pictures = select_pictures(output, batch, self.which)
        terms = [weighted_l1(picture, batch["image"], batch["mask"], self.delta) for picture in pictures]
        return self.weight * torch.stack(terms).sum()


class HoleL1(Loss):
    """L1 over the hole, divided by the hole's share of the batch, as in PEN-Net's code (see `hole_l1`).

    Args:
        weight: factor, 0 or more; PEN-Net's 6 on [-1, 1] is 12 here.
    """

    def forward(self, output: Output, batch: Batch) -> Tensor:
        """The weighted loss as a scalar; 0 for a batch without a hole."""
        return self.weight * hole_l1(output.image, batch["image"], batch["mask"])


class ValidL1(Loss):
    """L1 over the known part, divided by its share of the batch, as in PEN-Net's code (see `valid_l1`).

    Args:
        weight: factor, 0 or more; PEN-Net's 1 on [-1, 1] is 2 here.
    """

    def forward(self, output: Output, batch: Batch) -> Tensor:
        """The weighted loss as a scalar; 0 for a batch that is all hole."""
        return self.weight * valid_l1(output.image, batch["image"], batch["mask"])


class PyramidL1(Loss):
    """Sum of the L1 of all pyramid levels, each at its own size (PEN-Net).

    Args:
        weight: factor, 0 or more; PEN-Net's 0.5 on [-1, 1] is 1 here.
        resize: how the truth is resized to a level, see `resize_truth`.
    """

    def __init__(self, weight: float = 1.0, resize: Resize = "bilinear_aligned") -> None:
        super().__init__(weight)
        self.resize: Resize = resize

    def forward(self, output: HasPyramid, batch: Batch) -> Tensor:
        """The weighted loss as a scalar.

        Raises:
            ConfigError: the output has no pyramid.
        """
        return self.weight * pyramid_l1(require_pyramid(output), batch["image"], self.resize)


class TotalVariation(Loss):
    """Total variation, for smooth fills and smooth seams (Liu et al. 2018).

    Args:
        weight: factor, 0 or more; Liu et al.'s is 0.1.
        region: `hole`: neighbours within the hole dilated by one pixel (eight-neighbourhood), so that the step from
            the hole's edge to the known picture counts; `frame`: everywhere.
        which: the composite, as in Liu et al., or the raw prediction.
    """

    def __init__(
        self,
        weight: float = 0.1,
        region: Literal["frame", "hole"] = "hole",
        which: Literal["prediction", "composite"] = "composite",
    ) -> None:
        super().__init__(weight)
        self.region: Literal["frame", "hole"] = region
        self.which: Literal["prediction", "composite"] = which

    def forward(self, output: Output, batch: Batch) -> Tensor:
        """The weighted loss as a scalar."""
        (picture,) = select_pictures(output, batch, self.which)
        region = dilate(batch["mask"]) if self.region == "hole" else None
        return self.weight * total_variation(picture, region)
