"""What every LightningModule of the zoo shares: iterations, update windows, schedules, and an exact resume."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import (
    BatchSizeFinder,
    GradientAccumulationScheduler,
    LearningRateFinder,
    StochasticWeightAveraging,
)
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.strategies import ParallelStrategy
from lightning.pytorch.utilities import rank_zero_info
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torch.utils.data.distributed import DistributedSampler

from inpaintzoo.data.findings import Finding
from inpaintzoo.ops import gather_over_ranks, mean_over_ranks
from inpaintzoo.types import ConfigError, NonFiniteLossError
from inpaintzoo.weights.checkpoints import check_resumes
from inpaintzoo.weights.initialise import refuse_to_resume
from inpaintzoo.weights.resuming import Schedules, changes

# Lightning's callbacks that need steps which Lightning makes itself, and what to use instead.
_UNFIT = {
    BatchSizeFinder: "set the data's batch_size",
    GradientAccumulationScheduler: "set the model's accumulate",
    LearningRateFinder: "set the rate of the model's optimizers",
    StochasticWeightAveraging: "use GeneratorEMA (--ema.decay)",
}


def as_list(found: Any) -> list[Any]:
    """Lightning returns one optimizer or scheduler as it is, several as a list, and None if there are none."""
    return found if isinstance(found, list) else [found] if found else []


def go_on(trainer: Trainer) -> str:
    """What to do after a run has diverged."""
    saved = [path for each in trainer.checkpoint_callbacks if (path := getattr(each, "last_model_path", ""))]
    begin = f"resume from {saved[0]}" if saved else "no checkpoint was saved yet: start again"
    return f"{begin}, with a lower learning rate, clip_norm, or bf16 instead of fp16"


def _mean(gradients: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The mean over processes, for a run that goes on with another number of them."""
    names = {name for own in gradients for name in own}
    return {name: torch.stack([own[name] for own in gradients if name in own]).mean(0) for name in names}


class TrainingModule(LightningModule):
    """What the command line and its callbacks need of a LightningModule.

    Attributes:
        iteration: Batches per process so far, resumed runs included.
        max_iterations: Where the run ends; None leaves it to the Trainer.
        accumulate: Batches whose gradients are summed before a step.
        clip_norm: Largest gradient norm over each optimizer's parameters; None clips nothing.
        init_from: What a new fit starts from, if anything.
        averaged: Name of the network that `GeneratorEMA` averages.
    """

    averaged: str
    iteration: int = 0
    max_iterations: int | None = None
    accumulate: int = 1
    clip_norm: float | None = None
    init_from: str | dict[str, str] | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.automatic_optimization = False
        self._half_summed: dict[str, Tensor] = {}  # gradients of an interrupted update window
        self._settings: dict[str, Any] = {}  # of optimizers, schedules and data, for a later resume
        self._resumed: dict[str, Any] | None = None  # what a checkpoint says of optimizers and schedules

    @property
    def schedule_steps(self) -> int:
        """How often the schedules have stepped so far."""
        return self.iteration // self.accumulate

    @property
    def updates(self) -> int:
        """Steps of the averaged network's optimizer."""
        return self.iteration // self.accumulate

    def headlines(self) -> list[str]:
        """What a run's first lines say of the networks."""
        raise NotImplementedError

    def measured(self) -> list[str]:
        """Names of the metrics that validation logs."""
        raise NotImplementedError

    def optimized(self) -> dict[str, tuple[nn.Module, OptimizerCallable, LRSchedulerCallable | None]]:
        """What each optimizer updates, how it and its scheduler are made; by the prefix of their arguments' names."""
        raise NotImplementedError

    def draw(self, batch: Any) -> tuple[str, Tensor]:
        """A title and a `(3, H, W)` picture in [0, 1] of a batch and what the network makes of it."""
        raise NotImplementedError

    @property
    def reads_labels(self) -> bool:
        """Whether any part reads label maps; if none does, the data need not load them."""
        return False

    def initialise(self, whole: bool = False) -> list[str]:
        """Load `init_from`, and say what came of it, a line for each network.

        Args:
            whole: Refuse a network that is not loaded completely, since nothing will train the rest of it.

        Raises:
            InpaintzooError: It does not fit.
        """
        raise NotImplementedError

    def rehearse(self, data: Any) -> list[Finding]:
        """Try a batch of a data module, with losses and metrics, before a run."""
        raise NotImplementedError

    # ---------------------------------------------------------------- train

    def _backward(self, loss: Tensor, steps: bool) -> None:
        strategy = self.trainer.strategy
        waits = not steps and isinstance(strategy, ParallelStrategy)
        with strategy.block_backward_sync() if waits else contextlib.nullcontext():  # type: ignore[attr-defined]
            self.manual_backward(loss / self.accumulate)

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Clip here: under fp16, this hook runs after the gradients are unscaled, but code before `step()` does not."""
        if self.clip_norm is not None:
            parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            torch.nn.utils.clip_grad_norm_(parameters, self.clip_norm)

    def on_validation_model_zero_grad(self) -> None:
        """Keep the gradients: a validation may fall in the middle of an update window."""

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """End the run after `max_iterations`."""
        if self.max_iterations is not None and self.iteration >= self.max_iterations:
            self.trainer.should_stop = True

    def _raise_if_not_finite(self, terms: Mapping[str, Tensor]) -> None:
        # The mean over processes, so that all stop when one meets a NaN.
        values = mean_over_ranks(torch.stack([term.detach().float() for term in terms.values()]))
        if bool(torch.isfinite(values).all()):
            return
        bad = ", ".join(
            f"{name} = {value:g}" for name, value in zip(terms, values.tolist(), strict=True) if value - value != 0.0
        )
        raise NonFiniteLossError(f"training stopped at iteration {self.iteration}: {bad}; {go_on(self.trainer)}")

    # ---------------------------------------------------------------- set-up and state

    def setup(self, stage: str) -> None:
        """Refuse callbacks that need Lightning's own steps.

        Raises:
            ConfigError: There is one.
        """
        for callback in self.trainer.callbacks if stage == "fit" and self._trainer is not None else ():  # type: ignore[attr-defined]
            for kind, instead in _UNFIT.items():
                if isinstance(callback, kind):
                    raise ConfigError(
                        f"{kind.__name__} does not work with {type(self).__name__}, which steps its optimizers itself; "
                        f"remove the callback and {instead}"
                    )

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """One optimizer, and its scheduler if there is one, for each network to train."""
        made = {
            name: each for name, each in self.optimized().items() if each[0] or not isinstance(each[0], nn.ModuleDict)
        }
        self._schedules = Schedules(
            {name: make([p for p in net.parameters() if p.requires_grad]) for name, (net, make, _) in made.items()}
        )
        for name, (_, _, schedule) in made.items():
            if schedule:
                self._schedules.add(name, schedule(self._schedules.optimizers[name]))
        self._schedules.begin()
        schedules = list(self._schedules.schedules.values())
        if any(isinstance(schedule, ReduceLROnPlateau) for schedule in schedules):
            raise ConfigError("ReduceLROnPlateau needs a metric at each step; choose a scheduler that counts steps")
        return list(self._schedules.optimizers.values()), schedules

    def on_fit_start(self) -> None:
        """Refuse a checkpoint whose moments the optimizers cannot go on with.

        Raises:
            ConfigError: They are of another kind of optimizer.
        """
        if self._resumed is not None:
            self._schedules.check(self._resumed["optimizer_states"])

    def on_train_start(self) -> None:
        """Restore schedules under the config's settings, and half-summed gradients, which the Trainer clears."""
        self._settings = {**self._schedules.settings, "accumulate": self.accumulate, "data": self._data_settings()}
        if self._resumed is not None:
            saved = self._resumed["settings"]
            self._schedules.restore(saved, self._resumed["lr_schedulers"], self.schedule_steps)
            for change in changes(saved, self._settings) if saved else ():
                rank_zero_info(f"resumed with another setting: {change}")
            self._resumed = None
        if self.max_iterations is not None and self.iteration >= self.max_iterations:
            rank_zero_info(f"nothing to do: {self.iteration} of {self.max_iterations} iterations are already done")
            self.trainer.should_stop = True
        for name, parameter in self.named_parameters():
            if name in self._half_summed:
                parameter.grad = self._half_summed[name].to(parameter)
        self._half_summed = {}

    def _data_settings(self) -> dict[str, Any]:
        """What decides which pictures a run has seen."""
        loader: Any = self.trainer.train_dataloader
        found = {"batch_size": getattr(loader, "batch_size", None), "processes": self.trainer.world_size}
        if isinstance(sampler := getattr(loader, "sampler", None), DistributedSampler):
            found |= {"pictures": len(loader.dataset), "seed": sampler.seed}
        return found

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what an exact resume needs beyond weights and optimizers."""
        checkpoint["inpainter"] = {"iteration": self.iteration, "settings": self._settings}
        if self.iteration % self.accumulate:  # in the middle of a window
            # Each process has summed its own gradients, and goes on with them bit for bit.
            own = {n: p.grad.cpu() for n, p in self.named_parameters() if p.grad is not None}
            checkpoint["inpainter"]["gradients"] = gather_over_ranks(own)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the iteration and half-summed gradients.

        Raises:
            ConfigError: A fit is resumed although `init_from` is set.
            WeightsError: The checkpoint is of another network.
        """
        check_resumes(checkpoint, self.state_dict())
        state = checkpoint["inpainter"]
        if self._trainer is not None and self.trainer.state.fn == "fit":
            refuse_to_resume(self.init_from)
            states = {key: checkpoint[key] for key in ("optimizer_states", "lr_schedulers")}
            self._resumed = {**states, "settings": state.get("settings")}
            checkpoint["lr_schedulers"] = []  # Lightning would restore their settings too
        self.iteration = state["iteration"]
        gradients = state.get("gradients", {})
        if self._trainer is None:
            gradients = {}  # nothing goes on with them
        elif isinstance(gradients, list):  # of each process
            own = len(gradients) == self.trainer.world_size
            gradients = gradients[self.trainer.global_rank] if own else _mean(gradients)
        self._half_summed = gradients
