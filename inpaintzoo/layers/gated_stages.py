"""The two stages of a gated network: a coarse picture, and its refinement with contextual attention.

Yu et al., "Free-Form Image Inpainting with Gated Convolution" (DeepFill v2), ICCV 2019,
https://arxiv.org/abs/1806.03589, figure 3, with the widths of the authors' code. Pictures are in [-1, 1] here.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from inpaintzoo.layers.attention.guidance import Guidance
from inpaintzoo.layers.gated import DilatedStack, GatedConv2d, GatedDecoder, GatedEncoder, Padding


def _two_gated(in_channels: int, channels: int, padding: Padding) -> nn.Sequential:
    return nn.Sequential(
        GatedConv2d(in_channels, channels, padding=padding), GatedConv2d(channels, channels, padding=padding)
    )


class CoarseNetwork(nn.Module):
    """The first stage: encoder, dilated layers, decoder.

    Args:
        in_channels: channels of the input: masked picture, ones and mask make 5.
        feature_channels: channels of additional features for the decoder.
        width: channels at full size, even.
        dilations: dilations of the dilated layers.
        fusion: see `DilatedStack`; its maps have `4 * width` channels.
        skips: see `GatedDecoder`; their maps have `2 * width` and `width` channels.
        padding: see `inpaintzoo.layers.gated.SameConv2d`.
    """

    def __init__(
        self,
        in_channels: int = 5,
        feature_channels: int = 0,
        width: int = 24,
        dilations: Sequence[int] = (2, 4, 8, 16),
        fusion: nn.Module | None = None,
        skips: Sequence[nn.Module] | None = None,
        padding: Padding = "same",
    ) -> None:
        super().__init__()
        self.encoder = GatedEncoder(in_channels, width, (2, 4), padding=padding)
        self.dilated = DilatedStack(4 * width, dilations, fusion, padding)
        self.bottleneck = _two_gated(4 * width, 4 * width, padding)
        self.decoder = GatedDecoder(4 * width + feature_channels, width, skips, padding)

    def forward(self, picture: Tensor, features: Tensor | None = None) -> Tensor:
        """`(B, in_channels, H, W)`, sides multiples of 4, to a picture `(B, 3, H, W)` in [-1, 1]; see `decode`."""
        return self.decode(self.encoder(picture), features)

    def decode(self, maps: tuple[Tensor, Tensor, Tensor], features: Tensor | None = None) -> Tensor:
        """The picture.

        Args:
            maps: the result of `encoder`.
            features: `(B, feature_channels, H / 4, W / 4)`, or None.

        Returns:
            `(B, 3, H, W)` in [-1, 1].
        """
        full, half, quarter = maps
        deep = self.bottleneck(self.dilated(quarter))
        return self.decoder(deep if features is None else torch.cat([deep, features], dim=1), half, full)


class RefineNetwork(nn.Module):
    """The second stage: a branch of dilated layers and one of contextual attention, merged and decoded.

    Each branch has its own input, so that a method can show one of them more.

    Args:
        attention: a module called as `attention(features, mask, guidance)`, such as a `ContextualAttention`.
        convolution_channels: input channels of the branch of dilated layers.
        attention_channels: input channels of the attention branch.
        feature_channels: channels of additional features for the decoder.
        width: channels at full size, even.
        dilations: dilations of the dilated layers.
        fusion: see `DilatedStack`; its maps have `4 * width` channels.
        skips: see `GatedDecoder`, from the encoder of the dilated branch; `2 * width` and `width` channels.
        padding: see `inpaintzoo.layers.gated.SameConv2d`.
    """

    def __init__(
        self,
        attention: nn.Module,
        convolution_channels: int = 3,
        attention_channels: int = 3,
        feature_channels: int = 0,
        width: int = 24,
        dilations: Sequence[int] = (2, 4, 8, 16),
        fusion: nn.Module | None = None,
        skips: Sequence[nn.Module] | None = None,
        padding: Padding = "same",
    ) -> None:
        super().__init__()
        deep = 4 * width
        self.encoder = GatedEncoder(convolution_channels, width, (1, 2), padding=padding)
        self.dilated = DilatedStack(deep, dilations, fusion, padding)
        self.attention_encoder = GatedEncoder(attention_channels, width, (1, 4), "relu", padding)
        self.attention = attention
        self.attended = _two_gated(deep, deep, padding)
        self.merge = _two_gated(2 * deep, deep, padding)
        self.decoder = GatedDecoder(deep + feature_channels, width, skips, padding)

    def forward(
        self,
        picture: Tensor,
        attention_picture: Tensor,
        mask: Tensor,
        features: Tensor | None = None,
        guidance: Guidance | None = None,
    ) -> Tensor:
        """Refine.

        Args:
            picture: `(B, convolution_channels, H, W)`, input of the dilated branch.
            attention_picture: `(B, attention_channels, H, W)`, input of the attention branch; the baseline gives both
                the same.
            mask: `(B, 1, H, W)`, 1 = hole.
            features: `(B, feature_channels, H / 4, W / 4)`, or None.
            guidance: where the hole may be filled from.

        Returns:
            `(B, 3, H, W)` in [-1, 1].
        """
        full, half, quarter = self.encoder(picture)
        dilated = self.dilated(quarter)
        attended = self.attended(self.attention(self.attention_encoder(attention_picture)[-1], mask, guidance))
        merged = self.merge(torch.cat([dilated, attended], dim=1))
        if features is not None:
            merged = torch.cat([merged, features], dim=1)
        return self.decoder(merged, half, full)
