"""SPADE against golden tensors of released code and a plain reference."""

import pytest
import torch
import torch.nn.functional as F
from golden_recipe import golden_keys, golden_tensors, recipe_weights

from benchmarks.reference import spn as reference
from inpaintzoo.layers.spade import SPADE, HiddenMaps, Modulation, instance_normalize


def loaded(released, prefix=""):
    """A SPADE with weights under the released names."""
    shared, gamma, beta = (f"{prefix}{name}" for name in ("mlp_shared.0", "mlp_gamma", "mlp_beta"))
    hidden, prior_channels = released[f"{shared}.weight"].shape[:2]
    layer = SPADE(released[f"{gamma}.weight"].shape[0], prior_channels, hidden)
    for kind in ("weight", "bias"):
        getattr(layer.hidden.convolution, kind).data.copy_(released[f"{shared}.{kind}"])
        both = torch.cat([released[f"{gamma}.{kind}"], released[f"{beta}.{kind}"]])
        getattr(layer.modulation.affine, kind).data.copy_(both)
    return layer.to(released[f"{shared}.weight"].dtype)


def test_golden():
    golden = golden_tensors("layers/spade.safetensors")
    layer = loaded(recipe_weights(golden_keys("layers/spade_keys.json")["spade_instance"]))
    with torch.no_grad():
        found = layer(golden["in_x"], golden["in_seg"])
    torch.testing.assert_close(found, golden["out_spade_instance"], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("file", "hidden"), [("det", 128), ("prob", 64)])
def test_golden_units_of_spn(file, hidden):
    golden = golden_tensors(f"spn/{file}.safetensors")
    shapes = {"mlp_shared.0.weight": [hidden, 64, 3, 3], "mlp_shared.0.bias": [hidden]}
    for name in ("mlp_gamma", "mlp_beta"):
        shapes |= {f"{name}.weight": [8, hidden, 3, 3], f"{name}.bias": [8]}
    with torch.no_grad():
        found = loaded(recipe_weights(shapes))(golden["unit.SPADE_8_64.x"], golden["unit.SPADE_8_64.seg"])
    torch.testing.assert_close(found, golden["unit.SPADE_8_64.y"], atol=1e-5, rtol=1e-5)


def test_golden_residual_block():
    golden = golden_tensors("layers/spade.safetensors")
    weights = recipe_weights(golden_keys("layers/spade_keys.json")["resblock"])
    x, labels = golden["in_x"], golden["in_seg"]
    first, second, shortcut = (loaded(weights, f"norm_{name}.") for name in ("0", "1", "s"))
    with torch.no_grad():
        inner = F.leaky_relu(first(x, labels), 0.2)
        inner = F.conv2d(inner, weights["conv_0.weight"], weights["conv_0.bias"], padding=1)
        inner = F.leaky_relu(second(inner, labels), 0.2)
        inner = F.conv2d(inner, weights["conv_1.weight"], weights["conv_1.bias"], padding=1)
        found = inner + F.conv2d(shortcut(x, labels), weights["conv_s.weight"])
    torch.testing.assert_close(found, golden["out_resblock_32_16"], atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("size", [(4, 7), (8, 14), (16, 3), (3, 5)])
def test_equals_the_plain_reference(size):
    torch.manual_seed(0)
    layer = SPADE(5, 3, hidden=4).double()
    features, prior = torch.randn(2, 5, 8, 14, dtype=torch.float64), torch.randn(2, 3, *size, dtype=torch.float64)
    shared, affine = layer.hidden.convolution, layer.modulation.affine
    weights = [shared.weight, shared.bias, *affine.weight.chunk(2), *affine.bias.chunk(2)]
    expected = reference.spade(features, prior, *weights)
    torch.testing.assert_close(layer(features, prior), expected, atol=1e-12, rtol=1e-10)


def test_hidden_maps_of_one_prior_are_those_of_separate_convolutions():
    torch.manual_seed(0)
    maps, prior = HiddenMaps(3, hidden=4, maps=3), torch.randn(2, 3, 6, 5)
    weights = zip(maps.convolution.weight.chunk(3), maps.convolution.bias.chunk(3), strict=True)
    for found, (weight, bias) in zip(maps(prior, (6, 5)), weights, strict=True):
        torch.testing.assert_close(found, F.relu(F.conv2d(prior, weight, bias, padding=1)), atol=1e-6, rtol=1e-5)


def test_instance_normalize():
    features = 3 + 5 * torch.randn(2, 4, 6, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = F.instance_norm(features)
    torch.testing.assert_close(instance_normalize(features), expected, atol=1e-12, rtol=1e-10)
    enlarged = F.interpolate(features, scale_factor=2, mode="nearest")
    after = F.interpolate(instance_normalize(features), scale_factor=2, mode="nearest")
    torch.testing.assert_close(after, instance_normalize(enlarged), atol=1e-12, rtol=1e-10)
    assert torch.equal(instance_normalize(torch.full((1, 2, 4, 4), 7.0)), torch.zeros(1, 2, 4, 4))


def test_instance_normalize_keeps_layout_and_takes_statistics_in_float32():
    features = 50 + torch.randn(2, 8, 32, 32, generator=torch.Generator().manual_seed(0))
    last = features.to(memory_format=torch.channels_last)
    assert instance_normalize(last).is_contiguous(memory_format=torch.channels_last)
    half = features.to(torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        found = instance_normalize(half)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), F.instance_norm(half.float()), atol=2e-2, rtol=1e-2)


def test_zero_affine_is_the_plain_norm_and_gamma_scales_on_top_of_it():
    modulation = Modulation(2, hidden=1)
    torch.nn.init.zeros_(modulation.affine.weight)
    modulation.affine.bias.data.copy_(torch.tensor([0.0, 1.0, 0.0, 3.0]))
    features, hidden = torch.randn(1, 2, 4, 4), torch.rand(1, 1, 4, 4)
    expected = torch.stack([features[:, 0], 2 * features[:, 1] + 3], dim=1)
    torch.testing.assert_close(modulation(features, hidden), expected)


def test_gradients_reach_everything():
    layer = SPADE(5, 3, hidden=4)
    features, prior = torch.randn(2, 5, 8, 8).requires_grad_(), torch.randn(2, 3, 4, 4).requires_grad_()
    layer(features, prior).square().sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in (*layer.parameters(), features, prior))


@pytest.mark.parametrize("arguments", [{"prior_channels": 0}, {"hidden": 0}, {"maps": -1}])
def test_errors(arguments):
    (name, value) = next(iter(arguments.items()))
    with pytest.raises(ValueError, match=f"HiddenMaps: {name} must be 1 or more, got {value}"):
        HiddenMaps(**{"prior_channels": 3, **arguments})
