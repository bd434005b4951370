"""Contextual attention against golden tensors of a public port, and against the slow reference in double precision."""

import pytest
import torch
from golden_recipe import golden_tensors

from benchmarks.reference import contextual as reference
from inpaintzoo.layers.attention import contextual
from inpaintzoo.layers.attention.contextual import ContextualAttention, contextual_attention
from inpaintzoo.layers.attention.transfer import valid_keys


@pytest.fixture(scope="module")
def golden():
    return golden_tensors("deepfillv2/contextual_attention.safetensors")


CASES = [
    ("torch_fuse", "in_f", "in_mask", {}),
    ("torch_nofuse", "in_f", "in_mask", {"fuse": False}),
    ("torch_fuse_rect", "in_f_rect", "in_mask_rect", {}),
    ("tf_fuse", "in_f", "in_mask", {"aligned": True}),
    ("tf_nofuse", "in_f", "in_mask", {"aligned": True, "fuse": False}),
    ("tf_fuse_rect", "in_f_rect", "in_mask_rect", {"aligned": True}),
]


@pytest.mark.parametrize("engine", ["tiled", "dense"])
@pytest.mark.parametrize(("name", "features", "mask", "settings"), CASES, ids=[case[0] for case in CASES])
def test_golden(golden, name, features, mask, settings, engine):
    layer = ContextualAttention(engine=engine, **settings)
    found = layer(golden[features][:1], golden[mask][:1])
    torch.testing.assert_close(found, golden[f"out_{name}"], atol=1e-4, rtol=0)


def test_golden_without_a_hole(golden):
    features, mask = golden["in_f"][:1], golden["in_mask"][:1]
    found = ContextualAttention()(features, torch.zeros_like(mask))
    torch.testing.assert_close(found, golden["out_torch_fuse_nomask"], atol=1e-4, rtol=0)


def test_golden_batch_whose_samples_have_their_own_masks(golden):
    found = ContextualAttention()(golden["in_f"], golden["in_mask"])
    expected = torch.cat([golden["out_torch_fuse"], golden["out_torch_fuse_sample1_own_mask"]])
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("fuse", [True, False])
@pytest.mark.parametrize("engine", ["tiled", "dense"])
def test_nothing_known_gives_zeros(golden, fuse, engine):
    features = golden["in_f"].clone().requires_grad_()
    mask = golden["in_mask"].clone()
    mask[0] = 1
    found = ContextualAttention(fuse=fuse, engine=engine)(features, mask)
    assert (found[0] == 0).all() and found[1].abs().sum() > 0
    found.sum().backward()
    assert features.grad.isfinite().all()


def random_case(height, width, batch=3):
    """Maps of `2 * height` by `2 * width` cells in double precision, with a box, single pixels and all as holes."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(batch, 5, 2 * height, 2 * width, dtype=torch.float64, generator=generator)
    mask = torch.zeros(batch, 1, 16 * height, 16 * width, dtype=torch.float64)
    mask[0, :, 8 : 16 * height // 2, 8 : 16 * width // 2] = 1
    mask[1] = (torch.rand(mask[1].shape, generator=generator) > 0.9).double()
    return features.requires_grad_(), mask


@pytest.mark.parametrize("again", [False, True], ids=["kept", "computed again"])
@pytest.mark.parametrize("rows", [1, 2, 4])
@pytest.mark.parametrize("piece", [0, 12_000, 30_000, 10**9])
@pytest.mark.parametrize("size", [(6, 7), (1, 1), (2, 9), (5, 1)])
def test_every_piece_gives_the_slow_result_and_gradients(monkeypatch, size, piece, rows, again):
    monkeypatch.setattr(contextual, "_CPU_PIECE", piece)
    monkeypatch.setattr(contextual, "_LEAST_ROWS", rows)
    monkeypatch.setattr(contextual, "_KEPT", 0 if again else 10**9)
    features, mask = random_case(*size)
    expected = reference.attend_per_sample(features, mask)
    found = ContextualAttention(engine="tiled")(features, mask)
    torch.testing.assert_close(found, expected, atol=1e-9, rtol=1e-9)
    direction = torch.randn(expected.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    (wanted,) = torch.autograd.grad(expected, features, direction)
    (ours,) = torch.autograd.grad(found, features, direction)
    torch.testing.assert_close(ours, wanted, atol=1e-8, rtol=1e-8)


@pytest.mark.parametrize(("kept", "again"), [(3 * 42**2 * 8, 0), (3 * 42**2 * 8 - 1, 6)])
def test_large_matrices_are_computed_again_in_the_backward_pass(monkeypatch, kept, again):
    """Small ones are not. Here: three samples of 6x7 cells, in pieces of three rows each."""
    monkeypatch.setattr(contextual, "_KEPT", kept)
    monkeypatch.setattr(contextual, "_piece_shape", lambda key: (1, 3))
    calls, piece = [], contextual._piece
    monkeypatch.setattr(contextual, "_piece", lambda *arguments: (calls.append(1), piece(*arguments))[1])
    features, mask = random_case(6, 7)
    result = ContextualAttention(engine="tiled")(features, mask)
    assert len(calls) == 6
    result.sum().backward()
    assert len(calls) == 6 + again
    with torch.no_grad():
        ContextualAttention(engine="tiled")(features, mask)
    assert len(calls) == 12 + again


def test_the_pieces_of_the_test_above_are_several_kinds(monkeypatch):
    shapes = set()
    for piece in (0, 12_000, 30_000, 10**9):
        monkeypatch.setattr(contextual, "_CPU_PIECE", piece)
        monkeypatch.setattr(contextual, "_LEAST_ROWS", 1)
        shapes.add(contextual._piece_shape(torch.zeros(3, 5, 6, 7, dtype=torch.float64)))
    assert shapes == {(1, 1), (1, 5), (2, 6), (3, 6)}


def test_dense_engine_gives_the_slow_result():
    features, mask = random_case(6, 7)
    expected = reference.attend_per_sample(features, mask)
    torch.testing.assert_close(ContextualAttention(engine="dense")(features, mask), expected, atol=1e-9, rtol=1e-9)


def brute_force_fuse(scores, height, width):
    """The nine pairs of each score, cell by cell."""
    cells = height * width
    by_rows = torch.zeros_like(scores)
    for q in range(cells):
        for k in range(cells):
            pairs = [(q + d, k + d) for d in (-1, 0, 1)]
            by_rows[q, k] = sum(scores[a, b] for a, b in pairs if 0 <= a < cells and 0 <= b < cells)
    place = [x * height + y for y in range(height) for x in range(width)]  # of each cell, counted down the columns
    back = [place.index(i) for i in range(cells)]
    fused = torch.zeros_like(scores)
    for q in range(cells):
        for k in range(cells):
            pairs = [(place[q] + d, place[k] + d) for d in (-1, 0, 1)]
            inside = [(back[a], back[b]) for a, b in pairs if 0 <= a < cells and 0 <= b < cells]
            fused[q, k] = sum(by_rows[a, b] for a, b in inside)
    return fused


@pytest.mark.parametrize("size", [(3, 4), (4, 2), (1, 5)])
def test_neighbours_go_on_in_the_next_row_and_column(size):
    height, width = size
    scores = torch.randn(
        height * width, height * width, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )
    expected = brute_force_fuse(scores, height, width)
    torch.testing.assert_close(contextual._fuse(scores[None], height, width)[0], expected)
    planes = scores.t().reshape(1, -1, height, width)  # the reference has the keys first
    slow = reference.agree(planes, height, width).flatten(2)[0].t()
    torch.testing.assert_close(slow, expected)


def test_fusing_changes_the_result():
    features, mask = random_case(6, 7)
    difference = ContextualAttention()(features, mask) - ContextualAttention(fuse=False)(features, mask)
    assert difference.abs().max() > 0.1


def test_only_known_patches_are_copied(golden):
    """The values in the hole do not reach the result, those outside do."""
    features, mask = golden["in_f"][:1], golden["in_mask"][:1]
    half = features[:, :, ::2, ::2]
    valid = valid_keys(mask, (16, 16), resize="any")
    expected = contextual_attention(half, half, features, valid)
    hole = torch.nn.functional.max_pool2d(mask, 4).bool()
    assert torch.equal(contextual_attention(half, half, features.masked_fill(hole, 9.0), valid), expected)
    assert not torch.equal(contextual_attention(half, half, features.masked_fill(~hole, 9.0), valid), expected)


def test_mask_resize_any_sees_a_thin_hole():
    features = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    mask = torch.zeros(1, 1, 64, 64)
    mask[:, :, 3] = 1  # a line between the pixels that nearest neighbour samples
    blind = ContextualAttention()(features, torch.zeros_like(mask))
    assert torch.equal(ContextualAttention()(features, mask), blind)
    assert not torch.equal(ContextualAttention(mask_resize="any")(features, mask), blind)


def test_float32_at_least_under_autocast(golden):
    features, mask = golden["in_f"], golden["in_mask"]
    expected = ContextualAttention()(features, mask)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(ContextualAttention()(features, mask), expected)
        half = ContextualAttention()(features.bfloat16(), mask)
    assert half.dtype == torch.bfloat16
    rounded = ContextualAttention()(features.bfloat16().float(), mask)
    torch.testing.assert_close(half, rounded.bfloat16())


def exported_sizes(left_open):
    if not left_open:
        return None
    height, width = torch.export.Dim("height", min=2, max=40), torch.export.Dim("width", min=2, max=40)
    return {"features": {2: 2 * height, 3: 2 * width}, "mask": {2: 8 * height, 3: 8 * width}}


@pytest.mark.parametrize("left_open", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("settings", [{}, {"fuse": False}, {"aligned": True}])
def test_exports(settings, left_open):
    generator = torch.Generator().manual_seed(0)
    case = torch.randn(1, 3, 8, 12, generator=generator), torch.zeros(1, 1, 32, 48)
    exported = torch.export.export(ContextualAttention(**settings), case, dynamic_shapes=exported_sizes(left_open))
    size = (14, 10) if left_open else (8, 12)
    features, mask = torch.randn(1, 3, *size, generator=generator), torch.zeros(1, 1, 4 * size[0], 4 * size[1])
    mask[:, :, 10:20, 5:25] = 1
    expected = ContextualAttention(engine="tiled", **settings)(features, mask)
    torch.testing.assert_close(exported.module()(features, mask), expected, atol=1e-5, rtol=1e-5)


def test_errors_name_the_argument():
    with pytest.raises(ValueError, match=r"even sides, got \(1, 4, 6, 7\)"):
        ContextualAttention()(torch.zeros(1, 4, 6, 7), torch.zeros(1, 1, 24, 28))
    with pytest.raises(ValueError, match="scale must be above 0, got 0"):
        ContextualAttention(scale=0)
    with pytest.raises(ValueError, match="mask_resize must be one of 'bilinear', 'nearest', 'any', got 'area'"):
        ContextualAttention(mask_resize="area")
    with pytest.raises(ValueError, match="engine must be one of 'auto', 'tiled', 'dense', got 'fast'"):
        ContextualAttention(engine="fast")
    with pytest.raises(ValueError, match="with aligned corners mask_resize is 'nearest', got 'any'"):
        ContextualAttention(mask_resize="any", aligned=True)
    small = torch.zeros(1, 4, 3, 3)
    with pytest.raises(ValueError, match=r"value must be \(1, 4, 6, 6\)"):
        contextual_attention(small, small, small, small[:, :1])
