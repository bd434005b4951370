"""Mask generators that use other generators: weighted mixtures, and limits on the hole ratio."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from inpaintzoo.data.findings import Finding
from inpaintzoo.data.masks.base import MaskGenerator, float_range
from inpaintzoo.ops import mask_ratio
from inpaintzoo.types import DataError

_MOST_TRIES = 100_000


class MixedMasks(MaskGenerator):
    """Each mask comes from one of several generators, drawn by weight.

    Args:
        masks: The generators.
        weights: One per generator, with any sum; None makes all equal.
    """

    def __init__(self, masks: list[MaskGenerator], weights: list[float] | None = None) -> None:
        if wrong := [kind for kind in masks if not isinstance(kind, MaskGenerator)]:
            raise ValueError(f"MixedMasks: masks must be mask generators, got {wrong[0]!r}")
        if not masks:
            raise ValueError("MixedMasks: masks is empty; give at least one mask generator")
        if weights is not None and len(weights) != len(masks):
            raise ValueError(f"MixedMasks: {len(masks)} masks but {len(weights)} weights; give one weight per mask")
        self.masks = list(masks)
        self.weights = [1.0] * len(masks) if weights is None else [float(weight) for weight in weights]
        if any(not 0.0 <= weight < math.inf for weight in self.weights) or sum(self.weights) == 0.0:
            raise ValueError(f"MixedMasks: weights must be 0 or more and not all 0, got {self.weights}")

    def check(self) -> list[Finding]:
        """The findings of all its generators."""
        return [finding for masks in self.masks for finding in masks.check()]

    def for_pictures(self, names: Sequence[str]) -> MixedMasks:  # noqa: D102
        return MixedMasks([masks.for_pictures(names) for masks in self.masks], self.weights)

    def mask_files(self) -> list[Path]:  # noqa: D102
        return [file for masks in self.masks for file in masks.mask_files()]

    def draw(self, height: int, width: int, rng: np.random.Generator, index: int) -> Tensor:  # noqa: D102
        chances = np.asarray(self.weights) / sum(self.weights)
        return self.masks[int(rng.choice(len(self.masks), p=chances))].draw(height, width, rng, index)


class LimitedMask(MaskGenerator):
    """Draws again until the hole ratio lies in `(ratio[0], ratio[1]]`; a lower limit of 0 excludes empty masks.

    Args:
        mask: Draws the masks.
        ratio: The limits; the lower one is excluded and the upper one included, as in the papers' bins.
        tries: Give up with a `DataError` after this many masks outside the limits.
    """

    def __init__(self, mask: MaskGenerator, ratio: Sequence[float], tries: int = 1000) -> None:
        if not isinstance(mask, MaskGenerator):
            raise ValueError(f"LimitedMask: mask must be a mask generator, got {mask!r}")
        self.ratio = float_range("LimitedMask", "ratio", ratio, least=0.0, most=1.0)
        if self.ratio[0] == self.ratio[1]:
            raise ValueError(f"LimitedMask: nothing lies in ({self.ratio[0]:g}, {self.ratio[1]:g}]; widen ratio")
        if not 1 <= tries <= _MOST_TRIES:
            raise ValueError(f"LimitedMask: tries must be 1 to {_MOST_TRIES:,}, got {tries}")
        self.mask = mask
        self.tries = tries

    def check(self) -> list[Finding]:
        """The findings of its generator."""
        return self.mask.check()

    def for_pictures(self, names: Sequence[str]) -> LimitedMask:  # noqa: D102
        return LimitedMask(self.mask.for_pictures(names), self.ratio, self.tries)

    def mask_files(self) -> list[Path]:  # noqa: D102
        return self.mask.mask_files()

    def draw(self, height: int, width: int, rng: np.random.Generator, index: int) -> Tensor:  # noqa: D102
        low, high = self.ratio
        seen = []
        for _ in range(self.tries):
            mask = self.mask.draw(height, width, rng, index)
            seen.append(mask_ratio(mask[None]).item())
            if low < seen[-1] <= high:
                return mask
        raise DataError(
            f"LimitedMask: {type(self.mask).__name__} drew {self.tries} masks of {height}x{width} with hole ratios "
            f"from {min(seen):.3f} to {max(seen):.3f}, none in ({low:g}, {high:g}]; widen ratio or change the generator"
        )
