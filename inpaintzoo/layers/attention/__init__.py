"""Patch attention: a hole is filled with patches of what is known.

`transfer` (PEN-Net, SRPNet) computes on `operator`, whose passes are in `tiles`; `contextual` is DeepFill v2's form;
`guidance` says where either may copy from.
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
