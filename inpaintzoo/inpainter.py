"""The one LightningModule: trains and tests any generator with any losses and adversaries."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
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
from lightning.pytorch.strategies import DDPStrategy, ParallelStrategy
from lightning.pytorch.utilities import rank_zero_info
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torch.utils.data.distributed import DistributedSampler

from inpaintzoo.adversary import Adversary
from inpaintzoo.data.findings import act_upon
from inpaintzoo.data.labels.needs import check_labels, labels_are_read, require_labels
from inpaintzoo.generator import Generator
from inpaintzoo.losses.base import Loss
from inpaintzoo.metrics import MetricResults, MetricSuite
from inpaintzoo.metrics.segmentation import predicted_logits
from inpaintzoo.ops import composite, frozen, gather_over_ranks, mean_over_ranks
from inpaintzoo.types import Batch, ConfigError, NonFiniteLossError, Output
from inpaintzoo.views import Composite, HoleMasked, RawPrediction, Samples
from inpaintzoo.weights.checkpoints import check_resumes, describe_parts
from inpaintzoo.weights.initialise import initialise, refuse_to_resume
from inpaintzoo.weights.resuming import Schedules, changes
from inpaintzoo.weights.trusted import check_checkpoint
from inpaintzoo.words import some

# Lightning's callbacks that need steps which Lightning makes itself, and what to use instead.
_UNFIT = {
    BatchSizeFinder: "set the data's batch_size",
    GradientAccumulationScheduler: "set the Inpainter's accumulate",
    LearningRateFinder: "set the rate in generator_optimizer and discriminator_optimizer",
    StochasticWeightAveraging: "use GeneratorEMA (--ema.decay)",
}


_WHOLE_FRAME = (Composite, HoleMasked, RawPrediction, Samples)  # the other views show pictures of their own size


def _adam(parameters: Any) -> Optimizer:
    return Adam(parameters, lr=1e-4, betas=(0.5, 0.999))


def _as_list(found: Any) -> list[Any]:
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


def _check_names(groups: Mapping[str, Mapping[str, nn.Module]]) -> None:
    for group, members in groups.items():
        for name in members:
            if not name or "." in name or hasattr(nn.ModuleDict(), name):
                raise ConfigError(f"{group}: torch modules cannot be named {name!r}; choose another name")


class Inpainter(LightningModule):
    """Trains a generator with weighted losses and adversaries.

    One batch is one iteration: one generator forward, one update of all discriminators on the detached output, one
    update of the generator. Images are in [0, 1]; in masks, 1 = hole.

    Lightning's `global_step` counts the steps of both optimizers, so `max_steps=8` ends after four iterations. Set
    `max_iterations` instead, and read `iteration` in logs, checkpoints and file names.

    Args:
        generator: Fills the hole.
        losses: The generator's losses by name. A name is only a label in logs; a weight belongs to its loss.
        adversaries: Discriminators with their objectives, by name.
        generator_optimizer: Called with parameters, returns an optimizer; by default Adam(1e-4, betas 0.5 and 0.999).
        discriminator_optimizer: The same, for one optimizer over all discriminators.
        generator_scheduler: Called with the optimizer, returns a scheduler. It steps once per update window, even if
            the window does not update the generator (`generator_every`).
        discriminator_scheduler: The same for the discriminators' optimizer.
        max_iterations: Stop after this many batches per process, resumed runs included; None leaves it to the
            Trainer.
        accumulate: Batches whose gradients are summed before a step, called an update window. All but its last batch
            see the discriminators as they were before the window.
        clip_norm: Largest gradient norm over each optimizer's parameters, measured on unscaled gradients.
        generator_every: Discriminator updates per generator update (5 is usual with `WassersteinGP`).
        metrics: What validate and test measure.
        samples: Fills per image that `test` and `predict` draw from a stochastic generator. `test` judges the one with
            the best PSNR (SPN's protocol) and how much they differ. Deterministic generators have one fill.
        sample_seed: Seed of these fills; those of an image depend on it and the image's index only.
        compile: Compile the networks with `torch.compile`.
        channels_last: Keep images and convolution weights in the channels-last layout.
        init_from: Weights that a new fit starts from: one file, or files by part (`generator`, an adversary's name);
            see `inpaintzoo.weights.initialise`. To continue a run, use `--ckpt_path` instead.

    Raises:
        ConfigError: A setting outside its range, a name that torch modules cannot have, or nothing to learn from.
    """

    def __init__(
        self,
        generator: Generator,
        losses: dict[str, Loss],
        adversaries: dict[str, Adversary] | None = None,
        generator_optimizer: OptimizerCallable = _adam,
        discriminator_optimizer: OptimizerCallable = _adam,
        generator_scheduler: LRSchedulerCallable | None = None,
        discriminator_scheduler: LRSchedulerCallable | None = None,
        max_iterations: int | None = None,
        accumulate: int = 1,
        clip_norm: float | None = None,
        generator_every: int = 1,
        metrics: MetricSuite | None = None,
        samples: int = 5,
        sample_seed: int = 0,
        compile: bool = False,
        channels_last: bool = False,
        init_from: str | dict[str, str] | None = None,
    ) -> None:
        super().__init__()
        counts = {"max_iterations": max_iterations, "accumulate": accumulate, "generator_every": generator_every}
        for name, value in {**counts, "samples": samples}.items():
            if value is not None and value < 1:
                raise ConfigError(f"{name} must be at least 1, got {value}")
        if clip_norm is not None and clip_norm <= 0:
            raise ConfigError(f"clip_norm must be above 0, got {clip_norm}; leave it out to clip nothing")
        if not losses and not adversaries:
            raise ConfigError("nothing to learn from: give the Inpainter losses or adversaries")
        _check_names({"losses": losses, "adversaries": adversaries or {}})
        self._save_settings()
        self.automatic_optimization = False
        self.generator = generator
        self.losses = nn.ModuleDict(losses)
        for loss in losses.values():
            loss.attach(generator)
        self.adversaries = nn.ModuleDict(adversaries or {})
        self.generator_optimizer = generator_optimizer
        self.discriminator_optimizer = discriminator_optimizer
        self.generator_scheduler = generator_scheduler
        self.discriminator_scheduler = discriminator_scheduler
        self.max_iterations = max_iterations
        self.accumulate = accumulate
        self.clip_norm = clip_norm
        self.generator_every = generator_every
        self.metrics = metrics or MetricSuite()
        self.samples = samples
        self.sample_seed = sample_seed
        self.compile_networks = compile
        self.channels_last = channels_last
        self.init_from = init_from
        self.iteration = 0
        self.generator_updates = 0
        self._half_summed: dict[str, Tensor] = {}  # gradients of an interrupted update window
        self._settings: dict[str, Any] = {}  # of optimizers, schedules and data, for a later resume
        self._resumed: dict[str, Any] | None = None  # what a checkpoint says of optimizers and schedules
        self.seed: int | None = None
        self.val_results: MetricResults | None = None  # the last validation's
        self.test_results: MetricResults | None = None  # the last test's

    @property
    def reads_labels(self) -> bool:
        """Whether any part reads label maps; if none does, the data need not load them."""
        return labels_are_read(self)

    @classmethod
    def load_from_checkpoint(cls, checkpoint_path: str | Path, map_location: Any = None, **kwargs: Any) -> Inpainter:  # type: ignore[override]
        """Rebuild an Inpainter from a checkpoint of `inpaintzoo fit`.

        Args:
            checkpoint_path: The `.ckpt` file. Nothing in it is run: its settings may name the zoo's classes, torch's
                optimizers and schedulers, and classes derived from the zoo's that are imported already.
            map_location: Where its tensors go.
            **kwargs: Arguments of the Inpainter that replace those in the file, and `strict`.

        Raises:
            ConfigError: An argument would run code of the file, or take settings from another one.
            WeightsError: The file cannot be read, is not one of a run, or names something else.
        """
        for name in ("weights_only", "hparams_file"):
            if kwargs.pop(name, None) not in (None, True):
                raise ConfigError(
                    f"load_from_checkpoint: leave out {name}; a checkpoint holds plain values and tensors"
                )
        check_checkpoint(cls, checkpoint_path, kwargs)
        return super().load_from_checkpoint(checkpoint_path, map_location, weights_only=True, **kwargs)

    # ---------------------------------------------------------------- use

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        """Fill the hole and keep the known pixels.

        Args:
            image: `(B, 3, H, W)` in [0, 1].
            mask: `(B, 1, H, W)`, 1 = hole.

        Returns:
            The composite, `(B, 3, H, W)` in [0, 1].
        """
        return composite(image, self.predict_frame({"image": image, "mask": mask}).image, mask)

    def predict_frame(self, batch: Batch) -> Output:
        """The generator's output for a batch; it does not see the pixels of the hole."""
        return self.generator(self._masked_image(batch), batch["mask"])

    def fills(self, batch: Batch, n: int = 1) -> Tensor:
        """Raw predictions for evaluation, always the same for the same image.

        Args:
            batch: Images and masks. Random numbers depend on `index`, or without it on the position in the batch.
            n: Fills per image that a stochastic generator draws.

        Returns:
            `(B, n, 3, H, W)`, with n = 1 if the generator is deterministic.
        """
        if not self.generator.stochastic:
            return self.predict_frame(batch).image.unsqueeze(1)
        indices = batch["index"].tolist() if "index" in batch else range(len(batch["image"]))
        # Always on the CPU, so that every device gets the same numbers.
        seeds = ((self.sample_seed * 1_000_003 + int(index)) % 2**63 for index in indices)
        noise = [torch.Generator().manual_seed(seed) for seed in seeds]
        return self.generator.sample(self._masked_image(batch), batch["mask"], n, noise)

    def check_size(self, height: int, width: int, training: bool = True) -> None:
        """Check that the networks can work on pictures of a size.

        Args:
            height: In pixels.
            width: In pixels.
            training: Check the discriminators that judge the whole frame, too.

        Raises:
            DataError: A network cannot.
        """
        pixel = torch.zeros(1)
        self.generator.check_size(pixel.expand(1, 3, height, width), pixel.expand(1, 1, height, width))
        for adversary in self.adversaries.values() if training else ():
            if type(adversary.view) in _WHOLE_FRAME:
                for scale, discriminator in enumerate(adversary.discriminators()):  # type: ignore[operator]
                    discriminator.check_size(pixel.expand(1, 3, -(-height >> scale), -(-width >> scale)))

    def _masked_image(self, batch: Batch) -> Tensor:
        image = batch["image"].masked_fill(batch["mask"].bool(), 0.0)
        return image.contiguous(memory_format=torch.channels_last) if self.channels_last else image

    # ---------------------------------------------------------------- train

    @property
    def updates_generator(self) -> bool:
        """Whether the current update window updates the generator."""
        window = self.iteration // self.accumulate
        return not self.adversaries or (window + 1) % self.generator_every == 0

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """One iteration: forward, discriminators, generator."""
        # Random numbers depend on seed, iteration and rank alone, so there is no generator state to save or lose.
        assert self.seed is not None
        torch.manual_seed(((self.seed * 1_000_003 + self.iteration) * 65_537 + self.global_rank) % 2**63)
        steps = (self.iteration + 1) % self.accumulate == 0
        updates_generator = self.updates_generator
        with contextlib.nullcontext() if updates_generator else torch.no_grad():
            output = self.predict_frame(batch)
        terms: dict[str, Tensor] = {}
        if self.adversaries:
            terms |= self._train_discriminators(output.detach(), batch, steps)
        if updates_generator:
            terms |= self._train_generator(output, batch, steps, terms)
        else:
            self._raise_if_not_finite(terms)
        size = batch["image"].shape[0]
        self.log_dict({f"train/{name}": term.detach() for name, term in terms.items()}, batch_size=size)
        self.log("iteration", float(self.iteration + 1), batch_size=size)
        for part, optimizer in zip(("generator", "discriminator"), _as_list(self.optimizers()), strict=False):
            self.log(f"learning_rate/{part}", float(optimizer.param_groups[0]["lr"]), batch_size=size)
        self.iteration += 1
        if steps:
            for scheduler in _as_list(self.lr_schedulers()):
                scheduler.step()

    def _train_discriminators(self, output: Output, batch: Batch, steps: bool) -> dict[str, Tensor]:
        optimizer = _as_list(self.optimizers())[1]
        terms = {
            f"discriminator/{name}": adversary.discriminator_loss(output, batch)  # type: ignore[operator]
            for name, adversary in self.adversaries.items()
        }
        self._backward(torch.stack(list(terms.values())).sum(), steps)
        if steps:
            with self._steady_scale(self.generator):
                optimizer.step()
            optimizer.zero_grad()
        return terms

    def _train_generator(
        self, output: Output, batch: Batch, steps: bool, earlier: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        optimizer = _as_list(self.optimizers())[0]
        with frozen(self.adversaries):
            terms = {f"generator/{name}": loss(output, batch) for name, loss in self.losses.items() if loss.active}
            for name, adversary in self.adversaries.items():
                losses = adversary.generator_losses(output, batch)  # type: ignore[operator]
                terms |= {f"generator/{name}/{kind}": value for kind, value in losses.items()}
            if not terms:
                raise ConfigError(
                    f"nothing to learn from at iteration {self.iteration}: all losses and adversaries have weight 0; "
                    f"give one of them a weight above 0"
                )
            # All terms in one check, since each check waits for the device.
            self._raise_if_not_finite({**earlier, **terms})
            self._backward(torch.stack([term.float() for term in terms.values()]).sum(), steps)
        if self._plain_ddp:
            # Such as SPN's heads without the prior loss. Torch would fail in the next iteration, and not say why.
            missing = [name for name, p in self.generator.named_parameters() if p.requires_grad and p.grad is None]
            if missing:
                raise ConfigError(
                    f"plain ddp needs a gradient for every parameter, and the losses give none to the generator's "
                    f"{some(missing, 2)}; use strategy='ddp_find_unused_parameters_true'"
                )
        if steps:
            optimizer.step()
            optimizer.zero_grad()
            self.generator_updates += 1
        return terms

    def _backward(self, loss: Tensor, steps: bool) -> None:
        strategy = self.trainer.strategy
        waits = not steps and isinstance(strategy, ParallelStrategy)
        with strategy.block_backward_sync() if waits else contextlib.nullcontext():  # type: ignore[attr-defined]
            self.manual_backward(loss / self.accumulate)

    @contextlib.contextmanager
    def _steady_scale(self, waiting: nn.Module) -> Iterator[None]:
        # Under fp16 any step may change the loss scale; gradients still waiting for their window's end must follow.
        scaler = getattr(self.trainer.precision_plugin, "scaler", None)
        if scaler is None or self.accumulate == 1:
            yield
            return
        before = scaler.get_scale()
        yield
        change = scaler.get_scale() / before
        for parameter in waiting.parameters() if change != 1 else ():
            if parameter.grad is not None:
                parameter.grad.mul_(change)

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Clip here: under fp16, this hook runs after the gradients are unscaled, but code before `step()` does not."""
        if self.clip_norm is not None:
            parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            torch.nn.utils.clip_grad_norm_(parameters, self.clip_norm)

    def on_validation_model_zero_grad(self) -> None:
        """Keep the gradients: a validation may fall in the middle of an update window."""

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Stop before the first step if the generator needs labels and the data has none."""
        require_labels(self.generator, batch)

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

    # ---------------------------------------------------------------- validate, test, predict

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Measure a batch."""
        self._measure(batch, 1)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Measure a batch, with `samples` fills per image if the generator is stochastic."""
        self._measure(batch, self.samples)

    def _measure(self, batch: Batch, n: int) -> None:
        if self.generator.stochastic:
            self.metrics.update(self.fills(batch, n), batch)
            return
        output = self.predict_frame(batch)
        self.metrics.update(output.image, batch, predicted_logits(output))

    def predict_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Composites, `(B, n, 3, H, W)` in [0, 1]; n is `samples` for a stochastic generator, else 1."""
        fills = self.fills(batch, self.samples)
        return torch.stack([composite(batch["image"], fill, batch["mask"]) for fill in fills.unbind(1)], dim=1)

    def on_validation_epoch_start(self) -> None:
        """Discard the last epoch's rows."""
        self.metrics.reset()

    def on_test_epoch_start(self) -> None:
        """Discard earlier rows."""
        self.metrics.reset()

    def on_validation_epoch_end(self) -> None:
        """Log the metrics over the validation set."""
        self.val_results = self.metrics.compute()
        # Every process computed the same numbers from all rows, so there is nothing to reduce.
        self.log_dict({f"val/{name}": value for name, value in self.val_results.flat().items()})

    def on_test_epoch_end(self) -> None:
        """Keep the results for the report and log them."""
        self.test_results = self.metrics.compute()
        self.log_dict({f"test/{name}": value for name, value in self.test_results.flat().items()})

    # ---------------------------------------------------------------- set-up and state

    def setup(self, stage: str) -> None:
        """Check what the run needs, load `init_from`, and set memory layout and compilation.

        Raises:
            ConfigError: Plain `ddp` with adversaries, or a callback that needs Lightning's own steps.
            WeightsError: Weights of a metric are missing, or `init_from` does not fit.
        """
        if stage == "fit" and self.adversaries and self._plain_ddp:
            raise ConfigError(
                "plain ddp cannot train with adversaries, since each update leaves the other networks without "
                "gradients; use strategy='ddp_find_unused_parameters_true'"
            )
        for callback in self.trainer.callbacks if stage == "fit" and self._trainer is not None else ():  # type: ignore[attr-defined]
            for kind, instead in _UNFIT.items():
                if isinstance(callback, kind):
                    raise ConfigError(
                        f"{kind.__name__} does not work with an Inpainter, which steps its optimizers itself; remove "
                        f"the callback and {instead}"
                    )
        if stage == "fit" and self._trainer is not None and (data := getattr(self.trainer, "datamodule", None)):
            act_upon(check_labels(self, data))
        # Once trained, or with a checkpoint that is loaded after this, the network is no longer what it started from.
        if self.init_from is not None and self.iteration == 0 and (stage == "fit" or not self._checkpoint_comes()):
            for report in initialise(self.generator, self.adversaries, self.init_from, whole=stage != "fit"):
                rank_zero_info(str(report))
        self.metrics.prepare(self.device)
        if self.channels_last:
            self.to(memory_format=torch.channels_last)
        if self.compile_networks:
            self.generator.compile()
            for adversary in self.adversaries.values():
                # A gradient penalty differentiates twice, which compiled graphs cannot.
                if not adversary.objective.penalises_gradients:  # type: ignore[union-attr]
                    for discriminator in adversary.discriminators():  # type: ignore[operator]
                        discriminator.compile()

    def _checkpoint_comes(self) -> bool:
        return self._trainer is not None and self.trainer.ckpt_path is not None

    @property
    def _plain_ddp(self) -> bool:
        """Whether every parameter must get a gradient in every backward pass."""
        strategy = self.trainer.strategy if self._trainer is not None else None
        return isinstance(strategy, DDPStrategy) and not strategy._ddp_kwargs.get("find_unused_parameters")

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """One optimizer for the generator and, with adversaries, one for all discriminators."""
        pairs: list[tuple[nn.Module, Any, Any]] = [(self.generator, self.generator_optimizer, self.generator_scheduler)]
        if self.adversaries:
            pairs.append((self.adversaries, self.discriminator_optimizer, self.discriminator_scheduler))
        names = ("generator", "discriminator")
        self._schedules = Schedules(
            {
                name: make([p for p in net.parameters() if p.requires_grad])
                for name, (net, make, _) in zip(names, pairs, strict=False)
            }
        )
        for (name, optimizer), (_, _, schedule) in zip(self._schedules.optimizers.items(), pairs, strict=True):
            if schedule:
                self._schedules.add(name, schedule(optimizer))
        self._schedules.begin()
        schedules = list(self._schedules.schedules.values())
        if any(isinstance(schedule, ReduceLROnPlateau) for schedule in schedules):
            raise ConfigError("ReduceLROnPlateau needs a metric at each step; choose a scheduler that counts steps")
        return list(self._schedules.optimizers.values()), schedules

    def on_fit_start(self) -> None:
        """Set the seed from which every iteration's random numbers derive.

        Raises:
            ConfigError: A checkpoint whose moments the optimizers cannot go on with.
        """
        if self.seed is None:
            self.seed = torch.initial_seed() % 2**31
        if self._resumed is not None:
            self._schedules.check(self._resumed["optimizer_states"])

    def on_train_start(self) -> None:
        """Restore schedules under the config's settings, and half-summed gradients, which the Trainer clears."""
        self._settings = {**self._schedules.settings, "accumulate": self.accumulate, "data": self._data_settings()}
        if self._resumed is not None:
            saved = self._resumed["settings"]
            self._schedules.restore(saved, self._resumed["lr_schedulers"], self.iteration // self.accumulate)
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
        state: dict[str, Any] = {
            "iteration": self.iteration,
            "generator_updates": self.generator_updates,
            "seed": self.seed,
            "settings": self._settings,
            "networks": describe_parts(self.generator, self.adversaries),
        }
        if self.iteration % self.accumulate:  # in the middle of a window
            # Each process has summed its own gradients, and goes on with them bit for bit.
            own = {n: p.grad.cpu() for n, p in self.named_parameters() if p.grad is not None}
            state["gradients"] = gather_over_ranks(own)
        checkpoint["inpainter"] = state

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore counters, seed and half-summed gradients.

        Raises:
            ConfigError: A fit is resumed although `init_from` is set.
            WeightsError: The checkpoint is not one of this Inpainter.
        """
        check_resumes(checkpoint, self.state_dict())
        state = checkpoint["inpainter"]
        if self._trainer is not None and self.trainer.state.fn == "fit":
            refuse_to_resume(self.init_from)
            states = {key: checkpoint[key] for key in ("optimizer_states", "lr_schedulers")}
            self._resumed = {**states, "settings": state.get("settings")}
            checkpoint["lr_schedulers"] = []  # Lightning would restore their settings too
        self.iteration, self.seed = state["iteration"], state["seed"]
        self.generator_updates = state["generator_updates"]
        gradients = state.get("gradients", {})
        if self._trainer is None:
            gradients = {}  # nothing goes on with them
        elif isinstance(gradients, list):  # of each process
            own = len(gradients) == self.trainer.world_size
            gradients = gradients[self.trainer.global_rank] if own else _mean(gradients)
        self._half_summed = gradients

    def _save_settings(self) -> None:
        # Under LightningCLI the settings are the config (class paths, plain values), from which load_from_checkpoint
        # rebuilds everything. In a script they are live objects, which do not belong in a file.
        objects = ["generator", "losses", "adversaries", "metrics"]
        callables = [f"{part}_{kind}" for part in ("generator", "discriminator") for kind in ("optimizer", "scheduler")]
        self.save_hyperparameters(ignore=objects + callables)
        if "_instantiator" in self.hparams:
            self.save_hyperparameters()
        # These describe the run, not the model: a checkpoint must not overrule them when the run is resumed.
        for name in ("max_iterations", "init_from"):
            self.hparams.pop(name, None)
