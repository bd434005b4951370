"""Generators whose fill is known, and pictures to fill."""

import numpy as np
import torch
from PIL import Image

from inpaintzoo.generator import Generator
from inpaintzoo.types import Output


class Paints(Generator):
    """Fills with one colour, and notes what it was shown."""

    def __init__(self, colour=(1.0, 0.0, 0.0), multiple=8, least=1):
        super().__init__()
        self.colour, self.size_multiple, self.smallest_side = colour, multiple, least
        self.shown = []

    def forward(self, image, mask):
        self.check_size(image, mask)
        self.shown.append((image.clone(), mask.clone()))
        return Output(torch.tensor(self.colour).view(1, 3, 1, 1).expand_as(image).clone())


class Ramp(Paints):
    """Continues a horizontal ramp, from the known pixels' least-squares line, row by row alike."""

    def forward(self, image, mask):
        super().forward(image, mask)
        places = torch.arange(image.shape[-1], dtype=torch.float64).expand_as(mask)
        known = mask == 0
        line = torch.stack([places[known], torch.ones_like(places[known])], dim=1)
        slope, start = torch.linalg.lstsq(line, image[:, :1][known].double()[:, None]).solution.flatten()
        return Output((slope * places + start).float().expand_as(image).clone())


class Draws(Paints):
    """Stochastic: uniform noise over the frame."""

    stochastic = True

    def sample(self, image, mask, n, generator=None):
        self.shown.append((image.clone(), mask.clone()))
        noise = [torch.rand(n, *image.shape[1:], generator=source) for source in generator]
        return torch.stack(noise)


class Limited(Paints):
    """Runs out of memory for more pixels than this, in one of the ways that frameworks have."""

    def __init__(self, most, error):
        super().__init__()
        self.most, self.error = most, error

    def forward(self, image, mask):
        if image.shape[-2] * image.shape[-1] > self.most:
            raise self.error
        return super().forward(image, mask)


def noise(mode, height=40, width=50, seed=0, colours=40):
    rng = np.random.default_rng(seed)
    if mode == "I;16":
        return Image.fromarray(rng.integers(0, 65536, (height, width), dtype=np.uint16))
    if mode == "I":
        return Image.fromarray(rng.integers(0, 65536, (height, width), dtype=np.int32))
    if mode == "F":
        return Image.fromarray(rng.random((height, width), dtype=np.float32))
    rgba = Image.fromarray(rng.integers(0, 256, (height, width, 4), dtype=np.uint8))
    if mode == "P":
        return rgba.convert("RGB").quantize(colours)
    return rgba if mode == "RGBA" else rgba.convert("LA" if mode == "LA" else "RGB").convert(mode)


def square(height=40, width=50, top=10, left=12, side=9):
    hole = np.zeros((height, width), dtype=bool)
    hole[top : top + side, left : left + side] = True
    return hole


def ramp(height, width):
    return np.broadcast_to(np.linspace(0.1, 0.9, width, dtype=np.float32)[None, :, None], (height, width, 3)).copy()
