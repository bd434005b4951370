"""Ctrl-C and SIGTERM end a training at a point from which it can go on exactly."""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType
from typing import Any

from lightning import Callback, Trainer
from lightning.pytorch.utilities import rank_zero_info

from inpaintzoo.callbacks.checkpoint import Checkpoints

_AGREE_EVERY = 10  # iterations; several processes must stop at the same one, and each agreement waits for all


class Stopped(SystemExit):
    """A signal has ended the run; the code is 128 plus the signal's number, as shells have it."""


class StopAtSignal(Callback):
    """Ends a fit after the iteration in which Ctrl-C or SIGTERM arrives, and saves `last.ckpt`.

    A second signal ends the process at once. The callback needs `Checkpoints` to save, and listens in the main thread
    only, where Python delivers signals. Slurm's requeue signal stays Lightning's.

    Raises:
        Stopped: Out of `Trainer.fit`, when the checkpoint is on the disk.
    """

    def __init__(self) -> None:
        self._received: int | None = None

    def on_sanity_check_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Listen from here on; Lightning has just installed its own handlers, and restores the old ones at the end."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, self._receive)

    on_train_start = on_sanity_check_start

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self._received is not None:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self._received = number
        if os.environ.get("LOCAL_RANK", "0") == "0":
            print("stopping after this iteration; the same again stops at once", file=sys.stderr, flush=True)

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Stop all processes if one has received a signal."""
        if trainer.world_size == 1 or pl_module.iteration % _AGREE_EVERY == 0:
            self._stop_if_asked(trainer, pl_module)

    def on_validation_batch_start(self, trainer: Trainer, pl_module: Any, *args: Any, **kwargs: Any) -> None:
        """Stop in the middle of a validation too."""
        if trainer.state.fn == "fit" and trainer.world_size == 1:
            self._stop_if_asked(trainer, pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Stop all processes after a validation, if one has received a signal in it."""
        if trainer.state.fn == "fit":
            self._stop_if_asked(trainer, pl_module)

    def _stop_if_asked(self, trainer: Trainer, pl_module: Any) -> None:
        if trainer.strategy.reduce_boolean_decision(self._received is not None, all=False):
            checkpoints = [each for each in trainer.checkpoint_callbacks if isinstance(each, Checkpoints)]
            if not trainer.sanity_checking:
                for each in checkpoints:
                    each.save_now(trainer)
            saved = [each.last_model_path for each in checkpoints if each.last_model_path]
            rank_zero_info(
                f"stopped at iteration {pl_module.iteration}; "
                + (f"to go on: --ckpt_path {saved[0]}" if saved else "there is nothing to save yet")
            )
            raise Stopped(128 + (self._received or signal.SIGTERM))
