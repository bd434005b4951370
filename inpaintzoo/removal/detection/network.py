"""MPSSD: a single-shot detector whose pyramid is fused along several paths; with SSD and FSSD, its baselines.

MPSSD: section 5.2 of the dissertation that describes the pyramid generator (`inpaintzoo.models.pyramid`). SSD: Liu et
al., ECCV 2016, https://arxiv.org/abs/1512.02325. FSSD: Li and Zhou, 2017, https://arxiv.org/abs/1712.00960.

Anchors, matching, hard-negative mining, losses and non-maximum suppression are torchvision's. Choices where the text
is silent or contradicts itself:

* Path m of M fuses the base maps m, m + 1 and m + 2, for which (5.3) writes n + 1 and (5.5) n + 2 inputs; figure 5.3
  prints three, those of the second path.
* A path has the same width in its 1x1 convolutions and on every level of its pyramid: 256, 256, 128, and 128 for the
  fourth of table 5.5. Its 1x1 convolutions end in ReLU and its maps are enlarged bilinearly, as in FSSD's code.
* (5.7) swaps the names of ReLU and sigmoid: ReLU comes first.
* Inputs of 512 pixels have SSD512's maps: 64, 32, 16, 8, 4, 2, 1.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, normalize
from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
from torchvision.models.detection.ssd import SSD as TorchvisionSSD
from torchvision.models.vgg import cfgs, make_layers

from inpaintzoo.layers.rebuildable import Rebuildable
from inpaintzoo.removal.detection.classes import CLASSES

Size = Literal[300, 512]
_MEAN, _STD = (0.48235, 0.45882, 0.40784), (1 / 255, 1 / 255, 1 / 255)  # of torchvision's VGG16 features
_STEPS = {300: (8, 16, 32, 64, 100, 300), 512: (8, 16, 32, 64, 128, 256, 512)}  # pixels between anchors
_SCALES = {  # sides of anchors as shares of the picture's, by SSD's code
    ("voc", 300): (0.1, 0.2, 0.375, 0.55, 0.725, 0.9, 1.075),
    ("voc", 512): (0.07, 0.15, 0.3, 0.45, 0.6, 0.75, 0.9, 1.05),
    ("coco", 300): (0.07, 0.15, 0.33, 0.51, 0.69, 0.87, 1.05),
    ("coco", 512): (0.04, 0.1, 0.26, 0.42, 0.58, 0.74, 0.9, 1.06),
}
# Kernel, stride and padding of the convolution from each map of the pyramid to the next.
_SHRINKING = {300: [(3, 2, 1)] * 3 + [(3, 1, 0)] * 2, 512: [(3, 2, 1)] * 5 + [(4, 1, 1)]}


class BasePyramid(nn.Module):
    """VGG16 with fc6 and fc7 as convolutions, and the further convolutions of SSD.

    Args:
        width: channels of the first convolution.
        shrinking: kernel, stride and padding of each further convolution, from conv6_2 on.
        rescale: whether conv4_3 is normalised and scaled, as in SSD.

    Attributes:
        channels: of each map.
    """

    def __init__(self, width: int, shrinking: Sequence[tuple[int, int, int]], rescale: bool) -> None:
        super().__init__()
        layers = [v if v == "M" else int(v) * width // 64 for v in cfgs["D"][:-1]]
        vgg = make_layers(layers)  # type: ignore[arg-type]
        vgg[16].ceil_mode = True  # 75 -> 38
        fc6, fc7 = nn.Conv2d(8 * width, 16 * width, 3, padding=6, dilation=6), nn.Conv2d(16 * width, 16 * width, 1)
        self.base = nn.Sequential(*vgg, nn.MaxPool2d(3, 1, 1), fc6, nn.ReLU(True), fc7, nn.ReLU(True))
        self.scale = nn.Parameter(torch.full((8 * width,), 20.0)) if rescale else None
        self.channels = [8 * width, 16 * width, *[8 * width, *[4 * width] * 5][: len(shrinking)]]
        self.extras = nn.ModuleList(
            nn.Sequential(nn.Conv2d(i, o // 2, 1), nn.ReLU(True), nn.Conv2d(o // 2, o, *convolution), nn.ReLU(True))
            for i, o, convolution in zip(self.channels[1:], self.channels[2:], shrinking, strict=False)
        )

    def forward(self, image: Tensor) -> list[Tensor]:
        """`(B, 3, size, size)` to the maps conv4_3, fc7, conv6_2 and so on: (5.1)."""
        conv4_3 = self.base[:23](image)
        maps = [conv4_3 if self.scale is None else self.scale[:, None, None] * normalize(conv4_3)]
        maps.append(self.base[23:](conv4_3))
        for extra in self.extras:
            maps.append(extra(maps[-1]))
        return maps


class FeatureFusion(nn.Module):
    """A feature fusion module: several maps become one, of which a new pyramid is made (figure 5.3).

    Args:
        inputs: channels of the maps that are fused.
        width: channels to which each is reduced.
        outputs: channels of the new pyramid's maps.
        shrinking: kernel, stride and padding between these.
        norm: whether the fused map is batch-normalised, as in FSSD.
    """

    def __init__(
        self,
        inputs: Sequence[int],
        width: int,
        outputs: Sequence[int],
        shrinking: Sequence[tuple[int, int, int]],
        norm: bool = False,
    ) -> None:
        super().__init__()
        self.reduce = nn.ModuleList(nn.Sequential(nn.Conv2d(i, width, 1), nn.ReLU(True)) for i in inputs)
        fused = width * len(inputs)
        self.norm = nn.BatchNorm2d(fused) if norm else nn.Identity()
        self.pyramid = nn.ModuleList(
            nn.Sequential(nn.Conv2d(i, o, *convolution), nn.ReLU(True))
            for i, o, convolution in zip([fused, *outputs], outputs, [(3, 1, 1), *shrinking], strict=False)
        )

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Maps `(B, C, H, W)`, the largest first, to as many maps as there are `outputs`, the first one as large."""
        size = maps[0].shape[-2:]
        reduced = [reduce(x) for reduce, x in zip(self.reduce, maps, strict=True)]
        enlarged = [reduced[0]] + [interpolate(x, size, mode="bilinear", align_corners=False) for x in reduced[1:]]
        x = self.norm(torch.cat(enlarged, dim=1))
        pyramid = []
        for convolution in self.pyramid:
            x = convolution(x)
            pyramid.append(x)
        return pyramid


class ChannelAttention(nn.Module):
    """Squeeze and excitation (Hu et al., https://arxiv.org/abs/1709.01507) of the pyramid aggregation module.

    Args:
        channels: of the map.
        reduction: by which the inner layer is narrower.
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        inner = max(1, channels // reduction)
        self.first, self.second = nn.Linear(channels, inner, bias=False), nn.Linear(inner, channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, C, H, W)`, each channel weighted."""
        squeezed = x.mean(dim=(2, 3))  # (5.6)
        weights = self.second(self.first(squeezed).relu()).sigmoid()  # (5.7)
        return x * weights[:, :, None, None]  # (5.8)


class DetectionNetwork(TorchvisionSSD, Rebuildable):
    """What SSD, FSSD and MPSSD share: everything but the pyramid.

    It takes and returns what torchvision's detectors do: a list of pictures `(3, H, W)` in [0, 1] of any sizes; in
    training also a list of dictionaries with `boxes` `(N, 4)`, x1, y1, x2, y2 in pixels, and `labels` `(N,)` from 1. In
    training mode it returns the losses, `bbox_regression` and `classification`; in eval mode a dictionary for each
    picture with `boxes`, `labels` and `scores` in [0, 1].

    Args:
        pyramid: makes the maps, the largest first.
        channels: of these maps.
        size: side in pixels to which pictures are resized.
        classes: names, without background; or those of a data set, `voc`, `coco` or `scenes`.
        anchors: whose scales the anchors have.
        first_anchors: anchors in each place of the first map: SSD has 4, FSSD's code 6.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        pyramid: nn.Module,
        channels: Sequence[int],
        size: Size,
        classes: str | tuple[str, ...],
        anchors: Literal["voc", "coco"],
        first_anchors: Literal[4, 6],
    ) -> None:
        if isinstance(classes, str) and classes not in CLASSES:
            raise ValueError(f"classes must be names, or one of {', '.join(CLASSES)}, got {classes!r}")
        names = CLASSES[classes] if isinstance(classes, str) else tuple(classes)
        if (anchors, size) not in _SCALES or first_anchors not in (4, 6) or not names:
            raise ValueError(
                f"anchors must be voc or coco, first_anchors 4 or 6, with one class or more, got {anchors!r}, "
                f"{first_anchors!r}, {names}"
            )
        ratios = [[2, 3]] * len(channels)
        ratios[0] = ratios[0] if first_anchors == 6 else [2]
        ratios[-2:] = [[2], [2]]
        pyramid.out_channels = list(channels)  # type: ignore[assignment]
        boxes = DefaultBoxGenerator(ratios, scales=list(_SCALES[anchors, size]), steps=list(_STEPS[size]))
        super().__init__(pyramid, boxes, (size, size), len(names) + 1, image_mean=list(_MEAN), image_std=list(_STD))
        self.classes = names
        for layer in pyramid.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        first = next(layer for layer in pyramid.modules() if isinstance(layer, nn.Conv2d))
        nn.init.kaiming_normal_(first.weight, a=100 * 2**0.5)  # its inputs are colours up to 255, not of unit variance

    def raw_outputs(self, images: Tensor) -> dict[str, Tensor]:
        """What the heads say of each anchor, without decoding and suppression.

        Args:
            images: `(B, 3, size, size)`, normalised.

        Returns:
            `bbox_regression` `(B, A, 4)` and `cls_logits` `(B, A, 1 + classes)`.
        """
        maps: OrderedDict[str, Tensor] = self.backbone(images)  # type: ignore[operator]
        raw: dict[str, Tensor] = self.head(list(maps.values()))  # type: ignore[operator]
        return raw


class _Pyramid(nn.Module):
    """Adapts a list of maps to torchvision, which wants names."""

    out_channels: list[int]

    def _maps(self, image: Tensor) -> list[Tensor]:
        raise NotImplementedError

    def forward(self, image: Tensor) -> OrderedDict[str, Tensor]:
        return OrderedDict((str(i), x) for i, x in enumerate(self._maps(image)))


class _Base(_Pyramid):
    def __init__(self, size: Size, width: int) -> None:
        super().__init__()
        self.base = BasePyramid(width, _SHRINKING[size][1:], rescale=True)

    def _maps(self, image: Tensor) -> list[Tensor]:
        return self.base(image)


class _Fused(_Pyramid):
    """FSSD's pyramid (5.2), as in its authors' code: conv4_3, fc7 and conv7_2 are fused once.

    Unlike SSD's, conv6_2 has neither stride nor padding: at 300 its map is 17x17, and conv7_2's 9x9.
    """

    def __init__(self, size: Size, width: int, outputs: Sequence[int]) -> None:
        super().__init__()
        self.base = BasePyramid(width, [(3, 1, 0), (3, 2, 1)], rescale=False)
        channels = [self.base.channels[level] for level in (0, 1, 3)]
        self.fusion = FeatureFusion(channels, 4 * width, outputs, _SHRINKING[size], norm=True)

    def _maps(self, image: Tensor) -> list[Tensor]:
        maps = self.base(image)
        return self.fusion([maps[0], maps[1], maps[3]])


class _MultiPath(_Pyramid):
    """MPSSD's pyramid (5.5): each path begins one level later; what they have on a level is concatenated."""

    def __init__(self, size: Size, width: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.base = BasePyramid(width, _SHRINKING[size][1 : len(widths) + 1], rescale=True)
        levels = len(_STEPS[size])
        self.paths = nn.ModuleList(
            FeatureFusion(self.base.channels[m : m + 3], w, [w] * (levels - m), _SHRINKING[size][m:])
            for m, w in enumerate(widths)
        )
        self.channels = [sum(widths[: level + 1]) for level in range(levels)]
        self.aggregation = nn.ModuleList(map(ChannelAttention, self.channels))

    def _maps(self, image: Tensor) -> list[Tensor]:
        base = self.base(image)
        paths = [path(base[m : m + 3]) for m, path in enumerate(self.paths)]
        return [
            attention(torch.cat([path[level - m] for m, path in enumerate(paths) if level >= m], dim=1))
            for level, attention in enumerate(self.aggregation)
        ]


class SSD(DetectionNetwork):
    """The vanilla single-shot detector on VGG16.

    Args:
        size: side in pixels to which pictures are resized.
        classes: names, without background; or those of a data set, `voc`, `coco` or `scenes`.
        width: channels of the first convolution; VGG16 has 64.
        anchors: whose scales the anchors have.
        first_anchors: anchors in each place of the first map.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        size: Size = 300,
        classes: str | tuple[str, ...] = "voc",
        width: int = 64,
        anchors: Literal["voc", "coco"] = "voc",
        first_anchors: Literal[4, 6] = 4,
    ) -> None:
        _check(size, width)
        pyramid = _Base(size, width)
        super().__init__(pyramid, pyramid.base.channels, size, classes, anchors, first_anchors)


class FSSD(DetectionNetwork):
    """SSD with one fused pyramid.

    Args:
        size: side in pixels to which pictures are resized.
        classes: names, without background; or those of a data set, `voc`, `coco` or `scenes`.
        width: channels of the first convolution; VGG16 has 64. Fused maps are in proportion.
        anchors: whose scales the anchors have.
        first_anchors: anchors in each place of the first map.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        size: Size = 300,
        classes: str | tuple[str, ...] = "voc",
        width: int = 64,
        anchors: Literal["voc", "coco"] = "voc",
        first_anchors: Literal[4, 6] = 6,
    ) -> None:
        _check(size, width)
        channels = [8 * width, 8 * width, *[4 * width] * (len(_STEPS[size]) - 2)]
        super().__init__(_Fused(size, width, channels), channels, size, classes, anchors, first_anchors)


class MPSSD(DetectionNetwork):
    """The multi-path fusion single-shot detector.

    Table 5.5 is `modules` 1 to 4, with `third` 256 or 128.

    Args:
        size: side in pixels to which pictures are resized.
        classes: names, without background; or those of a data set, `voc`, `coco` or `scenes`.
        modules: feature fusion modules, 1 to 4.
        third: width of the third one; the first two have 256 and the fourth 128.
        width: channels of the first convolution; VGG16 has 64. Fused maps are in proportion.
        anchors: whose scales the anchors have.
        first_anchors: anchors in each place of the first map.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        size: Size = 300,
        classes: str | tuple[str, ...] = "voc",
        modules: int = 3,
        third: int = 128,
        width: int = 64,
        anchors: Literal["voc", "coco"] = "voc",
        first_anchors: Literal[4, 6] = 4,
    ) -> None:
        _check(size, width)
        if not 1 <= modules <= 4 or third < 1:
            raise ValueError(f"MPSSD: modules must be 1 to 4 and third 1 or more, got {modules} and {third}")
        widths = [max(1, w * width // 64) for w in (256, 256, third, 128)[:modules]]
        pyramid = _MultiPath(size, width, widths)
        super().__init__(pyramid, pyramid.channels, size, classes, anchors, first_anchors)


def _check(size: int, width: int) -> None:
    if size not in get_args(Size) or width < 1:
        raise ValueError(f"size must be 300 or 512 and width 1 or more, got {size} and {width}")
