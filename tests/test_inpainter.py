"""The training step: who is updated when, with which gradients, and what stops it."""

import contextlib
import functools

import pytest
import torch
from lightning import Callback, Trainer
from lightning.pytorch.callbacks import (
    BatchSizeFinder,
    GradientAccumulationScheduler,
    LearningRateFinder,
    StochasticWeightAveraging,
)
from lightning.pytorch.plugins.precision import MixedPrecision
from torch import nn
from toys import NoiseData, NormFreeGenerator, TinyDiscriminator, TinyGenerator, quiet_trainer

from inpaintzoo.adversary import Adversary
from inpaintzoo.callbacks import Checkpoints, GeneratorEMA
from inpaintzoo.data import ScenesData
from inpaintzoo.discriminators import PENNetDiscriminator
from inpaintzoo.doctor import _size
from inpaintzoo.inpainter import Inpainter
from inpaintzoo.losses import L1, HoleL1, ValidL1
from inpaintzoo.losses.base import Loss
from inpaintzoo.objectives import Hinge, WassersteinGP
from inpaintzoo.ops import evaluating, frozen
from inpaintzoo.types import ConfigError, DataError, NonFiniteLossError


def sgd(parameters):
    return torch.optim.SGD(parameters, lr=0.1)


def adversaries(**options):
    return {"global": Adversary(TinyDiscriminator(), Hinge(), **options)}


def inpainter(generator=None, adversarial=True, **options):
    torch.manual_seed(0)
    generator = generator or NormFreeGenerator()
    judges = options.pop("adversaries", adversaries() if adversarial else None)
    losses = options.pop("losses", {"hole": HoleL1(12.0), "valid": ValidL1(2.0)})
    return Inpainter(generator, losses, judges, **options)


def fit(model, data=None, callbacks=(), **options):
    trainer = quiet_trainer(**{"max_epochs": 1, "callbacks": list(callbacks), "limit_val_batches": 0, **options})
    trainer.fit(model, data or NoiseData())
    return trainer


@pytest.mark.parametrize(
    ("callback", "text"),
    [
        (
            LearningRateFinder(),
            "LearningRateFinder does not work with Inpainter.* set the rate of the model's optimizers",
        ),
        (GradientAccumulationScheduler({0: 2}), "GradientAccumulationScheduler .* set the model's accumulate"),
        (BatchSizeFinder(), "BatchSizeFinder .* set the data's batch_size"),
        (StochasticWeightAveraging(0.1), "StochasticWeightAveraging .* use GeneratorEMA"),
    ],
)
def test_callbacks_that_need_lightnings_own_steps_are_refused(callback, text):
    with pytest.raises(ConfigError, match=text):
        fit(inpainter(), callbacks=[callback])


def weights(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def moved(before, module):
    return any(not torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_losses_of_weight_0_are_not_computed():
    class Costly(L1):
        def forward(self, output, batch):
            raise AssertionError

    fit(inpainter(losses={"frame": L1(), "nothing": Costly(0.0)}))
    with pytest.raises(ConfigError, match="nothing to learn from at iteration 0: all losses and adversaries have weig"):
        fit(inpainter(losses={"nothing": Costly(0.0)}, adversaries=adversaries(weight=0.0)))


def test_max_steps_counts_both_optimizers_but_iteration_counts_batches():
    model = inpainter()
    trainer = fit(model, max_steps=8, max_epochs=-1)
    assert trainer.global_step == 8
    assert model.iteration == 4


def test_max_iterations_counts_batches():
    model = inpainter(max_iterations=3)
    trainer = fit(model, max_epochs=-1)
    assert (model.iteration, trainer.global_step) == (3, 6)


@pytest.mark.parametrize("option", [{"gradient_clip_val": 1.0}, {"accumulate_grad_batches": 2}])
def test_lightning_refuses_its_own_clipping_and_accumulation(option):
    # Both belong to the Inpainter; should Lightning ever accept them, nothing would read them.
    with pytest.raises(Exception, match="manual optimization"):
        fit(inpainter(), **option)


def test_generator_runs_once_a_batch_and_never_sees_the_hole():
    seen = []

    class Spy(NormFreeGenerator):
        def forward(self, image, mask):
            seen.append((image * mask).abs().sum().item())
            return super().forward(image, mask)

    fit(inpainter(Spy()))
    assert seen == [0.0] * 4


def test_each_update_touches_its_own_networks_only():
    model = inpainter()

    class Watch(Callback):
        def on_before_optimizer_step(self, trainer, module, optimizer):
            generator = {id(p) for p in module.generator.parameters()}
            mine = {id(p) for group in optimizer.param_groups for p in group["params"]}
            others = module.adversaries if mine == generator else module.generator
            assert all(p.grad is None for p in others.parameters())
            assert all(p.grad is not None for group in optimizer.param_groups for p in group["params"])
            self.steps = getattr(self, "steps", 0) + 1

    watch = Watch()
    fit(model, callbacks=[watch])
    assert watch.steps == 8


def test_frozen_restores_after_an_error_and_leaves_the_frozen_alone():
    net = torch.nn.Linear(2, 2)
    net.bias.requires_grad_(False)
    with contextlib.suppress(RuntimeError), frozen(net):
        assert not net.weight.requires_grad
        raise RuntimeError
    assert net.weight.requires_grad and not net.bias.requires_grad


@pytest.mark.parametrize("clip_norm", [0.01, 0.5])
def test_clip_norm_bounds_the_step(clip_norm):
    model = inpainter(clip_norm=clip_norm, adversarial=False, generator_optimizer=lambda p: torch.optim.SGD(p, lr=1.0))
    before = weights(model.generator)
    fit(model, limit_train_batches=1)
    step = torch.stack([(value - before[name]).norm() for name, value in model.generator.state_dict().items()]).norm()
    assert step.item() == pytest.approx(clip_norm, rel=1e-3)


def test_fp16_clips_unscaled_gradients():
    # With a scale of 4096 a clip of the scaled gradients would shrink the step 4096-fold.
    steps = []
    for scaled in (False, True):
        model = inpainter(clip_norm=0.5, adversarial=False, generator_optimizer=lambda p: torch.optim.SGD(p, lr=1.0))
        before = weights(model.generator)
        scaler = torch.amp.GradScaler("cpu", init_scale=4096.0)
        plugins = [MixedPrecision("16-mixed", "cpu", scaler)] if scaled else []
        fit(model, plugins=plugins, limit_train_batches=1)
        steps.append({name: value - before[name] for name, value in model.generator.state_dict().items()})
    for name, step in steps[0].items():
        assert torch.allclose(step, steps[1][name], atol=5e-3), name
    assert sum(step.norm() ** 2 for step in steps[1].values()) ** 0.5 == pytest.approx(0.5, rel=1e-2)


def test_accumulation_equals_one_large_batch():
    small = inpainter(adversarial=False, accumulate=2, generator_optimizer=sgd)
    large = inpainter(adversarial=False, generator_optimizer=sgd)
    fit(small, NoiseData(batch_size=2))
    fit(large, NoiseData(batch_size=4))
    assert (small.iteration, small.generator_updates, large.generator_updates) == (4, 2, 2)
    for name, value in large.generator.state_dict().items():
        assert torch.allclose(value, small.generator.state_dict()[name], atol=1e-6), name


def test_fp16_windows_survive_a_change_of_the_loss_scale():
    # The discriminators' step at the end of a window doubles the scale while the generator's gradients wait.
    steps = []
    for scaled in (False, True):
        model = inpainter(accumulate=2, generator_optimizer=sgd, discriminator_optimizer=sgd)
        before = weights(model.generator)
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=1)
        plugins = [MixedPrecision("16-mixed", "cpu", scaler)] if scaled else []
        fit(model, plugins=plugins, limit_train_batches=2)
        steps.append(torch.cat([(v - before[n]).flatten() for n, v in model.generator.state_dict().items()]))
    assert steps[1].norm().item() == pytest.approx(steps[0].norm().item(), rel=1e-2)


def test_discriminators_accumulate_too():
    model = inpainter(accumulate=4)
    trainer = fit(model)
    assert (model.iteration, trainer.global_step) == (4, 2)


def test_generator_every():
    model = inpainter(generator_every=3)
    trainer = fit(model, NoiseData(count=12))
    assert (model.iteration, model.generator_updates, trainer.global_step) == (6, 2, 8)


def test_schedulers_step_once_a_window():
    def halve(optimizer):
        return torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)

    model = inpainter(accumulate=2, generator_scheduler=halve, discriminator_scheduler=halve)
    trainer = fit(model)
    assert [optimizer.param_groups[0]["lr"] for optimizer in trainer.optimizers] == [2.5e-5, 2.5e-5]


def test_nan_loss_stops_with_its_name_and_step():
    class Poison(Loss):
        calls = 0

        def forward(self, output, batch):
            self.calls += 1
            return output.image.mean() * (float("nan") if self.calls == 3 else 1.0)

    model = inpainter(losses={"poison": Poison()})
    states = []

    class Record(Callback):
        def on_train_batch_start(self, trainer, module, batch, batch_idx):
            states.append(weights(module.generator))

    with pytest.raises(NonFiniteLossError, match=r"iteration 2: generator/poison = nan; no checkpoint was saved yet"):
        fit(model, callbacks=[Record()])
    assert not moved(states[-1], model.generator), "the generator must not take the poisoned step"


def test_weights_that_are_not_finite_are_never_saved(tmp_path):
    class RootOfZero(Loss):
        """Finite, but its gradient is not."""

        calls = 0

        def forward(self, output, batch):
            self.calls += 1
            return (output.image * (self.calls < 4)).sum().sqrt()

    model = inpainter(losses={"root": RootOfZero()}, adversarial=False, max_iterations=6)
    checkpoints = Checkpoints(every_iterations=1)
    checkpoints.dirpath = str(tmp_path)
    trainer = quiet_trainer(callbacks=[checkpoints], limit_val_batches=0, enable_checkpointing=True)
    with pytest.raises(NonFiniteLossError, match=r"iteration 4: .* no longer finite.*were not saved"):
        trainer.fit(model, NoiseData())
    saved = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert saved["inpainter"]["iteration"] == 3
    assert all(torch.isfinite(value).all() for value in saved["state_dict"].values())


def test_moments_that_are_not_finite_are_never_saved(tmp_path):
    """One gradient of 1e30 leaves weights and losses finite, but Adam would never move them again."""

    class Huge(Loss):
        calls = 0

        def forward(self, output, batch):
            self.calls += 1
            return output.image.mean() * (1e30 if self.calls == 3 else 1.0)

    model = inpainter(losses={"huge": Huge()}, adversarial=False, max_iterations=6)
    checkpoints = Checkpoints(every_iterations=1)
    checkpoints.dirpath = str(tmp_path)
    trainer = quiet_trainer(callbacks=[checkpoints], limit_val_batches=0, enable_checkpointing=True)
    reason = r"iteration 3: .*moments.*exp_avg_sq.*were not saved; resume from .*last\.ckpt, with a lower"
    with pytest.raises(NonFiniteLossError, match=reason):
        trainer.fit(model, NoiseData())
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["inpainter"]["iteration"] == 2


def test_a_loss_and_an_adversary_of_one_name_are_both_trained():
    model = inpainter(losses={"global": L1(), "global_adversarial": L1()})
    trainer = fit(model)
    assert {
        "train/generator/global",
        "train/generator/global_adversarial",
        "train/generator/global/adversarial",
    } <= set(trainer.callback_metrics)


def test_pictures_leave_frozen_parts_in_eval_mode():
    model = inpainter(TinyGenerator())
    model.generator.body[1].eval()
    with evaluating(model):
        assert not any(part.training for part in model.modules())
    assert not model.generator.body[1].training and model.generator.head.training


def test_plateau_schedulers_are_refused():
    with pytest.raises(ConfigError, match="ReduceLROnPlateau"):
        fit(inpainter(generator_scheduler=torch.optim.lr_scheduler.ReduceLROnPlateau))


def test_infinite_discriminator_loss_is_named():
    class Infinite(Hinge):
        def fake_loss(self, logits):
            return super().fake_loss(logits) + float("inf")

    with pytest.raises(NonFiniteLossError, match=r"iteration 0: discriminator/global = inf"):
        fit(inpainter(adversaries={"global": Adversary(TinyDiscriminator(), Infinite())}))


@pytest.mark.parametrize("generator_every", [1, 2])
def test_ema_follows_generator_updates_and_buffers(generator_every):
    model = inpainter(TinyGenerator(), generator_every=generator_every)
    ema = GeneratorEMA(decay=0.75, warm_up=False)
    expected = weights(model.generator)
    seen = []

    class Reference(Callback):
        def on_train_batch_end(self, trainer, module, *args):
            if module.generator_updates > len(seen):
                seen.append(module.iteration)
                for name, value in module.generator.state_dict().items():
                    mixed = 0.75 * expected[name] + 0.25 * value if value.is_floating_point() else value.clone()
                    expected[name] = mixed

    fit(model, callbacks=[ema, Reference()])
    assert len(seen) == 4 // generator_every
    assert set(ema.average) == set(model.generator.state_dict()), "the generator alone, buffers included"
    for name, value in expected.items():
        assert torch.allclose(ema.average[name], value), name


def test_ema_stands_in_for_validation_only():
    model = inpainter(TinyGenerator())
    ema = GeneratorEMA(decay=0.5)
    during = []

    class Look(Callback):
        def on_validation_batch_start(self, trainer, module, *args):
            during.append(weights(module.generator))

    trainer = quiet_trainer(callbacks=[ema, Look()], max_epochs=1, num_sanity_val_steps=0)
    trainer.fit(model, NoiseData())
    assert torch.equal(during[-1]["head.weight"], ema.average["head.weight"])
    assert not torch.equal(model.generator.head.weight, ema.average["head.weight"])


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # dynamo looks at it
@pytest.mark.parametrize(
    ("options", "backend"),
    [
        ({"channels_last": True}, None),
        ({"compile": True}, "eager"),  # the graphs are those of a real run
        pytest.param({"compile": True}, "inductor", marks=pytest.mark.slow),  # calls a C++ compiler
    ],
)
def test_layout_and_compilation_change_nothing_but_speed(options, backend, monkeypatch):
    monkeypatch.setattr(nn.Module, "compile", functools.partialmethod(nn.Module.compile, backend=backend))
    plain, other = inpainter(generator_optimizer=sgd), inpainter(generator_optimizer=sgd, **options)
    if "compile" in options:
        torch.compiler.reset()
    keys = set(other.state_dict())
    fit(plain, limit_train_batches=2)
    with torch._dynamo.config.patch(suppress_errors=False) if "compile" in options else contextlib.nullcontext():
        fit(other, limit_train_batches=2)
    assert set(other.state_dict()) == keys
    for name, value in plain.state_dict().items():
        assert torch.allclose(value, other.state_dict()[name], atol=1e-5), name


def test_bf16_trains():
    model = inpainter()
    before = weights(model.generator)
    fit(model, precision="bf16-mixed")
    assert moved(before, model.generator)
    assert all(p.dtype == torch.float32 for p in model.parameters())


def test_compiled_discriminators_leave_the_penalised_one_plain():
    model = inpainter(adversaries={"global": Adversary(TinyDiscriminator(), WassersteinGP())}, compile=True)
    model.setup("fit")
    assert model.generator._compiled_call_impl is not None
    assert model.adversaries["global"].discriminator._compiled_call_impl is None


@pytest.mark.parametrize("strategy", ["ddp", "ddp_find_unused_parameters_true"])
def test_plain_ddp_is_refused_before_training(strategy):
    # It would fail in the first step with a message that does not say what to do.
    model = inpainter()
    model.trainer = Trainer(accelerator="cpu", strategy=strategy, logger=False, enable_checkpointing=False)
    with pytest.raises(ConfigError, match="find_unused") if strategy == "ddp" else contextlib.nullcontext():
        model.setup("fit")


def test_forward_returns_the_composite():
    model = inpainter()
    image, mask = torch.rand(1, 3, 16, 16), torch.zeros(1, 1, 16, 16)
    mask[..., 4:8, 4:8] = 1
    result = model(image, mask)
    assert torch.equal(result * (1 - mask), image * (1 - mask))
    assert not torch.equal(result, image)


def test_validation_logs_and_test_keeps_results():
    model = inpainter(losses={"frame": L1()})
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False)
    (logged,) = trainer.validate(model, NoiseData(), verbose=False)
    assert logged["val/psnr"] > 0
    trainer.test(model, NoiseData(), verbose=False)
    assert [row["name"] for row in model.test_results.rows] == [f"noise-{2000 + i}" for i in range(5)]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"accumulate": 0}, "accumulate must be at least 1, got 0"),
        ({"generator_every": 0}, "generator_every must be at least 1"),
        ({"max_iterations": 0}, "max_iterations must be at least 1"),
        ({"clip_norm": -1.0}, "clip_norm must be above 0, got -1.0"),
        ({"losses": {}, "adversaries": {}}, "nothing to learn from"),
        ({"losses": {"half": L1()}}, "losses: torch modules cannot be named 'half'; choose another name"),
        ({"losses": {"training": L1()}}, "'training'"),
        ({"adversaries": {"a.b": adversaries()["global"]}}, "adversaries: .*'a.b'"),
    ],
)
def test_bad_settings_are_named(options, text):
    with pytest.raises(ConfigError, match=text):
        inpainter(**options)


@pytest.mark.parametrize(
    ("side", "adversaries", "text"),
    [
        (33, {}, "multiples of 2, got 33x33"),
        (32, {"a": Adversary(PENNetDiscriminator(2), Hinge())}, "PENNetDiscriminator judges pictures of at least"),
    ],
)
def test_sizes_are_asked_before_a_scene_is_painted(side, adversaries, text, monkeypatch, tmp_path):
    monkeypatch.setattr("inpaintzoo.data.scenes.paint_scene", None)
    generator = TinyGenerator()
    monkeypatch.setattr(generator, "size_multiple", 2, raising=False)
    model = Inpainter(generator, losses={"l1": L1()}, adversaries=adversaries, max_iterations=1)
    data = ScenesData(image_size=side, num_workers=0, cache=True)
    with pytest.raises(DataError, match=text):
        quiet_trainer(default_root_dir=tmp_path).fit(model, data)
    assert any(text in finding.text for finding in _size(model, data))
