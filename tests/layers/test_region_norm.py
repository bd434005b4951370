"""Region normalisation against golden tensors of the released code and a reference with filled planes."""

import json

import pytest
import torch
import torch.nn.functional as F
from golden_recipe import GOLDEN, golden_tensors, recipe_tensor

from benchmarks.reference import spn as reference
from inpaintzoo.layers.region_norm import LearnedRegionNorm, RegionNorm, normalize_regions


def masks(batch, height, width):
    """Random cells, a rectangle, one hole cell, one valid cell, no hole, all hole, in turn."""
    mask = torch.zeros(batch, 1, height, width, dtype=torch.float64)
    mask[0] = (torch.rand(1, height, width, generator=torch.Generator().manual_seed(1)) > 0.6).double()
    mask[1, :, : height // 2, : width // 3] = 1
    mask[2, :, 1, 2] = 1
    mask[3] = 1
    mask[3, :, 2, 1] = 0
    mask[5] = 1
    return mask


def features(batch=6, channels=3, height=7, width=9):
    generator = torch.Generator().manual_seed(0)
    return 2 + 3 * torch.randn(batch, channels, height, width, generator=generator, dtype=torch.float64)


def test_golden_by_mask():
    golden = golden_tensors("spn/det.safetensors")
    x, mask = golden["unit.RN_B.x"], golden["unit.RN_B.mask"]
    layer = RegionNorm(x.shape[1])
    for ours, theirs in (("hole", "foreground"), ("valid", "background")):
        for kind in ("gamma", "beta"):
            values = recipe_tensor(f"{theirs}_{kind}", (x.shape[1],))
            getattr(layer, f"{ours}_{kind}").data.copy_(values)
    with torch.no_grad():
        torch.testing.assert_close(layer(x, mask), golden["unit.RN_B.y"], atol=1e-5, rtol=1e-5)


def test_golden_by_the_learned_map():
    golden = golden_tensors("spn/spl.safetensors")
    x = golden["unit.RN_L.x"]
    layer = LearnedRegionNorm()
    prefix = "sa"
    layer.attention.weight.data.copy_(recipe_tensor(f"{prefix}.conv1.weight", (1, 2, 7, 7)))
    for kind, shape in (("weight", (1, 1, 7, 7)), ("bias", (1,))):
        both = [recipe_tensor(f"{prefix}.{name}_conv.{kind}", shape) for name in ("gamma", "beta")]
        getattr(layer.affine, kind).data.copy_(torch.cat(both))
    with torch.no_grad():
        torch.testing.assert_close(layer(x), golden["unit.RN_L.y"], atol=1e-5, rtol=1e-5)


def test_equals_filled_planes():
    x, hole = features(), masks(6, 7, 9)
    torch.testing.assert_close(normalize_regions(x, hole), reference.region_norm(x, hole), atol=1e-10, rtol=1e-8)


def test_gradients_equal_those_of_filled_planes():
    weight = torch.randn(6, 3, 7, 9, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    gradients = []
    for function in (normalize_regions, reference.region_norm):
        x = features().requires_grad_()
        (function(x, masks(6, 7, 9)) * weight).sum().backward()
        gradients.append(x.grad)
    torch.testing.assert_close(*gradients, atol=1e-9, rtol=1e-7)


def test_each_region_is_standardised():
    x, hole = features()[:2], masks(6, 7, 9)[:2]
    y = normalize_regions(x, hole, eps=0.0)
    for sample, region in zip(y, hole, strict=True):
        for chosen in (region[0] == 1, region[0] == 0):
            cells = sample[:, chosen]
            torch.testing.assert_close(cells.mean(1), torch.zeros(3, dtype=torch.float64), atol=1e-12, rtol=0)
            torch.testing.assert_close(cells.var(1, correction=0), torch.ones(3, dtype=torch.float64))


def test_regions_do_not_mix():
    x, hole = features()[:2], masks(6, 7, 9)[:2]
    changed = torch.where(hole.bool(), 5 * x + 1, x)
    outside = ~hole.bool().expand_as(x)
    assert torch.equal(normalize_regions(x, hole)[outside], normalize_regions(changed, hole)[outside])


def test_shifts_of_both_regions_are_added_everywhere():
    layer, x, hole = RegionNorm(3).double(), features(), masks(6, 7, 9)
    layer.hole_beta.data.fill_(2.0)
    layer.valid_beta.data.fill_(0.5)
    layer.hole_gamma.data.fill_(1.0)
    expected = normalize_regions(x, hole) * (1 + hole) + 2.5
    torch.testing.assert_close(layer(x, hole), expected, atol=1e-12, rtol=1e-10)


def test_the_mask_is_resized_by_nearest():
    layer, x = RegionNorm(3).double(), features(height=8, width=8)
    mask = masks(6, 16, 16)
    expected = layer(x, F.interpolate(mask, size=(8, 8), mode="nearest"))
    assert torch.equal(layer(x, mask), expected)
    assert torch.equal(layer(x, mask), layer(x, mask[:, :, ::2, ::2]))


def test_the_threshold_decides_the_regions():
    torch.manual_seed(0)
    x = features()
    layers = [LearnedRegionNorm(threshold).double() for threshold in (0.3, 0.5)]
    layers[1].load_state_dict(layers[0].state_dict())
    for layer in layers:
        pooled = torch.cat([x.mean(1, keepdim=True), x.max(1, keepdim=True)[0]], dim=1)
        attention = torch.sigmoid(layer.attention(pooled))
        gamma, beta = layer.affine(attention).chunk(2, dim=1)
        region = (attention >= layer.threshold).double()
        assert 0 < region.mean() < 1
        expected = reference.region_norm(x, region) * (1 + gamma) + beta
        torch.testing.assert_close(layer(x), expected, atol=1e-10, rtol=1e-8)
    assert not torch.equal(layers[0](x), layers[1](x))


def test_the_golden_map_straddles_the_threshold():
    scalars = json.loads((GOLDEN / "spn" / "spl_scalars.json").read_text())
    assert 0 < scalars["unit.RN_L.frac_ge_0.8"] < 1


def test_statistics_in_float32_under_autocast():
    x, hole = (100 + features()).float(), masks(6, 7, 9).float()
    half = x.bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        found = normalize_regions(half, hole)
        layer = RegionNorm(3)
        assert layer(half, hole).dtype == torch.bfloat16
        assert LearnedRegionNorm()(half).isfinite().all()
    assert found.dtype == torch.bfloat16
    expected = reference.region_norm(half.double(), hole.double())
    torch.testing.assert_close(found.double(), expected, atol=2e-2, rtol=1e-2)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_one_region_alone(value):
    x = features().requires_grad_()
    y = normalize_regions(x, torch.full_like(x[:, :1], value))
    torch.testing.assert_close(y, F.instance_norm(x), atol=1e-10, rtol=1e-8)
    y.square().sum().backward()
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("threshold", [0.0, 1.0, -2.0])
def test_errors(threshold):
    with pytest.raises(ValueError, match=f"threshold must lie between 0 and 1, got {threshold}"):
        LearnedRegionNorm(threshold)
