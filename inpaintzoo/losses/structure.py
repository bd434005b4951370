"""The structure that the lowest level of a pyramid generator should predict.

Source: the dissertation on pyramid generators and attention feature fusion (see `inpaintzoo.models.pyramid`), equation
3.7: the L1 distance to the structure image of the whole picture.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import Any, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from lightning.pytorch.utilities import rank_zero_info
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
    """A generator that makes structure images of its input, or could."""

    structure_filter: StructureFilter | None


class StructureMemory:
    """Structure images of pictures that were seen before, found by what is in the picture, on the CPU.

    A picture that differs in one bit is another picture, so what is found is never out of date. The longest unused are
    forgotten first. Where nothing has come again by the time that as much was forgotten as there is room for, nothing
    will: it then says so once, and remembers nothing from there on.

    Args:
        megabytes: room for the structure images, 0 or more; 0 remembers nothing.
    """

    def __init__(self, megabytes: float) -> None:
        if megabytes < 0:
            raise ValueError(f"StructureMemory: megabytes must be 0 or more, got {megabytes}")
        self.bytes = int(megabytes * 1e6)
        self.used = 0
        self._forgotten = 0
        self._came_again = False
        self._images: OrderedDict[bytes, Tensor] = OrderedDict()

    def __len__(self) -> int:
        """Structure images that are remembered."""
        return len(self._images)

    def filtered(self, images: Tensor, structure_filter: StructureFilter) -> Tensor:
        """The structure of `(B, C, h, w)`, computed for those pictures only that are not remembered.

        Args:
            images: whole pictures, without a hole.
            structure_filter: always the same one.
        """
        if not self.bytes:
            return structure_filter(images)
        keys = [_key(image) for image in images.cpu()]
        found = {key: self._images[key] for key in keys if key in self._images}
        self._came_again = self._came_again or bool(found)
        missing = [position for position, key in enumerate(keys) if key not in found]
        if missing:
            fresh = structure_filter(images[missing]).cpu()
            found |= {keys[position]: image for position, image in zip(missing, fresh, strict=True)}
        for key in keys:
            self._keep(key, found[key])
        if not self._came_again and self._forgotten >= self.bytes:
            self._switch_off()
        return torch.stack([found[key] for key in keys]).to(images.device)

    def _keep(self, key: bytes, image: Tensor) -> None:
        if key not in self._images:
            self._images[key] = image.clone()
            self.used += image.nbytes
        self._images.move_to_end(key)
        while self.used > self.bytes:
            size = self._images.popitem(last=False)[1].nbytes
            self.used -= size
            self._forgotten += size

    def _switch_off(self) -> None:
        rank_zero_info(
            f"StructureL1: no picture has come again within {self.bytes / 1e6:g} MB of targets, so none is remembered "
            f"from here on; with random crops none will, and memory: 0 saves the search"
        )
        self.bytes = self.used = 0
        self._images.clear()


def _key(image: Tensor) -> bytes:
    content = image.contiguous().view(torch.uint8).numpy().tobytes()
    return hashlib.blake2b(content + repr((image.shape, image.dtype)).encode(), digest_size=16).digest()


class StructureL1(Loss):
    """Mean absolute difference of `output.structure` to the structure of the whole picture (equation 3.7).

    The picture is brought to the prediction's size by the mean of each cell, then filtered.

    Args:
        weight: factor, 0 or more; the paper's 1 on [-1, 1] is 2 here.
        structure_filter: makes the target; None: the one that the trained generator makes its input with.
        memory: megabytes for the targets of pictures that come again, in each process: worth it for data without random
            crops, where a picture has one view, or two with mirroring. A target of 128x128 takes 0.2. Without a picture
            that came again until it has been filled twice, it switches itself off. 0: always filter.
    """

    def __init__(
        self, weight: float = 1.0, structure_filter: StructureFilter | None = None, memory: float = 512.0
    ) -> None:
        super().__init__(weight)
        self.structure_filter = structure_filter
        self.memory = StructureMemory(memory)

    def attach(self, generator: Any) -> None:
        """Take the generator's filter, unless there is one already.

        Raises:
            ConfigError: the generator does without structure images.
        """
        if not isinstance(generator, SeesStructure):
            return  # whether it predicts a structure image shows in its output
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
        return self.weight * l1(predicted, self.memory.filtered(picture, structure_filter))
