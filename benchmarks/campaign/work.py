"""What the jobs share: time, the output folder, and trainings that go on where they stopped."""

from __future__ import annotations

import gc
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning import Callback

from inpaintzoo import load_model, save_model
from inpaintzoo.commands import main as inpaintzoo
from inpaintzoo.weights.checkpoints import read_checkpoint


class Deadline(Callback):
    """Ends training with the first batch after a point in time.

    Args:
        at: in seconds since the epoch, as `time.time()`.
    """

    def __init__(self, at: float) -> None:
        self.at = at

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Stop if it is time; `Checkpoints` then saves the state."""
        if time.time() >= self.at:
            trainer.should_stop = True


@dataclass(frozen=True)
class Training:
    """One network to train.

    Attributes:
        name: its folder within the job's.
        options: of `inpaintzoo fit`, configs included.
        iterations: the budget of the finished training.
    """

    name: str
    options: Sequence[str]
    iterations: int


@dataclass
class Job:
    """A job at work.

    Attributes:
        data: the packed data.
        out: the job's folder.
        smoke: tiny networks and pictures, on the CPU.
        until: when the job should end, as `time.time()`.
        failures: what went wrong, for the summary.
    """

    data: Path
    out: Path
    smoke: bool
    until: float
    failures: list[str]

    @property
    def device(self) -> str:
        """Where networks run."""
        return "cuda" if torch.cuda.is_available() and not self.smoke else "cpu"

    def until_share(self, share: float) -> float:
        """When this share of the time that is left will be over."""
        now = time.time()
        return now + share * max(self.until - now, 0.0)

    def attempt(self, what: str, run: Callable[[], None]) -> bool:
        """Run a part of the job; if it fails, note why and let the rest go on."""
        try:
            run()
        except Exception:  # whatever it is, the time left belongs to the other parts
            self.out.mkdir(parents=True, exist_ok=True)
            (self.out / f"{what}.error.txt").write_text(traceback.format_exc())
            print(f"{what} failed:\n{traceback.format_exc()}", file=sys.stderr, flush=True)
            self.failures.append(f"{self.out.name}/{what}")
            return False
        finally:
            gc.collect()
            torch.cuda.empty_cache()
        return True

    def command(self, *words: object) -> None:
        """Run `inpaintzoo`.

        Raises:
            RuntimeError: it fails; it has said why.
        """
        if code := inpaintzoo([str(word) for word in words]):
            raise RuntimeError(f"inpaintzoo {words[0]} ended with code {code}; its message is above")

    def train(self, trainings: Sequence[Training], share: float = 1.0) -> None:
        """Train each within an equal part of a share of the time; all go on from earlier checkpoints.

        A finished training leaves `weights.safetensors`, in half precision.
        """
        end = self.until_share(share)
        waiting = [training for training in trainings if self.iteration(training) < training.iterations]
        for number, training in enumerate(waiting):
            until = time.time() + (end - time.time()) / (len(waiting) - number)
            self.attempt(training.name, lambda training=training, until=until: self._fit(training, until))  # type: ignore[misc]

    def _fit(self, training: Training, until: float) -> None:
        folder = self.out / training.name
        (folder / "weights.safetensors").unlink(missing_ok=True)  # of a smaller budget
        earlier = self.checkpoint(training.name)
        resume = ["--ckpt_path", earlier] if earlier else []
        end = ["--trainer.callbacks+", f"{__name__}.Deadline", "--trainer.callbacks.at", until]
        # Validation would compete with training for the time; the job measures at its end.
        quiet = ["--checkpoint.save_top_k", 0, "--checkpoint.every_iterations", 200, "--trainer.limit_val_batches", 0]
        budget = ["--model.max_iterations", training.iterations, "--trainer.default_root_dir", folder]
        self.command("fit", *training.options, *end, *quiet, *budget, *resume)
        if earlier:  # its successor is there
            earlier.unlink()
        if self.iteration(training) >= training.iterations:
            network = load_model(self.checkpoint(training.name))
            save_model(network, folder / "weights.safetensors", dtype=torch.float16)

    def checkpoint(self, name: str) -> Path | None:
        """The newest checkpoint of a training."""
        found = (self.out / name).rglob("last*.ckpt")
        return max(found, key=lambda file: file.stat().st_mtime, default=None)

    def iteration(self, training: Training) -> int:
        """How far a training has come."""
        checkpoint = self.checkpoint(training.name)
        return read_checkpoint(checkpoint).content["inpainter"]["iteration"] if checkpoint else 0
