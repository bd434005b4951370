"""Mask generators: published statistics, exact values, reproducibility, files of either polarity."""

import json
import time

import numpy as np
import pytest
import torch
from mask_toys import draw, ratios

from inpaintzoo.data.dataset import InpaintingDataset
from inpaintzoo.data.loader import EpochSampler, ResumableLoader
from inpaintzoo.data.masks import (
    CentreSquare,
    FreeForm,
    LaMaStrokes,
    LimitedMask,
    MaskGenerator,
    MixedMasks,
    PENNetSquare,
    RandomRectangles,
    SquareFreeForm,
    mask_from_recipe,
)
from inpaintzoo.data.masks import strokes as module
from inpaintzoo.data.masks.strokes import LAMA_TABLE
from inpaintzoo.data.source import ImageSource, Sample
from inpaintzoo.types import DataError

DRAWN = {
    "centre": CentreSquare(),
    "rectangles": RandomRectangles(),
    "pennet": PENNetSquare(),
    "free": FreeForm(),
    "square_free": SquareFreeForm(),
    "lama_thin": LaMaStrokes("thin", 256),
    "lama_medium": LaMaStrokes("medium", 512),
    "lama_thick": LaMaStrokes("thick", 256),
    "mixed": MixedMasks([CentreSquare(), FreeForm()], [1, 2]),
    "limited": LimitedMask(FreeForm(), (0.05, 0.5)),
}


# ---------------------------------------------------------------- every generator


@pytest.mark.parametrize("name", DRAWN)
@pytest.mark.parametrize("size", [(256, 256), (33, 47), (64, 16), (9, 8)])
def test_masks_are_exactly_zero_or_one_in_the_size_asked_for(name, size):
    for index in range(5):
        mask = draw(DRAWN[name], *size, index=index)
        assert mask.shape == (1, *size) and mask.dtype == torch.float32
        assert mask.is_contiguous()
        assert set(mask.unique().tolist()) <= {0.0, 1.0}
        assert 0.0 < mask.mean() < 1.0


@pytest.mark.parametrize("name", [name for name in DRAWN if name != "centre"])
def test_a_mask_depends_on_seed_epoch_and_index_only(name):
    masks, again = DRAWN[name], mask_from_recipe(DRAWN[name].recipe())
    first = {key: draw(masks, 64, 64, *key) for key in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 0, 2)]}
    torch.manual_seed(123)
    np.random.seed(123)
    for key, mask in reversed(first.items()):  # another order, other global seeds, another object
        assert torch.equal(draw(again, 64, 64, *key), mask)
    different = {mask.numpy().tobytes() for mask in first.values()}
    assert len(different) >= 3  # a mixture may repeat its centre square


@pytest.mark.parametrize("name", DRAWN)
def test_a_recipe_survives_json_and_rebuilds_the_same_generator(name):
    recipe = json.loads(json.dumps(DRAWN[name].recipe()))
    rebuilt = mask_from_recipe(recipe)
    assert type(rebuilt) is type(DRAWN[name])
    assert rebuilt.recipe() == DRAWN[name].recipe()
    assert torch.equal(draw(rebuilt, 48, 48, index=3), draw(DRAWN[name], 48, 48, index=3))


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"class": "os.system", "args": {}}, "unknown class 'os.system'"),
        ({"class": "MaskGenerator", "args": {}}, "unknown class"),
        ({"class": "MixedMasks", "args": {"masks": [{"class": "Evil", "args": {}}]}}, "unknown class 'Evil'"),
        ({"class": "FreeForm", "args": {"colour": 1}}, "FreeForm.*colour"),
        ({"class": "FreeForm"}, "must be"),
        ("FreeForm", "must be"),
    ],
)
def test_a_recipe_can_only_name_the_packages_classes(recipe, message):
    with pytest.raises(DataError, match=message):
        mask_from_recipe(recipe)


def test_a_class_of_the_users_own_cannot_pass_for_one_of_the_package():
    class FreeForm(MaskGenerator):
        def draw(self, height, width, rng, index):
            return torch.ones(1, height, width)

    with pytest.raises(DataError, match="unknown class"):
        mask_from_recipe(FreeForm().recipe())


class Grey(ImageSource):
    names = tuple(str(i) for i in range(12))

    def load(self, index, rng=None):
        return Sample(torch.full((3, 64, 64), index / 12), self.names[index])

    def fingerprint(self, index):
        return str(index)


def loaded(workers, ranks=1, epoch=1):
    dataset = InpaintingDataset(Grey(), SquareFreeForm(), seed=7, augment=True)
    masks = {}
    for rank in range(ranks):
        sampler = EpochSampler(dataset, shuffle=True, seed=7, rank=rank, world_size=ranks)
        sampler.set_epoch(epoch)
        for batch in ResumableLoader(dataset, sampler=sampler, batch_size=3, num_workers=workers):
            masks.update(zip(batch["index"].tolist(), batch["mask"], strict=True))
    return masks


def test_workers_and_ranks_do_not_change_the_masks():
    expected = {i: draw(SquareFreeForm(), 64, 64, seed=7, epoch=1, index=i) for i in range(12)}
    for masks in (loaded(workers=0), loaded(workers=2), loaded(workers=0, ranks=2)):
        assert sorted(masks) == list(range(12))
        assert all(torch.equal(masks[i], expected[i]) for i in expected)
    other = loaded(workers=0, epoch=2)
    assert not all(torch.equal(other[i], expected[i]) for i in expected)


# ---------------------------------------------------------------- shapes


def test_the_centre_square_of_256_is_128_wide_and_in_the_middle():
    expected = torch.zeros(1, 256, 256)
    expected[:, 64:192, 64:192] = 1
    assert torch.equal(draw(CentreSquare()), expected)
    assert draw(CentreSquare(3), 9, 7).sum() == 9
    with pytest.raises(ValueError, match="does not fit"):
        draw(CentreSquare(10), 9, 20)


def test_one_rectangle_of_fixed_size_goes_everywhere():
    masks = RandomRectangles(count=(1, 1), side=(0.5, 0.5))
    heat = torch.stack([draw(masks, 8, 12, index=i) for i in range(400)])
    assert (heat.sum(dim=(1, 2, 3)) == 4 * 6).all()
    assert (heat.mean(dim=0) > 0).all()  # corners included
    corners = {tuple(mask[0].nonzero()[0].tolist()) for mask in heat}
    assert corners == {(top, left) for top in range(5) for left in range(7)}


def test_rectangles_keep_their_count_and_their_limits():
    single = [draw(RandomRectangles((1, 1), (0.25, 0.5)), 64, 64, index=i) for i in range(200)]
    for mask in single:
        rows, columns = mask[0].any(dim=1).sum(), mask[0].any(dim=0).sum()
        assert mask.sum() == rows * columns  # one rectangle
        assert 16 <= rows <= 32 and 16 <= columns <= 32
    assert ratios(RandomRectangles((4, 4)), 200, 64).mean() > 2 * ratios(RandomRectangles((1, 1)), 200, 64).mean()


def test_pennets_square_covers_what_its_code_covers():
    values = ratios(PENNetSquare())
    assert values.mean() == pytest.approx(0.166, abs=0.003)
    assert values.min() == pytest.approx(0.129, abs=0.003)
    assert values.max() == pytest.approx(0.258, abs=0.006)


def test_pennets_square_without_rotation_is_a_dilated_square():
    mask = draw(PENNetSquare(max_angle=0), 64, 64, index=1)
    rows, columns = mask[0].any(dim=1).sum(), mask[0].any(dim=0).sum()
    assert mask.sum() == rows * columns
    assert {int(rows), int(columns)} <= {33, 34}  # 32 + 2, less where the border cuts it


# ---------------------------------------------------------------- strokes


class NoBrush(FreeForm):
    def draw(self, height, width, rng, index):
        return torch.zeros(1, height, width)


def test_brush_and_box_have_the_published_statistics():
    values = ratios(SquareFreeForm())
    assert values.mean() == pytest.approx(0.312, abs=0.008)
    assert np.quantile(values, 0.05) == pytest.approx(0.212, abs=0.012)
    assert np.quantile(values, 0.95) == pytest.approx(0.436, abs=0.018)
    assert ratios(FreeForm()).mean() == pytest.approx(0.153, abs=0.010)
    assert ratios(SquareFreeForm(NoBrush())).mean() == pytest.approx(0.192, abs=0.003)


def test_the_box_is_128_less_up_to_16_on_each_edge():
    masks = SquareFreeForm(NoBrush())
    sides = set()
    for i in range(500):
        mask = draw(masks, index=i)[0]
        rows, columns = int(mask.any(dim=1).sum()), int(mask.any(dim=0).sum())
        assert mask.sum() == rows * columns
        sides |= {rows, columns}
    assert sides == set(range(96, 129, 2))


def test_brush_widths_grow_with_the_picture():
    small, large = ratios(FreeForm(), 400, 128).mean(), ratios(FreeForm(), 400, 512).mean()
    assert small == pytest.approx(large, abs=0.015)
    assert small > 0.13


def test_a_brush_of_fixed_width_paints_round_ends_of_that_width():
    # One segment of any length: the area is that of a capsule, length * width + pi (width / 2)^2.
    masks = FreeForm(strokes=(1, 1), vertices=(1, 1), width=(20, 20), angle=0.0, angle_range=0.0)
    inside = 0
    for i in range(60):
        mask = draw(masks, index=i)[0]
        rows, columns = mask.any(dim=1).nonzero(), mask.any(dim=0).nonzero()
        if rows[0] > 0 and rows[-1] < 255 and columns[0] > 0 and columns[-1] < 255:
            high, wide = int(rows[-1] - rows[0] + 1), int(columns[-1] - columns[0] + 1)
            assert high in (20, 21)
            assert mask.sum() == pytest.approx((wide - 20) * 20 + np.pi * 100, rel=0.1)
            inside += 1
    assert inside > 10


def test_strokes_lean_to_both_sides_thanks_to_the_flips():
    # Unflipped strokes only ever walk to the right, so holes would gather there.
    heat = torch.stack([draw(FreeForm(), 64, 64, index=i) for i in range(1500)]).mean(dim=0)[0]
    left, right = heat[:, :16].mean(), heat[:, 48:].mean()
    top, bottom = heat[:16].mean(), heat[48:].mean()
    assert float(left) == pytest.approx(float(right), rel=0.12)
    assert float(top) == pytest.approx(float(bottom), rel=0.12)


def test_lamas_table_is_the_published_one():
    rows = {
        key: (p.strokes, p.max_width, p.max_length, p.box_side if p.boxes else None) for key, p in LAMA_TABLE.items()
    }
    assert rows == {
        ("thin", 512): ((4, 70), 20, 100, None),
        ("medium", 512): ((4, 10), 100, 200, (30, 150)),
        ("thick", 512): ((1, 5), 250, 450, (30, 300)),
        ("thin", 256): ((4, 50), 10, 40, None),
        ("medium", 256): ((4, 5), 50, 100, (10, 50)),
        ("thick", 256): ((1, 5), 100, 200, (30, 150)),
    }


@pytest.mark.parametrize(("thickness", "resolution"), LAMA_TABLE)
def test_lamas_masks_cover_half_at_most(thickness, resolution):
    assert ratios(LaMaStrokes(thickness, resolution), 60, resolution).max() <= 0.5


@pytest.mark.parametrize(("thickness", "resolution"), LAMA_TABLE)
def test_lamas_strokes_stay_within_the_table_and_reach_its_ends(thickness, resolution, monkeypatch):
    strokes = []
    monkeypatch.setattr(module, "paint", lambda brush, points, widths: strokes.append((points, widths)))
    masks, table, counts = LaMaStrokes(thickness, resolution), LAMA_TABLE[thickness, resolution], []
    for i in range(300):
        before = len(strokes)
        masks._strokes(resolution, resolution, np.random.default_rng(i), table)
        counts.append(len(strokes) - before)
    widths = np.concatenate([widths for _, widths in strokes])
    steps = np.concatenate([np.diff(np.array(points), axis=0) for points, _ in strokes])
    lengths = np.hypot(*steps.T)
    assert (min(counts), max(counts)) == table.strokes
    assert {len(widths) for _, widths in strokes} == {1, 2, 3, 4, 5}
    assert (widths.min(), widths.max()) == (5, 5 + table.max_width - 1)
    assert 10 + table.max_length - 5 < lengths.max() < 11 + table.max_length
    # Angles from the vertical: 0.01, 1.01, 2.01 and 3.01 radians to either side; long steps make rounding small.
    ends = np.array([point for points, _ in strokes for point in points[1:]])
    long = steps[(lengths > 30) & ((ends > 0) & (ends < resolution)).all(axis=1)]
    angles = np.abs(np.arctan2(long[:, 0], long[:, 1]))
    assert np.abs(angles[:, None] - [0.01, 1.01, 2.01, 3.01]).min(axis=1).max() < 0.08


class WhichLaMa(LaMaStrokes):
    def _strokes(self, height, width, rng, table):
        mask = torch.zeros(1, height, width)
        mask[0, 0, 0] = 1
        return mask

    def _boxes(self, height, width, rng, table):
        return torch.zeros(1, height, width)


@pytest.mark.parametrize(("thickness", "chance"), [("thin", 0.0), ("medium", 0.3 / 1.3), ("thick", 0.3 / 1.3)])
def test_lama_draws_boxes_in_three_of_thirteen_masks(thickness, chance):
    boxes = [draw(WhichLaMa(thickness), 4, 4, index=i).sum() == 0 for i in range(3000)]
    assert np.mean(boxes) == pytest.approx(chance, abs=0.025)


@pytest.mark.parametrize("resolution", [256, 512])
def test_lamas_boxes_have_the_tables_sides_and_keep_its_margin(resolution):
    masks, table = LaMaStrokes("thick", resolution), LAMA_TABLE["thick", resolution]
    sides = []
    for i in range(400):
        mask = masks._boxes(resolution, resolution, np.random.default_rng(i), table)[0]
        assert mask[:10].sum() == mask[:, :10].sum() == mask[-10:].sum() == mask[:, -10:].sum() == 0
        rows, columns = int(mask.any(dim=1).sum()), int(mask.any(dim=0).sum())
        if mask.sum() == rows * columns:  # one box, or one that hides the others
            sides += [rows, columns]
    assert min(sides) >= 30 and min(sides) < 45
    assert max(sides) < table.box_side[1] and max(sides) > 0.85 * table.box_side[1]


def test_lamas_lengths_scale_with_the_picture():
    full, half = (
        ratios(LaMaStrokes("medium", 512), 200, 512).mean(),
        ratios(LaMaStrokes("medium", 512), 200, 256).mean(),
    )
    assert full == pytest.approx(half, abs=0.03)


def test_a_free_form_mask_is_drawn_in_milliseconds():
    masks, best = FreeForm(), 1.0
    for repeat in range(5):
        start = time.thread_time()
        for i in range(20):
            draw(masks, index=repeat * 20 + i)
        best = min(best, (time.thread_time() - start) / 20)
    assert best < 0.003


# ---------------------------------------------------------------- mixtures and limits


class Constant(MaskGenerator):
    """A hole with this many rows."""

    def __init__(self, rows):
        self.rows = rows

    def draw(self, height, width, rng, index):
        mask = torch.zeros(1, height, width)
        mask[:, : self.rows] = 1
        return mask


def test_a_mixture_draws_by_weight():
    values = ratios(MixedMasks([Constant(1), Constant(2), Constant(3)], [1, 3, 0]), 4000, 4)
    assert np.mean(values == 0.25) == pytest.approx(0.25, abs=0.025)
    assert np.mean(values == 0.5) == pytest.approx(0.75, abs=0.025)
    equal = ratios(MixedMasks([Constant(1), Constant(2)]), 2000, 4)
    assert np.mean(equal == 0.25) == pytest.approx(0.5, abs=0.04)


@pytest.mark.parametrize("bounds", [(0.1, 0.2), (0.3, 0.4)])
def test_limits_hold_for_every_mask(bounds):
    values = ratios(LimitedMask(FreeForm(), bounds), 100, 128)
    assert values.min() > bounds[0] and values.max() <= bounds[1]
    assert len(set(values)) > 50


def test_limits_are_open_below_and_closed_above():
    assert draw(LimitedMask(Constant(2), (0.1, 0.2)), 10, 10).mean() == pytest.approx(0.2)
    with pytest.raises(DataError, match=r"Constant drew 5 masks of 10x10 .* 0\.200 to 0\.200, none in \(0\.2, 0\.3\]"):
        draw(LimitedMask(Constant(2), (0.2, 0.3), tries=5), 10, 10)
    with pytest.raises(DataError, match="none in"):
        draw(LimitedMask(Constant(0), (0.0, 1.0)), 10, 10)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: CentreSquare(0), "size must be at least 1"),
        (lambda: RandomRectangles(count=(0, 2)), "count must be two whole numbers .* got"),
        (lambda: RandomRectangles(count=(1.5, 2)), "count must be two whole numbers"),
        (lambda: RandomRectangles(side=(0.5, 1.5)), "side must be two numbers"),
        (lambda: RandomRectangles(side=(0.5, 0.2)), "side must be two numbers"),
        (lambda: PENNetSquare(90), "max_angle"),
        (lambda: FreeForm(strokes=(3, 1)), "strokes"),
        (lambda: FreeForm(vertices=(0, 1)), "vertices"),
        (lambda: FreeForm(width=(0, 10)), "width"),
        (lambda: FreeForm(angle_range=-1), "angle_range"),
        (lambda: SquareFreeForm(box=0), "box must lie"),
        (lambda: SquareFreeForm(box=0.5, inset=0.25), "inset"),
        (lambda: LaMaStrokes("fat"), "'fat'"),
        (lambda: LaMaStrokes("thin", 128), "128"),
        (lambda: MixedMasks([]), "empty"),
        (lambda: MixedMasks([CentreSquare()], [1, 2]), "1 masks but 2 weights"),
        (lambda: MixedMasks([CentreSquare()], [0]), "not all 0"),
        (lambda: MixedMasks([CentreSquare(), CentreSquare()], [1, -1]), "0 or more"),
        (lambda: MixedMasks([CentreSquare()], [float("nan")]), "0 or more"),
        (lambda: LimitedMask(CentreSquare(), (0.3, 0.2)), "ratio"),
        (lambda: LimitedMask(CentreSquare(), (0.2, 0.2)), "nothing lies in"),
        (lambda: LimitedMask(CentreSquare(), (0.2, 0.3), tries=0), "tries"),
    ],
)
def test_bad_arguments_are_refused_at_construction(build, message):
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize(("share", "height", "width"), [(0.15, 256, 256), (0.55, 512, 512), (0.25, 128, 64)])
def test_a_centre_square_by_share_covers_that_share_of_the_frame(share, height, width):
    mask = CentreSquare(share=share).draw(height, width, np.random.default_rng(0), 0)
    assert mask.mean().item() == pytest.approx(share, abs=0.01)
    assert torch.equal(mask, CentreSquare(share=share).draw(height, width, np.random.default_rng(1), 1))
    rows, columns = mask[0].any(1).nonzero().flatten(), mask[0].any(0).nonzero().flatten()
    assert abs(rows[0] - (height - 1 - rows[-1])) <= 1 and abs(columns[0] - (width - 1 - columns[-1])) <= 1


def test_a_centre_squares_share_excludes_a_size():
    for arguments, message in (
        ({"share": 0.0}, r"share must lie in \(0, 1\], got 0.0"),
        ({"share": 1.5}, r"share must lie in \(0, 1\], got 1.5"),
        ({"share": 0.2, "size": 3}, "give size or share, not both"),
    ):
        with pytest.raises(ValueError, match=message):
            CentreSquare(**arguments)
