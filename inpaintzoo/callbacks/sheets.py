"""Shared by the picture callbacks: the generator as validation uses it, and sheets of validation pictures."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor
from torchvision.utils import save_image

from inpaintzoo.callbacks.ema import GeneratorEMA
from inpaintzoo.callbacks.record import run_folder
from inpaintzoo.files.writing import free_path, write_whole
from inpaintzoo.ops import evaluating
from inpaintzoo.pictures.images import tensor_to_image


@contextlib.contextmanager
def as_evaluated(trainer: Trainer, pl_module: Any) -> Iterator[None]:
    """Inside the block the network is as in validation: eval mode, averaged weights if any, the run's precision."""
    with (
        evaluating(pl_module),
        GeneratorEMA.in_place(trainer, pl_module),
        torch.no_grad(),
        trainer.precision_plugin.forward_context(),
    ):
        yield


def write_sheet(trainer: Trainer, pl_module: Any, folder: Path, name: str, title: str, sheet: Tensor) -> None:
    """Write a `(3, H, W)` picture in [0, 1] as `NAME-ITERATION.png`, and under its title to loggers that take pictures.

    These are TensorBoard's, and those with a method `log_image(key, images, step)` such as that of Weights & Biases.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = free_path(folder / f"{name}-{pl_module.iteration:07d}.png")  # runs without a logger share the folder
    write_whole(path, lambda file: save_image(sheet, file))
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            logger.experiment.add_image(title, sheet, pl_module.iteration)
        elif hasattr(logger, "log_image"):
            logger.log_image(key=title, images=[tensor_to_image(sheet)], step=pl_module.iteration)


class ValidationSheet(Callback):
    """Draws the first validation pictures after each validation; a subclass draws the sheet.

    Args:
        count: how many validation pictures.
    """

    name: str  # of the files
    title: str  # for loggers

    def __init__(self, count: int) -> None:
        self.count = count
        self._folder = Path()

    def check(self, pl_module: Any) -> None:
        """Raise `ConfigError` for a generator that cannot be drawn."""
        raise NotImplementedError

    def draw(self, trainer: Trainer, pl_module: Any, batch: Any) -> Tensor:
        """The sheet of a batch of pairs, `(3, H, W)` in [0, 1]."""
        raise NotImplementedError

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Check the generator, and find the run folder (a collective call).

        Raises:
            ConfigError: the generator cannot be drawn.
        """
        self.check(pl_module)
        self._folder = run_folder(trainer) / "images"

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, *args: Any
    ) -> None:
        """Draw the first validation pictures."""
        if batch_idx != 0 or not trainer.is_global_zero or trainer.sanity_checking:
            return
        # The index seeds a stochastic generator, so that its fills are the same each time.
        head = {key: batch[key][: self.count] for key in ("image", "mask", "index", "labels") if key in batch}
        sheet = self.draw(trainer, pl_module, head)
        write_sheet(trainer, pl_module, self._folder, self.name, self.title, sheet)
