"""The structure that the lowest level of a pyramid generator should predict.

Source: the dissertation on pyramid generators and attention feature fusion (see `inpaintzoo.models.pyramid`), equation
3.7: the L1 distance to the structure image of the whole picture.
"""

from __future__ import annotations

import warnings
from typing import Any, Protocol, runtime_checkable

import torch.nn.functional as F
from torch import Tensor

from inpaintzoo.layers.structure import RelativeTotalVariation, StructureFilter
from inpaintzoo.losses.base import Loss
from inpaintzoo.losses.reconstruction import l1
from inpaintzoo.types import Batch, ConfigError


class HasStructure(Protocol):
    """An output with a predicted structure image, `(B, 3, h, w)` in [0, 1], of any size."""

    structure: Tensor | None


@runtime_checkable
class SeesStructure(Protocol):
    """A generator that can make structure images of its input."""

    structure_filter: StructureFilter | None


class StructureL1(Loss):
    """Mean absolute difference between `output.structure` and the structure of the whole picture (equation 3.7).

    The picture is reduced to the prediction's size by averaging each cell, then filtered.

    Args:
        weight: factor, 0 or more; the paper's 1 on [-1, 1] is 2 here.
        structure_filter: makes the target; None: the filter that the generator applies to its input.
        memory: has no effect; accepted so that earlier runs' configs still load.
    """

    def __init__(
        self, weight: float = 1.0, structure_filter: StructureFilter | None = None, memory: float | None = None
    ) -> None:
        super().__init__(weight)
        self.structure_filter = structure_filter
        if memory is not None:
            warnings.warn(
                f"StructureL1: memory is {memory:g} and has no effect, since targets are no longer remembered; remove "
                f"it from the config",
                DeprecationWarning,
                stacklevel=2,
            )

    def attach(self, generator: Any) -> None:
        """Use the generator's filter, unless the loss was given one.

        Raises:
            ConfigError: the generator does not use structure images.
        """
        if not isinstance(generator, SeesStructure):
            return  # its output will show whether it predicts a structure image
        if generator.structure_filter is None:
            raise ConfigError(
                f"StructureL1 needs a generator that predicts a structure image, and this {type(generator).__name__} "
                f"has structure: false; set structure: true, or remove this loss from the config"
            )
        if self.structure_filter is None:
            self.structure_filter = generator.structure_filter

    def forward(self, output: HasStructure, batch: Batch) -> Tensor:
        """The weighted loss as a scalar.

        Raises:
            ConfigError: the output has no structure image.
        """
        predicted = getattr(output, "structure", None)
        if predicted is None:
            raise ConfigError(
                f"StructureL1 reads output.structure, but this {type(output).__name__} has none; use PyramidGenerator "
                f"with structure: true, or remove this loss from the config"
            )
        picture = F.interpolate(batch["image"], size=(predicted.shape[2], predicted.shape[3]), mode="area")
        structure_filter = self.structure_filter or RelativeTotalVariation()
        return self.weight * l1(predicted, structure_filter(picture))
