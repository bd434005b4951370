"""Structural guidance against pixel-by-pixel readings of its rules, through every engine, model and exporter."""

import warnings

import pytest
import torch
import torch.nn.functional as F
from contract import assert_the_hole_is_not_seen, three_pairs
from pages import ROOT, blocks

from inpaintzoo import models
from inpaintzoo.generator import Generator
from inpaintzoo.layers.attention import contextual, tiles
from inpaintzoo.layers.attention.guidance import CLASSES, Guidance
from inpaintzoo.layers.attention.transfer import AttentionTransfer, transfer_patches, valid_keys
from inpaintzoo.types import ConfigError, DataError

STRIDE = 4  # pixels a side of a cell of the copied map


# --- oracles -------------------------------------------------------------------------------------------------------


def patch_pixels(y, x, size, frame):
    """Pixels below the 4x4 patch around a cell of a map of half the copied map's `size`."""
    rows = [row for row in range(2 * y - 1, 2 * y + 3) if 0 <= row < 2 * size[0]]
    columns = [column for column in range(2 * x - 1, 2 * x + 3) if 0 <= column < 2 * size[1]]
    tall, wide = frame[0] // (2 * size[0]), frame[1] // (2 * size[1])
    pixels = torch.zeros(frame, dtype=torch.bool)
    for row in rows:
        for column in columns:
            pixels[row * tall : (row + 1) * tall, column * wide : (column + 1) * wide] = True
    return pixels


def slow_rules(guidance, mask, valid):
    """For one sample: which (query, key) pairs guidance forbids, the factors of the others, and the lost queries."""
    size, frame = valid.shape, mask.shape
    hole, by_class = mask > 0, not (guidance.is_floating_point() or guidance.dtype == torch.bool)
    cells = [(y, x) for y in range(size[0]) for x in range(size[1])]
    patches = [patch_pixels(y, x, size, frame) for y, x in cells]
    forbidden = torch.zeros(len(cells), len(cells), dtype=torch.bool)
    factors, lost = torch.ones(forbidden.shape, dtype=torch.float64), []
    known = [guidance[patch & ~hole].tolist() for patch in patches]
    for i, (y, x) in enumerate(cells):
        drawn = set(guidance[patches[i] & hole].tolist())
        if not drawn:
            continue
        if by_class:
            centre = guidance[(2 * y + 1) * frame[0] // (2 * size[0]), (2 * x + 1) * frame[1] // (2 * size[1])].item()
            wanted = {drawn.pop() if len(drawn) == 1 else centre}
            allowed = [not values or set(values) == wanted for values in known]
        else:
            allowed = [min(values, default=1) > 0 for values in known]
        if not any(fine and valid[y, x] > 0 for fine, (y, x) in zip(allowed, cells, strict=True)):
            lost.append(i)
            continue
        forbidden[i] = ~torch.tensor(allowed)
        if not by_class:
            factors[i] = torch.tensor([float(min(values, default=1)) for values in known])
    return forbidden, factors, lost


def textbook(query, key, value, valid, guidance, mask, settings):
    """The whole matrix, sample by sample: multiplied similarities, a softmax without what is forbidden, a fold."""
    results = []
    for b in range(len(query)):
        keys, queries = (F.unfold(side[b : b + 1], settings["kernel"], padding=settings["kernel"] // 2)[0].T
                         for side in (key, query))  # fmt: skip
        keys = keys / keys.norm(dim=1, keepdim=True).clamp(min=1e-4)
        if settings["normalize_query"]:
            queries = queries / queries.norm(dim=1, keepdim=True).clamp(min=1e-4)
        forbidden, factors, _ = slow_rules(guidance[b, 0], mask[b, 0], valid[b, 0])
        gate = valid[b].flatten()
        scores = settings["scale"] * queries @ keys.T * gate * factors
        outside = forbidden | (gate == 0) if settings["hole_keys"] == "exclude" else forbidden
        weights = torch.softmax(scores.masked_fill(outside, -torch.inf), dim=1).nan_to_num()
        weights = (weights * gate).clamp(min=settings["floor"]) * ~forbidden
        patches = F.unfold(value[b : b + 1], 4, stride=2, padding=1)[0].T
        results.append(F.fold((weights @ patches).T, value.shape[2:], 4, stride=2, padding=1) / 4)
    return torch.stack(results)


def fused(scores, height, width):
    """Neighbours' agreement: the matrix convolved with an identity, cells ordered by rows, then by columns."""
    identity = torch.eye(3, dtype=scores.dtype)[None, None]
    for sides in ((height, width), (width, height)):
        scores = F.conv2d(scores[None, None], identity, padding=1)[0, 0]
        scores = scores.view(*sides, *sides).permute(1, 0, 3, 2).reshape(scores.shape)
    return scores


def textbook_contextual(query, key, value, valid, guidance, mask):
    results = []
    for b in range(len(query)):
        keys, queries = (F.unfold(side[b : b + 1], 3, padding=1)[0].T for side in (key, query))
        scores = queries @ (keys / keys.norm(dim=1, keepdim=True).clamp(min=1e-4)).T
        forbidden, factors, _ = slow_rules(guidance[b, 0], mask[b, 0], valid[b, 0])
        gate = valid[b].flatten()
        scores = 10 * fused(scores, *query.shape[2:]) * gate * factors
        weights = torch.softmax(scores.masked_fill(forbidden, -torch.inf), dim=1) * gate
        patches = F.unfold(value[b : b + 1], 4, stride=2, padding=1)[0].T
        results.append(F.fold((weights @ patches).T, value.shape[2:], 4, stride=2, padding=1) / 4)
    return torch.stack(results)


# --- cases ---------------------------------------------------------------------------------------------------------


def case(height=6, width=7, batch=3):
    generator = torch.Generator().manual_seed(3)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    mask = torch.zeros(batch, 1, 2 * STRIDE * height, 2 * STRIDE * width)
    mask[0, :, 17:35, 13:30], mask[1, :, :, 40:] = 1, 1
    mask[2:] = (torch.rand(mask[2:].shape, generator=generator) > 0.997).float()
    maps = draw(batch, 4, height, width), draw(batch, 4, height, width), draw(batch, 3, 2 * height, 2 * width)
    return *maps, mask


def drawn(kind, mask):
    """A map whose borders run across cells, with single pixels of another value."""
    guidance = torch.zeros(mask.shape)
    guidance[:, :, :, 30:], guidance[:, :, 29:], guidance[:, :, 3, 5] = 0.5, 1.0, 0
    guidance[1:2], guidance[2:, :, :9] = guidance[1:2].flip(2), 1.0
    return {
        "weights": guidance,
        "permission": guidance > 0,
        "classes": (guidance * 4).to(torch.uint8),
        "unknown class": torch.where(mask > 0, 77, (guidance * 4).long()),
    }[kind]


KINDS = ["weights", "permission", "classes", "unknown class"]
RELEASED = {"kernel": 3, "scale": 10.0, "normalize_query": False, "hole_keys": "zero_score", "floor": 5e-3}
PAPER = {"kernel": 1, "scale": 3.0, "normalize_query": True, "hole_keys": "exclude", "floor": 0.0}
pytestmark = pytest.mark.filterwarnings("ignore:guidance leaves places")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("settings", [RELEASED, PAPER], ids=["released", "paper"])
@pytest.mark.parametrize("engine", ["dense", 1, 20_000, 10**9])
def test_every_engine_follows_the_rules_with_gradients(monkeypatch, kind, settings, engine):
    if engine != "dense":
        monkeypatch.setattr(tiles, "_CPU_TILE", engine)
    *maps, mask = case()
    guidance = drawn(kind, mask)
    valid = valid_keys(mask, maps[0].shape[2:], settings["kernel"], "any").double()
    inputs = [tensor.requires_grad_() for tensor in maps]
    expected = textbook(*inputs, valid, guidance, mask, settings)
    guide = Guidance(guidance, mask).at(valid)
    engine = "dense" if engine == "dense" else "tiled"
    found = transfer_patches(*inputs, valid, guidance=guide, engine=engine, **settings)
    torch.testing.assert_close(found, expected, atol=1e-10, rtol=1e-8)
    direction = torch.randn(expected.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    wanted = torch.autograd.grad(expected, inputs, direction)
    for ours, theirs in zip(torch.autograd.grad(found, inputs, direction), wanted, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-9, rtol=1e-7)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("engine", ["dense", 1, 10**9])
def test_contextual_attention_follows_the_rules_with_gradients(monkeypatch, kind, engine):
    if engine != "dense":
        monkeypatch.setattr(contextual, "_CPU_PIECE", engine)
    monkeypatch.setattr(contextual, "_KEPT", 0)  # every piece is computed again in the backward pass
    *maps, mask = case()
    guidance = drawn(kind, mask)
    valid = valid_keys(mask, maps[0].shape[2:], 3, "any").double()
    inputs = [(0.2 * tensor).requires_grad_() for tensor in maps]
    expected = textbook_contextual(*inputs, valid, guidance, mask)
    guide = Guidance(guidance, mask).at(valid)
    engine = "dense" if engine == "dense" else "tiled"
    found = contextual.contextual_attention(*inputs, valid, guidance=guide, engine=engine)
    torch.testing.assert_close(found, expected, atol=1e-10, rtol=1e-8)
    wanted = torch.autograd.grad(expected.square().sum(), inputs)
    for ours, theirs in zip(torch.autograd.grad(found.square().sum(), inputs), wanted, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-9, rtol=1e-7)


def test_cases_have_all_that_the_rules_speak_of():
    *maps, mask = case()
    valid = valid_keys(mask, maps[0].shape[2:], 1, "any")
    for kind in KINDS:
        forbidden, factors, lost = slow_rules(drawn(kind, mask)[0, 0], mask[0, 0], valid[0, 0])
        assert forbidden.any() == (kind != "unknown class") and bool(lost) == (kind == "unknown class")
        assert not forbidden[lost].any() and not forbidden.all(dim=0).any()
        assert (factors == 0.5).any() or kind != "weights"


@pytest.mark.parametrize("engine", ["tiled", "dense"])
def test_what_is_forbidden_leaves_no_trace(engine):
    query, key, value, mask = case(batch=2)
    guidance = drawn("permission", mask)
    valid = valid_keys(mask, query.shape[2:], 3, "bilinear")
    guide = Guidance(guidance, mask).at(valid)

    def fill(value):
        return transfer_patches(query, key, value, valid.double(), guidance=guide, engine=engine)

    cells = F.max_pool2d((~guidance & (mask == 0)).double(), STRIDE)
    assert cells.any() and F.max_pool2d(mask, STRIDE).any()
    inside = (F.max_pool2d(mask, STRIDE) > 0).expand_as(value)
    plain, loud = fill(value)[inside], fill(torch.where(cells > 0, 1e6, value))[inside]
    assert torch.equal(plain, loud)
    unguided = transfer_patches(query, key, torch.where(cells > 0, 1e6, value), valid.double(), engine=engine)
    assert not torch.isclose(unguided[inside], plain).any()


def test_one_forbidden_pixel_forbids_the_patches_over_it_and_no_others():
    mask = torch.zeros(1, 1, 64, 64)
    mask[:, :, 48:, 48:] = 1
    guidance = torch.ones(1, 1, 64, 64)
    guidance[:, :, 16, 23] = 0  # the cell (4, 5) of the copied map: patches of the keys 2 and 1 or 2, by 2 and 3
    found = Guidance(guidance, mask).at(valid_keys(mask, (8, 8), 1, "any")).found[0, 0]
    assert (found == 0).nonzero().tolist() == [[1, 2], [1, 3], [2, 2], [2, 3]]


def test_permission_in_the_hole_means_nothing_and_classes_there_do():
    *_, mask = case()
    valid = valid_keys(mask, (6, 7), 3, "any")
    for kind, matters in (("weights", False), ("permission", False), ("classes", True)):
        guidance = drawn(kind, mask)
        other = torch.where(mask > 0, torch.ones_like(guidance), guidance)
        same = [torch.equal(a, b) for a, b in zip(*(Guidance(g, mask).at(valid)[:2] for g in (guidance, other)))]  # noqa: B905
        assert all(same) != matters


def test_a_warning_once_where_nothing_remains_for_that_sample_alone():
    *maps, mask = case()
    guidance = drawn("weights", mask)
    guidance[1] = 0
    layer = AttentionTransfer(3, 1, fuse=False, hole_keys="exclude").double()
    query, _, value = maps
    guide = Guidance(guidance, mask)
    with pytest.warns(UserWarning, match=r"known patch to copy from \(first seen on the features of 6x7\)") as caught:
        result = layer(value, query, mask.double(), guide)
        layer(value, query, mask.double(), guide)
    assert len(caught) == 1
    unguided = layer(value, query, mask.double())
    assert torch.equal(result[1], unguided[1]) and not torch.equal(result[0], unguided[0])


def test_no_warning_where_the_mask_leaves_nothing_either():
    mask = torch.ones(1, 1, 64, 64)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        guide = Guidance(torch.zeros_like(mask), mask).at(valid_keys(mask, (8, 8)))
    assert (guide.wanted == -1).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda g: g[:, :, 1:], r"guidance must be \(3, 1, 48, 56\) to fit the mask, got \(3, 1, 47, 56\)"),
        (lambda g: g[:, 0], r"got \(3, 48, 56\)"),
        (lambda g: g * 255, r"permissions from 0 to 1, got 0 to 255; scale it, or pass class ids as integers"),
        (lambda g: g * torch.nan, "permissions from 0 to 1, got NaN where the picture is known; replace it"),
        (lambda g: g.to(torch.float64).numpy(), r"must be a tensor \(3, 1, 48, 56\) to fit the mask, got ndarray"),
        (lambda g: (g + 70_000).to(torch.uint32), "got 70000 to 70001"),
        (lambda g: (g * 9).int() - 1, "class ids of a guidance map must be from 0 to 65535, got -1 to 8"),
        (lambda g: (g * CLASSES).int(), "got 0 to 65536"),
        (lambda g: g + 0j, r"or integer \(class ids\), got torch.complex64"),
        (lambda g: g.to("meta"), "where the mask is, on cpu, but is on meta"),
    ],
)
def test_errors_say_what_to_change(change, message):
    mask = case()[-1]
    with pytest.raises(DataError, match=message):
        Guidance(change(drawn("weights", mask)), mask)


@pytest.mark.parametrize("content", [torch.nan, torch.inf, 255.0, -1.0])
def test_permissions_in_the_hole_may_be_anything(content):
    *_, mask = case()
    valid, guidance = valid_keys(mask, (6, 7), 3, "any"), drawn("weights", mask)
    expected = Guidance(guidance, mask).at(valid)
    found = Guidance(torch.where(mask > 0, content, guidance), mask).at(valid)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("dtype", [torch.uint16, torch.uint32, torch.int16, torch.int64])
def test_class_ids_of_any_integer_type(dtype):
    *_, mask = case()
    valid, classes = valid_keys(mask, (6, 7), 3, "any"), drawn("classes", mask)
    expected, found = (Guidance(ids, mask).at(valid) for ids in (classes, classes.long().to(dtype)))
    assert torch.equal(found.wanted, expected.wanted) and torch.equal(found.found, expected.found)


def test_compiled_guidance_is_checked_and_warns_like_any_other():
    *_, mask = case()
    valid = valid_keys(mask, (6, 7), 3, "any")
    compiled = torch.compile(lambda guidance: Guidance(guidance, mask).at(valid), backend="eager")
    guidance = drawn("classes", mask).int()
    expected, found = Guidance(guidance, mask).at(valid), compiled(guidance)
    assert torch.equal(found.wanted, expected.wanted) and torch.equal(found.found, expected.found)
    with pytest.raises(DataError, match="class ids of a guidance map must be from 0 to 65535, got 70000 to 70004"):
        compiled(guidance + 70_000)
    with pytest.warns(UserWarning, match=r"known patch to copy from \(first seen on the features of 6x7\)"):
        compiled(drawn("unknown class", mask))


# --- generators ----------------------------------------------------------------------------------------------------

GUIDED = {
    "PENNet": lambda **options: models.PENNet(width=8, **options),
    "SRPNet": lambda **options: models.SRPNet(width=8, **options),
    "GatedNet": lambda **options: models.GatedNet(width=8, **options),
    "AFFNet": lambda **options: models.AFFNet(width=8, **options),
    "SmoothRefine": lambda **options: models.SmoothRefine(width=12, **options),
    "PyramidGenerator": lambda **options: models.PyramidGenerator(levels=(2, 1), structure=False, width=8, **options),
}


class Image(torch.nn.Module):
    """A generator that returns a tensor, as an exporter wants it."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, image, mask, guidance):
        return self.network(image, mask, guidance).image


def guided_case(size=128):
    image, mask = three_pairs(size, size, (size // 4, size // 2, size // 3, 2 * size // 3), size // 3)
    mask[1] = mask[0].flip(-1)
    guidance = torch.zeros(mask.shape)
    guidance[:, :, : size // 2, size // 2 :] = 1
    return image, mask, guidance


def small(name, **options):
    torch.manual_seed(0)
    network = GUIDED[name](**options).eval()
    for parameter in network.parameters():  # louder than the usual start, or attention is all but uniform
        parameter.data.mul_({"PENNet": 2.5, "SRPNet": 1.5}.get(name, 1))
    return network


@pytest.mark.parametrize("name", GUIDED)
@torch.no_grad()
def test_guidance_that_permits_all_changes_no_bit_and_another_does(name):
    image, mask, guidance = guided_case()
    network = small(name)
    unguided = network(image, mask).image
    everything = torch.ones_like(mask)
    for permissive in (everything, everything.bool(), everything.long() * 7):
        assert torch.equal(network(image, mask, permissive).image, unguided)
    for restrictive in (guidance, guidance.bool(), guidance.byte()):
        changed = (network(image, mask, restrictive).image - unguided).abs().amax(dim=(1, 2, 3))
        assert (changed > 1e-3).all(), changed


@pytest.mark.parametrize("name", GUIDED)
@torch.no_grad()
def test_a_guided_batch_is_its_samples_and_does_not_see_the_hole(name):
    image, mask, guidance = guided_case()
    guidance = (guidance * 2).byte()
    guidance[2] = 1 - guidance[2] // 2
    network = small(name)
    together = network(image, mask, guidance=guidance).image
    for i in range(3):
        alone = network(image[i : i + 1], mask[i : i + 1], guidance[i : i + 1]).image
        torch.testing.assert_close(alone, together[i : i + 1], atol=1e-4, rtol=0)
    assert_the_hole_is_not_seen(lambda picture: [network(picture, mask, guidance).image], image, mask)


@pytest.mark.parametrize(
    ("name", "kind"), [("PENNet", "classes"), ("GatedNet", "permission"), ("PyramidGenerator", "classes")]
)
@torch.no_grad()
def test_guided_networks_are_exported(name, kind):
    image, mask, guidance = guided_case()
    guidance = guidance if kind == "permission" else guidance.int()
    network = small(name)
    exported = torch.export.export(Image(network), (image, mask, guidance)).module()
    expected = small(name, engine="dense")(image, mask, guidance).image
    torch.testing.assert_close(exported(image, mask, guidance), expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(network(image, mask, guidance).image, expected, atol=1e-4, rtol=0)


def test_generators_without_patch_attention_refuse_in_a_sentence():
    mask = torch.zeros(1, 1, 64, 64)
    plain = [models.SPL(), models.PENNet(attention="none"), models.PyramidGenerator(levels=(4, 2)), Generator()]
    assert not any(network.accepts_guidance for network in plain)
    for network in plain:
        assert network.read_guidance(None, mask) is None
        with pytest.raises(ConfigError, match=f"{type(network).__name__} has no patch attention that guidance could"):
            network.read_guidance(mask, mask)
    with pytest.raises(ConfigError, match="PENNet has no patch attention"):
        plain[1](torch.zeros(1, 3, 64, 64), mask, guidance=mask)
    assert all(small(name).accepts_guidance for name in GUIDED)


# --- the page's scene ----------------------------------------------------------------------------------------------


def test_unguided_copies_the_person_and_guided_does_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = next(code for code in blocks(ROOT / "docs" / "guidance.md", "python") if "guidance.png" in code)
    names = {}
    exec(code, names)
    hole = names["mask"][0, 0] > 0
    y = torch.arange(hole.shape[0]).view(-1, 1).expand_as(hole)

    def share(picture, colour, where):
        near = (picture[0] - names[colour]).abs().amax(dim=0) < 0.2
        return near[where].double().mean().item()

    unguided, permitted, classed = (names[name] for name in ("unguided", "permitted", "classed"))
    assert share(unguided, "red", hole) > 0.35
    for guided in (permitted, classed):
        assert share(guided, "red", hole) == 0
        assert torch.equal(guided[:, :, ~hole], names["image"][:, :, ~hole])
    wall, floor = hole & (y < 78), hole & (y >= 82)
    assert share(permitted, "brown", wall) > 0.1, "only classes know where the floor ends"
    assert share(classed, "blue", wall) > 0.99 and share(classed, "brown", floor) > 0.99
    assert (tmp_path / "guidance.png").stat().st_size > 2000
