"""Discriminators: `forward(image, mask) -> list[Tensor]`, the features of each layer, the logits last.

Images are in [0, 1], as everywhere in the zoo; all but SPN's discriminators map them to [-1, 1] internally. The
adversary decides which picture is judged: the composite, a crop, one scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inpaintzoo.layers.gated import Padding, SameConv2d, check_padding
from inpaintzoo.layers.rebuildable import Rebuildable
from inpaintzoo.layers.spectral import spectral_norm
from inpaintzoo.types import DataError

Norm = Literal["spectral", "instance", "spectral+instance", "none"]


class Discriminator(Rebuildable):
    """Judges pictures.

    Attributes:
        uses_mask: whether the judgement depends on the mask.
        smallest_side: height and width must be at least this, in pixels.
    """

    uses_mask: ClassVar[bool] = False
    smallest_side: int = 1

    def forward(self, image: Tensor, mask: Tensor) -> list[Tensor]:
        """Judge a batch.

        Args:
            image: `(B, 3, H, W)` in [0, 1].
            mask: `(B, 1, H, W)`, 1 = hole; read only if `uses_mask`.

        Returns:
            The features of every layer in order, then the logits, before any sigmoid.
        """
        raise NotImplementedError

    def check_size(self, image: Tensor) -> None:
        """Raise `DataError` (a `ValueError`) unless both sides of `(B, 3, H, W)` are `smallest_side` or more."""
        height, width = image.shape[-2:]
        if min(height, width) < self.smallest_side:
            raise DataError(
                f"{type(self).__name__} judges pictures of at least {self.smallest_side}x{self.smallest_side}, got "
                f"{height}x{width}; enlarge the images or the view (HoleBox: size), or use fewer layers or scales"
            )


def _smallest_side(layers: Sequence[nn.Conv2d], least: int = 1) -> int:
    """Side of the smallest square that these convolutions, in this order, turn into one of side `least`."""
    side = least
    for layer in reversed(layers):
        side = max((side - 1) * layer.stride[0] + layer.kernel_size[0] - 2 * int(layer.padding[0]), 1)
    return side


def _leaky_layers(layers: nn.ModuleList, features: Tensor) -> list[Tensor]:
    """Outputs of all layers, each followed by LeakyReLU 0.2."""
    outputs = []
    for layer in layers:
        features = F.leaky_relu(_applied(layer, features), 0.2)
        outputs.append(features)
    return outputs


def _applied(layer: nn.Module, features: Tensor) -> Tensor:
    """The layer's output, without the errors of torch 2.14 and 2.15 on one-column maps under CPU autocast.

    There, the bfloat16 weight gradient of a strided convolution contains uninitialised memory, NaN included; on
    processors with matrix units (AMX) so does a one-column output.
    """
    # Strides are 1 or 2, so wider maps have outputs of several columns.
    if features.shape[3] > 3 or features.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
        return layer(features)
    with torch.autocast("cpu", enabled=False):
        return layer(features.float())


class PENNetDiscriminator(Discriminator):
    """The discriminator of PEN-Net's released code: four 5x5 layers with spectral norm, 27x27 logits at 256x256.

    4,318,401 parameters at the default width. Source: https://arxiv.org/abs/1904.07475, section 3.3.

    Args:
        width: channels of the first layer; the next three have 2, 4 and 8 times as many.
    """

    strides: ClassVar[tuple[int, ...]] = (2, 2, 2, 1, 1)  # the last one belongs to the logits

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        if width < 1:
            raise ValueError(f"{type(self).__name__}: width must be 1 or more, got {width}")
        channels = (3, width, 2 * width, 4 * width, 8 * width)
        convolutions = [
            nn.Conv2d(before, after, 5, stride, padding=1, bias=False)
            for before, after, stride in zip(channels[:-1], channels[1:], self.strides[:-1], strict=True)
        ]
        self.classifier = nn.Conv2d(channels[-1], 1, 5, self.strides[-1], padding=1)
        for convolution in (*convolutions, self.classifier):
            nn.init.normal_(convolution.weight, 0.0, 0.02)
            if convolution.bias is not None:
                nn.init.zeros_(convolution.bias)
        self.smallest_side = _smallest_side([*convolutions, self.classifier])
        self.layers = nn.ModuleList(spectral_norm(convolution) for convolution in convolutions)

    def forward(self, image: Tensor, mask: Tensor) -> list[Tensor]:
        """Features of the four layers and logits; the mask is not read."""
        self.check_size(image)
        features = _leaky_layers(self.layers, 2 * image - 1)
        return [*features, _applied(self.classifier, features[-1])]


class SRPNetDiscriminator(PENNetDiscriminator):
    """Global and local discriminator of SRPNet (table A2): PEN-Net's with stride 2 throughout, 7x7 logits at 256x256.

    4,318,401 parameters at the default width. Spectral norm is not in the table; it is PEN-Net's. Source: Luo and
    Zheng, Information 2022, https://doi.org/10.3390/info13020071, section 3.4. Sides must be 63 or more.
    """

    strides = (2, 2, 2, 2, 2)


class SPNDiscriminator(Discriminator):
    """Discriminator of deterministic SPN and of SPL: 4x4 layers with spectral norm, 30x30 logits at 256x256.

    2,763,776 parameters at the default width, no biases. As released, it reads images in [0, 1] without rescaling.
    Source: https://arxiv.org/abs/2112.04107, section 4.1.3, and the authors' code.

    Args:
        width: channels of the first layer; the next three have 2, 4 and 8 times as many.
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        convolutions = _spn_convolutions(type(self).__name__, width, biased=())
        self.smallest_side = _smallest_side(convolutions)
        *layers, self.classifier = (spectral_norm(convolution) for convolution in convolutions)
        self.layers = nn.ModuleList(layers)

    def forward(self, image: Tensor, mask: Tensor) -> list[Tensor]:
        """Features of the four layers and logits, before any sigmoid; the mask is not read."""
        self.check_size(image)
        features = _leaky_layers(self.layers, image)
        return [*features, _applied(self.classifier, features[-1])]


class SPNProbabilisticDiscriminator(SPNDiscriminator):
    """Discriminator of probabilistic SPN: spectral and instance norm in the three middle layers.

    2,763,841 parameters at the default width; the first layer and the logits layer have biases. Reads images in [0, 1]
    without rescaling. Feature matching compares features 1, 2 and 3 (from 0). Source as for `SPNDiscriminator`.

    Args:
        width: channels of the first layer; the next three have 2, 4 and 8 times as many.
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__(width)
        first, *middle, self.classifier = _spn_convolutions(type(self).__name__, width, biased=(0, 4))
        # Instance normalisation needs more than one cell.
        self.smallest_side = max(self.smallest_side, _smallest_side([first, *middle], 2))
        normalised = [nn.Sequential(spectral_norm(layer), nn.InstanceNorm2d(layer.out_channels)) for layer in middle]
        self.layers = nn.ModuleList([first, *normalised])


def _spn_convolutions(name: str, width: int, biased: Sequence[int]) -> list[nn.Conv2d]:
    """Four layers and the logits layer, initialised as PyTorch does; those in `biased` have a bias."""
    if width < 1:
        raise ValueError(f"{name}: width must be 1 or more, got {width}")
    channels, strides = (3, width, 2 * width, 4 * width, 8 * width, 1), (2, 2, 2, 1, 1)
    return [
        nn.Conv2d(channels[i], channels[i + 1], 4, stride, padding=1, bias=i in biased)
        for i, stride in enumerate(strides)
    ]


class SNPatchDiscriminator(Discriminator):
    """SN-PatchGAN of DeepFill v2: six 5x5 strided layers with spectral norm on picture and mask.

    Every cell of the last layer, all channels, is a logit. Source: Yu et al., "Free-Form Image Inpainting with Gated
    Convolution", ICCV 2019, https://arxiv.org/abs/1806.03589, section 3.3.

    Args:
        width: channels of the first layer; the others have 2, then 4 times as many.
        num_layers: number of layers, 2 or more.
        padding: see `inpaintzoo.layers.gated.SameConv2d`; `same_tf` for weights that TensorFlow trained.
    """

    uses_mask = True

    def __init__(self, width: int = 64, num_layers: int = 6, padding: Padding = "same") -> None:
        super().__init__()
        check_padding("SNPatchDiscriminator", padding)
        if width < 1 or num_layers < 2:
            raise ValueError(
                "SNPatchDiscriminator: width must be 1 or more and num_layers 2 or more, got "
                f"width={width}, num_layers={num_layers}"
            )
        channels = [4, *(width * min(2**i, 4) for i in range(num_layers))]
        self.layers = nn.ModuleList(
            spectral_norm(SameConv2d(before, after, kernel=5, stride=2, padding=padding))
            for before, after in pairwise(channels)
        )

    def forward(self, image: Tensor, mask: Tensor) -> list[Tensor]:
        """Features of all layers; the last ones are the logits, `(B, 4 * width, H / 64, W / 64)` at six layers."""
        self.check_size(image)
        picture = torch.cat([2 * image - 1, mask.to(image.dtype)], dim=1)
        return _leaky_layers(self.layers, picture)


class PatchDiscriminator(Discriminator):
    """PatchGAN with the usual choices (Isola et al., CVPR 2017, https://arxiv.org/abs/1611.07004, section 3.2.2).

    The defaults are pix2pix's 70x70 network: 64, 128, 256 channels with stride 2, 512 with stride 1, then the logits.

    Args:
        width: channels of the first layer; they double with each layer up to `max_width`.
        num_layers: layers with stride 2; one with stride 1 and the logits follow.
        kernel: kernel size.
        padding: zero padding of each layer.
        max_width: maximum number of channels.
        norm: `spectral` on all layers but the logits; `instance` on all but the first and the logits;
            `spectral+instance` both; `none`.
        last_stride: stride of the last two layers, the logits layer included.
        uses_mask: whether the mask is a fourth input channel.
        plain_first: whether the first layer has no spectral norm either, as in SPADE's released code, whose
            multi-scale discriminator is three of these with `padding` 2 and `spectral+instance`.
    """

    def __init__(
        self,
        width: int = 64,
        num_layers: int = 3,
        kernel: int = 4,
        padding: int = 1,
        max_width: int = 512,
        norm: Norm = "instance",
        last_stride: int = 1,
        uses_mask: bool = False,
        plain_first: bool = False,
    ) -> None:
        super().__init__()
        for name, value in {"width": width, "num_layers": num_layers, "kernel": kernel, "stride": last_stride}.items():
            if value < 1:
                raise ValueError(f"PatchDiscriminator: {name} must be 1 or more, got {value}")
        if norm not in ("spectral", "instance", "spectral+instance", "none"):
            raise ValueError(
                f"PatchDiscriminator: norm must be 'spectral', 'instance', 'spectral+instance' or 'none', got {norm!r}"
            )
        self.uses_mask = uses_mask  # type: ignore[misc]
        channels = [4 if uses_mask else 3, *(min(width * 2**i, max_width) for i in range(num_layers + 1))]
        strides = [2] * num_layers + [last_stride]
        self.layers = nn.ModuleList(
            _patch_layer(
                nn.Conv2d(
                    channels[i], channels[i + 1], kernel, strides[i], padding, bias=i == 0 or "instance" not in norm
                ),
                spectral="spectral" in norm and not (i == 0 and plain_first),
                instance="instance" in norm and i > 0,
            )
            for i in range(num_layers + 1)
        )
        self.classifier = nn.Conv2d(channels[-1], 1, kernel, last_stride, padding)
        convolutions = [layer[0] for layer in self.layers]  # type: ignore[index]
        # Instance normalisation needs more than one cell.
        normalised = _smallest_side(convolutions, 2) if "instance" in norm else 1
        self.smallest_side = max(_smallest_side([*convolutions, self.classifier]), normalised)

    def forward(self, image: Tensor, mask: Tensor) -> list[Tensor]:
        """Features of all layers and one map of logits."""
        self.check_size(image)
        picture = 2 * image - 1
        if self.uses_mask:
            picture = torch.cat([picture, mask.to(image.dtype)], dim=1)
        features = _leaky_layers(self.layers, picture)
        return [*features, _applied(self.classifier, features[-1])]


def _patch_layer(convolution: nn.Conv2d, spectral: bool, instance: bool) -> nn.Sequential:
    layer = spectral_norm(convolution) if spectral else convolution
    return nn.Sequential(layer, nn.InstanceNorm2d(convolution.out_channels)) if instance else nn.Sequential(layer)
