"""Small stand-ins with labels: a generator that predicts some, pictures that have some, classes with other values."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inpaintzoo.data import LabelClasses
from inpaintzoo.data.module import InpaintingData
from inpaintzoo.data.source import ImageSource, Sample, Split
from inpaintzoo.generator import Generator
from inpaintzoo.types import PyramidOutput


@dataclasses.dataclass
class LabelOutput(PyramidOutput):
    """What SGE-Net's output holds, finest first."""

    segmentations: list[Tensor]
    confidences: list[Tensor]
    unreliable: list[Tensor]


class LabelGenerator(Generator):
    """One convolution per head, at `levels` scales; the coarsest unreliable mask is the hole's."""

    def __init__(self, classes: int = 4, levels: int = 3, needs_labels: bool = True) -> None:
        super().__init__()
        self.levels = levels
        self.needs_labels = needs_labels
        self.picture = nn.Conv2d(4, 3, 3, padding=1)
        self.labels = nn.Conv2d(4, classes, 3, padding=1)

    def forward(self, image: Tensor, mask: Tensor) -> LabelOutput:
        seen = torch.cat([self.hide_hole(image, mask), mask], dim=1)
        maps = [F.avg_pool2d(seen, 2**level) for level in range(self.levels)]
        pictures = [torch.sigmoid(self.picture(x)) for x in maps]
        logits = [5 * self.labels(x) for x in maps]
        confidences = [x.softmax(dim=1).amax(dim=1, keepdim=True) for x in logits]
        unreliable = [(x < 0.8 * x.amax()).float() for x in confidences]
        unreliable[-1] = F.adaptive_max_pool2d(mask, unreliable[-1].shape[-2:])
        return LabelOutput(pictures[0], pictures, logits, confidences, unreliable)


class LabelNoiseSource(ImageSource):
    """Noise with labels in stripes."""

    def __init__(self, count: int, size: int, first: int, labelled: bool) -> None:
        self.names = [f"noise-{first + number}" for number in range(count)]
        self.size, self.first, self.labelled = size, first, labelled

    def load(self, index: int, rng: np.random.Generator | None = None) -> Sample:
        draw = np.random.default_rng(self.first + index)
        image = torch.from_numpy(draw.random((3, self.size, self.size), dtype=np.float32))
        labels = (torch.arange(self.size) // 4 % 4).expand(self.size, -1).clone() if self.labelled else None
        return Sample(image, self.names[index], labels)

    def fingerprint(self, index: int) -> str:
        return f"{self.first + index:064x}"


class LabelNoiseData(InpaintingData):
    """A data module over `LabelNoiseSource`."""

    def __init__(self, labelled: bool = True, size: int = 32, batch_size: int = 2) -> None:
        super().__init__(batch_size=batch_size, num_workers=0)
        self.sources = {
            "train": LabelNoiseSource(4, size, 0, labelled),
            "val": LabelNoiseSource(3, size, 1000, labelled),
            "test": LabelNoiseSource(5, size, 2000, labelled),
        }

    def source(self, split: Split) -> ImageSource:
        return self.sources[split]


class ThreeClasses(LabelClasses):
    """Files hold values other than class indices."""

    def __init__(self, first: int = 7) -> None:
        self.first = first
        super().__init__(("a", "b", "c"), values={first: 0, 3: 1, 200: 2, 201: 2})
