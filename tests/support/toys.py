"""Small stand-ins that the tests plug into the real parts, and what they are run with."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import Logger
from PIL import Image
from torch import Tensor, nn
from torch.optim import Optimizer

from inpaintzoo.data.module import InpaintingData
from inpaintzoo.data.source import ImageSource, Sample, Split
from inpaintzoo.discriminators import Discriminator
from inpaintzoo.generator import Generator
from inpaintzoo.types import Output


def rand(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    """Uniform noise in [0, 1], the same for the same seed."""
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def quiet_trainer(**options: object) -> Trainer:
    """A Trainer on the CPU that prints nothing, and writes only what its callbacks write."""
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    return Trainer(**{"accelerator": "cpu", "max_epochs": -1, **quiet, **options})


@contextlib.contextmanager
def process_of(world: int, rank: int, folder: Path) -> Iterator[None]:
    """A forked process as one of several, which meet at a file in the folder."""
    torch.set_num_threads(1)
    meeting = f"file://{folder}/rendezvous"
    torch.distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=world)
    yield
    torch.distributed.destroy_process_group()


class TinyGenerator(Generator):
    """Two convolutions; enough to train."""

    def __init__(self, width: int = 4, noise: float = 0.0) -> None:
        super().__init__()
        self.noise = noise
        self.body = nn.Sequential(nn.Conv2d(4, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU())
        self.head = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, image: Tensor, mask: Tensor) -> Output:
        features = self.body(torch.cat([self.hide_hole(image, mask), mask], dim=1))
        if self.noise:
            features = features + self.noise * torch.randn_like(features)
        return Output(torch.sigmoid(self.head(features)))


class NormFreeGenerator(Generator):
    """Without batch statistics, so that a batch may be split over processes."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.body = nn.Conv2d(4, width, 3, padding=1)
        self.head = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, image: Tensor, mask: Tensor) -> Output:
        features = torch.relu(self.body(torch.cat([self.hide_hole(image, mask), mask], dim=1)))
        return Output(torch.sigmoid(self.head(features)))


class TinyDiscriminator(Discriminator):
    """Two convolutions on picture and mask."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.first = nn.Conv2d(4, width, 4, stride=2, padding=1)
        self.last = nn.Conv2d(width, 1, 3, padding=1)

    def forward(self, image: Tensor, mask: Tensor) -> list[Tensor]:
        features = torch.nn.functional.leaky_relu(self.first(torch.cat([image, mask], dim=1)), 0.2)
        return [features, self.last(features)]


class NoiseSource(ImageSource):
    """Pictures of smooth noise, brightness jittered in training."""

    def __init__(self, count: int, size: int = 16, first: int = 0) -> None:
        self.names = [f"noise-{first + number}" for number in range(count)]
        self.size = size
        self.first = first

    def load(self, index: int, rng: np.random.Generator | None = None) -> Sample:
        draw = np.random.default_rng(self.first + index)
        image = torch.from_numpy(draw.random((3, self.size, self.size), dtype=np.float32))
        if rng is not None:
            image = image * float(rng.uniform(0.5, 1.0))
        return Sample(image, self.names[index])

    def fingerprint(self, index: int) -> str:
        return f"{self.first + index:064x}"


class NoiseData(InpaintingData):
    """A data module over `NoiseSource`."""

    def __init__(self, count: int = 8, size: int = 16, batch_size: int = 2, num_workers: int = 0, **kwargs: object):
        super().__init__(batch_size=batch_size, num_workers=num_workers, **kwargs)
        self.sources = {
            "train": NoiseSource(count, size),
            "val": NoiseSource(3, size, first=1000),
            "test": NoiseSource(5, size, first=2000),
        }

    def source(self, split: Split) -> ImageSource:
        return self.sources[split]


class UpdateWatch(Callback):
    """Fails a run whose optimizers move what is not theirs, leave their own alone, or meet a gradient of NaN."""

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.steps = {"generator": 0, "adversaries": 0}
        self.stepping: str | None = None
        self.before: dict[str, Tensor] = {}

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        self._compare(pl_module)
        own = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
        sides = {name.split(".")[0] for name, p in pl_module.named_parameters() if id(p) in own}
        (self.stepping,) = sides
        for name, parameter in pl_module.named_parameters():
            if id(parameter) in own:
                assert parameter.grad is not None and parameter.grad.isfinite().all(), name
            elif self.stepping == "generator":
                assert parameter.grad is None, f"the generator's loss left a gradient in {name}"
        self.before = {name: p.detach().clone() for name, p in pl_module.named_parameters()}
        self.steps[self.stepping] += 1

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: object) -> None:
        self._compare(pl_module)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert self.steps == {"generator": 2, "adversaries": 2}

    def _compare(self, pl_module: LightningModule) -> None:
        now = dict(pl_module.named_parameters())
        moved = {name.split(".")[0] for name, value in self.before.items() if (now[name] != value).any()}
        assert not self.before or moved == {self.stepping}, f"the {self.stepping}'s update moved {sorted(moved)}"
        self.before = {}


class SharedLogger(Logger):
    """Keeps all runs of a project in one folder and takes pictures, like that of Weights & Biases."""

    def __init__(self, save_dir: str | Path | None = None, run: str = "run") -> None:
        super().__init__()
        self._save_dir = save_dir
        self.run = run
        self.pictures: list[tuple[str, list[Image.Image], int | None]] = []

    @property
    def name(self) -> str:
        return "zoo"

    @property
    def version(self) -> str:
        return self.run

    @property
    def save_dir(self) -> str | None:
        return self._save_dir and str(self._save_dir)

    def log_image(self, key: str, images: list[Image.Image], step: int | None = None) -> None:
        self.pictures.append((key, images, step))

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None: ...

    def log_hyperparams(self, params: object, *args: object, **kwargs: object) -> None: ...


class NoisyGenerator(NormFreeGenerator):
    """Stochastic: a convolution, and noise of its own in every fill."""

    stochastic = True

    def sample(self, image, mask, n, generator=None):
        plain = super().forward(image, mask).image
        generators = generator if isinstance(generator, list) else [generator] * len(image)
        noise = [torch.randn(n, 3, 1, 1, generator=source) for source in generators]
        return (plain.unsqueeze(1) + 0.1 * torch.stack(noise)).clamp(0, 1)

    def forward(self, image: Tensor, mask: Tensor) -> Output:
        return Output(self.sample(image, mask, 1)[:, 0])
