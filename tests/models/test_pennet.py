"""PEN-Net against golden tensors of the released code, and the contract of a generator."""

import json

import pytest
import torch
import torch.nn.functional as F
from contract import (
    COMPILERS,
    assert_layout_and_bfloat16_change_little,
    three_pairs,
)
from golden_recipe import GOLDEN, golden_keys, golden_tensors, recipe_weights

from inpaintzoo.discriminators import PENNetDiscriminator
from inpaintzoo.models import PENNet
from inpaintzoo.ops import composite
from inpaintzoo.types import PyramidOutput
from inpaintzoo.weights import convert_state_dict

TOLERANCE = {"out": 5e-5, "img1": 5e-5, "img2": 1e-5, "img3": 2e-6, "img4": 2e-6, "img5": 2e-6}


@pytest.fixture(scope="module")
def inputs():
    return golden_tensors("pennet/inputs.safetensors")


@pytest.fixture(scope="module")
def summaries():
    return json.loads((GOLDEN / "pennet" / "summaries.json").read_text())


def released(soft=False):
    """A network with the recipe's weights; `soft` keeps its attention from being one-hot."""
    weights = recipe_weights(golden_keys("pennet/keys_generator.json"))
    if soft:
        weights = {key: tensor * (0.25 if key.startswith("dw_conv") else 1) for key, tensor in weights.items()}
    network = PENNet()
    network.load_state_dict(convert_state_dict("pennet", weights))
    return network


@pytest.fixture(scope="module")
def network():
    return released()


@pytest.fixture(scope="module")
def soft_network():
    return released(soft=True)


def released_names(output):
    """The output in [-1, 1], under the released names."""
    names = {f"img{i + 1}": 2 * level - 1 for i, level in enumerate(output.pyramid)}
    return names | {"out": 2 * output.image - 1}


def random_image(batch, size, seed):
    """A golden image in [0, 1]."""
    image = torch.rand(batch, 3, size, size, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return (image + 1) / 2


def both_masks(inputs):
    return torch.cat([inputs["mask_centre"], inputs["mask_blob"]]).float()


def assert_matches_summary(tensor, summary, tolerance):
    assert list(tensor.shape) == summary["shape"]
    samples = tensor.flatten()[:: summary["sample_stride"]]
    torch.testing.assert_close(samples, torch.tensor(summary["samples"]), atol=tolerance, rtol=1e-5)
    for name in ("mean", "std", "max", "min"):
        found = tensor.std(correction=0) if name == "std" else getattr(tensor, name)()
        assert found.item() == pytest.approx(summary[name], abs=2 * tolerance), name
    assert tensor.norm().item() == pytest.approx(summary["l2"], rel=1e-4)


def test_parameters():
    assert sum(parameter.numel() for parameter in PENNet().parameters()) == 10_231_538


@pytest.mark.parametrize(("case", "mask"), [("centre", "centre"), ("soft_centre", "centre"), ("soft_blob", "blob")])
def test_golden_images(network, soft_network, inputs, case, mask):
    chosen = soft_network if "soft" in case else network
    with torch.inference_mode():
        output = chosen((inputs["image"] + 1) / 2, inputs[f"mask_{mask}"].float())
    found, compared = released_names(output), 0
    for key, expected in golden_tensors("pennet/generator.safetensors").items():
        if key.split(".")[0] == case:
            name = key.split(".")[1].removesuffix("_crop96_160")
            image = found[name][:, :, 96:160, 96:160] if key.endswith("crop96_160") else found[name]
            torch.testing.assert_close(image, expected, atol=TOLERANCE[name], rtol=0)
            compared += 1
    assert compared >= 5


def stages(network):
    """Our modules under the released stage names; activations are functions here, so each comes with its own."""
    named = {}
    for i, level in enumerate(network.encoder.levels):
        named[f"dw_conv0{i + 1}"] = level, F.relu if i == 5 else lambda x: F.leaky_relu(x, 0.2)
    for i in range(5):
        named[f"at_conv0{i + 1}"] = network.context.transfers[i], lambda x: x
        named[f"up_conv0{i + 1}"] = network.decoder.levels[i], F.relu
        named[f"torgb{i + 1}"] = network.decoder.heads[i], torch.tanh
    return named | {"decoder": (network.decoder.output, lambda x: x)}


def test_golden_stages(network, inputs, summaries):
    taken, handles = {}, []
    for name, (module, activation) in stages(network).items():

        def keep(module, args, result, name=name, activation=activation):
            taken[name] = activation(result)

        handles.append(module.register_forward_hook(keep))
    with torch.inference_mode():
        network((inputs["image"] + 1) / 2, inputs["mask_centre"].float())
    for handle in handles:
        handle.remove()
    assert set(taken) == set(summaries["stages_centre_256"])
    for name, summary in summaries["stages_centre_256"].items():
        assert_matches_summary(taken[name], summary, 5e-5)


def test_golden_batch_of_two_masks(network, inputs, summaries):
    with torch.inference_mode():
        found = released_names(network(random_image(2, 256, 3), both_masks(inputs)))
    summary = dict(summaries["batch2_256_seed3"])
    norms = summary.pop("per_sample_out_l2")
    assert [sample.norm().item() for sample in found["out"]] == pytest.approx(norms, rel=1e-4)
    for name, expected in summary.items():
        assert_matches_summary(found[name], expected, TOLERANCE[name])


@pytest.mark.slow
def test_golden_512(network, summaries):
    mask = torch.zeros(1, 1, 512, 512)
    mask[:, :, 128:384, 128:384] = 1
    with torch.inference_mode():
        found = released_names(network(random_image(1, 512, 5), mask))
    for name, expected in summaries["centre_512_seed5"].items():
        assert_matches_summary(found[name], expected, TOLERANCE[name])


def pyramid_loss(pyramid, image):
    resized = (F.interpolate(image, size=level.shape[2:], mode="bilinear", align_corners=True) for level in pyramid)
    return sum(F.l1_loss(level, truth) for level, truth in zip(pyramid, resized, strict=True))


def test_golden_training_step(inputs, summaries):
    """One step as the released code takes it, in plain functions: images in [0, 1], so L1 weights are doubled."""
    golden = summaries["train_step_hinge"]
    generator, discriminator = released(), PENNetDiscriminator()
    discriminator.load_state_dict(
        convert_state_dict("pennet-discriminator", recipe_weights(golden_keys("pennet/keys_discriminator.json")))
    )
    before = {name: tensor.clone() for net in (generator, discriminator) for name, tensor in net.named_parameters()}
    optimizers = [torch.optim.Adam(net.parameters(), 1e-4, betas=(0.5, 0.999)) for net in (generator, discriminator)]
    image, mask = random_image(2, 256, 3), both_masks(inputs)
    assert mask.mean().item() == pytest.approx(golden["mean_mask"])

    output = generator(image, mask)
    filled = composite(image, output.image, mask)
    real, fake = discriminator(image, mask)[-1], discriminator(filled.detach(), mask)[-1]
    discriminator_loss = (F.relu(1 - real).mean() + F.relu(1 + fake).mean()) / 2
    discriminator_loss.backward()
    gradients = {name: p.grad.norm().item() for name, p in discriminator.named_parameters()}
    optimizers[1].step()

    losses = {
        "adversarial": -0.1 * discriminator(filled, mask)[-1].mean(),
        "hole": 12 * F.l1_loss(output.image * mask, image * mask) / mask.mean(),
        "valid": 2 * F.l1_loss(output.image * (1 - mask), image * (1 - mask)) / (1 - mask).mean(),
        "pyramid": pyramid_loss(output.pyramid, image),
    }
    total = sum(losses.values())
    generator.zero_grad()
    total.backward()
    gradients |= {name: p.grad.norm().item() for name, p in generator.named_parameters()}
    optimizers[0].step()
    after = {name: tensor for net in (generator, discriminator) for name, tensor in net.named_parameters()}
    steps = {name: (after[name] - tensor).norm().item() for name, tensor in before.items()}

    loss = golden["loss"]
    assert discriminator_loss.item() == pytest.approx(loss["dis"], abs=2e-6)
    assert total.item() == pytest.approx(loss["gen_total"], abs=2e-5)
    expected = {"adversarial": 0.1 * loss["gen_adv"], "hole": 6 * loss["hole"], "valid": loss["valid"]}
    expected["pyramid"] = 0.5 * sum(loss["pyramid"])
    assert {name: value.item() for name, value in losses.items()} == pytest.approx(expected, abs=1e-5)
    compare_by_released_name(golden, gradients, steps)


def compare_by_released_name(golden, gradients, steps):
    """Gradient and update norms of all 68 and 6 released tensors."""
    compared = 0
    for source, letter in (("pennet", "G"), ("pennet-discriminator", "D")):
        keys = golden_keys(f"pennet/keys_{'generator' if letter == 'G' else 'discriminator'}.json")
        positions = {key: torch.full(shape, float(i)) for i, (key, shape) in enumerate(keys.items())}
        ours = {name: list(keys)[int(t.flatten()[0])] for name, t in convert_state_dict(source, positions).items()}
        for name, released_name in ours.items():
            if name in gradients:
                gradient, step = golden[f"grad{letter}"][released_name], golden[f"delta{letter}"][released_name]
                assert gradients[name] == pytest.approx(gradient, rel=1e-3, abs=1e-7), name
                # Adam's first step is the gradient's sign: tensors with gradients near 0 are left to the line above.
                assert steps[name] == pytest.approx(step, rel=1e-2, abs=1e-7), name
                compared += 1
    assert compared == 68 + 6


# --- the contract of a generator -----------------------------------------------------------------------------------

VARIANTS = [
    {},
    {"faithful": "paper"},
    {"attention": "single"},
    {"attention": "none"},
    {"attention": "patch_swap"},
    {"attention": "contextual"},
    {"mask_resize": "any", "normalize_query": True, "scale": 5.0},
    {"fill": "hole", "hole_keys": "exclude"},
]


def small(**arguments):
    torch.manual_seed(0)
    network = PENNet(width=8, **arguments)
    for parameter in network.parameters():  # at its initial deviation a network barely reacts to its input
        parameter.data.mul_(2)
    return network


def small_case(batch=3, height=64, width=128):
    return three_pairs(height, width, (10, 40, 20, 90), 30, batch)


@pytest.mark.parametrize("arguments", VARIANTS)
def test_shapes_and_ranges(arguments):
    network, (image, mask) = small(**arguments), small_case()
    output = network(image, mask)
    assert isinstance(output, PyramidOutput)
    assert output.image.shape == image.shape
    finest = 0 if "paper" in arguments.values() else 1
    sizes = [(64 // 2**i, 128 // 2**i) for i in range(finest, finest + 5)]
    assert [tuple(level.shape[2:]) for level in output.pyramid] == sizes
    for tensor in (output.image, *output.pyramid):
        assert tensor.min() >= 0 and tensor.max() <= 1


def test_presets_and_ablations_differ():
    image, mask = small_case()
    with torch.no_grad():
        images = [small(**arguments)(image, mask).image for arguments in VARIANTS]
    for i, first in enumerate(images):
        assert all(not torch.equal(first, second) for second in images[i + 1 :])


def test_paper_preset_equals_its_parts():
    image, mask = small_case()
    parts = {"normalize_query": True, "scale": 10.0, "hole_keys": "exclude", "fill": "hole", "mask_resize": "nearest"}
    parts |= {"border": "excluded", "starved": "cells", "decoder": "transposed"}
    with torch.no_grad():
        assert torch.equal(small(faithful="paper")(image, mask).image, small(**parts)(image, mask).image)


def test_the_papers_decoder_follows_equations_5_and_6():
    network, (image, mask) = small(faithful="paper"), small_case(1)
    decoder, kept = network.decoder, {}
    network.encoder.register_forward_hook(lambda module, args, result: kept.update(phi=result[-1]))
    network.context.register_forward_hook(lambda module, args, result: kept.update(psi=result))
    with torch.no_grad():
        output = network(image, mask)
        phi = F.relu(decoder.deepest(kept["phi"]))
        assert phi.shape[2:] == (2, 4), "g doubles the size"
        for level in (4, 3, 2, 1, 0):
            phi = F.relu(decoder.levels[level](torch.cat([kept["psi"][level], phi], dim=1)))
            picture = torch.tanh(F.conv2d(phi, decoder.heads[level].weight, decoder.heads[level].bias))
            torch.testing.assert_close(output.pyramid[level], (picture + 1) / 2)
    assert torch.equal(output.pyramid[0], output.image) and output.image.shape == image.shape
    assert [head.in_channels for head in decoder.heads] == [8, 8, 16, 32, 64], "phi alone"


def test_equation_10_trains_every_parameter_of_the_papers_network_and_not_of_the_released_one():
    (image, mask), without = small_case(), {}
    for faithful in ("paper", "released"):
        network = small(faithful=faithful)
        pyramid_loss(network(image, mask).pyramid, image).backward()
        without[faithful] = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert without["paper"] == []
    assert without["released"] == [f"decoder.output.{i}.{kind}" for i in (0, 2) for kind in ("weight", "bias")]


def test_a_cosine_without_a_factor_cannot_copy_and_the_default_can():
    """Eight by eight keys, one of which equals the query and all others of which are its opposite."""
    deep = torch.ones(1, 4, 8, 8)
    deep[..., 0, 0] = -1
    deep[..., 4, 4] = -1
    mask, copied = torch.zeros(1, 1, 64, 64), {}
    mask[..., 32:40, 32:40] = 1
    shallow = torch.zeros(1, 4, 16, 16)
    shallow[..., :2, :2] = 1
    for name, network in {"default": PENNet(4, "paper"), "equation 3": PENNet(4, "paper", scale=1.0)}.items():
        layer = network.context.transfers[4]
        copied[name] = layer(shallow, deep, mask)[0, 0, 8, 8].item()
    assert copied["default"] > 0.24, "a quarter: the other three patches over this pixel have queries outside the hole"
    assert copied["equation 3"] < 0.04


def test_engines_agree():
    image, mask = small_case()
    with torch.no_grad():
        tiled, dense = (small(engine=engine)(image, mask).image for engine in ("tiled", "dense"))
    torch.testing.assert_close(tiled, dense, atol=1e-5, rtol=0)


def test_channels_last_and_bfloat16():
    network, (image, mask) = small(), small_case()
    assert_layout_and_bfloat16_change_little(network, image, mask)


def test_training_under_autocast():
    network, (image, mask) = small(), small_case()
    with torch.autocast("cpu", torch.bfloat16):
        output = network(image, mask)
        loss = output.image.float().mean() + sum(level.float().mean() for level in output.pyramid)
    loss.backward()
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters())


@COMPILERS
def test_traces_without_graph_breaks(backend):
    network, (image, mask) = small(), small_case()
    compiled = torch.compile(network, fullgraph=True, backend=backend)
    expected = network(image, mask).image
    found = compiled(image, mask).image
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
    found.mean().backward()
    assert all(parameter.grad is not None for name, parameter in network.named_parameters() if "heads" not in name)


@pytest.mark.parametrize(("width", "faithful", "deviation"), [(32, "released", 0.02), (8, "paper", 0.04)])
def test_initialisation(width, faithful, deviation):
    network = PENNet(width, faithful)
    weights = torch.cat([p.flatten() for name, p in network.named_parameters() if name.endswith("weight")])
    assert weights.std().item() == pytest.approx(deviation, rel=1e-2)
    assert weights.mean().item() == pytest.approx(0, abs=1e-4)
    assert all((p == 0).all() for name, p in network.named_parameters() if name.endswith("bias"))


def test_a_narrow_network_starts_as_loud_as_a_wide_one():
    """With a deviation of 0.02 at every width, one of 8 channels gave grey within 3.6e-6."""
    (image, mask), loud = small_case(1, 64, 64), {8: 0.0, 32: 0.0}
    for width, seed in ((width, seed) for width in loud for seed in range(3)):
        torch.manual_seed(seed)
        with torch.no_grad():
            loud[width] += (PENNet(width)(image, mask).image - 0.5).square().mean().sqrt().item()
    assert 0.3 < loud[8] / loud[32] < 3


def centre_case(side):
    mask = torch.zeros(2, 1, side, side)
    mask[0, :, side // 4 : 3 * side // 4, side // 4 : 3 * side // 4] = 1
    mask[1] = 1  # nothing is known, so there is nothing to tell either
    return torch.rand(2, 3, side, side), mask


@pytest.mark.parametrize(
    ("side", "resize", "sizes"), [(64, "bilinear", "4x4"), (64, "any", "4x4, 2x2 and 1x1"), (128, "bilinear", "4x4")]
)
def test_levels_that_have_nothing_to_copy_are_told_once(side, resize, sizes):
    network = PENNet(4, mask_resize=resize)
    text = rf"at {side}x{side} every patch of the {sizes} features touches the hole.* filled with 0.*starved.*cells"
    with pytest.warns(UserWarning, match=text) as told, torch.no_grad():
        for _ in range(2):
            network(*centre_case(side))
    assert len(told) == 1


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("arguments", [{"starved": "cells"}, {"faithful": "paper"}, {"attention": "none"}])
def test_levels_that_copy_say_nothing(arguments):
    with torch.no_grad():
        PENNet(4, **arguments)(*centre_case(128))
        PENNet(4)(*centre_case(256))
        PENNet(4)(torch.rand(1, 3, 64, 64), torch.zeros(1, 1, 64, 64))


def test_errors():
    with pytest.raises(ValueError, match=r"multiples of 64, got 96x64"):
        PENNet(width=8)(torch.zeros(1, 3, 96, 64), torch.zeros(1, 1, 96, 64))
    with pytest.raises(ValueError, match="width must be a positive multiple of 4, got 6"):
        PENNet(width=6)
    with pytest.raises(ValueError, match="faithful must be 'released' or 'paper', got 'papers'"):
        PENNet(faithful="papers")
    with pytest.raises(
        ValueError, match="attention must be 'pyramid', 'single', 'none', 'patch_swap' or 'contextual', got 'both'"
    ):
        PENNet(attention="both")
    with pytest.raises(ValueError, match="decoder must be 'bilinear' or 'transposed', got 'nearest'"):
        PENNet(decoder="nearest")
    with pytest.raises(ValueError, match="mask_resize must be one of 'bilinear', 'nearest', 'any', got 'area'"):
        PENNet(mask_resize="area")
