"""The progress bar: the numbers to follow while a model trains."""

from __future__ import annotations

import collections
import shutil
import sys
import time
from typing import Any

from lightning import Trainer
from lightning.pytorch.callbacks import ProgressBar
from lightning.pytorch.utilities import rank_zero_only
from tqdm import tqdm

_BAR = "{desc} {bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]"
_RATE_SECONDS = 30.0  # images/s is a mean over this time


class RunProgress(ProgressBar):
    """One bar for the whole run: iteration of total, PSNR in the hole, images/s, time left, losses.

    On a terminal it is a live bar, with as many losses as its width has room for; into a file or pipe it prints a line
    now and then. Images per second are those of the last half minute, without validations.

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
        self._recent: collections.deque[tuple[float, int]] = collections.deque()  # seconds, iteration

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
        self._recent = collections.deque([self._started])
        self._open("train", self._total(trainer, pl_module), pl_module.iteration)

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Advance the bar."""
        done = pl_module.iteration
        self._recent.append((time.monotonic(), done))
        while len(self._recent) > 2 and self._recent[-1][0] - self._recent[1][0] > _RATE_SECONDS:
            self._recent.popleft()
        if self._bar is not None:
            self._bar.update(done - self._bar.n)
            if done % self.every == 0:
                self._bar.set_postfix_str(self._that_fit(self._numbers(trainer, pl_module, batch)), refresh=False)
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
        """Close the bar, or, if the validation is part of a training, measure its speed again from here."""
        if trainer.state.fn == "validate":
            self._close()
        self._recent = collections.deque([(time.monotonic(), getattr(pl_module, "iteration", 0))])

    # ---------------------------------------------------------------- parts

    def _open(self, text: str, total: int | None, initial: int) -> None:
        if self._enabled and sys.stderr.isatty():
            self._bar = tqdm(
                desc=text, total=total, initial=initial, dynamic_ncols=True, file=sys.stderr, bar_format=_BAR
            )

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

    def _numbers(self, trainer: Trainer, pl_module: Any, batch: Any) -> list[str]:
        """What there is to follow, the most important first."""
        metrics = trainer.callback_metrics
        (start, first), (now, done) = self._recent[0], self._recent[-1]
        images = (done - first) * len(batch["image"]) * trainer.world_size
        parts = [f"hole PSNR {metrics['val/psnr_hole']:.2f} dB"] if "val/psnr_hole" in metrics else []
        parts += [f"{images / (now - start):.1f} images/s"] if now > start else []
        losses = {name: value for name, value in metrics.items() if name.startswith("train/")}
        return parts + [f"{name.removeprefix('train/')} {value:.3f}" for name, value in losses.items()]

    def _that_fit(self, parts: list[str]) -> str:
        """As many of them as fit beside the count and the times, and the first two in any case."""
        assert self._bar is not None
        total = len(str(self._bar.total or "?"))
        room = shutil.get_terminal_size().columns - len("train: | / [0:00:00<00:00:00, ]") - 10 - 2 * total
        shown = parts[:2]
        for part in parts[2:]:
            if len(", ".join([*shown, part])) > room:
                break
            shown.append(part)
        return ", ".join(shown)

    @rank_zero_only
    def _print_line(self, trainer: Trainer, pl_module: Any, batch: Any) -> None:
        total = self._total(trainer, pl_module)
        done = pl_module.iteration
        left = ""
        if total:
            seconds, first = time.monotonic() - self._started[0], self._started[1]
            left = f", {_clock(seconds / max(done - first, 1) * (total - done))} left"
        print(
            f"iteration {done}{f' of {total}' if total else ''}: "
            f"{', '.join(self._numbers(trainer, pl_module, batch))}{left}",
            flush=True,
        )


def _length(batches: list[int | float]) -> int | None:
    total = sum(batches)
    return None if total == float("inf") else int(total)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
