"""SPADE against golden tensors of released code and a plain reference."""

import socket

import pytest
import torch
import torch.multiprocessing as mp
import torch.nn.functional as F
from golden_recipe import golden_keys, golden_tensors, recipe_weights

from benchmarks.reference import spn as reference
from inpaintzoo.layers.spade import SPADE, BatchNormalize, HiddenMaps, Modulation, instance_normalize


def loaded(released, prefix="", statistics="instance"):
    """A SPADE with weights under the released names."""
    shared, gamma, beta = (f"{prefix}{name}" for name in ("mlp_shared.0", "mlp_gamma", "mlp_beta"))
    hidden, prior_channels = released[f"{shared}.weight"].shape[:2]
    layer = SPADE(released[f"{gamma}.weight"].shape[0], prior_channels, hidden, statistics)
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


def test_golden_batch_statistics():
    golden = golden_tensors("layers/spade.safetensors")
    shapes = golden_keys("layers/spade_keys.json")["spade_instance"]
    running = ("param_free_norm.running_mean", "param_free_norm.running_var")
    weights = recipe_weights({**shapes, **{name: [32] for name in running}})
    layer = loaded(weights, statistics="batch").eval()
    layer.norm.running_mean.copy_(weights[running[0]])
    layer.norm.running_var.copy_(weights[running[1]])
    with torch.no_grad():
        found = layer(golden["in_x"], golden["in_seg"])
    torch.testing.assert_close(found, golden["out_spade_batch_eval"], atol=1e-5, rtol=1e-5)


def batch_case():
    """Features of a batch, and what its result is weighted by to give a loss."""
    draw = torch.Generator().manual_seed(0)
    features, weight = torch.randn(2, 4, 3, 6, 7, generator=draw, dtype=torch.float64)
    return 3 + 5 * features, weight


def train_batch_norm(features, weight):
    """A training step's result, gradient of the features and running statistics."""
    norm = BatchNormalize(3).double()
    features = features.clone().requires_grad_()
    result = norm(features)
    (result * weight).sum().backward()
    return [result.detach(), features.grad, norm.running_mean, norm.running_var, norm.num_batches_tracked]


def half_of_a_batch(rank, port, folder):
    where = f"tcp://127.0.0.1:{port}"
    torch.distributed.init_process_group("gloo", init_method=where, rank=rank, world_size=2)
    rows = slice(2 * rank, 2 * rank + 2)
    features, weight = batch_case()
    torch.save(train_batch_norm(features[rows], weight[rows]), folder / f"{rank}.pt")
    torch.distributed.destroy_process_group()


def test_batch_statistics_are_those_of_the_whole_batch_in_one_process_and_in_two(tmp_path):
    features, weight = batch_case()
    whole = train_batch_norm(features, weight)
    by_hand = features - features.mean(dim=(0, 2, 3), keepdim=True)
    by_hand /= (by_hand.square().mean(dim=(0, 2, 3), keepdim=True) + 1e-5).sqrt()
    torch.testing.assert_close(whole[0], by_hand)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.start_processes(half_of_a_batch, args=(port, tmp_path), nprocs=2, start_method="fork")
    halves = [torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1)]
    for found, expected in zip(zip(*halves, strict=True), whole, strict=True):
        both = torch.cat(found) if expected.dim() == 4 else found[0]
        torch.testing.assert_close(both, expected)


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
    layer = SPADE(5, 3, hidden=4, statistics="instance").double()
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


@pytest.mark.parametrize("statistics", ["batch", "instance"])
def test_gradients_reach_everything(statistics):
    layer = SPADE(5, 3, hidden=4, statistics=statistics)
    features, prior = torch.randn(2, 5, 8, 8).requires_grad_(), torch.randn(2, 3, 4, 4).requires_grad_()
    layer(features, prior).square().sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in (*layer.parameters(), features, prior))


@pytest.mark.parametrize("arguments", [{"prior_channels": 0}, {"hidden": 0}, {"maps": -1}])
def test_errors(arguments):
    (name, value) = next(iter(arguments.items()))
    with pytest.raises(ValueError, match=f"HiddenMaps: {name} must be 1 or more, got {value}"):
        HiddenMaps(**{"prior_channels": 3, **arguments})


def test_unknown_statistics_are_named():
    with pytest.raises(ValueError, match="SPADE: statistics must be 'batch' or 'instance', got 'layer'"):
        SPADE(2, 3, statistics="layer")
