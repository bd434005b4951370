"""Resize policies against pixel positions worked out by hand and against resize-then-crop in two steps."""

import numpy as np
import pytest
import torch
from PIL import Image

from inpaintzoo.data.transforms import (
    ColourJitter,
    Crop,
    RandomCrop,
    ResizeTo,
    ShortSideThenCrop,
    SquareThenResize,
    flip_pair,
)


def _picture(height: int, width: int, seed: int = 0) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 4 + 1, width // 4 + 1, 3), np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BILINEAR)


def _positions(height: int, width: int) -> np.ndarray:
    return np.arange(height)[:, None] * 1000 + np.arange(width)


def _cut(policy, image: Image.Image, rng=None) -> np.ndarray:
    view = policy.plan(image.height, image.width, rng)
    return view.cut_image(image, policy.resample).permute(1, 2, 0).mul(255).round().numpy().astype(int)


def test_random_crop_takes_whole_pixels():
    image = _picture(40, 50)
    pixels = np.asarray(image)
    np.testing.assert_array_equal(_cut(RandomCrop((20, 30)), image), pixels[10:30, 10:40])  # the centre
    view = RandomCrop((20, 30)).plan(40, 50, np.random.default_rng(5))
    draw = np.random.default_rng(5)
    top, left = draw.integers(21), draw.integers(21)
    assert view == Crop((top, left, top + 20, left + 30), (20, 30))


def test_random_crops_reach_every_position_and_no_further():
    rng = np.random.default_rng(0)
    tops = {RandomCrop(8).plan(10, 11, rng).box[:2] for _ in range(400)}
    assert tops == {(top, left) for top in range(3) for left in range(4)}


def test_random_crop_enlarges_small_pictures_until_they_cover_it():
    view = RandomCrop(64).plan(32, 100, None)
    assert view.size == (64, 64) and view.shrink == 0.5
    assert view.box == (0.0, 34.0, 32.0, 66.0)  # enlarged twice to 64x200, crop from column 68 on


def test_resize_to_whole_picture():
    image = _picture(31, 47)
    expected = np.asarray(image.resize((20, 10), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(_cut(ResizeTo((10, 20)), image), expected)
    assert ResizeTo(256).plan(31, 47, np.random.default_rng(0)) == Crop((0, 0, 31, 47), (256, 256))


@pytest.mark.parametrize("height, width, box", [(30, 50, (0, 10, 30, 40)), (51, 30, (10, 0, 40, 30))])
def test_square_then_resize(height, width, box):
    assert SquareThenResize(16).plan(height, width, None).box == box
    image = _picture(height, width)
    top, left, bottom, right = box
    in_two_steps = image.resize((16, 16), Image.Resampling.BICUBIC, box=(left, top, right, bottom))
    np.testing.assert_array_equal(_cut(SquareThenResize(16), image), np.asarray(in_two_steps))


@pytest.mark.parametrize("height, width", [(100, 151), (333, 100), (40, 64)])
@pytest.mark.parametrize("seed", [None, 3])
def test_short_side_then_crop_equals_resizing_and_cropping(height, width, seed):
    image = _picture(height, width)
    scale = 64 / min(height, width)
    resized = np.asarray(image.resize((round(width * scale), round(height * scale)), Image.Resampling.BICUBIC))
    room = (resized.shape[0] - 48, resized.shape[1] - 48)
    draw = np.random.default_rng(seed)
    top, left = (
        (room[0] // 2, room[1] // 2) if seed is None else (draw.integers(room[0] + 1), draw.integers(room[1] + 1))
    )
    rng = None if seed is None else np.random.default_rng(seed)
    cut = _cut(ShortSideThenCrop(64, 48), image, rng)
    assert np.abs(cut - resized[top : top + 48, left : left + 48].astype(int)).max() <= 1


def test_short_side_then_centre_crop_in_training():
    policy = ShortSideThenCrop(64, 32, position="centre")
    assert policy.plan(100, 200, np.random.default_rng(0)) == policy.plan(100, 200, None)


def test_same_generator_same_view_other_generator_other_view():
    policy = ShortSideThenCrop(64)
    first = policy.plan(90, 300, np.random.default_rng(1))
    assert first == policy.plan(90, 300, np.random.default_rng(1))
    assert first != policy.plan(90, 300, np.random.default_rng(2))


def test_labels_take_the_nearest_pixel():
    labels = _positions(6, 9)
    halved = ResizeTo((2, 3)).plan(6, 9, None).cut_labels(labels, (6, 9))
    np.testing.assert_array_equal(halved, labels[1::3, 1::3])  # centres of 3x3 blocks
    doubled = ResizeTo((12, 18)).plan(6, 9, None).cut_labels(labels, (6, 9))
    np.testing.assert_array_equal(doubled, labels.repeat(2, 0).repeat(2, 1))
    cropped = RandomCrop(4).plan(6, 9, None).cut_labels(labels, (6, 9))
    np.testing.assert_array_equal(cropped, labels[1:5, 2:6])


def test_labels_of_another_resolution():
    labels = _positions(4, 6)
    view = Crop((2.0, 4.0, 6.0, 12.0), (2, 4))  # of an 8x12 picture: rows 1 to 3, columns 2 to 6 of the labels
    np.testing.assert_array_equal(view.cut_labels(labels, (8, 12)), labels[1:3, 2:6])


@pytest.mark.parametrize(
    "policy", [ResizeTo((24, 40)), SquareThenResize(24), ShortSideThenCrop(30, 24), RandomCrop(24), RandomCrop(80)]
)
@pytest.mark.parametrize("seed", [None, 0, 1])
def test_image_and_labels_show_the_same_part(policy, seed):
    """A picture that is its own label map: both cuts agree wherever the picture is flat."""
    blocks = np.kron(np.random.default_rng(7).integers(0, 2, (6, 9)), np.ones((10, 10))).astype(np.uint8) * 200
    image = Image.fromarray(np.repeat(blocks[..., None], 3, -1))
    view = policy.plan(60, 90, None if seed is None else np.random.default_rng(seed))
    cut, labels = view.cut_image(image, "bilinear")[0] * 255, view.cut_labels(blocks, (60, 90))
    assert ((cut > 100).numpy() == (labels > 100)).mean() > 0.98


def test_a_picture_decoded_smaller_gives_the_same_view():
    image = _picture(128, 160)
    view = RandomCrop(16).plan(128, 160, np.random.default_rng(0))
    view = Crop(view.box, (4, 4))
    half = image.reduce(2)
    assert (view.cut_image(image) - view.cut_image(half, divisor=2)).abs().max() < 0.03


def test_filters_differ_and_unknown_ones_are_refused():
    image = _picture(64, 64)
    assert not np.array_equal(_cut(ResizeTo(20, "bicubic"), image), _cut(ResizeTo(20, "box"), image))
    with pytest.raises(ValueError, match=r"resample.*cubic"):
        ResizeTo(20, "cubic")  # type: ignore[arg-type]


def test_bad_sizes_are_refused():
    with pytest.raises(ValueError, match=r"ResizeTo: size.*0"):
        ResizeTo(0)
    with pytest.raises(ValueError, match="crop of 300x10 does not fit short_side=256"):
        ShortSideThenCrop(256, (300, 10))
    with pytest.raises(ValueError, match=r"position.*middle"):
        ShortSideThenCrop(256, position="middle")  # type: ignore[arg-type]


def test_colour_jitter_depends_on_the_generator_only_and_stays_in_range():
    image = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(0))
    before = image.clone()
    jitter = ColourJitter(0.5, 0.5, 0.5, 0.5)
    one, again, other = (jitter(image, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert torch.equal(one, again) and not torch.equal(one, other)
    assert torch.equal(image, before)
    assert one.min() >= 0.0 and one.max() <= 1.0


def test_colour_jitter_brightness_multiplies_within_its_range():
    image = torch.full((3, 4, 4), 0.4)
    jitter = ColourJitter(brightness=0.2, contrast=0.0, saturation=0.0, hue=0.0)
    factors = np.array([jitter(image, np.random.default_rng(seed))[0, 0, 0].item() / 0.4 for seed in range(200)])
    assert 0.8 <= factors.min() < 0.82 and 1.18 < factors.max() <= 1.2
    off = ColourJitter(0.0, 0.0, 0.0, 0.0)
    assert torch.equal(off(image, np.random.default_rng(0)), image)


def test_colour_jitter_refuses_bad_ranges():
    with pytest.raises(ValueError, match=r"hue must lie in \[0, 0.5\], got 0.6"):
        ColourJitter(hue=0.6)


def test_flip_pair_mirrors_both():
    image, labels = torch.arange(12.0).view(1, 3, 4).expand(3, -1, -1), torch.arange(12).view(3, 4)
    flipped, flipped_labels = flip_pair(image, labels)
    assert flipped[0, 0].tolist() == [3, 2, 1, 0] and flipped_labels[0].tolist() == [3, 2, 1, 0]
    assert flip_pair(image, None)[1] is None
