"""Networks that metrics look through, and the features they found in the pictures of one batch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class Extractor:
    """A frozen network that gives features of pictures: `extractor(images)`.

    Attributes:
        key: names network and weights; extractors with the same key compute the same features.
    """

    key: str

    def prepare(self, what: str, device: torch.device) -> None:
        """Load the network, once, and move it to the device.

        Args:
            what: names the user of the weights in errors.
            device: where it will run.

        Raises:
            WeightsError: the weights are missing and cannot be fetched, or do not fit.
        """
        raise NotImplementedError

    def visible(self, images: Tensor) -> Tensor:
        """`(B, 3, H, W)` images in [0, 1] as the network sees them, for example rounded to 8 bits."""
        return images

    def __call__(self, images: Tensor) -> Any:
        """Features of `(B, 3, H, W)` images in [0, 1]."""
        raise NotImplementedError


class BatchFeatures:
    """The features of one batch's pictures, each computed once.

    A suite makes its own for each batch. Suites that measure the same batch may be given a common one, so that the
    truth and equal predictions pass through a network once for all of them.
    """

    def __init__(self) -> None:
        self._found: dict[str, list[tuple[Tensor, Any]]] = {}

    def of(self, images: Tensor, extractor: Extractor) -> Any:
        """Features of `(B, 3, H, W)` images in [0, 1]."""
        found = self._found.setdefault(extractor.key, [])
        pictures = extractor.visible(images)
        for known, features in found:
            if torch.equal(known, pictures):
                return features
        found.append((pictures, extractor(images)))
        return found[-1][1]
