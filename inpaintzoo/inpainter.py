"""The one LightningModule: trains and tests any generator with any losses and adversaries."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from lightning import LightningModule
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.strategies import DDPStrategy, ParallelStrategy
from lightning.pytorch.utilities import rank_zero_info
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from inpaintzoo.adversary import Adversary
from inpaintzoo.data.findings import act_upon
from inpaintzoo.data.labels.needs import check_labels, labels_are_read, require_labels
from inpaintzoo.generator import Generator
from inpaintzoo.losses.base import Loss
from inpaintzoo.metrics import MetricResults, MetricSuite
from inpaintzoo.metrics.segmentation import predicted_logits
from inpaintzoo.ops import composite, frozen, mean_over_ranks
from inpaintzoo.types import Batch, ConfigError, NonFiniteLossError, Output
from inpaintzoo.weights.checkpoints import check_resumes, describe_parts
from inpaintzoo.weights.initialise import initialise, refuse_to_resume

_CALLABLES = ["generator_optimizer", "discriminator_optimizer", "generator_scheduler", "discriminator_scheduler"]


def _adam(parameters: Any) -> Optimizer:
    return Adam(parameters, lr=1e-4, betas=(0.5, 0.999))


def _check_names(groups: Mapping[str, Mapping[str, nn.Module]]) -> None:
    for group, members in groups.items():
        for name in members:
            if not name or "." in name or hasattr(nn.ModuleDict(), name):
                raise ConfigError(f"{group}: torch modules cannot be named {name!r}; choose another name")


class Inpainter(LightningModule):
    """Trains a generator against weighted losses and adversaries.

    One batch is one iteration: one generator forward, one update of all discriminators on the detached output,
    one update of the generator. Images are in [0, 1], masks 1 = hole.

    Lightning's `global_step` counts the steps of both optimizers, so `max_steps=8` runs four iterations: say
    `max_iterations` here, and read `iteration` in logs, checkpoints and file names.

    Args:
        generator: fills the hole.
        losses: the generator's terms by name; a name is only a label in logs, the weight is the loss's own.
        adversaries: discriminators with their objectives, by name.
        generator_optimizer: from parameters to optimizer; Adam(1e-4, betas 0.5 and 0.999) by default.
        discriminator_optimizer: one optimizer for all discriminators; the same default.
        generator_scheduler: from optimizer to scheduler, stepped once an update window, whether or not the window
            updates the generator (`generator_every`).
        discriminator_scheduler: likewise.
        max_iterations: stop after so many batches a process, counted over resumed runs too; None leaves the end
            to the Trainer.
        accumulate: batches whose gradients are added up before a step. Within a window the generator meets the
            discriminator as it was before the window, but for the last batch.
        clip_norm: largest gradient norm of each optimizer's parameters, measured on unscaled gradients.
        generator_every: update windows of the discriminators for one of the generator (5 is usual with
            `WassersteinGP`).
        metrics: what validate and test measure.
        samples: fills an image that `test` and `predict` draw from a stochastic generator; `test` judges the best by
            PSNR (as SPN's protocol) and how much they differ. Deterministic generators have one fill.
        sample_seed: seed of those fills; an image's depend on this seed and the image's index only.
        compile: compile the networks with `torch.compile`.
        channels_last: keep images and convolution weights in the channels-last layout.
        init_from: weights that a new fit starts from: a file, or files by part (`generator`, an adversary's name); see
            `inpaintzoo.weights.initialise`. Not for going on with a run, which `--ckpt_path` does.
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
        self._half_summed: dict[str, Tensor] = {}  # gradients of an interrupted accumulation window
        self.seed: int | None = None
        self.val_results: MetricResults | None = None  # of the last validation and the last test
        self.test_results: MetricResults | None = None

    @property
    def reads_labels(self) -> bool:
        """Whether anything here looks at label maps; where nothing does, the data need not load them."""
        return labels_are_read(self)

    # ---------------------------------------------------------------- use

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        """Fill the hole and keep the known pixels: the composite, `(B, 3, H, W)` in [0, 1].

        Args:
            image: `(B, 3, H, W)` in [0, 1].
            mask: `(B, 1, H, W)`, 1 = hole.
        """
        return composite(image, self.predict_frame({"image": image, "mask": mask}).image, mask)

    def predict_frame(self, batch: Batch) -> Output:
        """The generator's output for a batch whose hole it cannot see."""
        return self.generator(self._masked_image(batch), batch["mask"])

    def fills(self, batch: Batch, n: int = 1) -> Tensor:
        """Raw predictions `(B, n, 3, H, W)` for evaluation: always the same ones for an image; n = 1 if deterministic.

        Args:
            batch: pairs with `index`; without it their positions in the batch take its place.
            n: fills that a stochastic generator draws.
        """
        if not self.generator.stochastic:
            return self.predict_frame(batch).image.unsqueeze(1)
        indices = batch["index"].tolist() if "index" in batch else range(len(batch["image"]))
        # On the CPU whatever the device, so that the same numbers come everywhere.
        seeds = ((self.sample_seed * 1_000_003 + int(index)) % 2**63 for index in indices)
        noise = [torch.Generator().manual_seed(seed) for seed in seeds]
        return self.generator.sample(self._masked_image(batch), batch["mask"], n, noise)

    def _masked_image(self, batch: Batch) -> Tensor:
        image = batch["image"].masked_fill(batch["mask"].bool(), 0.0)
        return image.contiguous(memory_format=torch.channels_last) if self.channels_last else image

    # ---------------------------------------------------------------- train

    @property
    def updates_generator(self) -> bool:
        """Whether the window that holds the current iteration updates the generator."""
        window = self.iteration // self.accumulate
        return not self.adversaries or (window + 1) % self.generator_every == 0

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """One iteration: forward, discriminators, generator."""
        self._seed_iteration()
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
        self._log_training(terms, batch)
        self.iteration += 1
        if steps:
            for scheduler in self._schedulers():
                scheduler.step()

    def _train_discriminators(self, output: Output, batch: Batch, steps: bool) -> dict[str, Tensor]:
        optimizer = self._optimizers()[1]
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
        optimizer = self._optimizers()[0]
        with frozen(self.adversaries):
            terms = {f"generator/{name}": loss(output, batch) for name, loss in self.losses.items()}
            for name, adversary in self.adversaries.items():
                losses = adversary.generator_losses(output, batch)  # type: ignore[operator]
                terms |= {f"generator/{name}/{kind}": value for kind, value in losses.items()}
            # One look a step at all terms: each look waits for the device.
            self._raise_if_not_finite({**earlier, **terms})
            self._backward(torch.stack([term.float() for term in terms.values()]).sum(), steps)
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
        # Under fp16 every step may change the loss scale; gradients that wait for the end of their window must follow.
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
        """Clip here: under fp16 this hook comes after the gradients are unscaled, `step()` before."""
        if self.clip_norm is not None:
            parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            torch.nn.utils.clip_grad_norm_(parameters, self.clip_norm)

    def on_validation_model_zero_grad(self) -> None:
        """Leave the gradients alone: a validation may fall into the middle of an accumulation window."""

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Refuse a generator that learns from labels on data without them, before the first step."""
        require_labels(self.generator, batch)

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """End the run after `max_iterations`."""
        if self.max_iterations is not None and self.iteration >= self.max_iterations:
            self.trainer.should_stop = True

    def _raise_if_not_finite(self, terms: Mapping[str, Tensor]) -> None:
        # The mean over processes, so that all of them stop when one meets a NaN.
        values = mean_over_ranks(torch.stack([term.detach().float() for term in terms.values()]))
        if bool(torch.isfinite(values).all()):
            return
        bad = ", ".join(
            f"{name} = {value:g}" for name, value in zip(terms, values.tolist(), strict=True) if value - value != 0.0
        )
        raise NonFiniteLossError(
            f"training stopped at iteration {self.iteration}: {bad}; the last checkpoint holds finite weights: resume "
            f"from it with a lower learning rate, clip_norm, or bf16 instead of fp16"
        )

    # ---------------------------------------------------------------- validate, test, predict

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Measure a batch."""
        self._measure(batch, 1)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Measure a batch; of a stochastic generator `samples` fills an image."""
        self._measure(batch, self.samples)

    def _measure(self, batch: Batch, n: int) -> None:
        if self.generator.stochastic:
            self.metrics.update(self.fills(batch, n), batch)
            return
        output = self.predict_frame(batch)
        self.metrics.update(output.image, batch, predicted_logits(output))

    def predict_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The composites of a batch, `(B, n, 3, H, W)` in [0, 1]: `samples` of a stochastic generator, else one."""
        fills = self.fills(batch, self.samples)
        return torch.stack([composite(batch["image"], fill, batch["mask"]) for fill in fills.unbind(1)], dim=1)

    def on_validation_epoch_start(self) -> None:
        """Forget the last epoch's rows."""
        self.metrics.reset()

    def on_test_epoch_start(self) -> None:
        """Forget earlier rows."""
        self.metrics.reset()

    def on_validation_epoch_end(self) -> None:
        """Log the metrics over the validation set."""
        self.val_results = self.metrics.compute()
        # Every process has computed the same numbers from all rows: nothing to reduce.
        self.log_dict({f"val/{name}": value for name, value in self.val_results.flat().items()})

    def on_test_epoch_end(self) -> None:
        """Keep the results for the report and log them."""
        self.test_results = self.metrics.compute()
        self.log_dict({f"test/{name}": value for name, value in self.test_results.flat().items()})

    # ---------------------------------------------------------------- set-up and state

    def setup(self, stage: str) -> None:
        """Check what the run needs and bring the networks into the chosen form.

        Raises:
            ConfigError: plain `ddp` with adversaries.
            WeightsError: metrics whose weights are missing, or `init_from` does not fit.
        """
        self._refuse_plain_ddp(stage)
        if stage == "fit" and self._trainer is not None and (data := getattr(self.trainer, "datamodule", None)):
            act_upon(check_labels(self, data))
        if self.init_from is not None and stage == "fit":
            for report in initialise(self.generator, self.adversaries, self.init_from):
                rank_zero_info(str(report))
        self.metrics.prepare(self.device)
        if self.channels_last:
            self.to(memory_format=torch.channels_last)
        if self.compile_networks:
            self.generator.compile()
            for adversary in self.adversaries.values():
                # Compiled graphs cannot be differentiated twice, which a gradient penalty needs.
                if not adversary.objective.penalises_gradients:  # type: ignore[union-attr]
                    for discriminator in adversary.discriminators():  # type: ignore[operator]
                        discriminator.compile()

    def _refuse_plain_ddp(self, stage: str) -> None:
        strategy = self.trainer.strategy if self._trainer is not None else None
        if stage != "fit" or not self.adversaries or not isinstance(strategy, DDPStrategy):
            return
        if not strategy._ddp_kwargs.get("find_unused_parameters"):
            raise ConfigError(
                "plain ddp cannot train with adversaries, since each update leaves the other networks without "
                "gradients; use strategy='ddp_find_unused_parameters_true'"
            )

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """One optimizer for the generator and, with adversaries, one for all discriminators."""
        pairs: list[tuple[nn.Module, Any, Any]] = [(self.generator, self.generator_optimizer, self.generator_scheduler)]
        if self.adversaries:
            pairs.append((self.adversaries, self.discriminator_optimizer, self.discriminator_scheduler))
        optimizers = [make([p for p in net.parameters() if p.requires_grad]) for net, make, _ in pairs]
        schedules = [
            schedule(optimizer) for optimizer, (_, _, schedule) in zip(optimizers, pairs, strict=True) if schedule
        ]
        if any(isinstance(schedule, ReduceLROnPlateau) for schedule in schedules):
            raise ConfigError("ReduceLROnPlateau needs a metric at each step; choose a scheduler that counts steps")
        return optimizers, schedules

    def on_fit_start(self) -> None:
        """Fix the seed that every iteration's random numbers derive from."""
        if self.seed is None:
            self.seed = torch.initial_seed() % 2**31

    def on_train_start(self) -> None:
        """Put half-summed gradients back, which the Trainer clears when it has loaded a checkpoint."""
        if self.max_iterations is not None and self.iteration >= self.max_iterations:
            rank_zero_info(f"nothing to do: {self.iteration} of {self.max_iterations} iterations are done already")
            self.trainer.should_stop = True
        for name, parameter in self.named_parameters():
            if name in self._half_summed:
                parameter.grad = self._half_summed[name].to(parameter)
        self._half_summed = {}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what an exact resume needs beyond weights and optimizers."""
        state: dict[str, Any] = {
            "iteration": self.iteration,
            "generator_updates": self.generator_updates,
            "seed": self.seed,
            "networks": describe_parts(self.generator, self.adversaries),
        }
        if self.iteration % self.accumulate:  # in the middle of a window
            # Each process has summed its own; their mean in all of them leads to the same update.
            state["gradients"] = {n: mean_over_ranks(p.grad) for n, p in self.named_parameters() if p.grad is not None}
        checkpoint["inpainter"] = state

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take up counter, seed and half-summed gradients.

        Raises:
            ConfigError: a fit resumes although it has `init_from`.
            WeightsError: the file is of something else than this Inpainter.
        """
        if self._trainer is not None and self.trainer.state.fn == "fit":
            refuse_to_resume(self.init_from)
        check_resumes(checkpoint, self.state_dict())
        state = checkpoint["inpainter"]
        self.iteration, self.seed = state["iteration"], state["seed"]
        self.generator_updates = state["generator_updates"]
        self._half_summed = state.get("gradients", {})

    def _save_settings(self) -> None:
        # Under LightningCLI the settings are the config (class paths, plain values), and load_from_checkpoint can
        # rebuild everything from them. In a script they would be live objects: those do not belong in a file.
        objects = ["generator", "losses", "adversaries", "metrics", *_CALLABLES]
        self.save_hyperparameters(ignore=objects)
        if "_instantiator" in self.hparams:
            self.save_hyperparameters()
        # Not properties of the model: resuming with a larger number must not be overruled by the file.
        for name in ("max_iterations", "init_from"):
            self.hparams.pop(name, None)

    def _seed_iteration(self) -> None:
        # Random numbers depend on seed, iteration and rank alone: no generator state to save, none to lose.
        assert self.seed is not None
        torch.manual_seed(((self.seed * 1_000_003 + self.iteration) * 65_537 + self.global_rank) % 2**63)

    def _optimizers(self) -> list[Any]:
        optimizers = self.optimizers()
        return optimizers if isinstance(optimizers, list) else [optimizers]

    def _schedulers(self) -> list[Any]:
        schedulers = self.lr_schedulers()
        return schedulers if isinstance(schedulers, list) else [schedulers] if schedulers else []

    def _log_training(self, terms: Mapping[str, Tensor], batch: Batch) -> None:
        size = batch["image"].shape[0]
        self.log_dict({f"train/{name}": term.detach() for name, term in terms.items()}, batch_size=size)
        self.log("iteration", float(self.iteration + 1), batch_size=size)
