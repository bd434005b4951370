"""Gated convolutions, and the building blocks of both stages of a gated two-stage network.

Yu et al., "Free-Form Image Inpainting with Gated Convolution" (DeepFill v2), ICCV 2019,
https://arxiv.org/abs/1806.03589, section 3.1. There are no normalisation layers. A method's own additions, such as a
fusion of maps, are passed in as modules.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Padding = Literal["same", "same_tf"]
Activation = Literal["elu", "relu"]
Init = Literal["glorot", "kaiming"]

# For independent standard normal a and b, ELU(a) * sigmoid(b) has the mean square 0.645 * 0.293 = 1 / 2.3^2.
_GATED_GAIN = 2.3


def check_padding(owner: str, padding: str) -> None:
    """Raise `ValueError`, naming the owner, unless `SameConv2d` supports this padding."""
    if padding not in get_args(Padding):
        raise ValueError(f"{owner}: padding must be 'same' or 'same_tf', got {padding!r}")


class SameConv2d(nn.Conv2d):
    """A convolution whose output has the input's size divided by the stride, rounded up.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel: side of the kernel, odd.
        stride: stride.
        dilation: spacing of the kernel's taps.
        padding: `same` pads equally on both sides; `same_tf` puts an odd zero on the right or bottom, as TensorFlow
            does, and differs only if the stride is above 1. Released TensorFlow weights need it.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 3,
        stride: int = 1,
        dilation: int = 1,
        padding: Padding = "same",
    ) -> None:
        check_padding(type(self).__name__, padding)
        if kernel < 1 or kernel % 2 == 0:
            raise ValueError(f"{type(self).__name__}: kernel must be odd and positive, got {kernel}")
        shifted = padding == "same_tf" and stride > 1
        around = 0 if shifted else dilation * (kernel // 2)
        super().__init__(in_channels, out_channels, kernel, stride, around, dilation)
        self.shifted = shifted

    def forward(self, input: Tensor) -> Tensor:
        """Convolve `(B, in_channels, h, w)`."""
        if not self.shifted:
            return super().forward(input)
        top, bottom = self._zeros(input.shape[2], 0)
        left, right = self._zeros(input.shape[3], 1)
        return super().forward(F.pad(input, (left, right, top, bottom)))

    def _zeros(self, side: int, axis: int) -> tuple[int, int]:
        stride, reach = self.stride[axis], self.dilation[axis] * (self.kernel_size[axis] - 1)
        missing = max(reach + 1 - stride + -side % stride, 0)
        return missing // 2, missing - missing // 2


class GatedConv2d(nn.Module):
    """`activation(features) * sigmoid(gate)`, both from one convolution (equation 2).

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output; the convolution has twice as many.
        kernel: side of the kernel, odd.
        stride: stride.
        dilation: spacing of the kernel's taps.
        activation: `elu` or `relu`.
        padding: see `SameConv2d`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 3,
        stride: int = 1,
        dilation: int = 1,
        activation: Activation = "elu",
        padding: Padding = "same",
    ) -> None:
        super().__init__()
        if activation not in get_args(Activation):
            raise ValueError(f"GatedConv2d: activation must be 'elu' or 'relu', got {activation!r}")
        self.activation: Activation = activation
        self.convolution = SameConv2d(in_channels, 2 * out_channels, kernel, stride, dilation, padding)

    def forward(self, features: Tensor) -> Tensor:
        """`(B, in_channels, h, w)` to `(B, out_channels, h / stride, w / stride)`."""
        kept, gate = self.convolution(features).chunk(2, dim=1)
        kept = F.elu(kept) if self.activation == "elu" else F.relu(kept)
        return kept * torch.sigmoid(gate)


class GatedUp(nn.Module):
    """Twice the size by nearest neighbour, then a gated 3x3 convolution.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        padding: see `SameConv2d`.
    """

    def __init__(self, in_channels: int, out_channels: int, padding: Padding = "same") -> None:
        super().__init__()
        self.convolution = GatedConv2d(in_channels, out_channels, padding=padding)

    def forward(self, features: Tensor) -> Tensor:
        """`(B, in_channels, h, w)` to `(B, out_channels, 2h, 2w)`."""
        # TensorFlow's aligned corners would pick the same neighbours.
        return self.convolution(F.interpolate(features, scale_factor=2, mode="nearest"))


class GatedEncoder(nn.Module):
    """A 5x5 layer, then two strided layers with plain ones after each, down to a quarter of the size.

    Args:
        in_channels: channels of the input.
        width: channels at full size; 2 and 4 times as many at a half and a quarter.
        strided: channels of the two strided layers, in units of `width`: (2, 4) in the coarse stage, (1, 2) and (1, 4)
            in the branches of the refine stage.
        activation: activation of the last layer; `relu` before the attention.
        padding: see `SameConv2d`.
    """

    def __init__(
        self,
        in_channels: int,
        width: int = 24,
        strided: tuple[int, int] = (2, 4),
        activation: Activation = "elu",
        padding: Padding = "same",
    ) -> None:
        super().__init__()
        half, quarter = (width * units for units in strided)
        self.first = GatedConv2d(in_channels, width, kernel=5, padding=padding)
        self.to_half = nn.Sequential(
            GatedConv2d(width, half, stride=2, padding=padding),
            GatedConv2d(half, 2 * width, padding=padding),
        )
        self.to_quarter = nn.Sequential(
            GatedConv2d(2 * width, quarter, stride=2, padding=padding),
            GatedConv2d(quarter, 4 * width, padding=padding),
            GatedConv2d(4 * width, 4 * width, activation=activation, padding=padding),
        )

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The maps of `(B, in_channels, H, W)` at full size, a half and a quarter."""
        full = self.first(image)
        half = self.to_half(full)
        return full, half, self.to_quarter(half)


class DilatedStack(nn.Module):
    """Gated 3x3 convolutions with growing dilation.

    Args:
        channels: channels of the map.
        dilations: one per layer.
        fusion: called as `fusion(input, output)`; its result, of the same shape, replaces the output. None disables it.
        padding: see `SameConv2d`.
    """

    def __init__(
        self,
        channels: int,
        dilations: Sequence[int] = (2, 4, 8, 16),
        fusion: nn.Module | None = None,
        padding: Padding = "same",
    ) -> None:
        super().__init__()
        if not dilations or min(dilations) < 1:
            raise ValueError(f"DilatedStack: dilations must be one or more numbers from 1 up, got {tuple(dilations)}")
        self.layers = nn.Sequential(
            *(GatedConv2d(channels, channels, dilation=dilation, padding=padding) for dilation in dilations)
        )
        self.fusion = fusion

    def forward(self, features: Tensor) -> Tensor:
        """`(B, channels, h, w)`; the shape stays."""
        result = self.layers(features)
        return result if self.fusion is None else self.fusion(features, result)


class GatedDecoder(nn.Module):
    """Doubles the size twice, each time followed by a gated layer, then predicts the picture by a plain layer and tanh.

    Args:
        in_channels: channels of the map at a quarter of the size.
        width: channels at full size; twice as many at half the size.
        skips: two modules, for half and full size, called as `skip(encoder_map, decoder_map)`; both maps and the
            result have the same number of channels, and the result is concatenated to the decoder's map. None: no skip
            connections.
        padding: see `SameConv2d`.
    """

    def __init__(
        self,
        in_channels: int,
        width: int = 24,
        skips: Sequence[nn.Module] | None = None,
        padding: Padding = "same",
    ) -> None:
        super().__init__()
        if skips is not None and len(skips) != 2:
            raise ValueError(f"GatedDecoder: skips must be two modules, for half and full size, got {len(skips)}")
        wider = 1 if skips is None else 2
        self.skips = None if skips is None else nn.ModuleList(skips)
        self.ups = nn.ModuleList((GatedUp(in_channels, 2 * width, padding), GatedUp(2 * width, width, padding)))
        self.layers = nn.ModuleList(
            (
                GatedConv2d(wider * 2 * width, 2 * width, padding=padding),
                GatedConv2d(wider * width, width // 2, padding=padding),
            )
        )
        self.output = SameConv2d(width // 2, 3, padding=padding)

    def forward(self, features: Tensor, half: Tensor, full: Tensor) -> Tensor:
        """The picture.

        Args:
            features: `(B, in_channels, h, w)`, at a quarter of the size.
            half: `(B, 2 * width, 2h, 2w)`, the encoder's map; only skips read it.
            full: `(B, width, 4h, 4w)`, the encoder's map; only skips read it.

        Returns:
            `(B, 3, 4h, 4w)` in [-1, 1].
        """
        for i, encoded in enumerate((half, full)):
            features = self.ups[i](features)
            if self.skips is not None:
                features = torch.cat([features, self.skips[i](encoded, features)], dim=1)
            features = self.layers[i](features)
        return torch.tanh(self.output(features))


def init_gated(network: nn.Module, init: Init = "kaiming") -> None:
    """Initialise gated layers; biases are 0. Modules other than `SameConv2d` and `GatedConv2d` are left alone.

    Args:
        network: its layers are initialised.
        init: `kaiming`: normal weights that preserve the signal's scale through the gates; `glorot`: Glorot's uniform
            distribution, TensorFlow's default, as in the authors' code. It ignores gates: each halves its layer, so the
            output of a new network depends on its input by less than 1e-7.

    Raises:
        ValueError: another `init`.
    """
    if init not in get_args(Init):
        raise ValueError(f"{type(network).__name__}: init must be 'glorot' or 'kaiming', got {init!r}")
    gated = {module.convolution for module in network.modules() if isinstance(module, GatedConv2d)}
    for module in network.modules():
        if not isinstance(module, SameConv2d):
            continue
        if init == "glorot":
            nn.init.xavier_uniform_(module.weight)
        else:
            gain = _GATED_GAIN if module in gated else 1.0
            nn.init.normal_(module.weight, std=gain / module.weight[0].numel() ** 0.5)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
