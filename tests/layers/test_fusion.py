"""Attentional feature fusion against golden tensors of released code and arithmetic written out from the equations."""

import math
import warnings

import pytest
import torch
from contract import without_gradient
from golden_recipe import golden_keys, golden_tensors, recipe_weights

from inpaintzoo.layers.fusion import AFF, MSCAM
from inpaintzoo.types import ConfigError


def released_aff():
    """An AFF with weights under the released names: there the average is the global context's first module."""
    renamed = {}
    for key, tensor in recipe_weights(golden_keys("layers/aff_keys.json")).items():
        branch, position, kind = key.split(".")
        place = f"local.{position}" if branch == "local_att" else f"overall.{int(position) - 1}"
        renamed[f"attention.{place}.{kind}"] = tensor
    layer = AFF(64)
    layer.load_state_dict(renamed)
    return layer


def small(norm, channels=12):
    torch.manual_seed(0)
    layer = AFF(channels, norm=norm)
    for name, parameter in layer.named_parameters():
        if parameter.ndim == 1:  # ones and zeros would hide a lost factor
            parameter.data.add_(0.3 * torch.randn_like(parameter))
        else:
            assert name.endswith("weight")
    return layer


def two_maps(batch=3, channels=12):
    generator = torch.Generator().manual_seed(1)
    return tuple(torch.randn(batch, channels, 5, 7, generator=generator) for _ in range(2))


# --- oracles -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_golden_is_twice_the_equation(mode):
    golden, layer = golden_tensors("layers/aff.safetensors"), released_aff().train(mode == "train")
    with torch.no_grad():
        found = layer(golden["in_x"], golden["in_y"])
    torch.testing.assert_close(2 * found, golden[f"out_AFF_{mode}"], atol=1e-4, rtol=0)


def test_golden_of_the_equation():
    golden, layer = golden_tensors("layers/aff.safetensors"), released_aff().eval()
    with torch.no_grad():
        found = layer(golden["in_x"], golden["in_y"])
    torch.testing.assert_close(found, golden["out_AFF_thesis_eval"], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_golden_attention(mode):
    golden, attention = golden_tensors("layers/aff.safetensors"), released_aff().attention.train(mode == "train")
    with torch.no_grad():
        found = golden["in_x"] * attention(golden["in_x"])  # equation 4.4
    # In training two averages normalise each other, which enlarges rounding.
    torch.testing.assert_close(found, golden[f"out_MS_CAM_{mode}"], atol=1e-4, rtol=0)


def slow_context(branch, cells):
    """Equations 4.2 and 4.3 in group normalisation, for one sample: `cells` is a list of channel vectors."""

    def convolved(convolution, vectors):
        matrix = convolution.weight[:, :, 0, 0].tolist()
        return [
            [sum(w * v for w, v in zip(row, vector, strict=True)) + b for row, b in zip(matrix, bias, strict=True)]
            for vector in vectors
            for bias in [convolution.bias.tolist()]
        ]

    def normalised(norm, vectors):
        values = [value for vector in vectors for value in vector]
        mean = sum(values) / len(values)
        deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / len(values) + 1e-5)
        pairs = list(zip(norm.weight.tolist(), norm.bias.tolist(), strict=True))
        return [[(v - mean) / deviation * w + b for v, (w, b) in zip(vector, pairs, strict=True)] for vector in vectors]

    inner = normalised(branch[1], convolved(branch[0], cells))
    inner = [[max(value, 0.0) for value in vector] for vector in inner]
    return normalised(branch[4], convolved(branch[3], inner))


def test_group_normalised_blend_equals_the_slow_one():
    layer, (x, y) = small("group").double(), (t.double() for t in two_maps(batch=2))
    with torch.no_grad():
        found = layer(x, y)
    for sample in range(2):
        vectors = [(x + y)[sample, :, i // 7, i % 7].tolist() for i in range(35)]
        average = [sum(channel) / 35 for channel in zip(*vectors, strict=True)]
        local = slow_context(layer.attention.local, vectors)
        (overall,) = slow_context(layer.attention.overall, [average])
        for i, vector in enumerate(local):
            for c, value in enumerate(vector):
                weight = 1 / (1 + math.exp(-value - overall[c]))
                a, b = x[sample, c, i // 7, i % 7].item(), y[sample, c, i // 7, i % 7].item()
                assert found[sample, c, i // 7, i % 7].item() == pytest.approx(weight * a + (1 - weight) * b, abs=1e-10)


@pytest.mark.parametrize(("channels", "count"), [(64, 4576), (24, 756), (48, 2664), (96, 9936)])
def test_parameters(channels, count):
    # The released module of 64 channels has 4576; c^2 + 7.5 c.
    assert count == channels**2 + 15 * channels // 2
    for norm in ("batch", "group"):
        assert sum(p.numel() for p in AFF(channels, norm=norm).parameters()) == count


# --- properties ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", ["batch", "group"])
def test_it_blends(norm):
    layer, (x, y) = small(norm), two_maps()
    with torch.no_grad():
        found, swapped = layer(x, y), layer(y, x)
        torch.testing.assert_close(layer(x, x), x, atol=0, rtol=0)
    assert (found >= torch.minimum(x, y) - 1e-6).all() and (found <= torch.maximum(x, y) + 1e-6).all()
    torch.testing.assert_close(found + swapped, x + y)  # the weights see only the sum
    assert (found - swapped).abs().max() > 0.1


@pytest.mark.parametrize(("norm", "training"), [("group", True), ("group", False), ("batch", False)])
def test_batch_equals_samples(norm, training):
    layer, (x, y) = small(norm).train(training), two_maps()
    with torch.no_grad():
        apart = torch.cat([layer(x[i : i + 1], y[i : i + 1]) for i in range(3)])
        torch.testing.assert_close(layer(x, y), apart, atol=1e-6, rtol=1e-5)


def test_batch_normalisation_ties_the_samples_together():
    layer, (x, y) = small("batch").train(), two_maps()
    with torch.no_grad():
        assert not torch.allclose(layer(x, y)[:2], layer(x[:2], y[:2]), atol=1e-3)


@pytest.mark.parametrize(("norm", "training"), [("group", True), ("batch", False)])
def test_gradients_reach_everything(norm, training):
    layer, (x, y) = small(norm).train(training), two_maps(batch=1)
    x, y = x.requires_grad_(), y.requires_grad_()
    layer(x, y).square().sum().backward()
    assert without_gradient(layer) == []
    assert (x.grad != 0).all() and (y.grad != 0).all()


@pytest.mark.parametrize("norm", ["batch", "group"])
def test_autocast_keeps_the_maps_dtype(norm):
    layer, (x, y) = small(norm).eval(), two_maps()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        half = layer(x.bfloat16(), y.bfloat16())
    assert half.dtype == torch.bfloat16
    with torch.no_grad():
        torch.testing.assert_close(half.float(), layer(x, y), atol=0.05, rtol=0.02)


# --- errors --------------------------------------------------------------------------------------------------------


def test_a_batch_of_one_needs_group_normalisation_in_training():
    x, y = two_maps(batch=1)
    with pytest.raises(
        ConfigError, match=r"a batch of one; use norm 'group'.*a batch of 4 or more \(--data.batch_size 4"
    ):
        small("batch")(x, y)
    assert small("batch").eval()(x, y).isfinite().all()
    assert small("group")(x, y).isfinite().all()


@pytest.mark.parametrize("batch", [2, 3])
def test_small_batches_are_warned_of_once(batch):
    maps, layer = two_maps(batch), small("batch")
    with pytest.warns(UserWarning, match=f"in batches of {batch}, plus and minus 1 in a batch of 2; use norm 'group'"):
        layer(*maps)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        layer(*maps)
        small("batch").eval()(*maps)
        small("group")(*maps)
        small("batch")(*two_maps(4))


@pytest.mark.filterwarnings("ignore:MSCAM")
def test_of_a_batch_of_two_the_global_context_keeps_nothing_but_signs():
    """Why 4 are recommended: the normalised averages are those of any other pair."""
    attention, seen = small("batch").attention, []
    attention.overall[1].register_forward_hook(lambda module, given, result: seen.append(result))
    norm = attention.overall[1]
    norm.weight.data.fill_(1), norm.bias.data.zero_()
    for batch in (2, 4):
        attention(100 * two_maps(batch)[0])
    two, four = (result.abs() for result in seen)
    torch.testing.assert_close(two, torch.ones_like(two), atol=1e-4, rtol=0)
    assert (four - 1).abs().amax() > 0.2


def test_synchronised_normalisation_counts_for_itself():
    # With several processes a batch of one each is enough, so the refusal is left to torch, which knows their number.
    layer = torch.nn.SyncBatchNorm.convert_sync_batchnorm(small("batch"))
    with pytest.raises(ValueError, match="Expected more than 1 value per channel"):
        layer(*two_maps(batch=1))


def test_errors():
    with pytest.raises(ValueError, match="norm must be 'batch' or 'group', got 'layer'"):
        MSCAM(8, norm="layer")
    with pytest.raises(ValueError, match="reduction must be 1 or more, got 0"):
        MSCAM(8, reduction=0)
    with pytest.raises(ValueError, match="channels must be 4 or more with reduction=4 and norm='batch', got 3"):
        AFF(3)
    with pytest.raises(ValueError, match="channels must be 12 or more with reduction=4 and norm='group', got 8"):
        AFF(8, norm="group")
    x, y = two_maps()
    with pytest.raises(ValueError, match=r"the same shape, got \(3, 12, 5, 7\) and \(3, 12, 5, 6\)"):
        small("group")(x, y[..., :6])
