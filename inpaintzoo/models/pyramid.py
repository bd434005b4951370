"""Pyramid generator: structure at a quarter of the size, then the picture at half the size, then its details.

Source: chapter 3, "Image Inpainting with Pyramid Generator", of a dissertation on image inpainting; no code was
released. Sub-generators are stacked from small to large; each gets the result of the one below, and all are trained
together (`train_level`: one after the other). They consist of the gated network's stages (`inpaintzoo.models.gated`).

Choices where the chapter leaves details open:

| | dissertation | here |
|---|---|---|
| sub-generators | "similar", gated, two strided layers | the gated network's coarse stage; at full size both stages |
| first layer | "3x3 gated conv" | 5x5, as in the gated network |
| upsampling | "deconvolution" | nearest neighbour and a gated 3x3 convolution, as in the gated network |
| dilations of G2 | 2, 4, 8, 12, 16, of no named stage | in both of its stages |
| smaller pictures | downsampled | the mean of each cell |
| smaller masks | downsampled | a cell with any hole pixel is hole, so that no cell mixes hole and picture |
| structure of the input | that of "the masked image" | that of the known part; 0 in the hole |
| target of equation 3.7 | S, "input corrupted structure" | the structure of the whole picture (`StructureL1`) |
| box of the training masks | "center square" | at a random place, as in the gated network's code (`SquareFreeForm`) |
| G2 without its coarse stage | not stated | the refine stage gets the masked picture in place of the coarse one |
| a level's result | upsampled | bilinear, as predicted, known pixels not pasted |
| refine stage | coarse result and the level below | known pixels pasted into the coarse result, mask appended |
| feature-level fusion | encoder's features, upsampled | its map at a quarter of the size, to the decoder's input |
| PG_S+256 (table 3.4) | not stated | two levels without a full-size one; the result is enlarged bilinearly |
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inpaintzoo.generator import Generator
from inpaintzoo.layers.attention.contextual import ContextualAttention
from inpaintzoo.layers.attention.guidance import Guidance
from inpaintzoo.layers.attention.transfer import Engine
from inpaintzoo.layers.gated import Init, init_gated
from inpaintzoo.layers.gated_stages import CoarseNetwork, RefineNetwork
from inpaintzoo.layers.structure import RelativeTotalVariation, StructureFilter
from inpaintzoo.models.gated import coarse_input
from inpaintzoo.ops import ResizeMode, composite, resize_mask
from inpaintzoo.types import PyramidOutput

Fusion = Literal["image", "attention", "convolution", "coarse", "feature_coarse", "feature_refine"]


@dataclasses.dataclass
class PyramidGeneratorOutput(PyramidOutput):
    """An output with the pictures of all levels; `pyramid` holds those below full size, finest first.

    Attributes:
        coarse: `(B, 3, H, W)` in [0, 1], the raw prediction of the full-size level's coarse stage; None without one.
        structure: `(B, 3, h, w)` in [0, 1], the predicted structure image; None without one.
    """

    coarse: Tensor | None
    structure: Tensor | None


def adaptive_dilations(level: int) -> tuple[int, ...]:
    """Dilations of a level (section 3.2.3): larger pictures need a wider view.

    Args:
        level: full size divided by the level's size.
    """
    return {1: (2, 4, 8, 12, 16), 2: (2, 4, 8, 16)}.get(level, (2, 4, 8))


def enlarge(picture: Tensor, size: Sequence[int]) -> Tensor:
    """Resize bilinearly to `size` (height, width)."""
    return F.interpolate(picture, size=(size[0], size[1]), mode="bilinear", align_corners=False)


class FullSizeLevel(nn.Module):
    """The top of the pyramid: the gated network's two stages, fed by the level below (figure 3.3).

    Without the coarse stage the refine stage gets the masked picture (section 3.2.2).

    Args:
        width: channels at full size.
        dilations: dilations of both stages.
        fusion: where the result of the level below enters, see `PyramidGenerator`.
        attention: attention of the refine stage.
        coarse_stage: whether there is one.
    """

    def __init__(
        self, width: int, dilations: Sequence[int], fusion: Fusion, attention: ContextualAttention, coarse_stage: bool
    ) -> None:
        super().__init__()
        self.fusion: Fusion = fusion
        features = 4 * width * (fusion == "feature_coarse")
        self.coarse = CoarseNetwork(5 + 3 * (fusion == "coarse"), features, width, dilations) if coarse_stage else None
        self.refine = RefineNetwork(
            attention,
            4 + 3 * (fusion in ("image", "convolution")),
            4 + 3 * (fusion in ("image", "attention")),
            4 * width * (fusion == "feature_refine"),
            width,
            dilations,
        )

    def forward(
        self, image: Tensor, mask: Tensor, below: Tensor, features: Tensor, guidance: Guidance | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Fill the hole.

        Args:
            image: `(B, 3, H, W)` in [-1, 1], 0 in the hole.
            mask: `(B, 1, H, W)`, 1 = hole.
            below: `(B, 3, H, W)` in [-1, 1], the result of the level below, enlarged.
            features: `(B, 4 * width, H / 4, W / 4)`, the features of its encoder, enlarged.
            guidance: where the hole may be filled from.

        Returns:
            The refined and the coarse picture, `(B, 3, H, W)` in [-1, 1].
        """
        coarse = None
        if self.coarse is not None:
            seen = coarse_input(image, mask)
            seen = torch.cat([seen, below], dim=1) if self.fusion == "coarse" else seen
            coarse = self.coarse(seen, features if self.fusion == "feature_coarse" else None)
        pasted = image if coarse is None else composite(image, coarse, mask)
        pasted = torch.cat([pasted, mask.to(image.dtype)], dim=1)
        joined = torch.cat([pasted, below], dim=1)
        refined = self.refine(
            joined if self.fusion in ("image", "convolution") else pasted,
            joined if self.fusion in ("image", "attention") else pasted,
            mask,
            features if self.fusion == "feature_refine" else None,
            guidance,
        )
        return refined, coarse


class PyramidGenerator(Generator):
    """Sub-generators from small to large pictures, each guided by the one below (figure 3.3).

    7,497,660 parameters with the defaults.

    Args:
        levels: full size divided by each level's size, coarsest first, two or more; 4, 2, 1 are the paper's 128, 256
            and 512. Only a level of full size has a second stage; without one the finest picture is enlarged.
        structure: whether the first level predicts a structure image instead of a small picture, from that of the
            known part; requires the loss `StructureL1`.
        structure_filter: computes structure images; None: `RelativeTotalVariation()`.
        width: channels of each sub-generator at its full size, even.
        dilations: rates of the dilated layers, one list per level; None: more for larger levels (`adaptive_dilations`).
            `[2, 4, 8, 16]` for all is the paper's "standard" (table 3.6).
        fusion: where the result of the level below enters the full-size level (table 3.5). `image`: as a picture, in
            both branches of the refine stage; `attention`, `convolution`: in that branch only; `coarse`: as a picture,
            in the coarse stage; `feature_coarse`, `feature_refine`: as encoder features, in that stage's decoder.
            Levels below full size always get a picture.
        coarse_stage: whether the full-size level has its coarse stage; without it the network is smaller, and the
            dissertation found it hard to train (section 3.2.2).
        train_level: one of `levels`, the only one to be trained: no gradient reaches the others (section 3.2.4). None
            trains all together.
        mask_resize: how the attention decides which patches are known, see
            `inpaintzoo.layers.attention.ContextualAttention`.
        engine: how the attention is computed, see `inpaintzoo.layers.attention.contextual_attention`.
        init: distribution of the initial weights, see `inpaintzoo.layers.gated.init_gated`.

    Attributes:
        size_multiple: 16 at the defaults: each level's sides must be multiples of 4, and those of the attention's map
            multiples of 2.
    """

    def __init__(
        self,
        levels: tuple[int, ...] = (4, 2, 1),
        structure: bool = True,
        structure_filter: StructureFilter | None = None,
        width: int = 24,
        dilations: tuple[tuple[int, ...], ...] | None = None,
        fusion: Fusion = "image",
        coarse_stage: bool = True,
        train_level: int | None = None,
        mask_resize: ResizeMode = "nearest",
        engine: Engine = "auto",
        init: Init = "kaiming",
    ) -> None:
        super().__init__()
        levels = tuple(levels)
        _check_pyramid(levels, structure, structure_filter, width, dilations, fusion, coarse_stage)
        if train_level is not None and train_level not in levels:
            raise ValueError(
                f"PyramidGenerator: train_level must be one of the levels {list(levels)}, got {train_level}"
            )
        self.levels = levels
        self.structure_filter = (structure_filter or RelativeTotalVariation()) if structure else None
        self.size_multiple = math.lcm(*(8 if level == 1 else 4 * level for level in levels))  # type: ignore[misc]
        stacks = dilations or [adaptive_dilations(level) for level in levels]
        below_full = [level for level in levels if level > 1]
        self.small = nn.ModuleList(
            # In addition to picture, ones and mask: the structure or the picture from below, if there is one.
            CoarseNetwork(8 if i or structure else 5, width=width, dilations=stacks[i])
            for i in range(len(below_full))
        )
        attention = ContextualAttention(mask_resize=mask_resize, engine=engine)
        full = levels[-1] == 1
        self.full = FullSizeLevel(width, stacks[-1], fusion, attention, coarse_stage) if full else None
        self.accepts_guidance = self.full is not None
        self.train_level = train_level
        init_gated(self, init)
        if train_level is not None:
            self.requires_grad_(False)
            networks = [*self.small, self.full]
            networks[levels.index(train_level)].requires_grad_(True)  # type: ignore[union-attr]

    def forward(self, image: Tensor, mask: Tensor, guidance: Tensor | None = None) -> PyramidGeneratorOutput:
        """Fill the hole.

        Args:
            image: `(B, 3, H, W)` in [0, 1], sides multiples of `size_multiple`; whatever lies in the hole is ignored.
            mask: `(B, 1, H, W)`, 1 = hole.
            guidance: `(B, 1, H, W)`, where the hole may be filled from: permissions (floating point or bool) or class
                ids (integers), see `inpaintzoo.layers.attention.Guidance`. Only the full-size level has attention.

        Raises:
            ValueError: the shapes do not fit.
        """
        self.check_size(image, mask)
        guide = self.read_guidance(guidance, mask)
        image = self.hide_hole(image, mask)
        predicted, features = self._small_levels(image, mask)
        pictures = [(picture + 1) / 2 for picture in predicted]
        structure = pictures.pop(0) if self.structure_filter is not None else None
        size, coarse = image.shape[2:], None
        if self.full is not None:
            features = enlarge(features, (size[0] // 4, size[1] // 4))
            seen = self.hide_hole(2 * image - 1, mask)
            below, features = self._handed_on(predicted[-1]), self._handed_on(features)
            refined, first = self.full(seen, mask, enlarge(below, size), features, guide)
            result, coarse = (refined + 1) / 2, None if first is None else (first + 1) / 2
        else:
            result = enlarge(pictures[-1], size)
        return PyramidGeneratorOutput(image=result, pyramid=pictures[::-1], coarse=coarse, structure=structure)

    def _handed_on(self, result: Tensor) -> Tensor:
        """What the next level gets of a level's result: without its graph, unless all are trained together."""
        return result if self.train_level is None else result.detach()

    def _small_levels(self, image: Tensor, mask: Tensor) -> tuple[list[Tensor], Tensor]:
        """The pictures below full size in [-1, 1], coarsest first, and the finest one's features."""
        predicted: list[Tensor] = []
        features = image
        for level, network in zip(self.levels, self.small, strict=False):
            size = (image.shape[2] // level, image.shape[3] // level)
            hole = resize_mask(mask, size, "any")
            small = F.interpolate(image, size=size, mode="area")
            seen = [coarse_input(self.hide_hole(2 * small - 1, hole), hole)]
            if predicted:
                seen.append(enlarge(self._handed_on(predicted[-1]), size))
            elif self.structure_filter is not None:
                seen.append(self.hide_hole(2 * self.structure_filter(small, hole) - 1, hole).to(small.dtype))
            maps = network.encoder(torch.cat(seen, dim=1))  # type: ignore[operator, union-attr]
            predicted.append(network.decode(maps))  # type: ignore[operator, union-attr]
            features = maps[-1]
        return predicted, features


def _check_pyramid(
    levels: tuple[int, ...],
    structure: bool,
    structure_filter: StructureFilter | None,
    width: int,
    dilations: Sequence[Sequence[int]] | None,
    fusion: str,
    coarse_stage: bool,
) -> None:
    if len(levels) < 2 or levels[-1] < 1 or any(a <= b for a, b in pairwise(levels)):
        raise ValueError(
            f"PyramidGenerator: levels must be two or more decreasing integers such as [4, 2, 1], got {list(levels)}"
        )
    if structure_filter is not None and not structure:
        raise ValueError(
            "PyramidGenerator: structure_filter is used with structure: true only; set that, or leave the filter out"
        )
    if width < 2 or width % 2:
        raise ValueError(f"PyramidGenerator: width must be positive and even, got {width}")
    if dilations is not None and len(dilations) != len(levels):
        raise ValueError(
            f"PyramidGenerator: dilations must have one list for each of the {len(levels)} levels, got {len(dilations)}"
        )
    if fusion not in get_args(Fusion):
        raise ValueError(f"PyramidGenerator: fusion must be one of {', '.join(get_args(Fusion))}, got {fusion!r}")
    if fusion != "image" and levels[-1] != 1:
        raise ValueError(
            f"PyramidGenerator: fusion {fusion!r} applies to the full-size level, and {list(levels)} has none; add "
            f"level 1, or leave fusion at 'image'"
        )
    if not coarse_stage and levels[-1] != 1:
        raise ValueError(
            f"PyramidGenerator: coarse_stage: false drops a stage of the full-size level, and {list(levels)} has none; "
            f"add level 1, or leave coarse_stage at true"
        )
    if not coarse_stage and fusion in ("coarse", "feature_coarse"):
        raise ValueError(
            f"PyramidGenerator: fusion {fusion!r} feeds the coarse stage, and coarse_stage: false drops it; choose "
            f"another fusion, or leave coarse_stage at true"
        )
