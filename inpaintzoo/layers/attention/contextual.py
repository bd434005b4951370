"""Contextual attention: maps are rebuilt from their known patches; neighbours copy from neighbouring patches.

Yu et al., "Generative Image Inpainting with Contextual Attention", CVPR 2018, https://arxiv.org/abs/1801.07892,
section 4, as in the code of the gated network that followed it (https://arxiv.org/abs/1806.03589). The papers write the
similarity as a cosine; their code normalises only the keys, as here. Every sample has its own mask (public code uses
the first one for the whole batch), and a mask without a known patch gives zeros.

It differs from `layers.attention.transfer` in the agreement of neighbours ("attention propagation"): the
score of query q and key k is summed over the pairs (q - 1, k - 1), (q, k), (q + 1, k + 1), once along the rows of the
flattened map and once along its columns. The N x N matrix of scores is computed a few image rows of queries at a
time, so that memory does not grow with the fourth power of the side.
"""

from __future__ import annotations

from typing import get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from inpaintzoo.layers.attention.guidance import Guidance, PairGuidance, PatchGuidance
from inpaintzoo.layers.attention.tiles import from_blocks, to_blocks
from inpaintzoo.layers.attention.transfer import (
    Engine,
    check_patch_shapes,
    patch_norm,
    transfer_patches,
    valid_keys,
)
from inpaintzoo.ops import ResizeMode, is_exporting

# Bytes of one buffer of scores; about six exist at a time. On a CPU they should fit into its caches.
_CPU_PIECE = 8 * 2**20
_GPU_PIECE = 512 * 2**20
# Minimum image rows in a piece; each piece also computes the row above and the row below.
_LEAST_ROWS = 4
# Training keeps score matrices up to this many bytes and recomputes larger ones in the backward pass.
_KEPT = 128 * 2**20


def contextual_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    valid: Tensor,
    *,
    fuse: bool = True,
    scale: float = 10.0,
    engine: Engine = "auto",
    guidance: PatchGuidance | None = None,
) -> Tensor:
    """Rebuild a map from its own 4x4 patches, weighted by the fused similarity of 3x3 patches of maps half its size.

    Scores and softmax are computed in float32 or wider, even under autocast.

    Args:
        query: `(B, C, h, w)`, features of the places to fill.
        key: `(B, C, h, w)`, features of the places to copy from; their patches are normalised to length 1.
        value: `(B, D, 2h, 2w)`, the map to copy from: patch (y, x) covers rows 2y - 1 to 2y + 2, and the same columns.
        valid: `(B, 1, h, w)`, 1 where a patch may be copied from, else 0 (`inpaintzoo.layers.attention.valid_keys`).
            Other keys stay in the softmax with a score of 0, and their weights are dropped afterwards (authors' code).
        fuse: whether neighbouring places copy from neighbouring patches.
        scale: factor of the scores in the softmax.
        engine: `tiled` computes in pieces; `dense` holds the whole score matrix in plain operators, for export; `auto`
            picks `dense` while a model is exported and `tiled` otherwise.
        guidance: which patches each place may copy from; its factors act on the fused scores.

    Returns:
        `(B, D, 2h, 2w)` in `value`'s dtype: the overlapping patches' sum divided by 4. Zeros where no key is valid.
    """
    if not fuse:
        return transfer_patches(query, key, value, valid, scale=scale, floor=0.0, engine=engine, guidance=guidance)
    check_patch_shapes(query, key, value, valid, 3)
    dtype, compute = value.dtype, torch.promote_types(value.dtype, torch.float32)
    query, key, value, valid = (tensor.to(compute) for tensor in (query, key, value, valid))
    dense = engine == "dense" or (engine == "auto" and is_exporting())
    with torch.autocast(query.device.type, enabled=False):
        filled = (_fill_dense if dense else _fill_in_pieces)(query, key, value, valid, scale, guidance)
    return (filled / 4).to(dtype)


def _unfolded(query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
    """3x3 patches of the queries, `(B, N, 9 * C)`, and of the keys, of length 1, `(B, 9 * C, N)`."""
    queries, keys = (F.unfold(side, 3, padding=1) for side in (query, key))
    return queries.transpose(1, 2), keys / patch_norm(key, 3).flatten(2)


def _weights(
    scores: Tensor, valid: Tensor, scale: float, guide: PairGuidance | None, queries: slice = slice(None)
) -> Tensor:
    """Attention `(B, q, N)` of some queries from their fused scores; `valid` is `(B, 1, N)`."""
    scores = scores * (scale * valid)
    return torch.softmax(scores if guide is None else guide.guided(scores, queries), dim=-1) * valid


# --- the whole matrix ----------------------------------------------------------------------------------------------


def _fill_dense(
    query: Tensor, key: Tensor, value: Tensor, valid: Tensor, scale: float, guidance: PatchGuidance | None
) -> Tensor:
    """The result of `_fill_in_pieces` in plain operators, which every exporter supports."""
    height, width = key.shape[2:]
    queries, keys = _unfolded(query, key)
    guide = None if guidance is None else guidance.pairs()
    weights = _weights(_fuse(queries @ keys, height, width), valid.flatten(2), scale, guide)
    patches = F.unfold(value, 4, stride=2, padding=1) @ weights.transpose(1, 2)
    return F.fold(patches, (2 * height, 2 * width), 4, stride=2, padding=1)


def _fuse(scores: Tensor, height: int, width: int) -> Tensor:
    """Sums of `(B, N, N)` along the diagonals of the map flattened by rows, then by columns."""
    by_columns = _by_columns(_sum_diagonal(scores), height, width)
    return _by_columns(_sum_diagonal(by_columns), width, height)


def _sum_diagonal(scores: Tensor) -> Tensor:
    padded = F.pad(scores, (1, 1, 1, 1))
    return padded[:, :-2, :-2] + scores + padded[:, 2:, 2:]


def _by_columns(scores: Tensor, height: int, width: int) -> Tensor:
    """Reorder both sides of the matrix from a map flattened by rows to one flattened by columns."""
    cells = scores.unflatten(2, (height, width)).unflatten(1, (height, width))
    return cells.permute(0, 2, 1, 4, 3).flatten(3).flatten(1, 2)


# --- the matrix in pieces ------------------------------------------------------------------------------------------


def _fill_in_pieces(
    query: Tensor, key: Tensor, value: Tensor, valid: Tensor, scale: float, guidance: PatchGuidance | None
) -> Tensor:
    """The overlapping patches' sum, a few samples or a few image rows of queries at a time."""
    batch, (height, width) = len(key), key.shape[2:]
    samples, rows = _piece_shape(key)
    again = torch.is_grad_enabled() and batch * (height * width) ** 2 * key.element_size() > _KEPT
    results = []
    for part in (slice(start, start + samples) for start in range(0, batch, samples)):
        queries, keys = _unfolded(query[part], key[part])
        queries = F.pad(queries, (0, 0, 1, 1))  # the neighbours of the first and the last query score 0
        blocks = to_blocks(value[part])
        guide = None if guidance is None else guidance.samples(part).pairs()
        total = blocks.new_zeros(len(blocks), height + 1, width + 1, blocks.shape[2])
        for first in range(0, height, rows):
            last = min(first + rows, height)
            arguments = (queries, keys, blocks, valid[part].flatten(2), scale, guide, first, last, (height, width))
            filled = checkpoint(_piece, *arguments, use_reentrant=False) if again else _piece(*arguments)
            total[:, first : last + 1] += filled
        results.append(from_blocks(total.flatten(1, 2), height, width))
    return torch.cat(results)


def _piece_shape(key: Tensor) -> tuple[int, int]:
    """Samples and image rows of queries in a piece that suits the device."""
    batch, _, height, width = key.shape
    budget = _CPU_PIECE if key.device.type == "cpu" else _GPU_PIECE
    row = width * height * width * key.element_size()
    if row * height > budget:
        return 1, min(height, max(_LEAST_ROWS, budget // row))
    return min(batch, budget // (row * height)), height


def _piece(
    queries: Tensor,
    keys: Tensor,
    blocks: Tensor,
    valid: Tensor,
    scale: float,
    guide: PairGuidance | None,
    first: int,
    last: int,
    size: tuple[int, int],
) -> Tensor:
    """The blocks `(B, rows + 1, w + 1, 4 * D)` that the queries in image rows `first` to `last` copy."""
    scores = _fuse_rows(queries, keys, first, last, size)
    asked = slice(first * size[1], last * size[1])
    weights = _weights(scores.flatten(3).flatten(1, 2), valid, scale, guide, asked)
    spread = _block_weights(weights.view_as(scores))
    return (spread.flatten(3).flatten(1, 2) @ blocks).unflatten(1, spread.shape[1:3])


def _fuse_rows(queries: Tensor, keys: Tensor, first: int, last: int, size: tuple[int, int]) -> Tensor:
    """`_fuse` for the queries of a few image rows: `(B, rows, w, h, w)`.

    Along the columns the neighbours of a query are the cells above and below it; beyond the upper and lower edge
    a column continues in the previous and next one. The same holds for the keys.
    """
    height, width = size
    rows = _sum_along_rows(queries, keys, max(first - 1, 0) * width, min(last + 1, height) * width)
    pieces = [rows]
    if first == 0:
        above = _sum_along_rows(queries, keys, (height - 1) * width, height * width - 1)
        pieces.insert(0, F.pad(above, (0, 0, 1, 0)))
    if last == height:
        below = _sum_along_rows(queries, keys, 1, width)
        pieces.append(F.pad(below, (0, 0, 0, 1)))
    scores = (torch.cat(pieces, dim=1) if len(pieces) > 1 else rows).unflatten(2, size).unflatten(1, (-1, width))
    above, here, below = scores[:, :-2], scores[:, 1:-1], scores[:, 2:]
    fused = here.clone()
    fused[:, :, :, 1:] += above[:, :, :, :-1]
    fused[:, :, :, 0, 1:] += above[:, :, :, -1, :-1]
    fused[:, :, :, :-1] += below[:, :, :, 1:]
    fused[:, :, :, -1, :-1] += below[:, :, :, 0, 1:]
    return fused


def _sum_along_rows(queries: Tensor, keys: Tensor, start: int, stop: int) -> Tensor:
    """Scores of the queries `start` to `stop`, plus those of the pairs before and after each: `(B, queries, N)`."""
    scores = queries[:, start : stop + 2] @ keys  # the first row of `queries` is padding
    total = scores[:, 1:-1].clone()
    total[:, :, 1:] += scores[:, :-2, :-1]
    total[:, :, :-1] += scores[:, 2:, 1:]
    return total


def _block_weights(weights: Tensor) -> Tensor:
    """Turn weights of 4x4 patches into weights of 2x2 blocks: `(B, r, w, h, w)`, each of the four sides one longer.

    A block belongs to four patches, so this is a sum over four diagonal shifts (see `layers.attention.tiles`).
    """
    batch, rows, width, height, _ = weights.shape
    across = weights.new_zeros(batch, rows, width + 1, height, width + 1)
    across[:, :, :-1, :, :-1] = weights
    across[:, :, 1:, :, 1:] += weights
    spread = weights.new_zeros(batch, rows + 1, width + 1, height + 1, width + 1)
    spread[:, :-1, :, :-1] = across
    spread[:, 1:, :, 1:] += across
    return spread


# --- the layer -----------------------------------------------------------------------------------------------------


def _resize_aligned(image: Tensor, size: tuple[int, int]) -> Tensor:
    """`(B, C, H, W)` to a smaller size by nearest neighbour with aligned corners, as TensorFlow resizes."""
    for dim, out in zip((2, 3), size, strict=True):
        steps = max(out - 1, 1)
        places = torch.arange(out, device=image.device) * (image.shape[dim] - 1)
        image = image.index_select(dim, (2 * places + steps) // (2 * steps))  # rounded, halves up, in integers
    return image


class ContextualAttention(nn.Module):
    """Rebuilds a map from its own known patches; no parameters.

    Queries and keys are the map halved by nearest neighbour, 3x3 patches of it; values are its 4x4 patches.

    Args:
        fuse: whether neighbouring places copy from neighbouring patches.
        scale: factor of the scores in the softmax.
        mask_resize: how the mask is resized to decide which patches are known: `nearest`, as the authors' code, misses
            thin holes; `any` is exact; `bilinear` samples between pixels.
        aligned: whether maps and masks are halved with aligned corners, as TensorFlow does for the released weights;
            requires `mask_resize="nearest"`.
        engine: see `contextual_attention`.
    """

    def __init__(
        self,
        fuse: bool = True,
        scale: float = 10.0,
        mask_resize: ResizeMode = "nearest",
        aligned: bool = False,
        engine: Engine = "auto",
    ) -> None:
        super().__init__()
        if scale <= 0:
            raise ValueError(f"ContextualAttention: scale must be above 0, got {scale}")
        for name, value, choice in (("mask_resize", mask_resize, ResizeMode), ("engine", engine, Engine)):
            if value not in get_args(choice):
                allowed = ", ".join(map(repr, get_args(choice)))
                raise ValueError(f"ContextualAttention: {name} must be one of {allowed}, got {value!r}")
        if aligned and mask_resize != "nearest":
            raise ValueError(f"ContextualAttention: with aligned corners mask_resize is 'nearest', got {mask_resize!r}")
        self.fuse, self.scale, self.mask_resize, self.aligned = fuse, scale, mask_resize, aligned
        self.engine: Engine = engine

    def forward(self, features: Tensor, mask: Tensor, guidance: Guidance | None = None) -> Tensor:
        """Rebuild a map.

        Args:
            features: `(B, C, h, w)`, sides even.
            mask: `(B, 1, H, W)`, 1 = hole, at a multiple of the map's size.
            guidance: where the hole may be filled from.

        Returns:
            `(B, C, h, w)`.

        Raises:
            ValueError: a side of the map is odd.
        """
        if features.shape[2] % 2 or features.shape[3] % 2:
            raise ValueError(f"contextual attention needs maps with even sides, got {tuple(features.shape)}")
        size = (features.shape[2] // 2, features.shape[3] // 2)
        half = features[:, :, ::2, ::2]
        if self.aligned:
            half = _resize_aligned(features, size)
            mask = _resize_aligned(_resize_aligned(mask, (2 * size[0], 2 * size[1])), size)
        valid = valid_keys(mask, size, resize=self.mask_resize)
        return contextual_attention(
            half,
            half,
            features,
            valid,
            fuse=self.fuse,
            scale=self.scale,
            engine=self.engine,
            guidance=None if guidance is None else guidance.at(valid),
        )
