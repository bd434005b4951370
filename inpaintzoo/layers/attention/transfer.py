"""Patch attention: fill a map with its own patches, weighted by the similarity of deeper features.

PEN-Net (Zeng et al., "Learning Pyramid-Context Encoder Network for High-Quality Image Inpainting", CVPR 2019,
https://arxiv.org/abs/1904.07475) calls it attention transfer; its section 3.1 and the released code differ in
what arguments of `AttentionTransfer` choose. SRPNet uses the same operation with 1x1 patches.

Each sample has its own mask; a batch gives the same result as its samples one by one.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inpaintzoo.layers.attention.guidance import NEVER, Guidance, PatchGuidance
from inpaintzoo.layers.attention.operator import tiled_transfer
from inpaintzoo.ops import ResizeMode, is_exporting, resize_mask

HoleKeys = Literal["zero_score", "exclude"]
FillRegion = Literal["everywhere", "hole"]
Engine = Literal["auto", "tiled", "dense"]
Border = Literal["zeros", "excluded"]
Starved = Literal["zeros", "cells"]

_LEAST_NORM = 1e-4


def valid_keys(mask: Tensor, size: tuple[int, int], kernel: int = 3, resize: ResizeMode = "bilinear") -> Tensor:
    """Which patches of a feature map contain no hole pixel.

    Args:
        mask: `(B, 1, H, W)`, 1 = hole.
        size: height and width of the feature map.
        kernel: side of the patches, odd; everything outside the map counts as known.
        resize: how the mask is resized to the map, see `inpaintzoo.ops.resize_mask`. `bilinear` (PEN-Net's released
            code) samples the mask and misses thin holes; `any` is exact.

    Returns:
        `(B, 1, h, w)`, 1 where a patch may be copied from, else 0.
    """
    hole = resize_mask(mask, size, resize)
    return (F.max_pool2d(hole, kernel, stride=1, padding=kernel // 2) == 0).to(mask.dtype)


def patch_norm(features: Tensor, kernel: int) -> Tensor:
    """L2 norm of the zero-padded `kernel` x `kernel` patch around every cell: `(B, C, h, w)` to `(B, 1, h, w)`."""
    energy = features.square().sum(dim=1, keepdim=True)
    if kernel > 1:
        energy = F.avg_pool2d(energy, kernel, stride=1, padding=kernel // 2) * kernel**2
    # Clamped before the root, whose gradient at 0 is infinite.
    return energy.clamp(min=_LEAST_NORM**2).sqrt()


def transfer_patches(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    valid: Tensor,
    *,
    kernel: int = 3,
    scale: float = 10.0,
    normalize_query: bool = False,
    hole_keys: HoleKeys = "zero_score",
    floor: float = 1e-8,
    border: Border = "zeros",
    engine: Engine = "auto",
    guidance: PatchGuidance | None = None,
) -> Tensor:
    """Rebuild a map from its own 4x4 patches, weighted by the similarity of patches of a map half its size.

    Scores are computed in float32 at least, also under autocast, and so is the softmax over all keys.

    Args:
        query: `(B, C, h, w)`, features of the places to fill.
        key: `(B, C, h, w)`, features of the places to copy from; their patches are normalised to length 1.
        value: `(B, D, 2h, 2w)`, the map to copy from: patch (y, x) covers rows 2y - 1 to 2y + 2, and the same columns.
        valid: `(B, 1, h, w)`, 1 where a patch may be copied from, else 0.
        kernel: side of the compared patches, 1 or 3.
        scale: factor of the scores in the softmax (an inverse temperature).
        normalize_query: whether to normalise query patches too, so that scores are cosines.
        hole_keys: what happens to invalid keys: `zero_score` keeps them in the softmax with a score of 0
            and drops their weight afterwards (released code), `exclude` leaves them out of it. Without a valid key
            the result is 0, apart from `floor`.
        floor: minimum weight of every patch.
        border: what lies outside the map. `zeros` copies it as 0 and divides every sum by 4 (released code), which
            attenuates a hole at the border, to a quarter in a corner, and whatever is copied from patches there;
            `excluded` takes the mean of the pixels inside.
        engine: `tiled` computes in small pieces and is the fast one; `dense` holds the whole score matrix in plain
            operators, for export; `auto` picks `dense` while a model is exported and `tiled` otherwise.
        guidance: which of the valid patches each place may copy from; the others' weight is 0, without a floor.

    Returns:
        `(B, D, 2h, 2w)` in `value`'s dtype: the mean of the overlapping patches.
    """
    check_patch_shapes(query, key, value, valid, kernel)
    dtype, compute = value.dtype, torch.promote_types(value.dtype, torch.float32)
    query, key, value, valid = (tensor.to(compute) for tensor in (query, key, value, valid))
    with torch.autocast(query.device.type, enabled=False):
        key_gain, query_gain = _gains(query, key, valid, kernel, scale, normalize_query, hole_keys)
        dense = engine == "dense" or (engine == "auto" and is_exporting())
        if border == "excluded":  # a channel of ones sums up the weights of the pixels inside
            value = F.pad(value, (0, 0, 0, 0, 0, 1), value=1.0)
        problem = (query, key, value, key_gain, query_gain, valid, kernel, hole_keys == "exclude", floor)
        # Operators only take tensors.
        total = _dense_transfer(*problem, guidance) if dense else tiled_transfer(*problem, *(guidance or ()))
    if border == "zeros":
        return (total / 4).to(dtype)
    weight = total[:, -1:]
    return (total[:, :-1] / torch.where(weight == 0, 1, weight)).to(dtype)


def _gains(
    query: Tensor, key: Tensor, valid: Tensor, kernel: int, scale: float, normalize_query: bool, hole_keys: HoleKeys
) -> tuple[Tensor, Tensor | None]:
    """Factors of each key's and of each query's scores; None for 1."""
    key_gain = scale / patch_norm(key, kernel)
    if hole_keys == "zero_score":
        key_gain = key_gain * valid
    return key_gain, 1 / patch_norm(query, kernel) if normalize_query else None


def check_patch_shapes(query: Tensor, key: Tensor, value: Tensor, valid: Tensor, kernel: int) -> None:
    """Raise `ValueError` unless the maps of a patch attention fit each other; see `transfer_patches`."""
    if kernel not in (1, 3):
        raise ValueError(f"patch attention compares patches of side 1 or 3, got kernel={kernel}")
    batch, _, height, width = key.shape
    expected = {"query": key.shape, "value": (batch, value.shape[1], 2 * height, 2 * width)}
    expected["valid"] = (batch, 1, height, width)
    for name, tensor in (("query", query), ("value", value), ("valid", valid)):
        if tensor.shape != expected[name]:
            raise ValueError(
                f"{name} must be {tuple(expected[name])} to fit keys of {tuple(key.shape)}, got {tuple(tensor.shape)}"
            )


def _dense_weights(
    query: Tensor,
    key: Tensor,
    key_gain: Tensor,
    query_gain: Tensor | None,
    allowed: Tensor,
    kernel: int,
    exclude: bool,
    floor: float,
    guidance: PatchGuidance | None = None,
    places: Tensor | None = None,
) -> Tensor:
    """`(B, Q, N)`: with which weight each query, or the one at each sample's place `(B,)`, copies each patch."""
    queries, keys = (F.unfold(side, kernel, padding=kernel // 2) for side in (query, key))
    gains = None if query_gain is None else query_gain.flatten(2)
    if places is not None:
        queries = queries.take_along_dim(places.view(-1, 1, 1), dim=2)
        gains = None if gains is None else gains.take_along_dim(places.view(-1, 1, 1), dim=2)
    scores = queries.transpose(1, 2) @ (keys * key_gain.flatten(2))
    if gains is not None:
        scores = scores * gains.transpose(1, 2)
    columns = allowed.flatten(2)
    if exclude:
        scores = scores.masked_fill(columns == 0, NEVER)
    pairs = None if guidance is None else guidance.pairs()
    if pairs is not None:
        scores = pairs.guided(scores)
    weights = (torch.softmax(scores, dim=-1) * columns).clamp(min=floor)
    if pairs is not None:
        weights = weights.masked_fill(pairs.forbidden(), 0)  # no floor either
    return weights


def _dense_transfer(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    key_gain: Tensor,
    query_gain: Tensor | None,
    allowed: Tensor,
    kernel: int,
    exclude: bool,
    floor: float,
    guidance: PatchGuidance | None,
) -> Tensor:
    """The result of `tiled_transfer` in plain operators, which every exporter supports."""
    weights = _dense_weights(query, key, key_gain, query_gain, allowed, kernel, exclude, floor, guidance)
    # The four 2x2 blocks of a 4x4 patch: one map per corner, channels in pixel_shuffle's order.
    blocks = F.pixel_unshuffle(F.pad(value, (1, 1, 1, 1)), 2)
    corners = [blocks[:, :, y : y + key.shape[2], x : x + key.shape[3]] for y in (0, 1) for x in (0, 1)]
    patches = torch.stack(corners, dim=1).flatten(3)  # (B, 4, 4D, N)
    filled = patches @ weights.transpose(1, 2).unsqueeze(1)
    upper_left, upper_right, lower_left, lower_right = filled.unflatten(3, key.shape[2:]).unbind(1)
    total = (
        F.pad(upper_left, (0, 1, 0, 1))
        + F.pad(upper_right, (1, 0, 0, 1))
        + F.pad(lower_left, (0, 1, 1, 0))
        + F.pad(lower_right, (1, 0, 1, 0))
    )
    return F.pixel_shuffle(total, 2)[:, :, 1:-1, 1:-1]


class DilatedFusion(nn.Module):
    """Four 3x3 convolutions with dilations 1, 2, 4 and 8, each to a quarter of the channels, with ReLU.

    Args:
        channels: channels of the map, a multiple of 4.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        if channels % 4:
            raise ValueError(f"DilatedFusion needs channels that are a multiple of 4, got {channels}")
        self.branches = nn.ModuleList(
            nn.Conv2d(channels, channels // 4, 3, padding=dilation, dilation=dilation) for dilation in (1, 2, 4, 8)
        )

    def forward(self, features: Tensor) -> Tensor:
        """Refine `(B, C, h, w)`; the shape stays."""
        return torch.cat([F.relu(branch(features)) for branch in self.branches], dim=1)


class AttentionTransfer(nn.Module):
    """Fills a map by the attention of the next deeper one (PEN-Net's ATN, section 3.1, equations 2 to 4).

    The defaults are those of PEN-Net's released code.

    Args:
        channels: channels of the shallower map.
        kernel: side of the compared patches, 1 or 3.
        fuse: whether dilated convolutions refine the filled map.
        scale: factor of the scores in the softmax.
        normalize_query: compare by cosine (equation 2) instead of by products with normalised keys.
        hole_keys: `zero_score` or `exclude`, see `transfer_patches`.
        fill: `everywhere` rebuilds the whole map, `hole` keeps what is known.
        mask_resize: how the mask is resized to the maps, see `valid_keys`.
        border: `zeros` or `excluded`, see `transfer_patches`.
        starved: what happens to a picture whose every patch touches the hole, as in maps of few cells. `zeros` fills
            with 0 (released code); `cells` copies from the patches whose centre is known, and keeps the map where there
            is none either.
        engine: see `transfer_patches`.
    """

    def __init__(
        self,
        channels: int,
        kernel: int = 3,
        fuse: bool = True,
        scale: float = 10.0,
        normalize_query: bool = False,
        hole_keys: HoleKeys = "zero_score",
        fill: FillRegion = "everywhere",
        mask_resize: ResizeMode = "bilinear",
        border: Border = "zeros",
        starved: Starved = "zeros",
        engine: Engine = "auto",
    ) -> None:
        super().__init__()
        if scale <= 0:
            raise ValueError(f"AttentionTransfer: scale must be above 0, got {scale}")
        if kernel not in (1, 3):
            raise ValueError(f"AttentionTransfer: kernel must be 1 or 3, got {kernel}")
        choices = {"hole_keys": HoleKeys, "fill": FillRegion, "mask_resize": ResizeMode}
        choices |= {"border": Border, "starved": Starved, "engine": Engine}
        given: dict[str, str] = {"hole_keys": hole_keys, "fill": fill, "mask_resize": mask_resize}
        given |= {"border": border, "starved": starved, "engine": engine}
        for name, choice in choices.items():
            if given[name] not in get_args(choice):
                allowed = ", ".join(map(repr, get_args(choice)))
                raise ValueError(f"AttentionTransfer: {name} must be one of {allowed}, got {given[name]!r}")
        self.kernel, self.scale, self.normalize_query = kernel, scale, normalize_query
        self.hole_keys, self.fill, self.mask_resize = hole_keys, fill, mask_resize
        self.border, self.starved, self.engine = border, starved, engine
        # Only the released code has a floor; equation 3 does not.
        self.floor = 1e-8 if hole_keys == "zero_score" else 0.0
        self.fusion = DilatedFusion(channels) if fuse else nn.Identity()

    def keys(self, mask: Tensor, size: tuple[int, int]) -> Tensor:
        """Which patches of a deeper map of this size may be copied from: `(B, 1, h, w)` of 1 and 0."""
        valid = valid_keys(mask, size, self.kernel, self.mask_resize)
        if self.starved == "zeros":
            return valid
        centres = valid_keys(mask, size, 1, self.mask_resize)
        return torch.where(valid.amax(dim=(2, 3), keepdim=True) > 0, valid, centres)

    def attention(self, deep: Tensor, mask: Tensor, places: Tensor) -> Tensor:
        """With which weights one cell of each picture copies.

        Args:
            deep: `(B, C, h, w)`, the deeper map.
            mask: `(B, 1, H, W)`, 1 = hole.
            places: `(B,)` int64, a cell of the deeper map each: row * w + column.

        Returns:
            `(B, h, w)`, the weight of the patch around each cell.
        """
        size = (deep.shape[2], deep.shape[3])
        deep, valid = deep.float(), self.keys(mask, size).float()
        gains = _gains(deep, deep, valid, self.kernel, self.scale, self.normalize_query, self.hole_keys)
        exclude = self.hole_keys == "exclude"
        weights = _dense_weights(deep, deep, *gains, valid, self.kernel, exclude, self.floor, places=places)
        return weights[:, 0].unflatten(1, size)

    def forward(self, shallow: Tensor, deep: Tensor, mask: Tensor, guidance: Guidance | None = None) -> Tensor:
        """Fill `shallow`.

        Args:
            shallow: `(B, channels, 2h, 2w)`.
            deep: `(B, C, h, w)`, the already filled deeper map.
            mask: `(B, 1, H, W)`, 1 = hole, at any size.
            guidance: where the hole may be filled from.

        Returns:
            The filled map, shaped like `shallow`.
        """
        valid = self.keys(mask, (deep.shape[2], deep.shape[3]))
        filled = transfer_patches(
            deep,
            deep,
            shallow,
            valid,
            kernel=self.kernel,
            scale=self.scale,
            normalize_query=self.normalize_query,
            hole_keys=self.hole_keys,
            floor=self.floor,
            border=self.border,
            engine=self.engine,
            guidance=None if guidance is None else guidance.at(valid),
        )
        if self.starved == "cells":
            filled = torch.where(valid.amax(dim=(2, 3), keepdim=True) > 0, filled, shallow)
        if self.fill == "hole":
            hole = resize_mask(mask, (shallow.shape[2], shallow.shape[3]), self.mask_resize).to(filled.dtype)
            filled = hole * filled + (1 - hole) * shallow
        return self.fusion(filled)
