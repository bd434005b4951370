"""Changes the weight of a loss during a run."""

from __future__ import annotations

from typing import Any

from lightning import Callback, Trainer

from inpaintzoo.types import ConfigError


class LossSchedule(Callback):
    """Changes a loss's weight at given iterations; 0 disables it, as SPN's code does with its prior loss.

    It depends only on the iteration, so a resumed run has the same weight as one that never stopped.

    Args:
        loss: the loss's name in the Inpainter's `losses`.
        iterations: when the weight changes, ascending.
        weights: the weight from each of these iterations on.
    """

    def __init__(self, loss: str, iterations: list[int], weights: list[float]) -> None:
        if not iterations or len(iterations) != len(weights) or sorted(set(iterations)) != list(iterations):
            raise ValueError(
                f"LossSchedule: iterations must be ascending, with a weight for each, got {iterations} and {weights}"
            )
        if iterations[0] < 0 or min(weights) < 0:
            raise ValueError(f"LossSchedule: iterations and weights must be 0 or more, got {iterations} and {weights}")
        self.loss = loss
        self.steps = list(zip(iterations, weights, strict=True))

    def on_fit_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Check the loss's name before the first step.

        Raises:
            ConfigError: there is no loss of that name.
        """
        if self.loss not in pl_module.losses:
            raise ConfigError(
                f"LossSchedule: there is no loss {self.loss!r}; the losses are {', '.join(pl_module.losses) or 'none'}"
            )

    def on_train_batch_start(self, trainer: Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Set the weight for this iteration."""
        for iteration, weight in self.steps:
            if pl_module.iteration >= iteration:
                pl_module.losses[self.loss].weight = weight
