"""Adversarial objectives: the losses of discriminator and generator, given logits.

All arithmetic is in float32, whatever precision the networks use.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Critic = Callable[[Tensor], Tensor]


class Objective(nn.Module):
    """An adversarial loss form on logits of any shape.

    Attributes:
        needs_real: whether the generator's loss reads the logits of the real picture.
        penalises_gradients: whether `penalty` differentiates through the discriminator's gradient.

    Args:
        average: average the real and fake terms of the discriminator's loss instead of adding them, as PEN-Net's and
            SPN's released code do.
    """

    needs_real: ClassVar[bool] = False
    penalises_gradients: ClassVar[bool] = False

    def __init__(self, average: bool = False) -> None:
        super().__init__()
        self.average = average

    def real_loss(self, logits: Tensor) -> Tensor:
        """The discriminator's loss on the logits of real pictures."""
        raise NotImplementedError

    def fake_loss(self, logits: Tensor) -> Tensor:
        """The discriminator's loss on the logits of generated pictures."""
        raise NotImplementedError

    def discriminator_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """The discriminator's loss, a scalar.

        Args:
            real: logits of the real pictures.
            fake: logits of the generated pictures, which must be detached from the generator.
        """
        total = self.real_loss(real.float()) + self.fake_loss(fake.float())
        return total / 2 if self.average else total

    def generator_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """The generator's loss, a scalar.

        Args:
            fake: logits of the generated pictures.
            real: logits of the real pictures; needed only if `needs_real`.
        """
        raise NotImplementedError

    def penalty(self, critic: Critic, real: Tensor, fake: Tensor, mask: Tensor) -> Tensor | None:
        """A penalty on the discriminator's gradient, added to its loss; None for most objectives.

        Args:
            critic: maps `(B, 3, H, W)` pictures to one value per sample, `(B,)`.
            real: `(B, 3, H, W)` real pictures.
            fake: `(B, 3, H, W)` generated pictures, detached.
            mask: `(B, 1, H, W)`, 1 = hole.
        """
        return None


class NonSaturating(Objective):
    """Binary cross-entropy on logits; the generator maximises log D(fake) (Goodfellow et al. 2014, section 3)."""

    def real_loss(self, logits: Tensor) -> Tensor:  # noqa: D102
        return F.softplus(-logits).mean()

    def fake_loss(self, logits: Tensor) -> Tensor:  # noqa: D102
        return F.softplus(logits).mean()

    def generator_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:  # noqa: D102
        return F.softplus(-fake.float()).mean()


class Hinge(Objective):
    """Hinge loss (PEN-Net equations 8 and 9; Lim and Ye 2017)."""

    def real_loss(self, logits: Tensor) -> Tensor:  # noqa: D102
        return F.relu(1 - logits).mean()

    def fake_loss(self, logits: Tensor) -> Tensor:  # noqa: D102
        return F.relu(1 + logits).mean()

    def generator_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:  # noqa: D102
        return -fake.float().mean()


class LeastSquares(Objective):
    """Least squares with targets 1 for real and 0 for fake (Mao et al. 2017, equation 9 without the halves)."""

    def real_loss(self, logits: Tensor) -> Tensor:  # noqa: D102
        return (logits - 1).square().mean()

    def fake_loss(self, logits: Tensor) -> Tensor:  # noqa: D102
        return logits.square().mean()

    def generator_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:  # noqa: D102
        return (fake.float() - 1).square().mean()


class WassersteinGP(Objective):
    """Wasserstein distance with gradient penalty (Gulrajani et al. 2017, equation 3).

    Use it with a discriminator without batch statistics, and with `generator_every` of about 5.

    Args:
        penalty_weight: lambda of the paper.
        hole_only: penalise the gradient inside the hole only (Yu et al. 2018, equation 4), since real and composite
            agree elsewhere.
    """

    penalises_gradients: ClassVar[bool] = True

    def __init__(self, penalty_weight: float = 10.0, hole_only: bool = False) -> None:
        super().__init__()
        if penalty_weight < 0:
            raise ValueError(f"WassersteinGP: penalty_weight must be 0 or more, got {penalty_weight}")
        self.penalty_weight = penalty_weight
        self.hole_only = hole_only

    def real_loss(self, logits: Tensor) -> Tensor:  # noqa: D102
        return -logits.mean()

    def fake_loss(self, logits: Tensor) -> Tensor:  # noqa: D102
        return logits.mean()

    def generator_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:  # noqa: D102
        return -fake.float().mean()

    def penalty(self, critic: Critic, real: Tensor, fake: Tensor, mask: Tensor) -> Tensor:  # noqa: D102
        blend = torch.rand(real.shape[0], 1, 1, 1, device=real.device, dtype=real.dtype)
        between = torch.lerp(real, fake.to(real.dtype), blend).requires_grad_(True)
        # In full precision: the slope should be exactly 1.
        with torch.autocast(between.device.type, enabled=False):
            # Samples are independent, so the gradient of the sum is each sample's own.
            (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
        if self.hole_only:
            gradient = gradient * mask
        slope = (gradient.float().square().sum(dim=(1, 2, 3)) + 1e-12).sqrt()  # the root's gradient is infinite at 0
        return self.penalty_weight * (slope - 1).square().mean()


class RelativisticAverage(Objective):
    """Judges real pictures relative to the average fake one and vice versa (Jolicoeur-Martineau 2019, section 4).

    Averages are over the batch of each process, not over all processes.

    Args:
        form: the objective applied to the relative logits; the paper's RaSGAN is `NonSaturating`.
    """

    needs_real: ClassVar[bool] = True

    def __init__(self, form: Objective | None = None) -> None:
        super().__init__()
        self.form = form or NonSaturating()
        if self.form.needs_real or self.form.penalises_gradients:
            raise ValueError(
                f"RelativisticAverage: form must judge single pictures (NonSaturating, Hinge, LeastSquares), "
                f"got {type(self.form).__name__}"
            )

    def discriminator_loss(self, real: Tensor, fake: Tensor) -> Tensor:  # noqa: D102
        real, fake = real.float(), fake.float()
        return self.form.discriminator_loss(real - fake.mean(), fake - real.mean())

    def generator_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:  # noqa: D102
        if real is None:
            raise ValueError("RelativisticAverage: the generator's loss needs the logits of the real pictures too")
        real, fake = real.float(), fake.float()
        # The generator minimises the discriminator's loss with real and fake swapped.
        return self.form.discriminator_loss(fake - real.mean(), real - fake.mean())
