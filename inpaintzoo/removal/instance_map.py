"""Instances that are known already, from a map of their ids."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from torch import Tensor

from inpaintzoo.removal.segmenter import Instance, Segmentation, Segmenter
from inpaintzoo.types import DataError


class InstanceMap(Segmenter):
    """A segmenter that was told the answer: labels of a dataset, or another program's result.

    Args:
        ids: `(H, W)` integers, one value an object.
        names: the class of each object; others have none.
        background: the value of pixels that belong to no object.

    Raises:
        ValueError: `ids` is no map of integers.
    """

    finds_all = True

    def __init__(self, ids: np.ndarray, names: Mapping[int, str] | None = None, background: int = 0) -> None:
        if ids.ndim != 2 or ids.dtype.kind not in "iu":
            raise ValueError(f"InstanceMap: ids must be (H, W) integers, got {ids.dtype} {ids.shape}")
        names = names or {}
        self.size = ids.shape
        self.instances = [
            Instance(ids == number, names.get(int(number), "")) for number in np.unique(ids) if number != background
        ]

    def open(self, image: Tensor) -> Segmentation:
        """The instances, for a picture of the map's size.

        Raises:
            DataError: the picture has another size.
        """
        if tuple(image.shape[1:]) != self.size:
            raise DataError(
                f"the instance map is {self.size[1]} pixels wide and {self.size[0]} high, but the picture is "
                f"{image.shape[2]} and {image.shape[1]}; give a map of the picture's size"
            )
        return Segmentation(self.size, self.instances)
