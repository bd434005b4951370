"""The progress bar: the numbers to follow while a model trains."""

from __future__ import annotations

import sys
import time
from typing import Any

from lightning import Trainer
from lightning.pytorch.callbacks import ProgressBar
from lightning.pytorch.utilities import rank_zero_only
from tqdm import tqdm


class RunProgress(ProgressBar):
    """One bar for the whole run: iteration of total, losses, PSNR in the hole, images/s, time left.

    On a terminal it is a live bar; into a file or pipe it prints a line now and then.

    Args:
        every: iterations between refreshes on a terminal.
        line_seconds: seconds between lines if there is no terminal.
    """

    def __init__(self, every: int = 10, line_seconds: float = 15.0) -> None:
        super().__init__()
        if every < 1:
            raise ValueError(f"RunProgress: every must be at least 1 iteration, got {every}")
        self.every = every
        self.line_seconds = line_seconds
        self._enabled = True
        self._bar: tqdm | None = None
        self._started = (0.0, 0)  # seconds, iteration
        self._last_line = 0.0

    def disable(self) -> None:
        """Lightning calls this on all processes but the first."""
        self._enabled = False

    def enable(self) -> None:
        """Undo `disable`."""
        self._enabled = True

    def print(self, *args: Any, **kwargs: Any) -> None:
        """Print without breaking the bar."""
        if self._enabled:
            tqdm.write(" ".join(str(arg) for arg in args), file=sys.stdout)

    # ---------------------------------------------------------------- training

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Start the clock at the current iteration, which is not 0 in a resumed run."""
        self._started = (time.monotonic(), pl_module.iteration)
        self._last_line = time.monotonic()
        self._open("train", self._total(trainer, pl_module), pl_module.iteration)

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Advance the bar."""
        done = pl_module.iteration
        if self._bar is not None:
            self._bar.update(done - self._bar.n)
            if done % self.every == 0:
                self._bar.set_postfix_str(self._numbers(trainer, pl_module, batch), refresh=False)
        elif self._enabled and time.monotonic() - self._last_line >= self.line_seconds:
            self._last_line = time.monotonic()
            self._print_line(trainer, pl_module, batch)

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Close the bar."""
        self._close()

    def on_exception(self, trainer: Trainer, pl_module: Any, exception: BaseException) -> None:
        """Close the bar, so that the message starts on a new line."""
        self._close()

    # ---------------------------------------------------------------- validate, test, predict

    def on_test_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Open a bar over the batches."""
        self._open("test", _length(trainer.num_test_batches), 0)

    def on_validation_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Open a bar, unless the validation is part of a training."""
        if not trainer.training and not trainer.sanity_checking and self._bar is None:
            self._open("validate", _length(trainer.num_val_batches), 0)

    def on_predict_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Open a bar over the batches."""
        self._open("predict", _length(trainer.num_predict_batches), 0)

    def on_test_batch_end(self, *args: Any, **kwargs: Any) -> None:
        """Advance the bar."""
        if self._bar is not None:
            self._bar.update()

    on_predict_batch_end = on_test_batch_end

    def on_validation_batch_end(self, trainer: Trainer, *args: Any, **kwargs: Any) -> None:
        """Advance the bar, unless the validation is part of a training."""
        if self._bar is not None and trainer.state.fn == "validate":
            self._bar.update()

    def on_test_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Close the bar."""
        self._close()

    on_predict_end = on_test_end

    def on_validation_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Close the bar, unless the validation is part of a training."""
        if trainer.state.fn == "validate":
            self._close()

    # ---------------------------------------------------------------- parts

    def _open(self, text: str, total: int | None, initial: int) -> None:
        if self._enabled and sys.stderr.isatty():
            self._bar = tqdm(desc=text, total=total, initial=initial, dynamic_ncols=True, file=sys.stderr)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    @staticmethod
    def _total(trainer: Trainer, pl_module: Any) -> int | None:
        limits: list[int] = [] if pl_module.max_iterations is None else [pl_module.max_iterations]
        if trainer.max_epochs and trainer.max_epochs > 0 and trainer.num_training_batches != float("inf"):
            limits.append(trainer.max_epochs * int(trainer.num_training_batches))
        return min(limits, default=None)

    def _numbers(self, trainer: Trainer, pl_module: Any, batch: Any) -> str:
        metrics = trainer.callback_metrics
        parts = [
            f"{name.removeprefix('train/')} {value:.3f}" for name, value in metrics.items() if name.startswith("train/")
        ]
        if "val/psnr_hole" in metrics:
            parts.append(f"val PSNR in the hole {metrics['val/psnr_hole']:.2f} dB")
        seconds, first = time.monotonic() - self._started[0], self._started[1]
        images = (pl_module.iteration - first) * batch["image"].shape[0] * trainer.world_size
        return ", ".join([*parts, f"{images / max(seconds, 1e-9):.1f} images/s"])

    @rank_zero_only
    def _print_line(self, trainer: Trainer, pl_module: Any, batch: Any) -> None:
        total = self._total(trainer, pl_module)
        done = pl_module.iteration
        left = ""
        if total:
            seconds, first = time.monotonic() - self._started[0], self._started[1]
            left = f", {_clock(seconds / max(done - first, 1) * (total - done))} left"
        print(
            f"iteration {done}{f' of {total}' if total else ''}: {self._numbers(trainer, pl_module, batch)}{left}",
            flush=True,
        )


def _length(batches: list[int | float]) -> int | None:
    total = sum(batches)
    return None if total == float("inf") else int(total)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
