"""Patch attention against golden tensors, a slow reference, and itself in other tile sizes."""

import pytest
import torch
import torch.nn.functional as F
from golden_recipe import golden_tensors, recipe_weights

from benchmarks.reference import attention as reference
from inpaintzoo.layers.attention import operator, tiles
from inpaintzoo.layers.attention.transfer import AttentionTransfer, DilatedFusion, transfer_patches, valid_keys


@pytest.fixture(scope="module")
def golden():
    return golden_tensors("pennet/attention_transfer.safetensors")


def golden_fusion(channels):
    """The released module's weights: `conv00` to `conv03`, no prefix."""
    shapes = {}
    for i in range(4):
        shapes |= {f"conv0{i}.0.weight": (channels // 4, channels, 3, 3), f"conv0{i}.0.bias": (channels // 4,)}
    weights = recipe_weights(shapes)
    return {f"fusion.branches.{key[5]}.{key.split('.')[-1]}": tensor for key, tensor in weights.items()}


@pytest.mark.parametrize("engine", ["tiled", "dense"])
@pytest.mark.parametrize("kernel", [1, 3])
def test_golden_unit_without_fusion(golden, kernel, engine):
    deep, mask = golden["x2"] * 0.3, golden["mask"].float()
    layer = AttentionTransfer(8, kernel, fuse=False, engine=engine)
    torch.testing.assert_close(layer(golden["x1"], deep, mask), golden[f"y_ksize{kernel}_fuse0"], atol=2e-6, rtol=0)


@pytest.mark.parametrize("kernel", [1, 3])
def test_golden_unit_with_fusion(golden, kernel):
    layer = AttentionTransfer(8, kernel)
    layer.load_state_dict(golden_fusion(8))
    result = layer(golden["x1"], golden["x2"] * 0.3, golden["mask"].float())
    torch.testing.assert_close(result, golden[f"y_ksize{kernel}_fuse1"], atol=2e-6, rtol=0)


@pytest.mark.parametrize("mask", ["centre", "blob"])
@pytest.mark.parametrize("level", [2, 3, 4, 5, 6])
def test_golden_validity(mask, level):
    inputs = golden_tensors("pennet/inputs.safetensors")
    expected = inputs[f"valid_{mask}.x{level}"].float()
    found = valid_keys(inputs[f"mask_{mask}"].float(), expected.shape[1:], 1 if level == 6 else 3)
    assert torch.equal(found[:, 0], expected)


def test_exact_validity_sees_thin_holes_that_bilinear_misses():
    mask = torch.zeros(1, 1, 64, 64)
    mask[:, :, :, 13] = 1
    exact = valid_keys(mask, (8, 8), kernel=1, resize="any")
    assert exact[0, 0, 0].tolist() == [1, 0, 1, 1, 1, 1, 1, 1]
    assert valid_keys(mask, (8, 8), kernel=1, resize="bilinear").all()
    wide = valid_keys(mask, (8, 8), kernel=3, resize="any")
    assert wide[0, 0, 0].tolist() == [0, 0, 0, 1, 1, 1, 1, 1]


def random_case(height, width, batch=3, dtype=torch.float64):
    generator = torch.Generator().manual_seed(height * width)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

    valid = (torch.rand(batch, 1, height, width, generator=generator) > 0.4).to(dtype)
    valid[1], valid[2] = 0, 1
    return draw(batch, 4, height, width), draw(batch, 4, height, width), draw(batch, 3, 2 * height, 2 * width), valid


def textbook(query, key, value, valid, kernel, scale, normalize_query, hole_keys, floor):
    """Unfold everything, hold the whole matrix, fold."""
    keys, queries = (F.unfold(side, kernel, padding=kernel // 2).transpose(1, 2) for side in (key, query))
    keys = keys / keys.norm(dim=2, keepdim=True).clamp(min=1e-4)
    if normalize_query:
        queries = queries / queries.norm(dim=2, keepdim=True).clamp(min=1e-4)
    scores, gate = scale * queries @ keys.transpose(1, 2), valid.flatten(2)
    if hole_keys == "exclude":
        weights = torch.softmax(scores.masked_fill(gate == 0, -torch.inf), dim=2).nan_to_num()
    else:
        weights = torch.softmax(scores * gate, dim=2)
    weights = (weights * gate).clamp(min=floor)
    patches = F.unfold(value, 4, stride=2, padding=1).transpose(1, 2)
    return F.fold((weights @ patches).transpose(1, 2), value.shape[2:], 4, stride=2, padding=1) / 4


SETTINGS = [
    {"kernel": 3, "scale": 10.0, "normalize_query": False, "hole_keys": "zero_score", "floor": 1e-8},
    {"kernel": 1, "scale": 1.0, "normalize_query": False, "hole_keys": "zero_score", "floor": 5e-3},
    {"kernel": 3, "scale": 2.0, "normalize_query": True, "hole_keys": "zero_score", "floor": 5e-3},
    {"kernel": 1, "scale": 10.0, "normalize_query": True, "hole_keys": "exclude", "floor": 0.0},
    {"kernel": 3, "scale": 1.0, "normalize_query": True, "hole_keys": "exclude", "floor": 0.0},
]


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("size", [(6, 7), (1, 1), (2, 9), (5, 1)])
@pytest.mark.parametrize("tile", [1, 20_000, 100_000, 10**9])
def test_every_tile_size_gives_the_textbook_result_and_gradients(monkeypatch, settings, size, tile):
    monkeypatch.setattr(tiles, "_CPU_TILE", tile)
    query, key, value, valid = random_case(*size)
    inputs = [tensor.requires_grad_() for tensor in (query, key, value)]
    expected = textbook(query, key, value, valid, **settings)
    found = transfer_patches(query, key, value, valid, **settings, engine="tiled")
    torch.testing.assert_close(found, expected, atol=1e-10, rtol=1e-8)
    direction = torch.randn(expected.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    # Without any valid key the textbook form divides 0 by 0: its gradient is compared on the other samples.
    samples = [0, 2] if settings["hole_keys"] == "exclude" else [0, 1, 2]
    wanted = torch.autograd.grad(expected[samples], inputs, direction[samples])
    for ours, theirs in zip(torch.autograd.grad(found, inputs, direction), wanted, strict=True):
        torch.testing.assert_close(ours[samples], theirs[samples], atol=1e-9, rtol=1e-7)
        assert ours.isfinite().all()


@pytest.mark.parametrize("settings", SETTINGS)
def test_dense_engine_gives_the_textbook_result(settings):
    case = random_case(6, 7)
    found = transfer_patches(*case, **settings, engine="dense")
    torch.testing.assert_close(found, textbook(*case, **settings), atol=1e-10, rtol=1e-8)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # torch's own check looks at it
def test_operator_is_registered_consistently():
    query, key, value, valid = random_case(3, 4, dtype=torch.float32)
    gain = valid * 0.3
    inputs = [tensor.requires_grad_() for tensor in (query, key, value, gain)]
    checks = torch.library.opcheck(operator.tiled_transfer, (*inputs, None, valid, 3, False, 1e-8))
    assert {"test_schema", "test_autograd_registration", "test_faketensor"} <= set(checks)
    assert set(checks.values()) == {"SUCCESS"}


@pytest.mark.parametrize("kernel", [1, 3])
def test_slow_reference_agrees_on_masked_maps(kernel):
    generator = torch.Generator().manual_seed(0)
    deep, shallow = torch.randn(2, 6, 10, 12, generator=generator), torch.randn(2, 5, 20, 24, generator=generator)
    mask = torch.zeros(2, 1, 80, 96)
    mask[0, :, 20:50, 10:60], mask[1, :, :37] = 1, 1
    layer = AttentionTransfer(5, kernel, fuse=False)
    slow = reference.transfer_per_sample(shallow, deep, mask, kernel)
    torch.testing.assert_close(layer(shallow, deep, mask), slow, atol=1e-5, rtol=1e-5)


def test_float32_at_least_under_autocast():
    query, key, value, valid = random_case(6, 7, dtype=torch.float32)
    expected = transfer_patches(query, key, value, valid)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(transfer_patches(query, key, value, valid), expected)
        half = transfer_patches(query.bfloat16(), key.bfloat16(), value.bfloat16(), valid)
    assert half.dtype == torch.bfloat16
    rounded = transfer_patches(*(tensor.bfloat16().float() for tensor in (query, key, value)), valid)
    torch.testing.assert_close(half, rounded.bfloat16())


def test_fill_hole_keeps_what_is_known():
    deep, _, shallow, _ = random_case(8, 8, dtype=torch.float32)
    mask = torch.zeros(3, 1, 16, 16)
    mask[:, :, 4:9, 5:12] = 1
    layer = AttentionTransfer(3, fuse=False, fill="hole", mask_resize="nearest")
    filled = layer(shallow, deep, mask)
    known = (mask == 0).expand_as(filled)
    assert torch.equal(filled[known], shallow[known])
    assert not torch.isclose(filled[~known], shallow[~known]).all()


def test_excluded_keys_are_never_copied():
    query, key, value, valid = random_case(6, 7)
    valid[:] = 0
    valid[:, :, 2, 3] = 1
    settings = {"kernel": 1, "hole_keys": "exclude", "floor": 0.0}
    result = transfer_patches(query, key, value, valid, **settings)
    elsewhere = value.clone()
    elsewhere[:, :, :3], elsewhere[:, :, 7:], elsewhere[:, :, :, :5], elsewhere[:, :, :, 9:] = 9, 9, 9, 9
    assert torch.equal(transfer_patches(query, key, elsewhere, valid, **settings), result)


@pytest.mark.parametrize("engine", ["tiled", "dense"])
def test_a_constant_map_is_copied_as_it_is_up_to_the_border(engine):
    query, key, value, valid = random_case(6, 7)
    settings = {"kernel": 1, "hole_keys": "exclude", "floor": 0.0, "engine": engine}
    ones, known = torch.ones_like(value), valid.flatten(1).any(dim=1)
    assert known.tolist() == [True, False, True]
    filled = transfer_patches(query, key, ones, valid, border="excluded", **settings)
    torch.testing.assert_close(filled, ones * known.view(-1, 1, 1, 1))
    faint = transfer_patches(query, key, ones, valid, border="zeros", **settings)
    assert faint[0, 0, 0, 0] < 0.251 and faint.amax() < 1, "what lies outside the map is copied as 0"


@pytest.mark.parametrize("kernel", [1, 3])
def test_the_mean_over_pixels_inside_the_map_equals_the_slow_one(kernel):
    """Pixel by pixel: which patches cover it, and where each of them is copied from."""
    query, key, value, valid = random_case(4, 5, batch=3)
    settings = {"kernel": kernel, "hole_keys": "exclude", "floor": 0.0, "normalize_query": True, "scale": 3.0}
    found = transfer_patches(query, key, value, valid, border="excluded", **settings)
    keys, queries = (F.normalize(F.unfold(side, kernel, padding=kernel // 2), dim=1) for side in (key, query))
    for sample in (0, 2):
        scores = 3 * queries[sample].t() @ keys[sample]
        weights = torch.softmax(scores.masked_fill(valid[sample].flatten() == 0, -torch.inf), dim=1)
        for y, x in ((0, 0), (0, 3), (3, 9), (4, 4), (7, 9)):
            total, norm = torch.zeros(3, dtype=torch.float64), 0.0
            for q, k in ((q, k) for q in range(20) for k in range(20)):
                dy, dx = y - (2 * (q // 5) - 1), x - (2 * (q % 5) - 1)  # the pixel's place in the query's patch
                row, column = 2 * (k // 5) - 1 + dy, 2 * (k % 5) - 1 + dx
                if 0 <= dy < 4 and 0 <= dx < 4 and 0 <= row < 8 and 0 <= column < 10:
                    total += weights[q, k] * value[sample, :, row, column]
                    norm += weights[q, k]
            torch.testing.assert_close(found[sample, :, y, x], total / norm)


def starved_case(side=4):
    """A map whose every 3x3 patch touches the hole, one with known patches, one that is all hole."""
    deep, _, shallow, _ = random_case(side, side, dtype=torch.float32)
    mask = torch.zeros(3, 1, 32, 32)
    mask[0, :, 8:24, 8:24], mask[1, :, :8, :8], mask[2] = 1, 1, 1
    return deep, shallow, mask


@pytest.mark.parametrize("engine", ["tiled", "dense"])
def test_where_every_patch_touches_the_hole_patches_with_a_known_centre_are_copied(engine):
    deep, shallow, mask = starved_case()
    settings = {"fuse": False, "fill": "hole", "hole_keys": "exclude", "mask_resize": "nearest", "engine": engine}
    found = AttentionTransfer(3, starved="cells", **settings)(shallow, deep, mask)
    released = AttentionTransfer(3, **settings)(shallow, deep, mask)
    hole = F.interpolate(mask, 8).bool().expand_as(found)
    assert (released[0][hole[0]] == 0).all() and (found[0][hole[0]] != 0).all()
    centres = valid_keys(mask, (4, 4), 1, "nearest")
    copied = transfer_patches(deep, deep, shallow, centres, hole_keys="exclude", floor=0.0)
    torch.testing.assert_close(found[0][hole[0]], copied[0][hole[0]])
    assert torch.equal(found[1], released[1]), "a sample with known patches is filled as before"
    assert torch.equal(found[2], shallow[2]), "and one that is all hole keeps its map"


def test_errors_name_the_argument():
    query, key, value, valid = random_case(6, 7)
    with pytest.raises(ValueError, match=r"value must be \(3, 3, 12, 14\).*got \(3, 3, 6, 7\)"):
        transfer_patches(query, key, value[:, :, :6, :7], valid)
    with pytest.raises(ValueError, match="kernel=2"):
        transfer_patches(query, key, value, valid, kernel=2)
    with pytest.raises(ValueError, match="kernel must be 1 or 3, got 5"):
        AttentionTransfer(8, kernel=5)
    with pytest.raises(ValueError, match="fill must be one of 'everywhere', 'hole', got 'holes'"):
        AttentionTransfer(8, fill="holes")
    with pytest.raises(ValueError, match="border must be one of 'zeros', 'excluded', got 'mirrored'"):
        AttentionTransfer(8, border="mirrored")
    with pytest.raises(ValueError, match="starved must be one of 'zeros', 'cells', got 'none'"):
        AttentionTransfer(8, starved="none")
    with pytest.raises(ValueError, match=r"scale must be above 0, got -1\.0"):
        AttentionTransfer(8, scale=-1.0)
    with pytest.raises(ValueError, match="multiple of 4, got 6"):
        DilatedFusion(6)
