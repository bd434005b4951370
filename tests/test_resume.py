"""A run that stops and continues ends where an unbroken run ends, bit for bit."""

import pytest
import torch
from lightning import Callback, Trainer
from toys import NoiseData, TinyDiscriminator, TinyGenerator

from inpaintzoo.adversary import Adversary
from inpaintzoo.callbacks import Checkpoints, GeneratorEMA
from inpaintzoo.data.masks import RandomRectangles
from inpaintzoo.inpainter import Inpainter
from inpaintzoo.losses import HoleL1
from inpaintzoo.objectives import WassersteinGP


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


def run(folder, iterations, resume=None, kill=None, save_every=0, validate_every=4, **options):
    network, ema, record = model(max_iterations=iterations, **options), GeneratorEMA(decay=0.9), Record()
    checkpoints = Checkpoints(every_iterations=save_every)
    checkpoints.dirpath = str(folder)
    callbacks = [ema, record, checkpoints] + ([Kill(kill)] if kill is not None else [])
    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        max_epochs=-1,
        callbacks=callbacks,
        enable_progress_bar=False,
        enable_model_summary=False,
        check_val_every_n_epoch=None,
        val_check_interval=validate_every,
    )
    torch.manual_seed(11 if resume is None else 99)
    data = NoiseData(count=10, batch_size=2, num_workers=2, masks=RandomRectangles())
    trainer.fit(network, data, ckpt_path=resume)
    return network, ema, record, trainer


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


@pytest.mark.parametrize("half", [7, 5], ids=["mid-epoch", "at the end of an epoch"])
def test_two_halves_equal_the_whole(tmp_path, half):
    whole = run(tmp_path / "whole", 2 * half)
    first = run(tmp_path / "halves", half)
    second = run(tmp_path / "halves", 2 * half, resume=tmp_path / "halves" / "last.ckpt")
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
