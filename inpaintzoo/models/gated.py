"""The gated two-stage network, DeepFill v2: a coarse picture, then its refinement with contextual attention.

Yu, Lin, Yang, Shen, Lu, Huang: "Free-Form Image Inpainting with Gated Convolution", ICCV 2019,
https://arxiv.org/abs/1806.03589, without the sketch input of its section 3.5. Widths and order of the layers are those
of the authors' code, whose attention differs from the papers (see `layers.attention.contextual`). Differences here: a
batch gives the same result as its samples one by one (public code uses the first mask for all), a mask without known
patches does not give NaN, and memory does not grow with the fourth power of the side.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from inpaintzoo.generator import Generator
from inpaintzoo.layers.attention.contextual import ContextualAttention
from inpaintzoo.layers.attention.transfer import Engine
from inpaintzoo.layers.gated import Init, Padding, check_padding, init_gated
from inpaintzoo.layers.gated_stages import CoarseNetwork, RefineNetwork
from inpaintzoo.ops import ResizeMode, composite
from inpaintzoo.types import Output


@dataclasses.dataclass
class GatedOutput(Output):
    """An output with the first stage's picture in addition to the final one.

    Attributes:
        coarse: `(B, 3, H, W)` in [0, 1], the raw prediction of the first stage.
    """

    coarse: Tensor


def coarse_input(masked_image: Tensor, mask: Tensor) -> Tensor:
    """Input of the first stage, `(B, 5, H, W)`: masked picture, ones (which show where the frame ends) and mask."""
    mask = mask.to(masked_image.dtype)
    return torch.cat([masked_image, torch.ones_like(mask), mask], dim=1)


class GatedNet(Generator):
    """Coarse and refine stage of gated convolutions (figure 3).

    4,052,478 parameters at the default width.

    Args:
        width: channels at full size, even; 24 in the authors' code (48 before gating).
        padding: `same`, or `same_tf` for weights trained by TensorFlow; see `SameConv2d`. It also decides how the
            attention halves maps.
        dilations: dilations of the four layers at a quarter of the size, in both stages.
        fuse: whether neighbouring places copy from neighbouring patches.
        scale: factor of the attention's scores in the softmax.
        mask_resize: how the attention decides which patches are known, see
            `inpaintzoo.layers.attention.ContextualAttention`. The authors' `nearest` misses holes that are thinner
            than 8 pixels, `any` does not.
        engine: how the attention is computed, see `inpaintzoo.layers.attention.contextual_attention`.
        init: distribution of the initial weights, see `inpaintzoo.layers.gated.init_gated`; the authors' is `glorot`.
    """

    size_multiple = 8
    accepts_guidance = True

    def __init__(
        self,
        width: int = 24,
        padding: Padding = "same",
        dilations: tuple[int, ...] = (2, 4, 8, 16),
        fuse: bool = True,
        scale: float = 10.0,
        mask_resize: ResizeMode = "nearest",
        engine: Engine = "auto",
        init: Init = "kaiming",
    ) -> None:
        super().__init__()
        if width < 2 or width % 2:
            raise ValueError(f"GatedNet: width must be positive and even, got {width}")
        check_padding("GatedNet", padding)
        aligned = padding == "same_tf"  # TensorFlow's convention too
        attention = ContextualAttention(fuse, scale, mask_resize, aligned, engine)
        self.coarse = CoarseNetwork(width=width, dilations=dilations, padding=padding)
        self.refine = RefineNetwork(attention, width=width, dilations=dilations, padding=padding)
        init_gated(self, init)

    def forward(self, image: Tensor, mask: Tensor, guidance: Tensor | None = None) -> GatedOutput:
        """Fill the hole.

        Args:
            image: `(B, 3, H, W)` in [0, 1], sides multiples of 8; whatever lies in the hole is ignored.
            mask: `(B, 1, H, W)`, 1 = hole.
            guidance: `(B, 1, H, W)`, where the hole may be filled from: permissions (floating point or bool) or class
                ids (integers), see `inpaintzoo.layers.attention.Guidance`.

        Raises:
            ValueError: the shapes do not fit.
        """
        self.check_size(image, mask)
        masked_image = self.hide_hole(2 * image - 1, mask)
        coarse = self.coarse(coarse_input(masked_image, mask))
        pasted = composite(masked_image, coarse, mask)
        refined = self.refine(pasted, pasted, mask, guidance=self.read_guidance(guidance, mask))
        return GatedOutput(image=(refined + 1) / 2, coarse=(coarse + 1) / 2)
