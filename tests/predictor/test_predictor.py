"""The Predictor against generators whose fill is known: kinds of pictures, sizes, parts, memory, masks."""

import warnings

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from predictor_toys import Paints, Ramp, noise, ramp, square

from inpaintzoo import ConfigError, DataError, Predictor, PredictorWarning
from inpaintzoo.fills import Diffusion, MeanColour, Telea

MODES = ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "I;16", "I", "F"]


# -- kinds of pictures -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_known_pixels_are_bit_identical_and_the_hole_has_the_painted_colour(mode):
    image, hole = noise(mode), square()
    (filled,) = Predictor(Paints())(image, hole)
    assert (filled.mode, filled.size) == (image.mode, image.size)
    before, after = np.array(image), np.array(filled)
    np.testing.assert_array_equal(after[~hole], before[~hole])
    if mode in ("LA", "RGBA"):
        np.testing.assert_array_equal(after[..., -1], before[..., -1])
    if mode == "P":  # red's nearest neighbour among the palette's entries
        table = np.array(image.getpalette()).reshape(-1, 3)
        expected = ((table - [255, 0, 0]) ** 2).sum(axis=1).min()
        np.testing.assert_array_equal(((table[after[hole]] - [255, 0, 0]) ** 2).sum(axis=1), expected)
        return
    red = {"1": False, "L": 76, "LA": 76, "I;16": 19595, "I": 19595, "F": 0.299}.get(mode)
    if red is None:
        rgb = np.array(filled.convert("RGB"))[hole].astype(int)
        assert np.abs(rgb - [255, 0, 0]).max() <= 2
    else:
        np.testing.assert_allclose(after[..., 0][hole] if mode == "LA" else after[hole], red, rtol=1e-6)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    mode=st.sampled_from(MODES),
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    strategy=st.sampled_from(["auto", "pad", "crop", "tile", "resize"]),
    seed=st.integers(0, 999),
)
def test_any_size_and_mode_keeps_what_is_known(mode, height, width, strategy, seed):
    rng = np.random.default_rng(seed)
    image, hole = noise(mode, height, width, seed), rng.random((height, width)) < rng.random() ** 3
    predictor = Predictor(Paints(multiple=16, least=32), strategy=strategy, tile=64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PredictorWarning)
        (filled,) = predictor(image, hole, grow=int(rng.integers(2)))
    grown = np.array(filled) != np.array(image)
    changed = grown.any(axis=-1) if grown.ndim == 3 else grown
    near = np.pad(hole, 1)
    near = np.max([np.roll(near, (y, x), (0, 1)) for y in (-1, 0, 1) for x in (-1, 0, 1)], axis=0)[1:-1, 1:-1]
    assert filled.size == image.size and not (changed & ~near).any()


@pytest.mark.parametrize("dtype", ["bool", "uint8", "uint16", "float16", "float32", "float64"])
@pytest.mark.parametrize("channels", [None, 1, 2, 3, 4])
def test_arrays_come_back_as_they_went_in(dtype, channels):
    shape = (30, 40) if channels is None else (30, 40, channels)
    top = {"bool": 1, "uint8": 255, "uint16": 65535}.get(dtype, 1.0)
    image = (np.random.default_rng(0).random(shape) * top).round(3 if top == 1.0 else 0).astype(dtype)
    hole, before = square(30, 40), image.copy()
    (filled,) = Predictor(Paints((1.0, 1.0, 1.0)))(image, hole)
    np.testing.assert_array_equal(image, before)
    assert (filled.shape, filled.dtype) == (image.shape, image.dtype)
    np.testing.assert_array_equal(filled[~hole], image[~hole])
    colours = filled[hole] if channels in (None, 1, 3) else filled[hole][:, :-1]
    np.testing.assert_allclose(colours.astype(float), top, rtol=1e-6)
    if channels in (2, 4):
        np.testing.assert_array_equal(filled[..., -1], image[..., -1])


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.bfloat16])
def test_tensors_come_back_as_they_went_in(dtype):
    image = (
        torch.rand(3, 30, 40, generator=torch.Generator().manual_seed(0)) * (255 if dtype == torch.uint8 else 1)
    ).to(dtype)
    hole = torch.from_numpy(square(30, 40))[None].float()
    (filled,) = Predictor(Paints())(image, hole)
    assert (filled.shape, filled.dtype) == (image.shape, dtype)
    assert torch.equal(filled[:, hole[0] == 0], image[:, hole[0] == 0])
    assert (
        filled[:, hole[0] > 0].float() == torch.tensor([255.0 if dtype == torch.uint8 else 1.0, 0, 0])[:, None]
    ).all()


def test_16_bits_are_kept_and_used():
    deep = np.tile(np.linspace(30000, 30300, 64).astype(np.uint16)[None, :, None], (64, 1, 3))
    hole = square(64, 64, 20, 20, 20)
    (filled,) = Predictor(Diffusion())(deep, hole)
    # With 8 bits there would be two levels; a ramp is harmonic, and its continuation exact.
    assert np.abs(filled.astype(int) - deep).max() <= 2


@pytest.mark.parametrize("fill", ["shiftmap", "telea", "navier_stokes", "fsr_fast"])
def test_fills_by_name_keep_16_bits(fill):
    deep = np.tile(np.linspace(30000, 30300, 96).astype(np.uint16)[None, :, None], (96, 1, 3))
    hole = square(96, 96, 40, 40, 10)
    (filled,) = Predictor(fill=fill)(deep, hole)
    np.testing.assert_array_equal(filled[~hole], deep[~hole])
    assert len(np.unique(filled[hole])) > 5 and 29990 < filled[hole].min() <= filled[hole].max() < 30310


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I;16", "F"])
def test_shiftmap_fills_pictures_of_every_mode(mode):
    image, hole = noise(mode, 64, 64), square(64, 64, 20, 20, 12)
    (filled,) = Predictor(fill="shiftmap")(image, hole)
    assert (filled.mode, filled.size) == (image.mode, image.size)
    before, after = np.array(image), np.array(filled)
    assert (before == after)[~hole].all() and (before != after)[hole].any()


def test_a_fill_by_name_is_its_class():
    image, hole = noise("RGB", 48, 48), square(48, 48, 20, 20, 5)
    assert Predictor(fill="telea").made_with() == Predictor(Telea()).made_with()
    assert Predictor(fill="telea")(image, hole) == Predictor(Telea())(image, hole)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "give either a model or a fill"),
        ({"model": Diffusion(), "fill": "telea"}, "give either a model or a fill"),
        ({"fill": "shift-map"}, "fill must be one of mean, .*got 'shift-map'; did you mean shiftmap?"),
    ],
)
def test_a_model_or_a_fill_is_wanted(arguments, message):
    with pytest.raises(ConfigError, match=message):
        Predictor(**arguments)


def test_a_hole_filled_at_reduced_size_is_said():
    image, hole = noise("RGB", 560, 560), square(560, 560, 30, 30, 500)
    predictor = Predictor(MeanColour())
    with pytest.warns(PredictorWarning, match="filled at 91% of its size"):
        predictor(image, hole)
    assert len(predictor.notes) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Predictor(fill="telea")(image, hole)  # shown whole
        Predictor(MeanColour(), strategy="resize")(image, hole)  # as asked


def test_a_colour_that_counts_as_transparent_is_not_painted():
    image = Image.new("RGB", (20, 20), (9, 9, 9))
    image.info["transparency"] = (255, 0, 0)
    image.putpixel((3, 3), (255, 0, 0))
    filled = np.array(Predictor(Paints())(image, square(20, 20, 2, 2, 5))[0])
    transparent = (filled == (255, 0, 0)).all(axis=-1)
    assert transparent.sum() == 1 and transparent[3, 3]
    assert np.abs(filled[2:7, 2:7].astype(int) - (255, 0, 0)).max() <= 1


def test_palette_transparency_is_kept():
    image = Image.new("P", (16, 16), 0)
    image.putpalette([0, 0, 0, 255, 0, 0, 250, 5, 5])
    image.info["transparency"] = bytes([255, 0, 255])
    image.putpixel((4, 4), 1)
    filled = np.array(Predictor(Paints())(image, square(16, 16, 2, 2, 6))[0])
    assert filled[4, 4] == 1, "transparent stays transparent"
    assert (filled[2:8, 2:8] == 2).sum() == 35, "and the rest takes the nearest opaque entry"


def test_alpha_as_the_mask_is_filled_and_opaque():
    array = np.random.default_rng(0).integers(0, 256, (30, 40, 4), dtype=np.uint8)
    hole = square(30, 40)
    array[..., 3] = np.where(hole, 40, 200)
    (filled,) = Predictor(Paints())(Image.fromarray(array), None)
    after = np.array(filled)
    np.testing.assert_array_equal(after[~hole], array[~hole])
    assert (after[hole] == (255, 0, 0, 255)).all()
    with pytest.raises(DataError, match="no transparency"):
        Predictor(Paints())(Image.new("RGB", (16, 16)), None)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 4, 5), np.uint8), "1 to 4 channels"),
        (np.zeros((4, 4, 3), np.int32), "int32"),
        (np.full((40, 50, 3), 3.0, np.float32), "must lie in 0..1, got 3..3"),
        (np.full((40, 50, 3), np.nan, np.float32), "must lie in 0..1"),
        (torch.zeros(1, 3, 40, 50), r"\(C, H, W\)"),
        (Image.new("LAB", (50, 40)), "mode LAB"),
        (7, "got int"),
    ],
)
def test_what_is_no_picture_is_named(image, message):
    with pytest.raises(DataError, match=message):
        Predictor(Paints())(image, square())


# -- what the generator is shown -------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", ["pad", "crop", "tile", "resize"])
def test_nothing_of_the_hole_is_ever_shown(strategy):
    image = np.full((200, 300, 3), 100, np.uint8)
    hole = square(200, 300, 60, 90, 70)
    image[hole] = 255
    generator = Paints(multiple=16)
    predictor = Predictor(generator, strategy=strategy, tile=128, overlap=32)
    (filled,) = predictor(image, hole)
    assert generator.shown
    for shown, mask in generator.shown:
        assert set(mask.unique().tolist()) <= {0.0, 1.0} and mask.any()
        # Known pixels have the known colour: neither the hole's white nor the blackness put in its place.
        assert (shown * mask == 0).all()
        assert torch.allclose(shown[(1 - mask).expand_as(shown) > 0], torch.tensor(100 / 255), atol=1e-6)
    image[hole] = 0
    np.testing.assert_array_equal(predictor(image, hole)[0], filled)


@pytest.mark.parametrize(("height", "width"), [(16, 16), (16, 100), (17, 33), (64, 64), (1, 5)])
def test_padding_continues_picture_and_hole_by_reflection(height, width):
    image = np.random.default_rng(0).random((height, width, 3), dtype=np.float32)
    hole = np.zeros((height, width), bool)
    hole[-1, width // 2 :] = True  # at the border, so that the reflection of it is hole too
    generator = Paints(multiple=64, least=64)
    Predictor(generator, tile=512)(image, hole)
    shown, mask = generator.shown[0]
    size = (max(64, -(-height // 64) * 64), -(-width // 64) * 64)
    assert shown.shape[-2:] == size
    pad = ((0, size[0] - height), (0, size[1] - width))
    np.testing.assert_array_equal(mask[0, 0].numpy() > 0, np.pad(hole, pad, mode="reflect"))
    visible = np.pad(np.where(hole[..., None], 0, image), (*pad, (0, 0)), mode="reflect")
    np.testing.assert_allclose(shown[0].permute(1, 2, 0).numpy(), visible)


def test_a_small_picture_is_shown_whole_and_a_hole_in_a_large_one_with_a_margin():
    generator = Paints(multiple=32)
    Predictor(generator, tile=512)(np.zeros((500, 300, 3), np.uint8), square(500, 300))
    Predictor(generator, tile=512)(np.zeros((2000, 3000, 3), np.uint8), square(2000, 3000, 900, 1500, 200))
    assert [tuple(image.shape[-2:]) for image, _ in generator.shown] == [(512, 320), (416, 416)]
    assert generator.shown[1][1].sum() == 200**2
    assert generator.shown[1][1][..., 108:308, 108:308].all(), "in the middle"


def test_holes_far_apart_are_shown_apart_and_each_is_filled():
    image, hole = np.zeros((900, 1400, 3), np.uint8), square(900, 1400, 0, 0, 30)
    hole |= square(900, 1400, 860, 1360, 40) | square(900, 1400, 40, 90, 30)
    generator = Paints()
    (filled,) = Predictor(generator, tile=256)(image, hole)
    assert len(generator.shown) == 2, "the two in the upper left corner are in sight of each other"
    assert (filled[hole] == (255, 0, 0)).all() and not filled[~hole].any()


def test_neighbouring_holes_that_do_not_fit_into_one_part_are_both_filled():
    hole = square(400, 900, 100, 100, 150) | square(400, 900, 100, 290, 150)
    generator = Paints()
    (filled,) = Predictor(generator, tile=256)(np.zeros((400, 900, 3), np.uint8), hole)
    assert len(generator.shown) == 2 and (filled[hole] == (255, 0, 0)).all()


def test_thousands_of_specks_are_filled():
    hole = np.zeros((600, 800), bool)
    hole[5::20, 5::20] = True
    (filled,) = Predictor(Paints(), tile=256)(np.zeros((600, 800, 3), np.uint8), hole)
    assert (filled[hole] == (255, 0, 0)).all() and not filled[~hole].any()


@pytest.mark.parametrize("overlap", [0, 16, 64])
def test_tiles_leave_no_seam(overlap):
    image, hole = ramp(300, 500), np.zeros((300, 500), bool)
    hole[140:150, 20:480] = True  # a wire across the picture
    generator = Ramp()
    (filled,) = Predictor(generator, tile=128, overlap=overlap, strategy="tile")(
        np.where(hole[..., None], 0, image), hole
    )
    assert len(generator.shown) >= 4 and all(mask.shape[-1] == 128 for _, mask in generator.shown)
    np.testing.assert_allclose(filled, image, atol=2e-5)


def test_tiles_that_disagree_are_blended_over_the_overlap():
    class Counts(Paints):
        def forward(self, image, mask):
            self.colour = (float(len(self.shown) % 2),) * 3
            return super().forward(image, mask)

    hole = np.zeros((128, 448), bool)
    hole[60:64] = True
    (filled,) = Predictor(Counts(), tile=128, overlap=64, strategy="tile")(np.zeros((128, 448), np.float32), hole)
    steps = np.abs(np.diff(filled[62]))
    assert filled[62].min() == 0 and filled[62].max() == 1
    assert steps.max() <= 1 / 64, "no step larger than the ramp's"


def test_automatic_choice_tiles_thin_holes_and_scales_thick_ones():
    thin, thick = np.zeros((2, 600, 900), bool)
    thin[300:340] = True
    thick[200:400, 300:540] = True
    wire, block = Ramp(), Ramp()
    image = ramp(600, 900)
    (across,) = Predictor(wire, tile=256)(image, thin)
    with pytest.warns(PredictorWarning, match="filled at 53% of its size"):
        (scaled,) = Predictor(block, tile=256)(image, thick)
    assert len(wire.shown) > 3 and len(block.shown) == 1
    assert max(block.shown[0][0].shape[-2:]) == 256
    np.testing.assert_allclose(across, image, atol=2e-5)
    np.testing.assert_allclose(scaled, image, atol=4e-3)


def test_a_hole_larger_than_a_tile_is_scaled_even_if_tiles_are_asked_for():
    hole = square(700, 700, 100, 100, 500)
    generator = Ramp()
    (filled,) = Predictor(generator, tile=128, strategy="tile")(ramp(700, 700), hole)
    assert len(generator.shown) == 1 and max(generator.shown[0][0].shape[-2:]) == 128
    np.testing.assert_allclose(filled, ramp(700, 700), atol=1e-2)


def test_batches_of_tiles_change_nothing():
    image, hole = np.random.default_rng(0).random((200, 500, 3), dtype=np.float32), np.zeros((200, 500), bool)
    hole[90:100] = True
    one, many = Diffusion(), Diffusion()
    (first,) = Predictor(one, tile=128, strategy="tile")(image, hole)
    (second,) = Predictor(many, tile=128, strategy="tile", batch_size=3)(image, hole)
    np.testing.assert_allclose(first, second, atol=1e-6)
