"""SmoothRefine, a small network of the zoo's own: it corrects a smooth fill instead of inventing a picture.

The hole is first filled smoothly, which costs next to nothing and gives the colours that diffusion gives. The refine
stage of the gated network ("Free-Form Image Inpainting with Gated Convolution", `inpaintzoo.models.gated`), with the
attention feature fusion of the dissertation's chapter 4 (`inpaintzoo.layers.fusion`), adds what is missing: a residual
that is nearly zero at the start. So a few minutes of training already end above diffusion, where networks that begin
with nothing need hours.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate, pad

from inpaintzoo.generator import Generator
from inpaintzoo.layers.attention.contextual import ContextualAttention
from inpaintzoo.layers.attention.transfer import Engine
from inpaintzoo.layers.fusion import AFF
from inpaintzoo.layers.gated import init_gated
from inpaintzoo.layers.gated_stages import RefineNetwork
from inpaintzoo.ops import composite
from inpaintzoo.types import Output

_LEVELS = 10  # a hole of 2^10 pixels is one pixel at the coarsest


def smooth_fill(image: Tensor, mask: Tensor, sweeps: int = 8) -> Tensor:
    """Fill holes almost as diffusion does, from coarse to fine, by averages of the four neighbours at every size.

    Args:
        image: `(B, 3, H, W)`, finite in the hole.
        mask: `(B, 1, H, W)`, 1 = hole.
        sweeps: How often each level is averaged; none leaves plain interpolation from the coarser one.

    Returns:
        `(B, 3, H, W)`: known pixels as they are; zeros if nothing is known.
    """
    known = 1 - mask.to(image.dtype)
    levels = [(image * known, known)]
    for _ in range(_LEVELS):
        colour, weight = (avg_pool2d(each, 2, ceil_mode=True) for each in levels[-1])
        known = (weight > 0).to(colour.dtype)
        levels.append((colour / weight.clamp_min(1e-6) * known, known))
    filled = levels[-1][0]
    for colour, known in reversed(levels[:-1]):
        filled = interpolate(filled, colour.shape[2:], mode="bilinear", align_corners=False)
        filled = torch.where(known > 0, colour, filled)
        for _ in range(sweeps):
            around = pad(filled, (1, 1, 1, 1), mode="replicate")
            mean = around[..., 1:-1, :-2] + around[..., 1:-1, 2:] + around[..., :-2, 1:-1] + around[..., 2:, 1:-1]
            filled = torch.where(known > 0, colour, mean / 4)
    return filled


class SmoothRefine(Generator):
    """A refine stage over a smooth fill; 1,107,091 parameters at the defaults.

    Args:
        width: Channels at full size, even; at least three times the reduction.
        reduction: See `inpaintzoo.layers.fusion.MSCAM`.
        scale: Factor of the attention's scores in the softmax.
        engine: How the attention is computed, see `inpaintzoo.layers.attention.contextual_attention`.

    Raises:
        ValueError: The width is odd, or too small for the reduction.
    """

    size_multiple = 8
    accepts_guidance = True

    def __init__(self, width: int = 16, reduction: int = 4, scale: float = 10.0, engine: Engine = "auto") -> None:
        super().__init__()
        if width < 2 or width % 2:
            raise ValueError(f"SmoothRefine: width must be positive and even, got {width}")
        self.refine = RefineNetwork(
            ContextualAttention(True, scale, "any", False, engine),
            convolution_channels=4,
            attention_channels=4,
            width=width,
            fusion=AFF(4 * width, reduction, "group"),
            skips=[AFF(channels, reduction, "group") for channels in (2 * width, width)],
        )
        init_gated(self)
        with torch.no_grad():
            self.refine.decoder.output.weight.mul_(0.1)

    def forward(self, image: Tensor, mask: Tensor, guidance: Tensor | None = None) -> Output:
        """Fill the hole.

        Args:
            image: `(B, 3, H, W)` in [0, 1], sides multiples of 8; whatever lies in the hole is ignored.
            mask: `(B, 1, H, W)`, 1 = hole.
            guidance: As in `GatedNet`.

        Returns:
            The fill; what is known is as it was.

        Raises:
            ValueError: The shapes do not fit.
        """
        self.check_size(image, mask)
        smooth = smooth_fill(self.hide_hole(2 * image - 1, mask), mask)
        seen = torch.cat([smooth, mask.to(smooth.dtype)], dim=1)
        refined = self.refine(seen, seen, mask, guidance=self.read_guidance(guidance, mask))
        return Output(image=(composite(smooth, (smooth + refined).clamp(-1, 1), mask) + 1) / 2)
