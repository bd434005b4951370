"""Draws masks as the data does."""

import numpy as np

from inpaintzoo.data.dataset import MASK_STREAM, sample_rng


def draw(masks, height=256, width=256, seed=0, epoch=0, index=0):
    return masks.draw(height, width, sample_rng(seed, epoch, index, MASK_STREAM), index)


def ratios(masks, count=1000, size=256):
    return np.array([draw(masks, size, size, index=i).mean().item() for i in range(count)])
