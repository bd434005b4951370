"""Confidence intervals over images, by the percentile bootstrap (Efron and Tibshirani 1993, chapter 13).

All series of a set are resampled with the same images, so that differences between two methods are paired: images that
are hard for both methods do not widen the interval of their difference.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

RESAMPLES = 1000
LEVEL = 0.95
SEED = 0
LEAST = 2  # images; a single one has no spread
_CELLS = 4_000_000  # counts in memory at once

Interval = tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Bootstrap:
    """Settings of the intervals.

    Attributes:
        resamples: how often the images are drawn with replacement; at least 100.
        level: confidence level, in (0, 1).
        seed: seed of the draws.

    Raises:
        ValueError: a value out of range.
    """

    resamples: int = RESAMPLES
    level: float = LEVEL
    seed: int = SEED

    def __post_init__(self) -> None:
        """Check the values."""
        if self.resamples < 100 or not 0.0 < self.level < 1.0:
            raise ValueError(
                f"Bootstrap: resamples must be 100 or more and level in (0, 1), got {self.resamples} and {self.level}"
            )

    def means(self, values: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """The weighted mean of each series over each resample.

        Args:
            values: `(series, images)`, NaN where a series has no value.
            weights: `(series, images)`, 0 where an image does not count.

        Returns:
            `(resamples, series)`; NaN if no image of a resample counts.
        """
        count = values.shape[1]
        products = np.where(weights > 0, values * weights, 0.0)
        generator = np.random.default_rng(self.seed)
        step = max(1, _CELLS // max(count, 1))
        parts = []
        for start in range(0, self.resamples, step):
            times = _times_drawn(generator, min(step, self.resamples - start), count)
            with np.errstate(invalid="ignore", divide="ignore"):
                parts.append((times @ products.T) / (times @ weights.T))
        return np.concatenate(parts)

    def interval(self, means: np.ndarray) -> Interval | None:
        """The interval of one series from its `(resamples,)` means; None if too few are finite."""
        defined = means[~np.isnan(means)]
        if len(defined) < len(means) / 2 or not np.isfinite(defined).all():
            return None
        tail = 50.0 * (1.0 - self.level)
        low, high = np.percentile(defined, [tail, 100.0 - tail])
        return float(low), float(high)


def _times_drawn(generator: np.random.Generator, resamples: int, count: int) -> np.ndarray:
    """How often each resample draws each image, `(resamples, count)`; each row sums to count."""
    drawn = generator.integers(count, size=(resamples, count))
    drawn += count * np.arange(resamples)[:, None]
    return np.bincount(drawn.ravel(), minlength=resamples * count).reshape(resamples, count).astype(np.float64)


def image_weights(values: Sequence[float | None], batch: int = 1) -> np.ndarray:
    """The weight of each image in `MetricResults`' mean of a group.

    Args:
        values: values of the group's images, by ascending index; None where the metric is undefined.
        batch: if above 1, the mean is over the means of that many images. An incomplete last batch does not count,
            unless it is the only one.

    Returns:
        `(images,)`, not normalised.
    """
    weights = np.array([0.0 if value is None else 1.0 for value in values])
    if batch == 1 or len(values) < batch:
        return weights
    whole = len(values) // batch * batch
    defined = weights[:whole].reshape(-1, batch).sum(axis=1)
    weights[:whole] /= np.repeat(np.maximum(defined, 1.0), batch)
    weights[whole:] = 0.0
    return weights
