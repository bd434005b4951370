"""Checkpoints named by the zoo's own iteration counter, each written whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import torch
from lightning import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO

from inpaintzoo.files.pickled import load_pickled, save_pickled
from inpaintzoo.training_module import go_on
from inpaintzoo.types import ConfigError, NonFiniteLossError
from inpaintzoo.weights.checkpoints import previous_checkpoint


class WholeFiles(TorchCheckpointIO):
    """Writes checkpoints beside their target and renames them; Lightning copies over the last good one.

    `last.ckpt` becomes `previous.ckpt` when the one of a later step is complete. URLs are left to Lightning.
    """

    def __init__(self) -> None:
        super().__init__()
        # Of the files written here: one step may be saved before and after a validation.
        self._steps: dict[Path, int] = {}

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a checkpoint; the old file of this name stays until the new one is complete and on the disk."""
        if storage_options is not None or "://" in str(path):
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        step = checkpoint["global_step"]
        later = target.name.startswith("last") and self._steps.get(target) != step
        save_pickled(checkpoint, target, previous_checkpoint(target) if later else None)
        self._steps[target] = step

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint onto the CPU; nothing in it is run."""
        if "://" in str(path):
            return super().load_checkpoint(path, map_location, weights_only=True)
        return dict(load_pickled(Path(path)))


class Checkpoints(ModelCheckpoint):
    """Keeps `last.ckpt` and the best by a metric, saved after each validation and at the end.

    The `last.ckpt` before is kept as `previous.ckpt`.

    Args:
        monitor: a logged metric such as `val/psnr_hole`.
        mode: `max` if higher is better.
        save_top_k: how many of the best to keep.
        every_iterations: iterations between saves of `last.ckpt`; 0 saves it only after validations.

    Good weights are never overwritten by ones that are not finite: the run stops instead.
    """

    def __init__(
        self,
        monitor: str = "val/psnr_hole",
        mode: Literal["min", "max"] = "max",
        save_top_k: int = 1,
        every_iterations: int = 500,
    ) -> None:
        if every_iterations < 0 or save_top_k < -1:
            raise ValueError(
                f"Checkpoints: every_iterations must be 0 or more and save_top_k -1 (all) or more, got "
                f"{every_iterations} and {save_top_k}"
            )
        name = monitor.replace("/", "_")
        super().__init__(
            filename=f"best-iteration={{iteration:07.0f}}-{name}={{{monitor}:.3f}}",
            auto_insert_metric_name=False,
            monitor=monitor,
            mode=mode,
            save_top_k=save_top_k,
            save_last=True,
            save_on_train_epoch_end=False,
            enable_version_counter=True,
        )
        self.every_iterations = every_iterations

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Replace Lightning's way of writing checkpoints, unless the Trainer was given another one."""
        super().setup(trainer, pl_module, stage)
        if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:
            trainer.strategy.checkpoint_io = WholeFiles()

    def on_fit_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Refuse a metric that no validation will log, before the first step."""
        known = [f"val/{name}" for name in pl_module.measured()]
        if self.monitor is not None and self.monitor.startswith("val/") and self.monitor not in known:
            raise ConfigError(f"--checkpoint.monitor {self.monitor}: no such metric; there are {', '.join(known)}")

    def on_validation_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Save the best, then `last.ckpt`, which Lightning would only save along with a best."""
        super().on_validation_end(trainer, pl_module)
        if trainer.state.fn == "fit" and not trainer.sanity_checking and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            self.save_now(trainer)

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Save `last.ckpt` at the chosen interval and after the last iteration.

        The last one is saved here and not at the end of training: by then Lightning counts the interrupted epoch as
        complete, and a resumed run would skip the rest of it.
        """
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        due = self.every_iterations and pl_module.iteration % self.every_iterations == 0
        ends = pl_module.max_iterations is not None and pl_module.iteration >= pl_module.max_iterations
        if due or ends or trainer.should_stop or 0 <= trainer.max_steps <= trainer.global_step:
            self.save_now(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Save the state after the last epoch, if a number of epochs ends the run."""
        if trainer.fit_loop.epoch_loop.batch_progress.is_last_batch:
            self.save_now(trainer)

    def save_now(self, trainer: Trainer) -> None:
        """Save `last.ckpt` now."""
        if trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        # Lightning saves at most once per step, but a validation that follows must still save the best.
        saved = self._last_global_step_saved
        self._save_last_checkpoint(trainer, self._monitor_candidates(trainer))
        self._last_global_step_saved = saved

    def _save_checkpoint(self, trainer: Trainer, filepath: str) -> None:
        # A finite loss can have infinite gradients, and the weights would be saved before the next loss shows it. One
        # huge gradient also makes Adam's second moment infinite, after which its weights never change again.
        module = trainer.lightning_module
        kinds = {"weights": module.state_dict(), "moments": dict(_moments(trainer))}
        for kind, tensors in kinds.items():
            if bad := [name for name, value in tensors.items() if not torch.isfinite(value).all()]:
                raise NonFiniteLossError(
                    f"training stopped at iteration {module.iteration}: {len(bad)} tensors of {kind} are no longer "
                    f"finite, such as {bad[0]}; they were not saved; {go_on(trainer)}"
                )
        super()._save_checkpoint(trainer, filepath)


def _moments(trainer: Trainer) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors that optimizers keep for each parameter, named after it."""
    names: dict[Any, str] = {parameter: name for name, parameter in trainer.lightning_module.named_parameters()}
    for optimizer in trainer.optimizers:
        for parameter, state in optimizer.state.items():
            for key, value in state.items():
                if isinstance(value, torch.Tensor):
                    yield f"{names.get(parameter, 'a parameter')} ({key})", value
