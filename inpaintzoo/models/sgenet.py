"""SGE-Net: semantic guidance and evaluation network, with SG-Net and Base-Net as variants.

Liao, Xiao, Wang, Lin, Satoh: "Guidance and Evaluation: Semantic-Aware Image Inpainting for Mixed Scenes", ECCV 2020,
https://arxiv.org/abs/2003.06877. A decoder predicts image and labels at five scales, coarse to fine; the labels of a
scale modulate the features of the next one (SGIM), and uncertain places are corrected (SCEM, SGIM+).

No code was released. Choices where the paper leaves details open:

| | paper | here |
|---|---|---|
| input | not stated | image in [-1, 1] with the hole 0, and the mask |
| encoder | not stated | 5x5, then five 4x4 with stride 2; instance norm from the second on, LeakyReLU 0.2 |
| context inference | "based on Context Encoders" | four dilated residual convolutions, or Context Encoders' |
| heads h, g (equation 1) | not stated | conv3, ReLU, and conv3, tanh for the image, conv1 for the labels |
| merge of features and skip | "concatenated" | concatenated, conv3 |
| scale of equation 3 | gamma | 1 + gamma, from the probabilities; hidden width 128 |
| statistics of equation 3 | not stated | of the batch, as in SPADE, over all processes |
| equation 3 without labels | not stated | no normalisation: at the coarsest scale, and everywhere in Base-Net |
| base-net, bias-net, F (equation 6) | not stated | conv3, ReLU, conv3; the same on 16 channels more; conv3, ReLU |
| threshold (equation 4) | "the proportion of the maximum one" | 0.8 of the sample's greatest confidence |
| mask passed on (equation 5) | the reliable | the unreliable, as figure 7 draws it; the hole at the coarsest scale |
"""

from __future__ import annotations

import dataclasses
from itertools import pairwise
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inpaintzoo.generator import Generator
from inpaintzoo.layers.pyramid import pyramid_channels
from inpaintzoo.layers.spade import SPADE, Statistics, instance_normalize
from inpaintzoo.ops import resize_mask
from inpaintzoo.types import IGNORE, DataError, PyramidOutput

_DILATIONS = (1, 2, 4, 2)
_MASK_CHANNELS = 16


@dataclasses.dataclass
class SGENetOutput(PyramidOutput):
    """Output of SGENet; all lists are finest first, at strides 1, 2, 4, 8 and 16.

    Attributes:
        pyramid: five images in [0, 1], the first one is `image` itself: equation 10 sums over all of them.
        segmentations: `(B, num_classes, h, w)`, logits of the labels at each scale; empty for `variant="base"`.
        confidences: `(B, 1, h, w)` in (0, 1], the probability of each pixel's likeliest label, without gradient;
            `variant="evaluated"` only.
        unreliable: `(B, 1, h, w)`, 1 = to be corrected: the mask that each scale's module got. At scale l it marks
            where the confidence of scale l + 1 is low, at twice its size; the coarsest one is the hole.
            `variant="evaluated"` only.
    """

    segmentations: list[Tensor] = dataclasses.field(default_factory=list)
    confidences: list[Tensor] = dataclasses.field(default_factory=list)
    unreliable: list[Tensor] = dataclasses.field(default_factory=list)


# -- confidence (SCEM) -----------------------------------------------------------------------------------------------


def probabilities(logits: Tensor) -> Tensor:
    """Softmax over the classes of `(B, classes, h, w)`, in float32 or wider."""
    return F.softmax(logits, dim=1, dtype=torch.promote_types(logits.dtype, torch.float32))


def evaluate_confidence(chances: Tensor, rho: float) -> tuple[Tensor, Tensor]:
    """The segmentation confidence evaluation module (equation 4), without gradient.

    Args:
        chances: `(B, classes, h, w)`, probabilities.
        rho: a pixel is reliable if its confidence exceeds `rho` times the greatest confidence in its sample.

    Returns:
        The confidence, `(B, 1, h, w)`, and the mask of unreliable pixels, 1 = unreliable.
    """
    confidence = chances.detach().amax(dim=1, keepdim=True)
    threshold = rho * confidence.amax(dim=(2, 3), keepdim=True)
    return confidence, (confidence <= threshold).to(confidence.dtype)


# -- encoder ---------------------------------------------------------------------------------------------------------


class Encoder(nn.Module):
    """Six maps of image and mask, from full size to a 32nd, see `pyramid_channels`.

    Args:
        width: channels at full size.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        channels = pyramid_channels(width)
        # No bias before normalisations, which would remove it.
        self.levels = nn.ModuleList(
            [nn.Conv2d(4, width, 5, padding=2)]
            + [nn.Conv2d(a, b, 4, 2, padding=1, bias=False) for a, b in pairwise(channels)]
        )

    def forward(self, picture: Tensor) -> list[Tensor]:
        """Encode `(B, 4, H, W)`; finest first."""
        features = F.leaky_relu(self.levels[0](picture), 0.2)
        maps = [features]
        for level in list(self.levels)[1:]:
            features = F.leaky_relu(instance_normalize(level(features)), 0.2)
            maps.append(features)
        return maps


class DilatedContext(nn.Module):
    """Context inference for any size: residual 3x3 convolutions, dilated by 1, 2, 4 and 2.

    Args:
        channels: channels of the deepest map.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation, bias=False) for dilation in _DILATIONS
        )

    def forward(self, features: Tensor) -> Tensor:
        """Infer `(B, channels, h, w)` from itself."""
        for convolution in self.convolutions:
            features = features + F.leaky_relu(instance_normalize(convolution(features)), 0.2)
        return features


class FullyConnectedContext(nn.Module):
    """Context inference for one size: a fully connected layer within each channel, then a 1x1 convolution across them.

    Pathak et al., "Context Encoders", CVPR 2016, https://arxiv.org/abs/1604.07379, section 3.1.

    Args:
        channels: channels of the deepest map.
        side: side of the deepest map, in cells.
    """

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        cells = side**2
        self.weight = nn.Parameter(torch.empty(channels, cells, cells))
        self.shift = nn.Parameter(torch.zeros(channels, cells, 1))
        self.across = nn.Conv2d(channels, channels, 1)
        nn.init.uniform_(self.weight, -(cells**-0.5), cells**-0.5)  # as nn.Linear does

    def forward(self, features: Tensor) -> Tensor:
        """Infer `(B, channels, side, side)` from itself."""
        mixed = torch.matmul(self.weight, features.flatten(2).unsqueeze(-1)) + self.shift
        return F.leaky_relu(self.across(F.leaky_relu(mixed.view_as(features), 0.2)), 0.2)


# -- decoder ---------------------------------------------------------------------------------------------------------


def _two_convolutions(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(before, after, 3, padding=1), nn.ReLU(), nn.Conv2d(after, after, 3, padding=1))


class InferenceModule(nn.Module):
    """Features of a scale from those of the next coarser one: SGIM (equations 2 and 3) and SGIM+ (equations 5 and 6).

    Args:
        channels: channels of the coarser features.
        skip_channels: channels of the encoder's map.
        out_channels: channels of the result.
        num_classes: number of labels that modulate the features; 0: none do.
        hidden: channels of SPADE's hidden map.
        corrects: whether to have the bias-net of SGIM+.
        statistics: see `SPADE`; with `instance`, features without labels are normalised too.
    """

    def __init__(
        self,
        channels: int,
        skip_channels: int,
        out_channels: int,
        num_classes: int,
        hidden: int,
        corrects: bool,
        statistics: Statistics = "batch",
    ) -> None:
        super().__init__()
        self.spade = SPADE(out_channels, num_classes, hidden, statistics) if num_classes else None
        self.only_normalises = self.spade is None and statistics == "instance"
        # A normalisation would remove the bias.
        bias = self.spade is None and not self.only_normalises
        self.merge = nn.Conv2d(channels + skip_channels, out_channels, 3, padding=1, bias=bias)
        self.base_net = _two_convolutions(out_channels, out_channels)
        self.mask_net = nn.Conv2d(1, _MASK_CHANNELS, 3, padding=1) if corrects else None
        self.bias_net = _two_convolutions(out_channels + _MASK_CHANNELS, out_channels) if corrects else None

    def forward(self, features: Tensor, skip: Tensor, chances: Tensor | None, unreliable: Tensor | None) -> Tensor:
        """Infer the finer features.

        Args:
            features: `(B, channels, h, w)`.
            skip: `(B, skip_channels, 2h, 2w)`.
            chances: `(B, num_classes, h, w)`, label probabilities; None without labels.
            unreliable: `(B, 1, 2h, 2w)`, 1 = to be corrected; only SGIM+ reads it.

        Returns:
            `(B, out_channels, 2h, 2w)`.
        """
        larger = F.interpolate(features, scale_factor=2.0, mode="bilinear", align_corners=False)
        merged = self.merge(torch.cat([larger, skip.to(larger.dtype)], dim=1))
        modulated = instance_normalize(merged) if self.only_normalises else merged
        if self.spade is not None and chances is not None:
            modulated = self.spade(merged, chances.to(merged.dtype))  # equation 3
        result: Tensor = self.base_net(modulated)
        if self.mask_net is not None and self.bias_net is not None and unreliable is not None:
            marks = F.relu(self.mask_net(unreliable.to(modulated.dtype)))
            result = result + self.bias_net(torch.cat([modulated, marks.to(modulated.dtype)], dim=1))  # equation 6
        return result


def _prediction_head(channels: int, out_channels: int, kernel: int) -> nn.Sequential:
    """A 3x3 convolution, ReLU, and a convolution to the prediction (equation 1)."""
    return nn.Sequential(
        nn.Conv2d(channels, channels, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(channels, out_channels, kernel, padding=kernel // 2),
    )


# -- the network -----------------------------------------------------------------------------------------------------


class SGENet(Generator):
    """Semantic guidance and evaluation network (figure 3); SG-Net (figure 2) and Base-Net by `variant`.

    43,707,381 parameters at the defaults, 37,276,437 guided and 32,947,407 base. Sides must be multiples of 32 from 64
    up. Weights that variants share have the same names. PyTorch's default initialisation.

    Args:
        variant: `base`: images at five scales and no labels (table 3, first row); `guided`: SG-Net, the labels of a
            scale modulate the next one; `evaluated`: SGE-Net, which also corrects features where labels are uncertain.
        num_classes: number of labels, 2 to 255: 14 in the built-in scenes, 8 in Outdoor Scenes, 20 in Cityscapes.
        width: channels at full size; 2, 4, 8 and 16 times as many below.
        rho: threshold of SCEM, between 0 and 1: the fraction of the sample's greatest confidence that a pixel's must
            exceed to be reliable. The greater, the more is corrected.
        hidden: channels of SPADE's hidden maps.
        statistics: what SPADE's mean and variance are taken over: the batch, or each sample (`instance`), which
            removes a picture's average colour. `instance` also normalises where no labels modulate, at the coarsest
            scale and everywhere in Base-Net; networks of version 0.1 need it.
        cim: the context inference module: `dilated`, or Context Encoders' `fully_connected` for one size of images.
        image_size: side of the square images that the fully connected context accepts.

    Attributes:
        needs_labels: whether training needs labels: all variants but `base`.
    """

    size_multiple = 32
    smallest_side = 64  # instance normalisation of the deepest map needs more than one cell

    def __init__(
        self,
        variant: Literal["base", "guided", "evaluated"] = "evaluated",
        num_classes: int = 14,
        width: int = 32,
        rho: float = 0.8,
        hidden: int = 128,
        statistics: Statistics = "batch",
        cim: Literal["dilated", "fully_connected"] = "dilated",
        image_size: int | None = None,
    ) -> None:
        super().__init__()
        _check_settings(variant, num_classes, width, rho, hidden, statistics)
        self.variant = variant
        self.needs_labels = variant != "base"  # type: ignore[misc]
        self.rho = rho
        self.encoder = Encoder(width)
        channels = pyramid_channels(width)
        self.image_size = _context_size(cim, image_size)
        self.context = (
            FullyConnectedContext(channels[-1], self.image_size // 32)
            if self.image_size
            else DilatedContext(channels[-1])
        )
        classes = num_classes if self.needs_labels else 0
        self.num_classes = classes or None
        # Finest first; the coarsest has no labels to be guided by.
        self.decoder = nn.ModuleList(
            InferenceModule(channels[i + 1], c, c, classes if i < 4 else 0, hidden, variant == "evaluated", statistics)
            for i, c in enumerate(channels[:5])
        )
        self.image_heads = nn.ModuleList(_prediction_head(c, 3, 3) for c in channels[:5])
        self.label_heads = nn.ModuleList(_prediction_head(c, classes, 1) for c in channels[:5]) if classes else None

    def check_size(self, image: Tensor, mask: Tensor) -> None:
        """Raise `DataError` unless the shapes fit; a fully connected context accepts only one size."""
        super().check_size(image, mask)
        size = self.image_size
        if size and tuple(image.shape[-2:]) != (size, size):
            raise DataError(
                f"this SGENet has a fully connected context for {size}x{size}, got {image.shape[-2]}x{image.shape[-1]};"
                f" crop the images, or use cim: dilated, which takes any size"
            )

    def forward(self, image: Tensor, mask: Tensor) -> SGENetOutput:
        """Fill the hole.

        Args:
            image: `(B, 3, H, W)` in [0, 1], sides multiples of 32 from 64 up; whatever lies in the hole is ignored.
            mask: `(B, 1, H, W)`, 1 = hole.

        Raises:
            ValueError: the shapes do not fit.
        """
        self.check_size(image, mask)
        hole = mask.to(image.dtype)
        skips = self.encoder(torch.cat([self.hide_hole(2 * image - 1, mask), hole], dim=1))
        features = self.context(skips.pop())
        pyramid, segmentations, confidences, fed = [], [], [], []  # coarse to fine
        chances, unreliable, doubtful = None, None, None
        for scale in reversed(range(len(skips))):
            if self.variant == "evaluated":
                size = (skips[scale].shape[-2], skips[scale].shape[-1])
                unreliable = resize_mask(hole, size) if doubtful is None else resize_mask(doubtful, size, "nearest")
                fed.append(unreliable)
            features = self.decoder[scale](features, skips[scale], chances, unreliable)
            pyramid.append((torch.tanh(self.image_heads[scale](features)) + 1) / 2)
            if self.label_heads is not None:
                segmentations.append(self.label_heads[scale](features))
                if scale == 0 and self.variant == "guided":
                    break  # the finest labels guide nothing
                chances = probabilities(segmentations[-1])
                if self.variant == "evaluated":
                    confidence, doubtful = evaluate_confidence(chances, self.rho)
                    confidences.append(confidence)
        return SGENetOutput(pyramid[-1], pyramid[::-1], segmentations[::-1], confidences[::-1], fed[::-1])


def _check_settings(variant: str, num_classes: int, width: int, rho: float, hidden: int, statistics: str) -> None:
    if variant not in ("base", "guided", "evaluated"):
        raise ValueError(f"SGENet: variant must be 'base', 'guided' or 'evaluated', got {variant!r}")
    if not 2 <= num_classes <= IGNORE:
        raise ValueError(f"SGENet: num_classes must lie in 2..{IGNORE} (label {IGNORE} is ignored), got {num_classes}")
    for name, value in {"width": width, "hidden": hidden}.items():
        if value < 1:
            raise ValueError(f"SGENet: {name} must be 1 or more, got {value}")
    if statistics not in get_args(Statistics):
        raise ValueError(f"SGENet: statistics must be 'batch' or 'instance', got {statistics!r}")
    if not 0 < rho < 1:
        raise ValueError(f"SGENet: rho must lie between 0 and 1, got {rho}")


def _context_size(cim: str, image_size: int | None) -> int | None:
    """The only image side that the context accepts; None if it accepts any."""
    if cim not in ("dilated", "fully_connected"):
        raise ValueError(f"SGENet: cim must be 'dilated' or 'fully_connected', got {cim!r}")
    if cim == "dilated":
        if image_size is not None:
            raise ValueError(
                f"SGENet: image_size is for cim 'fully_connected', and a dilated context takes any size; "
                f"leave image_size out, got {image_size}"
            )
        return None
    if image_size is None or image_size < 64 or image_size % 32:
        raise ValueError(
            f"SGENet: cim 'fully_connected' needs image_size, a multiple of 32 from 64 up, got {image_size}"
        )
    return image_size
