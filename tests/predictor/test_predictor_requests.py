"""The Predictor's memory, masks, samples and guidance, against generators whose fill is known."""

import warnings

import numpy as np
import pytest
import torch
import yaml
from mask_toys import draw
from PIL import Image
from predictor_toys import Draws, Limited, Paints, noise, square

from inpaintzoo import ConfigError, DataError, InpaintzooError, Predictor, PredictorWarning, save_model
from inpaintzoo.data import masks as masks_room
from inpaintzoo.data.masks import CentreSquare, FreeForm, PENNetSquare
from inpaintzoo.models import PENNet
from inpaintzoo.predictor.holes import is_compact
from inpaintzoo.weights.checkpoints import read_checkpoint

MODES = ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "I;16", "I", "F"]


# -- memory ----------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:a large hole is filled at")
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


@pytest.mark.filterwarnings("ignore:a large hole is filled at")
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
        "array 0/255": grey,
        "array 0/1": grey // 255,
        "array of floats": hole.astype(float)[..., None],
        "tensor": torch.from_numpy(hole)[None].float(),
    }


@pytest.mark.filterwarnings("ignore:.*black is taken as the hole")
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


def test_polarity_counts_and_is_asked_for_if_unclear(tmp_path):
    image, drawn = noise("RGB"), Image.new("L", (50, 40))
    drawn.paste(255, (0, 0, 25, 40))
    half = tmp_path / "half.png"
    drawn.save(half)
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


def test_a_file_with_a_black_hole_is_read_so_with_a_note_and_in_memory_white_is_the_hole(tmp_path):
    image, levels = noise("RGB"), np.where(square(), 0, 255).astype(np.uint8)
    Image.fromarray(levels).save(tmp_path / "mask.png")
    predictor = Predictor(Paints((0, 1, 0)))
    with pytest.warns(UserWarning, match=r"mask.png: black is taken as the hole \(\d+%\); --polarity white"):
        changed = (np.array(predictor(image, tmp_path / "mask.png")[0]) != np.array(image)).any(axis=-1)
    np.testing.assert_array_equal(changed, square())
    for mask in (levels, Image.fromarray(levels)):
        changed = (np.array(predictor(image, mask)[0]) != np.array(image)).any(axis=-1)
        np.testing.assert_array_equal(changed, ~square())


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
        ({"batch_size": 2.0}, "batch_size must be a whole number"),
        ({"batch_size": float("nan")}, "batch_size must be a whole number"),
        ({"max_memory": float("inf")}, "max_memory"),
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


@pytest.mark.filterwarnings("ignore:guidance leaves places in the hole")
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


# -- what a model was trained on --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("masks", "warns"), [("CentreSquare", True), ("PENNetSquare", True), ("FreeForm", False), ("Mine", False)]
)
def test_a_model_of_squares_says_so_once_when_it_gets_a_stroke(masks, warns, tmp_path):
    save_model(PENNet(width=4), tmp_path / "net.safetensors", facts={"masks": masks})
    predictor = Predictor(tmp_path / "net.safetensors")
    image, stroke = np.zeros((100, 120, 3), np.uint8), np.zeros((100, 120), bool)
    stroke[np.arange(80), np.arange(80)] = True
    scratch = np.zeros((2048, 3000), bool)
    scratch[1001:1003, 200:2800] = True
    disc = np.hypot(*np.mgrid[-50:50, -60:60]) < 20
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always")
        for hole in (square(100, 120), disc, square(100, 120) | square(100, 120, 70, 80)):
            predictor(image, hole)
        assert [str(note.message) for note in notes] == []
        predictor(image, stroke)
        predictor(image, stroke)
        assert not is_compact(scratch) and is_compact(np.kron(disc, np.ones((20, 20), bool)))
    said = [str(note.message) for note in notes]
    sentence = f"net.safetensors was trained on {masks} holes; strokes and scratches may come out worse"
    assert [text[-len(sentence) :] for text in said] == [sentence] * warns


@pytest.mark.parametrize(
    ("masks", "least", "most"), [(FreeForm(), 0, 2), (PENNetSquare(), 16, 16), (CentreSquare(), 16, 16)]
)
def test_free_form_holes_are_not_taken_for_squares(masks, least, most):
    assert least <= sum(is_compact(draw(masks, 128, 128, index=i)[0].numpy() > 0) for i in range(16)) <= most


class Holes(CentreSquare):
    """A user's own mask class, which is not the package's."""


def test_a_users_own_compact_masks_count_too(tmp_path):
    run = tmp_path / "run"
    masks = {"class_path": f"{__name__}.Holes", "init_args": {}}
    (run / "checkpoints").mkdir(parents=True)
    config = {"data": {"class_path": "inpaintzoo.data.ScenesData", "init_args": {"masks": masks}}}
    settings = {"seed_everything": 0, "model": {}, "trainer": {"precision": "32-true"}, **config}
    (run / "config.yaml").write_text(yaml.safe_dump(settings))
    torch.save({"inpainter": {"iteration": 3}, "state_dict": {}}, run / "checkpoints" / "last.ckpt")
    facts = read_checkpoint(run / "checkpoints" / "last.ckpt").facts()
    assert (facts["data"], facts["masks"]) == ("ScenesData", f"{__name__}.Holes")
    save_model(PENNet(width=4), tmp_path / "net.safetensors", facts=facts)
    stroke = np.eye(100, 120) > 0
    with pytest.warns(PredictorWarning, match=r"was trained on [\w.]+\.Holes holes; strokes and scratches may"):
        Predictor(tmp_path / "net.safetensors")(np.zeros((100, 120, 3), np.uint8), stroke)
    with pytest.warns(DeprecationWarning, match="mask_classes"):
        assert f"{__name__}.Holes" in masks_room.MASK_CLASSES
