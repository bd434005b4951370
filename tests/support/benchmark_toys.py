"""Small contenders, pairs and protocols for the tests of benchmarks."""

import os
import signal

import torch
import toys
from torchvision.utils import save_image

from inpaintzoo.benchmark.protocols.protocol import Protocol
from inpaintzoo.benchmark.run.contenders import Fill, NetworkMethod
from inpaintzoo.benchmark.run.runner import Benchmark
from inpaintzoo.data.masks import RandomRectangles
from inpaintzoo.fills import MeanColour
from inpaintzoo.metrics import (
    PSNR,
    ImageMetric,
    PSNRHole,
    SetMetric,
)
from inpaintzoo.types import DataError


class Counted(NetworkMethod):
    """A network that counts its batches, and can kill its process at one of them."""

    kind, source = "weights", "toy"

    def __init__(self, network, kill_at=None, identity="toy"):
        self.network, self.kill_at, self.name, self.batches = network, kill_at, identity, 0

    def generator(self):
        return self.network

    def identity(self, pairs):
        return {"weights": self.name}

    def open(self, pairs, device, precision, seed):
        filler = super().open(pairs, device, precision, seed)

        def counted(batch, n):
            if self.batches == self.kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            self.batches += 1
            return filler(batch, n)

        return counted


class MeanLevel(SetMetric):
    """A set metric without a network: the difference of the mean levels."""

    name, better, definition = "mean_level", "lower", "difference of the mean levels"

    def features(self, prediction, image):
        return {"prediction": prediction.mean(dim=(1, 2, 3)), "image": image.mean(dim=(1, 2, 3))}

    def compute(self, features):
        return float(abs(features["prediction"].mean() - features["image"].mean()))


class NeedsLarge(ImageMetric):
    """Like MS-SSIM, not for small pictures."""

    name, better, definition = "large_only", "higher", "nothing"

    def measure(self, prediction, image, mask):
        if image.shape[-1] < 64:
            raise DataError("large_only needs images of at least 64x64")
        return image.mean()


def protocol(name="zoo", metrics=None, **changes):
    metrics = metrics or (PSNR(), PSNRHole(), MeanLevel())
    return Protocol(name, "a title", "a source", tuple(metrics), **changes)


def noise(size=16, **changes):
    return toys.NoiseData(size=size, test_masks=RandomRectangles(), **changes)


def network(seed=0, kind=toys.NormFreeGenerator):
    torch.manual_seed(seed)
    return kind()


def benchmark(out, contenders=None, sets=None, protocols=None, **changes):
    contenders = contenders or {"mean colour": Fill(MeanColour())}
    settings = {"device": "cpu", "batch_size": 2, "cost": False, **changes}
    return Benchmark(contenders, sets or {"noise": noise()}, protocols or [protocol()], out, **settings)


def ran(*arguments, **changes):
    run = benchmark(*arguments, **changes)
    run.prepare()
    run.measure()
    return run


def numbers(folder):
    """All batches below an output folder, byte for byte."""
    work = folder / "work"
    return {path.relative_to(work).as_posix(): path.read_bytes() for path in work.rglob("0*.*")}


def truths(folder, data, name="{name}.png", change=lambda image: image):
    """The set's own pictures as predictions."""
    source = data.source("test")
    for index, of in enumerate(source.names):
        path = folder / name.format(name=of, index=index)
        path.parent.mkdir(parents=True, exist_ok=True)
        save_image(change(source.load(index).image), path)
    return str(folder)


def go_offline(monkeypatch, folder):
    """No published weights and no way to fetch them; returns the addresses that were tried."""
    attempts = []

    def urlopen(url, timeout):
        attempts.append(getattr(url, "full_url", url))
        raise OSError("no network")

    monkeypatch.setenv("TORCH_HOME", str(folder / "hub"))
    monkeypatch.setattr("urllib.request.urlopen", urlopen)
    return attempts
