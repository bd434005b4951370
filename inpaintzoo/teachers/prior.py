"""Another network's semantic priors as targets (the paper's section 4.5.1 and table 5).

There SPL learns on Paris StreetView from the coarsest prior of an SPN that was trained on Places2, instead of from ASL,
and reaches a better FID. The prior is the learned pyramid itself, before the distillation heads.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from inpaintzoo.files.published import load_state, plain_state, read_file
from inpaintzoo.files.run_state import average_state, part_state
from inpaintzoo.generator import Generator
from inpaintzoo.teachers.base import Teacher, check_image
from inpaintzoo.types import WeightsError


class PriorTeacher(Teacher):
    """The prior pyramid of a trained SPN, which sees the whole image without a hole.

    Args:
        generator: a network with `prior_features(image, mask)`, such as `SPN` with three levels; build it as it was
            trained. A stochastic `SPN` gives the priors of its posterior's mean.
        weights: its weights: a checkpoint of a run (with the averaged generator, if the run kept one), or a state dict
            of the generator (`.safetensors`, `.pth`).

    Raises:
        ValueError: the generator has no prior pyramid of three levels.
        WeightsError: the weights are missing or do not fit.
    """

    def __init__(self, generator: Generator, weights: str) -> None:
        super().__init__()
        kind = type(generator).__name__
        if not callable(getattr(generator, "prior_features", None)):
            raise ValueError(
                f"PriorTeacher: {kind} has no prior_features; use a network that learns priors, such as SPN"
            )
        file = Path(weights).expanduser()
        state = _generator_state(read_file(file, "PriorTeacher"), file)
        # The distillation heads are not used here, and exported files have none: their values do not matter.
        heads = tuple(f"{part}." for part in getattr(generator, "training_only", ()))
        state |= {key: value for key, value in generator.state_dict().items() if heads and key.startswith(heads)}
        load_state(generator, state, f"PriorTeacher: {file}")
        self.generator = generator.eval().requires_grad_(False)
        self.name = f"the priors of another {kind} ({file.name}; the paper's teacher is the ASL TResNet-L)"
        self.channels = self._channels()
        self.eval()

    def forward(self, image: Tensor) -> list[Tensor]:
        """The prior pyramid of `(B, 3, H, W)` in [0, 1], finest first."""
        check_image("PriorTeacher", image)
        nothing = image.new_zeros(image.shape[0], 1, *image.shape[-2:])
        return self.generator.prior_features(image, nothing)  # type: ignore[operator]

    @torch.no_grad()
    def _channels(self) -> tuple[int, ...]:
        """Channels of the pyramid, found by running the network on a small black image."""
        multiple = self.generator.size_multiple
        side = -(-max(64, self.generator.smallest_side) // multiple) * multiple
        found = self(next(self.generator.parameters()).new_zeros(1, 3, side, side))
        sides = [tuple(level.shape[-2:]) for level in found]
        if sides != [(side // stride, side // stride) for stride in (1, 2, 4)]:
            raise ValueError(
                f"PriorTeacher needs priors at strides 1, 2 and 4, but {type(self.generator).__name__} has them at "
                f"{', '.join(str(side // height) for height, _ in sides)} only; use an SPN with levels: 3"
            )
        return tuple(level.shape[1] for level in found)


def _generator_state(content: Mapping[str, Any], file: Path) -> dict[str, Tensor]:
    """The generator's tensors in a file; a checkpoint's average if it has one."""
    if "state_dict" not in content:
        return plain_state(content, file, "PriorTeacher")
    if average := average_state(content):
        return plain_state(average, file, "PriorTeacher")
    state = part_state(plain_state(content["state_dict"], file, "PriorTeacher"), "generator")
    if not state:
        raise WeightsError(f"PriorTeacher: {file} is not a checkpoint of an Inpainter: no tensor is named generator.…")
    return state
