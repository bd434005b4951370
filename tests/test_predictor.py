"""The Predictor against generators whose fill is known: kinds of pictures, sizes, parts, memory, masks."""

import warnings

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from inpaintzoo import ConfigError, DataError, InpaintzooError, Predictor, PredictorWarning
from inpaintzoo.fills import Diffusion
from inpaintzoo.generator import Generator
from inpaintzoo.models import PENNet
from inpaintzoo.types import Output

MODES = ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "I;16", "I", "F"]


class Paints(Generator):
    """Fills with one colour, and notes what it was shown."""

    def __init__(self, colour=(1.0, 0.0, 0.0), multiple=8, least=1):
        super().__init__()
        self.colour, self.size_multiple, self.smallest_side = colour, multiple, least
        self.shown = []

    def forward(self, image, mask):
        self.check_size(image, mask)
        self.shown.append((image.clone(), mask.clone()))
        return Output(torch.tensor(self.colour).view(1, 3, 1, 1).expand_as(image).clone())


class Ramp(Paints):
    """Continues a horizontal ramp, from the known pixels' least-squares line, row by row alike."""

    def forward(self, image, mask):
        super().forward(image, mask)
        places = torch.arange(image.shape[-1], dtype=torch.float64).expand_as(mask)
        known = mask == 0
        line = torch.stack([places[known], torch.ones_like(places[known])], dim=1)
        slope, start = torch.linalg.lstsq(line, image[:, :1][known].double()[:, None]).solution.flatten()
        return Output((slope * places + start).float().expand_as(image).clone())


class Draws(Paints):
    """Stochastic: uniform noise over the frame."""

    stochastic = True

    def sample(self, image, mask, n, generator=None):
        self.shown.append((image.clone(), mask.clone()))
        noise = [torch.rand(n, *image.shape[1:], generator=source) for source in generator]
        return torch.stack(noise)


class Limited(Paints):
    """Runs out of memory for more pixels than this, in one of the ways that frameworks have."""

    def __init__(self, most, error):
        super().__init__()
        self.most, self.error = most, error

    def forward(self, image, mask):
        if image.shape[-2] * image.shape[-1] > self.most:
            raise self.error
        return super().forward(image, mask)


def noise(mode, height=40, width=50, seed=0):
    rng = np.random.default_rng(seed)
    if mode == "I;16":
        return Image.fromarray(rng.integers(0, 65536, (height, width), dtype=np.uint16))
    if mode == "I":
        return Image.fromarray(rng.integers(0, 65536, (height, width), dtype=np.int32))
    if mode == "F":
        return Image.fromarray(rng.random((height, width), dtype=np.float32))
    colours = Image.fromarray(rng.integers(0, 256, (height, width, 4), dtype=np.uint8))
    if mode == "P":
        return colours.convert("RGB").quantize(40)
    return colours if mode == "RGBA" else colours.convert("LA" if mode == "LA" else "RGB").convert(mode)


def square(height=40, width=50, top=10, left=12, side=9):
    hole = np.zeros((height, width), dtype=bool)
    hole[top : top + side, left : left + side] = True
    return hole


def ramp(height, width):
    return np.broadcast_to(np.linspace(0.1, 0.9, width, dtype=np.float32)[None, :, None], (height, width, 3)).copy()


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
    (filled,) = Predictor(Diffusion(tolerance=1e-7))(deep, hole)
    # Of 8 bits there would be two levels; a ramp is harmonic, and its continuation exact.
    assert np.abs(filled.astype(int) - deep).max() <= 2


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
    np.testing.assert_allclose(first, second, atol=2e-3)  # diffusion's own tolerance, twice


# -- memory ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
    ],
)
@pytest.mark.parametrize("strategy", ["auto", "pad", "crop", "tile", "resize"])
def test_out_of_memory_goes_on_with_less(error, strategy):
    generator = Limited(150 * 150, error)
    hole = square(600, 600, 100, 100, 300)
    predictor = Predictor(generator, tile=512, strategy=strategy)
    with pytest.warns(PredictorWarning, match="memory ran out for"):
        (filled,) = predictor(np.zeros((600, 600, 3), np.uint8), hole)
    # What was made at a smaller scale passes gently into its surroundings.
    assert (filled[130:370, 130:370] == (255, 0, 0)).all() and not filled[~hole].any()


def test_too_little_memory_is_said():
    with pytest.warns(PredictorWarning), pytest.raises(InpaintzooError, match="memory runs out even for 64 pixels"):
        Predictor(Limited(0, MemoryError()), tile=256)(np.zeros((300, 300, 3), np.uint8), square(300, 300))


def test_other_errors_are_not_taken_for_memory():
    with pytest.raises(RuntimeError, match="shapes"):
        Predictor(Limited(0, RuntimeError("shapes do not fit")))(np.zeros((40, 50, 3), np.uint8), square())


def test_less_memory_means_smaller_parts():
    generator = PENNet(width=4).eval()
    hole = square(900, 900, 100, 100, 500)
    sides = []
    generator.register_forward_pre_hook(lambda _, args: sides.append(max(args[0].shape[-2:])))
    for memory in (0.6, 3.0):
        Predictor(generator, max_memory=memory)(np.zeros((900, 900, 3), np.uint8), hole)
    assert sides[0] == 256 and sides[1] > 256


# -- masks -----------------------------------------------------------------------------------------------------------


def images_of(hole):
    grey = np.where(hole, 255, 0).astype(np.uint8)
    clear = np.stack([np.zeros_like(grey)] * 3 + [grey], axis=-1)
    erased = np.random.default_rng(0).integers(0, 256, (*hole.shape, 4), dtype=np.uint8)
    erased[..., 3] = 255 - grey
    return {
        "L": Image.fromarray(grey),
        "1": Image.fromarray(hole),
        "RGB": Image.fromarray(grey).convert("RGB"),
        "P": Image.fromarray(grey).convert("P"),
        "I;16": Image.fromarray(grey.astype(np.uint16) * 257),
        "brush on an empty layer": Image.fromarray(clear),
        "erased": Image.fromarray(erased),
        "black hole": Image.fromarray(255 - grey),
        "array 0/255": grey,
        "array 0/1": grey // 255,
        "array of floats": hole.astype(float)[..., None],
        "tensor": torch.from_numpy(hole)[None].float(),
    }


@pytest.mark.parametrize("kind", list(images_of(square())))
def test_masks_of_every_kind(kind, tmp_path):
    hole = square()
    image, mask = noise("RGB"), images_of(hole)[kind]
    changed = (np.array(Predictor(Paints((0, 1, 0)))(image, mask)[0]) != np.array(image)).any(axis=-1)
    np.testing.assert_array_equal(changed, hole)
    if isinstance(mask, Image.Image):
        mask.save(tmp_path / "mask.png")
        again = Predictor(Paints((0, 1, 0)))(image, tmp_path / "mask.png")[0]
        np.testing.assert_array_equal((np.array(again) != np.array(image)).any(axis=-1), hole)


def test_polarity_counts_and_is_asked_for_if_unclear():
    image, half = noise("RGB"), Image.new("L", (50, 40))
    half.paste(255, (0, 0, 25, 40))
    predictor = Predictor(Paints((0, 1, 0)))
    with pytest.raises(DataError, match=r"50% of the pixels are white.*polarity"):
        predictor(image, half)
    left, right = (np.array(predictor(image, half, polarity=colour)[0]) for colour in ("white", "black"))
    np.testing.assert_array_equal(left[:, 25:], np.array(image)[:, 25:])
    np.testing.assert_array_equal(right[:, :25], np.array(image)[:, :25])
    assert (left[:, :25] == (0, 255, 0)).all() and (right[:, 25:] == (0, 255, 0)).all()
    most = np.ones((40, 50), bool)
    most[:, :5] = False
    assert (np.array(predictor(image, most)[0])[most] == (0, 255, 0)).all(), "an array's hole is where it is 1"


@pytest.mark.parametrize("mask", [np.zeros((40, 50)), Image.new("L", (50, 40)), torch.zeros(1, 40, 50)])
def test_an_empty_mask_returns_the_picture_and_says_so(mask):
    generator, image = Paints(), noise("RGB")
    with pytest.warns(PredictorWarning, match="no hole"):
        (filled,) = Predictor(generator)(image, mask, grow=3)
    assert not generator.shown and filled.tobytes() == image.tobytes()


@pytest.mark.parametrize("mask", [np.ones((40, 50)), Image.new("L", (50, 40), 255)])
@pytest.mark.parametrize("tile", [64, 512])
def test_a_full_mask_is_filled_with_a_warning(mask, tile):
    with pytest.warns(PredictorWarning, match="whole picture is hole"):
        (filled,) = Predictor(Paints(), tile=tile)(noise("RGB"), mask)
    assert (np.array(filled) == (255, 0, 0)).all()


def test_grow_adds_pixels_on_every_side():
    image, hole = noise("RGB"), square(side=9, top=0)
    changed = (np.array(Predictor(Paints((0, 1, 0)))(image, hole, grow=4)[0]) != np.array(image)).any(axis=-1)
    expected = np.zeros_like(hole)
    expected[0:13, 8:25] = True
    np.testing.assert_array_equal(changed, expected)


def test_a_mask_of_the_same_proportions_is_scaled_and_others_are_refused():
    image, small = noise("RGB", 80, 100), square(40, 50)
    with pytest.warns(UserWarning, match="scaled from 50x40"):
        changed = np.array(Predictor(Paints((0, 1, 0)))(image, small)[0]) != np.array(image)
    np.testing.assert_array_equal(changed.any(axis=-1), np.kron(small, np.ones((2, 2), bool)))
    with pytest.raises(DataError, match="40 pixels wide and 50 high, but its picture is 50 and 40"):
        Predictor(Paints())(noise("RGB"), small.T)


@pytest.mark.parametrize(
    ("mask", "options", "message"),
    [
        (np.zeros((40, 50, 3)), {}, r"a mask must be"),
        (np.full((40, 50), np.nan), {}, "0 to 1, 255"),
        (Image.new("L", (50, 40), 1), {}, "values 0 and 1"),
        (square(), {"grow": -1}, "grow must"),
        (square(), {"polarity": "grey"}, "polarity must"),
        (square(), {"samples": 0}, "samples must"),
        (square(), {"samples": 2}, "deterministic"),
        (square(), {"guidance": square()}, "no patch attention"),
    ],
)
def test_what_cannot_be_asked_for_is_said(mask, options, message):
    with pytest.raises(InpaintzooError, match=message):
        Predictor(Paints())(noise("RGB"), mask, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strategy": "magic"}, "strategy must be one of auto"),
        ({"tile": 10}, "tile must be at least 64"),
        ({"overlap": -1}, "overlap"),
        ({"max_memory": 0}, "max_memory"),
        ({"batch_size": 0}, "batch_size"),
        ({"precision": "half"}, "precision must be one of float32"),
        ({"device": "cpu", "precision": "float16"}, "needs a GPU"),
        ({"device": "abacus"}, "abacus cannot be used"),
    ],
)
def test_settings_that_are_not_allowed_are_named(options, message):
    with pytest.raises(ConfigError, match=message):
        Predictor(Paints(), **options)


# -- samples, guidance, precision ------------------------------------------------------------------------------------


def test_samples_differ_and_depend_on_the_seed_only():
    image, hole = noise("RGB"), square()
    predictor = Predictor(Draws())
    five = [np.array(filled) for filled in predictor(image, hole, samples=5, seed=7)]
    assert len({filled.tobytes() for filled in five}) == 5
    two = [np.array(filled) for filled in predictor(image, hole, samples=2, seed=7)]
    other = np.array(predictor(image, hole, seed=8)[0])
    np.testing.assert_array_equal(two, five[:2])
    assert (other != five[0]).any()
    assert all((filled[~hole] == np.array(image)[~hole]).all() for filled in five)


class Copies(Paints):
    """Notes its guidance."""

    accepts_guidance = True

    def forward(self, image, mask, guidance=None):
        self.guidance = guidance
        self.read_guidance(guidance, mask)
        return super().forward(image, mask)


def test_guidance_reaches_the_generator_in_every_form():
    image, hole, generator = noise("RGB", 64, 64), square(64, 64), Copies()
    permission = np.zeros((64, 64), np.uint8)
    permission[:, 30:] = 255
    classes = Image.fromarray(permission // 255 * 3).convert("P")
    classes.putdata((permission // 255 * 3).flatten().tolist())
    predictor = Predictor(generator)
    for guidance, expected in [
        (Image.fromarray(permission), torch.float32),
        (permission > 0, torch.bool),
        (torch.from_numpy(permission / 255)[None], torch.float32),
        (classes, torch.int64),
        ((permission // 255 * 3).astype(np.int32), torch.int64),
    ]:
        predictor(image, hole, guidance=guidance)
        assert generator.guidance.dtype == expected and generator.guidance.shape == (1, 1, 64, 64)
        scale = 3 if expected == torch.int64 else 1
        assert torch.equal(generator.guidance[0, 0].float(), torch.from_numpy(permission / 255).float() * scale)
    with pytest.raises(DataError, match="brightest level is 3 of 255"):
        predictor(image, hole, guidance=Image.fromarray(permission // 255 * 3))
    with pytest.raises(DataError, match="height and width"):
        predictor(image, hole, guidance=permission[:10])


def test_what_is_partly_forbidden_stays_forbidden_when_scaled():
    hole, generator = square(256, 256, 64, 64, 120), Copies()
    permission = np.ones((256, 256), np.float32)
    permission[200, 200] = 0
    Predictor(generator, strategy="resize", tile=64)(noise("RGB", 256, 256), hole, guidance=permission)
    shown = generator.guidance[0, 0]
    assert max(shown.shape) == 64 and (shown == 0).sum() == 1
    Predictor(generator, strategy="resize", tile=64)(noise("RGB", 256, 256), hole, guidance=permission > 0)
    assert generator.guidance.dtype == torch.bool and (~generator.guidance).sum() == 1


def test_a_real_network_with_guidance_and_odd_sizes():
    torch.manual_seed(0)
    network = PENNet(width=4)
    image, hole = noise("RGB", 70, 90), square(70, 90)
    guidance = np.zeros((70, 90), bool)
    guidance[:, 45:] = True
    plain, guided = (np.array(Predictor(network)(image, hole, guidance=g)[0]) for g in (None, guidance))
    np.testing.assert_array_equal(guided[~hole], np.array(image)[~hole])
    assert (plain[hole] != guided[hole]).any()


def test_reduced_precision_keeps_known_pixels():
    torch.manual_seed(0)
    image, hole = noise("RGB", 64, 64), square(64, 64)
    (filled,) = Predictor(PENNet(width=4), device="cpu", precision="bfloat16")(image, hole)
    np.testing.assert_array_equal(np.array(filled)[~hole], np.array(image)[~hole])


def test_a_fill_that_is_not_finite_is_refused():
    with pytest.raises(InpaintzooError, match="not finite"):
        Predictor(Paints((float("nan"), 0, 0)))(noise("RGB"), square())
