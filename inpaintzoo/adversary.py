"""An adversary: a discriminator with its objective, weight and view."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inpaintzoo.discriminators import Discriminator
from inpaintzoo.losses.matching import FeatureMatching
from inpaintzoo.objectives import Objective
from inpaintzoo.types import Batch, Output
from inpaintzoo.views import Composite, Seen, View


class Adversary(nn.Module):
    """A discriminator, and the loss terms of both sides.

    Args:
        discriminator: returns its features, the logits last.
        objective: the form of the losses.
        weight: weight of the adversarial term in the generator's loss.
        view: what is judged; the composite by default.
        feature_matching: adds the distance between the discriminator's features of fake and real pictures.
    """

    def __init__(
        self,
        discriminator: Discriminator,
        objective: Objective,
        weight: float = 1.0,
        view: View | None = None,
        feature_matching: FeatureMatching | None = None,
    ) -> None:
        super().__init__()
        if weight < 0:
            raise ValueError(f"{type(self).__name__}: weight must be 0 or more, got {weight}")
        self.discriminator = discriminator
        self.objective = objective
        self.weight = weight
        self.view = view or Composite()
        self.feature_matching = feature_matching

    def discriminators(self) -> list[Discriminator]:
        """All networks of this adversary."""
        return [self.discriminator]

    def judge(self, picture: Tensor, mask: Tensor) -> list[list[Tensor]]:
        """The discriminator's features, logits last; one list per scale.

        Args:
            picture: `(B, 3, h, w)` in [0, 1].
            mask: `(B, 1, h, w)`, 1 = hole.
        """
        return [self.discriminator(picture, mask)]

    def _judge_real(self, seen: Seen) -> list[list[Tensor]]:
        """`judge` of the truth, repeated if several fakes share it."""
        fakes = len(seen.fake) // len(seen.real)
        scales = self.judge(seen.real, seen.mask[: len(seen.real)])
        return scales if fakes == 1 else [[torch.cat([x] * fakes) for x in features] for features in scales]

    def discriminator_loss(self, output: Output, batch: Batch) -> Tensor:
        """The discriminator's loss, averaged over scales; `output` must be detached."""
        seen = self.view(output, batch)

        def critic(picture: Tensor) -> Tensor:
            """One value per sample, `(B,)`: the mean over patches, then over scales."""
            values = [features[-1].flatten(1).mean(dim=1) for features in self.judge(picture, seen.mask)]
            return torch.stack(values).mean(dim=0)

        real_scales, fake_scales = self._judge_real(seen), self.judge(seen.fake, seen.mask)
        pairs = zip(real_scales, fake_scales, strict=True)
        loss = torch.stack([self.objective.discriminator_loss(r[-1], f[-1]) for r, f in pairs]).mean()
        real = torch.cat([seen.real] * (len(seen.fake) // len(seen.real)))
        penalty = self.objective.penalty(critic, real, seen.fake, seen.mask)
        return loss if penalty is None else loss + penalty

    def generator_losses(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """The generator's weighted terms: `adversarial`, and `feature_matching` if there is one.

        A term of weight 0 is left out.
        """
        matching = self.feature_matching if self.feature_matching and self.feature_matching.weight > 0 else None
        if self.weight == 0 and matching is None:
            return {}
        seen = self.view(output, batch)
        fake_scales = self.judge(seen.fake, seen.mask)
        real_scales: list[list[Tensor]] = []
        if matching is not None or self.objective.needs_real:
            with torch.no_grad():
                real_scales = self._judge_real(seen)
        losses = {}
        if self.weight > 0:
            terms = [
                self.objective.generator_loss(features[-1], real_scales[scale][-1] if real_scales else None)
                for scale, features in enumerate(fake_scales)
            ]
            losses["adversarial"] = self.weight * torch.stack(terms).mean()
        if matching is not None:
            matches = [matching(f, r) for f, r in zip(fake_scales, real_scales, strict=True)]
            losses["feature_matching"] = torch.stack(matches).mean()
        return losses


class MultiScaleAdversary(Adversary):
    """Several discriminators, each judging the picture at half the size of the previous one.

    All scales have the same weight (Wang et al. 2018, pix2pixHD, section 3.2).

    Args:
        discriminators: one per scale, finest first.
        objective: the form of the losses.
        weight: weight of the adversarial term, which is a mean over scales.
        view: what is judged; the composite by default.
        feature_matching: also a mean over scales.
    """

    def __init__(
        self,
        discriminators: Sequence[Discriminator],
        objective: Objective,
        weight: float = 1.0,
        view: View | None = None,
        feature_matching: FeatureMatching | None = None,
    ) -> None:
        if not discriminators:
            raise ValueError("MultiScaleAdversary: discriminators must hold at least one")
        super().__init__(discriminators[0], objective, weight, view, feature_matching)
        self.coarser = nn.ModuleList(discriminators[1:])

    def discriminators(self) -> list[Discriminator]:  # noqa: D102
        return [self.discriminator, *self.coarser]  # type: ignore[list-item]

    def judge(self, picture: Tensor, mask: Tensor) -> list[list[Tensor]]:  # noqa: D102
        scales = [self.discriminator(picture, mask)]
        for discriminator in self.coarser:
            # overlapping windows; padding does not darken the borders
            picture = F.avg_pool2d(picture, 3, stride=2, padding=1, count_include_pad=False)
            mask = F.max_pool2d(mask, 3, stride=2, padding=1)
            scales.append(discriminator(picture, mask))
        return scales
