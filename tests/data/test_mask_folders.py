"""Masks from files: polarity, order, archives, and messages about files that cannot be used."""

import json
import os
import warnings

import numpy as np
import pytest
import torch
from mask_toys import draw
from picture_files import texts
from PIL import Image, ImageDraw
from scipy.ndimage import binary_dilation

from inpaintzoo.data.masks import (
    CentreSquare,
    FreeForm,
    LimitedMask,
    MaskFolder,
    MixedMasks,
    mask_from_recipe,
)
from inpaintzoo.types import DataError


def write(path, hole, white_hole=True, mode="L"):
    """A mask file; `hole` is a boolean array, or rows of hole in a 20x20 mask."""
    if isinstance(hole, int):
        rows, hole = hole, np.zeros((20, 20), dtype=bool)
        hole[:rows] = True
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.where(hole == white_hole, 255, 0).astype(np.uint8)).convert(mode).save(path)


def folder_of(path, rows, **how):
    for i, row in enumerate(rows):
        write(path / f"{i:03d}.png", row, **how)
    return path


@pytest.mark.parametrize("white_hole", [True, False])
@pytest.mark.parametrize("mode", ["L", "RGB", "1", "P", "RGBA"])
def test_auto_polarity_takes_the_rarer_colour_and_says_so(tmp_path, white_hole, mode):
    masks = MaskFolder(folder_of(tmp_path, [2, 4, 6], white_hole=white_hole, mode=mode), order="index")
    assert masks.polarity == ("white" if white_hole else "black")
    assert [draw(masks, 20, 20, index=i).mean().item() for i in range(3)] == pytest.approx([0.1, 0.2, 0.3])
    (finding,) = masks.check()
    assert finding.level == "ok"
    assert f"3 files, {masks.polarity} is hole (the rarer colour), 20.0% hole over 3 files" in finding.text


def test_an_unclear_polarity_asks_for_one(tmp_path):
    folder_of(tmp_path, [9, 10, 11])
    with pytest.raises(DataError, match=r"3 files: 50% of the pixels are white.*set polarity to white or black"):
        MaskFolder(tmp_path)
    assert draw(MaskFolder(tmp_path, polarity="white", order="index"), 20, 20).mean() == pytest.approx(0.45)
    assert draw(MaskFolder(tmp_path, polarity="black", order="index"), 20, 20).mean() == pytest.approx(0.55)


def test_much_hole_is_a_warning_of_the_check_alone(tmp_path):
    folder_of(tmp_path, [2, 4], white_hole=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = MaskFolder(tmp_path, polarity="black").check()
    assert [finding.level for finding in found] == ["ok", "warning"]
    assert "85% hole is a lot; if white is the hole, set polarity white" in found[1].text
    assert [finding.level for finding in MaskFolder(tmp_path, polarity="white").check()] == ["ok"]


def test_single_inverted_and_empty_files_are_pointed_out(tmp_path):
    folder_of(tmp_path, [1, 1, 1, 1, 18, 0])
    text = texts(MaskFolder(tmp_path).check(), "warning")
    assert "1 of 6 files have more than 70 % hole" in text
    assert "1 of 6 files have no hole at all" in text


def test_jpeg_masks_warn_with_the_threshold(tmp_path):
    write(tmp_path / "a.jpg", 4)
    masks = MaskFolder(tmp_path, threshold=0.7)
    (text,) = [finding.text for finding in masks.check() if finding.level == "warning"]
    assert "1 files are JPEGs, whose edges are grey;" in text and "above 0.7 of the way to white" in text
    assert set(draw(masks, 20, 20).unique().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize(("polarity", "threshold", "hole"), [("white", 0.5, 2), ("white", 0.7, 1), ("white", 0.2, 3)])
def test_the_threshold_counts_from_the_other_colour(tmp_path, polarity, threshold, hole):
    grey = np.zeros((10, 10), dtype=np.uint8)
    grey[0], grey[1], grey[2] = 255, 153, 77  # 1, 0.6, 0.302
    Image.fromarray(grey).save(tmp_path / "m.png")
    assert draw(MaskFolder(tmp_path, polarity, threshold), 10, 10).sum() == 10 * hole
    Image.fromarray(255 - grey).save(tmp_path / "m.png")
    assert draw(MaskFolder(tmp_path, "black", threshold), 10, 10).sum() == 10 * hole


def test_sixteen_bit_masks_keep_their_scale(tmp_path):
    deep = np.zeros((10, 10), dtype=np.uint16)
    deep[:2] = 65535
    deep[2:4] = 20000  # above 255, yet far from white
    Image.fromarray(deep).save(tmp_path / "m.png")
    assert draw(MaskFolder(tmp_path), 10, 10).sum() == 20


def test_dilation_grows_a_pixel_to_a_square_and_stops_at_the_border(tmp_path):
    hole = np.zeros((15, 15), dtype=bool)
    hole[7, 7] = hole[0, 0] = True
    write(tmp_path / "m.png", hole)
    expected = torch.zeros(15, 15)
    expected[4:11, 4:11] = 1
    expected[:4, :4] = 1
    assert torch.equal(draw(MaskFolder(tmp_path, dilation=3), 15, 15)[0], expected)
    grown = {int(draw(MaskFolder(tmp_path, dilation=(0, 2)), 15, 15, index=i)[0, 7].sum()) for i in range(40)}
    assert grown == {1, 3, 5}


def test_flips_show_all_four_mirror_images(tmp_path):
    hole = np.zeros((6, 6), dtype=bool)
    hole[0, 1] = True
    write(tmp_path / "m.png", hole)
    masks = MaskFolder(tmp_path, flips=True)
    places = {tuple(draw(masks, 6, 6, index=i)[0].nonzero()[0].tolist()) for i in range(60)}
    assert places == {(0, 1), (0, 4), (5, 1), (5, 4)}


def test_nearest_keeps_the_ratio_and_any_keeps_the_thinnest_line(tmp_path):
    hole = np.zeros((64, 64), dtype=bool)
    hole[:, 20] = True  # one pixel wide, gone when every fourth pixel is taken at its centre
    write(tmp_path / "m.png", hole)
    assert draw(MaskFolder(tmp_path), 16, 16).sum() == 0
    thin = draw(MaskFolder(tmp_path, resize="any"), 16, 16)
    assert thin.sum() == 16 and thin[0, :, 5].all()
    hole[:, 16:32] = True
    write(tmp_path / "m.png", hole)
    assert draw(MaskFolder(tmp_path), 16, 16).mean() == draw(MaskFolder(tmp_path), 64, 64).mean() == 0.25
    assert draw(MaskFolder(tmp_path), 128, 256).mean() == 0.25


def test_files_by_index_start_again_and_random_ones_reach_all(tmp_path):
    folder_of(tmp_path, [1, 2, 3])
    write(tmp_path / "sub" / "a.png", 4)
    write(tmp_path / "__MACOSX" / "a.png", 19)
    (tmp_path / "notes.txt").write_text("not a mask")
    ordered = MaskFolder(tmp_path, order="index")
    assert ordered.files == ["000.png", "001.png", "002.png", "sub/a.png"]
    rows = [round(draw(ordered, 20, 20, index=i).mean().item() * 20) for i in range(6)]
    assert rows == [1, 2, 3, 4, 1, 2]
    random = MaskFolder(tmp_path)
    counts = np.bincount([round(draw(random, 20, 20, index=i).mean().item() * 20) for i in range(600)], minlength=5)
    assert counts[0] == 0 and (counts[1:] > 110).all()


def test_files_by_measured_ratio(tmp_path):
    folder_of(tmp_path, [1, 2, 3, 4, 5, 6])  # 0.05 to 0.3 hole
    masks = MaskFolder(tmp_path, ratio=(0.1, 0.2))
    assert masks.files == ["002.png", "003.png"]  # 0.15 and 0.2; 0.1 belongs to the bin below
    assert [finding.level for finding in masks.check()] == ["ok", "ok"]
    assert "2 of its files are used" in masks.check()[1].text
    with pytest.raises(DataError, match=r"none of 6 files has a hole ratio in \(0.4, 0.5\].*0.01-0.1: 2, 0.1-0.2: 2"):
        MaskFolder(tmp_path, ratio=(0.4, 0.5))


@pytest.fixture(scope="module")
def nvidia(tmp_path_factory):
    """12,000 files in the order of the NVIDIA test set, hard links to one file per level."""
    folder = tmp_path_factory.mktemp("nvidia")
    files = folder / "testing"
    files.mkdir()
    for level in range(6):
        write(folder / f"level{level}.src.png", 1 + 2 * level)  # 0.05, 0.15, ... 0.55
        for i in range(2000):
            os.link(folder / f"level{level}.src.png", files / f"{level * 2000 + i:05d}.png")
    return files


def test_levels_of_the_nvidia_test_set_follow_its_order(nvidia):
    masks = MaskFolder(nvidia, level=3, order="index")
    assert len(masks.files) == 2000 and masks.files[0] == "04000.png" and masks.files[-1] == "05999.png"
    assert draw(masks, 20, 20).mean() == pytest.approx(0.25)
    assert "12,000 files" in masks.check()[0].text
    assert masks.check()[0].text.endswith("the NVIDIA test set, by number and order")
    assert draw(MaskFolder(nvidia, level=6), 20, 20).mean() == pytest.approx(0.55)


def test_a_level_with_the_wrong_polarity_is_refused(nvidia):
    with pytest.raises(DataError, match=r"level 1.*median of 20"):
        MaskFolder(nvidia, polarity="black", level=1)


def test_levels_need_the_test_sets_number_of_files(tmp_path):
    folder_of(tmp_path, [1, 2])
    with pytest.raises(DataError, match=r"needs the 12,000 files of the NVIDIA test set.*here are 2"):
        MaskFolder(tmp_path, level=2)


def test_twelve_thousand_other_files_are_not_taken_for_the_test_set(nvidia, tmp_path):
    for i in range(12_000):
        os.link(nvidia / "02000.png", tmp_path / f"{i:05d}.png")
    assert "not its order" in MaskFolder(tmp_path).check()[0].text
    with pytest.raises(DataError, match=r"level 5 .* 0.4 to 0.5 hole, but these files have 0.150"):
        MaskFolder(tmp_path, level=5)


def test_the_training_archive_is_told_apart(nvidia, tmp_path):
    write(tmp_path / "0.png", 2, white_hole=False)
    for i in range(1, 12_100):
        os.link(tmp_path / "0.png", tmp_path / f"{i}.png")
    masks = MaskFolder(tmp_path)
    assert masks.polarity == "black"
    assert "mostly white, like the NVIDIA training archive" in masks.check()[0].text


def test_the_recipe_of_a_folder_pins_the_polarity_it_decided_on(tmp_path):
    masks = MaskFolder(folder_of(tmp_path, [2, 3]), dilation=1, ratio=(0.0, 0.5))
    recipe = json.loads(json.dumps(masks.recipe()))
    assert recipe["args"]["polarity"] == "white"
    rebuilt = mask_from_recipe(recipe)
    assert torch.equal(draw(rebuilt, 20, 20, index=4), draw(masks, 20, 20, index=4))


def test_folders_that_cannot_be_used(tmp_path):
    with pytest.raises(DataError, match="nowhere does not exist"):
        MaskFolder(tmp_path / "nowhere")
    with pytest.raises(DataError, match="holds 0 mask files"):
        MaskFolder(tmp_path)
    (tmp_path / "broken.png").write_bytes(b"not a picture")
    with pytest.raises(DataError, match=r"broken\.png"):
        MaskFolder(tmp_path)
    with pytest.raises(DataError, match="is a file"):
        MaskFolder(tmp_path / "broken.png")


def test_masks_of_zeros_and_ones_are_refused(tmp_path):
    Image.fromarray(np.eye(8, dtype=np.uint8)).save(tmp_path / "m.png")
    with pytest.raises(DataError, match=r"values 0 and 1.*save masks with 0 and 255"):
        MaskFolder(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"polarity": "grey"}, "polarity"),
        ({"threshold": 1.0}, "threshold"),
        ({"threshold": -0.1}, "threshold"),
        ({"dilation": -1}, "dilation"),
        ({"dilation": (3, 1)}, "dilation"),
        ({"ratio": (0.5, 0.1)}, "ratio"),
        ({"level": 0}, "level must be 1 to 6"),
        ({"level": 7}, "level must be 1 to 6"),
        ({"order": "sorted"}, "order"),
        ({"resize": "bilinear"}, "resize"),
    ],
)
def test_bad_folder_arguments_are_refused(tmp_path, arguments, message):
    folder_of(tmp_path, [1])
    with pytest.raises(ValueError, match=message):
        MaskFolder(tmp_path, **arguments)


def test_findings_of_inner_generators_come_through(tmp_path):
    folder = MaskFolder(folder_of(tmp_path, [1, 2]))
    assert MixedMasks([CentreSquare(), folder]).check() == folder.check()
    assert LimitedMask(folder, (0.0, 1.0)).check() == folder.check()
    assert FreeForm().check() == []


def test_a_real_drawing_survives_a_round_trip_through_files(tmp_path):
    # Anti-aliased edges as drawing programs write them: still exactly 0 or 1 afterwards.
    picture = Image.new("L", (200, 200))
    ImageDraw.Draw(picture).ellipse((50, 50, 150, 120), fill=255)
    picture.resize((50, 50), Image.Resampling.BICUBIC).save(tmp_path / "m.png")
    mask = draw(MaskFolder(tmp_path), 50, 50)
    assert set(mask.unique().tolist()) == {0.0, 1.0}
    assert mask.mean() == pytest.approx(np.pi * 50 * 35 / 200**2, rel=0.05)


def test_rotation_enlarges_the_frame_dilates_and_shrinks_back_as_in_pennets_code(tmp_path):
    """The oracle: PEN-Net's order of steps, by Pillow and SciPy."""
    hole = np.zeros((40, 40), dtype=bool)
    hole[5:15, 8:30] = True
    write(tmp_path / "m.png", hole)
    masks = MaskFolder(tmp_path, max_angle=45, dilation=1)
    rng = np.random.default_rng(3)
    drawn = masks.draw(40, 40, rng, 0)[0].numpy()
    again = np.random.default_rng(3)
    again.integers(1), again.integers(1, 1, endpoint=True)  # the file and the dilation
    turned = Image.fromarray(hole.astype(np.uint8) * 255).rotate(again.uniform(0, 45), expand=True)
    dilated = binary_dilation(np.asarray(turned) > 0, np.ones((3, 3)))
    side = len(dilated)
    rows = np.floor((np.arange(40) + 0.5) * side / 40).astype(int)
    assert side > 40 and np.array_equal(drawn, dilated[np.ix_(rows, rows)])


def test_rotated_masks_differ_and_zero_degrees_changes_nothing(tmp_path):
    folder_of(tmp_path, [4])
    assert torch.equal(draw(MaskFolder(tmp_path, max_angle=0), 20, 20), draw(MaskFolder(tmp_path), 20, 20))
    rotated = [draw(MaskFolder(tmp_path, max_angle=45), 20, 20, index=i) for i in range(4)]
    assert len({tuple(mask.flatten().tolist()) for mask in rotated}) == 4
    assert all(set(mask.unique().tolist()) == {0.0, 1.0} for mask in rotated)
    with pytest.raises(ValueError, match=r"MaskFolder: max_angle must lie in \[0, 45\] degrees, got 60"):
        MaskFolder(tmp_path, max_angle=60)


def test_a_fixed_number_of_files(tmp_path):
    folder_of(tmp_path, [2, 3, 4, 5, 6, 7, 8])
    masks = MaskFolder(tmp_path, ratio=(0.12, 1.0), count=3, polarity="white")
    again = MaskFolder(tmp_path, ratio=(0.12, 1.0), count=3, polarity="white")
    assert len(set(masks.files)) == 3 and masks.files == again.files and "000.png" not in masks.files
    assert "3 of its files are used, by level, ratio or count" in texts(masks.check(), "ok")
    with pytest.raises(DataError, match="count 8 of 7 files; lower it"):
        MaskFolder(tmp_path, count=8, polarity="white")
