"""The losses of SPN against values by hand: distillation, KL, diversity; and what they say when they do not fit."""

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from toys import NormFreeGenerator, TinyDiscriminator

from inpaintzoo import Adversary, Inpainter
from inpaintzoo.losses import Diversity, PerceptualDiversity, PosteriorKL, PriorDistillation, VGGFeatures
from inpaintzoo.losses.distillation import prior_distillation
from inpaintzoo.losses.diversity import diversity, hole_distances
from inpaintzoo.losses.variational import kl_from_standard_normal, kl_to_standard_normal
from inpaintzoo.objectives import Hinge
from inpaintzoo.teachers import Teacher
from inpaintzoo.types import ConfigError, Output
from inpaintzoo.views import Samples


class PooledTeacher(Teacher):
    """Knows the image's colours at three sizes; the quarter-size features are the channels twice."""

    channels = (3, 3, 6)
    name = "colours"

    def forward(self, image):
        half, quarter = F.avg_pool2d(image, 2), F.avg_pool2d(image, 4)
        return [image, half, torch.cat([quarter, quarter], dim=1)]


class Learner(NormFreeGenerator):
    """Has a prior pyramid of chosen strides, and remembers what it was sized for."""

    def __init__(self, strides=(1, 2, 4)):
        super().__init__()
        self.prior_strides = strides

    def set_prior_channels(self, channels):
        self.prior_channels = tuple(channels)


def batch():
    torch.manual_seed(0)
    mask = torch.zeros(2, 1, 8, 8)
    mask[:, :, :4] = 1
    return {"image": torch.rand(2, 3, 8, 8), "mask": mask}


def test_distillation_by_hand():
    mask = torch.zeros(1, 1, 4, 4)
    mask[..., :2] = 1
    levels = [torch.zeros(1, 2, 4, 4), torch.zeros(1, 3, 2, 2)]
    targets = [torch.full((1, 2, 4, 4), 0.5), torch.full((1, 3, 2, 2), 2.0)]
    # Half of each level is hole and counts four times: 0.5 * (1 + 4) / 2 + 2 * (1 + 4) / 2.
    assert prior_distillation(levels, targets, mask, alpha=3.0).item() == pytest.approx(0.5 * 2.5 + 2 * 2.5)


@pytest.mark.parametrize("strides", [(1, 2, 4), (4,), (2, 4)])
def test_distillation_takes_the_generators_levels(strides):
    loss, pairs = PriorDistillation(PooledTeacher(), alpha=0.0, weight=2.0), batch()
    generator = Learner(strides)
    Inpainter(generator, {"prior": loss})
    channels = {1: 3, 2: 3, 4: 6}
    assert generator.prior_channels == tuple(channels[s] for s in strides)
    priors = [
        feature + 1 for s, feature in zip((1, 2, 4), PooledTeacher()(pairs["image"]), strict=True) if s in strides
    ]
    output = SimpleNamespace(priors=priors, second_priors=[])
    assert loss(output, pairs).item() == pytest.approx(2 * len(strides))
    doubled = SimpleNamespace(priors=priors, second_priors=[prior + 1 for prior in priors])
    assert loss(doubled, pairs).item() == pytest.approx(2 * len(strides) * 1.5), "the mean over both samples"
    assert loss.headline == "teacher: colours"


def test_the_teacher_stays_out_of_training():
    loss = PriorDistillation(PooledTeacher())
    assert list(loss.parameters()) == [] and not loss.teacher.module.training
    assert loss.state_dict() == {}


def test_what_does_not_fit_distillation_is_named():
    with pytest.raises(ConfigError, match="NormFreeGenerator has none; use one of them, or remove this loss"):
        Inpainter(NormFreeGenerator(), {"prior": PriorDistillation(PooledTeacher())})
    with pytest.raises(ConfigError, match=r"reads output\.priors, but Output has none"):
        PriorDistillation(PooledTeacher())(Output(torch.rand(2, 3, 8, 8)), batch())
    with pytest.raises(ValueError, match=r"alpha must be 0 or more, got -1\.0"):
        PriorDistillation(PooledTeacher(), alpha=-1.0)


def test_kl_equals_torchs():
    torch.manual_seed(0)
    mean, std = torch.randn(2, 4, 3, 3, dtype=torch.float64), torch.rand(2, 4, 3, 3, dtype=torch.float64) + 0.1
    standard = torch.distributions.Normal(torch.zeros_like(mean), 1.0)
    posterior = torch.distributions.Normal(mean, std)
    there = torch.distributions.kl_divergence(posterior, standard).mean()
    back = torch.distributions.kl_divergence(standard, posterior).mean()
    torch.testing.assert_close(kl_to_standard_normal(mean, std), there)
    torch.testing.assert_close(kl_from_standard_normal(mean, std), back)
    output = SimpleNamespace(posterior=SimpleNamespace(mean=mean, std=std))
    torch.testing.assert_close(PosteriorKL(2.0)(output, batch()), 2 * there)
    torch.testing.assert_close(PosteriorKL(2.0, "prior_to_posterior")(output, batch()), 2 * back)


def test_kl_needs_a_posterior():
    with pytest.raises(ConfigError, match=r"output\.posterior, but Output has none; use SPN with stochastic: true"):
        PosteriorKL()(Output(torch.rand(1, 3, 8, 8)), batch())
    with pytest.raises(ValueError, match=r"direction must be .*, got 'both'"):
        PosteriorKL(direction="both")


def test_hole_distances_by_hand():
    mask = torch.zeros(1, 1, 8, 8)
    mask[..., :4] = 1
    first, second = (
        [torch.zeros(1, 5, 8, 8), torch.zeros(1, 7, 4, 4)],
        [torch.full((1, 5, 8, 8), 0.2), torch.ones(1, 7, 4, 4)],
    )
    second[0][..., 4:] = 9.0  # known: does not count
    assert hole_distances(first, second, mask).tolist() == pytest.approx([0.2, 1.0])
    assert hole_distances(first, second, torch.zeros_like(mask)).tolist() == [0.0, 0.0]


def test_both_forms_of_diversity_by_hand():
    distances = torch.tensor([0.5, 0.25])
    assert diversity(distances, epsilon=1e-9).item() == pytest.approx((2 + 4) / 2)
    assert diversity(distances, "inverse_of_sum", epsilon=0.25).item() == pytest.approx(1.0)


def vgg():
    return VGGFeatures("vgg19", ("relu1_1", "relu2_1"), weights=None)


@pytest.fixture
def samples():
    torch.manual_seed(0)
    image = torch.rand(2, 3, 8, 8)
    first, second = (torch.rand(2, 3, 8, 8, requires_grad=True) for _ in range(2))
    mask = torch.zeros(2, 1, 8, 8)
    mask[:, :, 2:6, 1:7] = 1
    output = Output(first)
    output.second_sample = second
    return output, {"image": image, "mask": mask}


@pytest.mark.filterwarnings("ignore:vgg19 has random weights")
def test_the_joint_loss_is_the_sum_of_its_parts(samples):
    output, pairs = samples
    joint = PerceptualDiversity(vgg(), weight=3.0, diversity_weight=0.5)(output, pairs)
    network = vgg()
    real, fakes = network(pairs["image"]), [network(output.image), network(output.second_sample)]
    near = [sum(F.l1_loss(f, r) for f, r in zip(fake, real, strict=True)) / 2 for fake in fakes]
    apart = Diversity(vgg())(output, pairs)
    torch.testing.assert_close(joint, 3 * sum(near) / 2 + 0.5 * apart)
    joint.backward()
    assert output.image.grad.isfinite().all() and output.second_sample.grad.isfinite().all()


@pytest.mark.filterwarnings("ignore:vgg19 has random weights")
def test_diversity_falls_as_samples_part_and_is_nothing_without_a_hole(samples):
    output, pairs = samples
    loss = Diversity(vgg())
    near = Output(output.image)
    near.second_sample = output.image + 0.01
    assert loss(near, pairs) > loss(output, pairs) > 0
    whole = {**pairs, "mask": torch.zeros_like(pairs["mask"])}
    nothing = loss(output, whole)
    nothing.backward()
    assert nothing == 0 and output.image.grad.isfinite().all()


@pytest.mark.filterwarnings("ignore:vgg19 has random weights")
def test_bad_settings_are_named():
    for build, text in (
        (
            lambda: Diversity(
                vgg(),
                form="sum",
            ),
            "form must be .*, got 'sum'",
        ),
        (
            lambda: Diversity(
                vgg(),
                epsilon=0.0,
            ),
            "epsilon must be above 0",
        ),
        (
            lambda: PerceptualDiversity(
                vgg(),
                diversity_weight=-1.0,
            ),
            "diversity_weight must be 0 or more",
        ),
        (lambda: PerceptualDiversity(vgg(), layer_weights=(1.0,)), "one number of 0 or more for each of the 2"),
    ):
        with pytest.raises(ValueError, match=text):
            build()
    with pytest.raises(ConfigError, match="second_sample"):
        Diversity(vgg())(Output(torch.rand(2, 3, 8, 8)), batch())


def test_the_samples_view_judges_both(samples):
    output, pairs = samples
    seen = Samples()(output, pairs)
    assert torch.equal(seen.fake, torch.cat([output.image, output.second_sample]))
    assert torch.equal(seen.real[2:], pairs["image"]) and torch.equal(seen.mask[:2], pairs["mask"])
    Adversary(TinyDiscriminator(), Hinge(), view=Samples()).generator_losses(output, pairs)["adversarial"].backward()
    assert output.image.grad.any() and output.second_sample.grad.any()
    with pytest.raises(ConfigError, match="Samples: Output has no second sample"):
        Samples()(Output(torch.rand(2, 3, 8, 8)), pairs)


def test_a_teacher_can_take_vggs_place(samples):
    output, pairs = samples
    loss = PerceptualDiversity(PooledTeacher(), diversity_weight=0.0)
    teacher = PooledTeacher()
    real = teacher(pairs["image"])
    near = [
        sum(F.l1_loss(f, r) for f, r in zip(teacher(picture), real, strict=True)) / 3
        for picture in (output.image, output.second_sample)
    ]
    torch.testing.assert_close(loss(output, pairs), 10 * sum(near) / 2)


def test_thin_holes_reach_every_layer():
    # By nearest neighbour coarse layers miss a line of one pixel, and their distance of 0 costs 1 / epsilon.
    mask = torch.zeros(1, 1, 64, 64)
    mask[:, :, 5] = 1
    first = [torch.zeros(1, 2, side, side) for side in (64, 32, 16, 8)]
    second = [torch.ones(1, 2, side, side) for side in (64, 32, 16, 8)]
    assert hole_distances(first, second, mask).tolist() == [1.0] * 4


def test_two_teachers_for_one_generator_are_refused():
    pairs, first = batch(), PriorDistillation(PooledTeacher())
    priors = [torch.rand(2, 4, 8, 8), torch.rand(2, 4, 4, 4), torch.rand(2, 4, 2, 2)]
    with pytest.raises(ConfigError, match=r"predict \[4, 4, 4\] channels and PooledTeacher has \[3, 3, 6\]"):
        first(SimpleNamespace(priors=priors, second_priors=[]), pairs)
