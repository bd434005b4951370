"""Exponential moving average of the generator."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from lightning import Callback, Trainer
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from torch import Tensor, nn


class GeneratorEMA(Callback):
    """Keeps a moving average of the generator and uses it for validation, test and prediction.

    A checkpoint holds the trained weights in its `state_dict` and the average in this callback's state.

    Lightning's own averaging includes the discriminators and counts the steps of both optimizers; this one averages
    only the generator, once per generator update. Floating-point buffers are averaged too, others are copied.

    Args:
        decay: share of the old average kept at each update; 0 disables the average.
        warm_up: limit the decay to (1 + n) / (10 + n) after n updates, so that the random initial weights are soon
            forgotten.
    """

    def __init__(self, decay: float = 0.0, warm_up: bool = True) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"GeneratorEMA: decay must be in [0, 1), got {decay}; 0.999 is usual")
        self.decay = decay
        self.warm_up = warm_up
        self.updates = 0
        self._saved: dict[str, object] = {}  # the checkpoint's settings
        self.average: dict[str, Tensor] = {}
        self._live: dict[str, Tensor] = {}  # the trained weights while the average is in their place

    def on_fit_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Start from the current generator, or from the checkpoint's average."""
        if not self.decay and self.average:
            rank_zero_warn("the checkpoint's averaged network is not continued; set --ema.decay to continue it")
            self.average = {}
        for name, now in (("decay", self.decay), ("warm_up", self.warm_up)) if self.decay else ():
            if (before := self._saved.get(name, now)) != now:
                rank_zero_info(f"resumed with another setting: ema.{name} was {before} and is {now}")
        if self.decay:
            state = _averaged(pl_module).state_dict()
            saved = self.average or state
            self.average = {name: saved[name].detach().to(value.device, copy=True) for name, value in state.items()}

    @torch.no_grad()
    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Update the average if this iteration updated the generator."""
        if not self.decay or pl_module.updates == self.updates:
            return
        self.updates = pl_module.updates
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates)) if self.warm_up else self.decay
        for name, value in _averaged(pl_module).state_dict().items():
            if value.dtype.is_floating_point:
                self.average[name].lerp_(value, 1 - decay)
            else:
                self.average[name].copy_(value)

    def swap_in(self, pl_module: Any) -> None:
        """Load the average into the generator."""
        if self.average and not self._live:
            state = _averaged(pl_module).state_dict()
            self._live = {name: value.clone() for name, value in state.items()}
            _averaged(pl_module).load_state_dict(self.average)

    def swap_out(self, pl_module: Any) -> None:
        """Load the trained weights back."""
        if self._live:
            _averaged(pl_module).load_state_dict(self._live)
            self._live = {}

    @staticmethod
    @contextlib.contextmanager
    def in_place(trainer: Trainer, pl_module: Any) -> Iterator[None]:
        """Inside the block the generator has the weights of the Trainer's average, if there is one."""
        averages = [callback for callback in trainer.callbacks if isinstance(callback, GeneratorEMA)]  # type: ignore[attr-defined]
        waiting = [average for average in averages if not average._live]
        for average in waiting:
            average.swap_in(pl_module)
        try:
            yield
        finally:
            for average in waiting:
                average.swap_out(pl_module)

    def on_validation_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Validate the average."""
        self.swap_in(pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Continue with the trained weights."""
        self.swap_out(pl_module)

    on_test_start = on_predict_start = on_validation_start
    on_test_end = on_predict_end = on_validation_end

    def on_exception(self, trainer: Trainer, pl_module: Any, exception: BaseException) -> None:
        """Load the trained weights back when a validation is interrupted."""
        self.swap_out(pl_module)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Save the trained weights in `state_dict`, during a validation too."""
        for name, value in self._live.items():
            checkpoint["state_dict"][f"{pl_module.averaged}.{name}"] = value

    def state_dict(self) -> dict[str, Any]:
        """The average and its number of updates, for the checkpoint."""
        if not self.decay:
            return {}
        return {"average": self.average, "updates": self.updates, "decay": self.decay, "warm_up": self.warm_up}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the average of a checkpoint, also to test or predict with it."""
        if state_dict:
            self.average, self.updates = state_dict["average"], state_dict["updates"]
            self._saved = state_dict


def _averaged(pl_module: Any) -> nn.Module:
    network: nn.Module = getattr(pl_module, pl_module.averaged)
    return network
