"""A run that stops and continues ends where an unbroken run ends, bit for bit."""

import os
import signal

import pytest
import torch
from lightning import Callback
from toys import NoiseData, TinyDiscriminator, TinyGenerator, quiet_trainer

from inpaintzoo.adversary import Adversary
from inpaintzoo.callbacks import Checkpoints, GeneratorEMA, StopAtSignal
from inpaintzoo.callbacks.stopping import Stopped
from inpaintzoo.data.masks import RandomRectangles
from inpaintzoo.inpainter import Inpainter
from inpaintzoo.losses import HoleL1
from inpaintzoo.objectives import WassersteinGP
from inpaintzoo.types import ConfigError
from inpaintzoo.weights.resuming import Schedules


class Killed(Exception):
    pass


class Kill(Callback):
    def __init__(self, iteration):
        self.iteration = iteration

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        if module.iteration == self.iteration:
            raise Killed


class Record(Callback):
    def __init__(self):
        self.seen = []

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        self.seen.append((module.iteration, batch["index"].tolist(), batch["mask"].sum().item()))


def model(**options):
    torch.manual_seed(5)
    # Noise in the generator and in the penalty: their random numbers must continue too.
    adversary = Adversary(TinyDiscriminator(), WassersteinGP())

    def schedule(optimizer):
        return torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)

    return Inpainter(
        TinyGenerator(noise=0.1), {"hole": HoleL1()}, {"a": adversary}, generator_scheduler=schedule, **options
    )


def run(
    folder, iterations, resume=None, kill=None, save_every=0, validate_every=4, decay=0.9, extra=(),
    trainer_options=None, workers=0, **options,
):  # fmt: skip
    network, ema, record = model(max_iterations=iterations, **options), GeneratorEMA(decay=decay), Record()
    checkpoints = Checkpoints(every_iterations=save_every)
    checkpoints.dirpath = str(folder)
    callbacks = [ema, record, *extra, checkpoints] + ([Kill(kill)] if kill is not None else [])
    trainer = quiet_trainer(
        callbacks=callbacks,
        enable_checkpointing=True,
        check_val_every_n_epoch=None,
        val_check_interval=validate_every,
        **(trainer_options or {}),
    )
    torch.manual_seed(11 if resume is None else 99)
    data = NoiseData(count=10, batch_size=2, num_workers=workers, masks=RandomRectangles())
    trainer.fit(network, data, ckpt_path=resume)
    return network, ema, record, trainer


class Flat(Callback):
    """No validation is better than the first."""

    def on_validation_epoch_end(self, trainer, module):
        module.metrics.reset()
        module.on_validation_epoch_end = lambda: module.log("val/psnr_hole", 1.0)


def check_same(one, two):
    for (network, ema, _, trainer), (other, other_ema, _, other_trainer) in [(one, two)]:
        for name, value in network.state_dict().items():
            assert torch.equal(value, other.state_dict()[name]), name
        for name, value in ema.average.items():
            assert torch.equal(value, other_ema.average[name]), name
        assert (network.iteration, network.generator_updates) == (other.iteration, other.generator_updates)
        for optimizer, other_optimizer in zip(trainer.optimizers, other_trainer.optimizers, strict=True):
            a, b = optimizer.state_dict(), other_optimizer.state_dict()
            assert a["param_groups"] == b["param_groups"]
            for key, state in a["state"].items():
                assert all(torch.equal(value, b["state"][key][name]) for name, value in state.items())


def test_the_last_checkpoint_is_saved_after_every_validation(tmp_path):
    with pytest.raises(Killed):
        run(tmp_path, 12, kill=11, extra=[Flat()])
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["inpainter"]["iteration"] == 8


def test_resuming_a_finished_run_changes_nothing(tmp_path):
    done = run(tmp_path, 4)
    again = run(tmp_path, 4, resume=tmp_path / "last.ckpt")
    assert again[2].seen == []
    check_same(done, again)


def test_an_epoch_cut_short_is_over_when_it_is_cut(tmp_path):
    options = {"limit_train_batches": 3}
    whole = run(tmp_path / "whole", 6, validate_every=3, trainer_options=options)
    run(tmp_path / "halves", 3, validate_every=3, trainer_options=options)
    resume = tmp_path / "halves" / "last.ckpt"
    second = run(tmp_path / "halves", 6, resume=resume, validate_every=3, trainer_options=options)
    assert second[2].seen == whole[2].seen[3:]


@pytest.mark.parametrize("max_steps", [5, 6])
def test_a_number_of_optimizer_steps_leaves_a_checkpoint(tmp_path, max_steps):
    run(tmp_path, None, trainer_options={"max_steps": max_steps})
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["inpainter"]["iteration"] == 3


def test_an_average_that_is_not_continued_is_dropped(tmp_path):
    run(tmp_path, 4)
    with pytest.warns(UserWarning, match="not continued"):
        _, ema, _, _ = run(tmp_path, 6, resume=tmp_path / "last.ckpt", decay=0.0)
    assert ema.average == {}


@pytest.mark.parametrize("half", [7, 5], ids=["mid-epoch", "at the end of an epoch"])
def test_two_halves_equal_the_whole(tmp_path, half):
    # Processes that read ahead: a batch that was read but not trained on is read again.
    whole = run(tmp_path / "whole", 2 * half, workers=2)
    first = run(tmp_path / "halves", half, workers=2)
    second = run(tmp_path / "halves", 2 * half, resume=tmp_path / "halves" / "last.ckpt", workers=2)
    assert first[2].seen + second[2].seen == whole[2].seen
    check_same(whole, second)


def test_a_killed_run_continues_from_its_last_checkpoint(tmp_path):
    whole = run(tmp_path / "whole", 12, accumulate=2)
    with pytest.raises(Killed):
        run(tmp_path / "killed", 12, kill=9, save_every=3, validate_every=100, accumulate=2)
    saved = torch.load(tmp_path / "killed" / "last.ckpt", weights_only=True)
    # 9 is in the middle of an accumulation window: the half-summed gradients are in the file
    assert saved["inpainter"]["iteration"] == 9 and saved["inpainter"]["gradients"]
    resumed = run(tmp_path / "killed", 12, resume=tmp_path / "killed" / "last.ckpt", accumulate=2)
    assert resumed[2].seen == whole[2].seen[9:]
    check_same(whole, resumed)


def test_checkpoints_alone_write_whole_files_and_keep_the_one_before(tmp_path):
    run(tmp_path, 6, save_every=2)
    last, previous = (torch.load(tmp_path / f"{name}.ckpt", weights_only=True) for name in ("last", "previous"))
    assert (previous["inpainter"]["iteration"], last["inpainter"]["iteration"]) == (4, 6)


def test_a_disk_that_fills_up_leaves_the_last_good_checkpoint(tmp_path, monkeypatch):
    run(tmp_path, 4, save_every=2)
    before = (tmp_path / "last.ckpt").read_bytes()
    real, calls = torch.save, []

    def full(content, file):
        calls.append(file.name)
        real(content, file)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("torch.save", full)
    with pytest.raises(OSError, match=r"No space left on device.*last\.ckpt"):
        run(tmp_path, 8, resume=tmp_path / "last.ckpt", save_every=2)
    assert calls and all(".part-" in name for name in calls)
    assert (tmp_path / "last.ckpt").read_bytes() == before


def settings_of(trainer):
    return [{k: v for k, v in group.items() if k != "params"} for o in trainer.optimizers for group in o.param_groups]


def adam(lr, **options):
    return lambda parameters: torch.optim.Adam(parameters, lr=lr, **options)


def sgd(parameters):
    return torch.optim.SGD(parameters, lr=0.1)


def halving(optimizer):
    return torch.optim.lr_scheduler.StepLR(optimizer, step_size=4, gamma=0.5)


def resumed_with(tmp_path, monkeypatch, **options):
    """Six iterations of `model()`, then two more with other settings; returns them and what was said."""
    run(tmp_path, 6)
    said = []
    monkeypatch.setattr("inpaintzoo.training_module.rank_zero_info", said.append)
    real = model
    monkeypatch.setitem(globals(), "model", lambda **given: changed(real(**given), options))
    data = options.pop("accumulate", None)
    result = run(tmp_path, 8, resume=tmp_path / "last.ckpt", **({"accumulate": data} if data else {}))
    return result, [line.removeprefix("resumed with another setting: ") for line in said]


def changed(network, options):
    for name, value in options.items():
        setattr(network, name, value)
    return network


def test_a_resumed_run_takes_its_settings_from_the_config(tmp_path, monkeypatch):
    options = {"generator_optimizer": adam(1e-6, betas=(0.8, 0.9)), "discriminator_optimizer": adam(2e-6)}
    (_, _, _, trainer), said = resumed_with(tmp_path, monkeypatch, **options)
    generator, discriminator = settings_of(trainer)
    assert generator["initial_lr"] == 1e-6 and generator["betas"] == (0.8, 0.9)
    assert generator["lr"] == pytest.approx(1e-6 * 0.9**8)  # the schedule goes on where it was
    assert discriminator["lr"] == 2e-6
    assert trainer.optimizers[0].state_dict()["state"][0]["step"] == 8  # and so do the moments
    assert "generator_optimizer.lr was 0.0001 and is 1e-06" in said
    assert "generator_optimizer.betas was [0.5, 0.999] and is [0.8, 0.9]" in said
    saved = torch.load(tmp_path / "last.ckpt", weights_only=True)["inpainter"]["settings"]
    assert saved["generator_optimizer"]["lr"] == 1e-6


def test_another_schedule_goes_on_at_the_same_place(tmp_path, monkeypatch):
    (_, _, _, trainer), said = resumed_with(tmp_path, monkeypatch, generator_scheduler=halving)
    assert settings_of(trainer)[0]["lr"] == pytest.approx(1e-4 / 4)  # after 8 steps
    assert "generator_scheduler.class was ExponentialLR and is StepLR" in said


def test_a_schedule_that_is_left_out_leaves_the_rate(tmp_path, monkeypatch):
    (_, _, _, trainer), said = resumed_with(tmp_path, monkeypatch, generator_scheduler=None)
    assert settings_of(trainer)[0]["lr"] == 1e-4
    assert "generator_scheduler.class was ExponentialLR and is not set" in said


def test_moments_of_another_optimizer_are_refused(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match=r"generator_optimizer: .* not those of SGD .*betas.*init_from"):
        resumed_with(tmp_path, monkeypatch, generator_optimizer=sgd)


def test_checkpoints_of_earlier_versions_take_the_settings_of_the_config_too(tmp_path, monkeypatch):
    run(tmp_path, 6)
    content = torch.load(tmp_path / "last.ckpt", weights_only=True)
    del content["inpainter"]["settings"]
    torch.save(content, tmp_path / "last.ckpt")
    monkeypatch.setattr("inpaintzoo.callbacks.checkpoint.Checkpoints.save_now", lambda *args: None)
    _, _, _, trainer = run(tmp_path, 8, resume=tmp_path / "last.ckpt")
    assert settings_of(trainer)[0]["lr"] == pytest.approx(1e-4 * 0.9**8)


def test_other_data_settings_are_said(tmp_path, monkeypatch):
    _, said = resumed_with(tmp_path, monkeypatch, accumulate=2)
    assert said == ["accumulate was 1 and is 2"]


@pytest.mark.parametrize("schedule", ["CosineAnnealingLR", "CyclicLR", "OneCycleLR", "LambdaLR", "SequentialLR"])
def test_a_schedule_replayed_is_a_schedule_restored(schedule):
    """Where the settings are unchanged, both ways give the same rate, bit for bit."""
    kinds = torch.optim.lr_scheduler

    def made(state=None):
        parameter = torch.nn.Parameter(torch.zeros(2))
        schedules = Schedules({"generator": torch.optim.Adam([parameter], lr=0.1)})
        optimizer = schedules.optimizers["generator"]
        schedules.add(
            "generator",
            {
                "CosineAnnealingLR": lambda: kinds.CosineAnnealingLR(optimizer, 20),
                "CyclicLR": lambda: kinds.CyclicLR(optimizer, 0.01, 0.1, 3, cycle_momentum=False),
                "OneCycleLR": lambda: kinds.OneCycleLR(optimizer, 0.5, 30),
                "LambdaLR": lambda: kinds.LambdaLR(optimizer, lambda step: 0.9**step),
                "SequentialLR": lambda: kinds.SequentialLR(
                    optimizer, [kinds.LinearLR(optimizer, 0.1, total_iters=5), kinds.StepLR(optimizer, 3)], [5]
                ),
            }[schedule](),
        )
        schedules.begin()
        return schedules

    walked = made()
    for _ in range(11):
        walked.optimizers["generator"].step()
        walked.schedules["generator"].step()
    replayed = made()
    replayed.restore(None, [walked.schedules["generator"].state_dict()], 0)
    for one, other in zip(
        walked.optimizers["generator"].param_groups, replayed.optimizers["generator"].param_groups, strict=True
    ):
        assert {k: v for k, v in one.items() if k != "params"} == {k: v for k, v in other.items() if k != "params"}


class Signal(Callback):
    """Sends this process a signal in a hook, once."""

    def __init__(self, hook, iteration, number=signal.SIGTERM):
        self.iteration, self.number = iteration, number
        setattr(self, hook, self.send)

    def send(self, trainer, module, *args):
        if module.iteration == self.iteration and self.number:
            number, self.number = self.number, None
            os.kill(os.getpid(), number)


@pytest.mark.parametrize(
    ("hook", "iteration", "left", "number"),
    [
        ("on_train_batch_start", 3, 4, signal.SIGTERM),
        ("on_train_batch_end", 6, 6, signal.SIGINT),
        ("on_validation_batch_start", 4, 4, signal.SIGTERM),
        ("on_validation_batch_end", 8, 8, signal.SIGINT),
    ],
)
def test_a_signal_leaves_a_point_to_go_on_from(hook, iteration, left, number, tmp_path):
    whole = run(tmp_path / "whole", 12)
    handlers = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(Stopped) as stopped:
        run(tmp_path / "stopped", 12, extra=(Signal(hook, iteration, number), StopAtSignal()))
    assert stopped.value.code == 128 + number
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == handlers
    last = tmp_path / "stopped" / "last.ckpt"
    assert torch.load(last, weights_only=True)["inpainter"]["iteration"] == left
    check_same(whole, run(tmp_path / "stopped", 12, resume=last))


def test_a_signal_before_the_first_step_says_that_there_is_nothing_to_save(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr("inpaintzoo.callbacks.stopping.rank_zero_info", said.append)
    with pytest.raises(Stopped):
        extra = (Signal("on_validation_batch_start", 0), StopAtSignal())
        run(tmp_path, 12, extra=extra, trainer_options={"num_sanity_val_steps": 1})
    assert said == ["stopped at iteration 0; there is nothing to save yet"] and not any(tmp_path.rglob("*.ckpt"))
