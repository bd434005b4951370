"""Views and adversaries: what is judged, and who learns from it."""

import pytest
import torch
from toys import TinyDiscriminator

from inpaintzoo.adversary import Adversary, MultiScaleAdversary
from inpaintzoo.discriminators import SRPNetDiscriminator
from inpaintzoo.losses.matching import FeatureMatching
from inpaintzoo.objectives import Hinge, LeastSquares, NonSaturating, RelativisticAverage, WassersteinGP
from inpaintzoo.types import Output
from inpaintzoo.views import Composite, HoleBox, HoleMasked, PyramidLevel, RawPrediction

OBJECTIVES = [NonSaturating, Hinge, LeastSquares, WassersteinGP, RelativisticAverage]
VIEWS = [Composite, RawPrediction, HoleMasked, HoleBox]


@pytest.fixture
def pair():
    torch.manual_seed(0)
    mask = torch.zeros(2, 1, 16, 16)
    mask[0, 0, 4:12, 2:10] = 1
    mask[1, 0, 0:3, 5:16] = 1
    mask[1, 0, 2, 5] = 0
    batch = {"image": torch.rand(2, 3, 16, 16), "mask": mask}
    return Output(torch.rand(2, 3, 16, 16, requires_grad=True)), batch


def test_composite_and_raw_views(pair):
    output, batch = pair
    seen = Composite()(output, batch)
    known = ~batch["mask"].bool().expand(-1, 3, -1, -1)
    assert torch.equal(seen.fake[known], batch["image"][known])
    assert torch.equal(seen.fake[~known], output.image[~known])
    assert RawPrediction()(output, batch).fake is output.image


def test_hole_masked_view_shows_the_hole_alone(pair):
    output, batch = pair
    seen = HoleMasked()(output, batch)
    assert torch.equal(seen.fake, output.image * batch["mask"])
    assert torch.equal(seen.real, batch["image"] * batch["mask"])


def test_hole_box_of_the_right_size_is_cut_without_resampling(pair):
    output, batch = pair
    seen = HoleBox(size=8)(output, batch)
    assert torch.equal(seen.fake[0], output.image[0, :, 4:12, 2:10])
    assert torch.equal(seen.real[0], batch["image"][0, :, 4:12, 2:10])
    assert seen.mask[0].eq(1).all()
    assert seen.fake.shape == (2, 3, 8, 8)
    # the second box is 3 x 11, resampled: it stays within what it shows
    part = batch["image"][1, :, 0:3, 5:16]
    assert seen.real[1].min() >= part.min() and seen.real[1].max() <= part.max()
    seen.fake.sum().backward()
    assert output.image.grad[0, :, 4:12, 2:10].eq(1).all()


def test_pyramid_level_view_and_its_error(pair):
    output, batch = pair
    output.pyramid = [torch.rand(2, 3, 8, 8)]
    seen = PyramidLevel(0)(output, batch)
    assert seen.fake.shape == seen.real.shape == (2, 3, 8, 8)
    assert torch.allclose(seen.real[0, 0, 0, 0], batch["image"][0, 0, :2, :2].mean())
    with pytest.raises(ValueError, match="no level 1"):
        PyramidLevel(1)(output, batch)


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("scales", [1, 2])
def test_every_objective_with_every_view_teaches_both_sides(pair, objective, view, scales):
    output, batch = pair
    if scales == 1:
        adversary = Adversary(TinyDiscriminator(), objective(), view=view())
    else:
        adversary = MultiScaleAdversary([TinyDiscriminator(), TinyDiscriminator()], objective(), view=view())
    adversary.discriminator_loss(output.detach(), batch).backward()
    assert output.image.grad is None
    for discriminator in adversary.discriminators():
        weight = discriminator.first.weight
        assert torch.isfinite(weight.grad).all() and weight.grad.abs().sum() > 0
    sum(adversary.generator_losses(output, batch).values()).backward()
    assert torch.isfinite(output.image.grad).all() and output.image.grad.abs().sum() > 0


@pytest.mark.parametrize("view", [HoleMasked(), HoleBox(64)])
def test_local_views_take_squares_strokes_and_nothing_in_one_batch(view):
    torch.manual_seed(0)
    mask = torch.zeros(4, 1, 64, 64)
    mask[0, 0, 16:48, 16:48] = 1
    mask[1, 0, torch.arange(64), torch.arange(64)] = 1  # a thin stroke, from corner to corner
    mask[2, 0, 5, 60] = 1  # a single pixel
    batch = {"image": torch.rand(4, 3, 64, 64), "mask": mask}  # the last one has no hole
    output = Output(torch.rand(4, 3, 64, 64, requires_grad=True))
    seen = view(output, batch)
    assert seen.fake.shape == seen.real.shape
    assert seen.mask.shape == (4, 1, *seen.fake.shape[2:])
    differs = (seen.fake - seen.real).abs().flatten(1).amax(dim=1) > 0
    assert differs.tolist() == [True, True, True, False], "without a hole there is nothing to tell apart"
    adversary = Adversary(SRPNetDiscriminator(width=4), Hinge(), view=view)
    adversary.generator_losses(output, batch)["adversarial"].backward()
    gradient = output.image.grad
    assert gradient.isfinite().all()
    assert gradient.masked_select(mask == 0).eq(0).all(), "what is known is not the generator's to change"
    assert gradient[:3].flatten(1).abs().sum(dim=1).gt(0).all()


def test_weight_scales_the_generators_term_only(pair):
    output, batch = pair
    discriminator = TinyDiscriminator()
    light, heavy = Adversary(discriminator, Hinge(), weight=0.1), Adversary(discriminator, Hinge(), weight=1.0)
    assert torch.equal(light.discriminator_loss(output, batch), heavy.discriminator_loss(output, batch))
    light_term = light.generator_losses(output, batch)["adversarial"]
    heavy_term = heavy.generator_losses(output, batch)["adversarial"]
    assert torch.allclose(light_term * 10, heavy_term)


def test_scales_count_alike(pair):
    output, batch = pair
    fine, coarse = TinyDiscriminator(), TinyDiscriminator()
    adversary = MultiScaleAdversary([fine, coarse], LeastSquares())
    fake = Composite()(output, batch).fake
    smaller = torch.nn.functional.avg_pool2d(fake, 3, 2, 1, count_include_pad=False)
    smaller_mask = torch.nn.functional.max_pool2d(batch["mask"], 3, 2, 1)
    expected = [
        (fine(fake, batch["mask"])[-1] - 1).square().mean(),
        (coarse(smaller, smaller_mask)[-1] - 1).square().mean(),
    ]
    assert torch.allclose(adversary.generator_losses(output, batch)["adversarial"], sum(expected) / 2)


def test_feature_matching_vanishes_on_the_truth(pair):
    output, batch = pair
    adversary = Adversary(TinyDiscriminator(), Hinge(), feature_matching=FeatureMatching(weight=10.0))
    assert adversary.generator_losses(output, batch)["feature_matching"] > 0
    truth = Output(batch["image"].clone())
    assert adversary.generator_losses(truth, batch)["feature_matching"] == 0


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda: Adversary(TinyDiscriminator(), Hinge(), weight=-1), "weight must be 0 or more, got -1"),
        (lambda: MultiScaleAdversary([], Hinge()), "at least one"),
        (lambda: HoleBox(0), "at least 1 pixel"),
        (lambda: PyramidLevel(-1), "0 or more"),
    ],
)
def test_bad_values_are_named(build, text):
    with pytest.raises(ValueError, match=text):
        build()


def test_terms_of_weight_0_are_not_computed(pair):
    class Spy(TinyDiscriminator):
        calls = 0

        def forward(self, image, mask):
            Spy.calls += 1
            return super().forward(image, mask)

    for weight, matching, terms, calls in [
        (0.0, None, set(), 0),
        (0.0, FeatureMatching(0.0), set(), 0),
        (1.0, FeatureMatching(0.0), {"adversarial"}, 1),
        (0.0, FeatureMatching(1.0), {"feature_matching"}, 2),
    ]:
        Spy.calls = 0
        adversary = Adversary(Spy(), Hinge(), weight, feature_matching=matching)
        assert (set(adversary.generator_losses(*pair)), Spy.calls) == (terms, calls)
