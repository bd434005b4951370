"""Shared by PEN-Net and SRPNet: encoding a pyramid of maps, filling it, decoding it into an RGB image per level.

They follow section 3 of Zeng et al., CVPR 2019 (https://arxiv.org/abs/1904.07475) and its figure 2; the residual
blocks are those of Luo and Zheng, "Semantic Residual Pyramid Network for Image Inpainting", Information 2022
(https://doi.org/10.3390/info13020071), section 3.1 and table A1.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inpaintzoo.layers.attention.guidance import Guidance
from inpaintzoo.layers.attention.transfer import AttentionTransfer
from inpaintzoo.layers.residual import reflect
from inpaintzoo.ops import can_be_read
from inpaintzoo.types import PyramidOutput
from inpaintzoo.words import listed


def pyramid_channels(width: int) -> tuple[int, ...]:
    """Channels of the six encoder maps, finest first: 32, 64, 128, 256, 512, 512 at width 32."""
    return (width, 2 * width, 4 * width, 8 * width, 16 * width, 16 * width)


def upsample(features: Tensor) -> Tensor:
    """Twice the height and width, bilinear with aligned corners."""
    return F.interpolate(features, scale_factor=2, mode="bilinear", align_corners=True)


def init_normal(module: nn.Module, width: int = 32) -> None:
    """Convolution weights from a normal distribution, biases 0.

    At width 32 the deviation is 0.02, as in PEN-Net's released code. It is inverse to the square root of the width, so
    that a sum over fewer channels has the same deviation; with 0.02 the output of a new network of width 8 is a
    hundredth of that of width 32.
    """
    std = 0.02 * (32 / width) ** 0.5
    for layer in module.modules():
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(layer.weight, 0.0, std)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with instance normalisation plus the identity; the first one is dilated.

    Table A1 prints "stride 2, padding 0", which is impossible with an identity path; here it is read as reflection
    padding and dilation. The convolutions have no bias, since the normalisation would remove it.

    Args:
        channels: channels of the map.
        dilation: dilation of the first convolution; on maps too small for its padding, the largest that fits.
    """

    def __init__(self, channels: int, dilation: int = 2) -> None:
        super().__init__()
        if dilation < 1:
            raise ValueError(f"ResidualBlock: dilation must be 1 or more, got {dilation}")
        self.dilation = dilation
        self.dilated = nn.Conv2d(channels, channels, 3, bias=False)
        self.plain = nn.Conv2d(channels, channels, 3, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """Refine `(B, channels, h, w)`, both sides 2 or more; the shape stays."""
        dilation = min(self.dilation, *(side - 1 for side in features.shape[-2:]))  # reflection needs smaller pads
        inner = F.conv2d(reflect(features, dilation), self.dilated.weight, dilation=dilation)
        inner = F.relu(F.instance_norm(inner))
        return features + F.instance_norm(self.plain(reflect(inner, 1)))


class PyramidEncoder(nn.Module):
    """Six strided convolutions on the image and its mask, each optionally followed by residual blocks.

    Without residual blocks it is PEN-Net's encoder, with a ReLU after the deepest map (released code); with them it is
    SRPNet's, with LeakyReLU 0.2 after all six (table A1).

    Args:
        width: channels of the first map, see `pyramid_channels`.
        num_residual_blocks: number after each convolution.
        dilation: dilation of the residual blocks.
    """

    def __init__(self, width: int = 32, num_residual_blocks: int = 0, dilation: int = 2) -> None:
        super().__init__()
        if num_residual_blocks < 0:
            raise ValueError(f"PyramidEncoder: num_residual_blocks must be 0 or more, got {num_residual_blocks}")
        channels = pyramid_channels(width)
        self.levels = nn.ModuleList(
            nn.Conv2d(before, after, 3, stride=2, padding=1)
            for before, after in zip((4, *channels[:-1]), channels, strict=True)
        )
        self.blocks = nn.ModuleList(
            nn.Sequential(*(ResidualBlock(c, dilation) for _ in range(num_residual_blocks))) for c in channels
        )
        self.slopes = [0.2] * 5 + [0.2 if num_residual_blocks else 0.0]

    def forward(self, features: Tensor) -> list[Tensor]:
        """Encode `(B, 4, H, W)` into six maps, from half the size to a 64th."""
        maps = []
        for level, blocks, slope in zip(self.levels, self.blocks, self.slopes, strict=True):
            features = blocks(F.leaky_relu(level(features), slope))
            maps.append(features)
        return maps


class PyramidContext(nn.Module):
    """Fills encoder maps from deep to shallow, each with the attention of the filled map below it (equation 1).

    Args:
        transfers: one `AttentionTransfer`, or what is called like one, per level, finest first; None passes a level's
            map on unchanged.
    """

    def __init__(self, transfers: Sequence[nn.Module | None]) -> None:
        super().__init__()
        self.transfers = nn.ModuleList(nn.Identity() if transfer is None else transfer for transfer in transfers)
        self._warned = False

    def forward(self, features: Sequence[Tensor], mask: Tensor, guidance: Guidance | None = None) -> list[Tensor]:
        """Fill all maps but the deepest.

        Args:
            features: encoder maps, finest first, each half the size of the one before; one more than transfers.
            mask: `(B, 1, H, W)`, 1 = hole.
            guidance: where the hole may be filled from.

        Returns:
            The filled maps, finest first.

        Warns:
            UserWarning: once, if a level has nothing to copy for a picture that is not all hole, and fills it with 0.
        """
        if not self._warned and can_be_read(mask, self.training):
            self._warned = self._warn_of_starved_levels([(deep.shape[2], deep.shape[3]) for deep in features[1:]], mask)
        filled = [features[-1]]
        for transfer, shallow in zip(reversed(self.transfers), reversed(features[:-1]), strict=True):
            known = isinstance(transfer, nn.Identity)
            filled.append(shallow if known else transfer(shallow, filled[-1], mask, guidance))
        return filled[:0:-1]

    def _warn_of_starved_levels(self, sizes: Sequence[tuple[int, int]], mask: Tensor) -> bool:
        known, starved = mask.flatten(1).amin(dim=1) == 0, []
        for transfer, size in zip(self.transfers, sizes, strict=True):
            if isinstance(transfer, AttentionTransfer) and transfer.starved == "zeros":
                nothing = transfer.keys(mask, size).flatten(1).amax(dim=1) == 0
                if bool((known & nothing).any()):
                    starved.append(f"{size[0]}x{size[1]}")
        if starved:
            warnings.warn(
                f"at {mask.shape[2]}x{mask.shape[3]} every patch of the {listed(starved, 'and')} features touches the "
                f"hole, so the maps above are filled with 0; use larger pictures, smaller holes, or starved: cells, "
                f"which copies patches whose centre is known",
                stacklevel=2,
            )
        return bool(starved)


class PyramidDecoder(nn.Module):
    """Decodes the deepest map and the filled ones (equation 5), with an RGB image at every level.

    Args:
        width: channels of the finest map; all others follow, see `pyramid_channels`.
    """

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        channels = pyramid_channels(width)[:5]  # of the filled maps and of the decoder's, finest first
        inputs = (*(2 * c for c in channels[1:]), channels[-1])
        self.levels = nn.ModuleList(
            nn.Conv2d(before, after, 3, padding=1) for before, after in zip(inputs, channels, strict=True)
        )
        self.heads = nn.ModuleList(nn.Conv2d(2 * c, 3, 1) for c in channels)
        self.output = nn.Sequential(
            nn.Conv2d(2 * width, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, 3, 3, padding=1), nn.Tanh()
        )

    def forward(self, deepest: Tensor, filled: Sequence[Tensor]) -> tuple[list[Tensor], Tensor]:
        """Decode.

        Args:
            deepest: `(B, 16 * width, h, w)`.
            filled: five maps, finest first, the last of `(B, 16 * width, 2h, 2w)`.

        Returns:
            Five RGB images, finest first, and the image of twice the finest one's size; all in (-1, 1).
        """
        features, pyramid = deepest, []
        for level, head, skip in zip(reversed(self.levels), reversed(self.heads), reversed(filled), strict=True):
            features = F.relu(level(upsample(features)))
            features = torch.cat([features, skip.to(features.dtype)], dim=1)
            pyramid.append(torch.tanh(head(features)))
        return pyramid[::-1], self.output(upsample(features))


class TransposedDecoder(nn.Module):
    """Decodes the deepest map and the filled ones by transposed convolutions g, as equation 5 of PEN-Net's paper.

    Each head reads one map of the decoder alone (equation 6); the finest map has the size of the image, and its head's
    picture is the output. The kernel of g is not stated: 4x4 with stride 2, with the channels of `PyramidDecoder`.

    Args:
        width: channels of the finest map; all others follow, see `pyramid_channels`.
    """

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        filled = pyramid_channels(width)[:5]
        decoded = (width, *filled[:-1])  # 32 at the full size, 32, 64, 128 and 256 at a 16th
        self.deepest = nn.ConvTranspose2d(filled[-1], filled[-1], 4, stride=2, padding=1)
        inputs = (*(below + skip for below, skip in zip(decoded[1:], filled[:-1], strict=True)), 2 * filled[-1])
        self.levels = nn.ModuleList(
            nn.ConvTranspose2d(before, after, 4, stride=2, padding=1)
            for before, after in zip(inputs, decoded, strict=True)
        )
        self.heads = nn.ModuleList(nn.Conv2d(channels, 3, 1) for channels in decoded)

    def forward(self, deepest: Tensor, filled: Sequence[Tensor]) -> tuple[list[Tensor], Tensor]:
        """Decode.

        Args:
            deepest: `(B, 16 * width, h, w)`.
            filled: five maps, finest first, the last of `(B, 16 * width, 2h, 2w)`.

        Returns:
            Five RGB images, finest first, of twice the filled maps' sizes, and the first of them; all in (-1, 1).
        """
        features, pyramid = F.relu(self.deepest(deepest)), []
        for level, head, skip in zip(reversed(self.levels), reversed(self.heads), reversed(filled), strict=True):
            features = F.relu(level(torch.cat([skip.to(features.dtype), features], dim=1)))
            pyramid.append(torch.tanh(head(features)))
        return pyramid[::-1], pyramid[-1]


def predict_pyramid(
    encoder: PyramidEncoder,
    context: PyramidContext,
    decoder: PyramidDecoder | TransposedDecoder,
    masked_image: Tensor,
    mask: Tensor,
    guidance: Guidance | None = None,
) -> PyramidOutput:
    """Encode, fill the maps from deep to shallow, decode: the forward of PEN-Net and SRPNet.

    Args:
        encoder: encodes image and mask.
        context: fills the encoder's maps.
        decoder: decodes the filled maps.
        masked_image: `(B, 3, H, W)` in [-1, 1], the hole already hidden.
        mask: `(B, 1, H, W)`, 1 = hole.
        guidance: where the hole may be filled from.

    Returns:
        Pictures in [0, 1].
    """
    features = encoder(torch.cat([masked_image, mask.to(masked_image.dtype)], dim=1))
    pyramid, prediction = decoder(features[-1], context(features, mask, guidance))
    return PyramidOutput((prediction + 1) / 2, [(level + 1) / 2 for level in pyramid])
