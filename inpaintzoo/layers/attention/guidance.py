"""Structural guidance: at inference, a map restricts which known places a hole may be filled from.

Source: section 5.4 of the dissertation that describes the pyramid generator (`inpaintzoo.models.pyramid`). A map
multiplies the similarities of patch attention (equation 5.12); no training is needed. Two differences:

* A similarity of 0 still adds exp(0) to the softmax, so forbidden patches are left out of it: their weight is exactly 0
  and takes nothing from the others'.
* The equation does not cover places that guidance leaves nothing to copy from: they are filled unguided.

Features are copied as 4x4 patches of the attended map (stride 2, padding 1), and the pixels under a patch decide: a key
is permitted, or has a class, only if all known pixels of its patch do. Equation 5.9 compares known patches with unknown
ones, so guidance does not affect places whose patch touches no hole.
"""

from __future__ import annotations

import dataclasses
import math
import warnings
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from inpaintzoo.ops import is_exporting, resize_mask
from inpaintzoo.types import DataError

CLASSES = 65536  # class ids are smaller than this

# Score of keys that the softmax leaves out; finite, so that its product with a zero gradient is zero.
NEVER = -1e30

_UNGUIDED = -1.0  # a query that may copy from any key, or a key that any query may copy from
_MIXED = -2.0  # a key whose patch mixes classes


class PatchGuidance(NamedTuple):
    """Guidance at the size of one attention's queries and keys; all maps are `(B, 1, h, w)` float32.

    Attributes:
        wanted: the class that each query copies from; negative where it is not guided.
        found: the class of each key; -1 if its patch is all hole, -2 if it mixes classes.
        permission: the factor of guided queries' similarity to each key; None for 1.
    """

    wanted: Tensor
    found: Tensor
    permission: Tensor | None

    def samples(self, part: slice) -> PatchGuidance:
        """A part of the batch."""
        permission = None if self.permission is None else self.permission[part]
        return PatchGuidance(self.wanted[part], self.found[part], permission)

    def pairs(self) -> PairGuidance:
        """The same for flattened cells."""
        permission = None if self.permission is None else self.permission.flatten(2)
        return PairGuidance(self.wanted.flatten(2).transpose(1, 2), self.found.flatten(2), permission)


@dataclasses.dataclass(frozen=True)
class PairGuidance:
    """Guidance of the scores of (query, key) pairs; matrices are built only for the requested queries.

    Attributes:
        wanted: `(B, Q, 1)`, see `PatchGuidance`.
        found: `(B, 1, K)`.
        permission: `(B, 1, K)` or None.
    """

    wanted: Tensor
    found: Tensor
    permission: Tensor | None

    def forbidden(self, queries: slice = slice(None)) -> Tensor:
        """`(B, q, K)` bool: pairs whose weight must be 0."""
        wanted = self.wanted[:, queries]
        return (wanted != self.found) & (wanted >= 0) & (self.found != _UNGUIDED)

    def factors(self, queries: slice = slice(None)) -> Tensor | None:
        """`(B, q, K)`, factors of the scores (equation 5.12), or None for 1."""
        if self.permission is None:
            return None
        return torch.where(self.wanted[:, queries] >= 0, self.permission, 1)

    def guided(self, scores: Tensor, queries: slice = slice(None)) -> Tensor:
        """Scores `(B, q, K)` times their factors, with forbidden pairs excluded from the softmax."""
        factors = self.factors(queries)
        return (scores if factors is None else scores * factors).masked_fill(self.forbidden(queries), NEVER)


class Guidance:
    """A guidance map at image size, which can be read at the size of any attention.

    Args:
        guidance: `(B, 1, H, W)`. Floating point or bool is a permission map: 1 = may be copied from, 0 = not, values
            between weight the similarity; its values in the hole do not matter. Integers are class ids: a place is
            filled from known patches of its own class, and in the hole the map says which class that is.
        mask: `(B, 1, H, W)`, 1 = hole.

    Raises:
        DataError: shape, device, type or values of the map do not fit.
    """

    def __init__(self, guidance: Tensor, mask: Tensor) -> None:
        _check_map(guidance, mask)
        if not is_exporting():  # values are unknown then; compiled code breaks its graph here
            _check_values(guidance, mask)
        self._by_class = not (guidance.is_floating_point() or guidance.dtype == torch.bool)
        self._weighs = guidance.is_floating_point()
        self._values, self._hole = guidance.to(torch.float32), mask > 0
        self._warned = False

    def at(self, valid: Tensor) -> PatchGuidance:
        """Read the map for one attention.

        Args:
            valid: `(B, 1, h, w)`, 1 where the mask allows copying from a key; the copied map is `(B, D, 2h, 2w)`.

        Warns:
            UserWarning: once, if guidance forbids all known patches for some place in the hole.
        """
        size = (valid.shape[2], valid.shape[3])
        known = self._range(self._hole, size)
        guided = _highest(self._hole.to(torch.float32), size) > 0
        if self._by_class:
            wanted, (low, high) = self._drawn(size), known
            found = torch.where(low == high, high, _MIXED).masked_fill(high < 0, _UNGUIDED)
            permission = None
        else:
            least = known[0].clamp(max=1)  # infinite where the whole patch is hole
            wanted, found = torch.ones_like(least), (least > 0).to(torch.float32)
            permission = least if self._weighs else None
        wanted = self._where_something_remains(torch.where(guided, wanted, _UNGUIDED), found, valid > 0)
        return PatchGuidance(wanted, found, permission)

    def _range(self, left_out: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Minimum and maximum of each patch without the pixels left out; infinity and its negative if none remain."""
        both = torch.cat([-self._values, self._values], dim=1).masked_fill(left_out, -torch.inf)
        low, high = _highest(both, size).chunk(2, dim=1)
        return -low, high

    def _drawn(self, size: tuple[int, int]) -> Tensor:
        """The class of a patch's hole pixels; if there are several, the one at the cell's centre."""
        low, high = self._range(~self._hole, size)
        return torch.where(low == high, high, F.interpolate(self._values, size, mode="nearest-exact"))

    def _where_something_remains(self, wanted: Tensor, found: Tensor, valid: Tensor) -> Tensor:
        """`wanted`, with queries unguided where no valid key has their class."""
        places = (torch.where(valid, found, _MIXED).flatten(1) - _MIXED).long()  # the two negative codes map to 0 and 1
        present = torch.zeros(len(found), CLASSES + 2, device=found.device).scatter(1, places, 1.0)
        remains = present.gather(1, (wanted.flatten(1) - _MIXED).long()).view_as(wanted) > 0
        lost = (wanted >= 0) & ~remains
        if not self._warned and not is_exporting():
            self._warned = _warned_of(lost & valid.flatten(1).any(dim=1).view(-1, 1, 1, 1))
        return torch.where(lost, _UNGUIDED, wanted)


def _highest(values: Tensor, size: tuple[int, int]) -> Tensor:
    """Maximum over the pixels that each 4x4 patch (stride 2, padding 1) of a map of twice `size` touches."""
    cells = resize_mask(values, (2 * size[0], 2 * size[1]), "any")  # the maximum of each cell
    return F.max_pool2d(cells, 4, stride=2, padding=1)


@torch.compiler.disable
def _warned_of(lost: Tensor) -> bool:
    if not bool(lost.any()):
        return False
    warnings.warn(
        f"guidance leaves places in the hole without a known patch to copy from (first seen on the features of "
        f"{lost.shape[2]}x{lost.shape[3]}): they are filled without guidance",
        stacklevel=2,
    )
    return True


def _check_map(guidance: Tensor, mask: Tensor) -> None:
    if not isinstance(guidance, Tensor):
        raise DataError(f"guidance must be a tensor {tuple(mask.shape)} to fit the mask, got {type(guidance).__name__}")
    if guidance.shape != mask.shape:
        raise DataError(f"guidance must be {tuple(mask.shape)} to fit the mask, got {tuple(guidance.shape)}")
    if guidance.device != mask.device:
        raise DataError(f"guidance must be where the mask is, on {mask.device}, but is on {guidance.device}")
    if guidance.is_complex():
        raise DataError(
            f"guidance must be floating point or bool (permissions) or integer (class ids), got {guidance.dtype}"
        )


@torch.compiler.disable
def _check_values(guidance: Tensor, mask: Tensor) -> None:
    if guidance.dtype == torch.bool or guidance.numel() == 0:
        return
    if not guidance.is_floating_point():
        ids = guidance.to(torch.int64)  # torch has no min() of unsigned types of 16 bits and more
        low, high = int(ids.min()), int(ids.max())
        if not 0 <= low <= high < CLASSES:
            raise DataError(f"class ids of a guidance map must be from 0 to {CLASSES - 1}, got {low} to {high}")
        return
    known = guidance.masked_fill(mask > 0, 0.0)  # a permission map's values in the hole have no meaning
    least, greatest = known.min().item(), known.max().item()
    if math.isnan(least):
        raise DataError("a guidance map holds permissions from 0 to 1, got NaN where the picture is known; replace it")
    if not 0 <= least <= greatest <= 1:
        raise DataError(
            f"a floating-point guidance map holds permissions from 0 to 1, got {least:g} to {greatest:g}; scale it, or "
            f"pass class ids as integers"
        )
