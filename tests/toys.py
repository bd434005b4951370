"""Small stand-ins that the tests plug into the real parts."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from inpaintzoo.data.module import InpaintingData
from inpaintzoo.data.source import ImageSource, Sample, Split
from inpaintzoo.discriminators import Discriminator
from inpaintzoo.generator import Generator
from inpaintzoo.types import Output


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
    """Two convolutions; the mask is looked at too."""

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
