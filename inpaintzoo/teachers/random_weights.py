"""The paper's control (figure 9, "SPN w/ rand"): the same network with random weights."""

from __future__ import annotations

import math
import warnings

import torch
from torch import Tensor

from inpaintzoo.teachers.asl import Trunk, check_upsample, targets
from inpaintzoo.teachers.base import Doubling, Teacher, check_image


def random_state(network: torch.nn.Module, seed: int) -> dict[str, Tensor]:
    """He initialisation in the order of the names, from its own random generator; norms and biases neutral."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, value in sorted(network.state_dict().items()):
        if value.ndim > 1:
            deviation = math.sqrt(2 / math.prod(value.shape[1:]))
            # Drawn in float64 and rounded: the last bits of a float32 draw may differ between machines.
            state[name] = (torch.randn(value.shape, generator=generator, dtype=torch.double) * deviation).float()
        else:
            one = name.endswith((".weight", "running_var"))
            state[name] = torch.full(value.shape, int(one), dtype=value.dtype)
    return state


def warn_random(network: str) -> None:
    """Warn that a network has random weights because of its setting `weights: null`."""
    text = f"{network} has random weights (weights: null): its features mean nothing, use this in tests only"
    warnings.warn(text, stacklevel=2)


class RandomTeacher(Teacher):
    """TResNet-L's first stages with random weights: features without semantics, the same everywhere for a seed.

    Args:
        seed: 0 or more; no draw from the global random state.
        upsample: how the image is doubled, as for `ASLTeacher`.

    Raises:
        ValueError: for a bad argument.
    """

    channels = Trunk.channels

    def __init__(self, seed: int = 0, upsample: Doubling = "nearest") -> None:
        super().__init__()
        check_upsample("RandomTeacher", upsample)
        if seed < 0:
            raise ValueError(f"RandomTeacher: seed must be 0 or more, got {seed}")
        self.name = (
            f"random weights (seed {seed}), a control without semantics (the paper's teacher is the ASL TResNet-L)"
        )
        self.upsample = upsample
        self.network = Trunk()
        self.network.load_state_dict(random_state(self.network, seed))
        self.eval().requires_grad_(False)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Features of `(B, 3, H, W)` at strides 1, 2 and 4."""
        check_image("RandomTeacher", image)
        return targets(self.network, image, self.upsample)
