"""Patch attention in row tiles: the passes of the operator `inpaintzoo.layers.attention.operator.tiled_transfer`.

Patch attention is usually written with unfolded 3x3 keys, an N x N score matrix and unfolded 4x4 values. Summing in
another order gives the same numbers at a fraction of the cost:

* The score of two 3x3 patches is the sum of the nine scores of their pixels, so it is the Gram matrix of *pixels*
  summed over nine diagonal shifts: nine times fewer products.
* A 4x4 patch taken with stride 2 consists of four 2x2 blocks, and each block belongs to four patches. Weighting the
  patches and adding the overlaps is therefore the attention matrix summed over four diagonal shifts, times the
  blocks, which do not overlap: four times fewer products.

Both maps live on one grid of `(h + 1) * (w + 1)` cells whose first row and column are zero. On that grid a shift by
(dy, dx) is a shift by `dy * (w + 1) + dx` of the flattened cells, cells shifted over a border land on zeros, and a
diagonal shift of the (flattened) score matrix is one offset into memory. The matrix is computed a few image rows of
queries at a time and never stored; the backward pass recomputes the tiles. Memory grows with `h * w * w`, not with
`(h * w) ** 2`.

All computation is in the dtype of the arguments.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from inpaintzoo.layers.attention.guidance import NEVER, PairGuidance, PatchGuidance

# Bytes of a tile's buffer. On a CPU a tile should fit into the shared cache, on a GPU it should fill the device.
_CPU_TILE = 4 * 2**20
_GPU_TILE = 512 * 2**20


@dataclasses.dataclass
class _Problem:
    """One slice of the batch, laid out on the grid.

    Attributes:
        query: `(b, (h + 3) * (w + 1), C)`; two rows of zeros below flush the windows.
        key: `(b, n, C)` with `n = (h + 1) * (w + 1)`.
        value: `(b, n, 4 * D)`, 2x2 pixel blocks.
        key_gain: `(b, 1, n)`, factor of a key's scores; 0 on the padding.
        query_gain: `(b, (h + 3) * (w + 1), 1)` or None.
        lower: `(n,)`, the minimum weight of a key; 0 on the padding.
        upper: `(b, 1, n)`, the maximum weight of a key.
        banned: `(b, 1, n)` bool or None: keys that the softmax leaves out.
        guidance: guidance of the `(h + 3) * (w + 1)` queries and the keys, or None.
        rows: image rows in a tile.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    key_gain: Tensor
    query_gain: Tensor | None
    lower: Tensor
    upper: Tensor
    banned: Tensor | None
    guidance: PairGuidance | None
    height: int
    width: int
    kernel: int
    rows: int

    @property
    def stride(self) -> int:
        """Grid cells in an image row."""
        return self.width + 1

    @property
    def cells(self) -> int:
        """Total number of grid cells."""
        return (self.height + 1) * self.stride

    def queries(self, first: int, rows: int) -> slice:
        """Grid cells of `rows` image rows from `first` on."""
        return slice(first * self.stride, (first + rows) * self.stride)


class _Buffer:
    """Memory for one tile, allocated once: on a CPU fresh pages cost as much as the arithmetic."""

    def __init__(self, problem: _Problem) -> None:
        self.batch, self.row, self.cells = len(problem.key), problem.stride, problem.cells
        self.storage = problem.key.new_empty(self.batch * problem.rows * self.row * self.cells)

    def __call__(self, rows: int) -> Tensor:
        """A tile of `rows` image rows: `(b, rows * stride, n)`."""
        shape = (self.batch, rows * self.row, self.cells)
        return self.storage[: shape[0] * shape[1] * shape[2]].view(shape)


class _Window:
    """The rows of the score matrix that a vertical shift needs: `carry` old image rows, then the new ones."""

    def __init__(self, problem: _Problem, carry: int) -> None:
        self.carry, self.size = carry, problem.stride * problem.cells
        self.slack = problem.stride  # a shift by one image row reaches this far over either end
        length = (carry + problem.rows) * self.size + 2 * self.slack
        self.buffer = problem.key.new_zeros(len(problem.key), length)
        self.filled = 0

    def advance(self, rows: int) -> Tensor:
        """Keep the last `carry` rows; return the memory of `rows` new ones, for the caller to fill."""
        for row in range(self.carry):  # one by one: the ranges may overlap
            self._rows(row, 1).copy_(self._rows(row + self.filled, 1))
        self.filled = rows
        return self._rows(self.carry, rows)

    def shifted(self, first: int, rows: int, shift: int) -> Tensor:
        """`rows` rows starting at `first`, shifted by `shift` matrix elements."""
        start = self.slack + first * self.size + shift
        return self.buffer[:, start : start + rows * self.size]

    def _rows(self, first: int, rows: int) -> Tensor:
        return self.shifted(first, rows, 0)


def _to_grid(image: Tensor, rows_below: int = 0) -> Tensor:
    """`(B, C, h, w)` to `(B, (h + 1 + rows_below) * (w + 1), C)` with a first row and column of zeros."""
    return F.pad(image, (1, 0, 1, rows_below)).flatten(2).transpose(1, 2).contiguous()


def from_grid(grid: Tensor, height: int, width: int) -> Tensor:
    """Undo `_to_grid`."""
    cells = grid[:, : (height + 1) * (width + 1)].unflatten(1, (height + 1, width + 1))
    return cells[:, 1:, 1:].permute(0, 3, 1, 2)


def to_blocks(image: Tensor) -> Tensor:
    """`(B, D, 2h, 2w)` to the 2x2 blocks `(B, n, 4 * D)` of the image padded by one pixel."""
    blocks = F.pixel_unshuffle(F.pad(image, (1, 1, 1, 1)), 2)
    return blocks.flatten(2).transpose(1, 2).contiguous()


def from_blocks(blocks: Tensor, height: int, width: int) -> Tensor:
    """Undo `to_blocks`."""
    image = blocks.transpose(1, 2).unflatten(2, (height + 1, width + 1))
    return F.pixel_shuffle(image, 2)[:, :, 1:-1, 1:-1]


def _tile_shape(batch: int, height: int, width: int, like: Tensor) -> tuple[int, int]:
    """Samples and image rows in a tile that suits the device."""
    budget = _CPU_TILE if like.device.type == "cpu" else _GPU_TILE
    row = (height + 1) * (width + 1) ** 2 * like.element_size()
    rows = max(1, min(height + 2, budget // row))
    samples = max(1, min(batch, budget // (row * (height + 2)))) if rows == height + 2 else 1
    return samples, rows


def problems_of(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    key_gain: Tensor,
    query_gain: Tensor | None,
    allowed: Tensor,
    kernel: int,
    exclude: bool,
    floor: float,
    guidance: PatchGuidance | None = None,
) -> Iterator[tuple[slice, _Problem]]:
    """Cut the batch into slices and lay each out on the grid."""
    batch, _, height, width = key.shape
    samples, rows = _tile_shape(batch, height, width, key)
    # Weights of excluded keys are `floor`, all others at least `floor` (a softmax never exceeds 2).
    floors = torch.full_like(allowed, floor)
    upper, lower = floors.masked_fill(allowed > 0, 2.0), _to_grid(floors[:1]).view(-1)
    for start in range(0, batch, samples):
        part = slice(start, start + samples)
        yield (
            part,
            _Problem(
                query=_to_grid(query[part], 2),
                key=_to_grid(key[part]),
                value=to_blocks(value[part]),
                key_gain=_to_grid(key_gain[part]).transpose(1, 2),
                query_gain=None if query_gain is None else _to_grid(query_gain[part], 2),
                lower=lower,
                upper=_to_grid(upper[part]).transpose(1, 2),
                banned=_to_grid(allowed[part]).transpose(1, 2) == 0 if exclude else None,
                guidance=None if guidance is None else _guidance_on_grid(guidance.samples(part)),
                height=height,
                width=width,
                kernel=kernel,
                rows=rows,
            ),
        )


def _guidance_on_grid(guidance: PatchGuidance) -> PairGuidance:
    wanted, found, permission = guidance
    return PairGuidance(
        wanted=_to_grid(wanted, 2),
        found=_to_grid(found).transpose(1, 2),
        permission=None if permission is None else _to_grid(permission).transpose(1, 2),
    )


def _add_shifted(out: Tensor, source: Tensor, shift: int) -> None:
    """`out[k] = source[k] + source[k + shift]` along the last dimension; 0 beyond its ends."""
    if shift > 0:
        torch.add(source[:, :-shift], source[:, shift:], out=out[:, :-shift])
        out[:, -shift:].copy_(source[:, -shift:])
    else:
        torch.add(source[:, -shift:], source[:, :shift], out=out[:, -shift:])
        out[:, :-shift].copy_(source[:, :-shift])


def _sum_columns(out: Tensor, source: Tensor, step: int) -> None:
    """`out[k] = source[k - step] + source[k] + source[k + step]`: the three horizontal shifts of a 3x3 patch."""
    _add_shifted(out, source, step)
    out[:, step:].add_(source[:, :-step])


def _row_blocks(problem: _Problem) -> Iterator[tuple[int, int]]:
    """First image row and number of rows of each tile; two more rows than the map has, to flush the windows."""
    end = problem.height + 3
    for first in range(1, end, problem.rows):
        yield first, min(problem.rows, end - first)


class _PatchSum:
    """Sums rows of pixel scores over a patch's diagonal shifts; for 3x3 patches its result lags one image row."""

    def __init__(self, problem: _Problem) -> None:
        self.problem, self.lag = problem, problem.kernel // 2
        self.window = _Window(problem, 2) if self.lag else None

    def __call__(self, pixels: Tensor, rows: int) -> Tensor:
        """Take the pixel scores `(b, rows * stride, n)` of new rows, return those of patches, `lag` rows earlier.

        The result may overwrite the argument.
        """
        if self.window is None:
            return pixels
        step, flat = self.problem.cells + 1, pixels.flatten(1)
        _sum_columns(self.window.advance(rows), flat, step)
        turn = self.problem.stride  # a shift by one image row moves the column by this much
        torch.add(self.window.shifted(0, rows, -turn), self.window.shifted(1, rows, 0), out=flat)
        flat.add_(self.window.shifted(2, rows, turn))
        return pixels


def _score_blocks(problem: _Problem) -> Iterator[tuple[int, int, Tensor]]:
    """Scores tile by tile: first image row of the grid, number of rows, `(b, rows * stride, n)`.

    The next tile overwrites the tensor. Rows outside the map and padding queries have no meaning.
    """
    stride, total = problem.stride, _PatchSum(problem)
    buffer, key = _Buffer(problem), problem.key.transpose(1, 2)
    for first, rows in _row_blocks(problem):
        pixels = buffer(rows)
        torch.matmul(problem.query[:, problem.queries(first, rows)], key, out=pixels)
        scores = total(pixels, rows).mul_(problem.key_gain)
        first -= total.lag
        if problem.query_gain is not None:
            scores.mul_(problem.query_gain[:, problem.queries(first, rows)])
        if problem.guidance is not None:
            queries = problem.queries(first, rows)
            if (factors := problem.guidance.factors(queries)) is not None:
                scores.mul_(factors)
            scores.masked_fill_(problem.guidance.forbidden(queries), NEVER)
        if problem.banned is not None:
            scores.masked_fill_(problem.banned, NEVER)
        scores[:, :, :stride] = NEVER
        scores[:, :, ::stride] = NEVER
        yield first, rows, scores


def _clamp_weights(soft: Tensor, problem: _Problem, first: int, rows: int, out: Tensor) -> Tensor:
    """Clamp weights to their bounds; forbidden pairs get 0."""
    torch.clamp(soft, problem.lower, problem.upper, out=out)
    if problem.guidance is not None:
        out.masked_fill_(problem.guidance.forbidden(problem.queries(first, rows)), 0)
    _clear_padding(out, problem, first, rows)
    return out


def _clear_padding(weights: Tensor, problem: _Problem, first: int, rows: int) -> None:
    """Zero the padding queries: the first column of the grid, and rows outside the map."""
    weights.unflatten(1, (rows, problem.stride))[:, :, 0] = 0
    for row in range(rows):
        if not 1 <= first + row <= problem.height:
            weights[:, row * problem.stride : (row + 1) * problem.stride] = 0


class _BlockSum:
    """Turns weights of 4x4 patches into weights of 2x2 blocks; the result lags one image row."""

    def __init__(self, problem: _Problem) -> None:
        self.problem, self.window = problem, _Window(problem, 1)

    def place(self, rows: int) -> Tensor:
        """Where the weights of `rows` new image rows are to be written: `(b, rows * stride, n)`."""
        return self.window.advance(rows).unflatten(1, (rows * self.problem.stride, self.problem.cells))

    def __call__(self, rows: int, scratch: Tensor, out: Tensor) -> Tensor:
        """The blocks' weights, one image row earlier; both arguments, shaped like `place`'s result, are overwritten."""
        vertical = scratch.flatten(1)
        torch.add(self.window.shifted(0, rows, 0), self.window.shifted(1, rows, self.problem.stride), out=vertical)
        _add_shifted(out.flatten(1), vertical, self.problem.cells + 1)
        return out


def _grid_rows(problem: _Problem, first: int, rows: int) -> tuple[slice, slice]:
    """Which grid cells an image-row range covers, and which part of a tile they are."""
    start, stop = max(first, 0), min(first + rows, problem.height + 1)
    stride = problem.stride
    return slice(start * stride, stop * stride), slice((start - first) * stride, (stop - first) * stride)


def forward_pass(problem: _Problem) -> Tensor:
    """The filled map's blocks `(b, n, 4 * D)`."""
    out = torch.empty_like(problem.value)
    blocks, buffer = _BlockSum(problem), _Buffer(problem)
    for first, rows, scores in _score_blocks(problem):
        weights = torch.softmax(scores, -1, out=blocks.place(rows))
        _clamp_weights(weights, problem, first, rows, out=weights)
        cells, part = _grid_rows(problem, first - 1, rows)
        out[:, cells] = blocks(rows, scores, buffer(rows))[:, part] @ problem.value
    return out


class BackwardPass:
    """The backward pass of one slice of the batch, tile by tile; gradients are collected on the grid."""

    def __init__(self, problem: _Problem, grad: Tensor) -> None:
        self.problem, self.grad = problem, grad
        self.blocks, self.pixels = _BlockSum(problem), _PatchSum(problem)
        self.block_grads = _Window(problem, 1)
        self.soft, self.grad_soft, self.scratch = _Buffer(problem), _Buffer(problem), _Buffer(problem)
        self.query, self.key = torch.zeros_like(problem.query), torch.zeros_like(problem.key)
        self.value = torch.zeros_like(problem.value)
        # Gradients of the gains, times the gain.
        self.key_gain = torch.zeros_like(problem.key_gain)
        self.query_gain = problem.query.new_zeros(*problem.query.shape[:2], 1)
        if not self.pixels.lag:  # the scores start at image row 1 and need the gradient of block row 0 as well
            self._take_block_grads(0, 1)

    def run(self) -> None:
        """Walk over all tiles."""
        for first, rows, scores in _score_blocks(self.problem):
            soft = torch.softmax(scores, -1, out=self.soft(rows))
            _clear_padding(soft, self.problem, first, rows)
            weights = _clamp_weights(soft, self.problem, first, rows, out=self.blocks.place(rows))
            grad_scores = self._softmax_backward(first, rows, soft, weights)
            self._gain_backward(first, rows, scores, grad_scores)
            self._value_backward(first, rows, scores, soft)
            self._gram_backward(first, rows, grad_scores)

    def _take_block_grads(self, first: int, rows: int) -> None:
        """Gradients of the blocks' weights for new block rows."""
        place = self.block_grads.advance(rows).unflatten(1, (-1, self.problem.cells))
        cells, part = _grid_rows(self.problem, first, rows)
        place[:, : part.start] = 0
        place[:, part.stop :] = 0
        torch.matmul(self.grad[:, cells], self.problem.value.transpose(1, 2), out=place[:, part])

    def _softmax_backward(self, first: int, rows: int, soft: Tensor, weights: Tensor) -> Tensor:
        """Gradient of the scores."""
        self._take_block_grads(first, rows)
        window, out, vertical = self.block_grads, self.grad_soft(rows), self.scratch(rows)
        turn = self.problem.stride
        torch.add(window.shifted(0, rows, -turn), window.shifted(1, rows, 0), out=vertical.flatten(1))
        _add_shifted(out.flatten(1), vertical.flatten(1), -(self.problem.cells + 1))
        out.masked_fill_(weights != soft, 0)  # a clamped weight is constant
        backward = torch.ops.aten._softmax_backward_data.out
        return backward(out, soft, -1, soft.dtype, grad_input=vertical)

    def _gain_backward(self, first: int, rows: int, scores: Tensor, grad_scores: Tensor) -> None:
        cells, part = _grid_rows(self.problem, first, rows)
        scores.mul_(grad_scores)
        self.key_gain += scores.sum(1, keepdim=True)
        if self.problem.query_gain is not None:
            self.query_gain[:, cells] += scores[:, part].sum(2, keepdim=True)
            grad_scores.mul_(self.problem.query_gain[:, first * self.problem.stride :][:, : grad_scores.shape[1]])
        guidance = self.problem.guidance
        if guidance is not None and (factors := guidance.factors(self.problem.queries(first, rows))) is not None:
            grad_scores.mul_(factors)
        grad_scores.mul_(self.problem.key_gain)

    def _value_backward(self, first: int, rows: int, *buffers: Tensor) -> None:
        cells, part = _grid_rows(self.problem, first - 1, rows)
        weights = self.blocks(rows, *buffers)[:, part]
        self.value.baddbmm_(weights.transpose(1, 2), self.grad[:, cells])

    def _gram_backward(self, first: int, rows: int, grad_scores: Tensor) -> None:
        cells, part = _grid_rows(self.problem, first - self.pixels.lag, rows)
        pixels = self.pixels(grad_scores, rows)[:, part]
        self.query[:, cells] = pixels @ self.problem.key
        self.key.baddbmm_(pixels.transpose(1, 2), self.problem.query[:, cells])
