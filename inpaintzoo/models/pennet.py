"""PEN-Net: pyramid-context encoder network.

Zeng, Fu, Chao, Guo: "Learning Pyramid-Context Encoder Network for High-Quality Image Inpainting", CVPR 2019,
https://arxiv.org/abs/1904.07475. The authors' released code, whose weights this network loads, differs from the paper
in attention transfer and decoder:

| | paper | released |
|---|---|---|
| similarity | cosine (equation 2) | key patches normalised, query patches not |
| factor in the softmax | none (equation 3), here 10 | 10 |
| keys in the hole | not in the softmax (equation 3) | in it with score 0, weight removed afterwards, floor 1e-8 |
| filled | the hole (equation 4) | the whole map |
| mask of a level | nearest | bilinear with aligned corners |
| border of a map | not stated, here excluded from copies | copied as 0, sums divided by 4 |
| no patch without a hole pixel | not stated, here patches whose centre is known | zeros |
| g of the decoder (equation 5) | transposed convolution | bilinear enlargement, convolution |
| heads (equation 6) | read the decoder's map | read it and the filled encoder map |
| scales of the pyramid (equation 6) | full size, the output, to a 16th | half to a 32nd, and the output apart |

`faithful` chooses a column; each row is also an argument, the last three together (`decoder`). The factor: a cosine is
between -1 and 1, so without a factor the best of N patches gets at most 1 / (1 + (N - 1) exp(-2)) of the weight, 3.7 %
with 192 patches: the mean of all known patches, not a copy. With 10 it can get all of it.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

from torch import Tensor, nn

from inpaintzoo.generator import Generator
from inpaintzoo.layers.attention.contextual import ContextualAttention
from inpaintzoo.layers.attention.guidance import Guidance
from inpaintzoo.layers.attention.patch_swap import PatchSwap
from inpaintzoo.layers.attention.transfer import (
    AttentionTransfer,
    Border,
    DilatedFusion,
    Engine,
    FillRegion,
    HoleKeys,
    Starved,
)
from inpaintzoo.layers.pyramid import (
    PyramidContext,
    PyramidDecoder,
    PyramidEncoder,
    TransposedDecoder,
    init_normal,
    predict_pyramid,
    pyramid_channels,
)
from inpaintzoo.ops import ResizeMode
from inpaintzoo.types import PyramidOutput


@dataclasses.dataclass(frozen=True)
class _Reading:
    """One column of the table above."""

    normalize_query: bool
    scale: float
    hole_keys: HoleKeys
    fill: FillRegion
    mask_resize: ResizeMode
    border: Border
    starved: Starved


_READINGS = {
    "released": _Reading(False, 10.0, "zero_score", "everywhere", "bilinear", "zeros", "zeros"),
    "paper": _Reading(True, 10.0, "exclude", "hole", "nearest", "excluded", "cells"),
}
_DECODERS: dict[str, type[PyramidDecoder | TransposedDecoder]] = {
    "bilinear": PyramidDecoder,
    "transposed": TransposedDecoder,
}
_LEVELS = {  # of the encoder, finest first, that an attention fills
    "pyramid": range(5),
    "single": range(4, 5),
    "none": range(0),
    "patch_swap": range(4, 5),
    "contextual": range(5),
}


class _OwnFeatures(nn.Module):
    """Contextual attention in the place of an attention transfer: it compares the map's own features (figure 8)."""

    def __init__(self, channels: int, fuse: bool, reading: _Reading, engine: Engine) -> None:
        super().__init__()
        self.attention = ContextualAttention(scale=reading.scale, mask_resize=reading.mask_resize, engine=engine)
        self.fusion = DilatedFusion(channels) if fuse else nn.Identity()

    def forward(self, shallow: Tensor, deep: Tensor, mask: Tensor, guidance: Guidance | None = None) -> Tensor:
        """Fill `(B, channels, h, w)`; the deeper map is not read."""
        filled: Tensor = self.fusion(self.attention(shallow, mask, guidance))
        return filled


class PENNet(Generator):
    """Pyramid-context encoder network (figure 2): encode, fill the maps from deep to shallow, decode.

    10,231,538 parameters at the default width. Initialised with a normal distribution of deviation
    0.02 (at width w: 0.02 * sqrt(32 / w)), biases 0.

    Args:
        width: channels of the finest map, 32 in the paper; a multiple of 4.
        faithful: `released` follows the authors' code, whose weights load, `paper` the equations. It sets those of the
            arguments below that are None.
        attention: `pyramid` is the paper's network, the others are its ablations. Table 6: `single` has one attention
            transfer, at the deepest level, `patch_swap` a patch-swap layer there. Figure 8: `contextual` has contextual
            attention in each level, which compares the level's own features and not deeper ones, `none` is the plain
            U-Net.
        normalize_query: compare patches by cosine; None: as `faithful`.
        scale: factor of the scores in the softmax (an inverse temperature); None: 10. Equation 3 has none: 1.
        hole_keys: `zero_score` or `exclude`, see `inpaintzoo.layers.attention.transfer_patches`; None: as `faithful`.
        fill: rebuild `everywhere` or only the `hole`; None: as `faithful`.
        mask_resize: how a level decides which cells are hole: `bilinear`, `nearest`, or `any`, which is exact where
            the other two miss thin holes; None: as `faithful`.
        border: `zeros` or `excluded`, see `inpaintzoo.layers.attention.transfer_patches`; None: as `faithful`.
        starved: what a level does for a picture whose every patch touches the hole, see
            `inpaintzoo.layers.attention.AttentionTransfer`. Below sides of 192 the papers' centre square touches all
            patches of a map of 4x4 cells; a warning names the sizes if nothing is left to copy. None: as `faithful`.
        decoder: `bilinear` (the released weights') or `transposed` (equations 5 and 6); None: as `faithful`.
        engine: how the attention is computed, see `inpaintzoo.layers.attention.transfer_patches`.
    """

    size_multiple = 64
    accepts_guidance = True

    def __init__(
        self,
        width: int = 32,
        faithful: Literal["released", "paper"] = "released",
        attention: Literal["pyramid", "single", "none", "patch_swap", "contextual"] = "pyramid",
        normalize_query: bool | None = None,
        scale: float | None = None,
        hole_keys: HoleKeys | None = None,
        fill: FillRegion | None = None,
        mask_resize: ResizeMode | None = None,
        border: Border | None = None,
        starved: Starved | None = None,
        decoder: Literal["bilinear", "transposed"] | None = None,
        engine: Engine = "auto",
    ) -> None:
        super().__init__()
        if width < 4 or width % 4:
            raise ValueError(f"PENNet: width must be a positive multiple of 4, got {width}")
        if faithful not in _READINGS:
            raise ValueError(f"PENNet: faithful must be 'released' or 'paper', got {faithful!r}")
        if attention not in _LEVELS:
            allowed = "'pyramid', 'single', 'none', 'patch_swap' or 'contextual'"
            raise ValueError(f"PENNet: attention must be {allowed}, got {attention!r}")
        decoder = decoder or ("transposed" if faithful == "paper" else "bilinear")
        if decoder not in _DECODERS:
            raise ValueError(f"PENNet: decoder must be 'bilinear' or 'transposed', got {decoder!r}")
        given: dict[str, Any] = {"normalize_query": normalize_query, "scale": scale, "hole_keys": hole_keys}
        given |= {"fill": fill, "mask_resize": mask_resize, "border": border, "starved": starved}
        chosen = {name: value for name, value in given.items() if value is not None}
        reading = dataclasses.replace(_READINGS[faithful], **chosen)
        self.accepts_guidance = attention not in ("none", "patch_swap")

        def level_of(level: int, channels: int) -> nn.Module:
            if attention == "patch_swap":
                return PatchSwap(reading.mask_resize)
            if attention == "contextual":
                return _OwnFeatures(channels, level < 4, reading, engine)
            # The deepest level compares single cells and has no fusion convolutions (released code).
            kernel = 1 if level == 4 else 3
            return AttentionTransfer(channels, kernel, fuse=level < 4, engine=engine, **dataclasses.asdict(reading))

        transfers = [
            level_of(level, channels) if level in _LEVELS[attention] else None
            for level, channels in enumerate(pyramid_channels(width)[:5])
        ]
        self.encoder = PyramidEncoder(width)
        self.context = PyramidContext(transfers)
        self.decoder = _DECODERS[decoder](width)
        init_normal(self, width)

    def forward(self, image: Tensor, mask: Tensor, guidance: Tensor | None = None) -> PyramidOutput:
        """Fill the hole.

        Args:
            image: `(B, 3, H, W)` in [0, 1], sides multiples of 64; whatever lies in the hole is ignored.
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
