"""Operations on images, masks, processes and networks that the whole package shares."""

from __future__ import annotations

import contextlib
import itertools
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from inpaintzoo.types import ConfigError

ResizeMode = Literal["bilinear", "nearest", "any"]

# Liu et al. 2018 (https://arxiv.org/abs/1804.07723): the six levels of the NVIDIA irregular test masks.
RATIO_EDGES: tuple[float, ...] = (0.01, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)


def composite(image: Tensor, prediction: Tensor, mask: Tensor) -> Tensor:
    """Paste the prediction into the hole: `mask * prediction + (1 - mask) * image`.

    Args:
        image: `(B, 3, H, W)`, the known picture.
        prediction: `(B, 3, H, W)`.
        mask: `(B, 1, H, W)`, 1 = hole.
    """
    # where() instead of arithmetic keeps known pixels bit-identical, even in reduced precision.
    return torch.where(mask.bool(), prediction.to(image.dtype), image)


def show_hole(image: Tensor, mask: Tensor) -> Tensor:
    """The image with a white hole, for people to look at.

    Args:
        image: `(..., 3, H, W)` in [0, 1].
        mask: `(..., 1, H, W)`, 1 = hole.
    """
    return image * (1 - mask) + mask


def resize_mask(mask: Tensor, size: tuple[int, int], mode: ResizeMode = "any") -> Tensor:
    """Resize a `(B, 1, H, W)` mask.

    Args:
        mask: 1 = hole.
        size: target height and width.
        mode: `any`: a cell with any hole pixel becomes hole (exact when shrinking); `nearest`;
            `bilinear`: with aligned corners, values between 0 and 1 (PEN-Net's released code).
    """
    if mode == "any":
        rows, columns = mask.shape[-2] // size[0], mask.shape[-1] // size[1]
        if (rows * size[0], columns * size[1]) == tuple(mask.shape[-2:]):
            # Same result as the adaptive form, but it can be exported with dynamic sizes.
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
    """Pad `(B, C, H, W)` on the right and bottom until both sides are multiples; returns it with the original size.

    Reflection cannot pad a side by its own length or more; in that case the edge is repeated.
    """
    height, width = image.shape[-2:]
    bottom, right = -height % multiple, -width % multiple
    if mode == "reflect" and (bottom >= height or right >= width):
        mode = "replicate"
    return F.pad(image, (0, right, 0, bottom), mode=mode), (height, width)


def mask_ratio(mask: Tensor) -> Tensor:
    """Share of hole pixels, one value per sample.

    Args:
        mask: `(B, 1, H, W)`, 1 = hole.

    Returns:
        `(B,)` in [0, 1]; float64 where the device has it, because 10 of 100 pixels must equal an edge of 0.1.
    """
    holes = (mask > 0.5).flatten(1).sum(dim=1)
    precision = torch.float32 if mask.device.type == "mps" else torch.float64
    return holes.to(precision) / mask[0].numel()


def ratio_bin(ratio: float, edges: Sequence[float] = RATIO_EDGES) -> str:
    """The label of the bin a hole ratio falls into, such as `0.2-0.3`.

    Bins are open on the left and closed on the right, as in the papers: 0.2 belongs to `0.1-0.2`. Ratios outside
    the edges get the bins `0-0.01` (0 included) and `0.6-1`, so that no sample is missing from a table.

    Args:
        ratio: in [0, 1]; rounded to 7 decimals first, so that a float32 ratio stays on its side of an edge.
        edges: strictly increasing, in [0, 1].

    Raises:
        ValueError: a ratio or edges out of range.
    """
    if not 0.0 <= ratio <= 1.0:  # also refuses NaN
        raise ValueError(f"a hole ratio must lie in [0, 1], got {ratio}")
    bounds = _with_ends(edges)
    rounded = round(ratio, 7)
    position = next(i for i in range(1, len(bounds)) if rounded <= bounds[i])
    return _label(bounds[position - 1], bounds[position])


def bin_labels(edges: Sequence[float] = RATIO_EDGES) -> list[str]:
    """Every label that `ratio_bin` can return, smallest holes first: the rows of a table."""
    bounds = _with_ends(edges)
    return [_label(low, high) for low, high in itertools.pairwise(bounds)]


def count_bins(ratios: Iterable[float]) -> dict[str, int]:
    """How many hole ratios fall into each bin, see `ratio_bin`; smallest holes first, empty bins included."""
    counts = dict.fromkeys(bin_labels(), 0)
    for ratio in ratios:
        counts[ratio_bin(ratio)] += 1
    return counts


def _with_ends(edges: Sequence[float]) -> list[float]:
    ordered = all(low < high for low, high in itertools.pairwise(edges))
    if not edges or not ordered or not all(math.isfinite(edge) and 0.0 <= edge <= 1.0 for edge in edges):
        raise ValueError(f"ratio edges must increase strictly within [0, 1], got {list(edges)}")
    return [*([0.0] if edges[0] > 0.0 else []), *edges, *([1.0] if edges[-1] < 1.0 else [])]


def _label(low: float, high: float) -> str:
    return f"{low:g}-{high:g}"


IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def normalise(
    image: Tensor, mean: Sequence[float] = IMAGENET_MEAN, deviation: Sequence[float] = IMAGENET_STD
) -> Tensor:
    """`(image - mean) / deviation` of each channel of `(B, 3, H, W)`; the defaults are ImageNet's."""
    return (image - image.new_tensor(mean).view(-1, 1, 1)) / image.new_tensor(deviation).view(-1, 1, 1)


def find_device(device: str) -> torch.device:
    """The device for a user's setting; `auto` is this process's GPU (CUDA's or Apple's) if there is one, else the CPU.

    Raises:
        ConfigError: the device cannot be used.
    """
    name = device
    if device == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    if name == "cuda":
        name = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    try:
        return torch.zeros((), device=name).device
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"device {device} cannot be used ({reason}); auto picks an available one") from error


def mean_over_ranks(value: Tensor) -> Tensor:
    """Mean of a statistic over all training processes, without gradient.

    For normalisers such as the mean hole area: a loss split over processes then equals that of the whole batch in
    one process. Every process must call it at the same point.
    """
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return value.detach()
    total = value.detach().clone()
    dist.all_reduce(total)
    return total / dist.get_world_size()


def gather_over_ranks(value: Any) -> list[Any]:
    """The values of all training processes, by rank; every process must call it at the same point."""
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return [value]
    values: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values


def is_exporting() -> bool:
    """Whether the network is being exported (`torch.export`, ONNX or a TorchScript trace).

    Exported programs may need other operators than those that are fastest in eager mode, and values are unknown.
    """
    # torch 2.6 cannot tell an export from a compilation.
    exporting = getattr(torch.compiler, "is_exporting", torch.compiler.is_compiling)
    return torch.jit.is_tracing() or bool(exporting())


def can_be_read(tensor: Tensor, training: bool) -> bool:
    """Whether a network may look at a tensor's values to check them: they are known, and looking is nearly free.

    It is not in training on an accelerator, which would have to synchronise.
    """
    if torch.jit.is_tracing() or torch.compiler.is_compiling() or type(tensor) is not Tensor or tensor.is_meta:
        return False
    if tensor.device.type == "cpu":
        return True
    return not training and not (tensor.is_cuda and torch.cuda.is_current_stream_capturing())


@contextlib.contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Inside the block the module's parameters get no gradients; afterwards, even on errors, they do again."""
    trainable = [parameter for parameter in module.parameters() if parameter.requires_grad]
    try:
        for parameter in trainable:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in trainable:
            parameter.requires_grad_(True)


@contextlib.contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Eval mode inside the block; afterwards each submodule returns to its previous mode."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training
