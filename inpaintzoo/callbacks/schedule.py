"""Changes the weight of a loss during a run."""

from __future__ import annotations

from typing import Any

import numpy as np
from lightning import Callback, Trainer

from inpaintzoo.types import ConfigError
from inpaintzoo.words import listed


class LossSchedule(Callback):
    """Changes a loss's weight at given iterations; 0 disables it, as SPN's code does with its prior loss.

    It depends only on the iteration, so a resumed run has the same weight as one that never stopped.

    Args:
        loss: the loss's name in the Inpainter's `losses`.
        iterations: when the weight changes, ascending.
        weights: the weight from each of these iterations on.
        setting: which of the loss's weights, if it has several, such as `diversity_weight`.
        gradual: change the weight linearly from one of the iterations to the next, for a warm-up.
    """

    def __init__(
        self,
        loss: str,
        iterations: list[int],
        weights: list[float],
        setting: str = "weight",
        gradual: bool = False,
    ) -> None:
        if not iterations or len(iterations) != len(weights) or sorted(set(iterations)) != list(iterations):
            raise ValueError(
                f"LossSchedule: iterations must be ascending, with a weight for each, got {iterations} and {weights}"
            )
        if iterations[0] < 0 or min(weights) < 0:
            raise ValueError(f"LossSchedule: iterations and weights must be 0 or more, got {iterations} and {weights}")
        if gradual and len(iterations) < 2:
            raise ValueError(f"LossSchedule: gradual needs two iterations or more, got {iterations}")
        self.loss = loss
        self.iterations = iterations
        self.weights = weights
        self.setting = setting
        self.gradual = gradual

    def on_fit_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Check the loss's name before the first step.

        Raises:
            ConfigError: there is no loss of that name, or it has no such weight.
        """
        if self.loss not in pl_module.losses:
            raise ConfigError(
                f"LossSchedule: there is no loss {self.loss!r}; the losses are {', '.join(pl_module.losses) or 'none'}"
            )
        loss = pl_module.losses[self.loss]
        weights = [name for name in vars(loss) if name.endswith("weight")]
        if self.setting not in weights:
            raise ConfigError(
                f"LossSchedule: {type(loss).__name__} has no setting {self.setting!r}; its weights are "
                f"{listed(weights, 'and')}"
            )

    def on_train_batch_start(self, trainer: Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Set the weight for this iteration."""
        self.set_weight(pl_module, pl_module.iteration)

    def set_weight(self, pl_module: Any, iteration: int) -> None:
        """Set the weight for an iteration; before the first of `iterations` it stays as it is."""
        if iteration < self.iterations[0]:
            return
        if self.gradual:
            weight = float(np.interp(iteration, self.iterations, self.weights))
        else:
            weight = self.weights[int(np.searchsorted(self.iterations, iteration, side="right")) - 1]
        setattr(pl_module.losses[self.loss], self.setting, weight)
