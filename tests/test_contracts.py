"""The contracts, for every class that is exported: generators, discriminators, losses, mask generators, metrics.

A class added to `models.__all__`, `losses.__all__`, ... is tested without a line here, at its default arguments. One
that needs others, or whose defaults are large, gets an entry in a table; the failure says which.
"""

from __future__ import annotations

import copy
import dataclasses
import inspect
import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from contract import assert_the_hole_is_not_seen, three_pairs, without_gradient
from metric_toys import pairs
from PIL import Image
from torch import Tensor, nn

from inpaintzoo import discriminators, fills, losses, metrics, models
from inpaintzoo.data import masks
from inpaintzoo.discriminators import Discriminator
from inpaintzoo.generator import Generator
from inpaintzoo.layers.prior_learner import Posterior
from inpaintzoo.layers.structure import BilateralStructure
from inpaintzoo.losses import Loss, VGGFeatures
from inpaintzoo.metrics import ImageMetric, Metric, SampleMetric, SegmentationMetric, SetMetric
from inpaintzoo.types import ConfigError, DataError, Output


def exported(module, base, *abstract):
    """Names of the module's own classes of a kind."""
    names = getattr(module, "__all__", None) or [n for n, v in vars(module).items() if inspect.isclass(v)]
    kinds = {name: getattr(module, name) for name in names}
    return sorted(
        name
        for name, kind in kinds.items()
        if inspect.isclass(kind) and issubclass(kind, base) and kind not in (base, *abstract)
    )


def build(module, name, arguments, table):
    """An instance, or a failure that says which table lacks it."""
    try:
        return getattr(module, name)(**arguments)
    except TypeError as error:
        pytest.fail(f"{name} cannot be built: {error}; add its arguments to {table} in tests/test_contracts.py")


# -- generators --------------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class Small:
    """How the tests build a generator.

    Attributes:
        arguments: make it small.
        size: height and width of the pictures.
        variants: further arguments, one run of the tests each.
        gain: factor of the weights, for networks that at their initial weights barely react to their input.
        separate: whether in training mode, too, a sample does not depend on its batch.
        noise: see `contract.without_gradient`.
    """

    arguments: dict[str, Any]
    size: tuple[int, int]
    variants: list[dict[str, Any]] = dataclasses.field(default_factory=lambda: [{}])
    gain: float = 1.0
    separate: bool = True
    noise: float = 0.0


SPN = {"width": 8, "growth": 4, "dense_blocks": 2, "hidden": 6, "blocks": 2}
GENERATORS = {
    "PENNet": Small(
        {"width": 8},
        (64, 128),
        [
            {},
            {"faithful": "paper"},
            {"attention": "single"},
            {"attention": "none"},
            {"attention": "patch_swap"},
            {"attention": "contextual"},
            {"mask_resize": "any", "normalize_query": True, "scale": 5.0},
            {"fill": "hole", "hole_keys": "exclude"},
        ],
        gain=2,
    ),
    "SRPNet": Small(
        {"width": 8},
        (128, 192),
        [
            {},
            {"num_residual_blocks": 2, "dilation": 1},
            {"num_residual_blocks": 0},
            {"kernel": 3, "mask_resize": "any"},
            {"hole_keys": "zero_score", "fill": "everywhere", "normalize_query": False, "mask_resize": "bilinear"},
        ],
        gain=2,
    ),
    "GatedNet": Small(
        {"width": 8}, (40, 56), [{}, {"padding": "same_tf"}, {"fuse": False, "mask_resize": "any"}, {"engine": "dense"}]
    ),
    "AFFNet": Small({"width": 12}, (40, 64), [{}, {"skip": "concat", "dcr": False}], separate=False),
    "AFFNet(group)": Small(
        {"width": 12, "norm": "group"}, (40, 64), [{}, {"skip": "attention", "dcr": False}, {"skip": "none"}]
    ),
    "SmoothRefine": Small({"width": 12}, (40, 56), [{}, {"engine": "dense"}]),
    "PyramidGenerator": Small(
        {"width": 4},
        (64, 96),
        [
            {},
            {"levels": (4, 2)},
            {"levels": (2, 1), "structure": False},
            {"structure": False},
            {"levels": (8, 4, 2, 1), "structure_filter": BilateralStructure()},
            *({"fusion": fusion} for fusion in ("attention", "convolution", "coarse")),
            *({"fusion": fusion} for fusion in ("feature_coarse", "feature_refine")),
        ],
    ),
    "SGENet": Small(
        {"width": 4, "hidden": 8},
        (96, 96),
        [
            {},
            {"variant": "guided"},
            {"variant": "base"},
            {"num_classes": 5, "rho": 0.6, "hidden": 6},
            {"cim": "fully_connected", "image_size": 96},
        ],
        gain=2,
        separate=False,
        noise=1e-5,
    ),
    "SGENet(instance)": Small(
        {"width": 4, "hidden": 8, "statistics": "instance"}, (96, 96), [{}, {"variant": "base"}], gain=4, noise=1e-5
    ),
    "SPN": Small(
        {**SPN, "latent": 5, "prior_channels": (2, 3, 4)},
        (32, 64),
        [
            {},
            {"stochastic": True},
            {"levels": 2},
            {"levels": 1, "stochastic": True},
            {"conditioning": "concat"},
            {"conditioning": "concat", "levels": 2},
            {"checkpointing": True},
        ],
    ),
    # The threshold splits the maps of a network that has not been trained.
    "SPL": Small({**SPN, "prior_channels": (4,), "threshold": 0.5}, (20, 32), [{}, {"checkpointing": True}]),
    "MeanColour": Small({}, (16, 24)),
    "Diffusion": Small({}, (16, 24)),
    "Biharmonic": Small({}, (16, 24)),
    "ShiftMap": Small({}, (34, 36)),
    "FSR": Small({}, (6, 8)),  # it takes milliseconds a pixel
    "FSRFast": Small({}, (8, 12)),
    "Telea": Small({}, (16, 24)),
    "NavierStokes": Small({}, (16, 24)),
}
ALL_GENERATORS = [
    *((models, name) for name in exported(models, Generator)),
    (models, "AFFNet(group)"),
    (models, "SGENet(instance)"),
    *((fills, name) for name in exported(fills, Generator)),
]
RUNS = [
    pytest.param(module, name, variant, id=f"{name}-{variant}")
    for module, name in ALL_GENERATORS
    for variant in (GENERATORS[name].variants if name in GENERATORS else [{}])
]
every_generator = pytest.mark.parametrize(("module", "name", "variant"), RUNS)


def generator_of(module, name, variant):
    """A small network, the same at each call, and how it was built."""
    if name not in GENERATORS:
        pytest.fail(f"{name} has no entry in GENERATORS of tests/test_contracts.py: arguments that make it small")
    small = GENERATORS[name]
    torch.manual_seed(0)
    network = build(module, name.partition("(")[0], {**small.arguments, **variant}, "GENERATORS")
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(small.gain)
    return network, small


def pictures(small, batch=3):
    height, width = small.size
    return three_pairs(height, width, (height // 4, 5 * height // 8, width // 5, 3 * width // 4), width // 3, batch)


def tensors(value):
    """Every tensor of an output, however deep."""
    if isinstance(value, Tensor):
        return [value]
    if dataclasses.is_dataclass(value):
        return [tensor for field in dataclasses.fields(value) for tensor in tensors(getattr(value, field.name))]
    return [tensor for item in value for tensor in tensors(item)] if isinstance(value, (list, tuple)) else []


def repeatable(network, image, mask, noise=None):
    """All tensors of a forward; random numbers are the same at each call."""
    torch.manual_seed(1)
    return tensors(network(image, mask, **({} if noise is None else {"noise": [noise]})))


@every_generator
def test_a_generators_output(module, name, variant):
    network, small = generator_of(module, name, variant)
    image, mask = pictures(small)
    given = image.clone(), mask.clone()
    for training in (True, False):
        output = network.train(training)(image, mask)
        assert isinstance(output, Output) and output.image.shape == image.shape
        assert output.image.min() >= 0 and output.image.max() <= 1
        assert not any(tensor.requires_grad for tensor in tensors(output.detach()))
    assert torch.equal(image, given[0]) and torch.equal(mask, given[1]), "what is handed in stays as it is"


@every_generator
@pytest.mark.parametrize("training", [False, True])
def test_a_generator_never_sees_the_hole(module, name, variant, training):
    network, small = generator_of(module, name, variant)
    image, mask = pictures(small)
    network.train(training)
    assert_the_hole_is_not_seen(lambda content: repeatable(network, content, mask), image, mask)


@every_generator
def test_gradients_reach_every_parameter_of_a_generator(module, name, variant):
    network, small = generator_of(module, name, variant)
    if not list(network.parameters()):
        pytest.skip("has no parameters")
    # Batch normalisation takes the bias in front of it away in training.
    parts = repeatable(network.train(small.separate), *pictures(small))
    sum(part.square().sum() for part in parts if part.requires_grad).backward()
    assert without_gradient(network, small.noise) == []


@every_generator
def test_a_batch_gives_a_generator_what_its_samples_give(module, name, variant):
    network, small = generator_of(module, name, variant)
    image, mask = (tensor.double() for tensor in pictures(small))
    network = network.double().train(small.separate and not network.stochastic)
    shape = network.noise_shape(*small.size)
    noise = None if shape is None else torch.randn(3, *shape, dtype=torch.float64)
    with torch.no_grad():
        together = repeatable(network, image, mask, noise)
        one = [slice(i, i + 1) for i in range(3)]
        apart = [repeatable(network, image[i], mask[i], None if noise is None else noise[i]) for i in one]
    for whole, *parts in zip(together, *apart, strict=True):
        torch.testing.assert_close(whole, torch.cat(parts), atol=1e-8, rtol=1e-8)


@every_generator
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_generator_takes_no_hole_and_nothing_but_hole(module, name, variant, value):
    network, small = generator_of(module, name, variant)
    image, _ = pictures(small)
    parts = repeatable(network, image, torch.full_like(image[:, :1], value))
    assert all(part.isfinite().all() for part in parts)
    if list(network.parameters()):
        sum(part.mean() for part in parts if part.requires_grad).backward()
    assert all(p.grad.isfinite().all() for p in network.parameters() if p.grad is not None)


@every_generator
def test_what_a_generator_cannot_take_is_refused_in_a_sentence(module, name, variant):
    network, small = generator_of(module, name, variant)
    (image, mask), multiple, least = pictures(small, 1), network.size_multiple, network.smallest_side
    if multiple > 1:
        height, width = image.shape[2] + multiple // 2, image.shape[3]
        with pytest.raises(DataError, match=f"multiples of {multiple}, got {height}x{width}; "):
            network(torch.zeros(1, 3, height, width), torch.zeros(1, 1, height, width))
    if least > multiple:
        side = (least - 1) // multiple * multiple
        with pytest.raises(DataError, match=f"of at least {least}, got {side}x{side}; "):
            network(torch.zeros(1, 3, side, side), torch.zeros(1, 1, side, side))
    with pytest.raises(DataError, match="the mask must be"):
        network(image, mask[:, :, 1:])
    with pytest.raises(DataError, match="the mask must be exactly 0 or 1 everywhere"):
        network(image, mask / 2)
    with pytest.raises(DataError, match=r"the image must be \(B, 3, H, W\)"):
        network(image[:, :1], mask)


@every_generator
def test_a_generator_takes_the_smallest_picture_that_it_declares(module, name, variant):
    network, _ = generator_of(module, name, variant)
    if "image_size" in variant:
        pytest.skip("is made for one size")
    side = math.ceil(network.smallest_side / network.size_multiple) * network.size_multiple
    with torch.no_grad():
        image = network.eval()(torch.rand(1, 3, side, 2 * side), torch.ones(1, 1, side, 2 * side)).image
    assert image.shape == (1, 3, side, 2 * side) and image.isfinite().all()


@every_generator
def test_only_a_stochastic_generator_samples(module, name, variant):
    network, small = generator_of(module, name, variant)
    image, mask = pictures(small)
    if not network.stochastic:
        assert network.noise_shape(*small.size) is None
        with pytest.raises(ValueError, match=name.partition("(")[0]):
            network.sample(image, mask, 2)
        return
    draws = [network.eval().sample(image, mask, 2, [torch.Generator().manual_seed(i) for i in range(3)]) for _ in "ab"]
    assert draws[0].shape == (3, 2, *image.shape[1:]) and torch.equal(*draws)
    assert not torch.equal(draws[0][:, 0], draws[0][:, 1])
    alone = network.sample(image[1:2], mask[1:2], 2, [torch.Generator().manual_seed(1)])
    torch.testing.assert_close(alone, draws[0][1:2], atol=1e-5, rtol=0)


@pytest.mark.filterwarnings("ignore:guidance leaves places in the hole")  # 3x3 patches of a map of 2x4 cells
@every_generator
def test_guidance_is_taken_where_it_is_declared(module, name, variant):
    network, small = generator_of(module, name, variant)
    height, width = (2 * side for side in small.size)
    image, mask = torch.rand(1, 3, height, width), torch.zeros(1, 1, height, width)
    mask[..., : height // 5, : height // 5] = 1
    if not network.accepts_guidance:
        with pytest.raises(ConfigError, match="has no patch attention that guidance could steer"):
            network.read_guidance(torch.ones_like(mask), mask)
        return
    left = torch.ones_like(mask)
    left[..., width // 2 :] = 0
    with torch.no_grad():
        free, allowed, guided = (network.eval()(image, mask, g).image for g in (None, torch.ones_like(mask), left))
    torch.testing.assert_close(allowed, free, atol=1e-5, rtol=0)
    assert not torch.equal(guided, free)


# -- discriminators ----------------------------------------------------------------------------------------------------

DISCRIMINATORS = {
    "PatchDiscriminator": [
        {"width": 4},
        {"width": 4, "norm": "spectral", "kernel": 5, "padding": 2, "last_stride": 2, "max_width": 8},
        {"width": 4, "norm": "spectral+instance", "num_layers": 4, "uses_mask": True},
        {"width": 4, "norm": "none", "num_layers": 1},
    ],
    "SNPatchDiscriminator": [{"width": 4}, {"width": 4, "padding": "same_tf"}],
}
every_discriminator = pytest.mark.parametrize(
    ("name", "arguments"),
    [
        pytest.param(name, arguments, id=f"{name}-{arguments}")
        for name in exported(discriminators, Discriminator)
        for arguments in DISCRIMINATORS.get(name, [{"width": 4}])
    ],
)


def judged():
    image, mask = torch.rand(2, 3, 128, 192, generator=torch.Generator().manual_seed(0)), torch.zeros(2, 1, 128, 192)
    mask[:, :, 40:80, 30:90] = 1
    return image, mask


@every_discriminator
def test_a_discriminator_returns_features_and_logits_and_teaches_both_sides(name, arguments):
    torch.manual_seed(0)
    network = build(discriminators, name, arguments, "DISCRIMINATORS").eval()
    image, mask = judged()
    outputs = network(image.requires_grad_(), mask)
    assert len(outputs) > 1 and all(output.ndim == 4 and len(output) == 2 for output in outputs)
    unmasked = network(image, torch.zeros_like(mask))[-1]
    assert torch.equal(unmasked, outputs[-1]) is (not network.uses_mask)
    sum(output.square().mean() for output in outputs).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
    assert image.grad.abs().sum() > 0
    # Two forwards before a backward, as a GAN step needs them.
    network.train()
    (network(image, mask)[-1].mean() - network(image.flip(3), mask)[-1].mean()).backward()


@every_discriminator
def test_a_batch_gives_a_discriminator_what_its_samples_give(name, arguments):
    network, (image, mask) = build(discriminators, name, arguments, "DISCRIMINATORS").eval(), judged()
    with torch.no_grad():
        apart = [network(image[i : i + 1], mask[i : i + 1]) for i in range(2)]
        for whole, *parts in zip(network(image, mask), *apart, strict=True):
            torch.testing.assert_close(whole, torch.cat(parts), atol=1e-5, rtol=1e-5)


@every_discriminator
def test_the_smallest_side_of_a_discriminator_is_exact(name, arguments, monkeypatch):
    network = build(discriminators, name, arguments, "DISCRIMINATORS")
    side = network.smallest_side
    assert network(torch.rand(1, 3, side, side), torch.zeros(1, 1, side, side))[-1].numel() > 0
    if side == 1:
        return
    with pytest.raises(DataError, match=rf"at least {side}x{side}, got {side + 1}x{side - 1}; enlarge"):
        network(torch.rand(1, 3, side + 1, side - 1), torch.zeros(1, 1, side + 1, side - 1))
    monkeypatch.setattr(network, "check_size", lambda image: None)
    with pytest.raises((RuntimeError, ValueError)):
        network(torch.rand(1, 3, side - 1, side - 1), torch.zeros(1, 1, side - 1, side - 1))


# -- losses ------------------------------------------------------------------------------------------------------------


def vgg():
    return VGGFeatures("vgg16", ("relu1_1", "relu2_1"), weights=None)


LOSSES = {
    "Perceptual": lambda: {"network": vgg()},
    "PerceptualStyle": lambda: {"weights": None},
    "Style": lambda: {"weights": None},
    "Diversity": lambda: {"network": vgg()},
    "PerceptualDiversity": lambda: {"network": vgg()},
}
every_loss = pytest.mark.parametrize("name", exported(losses, Loss))
random_weights = pytest.mark.filterwarnings("ignore:.*has random weights.*")


@dataclasses.dataclass
class Everything(Output):
    """What any loss may read."""

    pyramid: list[Tensor]
    segmentations: list[Tensor]
    structure: Tensor
    priors: list[Tensor]
    second_priors: list[Tensor]
    second_sample: Tensor
    posterior: Posterior


def loss_of(name, **arguments):
    return build(losses, name, {**LOSSES.get(name, dict)(), **arguments}, "LOSSES")


def output_and_batch(loss, hole=None, dtype=torch.float32):
    """An output with everything, whose leaves ask for gradients, and a batch; `hole` fills the mask."""
    draw = torch.Generator().manual_seed(0)

    def leaf(*shape, low=0.0):
        return (low + (1 - low) * torch.rand(2, *shape, generator=draw)).to(dtype).requires_grad_()

    teacher = getattr(getattr(loss, "teacher", None), "module", None)
    channels = getattr(teacher, "channels", (2, 3, 4))
    priors = [[leaf(c, 32 // s, 32 // s) for c, s in zip(channels, (1, 2, 4), strict=True)] for _ in range(2)]
    output = Everything(
        image=leaf(3, 32, 32),
        pyramid=[leaf(3, 32 // 2**i, 32 // 2**i) for i in range(1, 4)],
        segmentations=[leaf(5, 32 // 2**i, 32 // 2**i) for i in range(3)],
        structure=leaf(3, 8, 8),
        priors=priors[0],
        second_priors=priors[1],
        second_sample=leaf(3, 32, 32),
        posterior=Posterior(leaf(4, 1, 1), leaf(4, 1, 1, low=0.5)),
    )
    mask = torch.zeros(2, 1, 32, 32) if hole is None else torch.full((2, 1, 32, 32), hole)
    if hole is None:
        mask[0, :, 8:20, 10:25] = 1
        mask[1] = (torch.rand(1, 32, 32, generator=draw) > 0.7).float()
    labels = torch.randint(0, 5, (2, 32, 32), generator=draw)
    return output, {"image": torch.rand(2, 3, 32, 32, generator=draw), "mask": mask, "labels": labels}


@random_weights
@every_loss
def test_a_loss_is_a_scalar_that_teaches_and_changes_nothing(name):
    loss = loss_of(name)
    output, batch = output_and_batch(loss)
    before = copy.deepcopy(batch)
    value = loss(output, batch)
    assert value.shape == () and value.isfinite() and value > 0
    value.backward()
    gradients = [tensor.grad for tensor in tensors(output) if tensor.grad is not None]
    assert gradients and all(gradient.isfinite().all() for gradient in gradients)
    assert sum(gradient.abs().sum() for gradient in gradients) > 0
    assert all(torch.equal(batch[key], before[key]) for key in before)
    assert list(loss.parameters()) == [] and loss.state_dict() == {}, "a frozen network is not the trainer's business"


@random_weights
@every_loss
@pytest.mark.parametrize("hole", [0.0, 1.0])
def test_a_loss_takes_no_hole_and_nothing_but_hole(name, hole):
    loss = loss_of(name)
    output, batch = output_and_batch(loss, hole)
    value = loss(output, batch)
    assert value.isfinite()
    if value.requires_grad:
        value.backward()
    assert all(tensor.grad.isfinite().all() for tensor in tensors(output) if tensor.grad is not None)


@random_weights
@every_loss
def test_a_loss_is_linear_in_its_weight_and_refuses_a_negative_one(name):
    values = []
    for weight in (0.0, 1.0, 2.0):
        loss = loss_of(name, weight=weight)
        values.append(loss(*output_and_batch(loss)).item())
    assert values[1] > values[0] and values[2] - values[1] == pytest.approx(values[1] - values[0], rel=1e-4)
    with pytest.raises(ValueError, match=f"{name}: weight must be 0 or more, got -1"):
        loss_of(name, weight=-1)


@random_weights
@every_loss
def test_a_loss_of_half_precision_predictions_is_float32(name):
    loss = loss_of(name)
    value = loss(*output_and_batch(loss, dtype=torch.bfloat16))
    exact = loss(*output_and_batch(loss))
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, exact, rtol=0.05, atol=0.01)


# -- mask generators ---------------------------------------------------------------------------------------------------


def mask_folder(path):
    """A folder with two masks."""
    for i in range(2):
        picture = np.zeros((32, 32), np.uint8)
        picture[8 : 16 + i] = 255
        Image.fromarray(picture).save(path / f"{i}.png")
    return {"path": path, "polarity": "white"}


MASKS = {
    "MaskFolder": mask_folder,
    "MixedMasks": lambda path: {"masks": [masks.CentreSquare(), masks.FreeForm()]},
    "LimitedMask": lambda path: {"mask": masks.FreeForm(), "ratio": (0.05, 0.5)},
}
every_mask = pytest.mark.parametrize("name", exported(masks, masks.MaskGenerator))


def masks_of(name, path):
    return build(masks, name, MASKS[name](path) if name in MASKS else {}, "MASKS")


@every_mask
@pytest.mark.parametrize("size", [(256, 256), (33, 47), (64, 16), (9, 8)])
def test_a_mask_is_zeros_and_ones_and_depends_on_the_random_numbers_handed_in(name, size, tmp_path):
    generator = masks_of(name, tmp_path)
    for index in range(4):
        mask = generator.draw(*size, np.random.default_rng(index), index)
        assert mask.shape == (1, *size) and mask.dtype == torch.float32 and mask.is_contiguous()
        assert set(mask.unique().tolist()) == {0.0, 1.0}, "neither empty nor nothing but hole"
        np.random.seed(index)
        torch.manual_seed(index)
        again = masks_of(name, tmp_path).draw(*size, np.random.default_rng(index), index)
        assert torch.equal(again, mask)


@every_mask
def test_the_recipe_of_a_mask_generator_survives_json(name, tmp_path):
    generator = masks_of(name, tmp_path)
    recipe = json.loads(json.dumps(generator.recipe()))
    again = masks.mask_from_recipe(recipe)
    assert type(again) is type(generator) and again.recipe() == generator.recipe()
    drawn = [kind.draw(64, 48, np.random.default_rng(3), 3) for kind in (generator, again)]
    assert torch.equal(*drawn)


# -- metrics -----------------------------------------------------------------------------------------------------------

METRICS: dict[str, dict[str, Any]] = {}
KINDS = (ImageMetric, SampleMetric, SegmentationMetric, SetMetric)
MEASURED = [n for n in exported(metrics, ImageMetric) if not getattr(metrics, n).pretrained]


def metric_of(name):
    return build(metrics, name, METRICS.get(name, {}), "METRICS")


@pytest.mark.parametrize("name", exported(metrics, Metric, *KINDS))
def test_a_metric_says_what_it_is(name):
    metric = metric_of(name)
    assert isinstance(metric, KINDS) and not isinstance(metric, nn.Module)
    assert metric.better in ("higher", "lower") and metric.name and isinstance(metric.unit, str)
    assert metric.definition and "\n" not in metric.definition


def test_metrics_have_names_of_their_own():
    names = [metric_of(name).name for name in exported(metrics, Metric, *KINDS)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("name", MEASURED)
def test_a_metric_of_equal_pictures_is_the_best_value_and_others_are_worse(name):
    metric, (prediction, image, mask) = metric_of(name), pairs(2, 176)
    best = 0.0 if metric.better == "lower" else (1.0 if metric.cap is None else metric.cap)
    assert metric(image, image, mask).tolist() == pytest.approx([best, best], abs=1e-6)
    values = metric(prediction, image, mask)
    assert (values > best).all() if metric.better == "lower" else (values < best).all()


@pytest.mark.parametrize("name", MEASURED)
def test_a_metric_measures_images_one_by_one_in_float64(name):
    metric, (prediction, image, mask) = metric_of(name), pairs(3, 176)
    values = metric(prediction, image, mask)
    assert values.shape == (3,) and values.dtype == torch.float32
    apart = [metric(prediction[i : i + 1], image[i : i + 1], mask[i : i + 1]) for i in range(3)]
    assert torch.equal(torch.cat(apart), values)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(metric(prediction, image, mask), values)


@pytest.mark.parametrize("name", MEASURED)
def test_a_metric_has_no_value_where_it_is_undefined_and_refuses_shapes_that_do_not_fit(name):
    metric, (prediction, image, mask) = metric_of(name), pairs(1, 176)
    for ratio in (0.0, 1.0):
        value = metric(prediction, image, torch.full_like(mask, ratio))
        assert value.isfinite().all() if metric.defined(ratio) else value.isnan().all()
    with pytest.raises(ValueError, match="metrics need prediction and image"):
        metric(prediction, image[:, :, 1:], mask)


@pytest.mark.parametrize("name", [n for n in exported(metrics, SampleMetric) if not getattr(metrics, n).pretrained])
def test_a_metric_of_samples_is_0_for_equal_fills_and_undefined_for_one(name):
    metric, (prediction, image, mask) = metric_of(name), pairs(2, 48)
    assert metric(torch.stack([image, image], dim=1), mask).tolist() == [0, 0]
    assert (metric(torch.stack([image, prediction], dim=1), mask) > 0).all()
    assert metric(image[:, None], mask).isnan().all()
