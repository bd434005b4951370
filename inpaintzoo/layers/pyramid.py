"""The part of PEN-Net that SRPNet shares: filling a pyramid of maps, and decoding it with an RGB image a level.

Both follow section 3 of Zeng et al., CVPR 2019 (https://arxiv.org/abs/1904.07475) and its figure 2.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inpaintzoo.layers.attention import AttentionTransfer


def pyramid_channels(width: int) -> tuple[int, ...]:
    """Channels of the six encoder maps, finest first: 32, 64, 128, 256, 512, 512 at width 32."""
    return (width, 2 * width, 4 * width, 8 * width, 16 * width, 16 * width)


def upsample(features: Tensor) -> Tensor:
    """Twice the height and width, bilinear with aligned corners."""
    return F.interpolate(features, scale_factor=2, mode="bilinear", align_corners=True)


def init_normal(module: nn.Module, std: float = 0.02) -> None:
    """Convolution weights from a normal distribution, biases 0."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.normal_(layer.weight, 0.0, std)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


class PyramidContext(nn.Module):
    """Fills encoder maps from deep to shallow, each with the attention of the filled map below it (equation 1).

    Args:
        transfers: one attention transfer a level, finest first; a level with None passes its map on as it is.
    """

    def __init__(self, transfers: Sequence[AttentionTransfer | None]) -> None:
        super().__init__()
        self.transfers = nn.ModuleList(nn.Identity() if transfer is None else transfer for transfer in transfers)

    def forward(self, features: Sequence[Tensor], mask: Tensor) -> list[Tensor]:
        """Fill all maps but the deepest.

        Args:
            features: encoder maps, finest first, each half the size of the one before; one more than transfers.
            mask: `(B, 1, H, W)`, 1 = hole.

        Returns:
            The filled maps, finest first.
        """
        filled = [features[-1]]
        for transfer, shallow in zip(reversed(self.transfers), reversed(features[:-1]), strict=True):
            known = isinstance(transfer, nn.Identity)
            filled.append(shallow if known else transfer(shallow, filled[-1], mask))
        return filled[:0:-1]


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
