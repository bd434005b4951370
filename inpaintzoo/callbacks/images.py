"""Rows of pictures during training: masked input, prediction, composite (two for a stochastic generator), truth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning import Callback, Trainer
from torch import Tensor
from torchvision.utils import make_grid

from inpaintzoo.callbacks.record import run_folder
from inpaintzoo.callbacks.sheets import as_evaluated, write_sheet
from inpaintzoo.ops import composite, show_hole
from inpaintzoo.types import Batch


def picture_row(batch: Batch, fills: Tensor) -> Tensor:
    """Masked input (white hole), first prediction, all composites, and truth, side by side.

    Args:
        batch: B pairs.
        fills: `(B, n, 3, H, W)` predictions.

    Returns:
        `((3 + n) * B, 3, H, W)` in [0, 1], `3 + n` pictures per sample.
    """
    image, mask = batch["image"].float(), batch["mask"].float()
    fills = fills.float().clamp(0, 1)
    composites = [composite(image, fill, mask) for fill in fills.unbind(1)]
    return torch.stack([show_hole(image, mask), fills[:, 0], *composites, image], dim=1).flatten(0, 1)


class ImageLogger(Callback):
    """Writes rows of pictures as PNG files into the run folder, and to loggers that take pictures.

    The first training batch is written before the first step, where an inverted mask shows at once; after that always
    the same validation pictures, to show progress.

    Args:
        count: rows per sheet.
        every: iterations between sheets; 0 writes one after each validation instead.
    """

    def __init__(self, count: int = 4, every: int = 0) -> None:
        if count < 1 or every < 0:
            raise ValueError(f"ImageLogger: count must be at least 1 and every 0 or more, got {count} and {every}")
        self.count = count
        self.every = every
        self._fixed: Batch | None = None
        self._folder = Path()

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Find the run folder (a collective call)."""
        self._folder = run_folder(trainer) / "images"

    def on_train_batch_start(self, trainer: Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Write the first training batch."""
        if pl_module.iteration == 0 and trainer.is_global_zero:
            self._write(trainer, pl_module, "first-training-batch", self._head(batch))

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Write the validation pictures at the chosen interval."""
        if self.every and pl_module.iteration % self.every == 0 and self._fixed is not None and trainer.is_global_zero:
            self._write(trainer, pl_module, "validation", self._fixed)

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, *args: Any
    ) -> None:
        """Keep the first validation pictures, and write them unless `every` decides when."""
        if batch_idx != 0 or not trainer.is_global_zero:
            return
        self._fixed = self._head(batch)
        if not trainer.sanity_checking and not self.every:
            self._write(trainer, pl_module, "validation", self._fixed)

    def _head(self, batch: Any) -> Batch:
        # The index seeds a stochastic generator, so that its fills are the same each time.
        keys = [key for key in ("image", "mask", "index") if key in batch]
        return {key: batch[key][: self.count].detach() for key in keys}  # type: ignore[return-value]

    def _write(self, trainer: Trainer, pl_module: Any, name: str, batch: Batch) -> None:
        with as_evaluated(trainer, pl_module):
            fills = pl_module.fills(batch, 2)
        grid = make_grid(picture_row(batch, fills), nrow=3 + fills.shape[1])
        title = f"{name}: masked, prediction, composite, truth"
        write_sheet(trainer, pl_module, self._folder, name, title, grid)
