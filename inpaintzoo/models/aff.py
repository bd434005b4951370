"""AFFNet: the gated network whose maps are fused by attention.

"Image Inpainting with Attention Feature Fusion", chapter 4 of a dissertation on image inpainting. It adds two
things to the gated two-stage network (`inpaintzoo.models.gated`): skip connection attention fusion (SCAF) passes the
encoder's maps to the decoder, and the dilated convolution residual (DCR) bypasses the dilated layers; both blend maps by
attentional feature fusion (`inpaintzoo.layers.fusion`).

No code was released. Choices where the text leaves details open:

| | dissertation | here |
|---|---|---|
| maps that SCAF fuses | figure 4.1 draws one stage | half and full size, after the upsampling, in both stages; in the refine stage from the encoder of the dilated branch |
| stages with DCR | figure 4.1 draws one stage | both |
| x and y of equation 4.1 | not stated | SCAF: encoder's map, decoder's; DCR: input of the dilated layers, their output |
| reduction of the channels | not stated | 4, as in attentional feature fusion |
"""  # noqa: E501

from __future__ import annotations

from typing import Literal, get_args

from torch import Tensor, nn

from inpaintzoo.layers.attention.transfer import Engine
from inpaintzoo.layers.fusion import AFF, FusionNorm
from inpaintzoo.layers.gated import GatedDecoder, Init, Padding, init_gated
from inpaintzoo.models.gated import GatedNet
from inpaintzoo.ops import ResizeMode

Skip = Literal["none", "concat", "attention"]


class PlainSkip(nn.Module):
    """A skip connection without fusion: the encoder's map unchanged (table 4.2, first row)."""

    def forward(self, encoded: Tensor, decoded: Tensor) -> Tensor:
        """Return `encoded`, ignoring `decoded`; both are `(B, C, h, w)`."""
        return encoded


class AFFNet(GatedNet):
    """The gated two-stage network with attentional feature fusion (figure 4.1).

    4,172,502 parameters at the defaults. Without skip connections and DCR it is `GatedNet`, with the same weight names.

    Args:
        width: channels at full size, even; with `skip="attention"` at least `reduction`, or three times that with
            `norm="group"`.
        skip: what the decoders get in addition to their own maps: `none`; `concat`, the encoder's map;
            `attention`, both maps fused (SCAF).
        dcr: dilated convolution residual: fuse the input of the dilated layers with their output.
        reduction: see `inpaintzoo.layers.fusion.MSCAM`.
        norm: normalisation within the fusions: `batch`, or `group`, which trains with batches of one; see
            `inpaintzoo.layers.fusion.MSCAM`.
        padding: see `GatedNet`, as for the following arguments.
        fuse: whether neighbouring places copy from neighbouring patches.
        scale: factor of the attention's scores in the softmax.
        mask_resize: how the attention decides which patches are known.
        engine: how the attention is computed.
        init: distribution of the initial weights.
    """

    def __init__(
        self,
        width: int = 24,
        skip: Skip = "attention",
        dcr: bool = True,
        reduction: int = 4,
        norm: FusionNorm = "batch",
        padding: Padding = "same",
        fuse: bool = True,
        scale: float = 10.0,
        mask_resize: ResizeMode = "nearest",
        engine: Engine = "auto",
        init: Init = "kaiming",
    ) -> None:
        if skip not in get_args(Skip):
            raise ValueError(f"AFFNet: skip must be 'none', 'concat' or 'attention', got {skip!r}")
        super().__init__(width, padding, fuse=fuse, scale=scale, mask_resize=mask_resize, engine=engine, init=init)
        for stage in (self.coarse, self.refine):
            if skip != "none":
                # Half size, full size.
                skips = [AFF(c, reduction, norm) if skip == "attention" else PlainSkip() for c in (2 * width, width)]
                stage.decoder = GatedDecoder(4 * width, width, skips, padding)
                init_gated(stage.decoder, init)
            if dcr:
                stage.dilated.fusion = AFF(4 * width, reduction, norm)
