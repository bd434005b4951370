"""Pictures of PEN-Net's and SRPNet's insides: predictions by scale (figure 7), features and attention (figure 8)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from lightning import Trainer
from torch import Tensor
from torchvision.utils import make_grid

from inpaintzoo.callbacks.sheets import ValidationSheet, as_evaluated
from inpaintzoo.generator import Generator
from inpaintzoo.layers.attention.transfer import AttentionTransfer
from inpaintzoo.layers.pyramid import PyramidContext
from inpaintzoo.ops import composite, show_hole
from inpaintzoo.types import Batch, ConfigError, PyramidOutput

_HEAT, _QUERY = (1.0, 0.9, 0.2), (1.0, 0.0, 0.0)  # where is copied from, and for which place


def scale_pictures(batch: Batch, output: PyramidOutput) -> Tensor:
    """Masked input, the pyramid from coarse to fine, prediction, composite and truth side by side (figure 7).

    Args:
        batch: B pairs.
        output: the generator's output for them.

    Returns:
        `(B * columns, 3, H, W)` in [0, 1]; small pictures are enlarged cell by cell.
    """
    image, mask = batch["image"].float(), batch["mask"].float()
    prediction = output.image.float().clamp(0, 1)
    smaller = [level.float().clamp(0, 1) for level in reversed(output.pyramid) if level.shape != image.shape]
    scales = [_enlarged(level, image) for level in smaller]
    columns = [show_hole(image, mask), *scales, prediction, composite(image, prediction, mask), image]
    return torch.stack(columns, dim=1).flatten(0, 1)


def attention_pictures(generator: Generator, image: Tensor, mask: Tensor) -> Tensor:
    """What the encoder's maps hold before and after their filling, and where the hole is filled from (figure 8).

    Three rows for each picture. The first column is the masked input, the composite and the masked input again, the
    others are the levels from deep to shallow: the mean size of the features, the same after the filling, and in yellow
    the weights with which the red cell, in the middle of the hole, copies from the picture.

    Args:
        generator: PENNet or SRPNet; without an attention transfer it has no third row.
        image: `(B, 3, H, W)` in [0, 1].
        mask: `(B, 1, H, W)`, 1 = hole.

    Returns:
        `(B * rows * columns, 3, H, W)` in [0, 1].
    """
    context, kept = _context(generator), []
    handle = context.register_forward_hook(lambda module, args, result: kept.append((args[0], result)))
    try:
        filled = composite(image, generator(image.masked_fill(mask.bool(), 0), mask).image.float().clamp(0, 1), mask)
    finally:
        handle.remove()
    ((maps, fillings),) = kept
    masked = show_hole(image.float(), mask.float())
    rows: list[list[Tensor]] = [[masked], [filled], [masked]]
    middle = _middles(mask)
    for level in reversed(range(len(fillings))):
        for row, features in zip(rows, (maps[level], fillings[level]), strict=False):
            strength = features.float().abs().mean(dim=1, keepdim=True)
            row.append(_enlarged(strength / strength.amax(dim=(2, 3), keepdim=True).clamp(min=1e-8), image))
        transfer, deep = context.transfers[level], [*fillings, maps[-1]][level + 1]
        rows[2].append(
            _copied_from(transfer, deep, mask, middle, masked) if isinstance(transfer, AttentionTransfer) else masked
        )
    if not any(isinstance(transfer, AttentionTransfer) for transfer in context.transfers):
        del rows[2]
    return torch.stack([torch.stack(row, dim=1) for row in rows], dim=1).flatten(0, 2)


def _enlarged(maps: Tensor, image: Tensor) -> Tensor:
    size = (image.shape[-2], image.shape[-1])
    return F.interpolate(maps, size=size, mode="nearest").expand(-1, 3, -1, -1)


def _middles(mask: Tensor) -> Tensor:
    """The hole's pixel nearest to its mean place, `(B, 2)` of row and column; without a hole the picture's middle."""
    middles = []
    for sample in mask[:, 0]:
        places = sample.nonzero()
        if not len(places):
            places = torch.tensor([[sample.shape[0] // 2, sample.shape[1] // 2]], device=mask.device)
        middles.append(places[(places - places.float().mean(dim=0)).square().sum(dim=1).argmin()])
    return torch.stack(middles)


def _copied_from(transfer: AttentionTransfer, deep: Tensor, mask: Tensor, middle: Tensor, masked: Tensor) -> Tensor:
    """The masked picture, darkened, with the weights of the cell around `middle` in yellow and that cell in red."""
    cells = torch.tensor([masked.shape[-2] // deep.shape[-2], masked.shape[-1] // deep.shape[-1]], device=mask.device)
    places = middle // cells
    weights = transfer.attention(deep, mask, places[:, 0] * deep.shape[-1] + places[:, 1])
    heat = _enlarged((weights / weights.amax(dim=(1, 2), keepdim=True).clamp(min=1e-8))[:, None], masked)
    shown = torch.lerp(0.4 * masked, masked.new_tensor(_HEAT).view(3, 1, 1), heat)
    for picture, (y, x) in zip(shown, (places * cells).tolist(), strict=True):
        picture[:, y : y + cells[0], x : x + cells[1]] = masked.new_tensor(_QUERY).view(3, 1, 1)
    return shown


def _context(generator: Generator) -> PyramidContext:
    context = getattr(generator, "context", None)
    if not isinstance(context, PyramidContext):
        raise ConfigError(
            f"AttentionMaps shows how PENNet or SRPNet fill their features, and {type(generator).__name__} has none; "
            f"remove this callback from the config"
        )
    return context


class PyramidPictures(ValidationSheet):
    """After each validation writes masked input, the pyramid from coarse to fine, prediction, composite and truth.

    Args:
        count: how many validation pictures.
    """

    name = "scales"
    title = "masked, scales, prediction, composite, truth"

    def __init__(self, count: int = 2) -> None:
        if count < 1:
            raise ValueError(f"PyramidPictures: count must be at least 1, got {count}")
        super().__init__(count)

    def check(self, pl_module: Any) -> None:
        """Any generator may have a pyramid; its first output shows it."""

    def draw(self, trainer: Trainer, pl_module: Any, batch: Any) -> Tensor:
        """A row of pictures for each sample.

        Raises:
            ConfigError: the output has no pyramid.
        """
        with as_evaluated(trainer, pl_module):
            output = pl_module.predict_frame(batch)
        if not getattr(output, "pyramid", None):
            raise ConfigError(
                f"PyramidPictures shows predictions at several scales, and {type(pl_module.generator).__name__} has "
                f"none; remove this callback from the config"
            )
        rows = scale_pictures(batch, output)
        return make_grid(rows, nrow=len(rows) // len(batch["image"]))


class AttentionMaps(ValidationSheet):
    """After each validation draws how each level of PENNet or SRPNet fills its features, see `attention_pictures`.

    Args:
        count: how many validation pictures.
    """

    name = "attention"
    title = "features, filled features, attention of a place in the hole"

    def __init__(self, count: int = 1) -> None:
        if count < 1:
            raise ValueError(f"AttentionMaps: count must be at least 1, got {count}")
        super().__init__(count)

    def check(self, pl_module: Any) -> None:
        """Raise `ConfigError` for a generator without a pyramid of filled features."""
        _context(pl_module.generator)

    def draw(self, trainer: Trainer, pl_module: Any, batch: Any) -> Tensor:
        """Two or three rows of pictures for each sample."""
        with as_evaluated(trainer, pl_module):
            pictures = attention_pictures(pl_module.generator, batch["image"], batch["mask"])
        return make_grid(pictures, nrow=1 + len(_context(pl_module.generator).transfers))
