"""Distillation of a frozen teacher's features into the prior pyramid of SPN and SPL.

Source: SPN, Zhang et al. 2021, https://arxiv.org/abs/2112.04107, equation 4. Like the released code, this takes the
mean over a level's elements where the paper writes a norm.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor

from inpaintzoo.losses.base import Frozen, Loss
from inpaintzoo.losses.reconstruction import weighted_l1
from inpaintzoo.teachers import BuiltinTeacher, Teacher
from inpaintzoo.types import Batch, ConfigError


class HasPriors(Protocol):
    """An output with predicted teacher features, finest first, also for a second sample if there is one."""

    priors: list[Tensor]
    second_priors: list[Tensor]


@runtime_checkable
class LearnsPriors(Protocol):
    """A generator with a prior pyramid whose heads can be sized for a teacher."""

    prior_strides: tuple[int, ...]

    def set_prior_channels(self, channels: Sequence[int]) -> None:
        """Size the heads, finest first."""


def prior_distillation(priors: Sequence[Tensor], targets: Sequence[Tensor], mask: Tensor, alpha: float) -> Tensor:
    """Sum over levels of `mean(|target - prior| * (1 + alpha * mask))` (SPN equation 4), a scalar.

    Args:
        priors: `(B, C_l, h_l, w_l)`, predicted features, one per level.
        targets: the teacher's features, of the same shapes.
        mask: `(B, 1, H, W)`, 1 = hole, resized to a level by nearest neighbour.
        alpha: extra weight of the hole.
    """
    terms = []
    for prior, target in zip(priors, targets, strict=True):
        level_mask = F.interpolate(mask, size=prior.shape[-2:], mode="nearest")
        terms.append(weighted_l1(prior.float(), target.float(), level_mask.float(), alpha))
    return torch.stack(terms).sum()


class PriorDistillation(Loss):
    """The prior pyramid should predict what a frozen teacher sees in the whole image (SPN equation 4).

    The generator's distillation heads are sized for the teacher when the `Inpainter` is built, overriding its
    `prior_channels`. The two samples of a stochastic generator count half each.

    Args:
        teacher: the network to distil; by default the built-in classifier of the scenes' tags. The paper's is
            `ASLTeacher`.
        weight: factor, 0 or more; 1 in the paper.
        alpha: extra weight of the hole, 0 or more; 3 in the paper.
    """

    def __init__(self, teacher: Teacher | None = None, weight: float = 1.0, alpha: float = 3.0) -> None:
        super().__init__(weight)
        if alpha < 0:
            raise ValueError(f"PriorDistillation: alpha must be 0 or more, got {alpha}")
        self.alpha = alpha
        self.teacher = Frozen(teacher if teacher is not None else BuiltinTeacher())
        self.headline = f"teacher: {self.teacher.module.name}"
        self.strides: tuple[int, ...] = (1, 2, 4)

    def attach(self, generator: Any) -> None:
        """Size the generator's heads for the teacher.

        Raises:
            ConfigError: the generator has no prior pyramid.
        """
        if not isinstance(generator, LearnsPriors):
            raise ConfigError(
                f"PriorDistillation teaches the prior pyramid of SPN or SPL, and {type(generator).__name__} has none; "
                f"use one of them, or remove this loss from the config"
            )
        self.strides = tuple(generator.prior_strides)
        generator.set_prior_channels(self._of_strides(self.teacher.module.channels))

    def _of_strides(self, levels: Sequence[Any]) -> list[Any]:
        """Pick the generator's levels from a teacher's levels at strides 1, 2 and 4."""
        return [levels[(1, 2, 4).index(stride)] for stride in self.strides]

    def forward(self, output: HasPriors, batch: Batch) -> Tensor:
        """The weighted loss as a scalar.

        Raises:
            ConfigError: the output has no priors, or priors for another teacher.
        """
        samples = [priors for name in ("priors", "second_priors") if (priors := getattr(output, name, None))]
        if not samples:
            raise ConfigError(
                f"PriorDistillation reads output.priors, but {type(output).__name__} has none; use SPN or SPL in "
                f"training mode, or remove this loss from the config"
            )
        with torch.no_grad():
            targets = self._of_strides(self.teacher(batch["image"]))
        heads, features = ([level.shape[1] for level in levels] for levels in (samples[0], targets))
        if heads != features:
            raise ConfigError(
                f"PriorDistillation: the heads predict {heads} channels and {type(self.teacher.module).__name__} has "
                f"{features}; a generator learns from one teacher: keep one such loss"
            )
        terms = [prior_distillation(priors, targets, batch["mask"], self.alpha) for priors in samples]
        return self.weight * torch.stack(terms).mean()
