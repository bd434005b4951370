"""Operations on images and masks that every room of the zoo shares; each exists once."""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor


def composite(image: Tensor, prediction: Tensor, mask: Tensor) -> Tensor:
    """The prediction inside the hole, the image outside: `mask * prediction + (1 - mask) * image`.

    Args:
        image: `(B, 3, H, W)`, the known picture.
        prediction: `(B, 3, H, W)`.
        mask: `(B, 1, H, W)`, 1 = hole.
    """
    # where() rather than arithmetic: known pixels stay bit-identical, also under reduced precision.
    return torch.where(mask.bool(), prediction.to(image.dtype), image)


def resize_mask(mask: Tensor, size: tuple[int, int], mode: Literal["any", "nearest", "bilinear"] = "any") -> Tensor:
    """Resize a `(B, 1, H, W)` mask.

    Args:
        mask: 1 = hole.
        size: height and width wanted.
        mode: `any`: a cell that contains any hole pixel is hole (exact when shrinking); `nearest`;
            `bilinear`: with aligned corners, values between 0 and 1 (PEN-Net's released code).
    """
    if mode == "any":
        rows, columns = mask.shape[-2] // size[0], mask.shape[-1] // size[1]
        if (rows * size[0], columns * size[1]) == tuple(mask.shape[-2:]):
            # The same cells; unlike the adaptive form it can be exported for sizes that are not known yet.
            return F.max_pool2d(mask, (int(rows), int(columns)))
        return F.adaptive_max_pool2d(mask, size)
    if mode == "nearest":
        return F.interpolate(mask, size=size, mode="nearest")
    return F.interpolate(mask, size=size, mode="bilinear", align_corners=True)


def hole_box(mask: Tensor) -> Tensor:
    """Bounding box of each sample's hole as `(B, 4)` int64 `x0, y0, x1, y1`, ends exclusive.

    A sample without a hole gets the whole frame.
    """
    hole = mask[:, 0] > 0.5
    height, width = hole.shape[-2:]
    rows, columns = hole.any(dim=2).long(), hole.any(dim=1).long()
    x0, y0 = columns.argmax(dim=1), rows.argmax(dim=1)
    x1, y1 = width - columns.flip(1).argmax(dim=1), height - rows.flip(1).argmax(dim=1)
    return torch.stack([x0, y0, x1, y1], dim=1)


def pad_to_multiple(image: Tensor, multiple: int, mode: str = "reflect") -> tuple[Tensor, tuple[int, int]]:
    """Pad `(B, C, H, W)` on the right and bottom until both sides are multiples; returns it with the old size.

    Reflection cannot pad by a side's own length or more, so such sides are padded by repetition of the edge.
    """
    height, width = image.shape[-2:]
    bottom, right = -height % multiple, -width % multiple
    if mode == "reflect" and (bottom >= height or right >= width):
        mode = "replicate"
    return F.pad(image, (0, right, 0, bottom), mode=mode), (height, width)


def unpad(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Undo `pad_to_multiple`: keep the upper left `size` of `(B, C, H, W)`."""
    return image[..., : size[0], : size[1]]


def mean_over_ranks(value: Tensor) -> Tensor:
    """Mean of a statistic over all training processes (itself when there is one), without gradient.

    For normalisers such as the mean hole area: with it, a loss split over processes equals the loss of the
    whole batch in one process. Every process must call it at the same point.
    """
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return value.detach()
    total = value.detach().clone()
    dist.all_reduce(total)
    return total / dist.get_world_size()


def gather_over_ranks(value: Any) -> list[Any]:
    """What each training process has, by rank; every process must call it at the same point."""
    if not (dist.is_available() and dist.is_initialized()):
        return [value]
    values: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values


def is_exporting() -> bool:
    """Whether an exported program is being traced, where code may differ from what is fastest in eager mode."""
    # torch 2.6 knows only whether anything is being traced.
    return bool(getattr(torch.compiler, "is_exporting", torch.compiler.is_compiling)())
