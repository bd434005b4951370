"""Small pictures and batches to measure, and a network that needs no weights."""

from __future__ import annotations

import torch

from inpaintzoo.metrics.extractors import Extractor


class MeanDifference(Extractor):
    """In place of LPIPS' network: the distance is the mean absolute difference of the pictures themselves."""

    key = "mean difference"

    def prepare(self, what, device):
        pass

    def __call__(self, images):
        return [images]

    def distance(self, a, b):
        return (a[0] - b[0]).abs().mean(dim=(1, 2, 3))


def pairs(count=4, size=48, seed=0):
    """Predictions, truths with smooth structure, and masks with holes of 4, 16, 36, ... percent."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 6, 6, generator=generator)
    image = torch.nn.functional.interpolate(coarse, size=(size, size), mode="bilinear")
    prediction = (image + 0.1 * torch.randn(image.shape, generator=generator)).clamp(0, 1)
    mask = torch.zeros(count, 1, size, size)
    for i in range(count):
        side = round(size * min(0.2 * (i + 1), 1.0))
        mask[i, :, :side, :side] = 1
    return prediction, image, mask


def as_batch(image, mask, indices=None):
    indices = list(range(len(image))) if indices is None else indices
    return {"image": image, "mask": mask, "name": [f"{i}.png" for i in indices], "index": torch.tensor(indices)}
