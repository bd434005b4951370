"""Patch swap: each patch of the hole becomes the most similar known patch of the same map.

Song et al., "Contextual-based Image Inpainting: Infer, Match, and Translate", ECCV 2018,
https://arxiv.org/abs/1711.08590, section 3.2: the attention that PEN-Net is compared with (its table 6).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inpaintzoo.layers.attention.guidance import Guidance
from inpaintzoo.layers.attention.transfer import valid_keys
from inpaintzoo.ops import ResizeMode, resize_mask


class PatchSwap(nn.Module):
    """Replaces a map's hole by its known 3x3 patches, chosen by cosine; overlapping patches are averaged.

    No parameters. The choice is hard: gradients reach what is copied, not what is compared.

    Args:
        mask_resize: how the mask is resized to the map, see `inpaintzoo.layers.attention.valid_keys`.
    """

    def __init__(self, mask_resize: ResizeMode = "bilinear") -> None:
        super().__init__()
        self.mask_resize: ResizeMode = mask_resize

    def forward(self, shallow: Tensor, deep: Tensor, mask: Tensor, guidance: Guidance | None = None) -> Tensor:
        """Fill `shallow`; a map without a known patch stays as it is.

        Args:
            shallow: `(B, C, h, w)`.
            deep: not read: an attention transfer compares the deeper map in its place.
            mask: `(B, 1, H, W)`, 1 = hole.
            guidance: not read.
        """
        size = (shallow.shape[2], shallow.shape[3])
        valid = valid_keys(mask, size, 3, self.mask_resize).flatten(2)
        inside = torch.ones_like(shallow[:, :1])  # of the pixels that patches at the border have
        patches = F.unfold(torch.cat([shallow, inside], dim=1), 3, padding=1)
        with torch.no_grad(), torch.autocast(shallow.device.type, enabled=False):
            compared = F.normalize(F.unfold(shallow.float(), 3, padding=1), dim=1)
            similarity = compared.transpose(1, 2) @ compared
            best = similarity.masked_fill(valid == 0, -torch.inf).argmax(dim=2)  # of a known patch: itself
        total = F.fold(patches.gather(2, best[:, None].expand_as(patches)), size, 3, padding=1)
        hole = resize_mask(mask, size, self.mask_resize).to(shallow.dtype)
        swapped = hole * total[:, :-1] / total[:, -1:] + (1 - hole) * shallow
        return torch.where(valid.amax(dim=2, keepdim=True)[..., None] > 0, swapped, shallow)
