"""Discriminators against golden logits of the released code, and the contract."""

import json

import pytest
import torch
from golden_recipe import GOLDEN, golden_keys, golden_tensors, recipe_weights

from inpaintzoo.discriminators import PatchDiscriminator, PENNetDiscriminator, SNPatchDiscriminator, SRPNetDiscriminator
from inpaintzoo.layers.spectral import SpectralNorm
from inpaintzoo.weights import convert_state_dict


def released():
    network = PENNetDiscriminator()
    weights = recipe_weights(golden_keys("pennet/keys_discriminator.json"))
    network.load_state_dict(convert_state_dict("pennet-discriminator", weights))
    return network


def sigmas(network):
    found = {}
    for i, layer in enumerate(network.layers):
        norm = layer.parametrizations.weight[0]
        matrix = layer.parametrizations.weight.original.flatten(1)
        found[f"encoder.{2 * i}"] = torch.dot(norm._u, matrix @ norm._v).item()
    return found


@pytest.fixture(scope="module")
def pictures():
    inputs, output = (golden_tensors(f"pennet/{name}.safetensors") for name in ("inputs", "generator"))
    image, mask = inputs["image"], inputs["mask_centre"].float()
    both = {"image": image, "comp_centre": mask * output["centre.out"] + (1 - mask) * image}
    return {name: (picture + 1) / 2 for name, picture in both.items()}


def test_parameters():
    assert sum(p.numel() for p in PENNetDiscriminator().parameters()) == 4_318_401
    assert sum(p.numel() for p in SRPNetDiscriminator().parameters()) == 4_318_401
    assert sum(p.numel() for p in SNPatchDiscriminator().parameters()) == 5_946_816


@pytest.mark.parametrize("iterations", [1, 50])
def test_golden_logits(pictures, iterations):
    regime = "train_one_power_iter" if iterations == 1 else "eval_after_50_power_iter"
    golden, compared = golden_tensors("pennet/discriminator.safetensors"), 0
    summaries = json.loads((GOLDEN / "pennet" / "summaries.json").read_text())
    for name, picture in pictures.items():
        network = released()
        with torch.no_grad():
            if iterations > 1:
                for layer in network.layers:
                    for _ in range(iterations):
                        _ = layer.weight
                network.eval()
            logits = network(picture, picture[:, :1])[-1]
        torch.testing.assert_close(logits, golden[f"{regime}.{name}"], atol=2e-6, rtol=1e-5)
        assert sigmas(network) == pytest.approx(summaries[f"disc_{regime}_sigma"], rel=1e-5)
        compared += 1
    assert compared == 2


def test_golden_sn_patch():
    golden = golden_tensors("discriminators/sn_patchgan_torch.safetensors")
    network = SNPatchDiscriminator()
    for i, layer in enumerate(network.layers):
        key = f"conv{i + 1}.conv_sn"
        original = layer.parametrizations.weight.original
        shapes = {f"{key}.weight": original.shape, f"{key}.bias": layer.bias.shape}
        weights = recipe_weights(shapes | {f"{key}.weight_u": (len(original), 1)})
        original.data.copy_(weights[f"{key}.weight"])
        layer.bias.data.copy_(weights[f"{key}.bias"])
        layer.parametrizations.weight[0]._u.copy_(weights[f"{key}.weight_u"][:, 0])
    image, mask = (golden["in_image"] + 1) / 2, golden["in_mask"].float()
    with torch.no_grad():
        logits = network(image, mask)[-1]
    torch.testing.assert_close(logits.flatten(1), golden["out_call1"], atol=2e-6, rtol=1e-5)


def test_spectral_norm_finds_the_largest_singular_value():
    weight = torch.randn(6, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    norm = SpectralNorm(weight)
    for _ in range(200):
        normalised = norm(weight)
    assert torch.linalg.matrix_norm(normalised.flatten(1), ord=2).item() == pytest.approx(1, abs=1e-5)
    state = {name: value.clone() for name, value in norm.state_dict().items()}
    norm.eval()(weight)
    assert all(torch.equal(value, state[name]) for name, value in norm.state_dict().items())


CASES = [
    (PENNetDiscriminator(width=4), 4),
    (SRPNetDiscriminator(width=4), 4),
    (SNPatchDiscriminator(width=4), 6),
    (PatchDiscriminator(width=4), 4),
    (PatchDiscriminator(width=4, norm="spectral", kernel=5, padding=2, last_stride=2, max_width=8), 4),
    (PatchDiscriminator(width=4, norm="spectral+instance", num_layers=4, uses_mask=True), 5),
    (PatchDiscriminator(width=4, norm="none", num_layers=1), 2),
]


@pytest.mark.parametrize(("network", "layers"), CASES)
def test_one_feature_map_for_each_layer(network, layers):
    outputs = network(torch.rand(1, 3, 128, 192), torch.zeros(1, 1, 128, 192))
    assert len(outputs) == layers + (not isinstance(network, SNPatchDiscriminator))


def test_logits_of_an_image_in_0_1_are_those_of_the_same_image_in_minus_1_to_1():
    network = PatchDiscriminator(width=4, norm="none", num_layers=1)
    image = torch.rand(1, 3, 32, 32)
    features = torch.nn.functional.leaky_relu(network.layers[0](image * 2 - 1), 0.2)
    assert torch.equal(network(image, image[:, :1])[0], features)


def test_pix2pix_receptive_field():
    """The default network's logits see 70x70 pixels."""
    network = PatchDiscriminator(width=4, norm="none")
    image = torch.rand(1, 3, 256, 256).requires_grad_()
    logits = network(image, image[:, :1])[-1]
    assert logits.shape == (1, 1, 30, 30)
    logits[0, 0, 15, 15].backward()
    seen = image.grad.abs().sum(dim=(0, 1)) > 0
    assert (seen.any(0).sum().item(), seen.any(1).sum().item()) == (70, 70)


def test_srpnets_table_a2():
    network = SRPNetDiscriminator(width=4)
    shapes = [
        tuple(features.shape[1:]) for features in network(torch.rand(1, 3, 256, 256), torch.zeros(1, 1, 256, 256))
    ]
    # By hand: a 5x5 convolution with stride 2 and padding 1 turns a side of n into (n - 3) // 2 + 1.
    assert shapes == [(4, 127, 127), (8, 63, 63), (16, 31, 31), (32, 15, 15), (1, 7, 7)]
    norms = [isinstance(module, SpectralNorm) for module in network.modules()]
    assert sum(norms) == 4, "all layers but the logits, as in PEN-Net"


SIDES = [
    (SRPNetDiscriminator(width=4), 63),
    (PENNetDiscriminator(width=4), 47),
    (PatchDiscriminator(width=4, norm="none", num_layers=1), 6),
    (PatchDiscriminator(width=4, norm="instance"), 24),
    (SNPatchDiscriminator(width=4), 1),
]


@pytest.mark.parametrize(("network", "side"), SIDES)
def test_the_smallest_side(network, side):
    assert network.smallest_side == side


def weight_gradients(network, image, autocast):
    network.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        logits = network.eval()(image, image[:, :1])[-1]
    # What is freed here lies in the memory that the backward pass gets.
    freed = [torch.full((p.numel(),), torch.nan, dtype=d) for p in network.parameters() for d in 6 * FLOATS]
    del freed
    logits.float().square().sum().backward()
    return {name: p.grad.clone() for name, p in network.named_parameters() if p.ndim > 1}


FLOATS = (torch.bfloat16, torch.float32)
NARROW = [
    SNPatchDiscriminator(width=16),
    SNPatchDiscriminator(width=16, padding="same_tf"),
    PatchDiscriminator(width=16, num_layers=5, kernel=5, padding=2, norm="spectral", last_stride=2),
]


@pytest.mark.parametrize("size", [(32, 32), (64, 32), (32, 8)])
@pytest.mark.parametrize("network", NARROW)
def test_gradients_under_autocast_where_maps_have_one_column(network, size):
    image = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0))
    expected = weight_gradients(network, image, autocast=False)
    for name, gradient in weight_gradients(network, image, autocast=True).items():
        error = (gradient - expected[name]).norm() / expected[name].norm()
        assert error < 0.2, name  # of rounding some 0.08


def test_a_picture_without_pixels_is_refused_in_a_sentence():
    with pytest.raises(ValueError, match="SNPatchDiscriminator judges pictures of at least 1x1, got 0x8; enlarge"):
        SNPatchDiscriminator(width=4)(torch.rand(1, 3, 0, 8), torch.zeros(1, 1, 0, 8))


def test_errors():
    with pytest.raises(ValueError, match=r"norm must be .*, got 'batch'"):
        PatchDiscriminator(norm="batch")
    with pytest.raises(ValueError, match="num_layers must be 1 or more, got 0"):
        PatchDiscriminator(num_layers=0)
    with pytest.raises(ValueError, match="width=0"):
        SNPatchDiscriminator(width=0)
    with pytest.raises(ValueError, match="width must be 1 or more, got 0"):
        PENNetDiscriminator(width=0)
