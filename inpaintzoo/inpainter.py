"""The LightningModule that trains and tests any generator with any losses and adversaries, and what it has to offer."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor, nn
from torch.optim import Adam, Optimizer
from torchvision.utils import make_grid

from inpaintzoo.adversary import Adversary
from inpaintzoo.data.findings import Finding, act_upon
from inpaintzoo.data.labels.needs import check_labels, labels_are_read, require_labels
from inpaintzoo.generator import Generator
from inpaintzoo.losses.base import Loss
from inpaintzoo.metrics import MetricResults, MetricSuite, SampleMetric
from inpaintzoo.metrics.segmentation import predicted_logits
from inpaintzoo.ops import composite, frozen, show_hole
from inpaintzoo.training_module import TrainingModule, as_list
from inpaintzoo.types import Batch, ConfigError, InpaintzooError, Output
from inpaintzoo.views import Composite, HoleMasked, RawPrediction, Samples
from inpaintzoo.weights.checkpoints import describe_parts
from inpaintzoo.weights.initialise import initialise
from inpaintzoo.weights.trusted import check_checkpoint
from inpaintzoo.words import some

_WHOLE_FRAME = (Composite, HoleMasked, RawPrediction, Samples)  # the other views show pictures of their own size


def _adam(parameters: Any) -> Optimizer:
    return Adam(parameters, lr=1e-4, betas=(0.5, 0.999))


def _check_names(groups: Mapping[str, Mapping[str, nn.Module]]) -> None:
    for group, members in groups.items():
        for name in members:
            if not name or "." in name or hasattr(nn.ModuleDict(), name):
                raise ConfigError(f"{group}: torch modules cannot be named {name!r}; choose another name")


def picture_row(batch: Batch, fills: Tensor) -> Tensor:
    """Masked input (white hole), first prediction, all composites, and truth, side by side.

    Args:
        batch: B pairs.
        fills: `(B, n, 3, H, W)` predictions.

    Returns:
        `((3 + n) * B, 3, H, W)` in [0, 1], `3 + n` pictures per sample.
    """
    image, mask = batch["image"].float(), batch["mask"].float()
    fills = fills.float().clamp(0, 1)
    composites = [composite(image, fill, mask) for fill in fills.unbind(1)]
    return torch.stack([show_hole(image, mask), fills[:, 0], *composites, image], dim=1).flatten(0, 1)


class Inpainter(TrainingModule):
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
        self.generator_updates = 0
        self.seed: int | None = None
        self.val_results: MetricResults | None = None  # the last validation's
        self.test_results: MetricResults | None = None  # the last test's

    averaged = "generator"

    @property
    def updates(self) -> int:
        """Updates of the generator."""
        return self.generator_updates

    def headlines(self) -> list[str]:
        """The networks' sizes, and what losses have to say."""
        sizes = [sum(each.numel() for each in part.parameters()) for part in (self.generator, self.adversaries)]
        name = type(self.generator).__name__
        line = f"generator: {name}, {sizes[0]:,} parameters; discriminators: {sizes[1]:,} parameters"
        return [line, *filter(None, (str(loss.headline or "") for loss in self.losses.values()))]

    def measured(self) -> list[str]:
        """Names of the metrics; validation draws one fill per image, so those that compare several are not logged."""
        return [metric.name for metric in self.metrics.metrics if not isinstance(metric, SampleMetric)]

    def optimized(self) -> dict[str, tuple[nn.Module, OptimizerCallable, LRSchedulerCallable | None]]:
        """Generator, and all discriminators together."""
        return {
            "generator_": (self.generator, self.generator_optimizer, self.generator_scheduler),
            "discriminator_": (self.adversaries, self.discriminator_optimizer, self.discriminator_scheduler),
        }

    def initialise(self, whole: bool = False) -> list[str]:
        """Load `init_from`; see `inpaintzoo.weights.initialise`."""
        assert self.init_from is not None
        return [str(report) for report in initialise(self.generator, self.adversaries, self.init_from, whole)]

    def rehearse(self, data: Any) -> list[Finding]:
        """Check the labels, the size of a training batch, the losses and the metrics."""
        findings = check_labels(self, data)
        if not any(finding.level == "error" for finding in findings):
            findings.append(self._rehearse_sizes(data))
        if not any(finding.level == "error" for finding in findings):
            findings += [self._rehearse_losses(data), self._rehearse_metrics(data)]
        return findings

    def _rehearse_sizes(self, data: Any) -> Finding:
        """Check the size and labels of one training batch, and report how much of it is hole."""
        try:
            batch = next(iter(data.train_dataloader()))
            self.generator.check_size(batch["image"], batch["mask"])
            require_labels(self.generator, batch)
        except InpaintzooError as error:
            return Finding("error", str(error))
        height, width = batch["image"].shape[-2:]
        hole = float(batch["mask"].mean())
        text = f"first batch: {height}x{width}, fits {type(self.generator).__name__}; {hole:.0%} of it is hole"
        if hole > 0.6:
            return Finding("warning", f"{text}; are the masks inverted (1 = hole)?")
        return Finding("ok", text)

    def _rehearse_losses(self, data: Any) -> Finding:
        """Run two training pairs through all losses: finds missing outputs and sizes too small."""
        try:
            batch = next(iter(data.train_dataloader()))
            pairs: Batch = {key: value[:2] for key, value in batch.items()}  # type: ignore[assignment]
            with torch.no_grad():
                output = self.train().predict_frame(pairs)
                for loss in self.losses.values():
                    loss(output, pairs)
                for adversary in self.adversaries.values():
                    adversary.generator_losses(output, pairs)  # type: ignore[operator]
        except (InpaintzooError, ValueError) as error:
            return Finding("error", f"losses and adversaries: {error}")
        return Finding(
            "ok", f"losses: {', '.join(self.losses) or 'none'}; adversaries: {', '.join(self.adversaries) or 'none'}"
        )

    def _rehearse_metrics(self, data: Any) -> Finding:
        """Run one test batch through the metrics: finds missing weights and sizes too small."""
        try:
            self.metrics.prepare(torch.device("cpu"))
            batch = next(iter(data.test_dataloader()))
            self.metrics.update(batch["image"], batch)
            if self.metrics.segmentation_metrics:
                pairs: Batch = {key: value[:2] for key, value in batch.items()}  # type: ignore[assignment]
                with torch.no_grad():
                    output = self.eval().predict_frame(pairs)
                self.metrics.update(output.image, pairs, predicted_logits(output))
        except InpaintzooError as error:
            return Finding("error", f"metrics: {error}")
        finally:
            self.metrics.reset()
        return Finding("ok", f"metrics: {', '.join(metric.name for metric in self.metrics.metrics)}")

    def draw(self, batch: Batch) -> tuple[str, Tensor]:
        """Masked input, prediction, composites and truth, a row for each picture."""
        fills = self.fills(batch, 2)
        return "masked, prediction, composite, truth", make_grid(picture_row(batch, fills), nrow=3 + fills.shape[1])

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
        for part, optimizer in zip(("generator", "discriminator"), as_list(self.optimizers()), strict=False):
            self.log(f"learning_rate/{part}", float(optimizer.param_groups[0]["lr"]), batch_size=size)
        self.iteration += 1
        if steps:
            for scheduler in as_list(self.lr_schedulers()):
                scheduler.step()

    def _train_discriminators(self, output: Output, batch: Batch, steps: bool) -> dict[str, Tensor]:
        optimizer = as_list(self.optimizers())[1]
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
        optimizer = as_list(self.optimizers())[0]
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

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Stop before the first step if the generator needs labels and the data has none."""
        require_labels(self.generator, batch)

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
        super().setup(stage)
        if stage == "fit" and self._trainer is not None and (data := getattr(self.trainer, "datamodule", None)):
            act_upon(check_labels(self, data))
        # Once trained, or with a checkpoint that is loaded after this, the network is no longer what it started from.
        if self.init_from is not None and self.iteration == 0 and (stage == "fit" or not self._checkpoint_comes()):
            for report in self.initialise(whole=stage != "fit"):
                rank_zero_info(report)
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

    def on_fit_start(self) -> None:
        """Set the seed from which every iteration's random numbers derive.

        Raises:
            ConfigError: A checkpoint whose moments the optimizers cannot go on with.
        """
        super().on_fit_start()
        if self.seed is None:
            self.seed = torch.initial_seed() % 2**31

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what an exact resume needs beyond weights and optimizers."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["inpainter"] |= {
            "generator_updates": self.generator_updates,
            "seed": self.seed,
            "networks": describe_parts(self.generator, self.adversaries),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore counters, seed and half-summed gradients.

        Raises:
            ConfigError: A fit is resumed although `init_from` is set.
            WeightsError: The checkpoint is not one of this Inpainter.
        """
        super().on_load_checkpoint(checkpoint)
        state = checkpoint["inpainter"]
        self.seed, self.generator_updates = state["seed"], state["generator_updates"]

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
