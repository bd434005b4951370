"""SRPNet: semantic residual pyramid network.

Luo, Zheng: "Semantic Residual Pyramid Network for Image Inpainting", Information 13(2):71, 2022,
https://doi.org/10.3390/info13020071. PEN-Net (`inpaintzoo.models.pennet`) with residual blocks in the encoder and
1x1 patches at all levels of the attention transfer; its two discriminators are `SRPNetDiscriminator` twice, with the
views `Composite` and `HoleMasked` or `HoleBox`.

No code was released. Choices where the paper leaves details open:

| | paper | here |
|---|---|---|
| residual block (table A1) | "stride 2, padding 0", equal widths | reflection padding, the first convolution dilated |
| softmax (equation 3) | no temperature | cosines times 10, as PEN-Net's code |
| after the attention | not stated | PEN-Net's dilated convolutions, none at the deepest level |
| a level's mask | not stated | nearest |
| border of a map | not stated | excluded from copies, where PEN-Net's code copies zeros |
| no patch without a hole pixel (`kernel=3`) | not stated | patches whose centre is known |
"""

from __future__ import annotations

from torch import Tensor

from inpaintzoo.generator import Generator
from inpaintzoo.layers.attention.transfer import (
    AttentionTransfer,
    Border,
    Engine,
    FillRegion,
    HoleKeys,
    Starved,
)
from inpaintzoo.layers.pyramid import (
    PyramidContext,
    PyramidDecoder,
    PyramidEncoder,
    init_normal,
    predict_pyramid,
    pyramid_channels,
)
from inpaintzoo.ops import ResizeMode
from inpaintzoo.types import PyramidOutput


class SRPNet(Generator):
    """Semantic residual pyramid network (figure 2, table A1): encode, fill the maps from deep to shallow, decode.

    21,235,442 parameters at the default width. Initialised with a normal distribution of deviation
    0.02 (at width w: 0.02 * sqrt(32 / w)), biases 0.

    Args:
        width: channels of the finest map, 32 in the paper; a multiple of 4.
        num_residual_blocks: number after each encoder convolution; 0 is PEN-Net's encoder (the ablation of table 5).
        dilation: dilation of each block's first convolution; 1 where an input side below 192 leaves the deepest map
            fewer than 3 cells.
        kernel: side of the compared patches at all levels but the deepest, where it is 1: 1 (table A1) or 3 (PEN-Net).
        normalize_query: compare patches by cosine (equation 2).
        scale: factor of the scores in the softmax.
        hole_keys: `exclude` takes the softmax over known patches; `zero_score` is PEN-Net's released code. See
            `inpaintzoo.layers.attention.transfer_patches`.
        fill: rebuild only the `hole` (equation 4) or `everywhere`, as PEN-Net's released code.
        mask_resize: how a level decides which cells are hole: `nearest`, `bilinear`, or `any`, which is exact where
            the other two miss thin holes but leaves fewer patches to copy from.
        border: `excluded` leaves out what lies outside a map; `zeros` copies it as 0, as PEN-Net's released code.
        starved: what a level does for a picture whose every patch touches the hole, see
            `inpaintzoo.layers.attention.AttentionTransfer`.
        engine: how the attention is computed, see `inpaintzoo.layers.attention.transfer_patches`.
    """

    size_multiple = 64
    revision = 2
    accepts_guidance = True

    def __init__(
        self,
        width: int = 32,
        num_residual_blocks: int = 1,
        dilation: int = 2,
        kernel: int = 1,
        normalize_query: bool = True,
        scale: float = 10.0,
        hole_keys: HoleKeys = "exclude",
        fill: FillRegion = "hole",
        mask_resize: ResizeMode = "nearest",
        border: Border = "excluded",
        starved: Starved = "cells",
        engine: Engine = "auto",
    ) -> None:
        super().__init__()
        if width < 4 or width % 4:
            raise ValueError(f"SRPNet: width must be a positive multiple of 4, got {width}")
        # On the deepest map instance normalisation needs more than one cell, and reflection two per side.
        self.smallest_side = 128 if num_residual_blocks else 64
        transfers = [
            AttentionTransfer(
                channels,
                kernel=1 if level == 4 else kernel,
                fuse=level < 4,
                scale=scale,
                normalize_query=normalize_query,
                hole_keys=hole_keys,
                fill=fill,
                mask_resize=mask_resize,
                border=border,
                starved=starved,
                engine=engine,
            )
            for level, channels in enumerate(pyramid_channels(width)[:5])
        ]
        self.encoder = PyramidEncoder(width, num_residual_blocks, dilation)
        self.context = PyramidContext(transfers)
        self.decoder = PyramidDecoder(width)
        init_normal(self, width)

    def forward(self, image: Tensor, mask: Tensor, guidance: Tensor | None = None) -> PyramidOutput:
        """Fill the hole.

        Args:
            image: `(B, 3, H, W)` in [0, 1], sides multiples of 64 from 128 up (from 64 without residual blocks);
                whatever lies in the hole is ignored.
            mask: `(B, 1, H, W)`, 1 = hole.
            guidance: `(B, 1, H, W)`, where the hole may be filled from: permissions (floating point or bool) or class
                ids (integers), see `inpaintzoo.layers.attention.Guidance`.

        Raises:
            ValueError: the shapes do not fit.
        """
        self.check_size(image, mask)
        masked_image = self.hide_hole(2 * image - 1, mask, fill=1.0)  # white
        guide = self.read_guidance(guidance, mask)
        return predict_pyramid(self.encoder, self.context, self.decoder, masked_image, mask, guide)
