"""Fractal noise, cut from a few tileable textures that each process makes once.

A scene needs a dozen noise fields. Summing octaves for each would cost more than the rest of the picture; a crop at
a random place of a stored texture looks the same and costs one resize. The resize also filters the texture for the
resolution at hand, so that a scene keeps its look from 32 to 1024 pixels.
"""

from __future__ import annotations

import functools
from typing import Literal

import numpy as np
from PIL import Image

NoiseKind = Literal["billow", "rough", "grain"]

_SIZE = 512
# Amplitude falls with frequency as f ** -slope.
_SLOPES: dict[NoiseKind, float] = {"billow": 1.75, "rough": 1.15, "grain": 0.35}


@functools.cache
def texture(kind: NoiseKind) -> np.ndarray:
    """A tileable `(512, 512)` float32 texture of zero mean and unit deviation, the same in every process."""
    rng = np.random.default_rng([20240229, list(_SLOPES).index(kind)])
    fy, fx = np.meshgrid(np.fft.fftfreq(_SIZE), np.fft.rfftfreq(_SIZE), indexing="ij")
    radius = np.hypot(fy, fx) * _SIZE
    radius[0, 0] = np.inf
    spectrum = np.fft.rfft2(rng.standard_normal((_SIZE, _SIZE))) * radius ** -_SLOPES[kind]
    values = np.fft.irfft2(spectrum, s=(_SIZE, _SIZE))
    return (values / values.std()).astype(np.float32)


@functools.cache
def _tiled(kind: NoiseKind) -> Image.Image:
    return Image.fromarray(np.tile(texture(kind), (2, 2)))


def crop(
    kind: NoiseKind,
    rng: np.random.Generator,
    shape: tuple[int, int],
    extent: tuple[float, float],
    start: tuple[float, float] = (0.0, 0.0),
) -> np.ndarray:
    """A `(height, width)` float32 noise field of about zero mean and unit deviation.

    Args:
        kind: the spectrum, from smooth to fine.
        rng: draws the place (always two numbers).
        shape: height and width in pixels.
        extent: height and width in texture periods, each at most 1.
        start: where in the region the crop begins, in periods; neighbouring parts of one region then join up.
    """
    oy, ox = rng.random(2)
    top, left = ((oy + start[0]) % 1.0) * _SIZE, ((ox + start[1]) % 1.0) * _SIZE
    box = (left, top, left + max(extent[1] * _SIZE, 1.0), top + max(extent[0] * _SIZE, 1.0))
    resized = _tiled(kind).resize((shape[1], shape[0]), Image.Resampling.BILINEAR, box=box)
    return np.asarray(resized)


def gather(kind: NoiseKind, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """The texture at given places (in periods, wrapping around), by nearest texel; rows and columns broadcast."""
    iy = np.floor(rows * _SIZE).astype(np.int32) & (_SIZE - 1)
    ix = np.floor(columns * _SIZE).astype(np.int32) & (_SIZE - 1)
    return np.take(texture(kind).ravel(), iy * _SIZE + ix)


def profile(rng: np.random.Generator, x: np.ndarray, cells: int = 4, octaves: int = 6, gain: float = 0.5) -> np.ndarray:
    """One-dimensional fractal noise of about unit amplitude at world positions `x` (from about -0.5 to 1.5)."""
    total, amplitude = np.zeros_like(x), 1.0
    for octave in range(octaves):
        count = cells * 2**octave
        values = rng.uniform(-1.0, 1.0, 2 * count + 2)
        total = total + amplitude * np.interp((x + 0.5) * count, np.arange(2 * count + 2), values)
        amplitude *= gain
    return total.astype(np.float32)
