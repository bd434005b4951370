"""The losses of SPN against values by hand: distillation, KL, diversity; and what they say when they do not fit."""

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from toys import NormFreeGenerator, TinyDiscriminator

from inpaintzoo import Adversary, Inpainter
from inpaintzoo.losses import (
    Diversity,
    FeatureMatching,
    PerceptualDiversity,
    PosteriorKL,
    PriorDistillation,
    VGGFeatures,
    WeightedL1,
)
from inpaintzoo.losses.distillation import prior_distillation
from inpaintzoo.losses.diversity import diversity, feature_spread, hole_distances
from inpaintzoo.losses.perceptual import feature_distance
from inpaintzoo.losses.variational import kl_from_standard_normal, kl_to_standard_normal
from inpaintzoo.models import SPN
from inpaintzoo.objectives import Hinge, RelativisticAverage, WassersteinGP
from inpaintzoo.teachers import BuiltinTeacher, Teacher
from inpaintzoo.types import ConfigError, Output
from inpaintzoo.views import Samples, Seen


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


def test_the_spread_of_features_by_hand():
    one, other = torch.zeros(1, 2, 4, 4), torch.zeros(1, 2, 4, 4)
    one[:, 0], other[:, 1, :2] = 3.0, 1.0
    # Channel 0: half the cells are 1.5 above the mean, half below; channel 1: a quarter are 1 and the mean is 1 / 4.
    assert feature_spread([torch.cat([one, other])]).item() == pytest.approx((1.5 + 0.75 / 4 + 0.25 * 3 / 4) / 2)
    assert feature_spread([torch.zeros(2, 3, 4, 4)]).item() > 0, "something to divide by"


@pytest.mark.filterwarnings("ignore:vgg19 has random weights")
def test_calibrated_diversity_does_not_depend_on_the_scale_of_the_features(samples):
    output, pairs = samples

    class Louder(PooledTeacher):
        def forward(self, image):
            return [1000 * level for level in super().forward(image)]

    losses = [
        loss(teacher, epsilon=0.1, calibrate=True, weight=1.0)(output, pairs)
        for loss in (Diversity, PerceptualDiversity)
        for teacher in (PooledTeacher(), Louder())
    ]
    torch.testing.assert_close(losses[0], losses[1])
    real = PooledTeacher()(pairs["image"])
    first, second = (PooledTeacher()(picture) for picture in (output.image, output.second_sample))
    relative = hole_distances(first, second, pairs["mask"]) / feature_spread(real)
    torch.testing.assert_close(losses[0], (1 / (relative + 0.1)).mean())
    near = [feature_distance(fake, real, (1 / 3,) * 3) for fake in (first, second)]
    torch.testing.assert_close(losses[2], losses[0] + sum(near) / 2)


@pytest.mark.filterwarnings("ignore:vgg19 has random weights")
@pytest.mark.parametrize("network", [BuiltinTeacher, lambda: VGGFeatures(weights=None)], ids=["built-in", "random VGG"])
def test_calibrated_diversity_starts_with_a_gradient_like_the_image_losss(network):
    torch.manual_seed(0)
    generator = SPN(stochastic=True, width=4, growth=2, dense_blocks=1, hidden=4, blocks=1, latent=8).train()
    image = F.interpolate(torch.rand(2, 3, 8, 8), size=(64, 64), mode="bilinear")
    mask = torch.zeros(2, 1, 64, 64)
    mask[..., 16:48, 16:48] = 1
    output, pairs = generator(image, mask), {"image": image, "mask": mask}
    ratios = []
    image_loss = WeightedL1(which="samples", weight=5.0)
    for loss in (image_loss, Diversity(network()), Diversity(network(), 0.1, epsilon=0.05, calibrate=True)):
        generator.zero_grad()
        loss(output, pairs).backward(retain_graph=True)
        ratios.append(torch.stack([p.grad.norm() for p in generator.parameters() if p.grad is not None]).norm().item())
    assert ratios[1] / ratios[0] > 100 and 0.1 < ratios[2] / ratios[0] < 10, ratios


def test_a_diversity_of_weight_0_is_not_computed(samples, monkeypatch):
    output, pairs = samples
    monkeypatch.setattr("inpaintzoo.losses.diversity.hole_distances", None)
    loss = PerceptualDiversity(PooledTeacher(), diversity_weight=0.0)
    loss(output, pairs)
    assert loss.active
    loss.weight = 0.0
    assert not loss.active
    loss.diversity_weight = 1.0
    assert loss.active


def test_the_samples_view_judges_both(samples):
    output, pairs = samples
    seen = Samples()(output, pairs)
    assert torch.equal(seen.fake, torch.cat([output.image, output.second_sample]))
    assert seen.real is pairs["image"] and torch.equal(seen.mask, torch.cat([pairs["mask"]] * 2))
    Adversary(TinyDiscriminator(), Hinge(), view=Samples()).generator_losses(output, pairs)["adversarial"].backward()
    assert output.image.grad.any() and output.second_sample.grad.any()
    with pytest.raises(ConfigError, match="Samples: Output has no second sample"):
        Samples()(Output(torch.rand(2, 3, 8, 8)), pairs)


class Doubled(Samples):
    """The truth once for every sample."""

    def __call__(self, output, batch):
        seen = super().__call__(output, batch)
        return Seen(seen.fake, torch.cat([seen.real] * 2), seen.mask)


@pytest.mark.parametrize("objective", [Hinge, RelativisticAverage, WassersteinGP])
def test_the_truth_of_two_samples_is_judged_once(samples, objective):
    output, pairs = samples
    judged = []

    class Spy(TinyDiscriminator):
        def forward(self, image, mask):
            judged.append(len(image))
            return super().forward(image, mask)

    found = []
    for view in (Samples(), Doubled()):
        torch.manual_seed(0)  # the network's weights and the penalty's draw
        adversary = Adversary(Spy(), objective(), view=view, feature_matching=FeatureMatching())
        found.append([*adversary.generator_losses(output, pairs).values(), adversary.discriminator_loss(output, pairs)])
    torch.testing.assert_close(found[0], found[1])
    assert judged[:4] == [4, 2, 2, 4]


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
