"""Patch attention: holes are filled with known patches.

`transfer` (PEN-Net, SRPNet) calls `operator`, whose passes are in `tiles`; `contextual` is DeepFill v2's form,
`patch_swap` a hard one; `guidance` restricts where either may copy from.
"""

from inpaintzoo.layers.attention.contextual import ContextualAttention, contextual_attention
from inpaintzoo.layers.attention.guidance import Guidance
from inpaintzoo.layers.attention.transfer import AttentionTransfer, transfer_patches, valid_keys

__all__ = [
    "AttentionTransfer",
    "ContextualAttention",
    "Guidance",
    "contextual_attention",
    "transfer_patches",
    "valid_keys",
]
