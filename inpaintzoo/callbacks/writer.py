"""Writes the composites of `inpaintzoo predict` as PNG files."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from lightning import Trainer
from lightning.pytorch.callbacks import BasePredictionWriter
from lightning.pytorch.utilities import rank_zero_info
from torchvision.utils import save_image

from inpaintzoo.callbacks.record import run_folder
from inpaintzoo.files.locks import LOCK
from inpaintzoo.files.writing import write_whole
from inpaintzoo.types import ConfigError


class PredictionWriter(BasePredictionWriter):
    """One PNG per picture, with its name; fills of a stochastic generator are `NAME-0.png`, `NAME-1.png`, and so on.

    Args:
        folder: output folder, which must be empty or new; None uses `predictions` in the run folder.
    """

    def __init__(self, folder: str | None = None) -> None:
        super().__init__("batch")
        self.folder = folder
        self._target = Path()

    def target(self, trainer: Trainer) -> Path:
        """The output folder; all processes must ask together, see `run_folder`."""
        return Path(self.folder) if self.folder else run_folder(trainer) / "predictions"

    def on_predict_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Check the folder before any work is done.

        Raises:
            ConfigError: it holds files, which would be overwritten.
        """
        self._target = self.target(trainer)
        # The first process decides for all, or another's first pictures might be taken for earlier files.
        found = self._target.iterdir() if self._target.exists() else []
        taken = trainer.strategy.broadcast(any(path.name != LOCK for path in found))
        if taken:
            raise ConfigError(
                f"{self._target} holds files already and nothing is overwritten; choose another folder with "
                f"--predictions.folder"
            )
        self._target.mkdir(parents=True, exist_ok=True)

    def write_on_batch_end(
        self,
        trainer: Trainer,
        pl_module: Any,
        prediction: Any,
        batch_indices: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int,
    ) -> None:
        """Write a batch of `(B, n, 3, H, W)`."""
        for fills, name in zip(prediction, batch["name"], strict=True):
            for number, picture in enumerate(fills):
                path = self._target / (f"{name}-{number}.png" if len(fills) > 1 else f"{name}.png")
                path.parent.mkdir(parents=True, exist_ok=True)
                write_whole(path, partial(save_image, picture.float()))

    def on_predict_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Print the folder."""
        rank_zero_info(f"predictions: {self._target}")
