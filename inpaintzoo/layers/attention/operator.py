"""Patch attention as a custom operator, forward and backward; opaque to `torch.compile`.

The signatures define the operators' schemas; the computation is in `inpaintzoo.layers.attention.tiles`.
"""

from __future__ import annotations

from typing import List  # noqa: UP035

import torch
from torch import Tensor

from inpaintzoo.layers.attention.guidance import PatchGuidance
from inpaintzoo.layers.attention.tiles import (
    BackwardPass,
    forward_pass,
    from_blocks,
    from_grid,
    problems_of,
    to_blocks,
)


def _guidance(wanted: Tensor | None, found: Tensor | None, permission: Tensor | None) -> PatchGuidance | None:
    return None if wanted is None or found is None else PatchGuidance(wanted, found, permission)


@torch.library.custom_op("inpaintzoo::transfer_patches", mutates_args=())
def tiled_transfer(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    key_gain: Tensor,
    query_gain: Tensor | None,
    allowed: Tensor,
    kernel: int,
    exclude: bool,
    floor: float,
    wanted: Tensor | None = None,
    found: Tensor | None = None,
    permission: Tensor | None = None,
) -> Tensor:
    """Sum of 4x4 value patches (stride 2, padding 1) weighted by the attention between key and query patches.

    Args:
        query: `(B, C, h, w)`.
        key: `(B, C, h, w)`.
        value: `(B, D, 2h, 2w)`.
        key_gain: `(B, 1, h, w)`, factor of each key's scores.
        query_gain: `(B, 1, h, w)`, factor of each query's scores, or None for 1.
        allowed: `(B, 1, h, w)`, 1 where a key may be copied from, else 0.
        kernel: side of the compared patches, 1 or 3.
        exclude: whether the softmax leaves out keys that are not allowed.
        floor: minimum weight of a patch; patches that are not allowed get exactly this.
        wanted: `(B, 1, h, w)` or None; the fields of a `PatchGuidance`, which an operator cannot take.
        found: `(B, 1, h, w)` or None.
        permission: `(B, 1, h, w)` or None.

    Returns:
        `(B, D, 2h, 2w)`.
    """
    guidance = _guidance(wanted, found, permission)
    problems = problems_of(query, key, value, key_gain, query_gain, allowed, kernel, exclude, floor, guidance)
    with torch.autocast(query.device.type, enabled=False):
        blocks = torch.cat([forward_pass(problem) for _, problem in problems])
    return from_blocks(blocks, key.shape[2], key.shape[3]).contiguous()


@tiled_transfer.register_fake
def _(query, key, value, *settings: object):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    return torch.empty_like(value, memory_format=torch.contiguous_format)


@torch.library.custom_op("inpaintzoo::transfer_patches_backward", mutates_args=())
def _tiled_backward(
    grad: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    key_gain: Tensor,
    query_gain: Tensor | None,
    allowed: Tensor,
    kernel: int,
    exclude: bool,
    floor: float,
    wanted: Tensor | None = None,
    found: Tensor | None = None,
    permission: Tensor | None = None,
) -> List[Tensor]:  # noqa: UP006  (torch 2.6 accepts only typing.List in an operator's signature)
    """Gradients with respect to query, key, value, key gain and query gain."""
    height, width = key.shape[2:]
    results: list[list[Tensor]] = [[], [], [], [], []]
    guidance = _guidance(wanted, found, permission)
    problems = problems_of(query, key, value, key_gain, query_gain, allowed, kernel, exclude, floor, guidance)
    with torch.autocast(query.device.type, enabled=False):
        for part, problem in problems:
            pass_ = BackwardPass(problem, to_blocks(grad[part]))
            pass_.run()
            query_gains = pass_.query_gain[:, : problem.cells]
            results[0].append(from_grid(pass_.query, height, width))
            results[1].append(from_grid(pass_.key, height, width))
            results[2].append(from_blocks(pass_.value, height, width))
            results[3].append(from_grid(pass_.key_gain.transpose(1, 2), height, width))
            results[4].append(from_grid(query_gains, height, width))
    joined = [torch.cat(parts).contiguous() for parts in results]
    joined[3] = torch.where(key_gain == 0, 0, joined[3] / key_gain)
    if query_gain is not None:
        joined[4] = torch.where(query_gain == 0, 0, joined[4] / query_gain)
    return joined


@_tiled_backward.register_fake
def _(grad, query, key, value, key_gain, *settings: object):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    shapes = (query, key, value, key_gain, key_gain)
    return [torch.empty_like(like, memory_format=torch.contiguous_format) for like in shapes]


def _save_inputs(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def] # noqa: ANN001
    ctx.save_for_backward(*inputs[:6], *inputs[9:])
    ctx.settings = inputs[6:9]


def _backward(ctx, grad):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    tensors = ctx.saved_tensors
    grads = _tiled_backward(grad, *tensors[:6], *ctx.settings, *tensors[6:])
    query_gain = grads[4] if ctx.needs_input_grad[4] else None
    return (*grads[:4], query_gain, *(None for _ in ctx.needs_input_grad[5:]))


tiled_transfer.register_autograd(_backward, setup_context=_save_inputs)
