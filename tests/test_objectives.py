"""Adversarial objectives against values worked out by hand."""

import math

import pytest
import torch

from inpaintzoo.objectives import Hinge, LeastSquares, NonSaturating, RelativisticAverage, WassersteinGP

REAL, FAKE = torch.tensor([[2.0], [0.0]]), torch.tensor([[-1.0], [-3.0]])


def softplus(x):
    return math.log1p(math.exp(x))


HAND = {
    # real: relu(1 - 2), relu(1 - 0) -> 0.5; fake: relu(1 - 1), relu(1 - 3) -> 0; generator: mean(1, 3)
    Hinge: (0.5, 2.0),
    # real: 1, 1 -> 1; fake: 1, 9 -> 5; generator: 4, 16 -> 10
    LeastSquares: (6.0, 10.0),
    NonSaturating: (
        (softplus(-2) + softplus(0)) / 2 + (softplus(-1) + softplus(-3)) / 2,
        (softplus(1) + softplus(3)) / 2,
    ),
    # fake mean -2, real mean 1
    WassersteinGP: (-3.0, 2.0),
}


@pytest.mark.parametrize("form", HAND)
def test_hand_values(form):
    discriminator, generator = HAND[form]
    assert form().discriminator_loss(REAL, FAKE).item() == pytest.approx(discriminator)
    assert form().generator_loss(FAKE).item() == pytest.approx(generator)


@pytest.mark.parametrize("form", [Hinge, LeastSquares, NonSaturating])
def test_average_halves_the_discriminators_loss(form):
    whole, half = form().discriminator_loss(REAL, FAKE), form(average=True).discriminator_loss(REAL, FAKE)
    assert half.item() == pytest.approx(whole.item() / 2)


def test_relativistic_average_hand_values():
    # real - mean(fake) = 4, 2; fake - mean(real) = -2, -4
    objective = RelativisticAverage(NonSaturating())
    expected = (softplus(-4) + softplus(-2)) / 2 + (softplus(-2) + softplus(-4)) / 2
    assert objective.discriminator_loss(REAL, FAKE).item() == pytest.approx(expected)
    expected = (softplus(4) + softplus(2)) / 2 + (softplus(2) + softplus(4)) / 2
    assert objective.generator_loss(FAKE, REAL).item() == pytest.approx(expected)
    assert RelativisticAverage(Hinge()).discriminator_loss(REAL, FAKE).item() == 0.0


def test_relativistic_average_refuses_what_it_cannot_wrap():
    with pytest.raises(ValueError, match="WassersteinGP"):
        RelativisticAverage(WassersteinGP())
    with pytest.raises(ValueError, match="real pictures too"):
        RelativisticAverage().generator_loss(FAKE)


def test_gradient_penalty_of_a_linear_critic():
    # value = 3 * sum of the left half: each sample's gradient is 3 on 3 channels x 4 rows x 2 columns = 24 numbers
    def critic(picture):
        return 3 * picture[..., :2].sum(dim=(1, 2, 3))

    real, fake = torch.rand(2, 3, 4, 4), torch.rand(2, 3, 4, 4)
    mask = torch.zeros(2, 1, 4, 4)
    mask[:, :, 0, :] = 1  # 3 channels x 2 of those columns = 6 numbers in the hole
    whole = WassersteinGP(penalty_weight=10).penalty(critic, real, fake, mask)
    assert whole.item() == pytest.approx(10 * (3 * math.sqrt(24) - 1) ** 2, rel=1e-5)
    hole = WassersteinGP(penalty_weight=10, hole_only=True).penalty(critic, real, fake, mask)
    assert hole.item() == pytest.approx(10 * (3 * math.sqrt(6) - 1) ** 2, rel=1e-5)


def test_gradient_penalty_trains_the_critic():
    critic = torch.nn.Conv2d(3, 1, 3)
    mask = torch.ones(2, 1, 8, 8)
    penalty = WassersteinGP().penalty(
        lambda p: critic(p).flatten(1).mean(1), torch.rand(2, 3, 8, 8), torch.rand(2, 3, 8, 8), mask
    )
    penalty.backward()
    assert critic.weight.grad.abs().sum() > 0


def test_logits_in_half_precision_are_judged_in_float32():
    huge = torch.tensor([60000.0], dtype=torch.float16)
    assert torch.isfinite(LeastSquares().discriminator_loss(huge, huge))
