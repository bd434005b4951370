"""Pixel losses, feature matching and the loss contract, against hand values and slow loops."""

import copy
import dataclasses
import functools
import inspect
import types

import pytest
import torch
import toys
import yaml
from torch import Tensor, nn

from inpaintzoo import losses
from inpaintzoo.losses import (
    L1,
    FeatureMatching,
    Frozen,
    HoleL1,
    Loss,
    PyramidL1,
    TotalVariation,
    ValidL1,
    WeightedL1,
)
from inpaintzoo.losses.matching import feature_matching
from inpaintzoo.losses.reconstruction import (
    dilate,
    hole_l1,
    l1,
    pyramid_l1,
    resize_truth,
    select_pictures,
    total_variation,
    valid_l1,
    weighted_l1,
)
from inpaintzoo.types import ConfigError, Output


@dataclasses.dataclass
class PyramidOutput(Output):
    pyramid: list[Tensor]


@dataclasses.dataclass
class SampledOutput(Output):
    second_sample: Tensor


rand = functools.partial(toys.rand, dtype=torch.float64)


@pytest.fixture
def batch() -> dict[str, Tensor]:
    """Three samples: a square hole, scattered holes, no hole."""
    mask = torch.zeros(3, 1, 8, 10, dtype=torch.float64)
    mask[0, :, 2:6, 3:7] = 1
    mask[1] = (rand(1, 8, 10, seed=5) > 0.7).double()
    return {"image": rand(3, 3, 8, 10, seed=1), "mask": mask}


@pytest.fixture
def prediction() -> Tensor:
    return rand(3, 3, 8, 10, seed=2)


# -- hole and valid ----------------------------------------------------------------------------------------------------


def test_hole_and_valid_l1_by_hand() -> None:
    image = torch.zeros(1, 3, 1, 4)
    prediction = torch.tensor([0.1, 0.2, 0.4, 0.8]).expand(1, 3, 1, 4)
    mask = torch.tensor([1.0, 0.0, 0.0, 1.0]).view(1, 1, 1, 4)
    torch.testing.assert_close(hole_l1(prediction, image, mask), torch.tensor(0.45))
    torch.testing.assert_close(valid_l1(prediction, image, mask), torch.tensor(0.3))


def test_hole_and_valid_l1_against_a_loop(batch, prediction) -> None:
    image, mask = batch["image"], batch["mask"]
    hole, valid = [], []
    for b in range(3):
        for y in range(8):
            for x in range(10):
                found = hole if mask[b, 0, y, x] == 1 else valid
                found.extend(abs(float(prediction[b, c, y, x] - image[b, c, y, x])) for c in range(3))
    assert float(hole_l1(prediction, image, mask)) == pytest.approx(sum(hole) / len(hole), rel=1e-12)
    assert float(valid_l1(prediction, image, mask)) == pytest.approx(sum(valid) / len(valid), rel=1e-12)


def test_hole_l1_is_the_formula_that_pennet_codes(batch, prediction) -> None:
    image, mask = batch["image"], batch["mask"]
    released = nn.functional.l1_loss(prediction * mask, image * mask) / mask.mean()
    torch.testing.assert_close(hole_l1(prediction, image, mask), released)


def test_hole_l1_pools_the_batch_rather_than_averaging_samples() -> None:
    """One sample with a large hole and error 0, one with a small hole and error 1."""
    image, prediction, mask = torch.zeros(2, 3, 1, 10), torch.zeros(2, 3, 1, 10), torch.zeros(2, 1, 1, 10)
    mask[0, ..., :9], mask[1, ..., :1] = 1, 1
    prediction[1] = 1
    torch.testing.assert_close(hole_l1(prediction, image, mask), torch.tensor(0.1))


def test_hole_l1_ignores_known_pixels_and_valid_l1_the_hole(batch, prediction) -> None:
    image, mask = batch["image"], batch["mask"]
    noise = rand(3, 3, 8, 10, seed=9)
    assert hole_l1(prediction + noise * (1 - mask), image, mask) == hole_l1(prediction, image, mask)
    assert valid_l1(prediction + noise * mask, image, mask) == valid_l1(prediction, image, mask)
    assert hole_l1(prediction + noise * mask, image, mask) != hole_l1(prediction, image, mask)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("loss", "value"), [(hole_l1, 0.0), (valid_l1, 1.0)])
def test_nothing_to_look_at_gives_zero_and_zero_gradient(loss, value, dtype) -> None:
    image = torch.zeros(2, 3, 4, 4, dtype=dtype)
    prediction = torch.ones(2, 3, 4, 4, dtype=dtype, requires_grad=True)
    result = loss(prediction, image, torch.full((2, 1, 4, 4), value, dtype=dtype))
    result.backward()
    assert result == 0
    assert torch.equal(prediction.grad, torch.zeros_like(prediction))


@pytest.mark.parametrize(("loss", "value"), [(hole_l1, 1.0), (valid_l1, 0.0)])
def test_everything_to_look_at_gives_plain_l1(loss, value, batch, prediction) -> None:
    mask = torch.full_like(batch["mask"], value)
    torch.testing.assert_close(loss(prediction, batch["image"], mask), l1(prediction, batch["image"]))


def test_split_over_processes_equals_the_whole_batch(batch, prediction, monkeypatch) -> None:
    """Each process normalises by the mean mask of all, so the mean of its losses is the loss of the whole batch."""
    image, mask = batch["image"], batch["mask"]
    monkeypatch.setattr("inpaintzoo.losses.reconstruction.mean_over_ranks", lambda value: mask.mean())
    parts = [hole_l1(prediction[b : b + 1], image[b : b + 1], mask[b : b + 1]) for b in range(3)]
    monkeypatch.undo()
    torch.testing.assert_close(torch.stack(parts).mean(), hole_l1(prediction, image, mask))


# -- the other L1 losses -----------------------------------------------------------------------------------------------


def test_weighted_l1_by_hand_and_at_delta_zero(batch, prediction) -> None:
    image, mask = torch.zeros(1, 1, 1, 2), torch.tensor([1.0, 0.0]).view(1, 1, 1, 2)
    value = weighted_l1(torch.tensor([0.2, 0.6]).view(1, 1, 1, 2), image, mask, delta=4)
    torch.testing.assert_close(value, torch.tensor((0.2 * 5 + 0.6) / 2))
    plain = weighted_l1(prediction, batch["image"], batch["mask"], delta=0)
    torch.testing.assert_close(plain, l1(prediction, batch["image"]))


def test_an_l1_in_0_1_is_half_of_the_one_in_minus_1_1(batch, prediction) -> None:
    image, mask = batch["image"], batch["mask"]
    for loss in (hole_l1, valid_l1):
        doubled = loss(prediction * 2 - 1, image * 2 - 1, mask)
        torch.testing.assert_close(doubled, 2 * loss(prediction, image, mask))


def aligned_bilinear(image: Tensor, height: int, width: int) -> Tensor:
    """Bilinear with aligned corners, pixel by pixel."""
    out = torch.zeros(*image.shape[:2], height, width, dtype=image.dtype)
    for y in range(height):
        for x in range(width):
            v, u = y * (image.shape[2] - 1) / (height - 1), x * (image.shape[3] - 1) / (width - 1)
            top, left = min(int(v), image.shape[2] - 2), min(int(u), image.shape[3] - 2)
            a, b = v - top, u - left
            upper = (1 - b) * image[:, :, top, left] + b * image[:, :, top, left + 1]
            lower = (1 - b) * image[:, :, top + 1, left] + b * image[:, :, top + 1, left + 1]
            out[:, :, y, x] = (1 - a) * upper + a * lower
    return out


def test_pyramid_l1_against_a_slow_resize() -> None:
    image = rand(2, 3, 8, 10, seed=1)
    pyramid = [rand(2, 3, 4, 5, seed=2), rand(2, 3, 2, 3, seed=3), rand(2, 3, 8, 10, seed=4)]
    expected = sum((level - aligned_bilinear(image, *level.shape[-2:])).abs().mean() for level in pyramid)
    torch.testing.assert_close(pyramid_l1(pyramid, image), expected)


def test_the_resizings_differ_as_they_should() -> None:
    image = torch.arange(4.0).view(1, 1, 1, 4).expand(1, 1, 4, 4)
    rows = {how: resize_truth(image, (2, 2), how)[0, 0, 0].tolist() for how in ("bilinear_aligned", "bilinear", "area")}
    assert rows == {"bilinear_aligned": [0, 3], "bilinear": [0.5, 2.5], "area": [0.5, 2.5]}
    wide = torch.arange(8.0).view(1, 1, 1, 8).expand(1, 1, 8, 8)
    assert resize_truth(wide, (2, 2), "bilinear")[0, 0, 0].tolist() == [1.5, 5.5]
    spike = torch.zeros(1, 1, 8, 8)
    spike[..., 0, 0] = 1
    assert resize_truth(spike, (2, 2), "area")[0, 0, 0, 0] == 1 / 16
    assert resize_truth(spike, (2, 2), "bilinear")[0, 0, 0, 0] == 0


def test_shapes_that_broadcast_are_refused(batch) -> None:
    with pytest.raises(ValueError, match=r"\(3, 1, 8, 10\).*\(3, 3, 8, 10\)"):
        l1(batch["image"][:, :1], batch["image"])


# -- total variation ---------------------------------------------------------------------------------------------------


def slow_total_variation(picture: Tensor, region: Tensor) -> float:
    total, (batch, channels, height, width) = 0.0, picture.shape
    for b in range(batch):
        for y in range(height):
            for x in range(width):
                for v, u in ((y + 1, x), (y, x + 1)):
                    if v < height and u < width and region[b, 0, y, x] and region[b, 0, v, u]:
                        total += float((picture[b, :, v, u] - picture[b, :, y, x]).abs().sum())
    return total / (batch * channels * height * width)


def test_total_variation_against_a_loop(batch, prediction) -> None:
    everywhere = torch.ones_like(batch["mask"])
    assert float(total_variation(prediction)) == pytest.approx(slow_total_variation(prediction, everywhere))
    region = dilate(batch["mask"])
    assert float(total_variation(prediction, region)) == pytest.approx(slow_total_variation(prediction, region))


def test_dilation_is_by_one_pixel_in_eight_directions() -> None:
    mask = torch.zeros(1, 1, 5, 5)
    mask[..., 2, 2] = 1
    expected = torch.zeros(1, 1, 5, 5)
    expected[..., 1:4, 1:4] = 1
    assert torch.equal(dilate(mask), expected)


def test_total_variation_of_the_hole_sees_the_seam_but_not_the_rest() -> None:
    image, mask = torch.zeros(1, 3, 9, 9), torch.zeros(1, 1, 9, 9)
    mask[..., 4, 4] = 1
    output, batch = Output(image=torch.ones(1, 3, 9, 9)), {"image": image, "mask": mask}
    # One pixel of 1 within 0: four neighbours a channel, over all elements.
    torch.testing.assert_close(TotalVariation(2.0)(output, batch), torch.tensor(2.0 * 4 / 81))
    far = image.clone()
    far[..., 0, :] = 0.5
    before = TotalVariation()(output, {"image": image, "mask": mask})
    assert TotalVariation()(output, {"image": far, "mask": mask}) == before
    assert TotalVariation(region="frame")(output, {"image": far, "mask": mask}) > before
    assert TotalVariation(region="frame", which="prediction")(output, batch) == 0


# -- which pictures ----------------------------------------------------------------------------------------------------


def test_select_pictures(batch, prediction) -> None:
    image, mask = batch["image"], batch["mask"]
    pasted = mask * prediction + (1 - mask) * image
    output = Output(prediction)
    assert [p is prediction for p in select_pictures(output, batch, "prediction")] == [True]
    torch.testing.assert_close(select_pictures(output, batch, "composite"), [pasted])
    torch.testing.assert_close(select_pictures(output, batch, "both"), [prediction, pasted])
    second = rand(3, 3, 8, 10, seed=7)
    assert select_pictures(SampledOutput(prediction, second), batch, "samples") == [prediction, second]
    levels = [torch.full((3, 3, 4, 5), 0.25, dtype=torch.float64), prediction]
    small, full = select_pictures(PyramidOutput(prediction, levels), batch, "pyramid")
    torch.testing.assert_close(small, torch.full_like(image, 0.25))
    assert full is prediction


def test_missing_pyramid_or_sample_names_the_output_and_the_remedy(batch, prediction) -> None:
    with pytest.raises(ConfigError, match=r"output\.pyramid, but the generator's Output has none.*PENNet.*remove"):
        PyramidL1()(Output(prediction), batch)
    with pytest.raises(ConfigError, match="PyramidOutput has none"):
        PyramidL1()(PyramidOutput(prediction, []), batch)
    with pytest.raises(ConfigError, match=r"second_sample.*stochastic"):
        L1(which="samples")(Output(prediction), batch)


# -- the classes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weight", [0.0, 1.0, 3.5])
def test_classes_are_the_functions_times_their_weight(batch, prediction, weight) -> None:
    image, mask = batch["image"], batch["mask"]
    second, level = rand(3, 3, 8, 10, seed=3), rand(3, 3, 4, 5, seed=4)
    output, sampled = PyramidOutput(prediction, [level]), SampledOutput(prediction, second)
    cases = [
        (HoleL1(weight)(output, batch), hole_l1(prediction, image, mask)),
        (ValidL1(weight)(output, batch), valid_l1(prediction, image, mask)),
        (L1(weight)(output, batch), l1(prediction, image)),
        (L1(weight, which="samples")(sampled, batch), l1(prediction, image) + l1(second, image)),
        (WeightedL1(weight, delta=2.0)(output, batch), weighted_l1(prediction, image, mask, 2.0)),
        (PyramidL1(weight)(output, batch), pyramid_l1([level], image)),
        (PyramidL1(weight, "area")(output, batch), pyramid_l1([level], image, "area")),
        (TotalVariation(weight, "frame", "prediction")(output, batch), total_variation(prediction)),
    ]
    for got, function in cases:
        assert got.ndim == 0
        torch.testing.assert_close(got, weight * function)


def test_gradients_reach_what_is_judged_and_nothing_else(batch, prediction) -> None:
    mask = batch["mask"].expand(3, 3, 8, 10) == 1
    prediction.requires_grad_()
    (hole,) = torch.autograd.grad(HoleL1()(Output(prediction), batch), prediction)
    (valid,) = torch.autograd.grad(ValidL1()(Output(prediction), batch), prediction)
    assert hole[mask].all() and not hole[~mask].any()
    assert valid[~mask].all() and not valid[mask].any()
    level = rand(3, 3, 4, 5, seed=4).requires_grad_()
    (pyramid,) = torch.autograd.grad(PyramidL1()(PyramidOutput(prediction, [level]), batch), level)
    assert pyramid.all()


@pytest.mark.parametrize("loss", [HoleL1(), WeightedL1(), TotalVariation(which="prediction")])
def test_gradients_are_right(loss, batch) -> None:
    prediction = rand(3, 3, 8, 10, seed=2).requires_grad_()
    assert torch.autograd.gradcheck(lambda p: loss(Output(p), batch), prediction, eps=1e-7)


@pytest.mark.parametrize("loss", [L1, HoleL1, ValidL1, PyramidL1, WeightedL1, TotalVariation, FeatureMatching])
def test_negative_weights_are_refused(loss) -> None:
    with pytest.raises(ValueError, match=rf"{loss.__name__}: weight must be 0 or more, got -1"):
        loss(weight=-1)


def test_negative_delta_is_refused() -> None:
    with pytest.raises(ValueError, match=r"delta must be 0 or more, got -0\.5"):
        WeightedL1(delta=-0.5)


def test_half_precision_predictions_give_a_float32_loss(batch, prediction) -> None:
    """What autocast hands over: a bfloat16 prediction, a float32 truth."""
    image, mask = batch["image"].float(), batch["mask"].float()
    value = HoleL1()(Output(prediction.bfloat16()), {"image": image, "mask": mask})
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, hole_l1(prediction.float(), image, mask), rtol=1e-2, atol=0)


# -- feature matching --------------------------------------------------------------------------------------------------


def test_feature_matching_is_the_mean_over_layers_without_the_logits() -> None:
    real = [torch.zeros(1, 4, 8, 8), torch.zeros(1, 8, 4, 4), torch.zeros(1, 1, 2, 2)]
    fake = [torch.full((1, 4, 8, 8), 1.0), torch.full((1, 8, 4, 4), 3.0), torch.full((1, 1, 2, 2), 100.0)]
    assert feature_matching(fake, real) == 2
    assert feature_matching(fake, real, layers=(1,)) == 3
    assert FeatureMatching()(fake, real) == 20
    assert FeatureMatching(weight=1.0, layers=(0,))(fake, real) == 1


def test_feature_matching_teaches_the_fake_only() -> None:
    fake = [rand(2, 3, 4, 4, seed=i).requires_grad_() for i in range(3)]
    real = [rand(2, 3, 4, 4, seed=10 + i).requires_grad_() for i in range(3)]
    feature_matching(fake, real).backward()
    assert [f.grad is not None for f in fake] == [True, True, False]
    assert [r.grad is not None for r in real] == [False, False, False]


def test_feature_matching_of_half_precision_is_summed_in_float32() -> None:
    fake, real = torch.full((1, 1, 300, 300), 2.0).half(), torch.zeros(1, 1, 300, 300).half()
    value = feature_matching([fake, fake], [real, real])
    assert value.dtype == torch.float32 and value == 2


def test_feature_matching_errors() -> None:
    x = torch.zeros(1, 1, 2, 2)
    with pytest.raises(ValueError, match="1 fake and 2 real"):
        feature_matching([x], [x, x])
    with pytest.raises(ValueError, match="gives 0 feature maps"):
        feature_matching([x], [x])
    with pytest.raises(ValueError, match=r"layers \[1\].*gives 1 feature maps"):
        feature_matching([x, x], [x, x], layers=(1,))
    with pytest.raises(ValueError, match=r"\(1, 1, 2, 2\).*\(1, 1, 1, 2\)"):
        feature_matching([x, x], [x[:, :, :1], x])
    for layers in ((), (-1,)):
        with pytest.raises(ValueError, match="at least one position"):
            FeatureMatching(layers=layers)


# -- the contract ------------------------------------------------------------------------------------------------------


class Taught(Loss):
    """A loss with a frozen teacher whose mode and buffers matter."""

    def __init__(self) -> None:
        super().__init__(2.0)
        self.teacher = Frozen(nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Dropout(0.5)))

    def forward(self, output: Output, batch: dict[str, Tensor]) -> Tensor:
        return self.weight * l1(self.teacher(output.image), self.teacher(batch["image"]))


def test_a_frozen_teacher_is_invisible_to_its_owner() -> None:
    owner = nn.ModuleDict({"taught": Taught()})
    assert list(owner.parameters()) == [] and list(owner.buffers()) == [] and owner.state_dict() == {}
    assert not any(isinstance(module, nn.Conv2d) for module in owner.modules())


def test_a_frozen_teacher_stays_in_eval_without_gradients() -> None:
    taught = Taught()
    taught.train()
    taught.requires_grad_(True)
    assert taught.training and not any(module.training for module in taught.teacher.module.modules())
    assert not any(p.requires_grad for p in taught.teacher.module.parameters())


def test_a_frozen_teacher_follows_to_dtype_and_device() -> None:
    owner = nn.ModuleDict({"taught": Taught()})
    owner.to(torch.float64)
    teacher = owner["taught"].teacher.module
    assert {t.dtype for t in teacher.state_dict().values()} == {torch.float64, torch.int64}
    owner.to("meta")
    assert {t.device.type for t in teacher.state_dict().values()} == {"meta"}


def test_a_frozen_teacher_passes_gradients_to_the_prediction_and_keeps_its_state() -> None:
    taught = Taught()
    taught.train()
    before = copy.deepcopy(taught.teacher.module.state_dict())
    image = rand(2, 3, 4, 4, dtype=torch.float32).requires_grad_()
    truth = rand(2, 3, 4, 4, seed=1, dtype=torch.float32)
    taught(Output(image), {"image": truth}).backward()
    assert image.grad is not None and image.grad.abs().sum() > 0
    torch.testing.assert_close(taught.teacher.module.state_dict(), before, rtol=0, atol=0)


def test_copies_of_a_loss_have_their_own_teacher() -> None:
    taught = Taught()
    other = copy.deepcopy(taught)
    assert other.teacher.module is not taught.teacher.module
    assert torch.equal(other.teacher.module[0].weight, taught.teacher.module[0].weight)


def test_a_bare_loss_has_no_formula() -> None:
    with pytest.raises(NotImplementedError):
        Loss()(types.SimpleNamespace(), {})


def test_no_argument_of_a_loss_is_a_yaml_boolean():
    # In YAML 1.1 a key such as `on` or `off` is a boolean, and a config could not name the argument.
    classes = [value for value in vars(losses).values() if isinstance(value, type) and issubclass(value, losses.Loss)]
    names = {name for value in classes for name in inspect.signature(value).parameters}
    assert len(classes) > 10 and "which" in names
    assert all(isinstance(yaml.safe_load(name), str) for name in names)
