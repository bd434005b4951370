"""Sheets of pictures during training: what the network was given, what it made of it, and the truth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning import Callback, Trainer
from torch import Tensor

from inpaintzoo.callbacks.record import run_folder
from inpaintzoo.callbacks.sheets import as_evaluated, write_sheet
from inpaintzoo.inpainter import picture_row as picture_row


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
        self._fixed: dict[str, Any] | None = None
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

    def _head(self, batch: Any) -> dict[str, Any]:
        # The index seeds a stochastic generator, so that its fills are the same each time.
        heads = {key: value[: self.count] for key, value in batch.items()}
        return {key: value.detach() if isinstance(value, Tensor) else value for key, value in heads.items()}

    def _write(self, trainer: Trainer, pl_module: Any, name: str, batch: dict[str, Any]) -> None:
        with as_evaluated(trainer, pl_module):
            title, sheet = pl_module.draw(batch)
        write_sheet(trainer, pl_module, self._folder, name, f"{name}: {title}", sheet)
