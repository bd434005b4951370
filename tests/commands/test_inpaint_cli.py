"""`inpaintzoo inpaint` through the command line: one picture, folders, pairing, resuming, samples."""

import json
import shlex
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from PIL import Image
from places import ROOT

from inpaintzoo import Predictor, save_model
from inpaintzoo.commands import inpaint as inpaint_cli
from inpaintzoo.commands import main
from inpaintzoo.fills import FILLS, MeanColour
from inpaintzoo.models import SPN, PENNet
from inpaintzoo.types import FillName

HOLE = np.zeros((32, 48), bool)
HOLE[8:16, 10:22] = True


def picture(path, seed=0, size=(32, 48)):
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return pixels


def mask(path, hole=HOLE):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(hole).save(path)


def changed(before, after):
    return (np.array(Image.open(before).convert("RGB")) != np.array(Image.open(after).convert("RGB"))).any(axis=-1)


@pytest.fixture
def work(tmp_path, monkeypatch):
    """Three pictures with masks, one of them in a folder of its own, and a single pair."""
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(["a.png", "b.png", "deep/c.png"]):
        picture(tmp_path / "photos" / name, seed)
        mask(tmp_path / "masks" / name)
    picture(tmp_path / "one.png", 9)
    mask(tmp_path / "hole.png")
    return tmp_path


def inpaint(*arguments, model=("--fill", "mean")):
    return main(["inpaint", *map(str, arguments), *model])


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in Path(folder).rglob("*.*") if path.is_file())


@pytest.mark.parametrize("fill", list(FILLS))
def test_one_picture_with_a_plain_fill(work, fill):
    assert inpaint("one.png", "hole.png", "-o", "out.png", "--fill", fill, model=()) == 0
    found = changed("one.png", "out.png")
    assert not found[~HOLE].any() and found[HOLE].mean() > 0.9


def test_one_picture_with_no_further_word(work, capsys):
    picture(work / "large.png", size=(64, 64))
    hole = np.zeros((64, 64), bool)
    hole[28:40, 30:42] = True
    mask(work / "large_hole.png", hole)
    assert inpaint("large.png", "large_hole.png", "-o", "out.png", model=()) == 0
    captured = capsys.readouterr()
    assert captured.err == (
        "note: filled by shiftmap, which copies from around the hole; choose another fill with --fill, or a trained "
        "network with --model\n"
    )
    assert captured.out == "out.png: 1 filled, 0 failed\n"
    assert not changed("large.png", "out.png")[~hole].any() and changed("large.png", "out.png")[hole].mean() > 0.9


def test_a_folder_says_once_what_filled_it(work, capsys):
    for said in (1, 0):  # the second time there is nothing left to fill
        assert inpaint("photos", "masks", "-o", "out", model=()) == 0
        assert capsys.readouterr().err.count("filled by shiftmap") == said
    assert json.loads((work / "out" / "inpaint.json").read_text())["fill"] == "shiftmap"


def test_what_shiftmap_could_not_fill_is_a_note(work, capsys):
    picture(work / "thin.png", size=(12, 48))
    mask(work / "thin_hole.png", HOLE[:12])
    assert inpaint("thin.png", "thin_hole.png", "-o", "out.png", model=()) == 0
    assert "note: thin.png: shift-map: there is nothing to copy to some of the hole" in capsys.readouterr().err


def test_one_picture_with_a_weight_file(work):
    save_model(PENNet(width=4), "model.safetensors")
    command = ["one.png", "hole.png", "-o", "out.png", "--grow", "2"]
    assert inpaint(*command, model=("--model", "model.safetensors")) == 0
    found = changed("one.png", "out.png")
    assert found[6:18, 8:24].mean() > 0.9 and found.sum() <= 12 * 16


def test_a_folder_with_masks_by_name(work, capsys):
    assert inpaint("photos", "masks", "-o", "out") == 0
    assert files("out") == ["a.png", "b.png", "deep/c.png", "inpaint.json"]
    for name in ["a.png", "b.png", "deep/c.png"]:
        assert not changed(f"photos/{name}", f"out/{name}")[~HOLE].any()
        assert changed(f"photos/{name}", f"out/{name}")[HOLE].any()
    assert "3 filled, 0 failed" in capsys.readouterr().out


def test_one_mask_for_all(work):
    assert inpaint("photos", "hole.png", "-o", "out") == 0
    assert len(files("out")) == 4 and changed("photos/b.png", "out/b.png")[HOLE].any()


def test_masks_may_be_called_so_and_have_another_suffix(work):
    picture(work / "jpegs" / "x.jpg")
    mask(work / "jpeg_masks" / "x_mask.png")
    assert inpaint("jpegs", "jpeg_masks", "-o", "out", "--format", "png") == 0
    assert files("out") == ["inpaint.json", "x.png"]
    assert not changed("jpegs/x.jpg", "out/x.png")[~HOLE].any()


def test_each_file_without_a_partner_is_named_and_the_others_are_done(work, capsys):
    picture(work / "photos" / "lonely.png")
    mask(work / "masks" / "widow.png")
    assert inpaint("photos", "masks", "-o", "out") == 1
    captured = capsys.readouterr()
    assert "photos/lonely.png: there is no mask masks/lonely.*" in captured.err
    assert "masks/widow.png: no picture has this mask's name" in captured.err
    assert "3 filled, 2 failed" in captured.out
    assert files("out") == ["a.png", "b.png", "deep/c.png", "inpaint.json"]


def test_a_damaged_picture_fails_alone(work, capsys):
    data = (work / "photos" / "a.png").read_bytes()
    (work / "photos" / "a.png").write_bytes(data[: len(data) // 2])
    assert inpaint("photos", "hole.png", "-o", "out") == 1
    captured = capsys.readouterr()
    assert "photos/a.png: the image cannot be decoded" in captured.err and "Traceback" not in captured.err
    assert files("out") == ["b.png", "deep/c.png", "inpaint.json"]


def test_files_that_the_system_refuses_are_named_with_the_reason(work, capsys, small_files):
    with small_files():
        assert inpaint("photos", "masks", "-o", "out") == 1
    assert "error: photos/a.png: out/a.png: cannot be written (File too large)\n" in capsys.readouterr().err
    assert files("out") == ["inpaint.json"]


def test_an_unforeseen_error_leaves_the_others_alone(work, capsys, monkeypatch):
    fill = MeanColour.forward

    def fails_once(self, image, mask):
        monkeypatch.setattr(MeanColour, "forward", fill)
        raise ZeroDivisionError("by chance")

    monkeypatch.setattr(MeanColour, "forward", fails_once)
    assert inpaint("photos", "masks", "-o", "out") == 1
    assert "photos/a.png: ZeroDivisionError: by chance" in capsys.readouterr().err
    assert files("out") == ["b.png", "deep/c.png", "inpaint.json"]


def test_masks_of_two_names_alike_are_refused(work, capsys):
    (work / "masks" / "a.png").rename(work / "masks" / "a_mask.png")
    mask(work / "masks" / "a-mask.png")
    assert inpaint("photos", "masks", "-o", "out") == 1
    assert "have one name" in capsys.readouterr().err


def test_pictures_that_would_become_one_file_are_named(work, capsys):
    picture(work / "photos" / "a.bmp")
    assert inpaint("photos", "hole.png", "-o", "out", "--format", "png") == 1
    assert "photos/a.png: photos/a.bmp is already written to out/a.png" in capsys.readouterr().err


def test_a_run_goes_on_where_it_stopped(work, capsys):
    assert inpaint("photos", "masks", "-o", "out") == 0
    first = {name: (work / "out" / name).stat().st_mtime_ns for name in files("out")}
    (work / "out" / "b.png").unlink()
    assert inpaint("photos", "masks", "-o", "out") == 0
    assert "2 of 3 pictures are already filled" in capsys.readouterr().out
    second = {name: (work / "out" / name).stat().st_mtime_ns for name in files("out")}
    assert [name for name in first if first[name] != second[name]] == ["b.png", "inpaint.json"]


def test_a_folder_begun_otherwise_is_not_gone_on_with(work, capsys):
    assert inpaint("photos", "masks", "-o", "out") == 0
    assert inpaint("photos", "masks", "-o", "out", "--grow", "3") == 1
    assert "was made with other settings: grow was 0 and is 3" in capsys.readouterr().err
    assert inpaint("photos", "masks", "-o", "out", "--grow", "3", "--force") == 0
    assert changed("photos/a.png", "out/a.png")[5:19, 7:25].mean() > 0.9
    assert json.loads((work / "out" / "inpaint.json").read_text())["grow"] == 3


def test_nothing_is_overwritten_without_force(work, capsys):
    (work / "out.png").write_text("mine")
    assert inpaint("one.png", "hole.png", "-o", "out.png") == 1
    assert "out.png already exists" in capsys.readouterr().err and (work / "out.png").read_text() == "mine"
    assert inpaint("one.png", "hole.png", "-o", "out.png", "--force") == 0
    assert inpaint("one.png", "hole.png", "-o", "one.png", "--force") == 1
    assert inpaint("photos", "masks", "-o", "photos", "--force") == 1


def test_samples_of_a_stochastic_model(work, capsys):
    save_model(SPN(width=8, stochastic=True), "spn.safetensors")
    weights = ("--model", "spn.safetensors")
    assert inpaint("one.png", "hole.png", "-o", "out.png", "--samples", "3", "--seed", "7", model=weights) == 0
    assert sorted(path.name for path in work.glob("out*")) == ["out-0.png", "out-1.png", "out-2.png"]
    assert len({(work / f"out-{number}.png").read_bytes() for number in range(3)}) == 3
    assert inpaint("one.png", "hole.png", "-o", "again.png", "--seed", "7", model=weights) == 0
    assert (work / "again.png").read_bytes() == (work / "out-0.png").read_bytes()
    assert inpaint("one.png", "hole.png", "-o", "more.png", "--samples", "3") == 1
    assert "MeanColour is deterministic" in capsys.readouterr().err


def test_guidance_map(work, capsys, monkeypatch):
    save_model(PENNet(width=4), "model.safetensors")
    Image.fromarray(np.repeat([[0, 255]], 24, axis=1).repeat(32, axis=0).astype(np.uint8)).save("map.png")
    seen, forward = [], PENNet.forward
    monkeypatch.setattr(
        PENNet, "forward", lambda self, image, mask, guidance: seen.append(guidance) or forward(self, image, mask)
    )
    command = ["one.png", "hole.png", "-o", "guided.png", "--guidance", "map.png"]
    assert inpaint(*command, model=("--model", "model.safetensors")) == 0
    assert torch.equal(seen[0][0, 0, :32, :48], torch.from_numpy(np.array(Image.open("map.png"))).float() / 255)
    assert inpaint("one.png", "hole.png", "-o", "no.png", "--guidance", "map.png") == 1
    assert "no patch attention" in capsys.readouterr().err


def test_transparency_as_the_mask(work):
    pixels = np.dstack([picture(work / "x.png"), np.where(HOLE, 0, 255).astype(np.uint8)])
    Image.fromarray(pixels).save("erased.png")
    assert inpaint("erased.png", "alpha", "-o", "out.png") == 0
    after = np.array(Image.open("out.png"))
    np.testing.assert_array_equal(after[~HOLE], pixels[~HOLE])
    assert (after[HOLE][:, 3] == 255).all()


def test_polarity_of_a_folder_is_decided_by_all_its_masks(work, capsys):
    small, large = np.zeros((2, 32, 48), bool)
    small[:4], large[:18] = True, True  # 12 % and 56 %
    for name, hole in [("a", small), ("b", large), ("deep/c", small)]:
        mask(work / "masks" / f"{name}.png", hole)
    assert inpaint("photos", "masks", "-o", "out") == 0
    assert changed("photos/b.png", "out/b.png")[:18].mean() > 0.9
    assert inpaint("photos/b.png", "masks/b.png", "-o", "b.png") == 1
    assert "56% of the pixels are white" in capsys.readouterr().err
    assert inpaint("photos/b.png", "masks/b.png", "-o", "b.png", "--polarity", "white") == 0
    assert not changed("out/b.png", "b.png").any()


def test_notes_are_printed_once(work, capsys):
    for name in ("a", "b", "c"):
        picture(work / "jpegs" / f"{name}.jpg")
    mask(work / "empty.png", np.zeros_like(HOLE))
    assert inpaint("jpegs", "hole.png", "-o", "out") == 0
    said = capsys.readouterr().err
    assert said.count("JPEG") == 1 and "(3 files)" in said
    assert inpaint("one.png", "empty.png", "-o", "copy.png") == 0
    assert "note: one.png: the mask has no hole" in capsys.readouterr().err
    assert (work / "copy.png").read_bytes() == (work / "one.png").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.png", "hole.png", "-o", "out.png", "--fill", "mean"], "none.png: there is no such file or folder"),
        (["one.png", "none.png", "-o", "out.png", "--fill", "mean"], "none.png: the file does not exist"),
        (["photos", "none", "-o", "out", "--fill", "mean"], "mask none: there is no such file or folder"),
        (["photos", "masks", "-o", "out.png", "--fill", "mean"], "out.png is a file, but photos is a folder"),
        (["empty", "hole.png", "-o", "out", "--fill", "mean"], "empty holds 0 pictures"),
        (
            ["one.png", "hole.png", "-o", "out.png", "--fill", "mean", "--model", "some.safetensors"],
            "give either --model or --fill, not both",
        ),
        (["one.png", "hole.png", "-o", "out.png", "--model", "none.safetensors"], "none.safetensors"),
        (["one.png", "hole.png", "-o", "nowhere/out.txt", "--fill", "mean"], "cannot tell the format"),
        (["one.png", "hole.png", "-o", "out.png", "--fill", "mean", "--tile", "3"], "tile must be at least 64"),
    ],
)
def test_mistakes_are_sentences(work, arguments, message, capsys):
    (work / "empty").mkdir()
    assert main(["inpaint", *arguments]) == 1
    captured = capsys.readouterr()
    assert message in captured.err and "Traceback" not in captured.err
    assert not list(work.rglob("out*.png"))


def test_wrong_usage_is_two(work, capsys):
    assert inpaint_cli.main(["one.png"]) == 2
    assert inpaint_cli.main(["one.png", "hole.png", "-o", "out.png", "--strategy", "magic"]) == 2
    assert inpaint_cli.main(["--help"]) == 0
    assert "--samples" in capsys.readouterr().out


def test_the_commands_of_the_pages_work(work, capsys):
    text = (ROOT / "docs" / "inpaint.md").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.startswith("inpaintzoo inpaint ")]
    assert len(lines) >= 7
    (work / "one.png").rename("photo.png")
    (work / "hole.png").rename("mask.png")
    Image.fromarray(np.where(HOLE, 200, 255).astype(np.uint8)).save("map.png")
    pixels = np.dstack([np.array(Image.open("photo.png")), np.where(HOLE, 0, 255).astype(np.uint8)])
    Image.fromarray(pixels).save("erased.png")
    save_model(PENNet(width=4), "tiny.safetensors")
    save_model(SPN(width=8, stochastic=True), "spn.safetensors")
    for line in lines:
        assert main(shlex.split(line)[1:]) == 0, line
    assert {"filled.png", "smooth.png", "variant-4.png", "guided.png", "whole.png"} <= set(files("."))
    assert {"filled/deep/c.png", "grown/a.png"} <= set(files("."))


# -- existing files ---------------------------------------------------------------------------------------------------


def test_files_that_the_command_did_not_make_are_not_taken_for_filled(work, capsys):
    mine = picture(work / "out" / "a.png", 77)
    assert inpaint("photos", "masks", "-o", "out") == 1
    assert "out/a.png: already in the folder, and not as this command made it" in capsys.readouterr().err
    assert (np.array(Image.open("out/a.png")) == mine).all() and files("out") == ["a.png"]
    assert inpaint("photos", "masks", "-o", "out", "--force") == 0
    assert not changed("photos/a.png", "out/a.png")[~HOLE].any()


def test_another_source_folder_is_not_gone_on_with(work, capsys):
    assert inpaint("photos", "masks", "-o", "out") == 0
    for name in ["a.png", "b.png", "deep/c.png"]:
        picture(work / "others" / name, 50)
    assert inpaint("others", "masks", "-o", "out") == 1
    assert "was made with other settings: image was" in capsys.readouterr().err


def test_what_has_changed_is_filled_anew(work, capsys):
    assert inpaint("photos", "masks", "-o", "out") == 0
    picture(work / "photos" / "a.png", 60)
    mask(work / "masks" / "b.png", HOLE[::-1])
    assert inpaint("photos", "masks", "-o", "out") == 0
    assert "1 of 3 pictures are already filled" in capsys.readouterr().out
    assert not changed("photos/a.png", "out/a.png")[~HOLE].any()
    assert changed("photos/b.png", "out/b.png")[HOLE[::-1]].any()
    picture(work / "out" / "a.png", 61)  # retouched by hand
    assert inpaint("photos", "masks", "-o", "out") == 1
    assert "out/a.png: already in the folder, and not as this command made it" in capsys.readouterr().err


def test_a_forced_run_that_stops_goes_on_without_force(work, capsys, monkeypatch):
    assert inpaint("photos", "masks", "-o", "out") == 0

    def stops(*arguments, **options):
        yield from ()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Predictor, "fill_files", stops)
        assert inpaint("photos", "masks", "-o", "out", "--grow", "3", "--force") == 130
        assert "inpaintzoo inpaint: stopped" in capsys.readouterr().err
    assert inpaint("photos", "masks", "-o", "out", "--grow", "3") == 0
    for name in ["a.png", "b.png", "deep/c.png"]:
        assert changed(f"photos/{name}", f"out/{name}")[5:19, 7:25].mean() > 0.9


def test_a_model_replaced_under_its_name_is_seen(work, capsys):
    save_model(PENNet(width=4), "model.safetensors")
    weights = ("--model", "model.safetensors")
    assert inpaint("photos", "masks", "-o", "out", model=weights) == 0
    save_model(PENNet(width=4), "model.safetensors")
    assert inpaint("photos", "masks", "-o", "out", model=weights) == 1
    assert "model-file was" in capsys.readouterr().err


def test_a_mistake_does_not_begin_a_folder(work):
    assert inpaint("photos", "masks", "-o", "out", model=("--model", "tpyo.safetensors")) == 1
    assert inpaint("photos", "masks", "-o", "out", "--tile", "3") == 1
    assert not (work / "out").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["photos", "masks", "-o", "masks"],
        ["photos", "hole.png", "-o", "."],
        ["one.png", "hole.png", "-o", "hole.png"],
        ["photos", "masks", "-o", "link"],
    ],
)
def test_what_is_read_is_never_overwritten(work, arguments, capsys):
    picture(work / "photos" / "hole.png", 5)
    (work / "link").symlink_to("masks")
    before = {path: path.read_bytes() for path in work.rglob("*.png")}
    assert inpaint(*arguments, "--force") == 1
    assert "name another" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in work.rglob("*.png")} == before


def test_a_black_hole_is_said_once(work, capsys):
    mask(work / "black.png", ~HOLE)
    assert inpaint("photos", "black.png", "-o", "out") == 0
    assert capsys.readouterr().err.count("black is taken as the hole") == 1
    assert inpaint("one.png", "black.png", "-o", "single.png") == 0
    assert capsys.readouterr().err.count("black is taken as the hole") == 1
    assert not changed("one.png", "single.png")[~HOLE].any()


def test_composed_and_decomposed_names_are_the_same(work):
    picture(work / "names" / "\u00e9.png")
    mask(work / "name_masks" / "e\u0301.png")
    assert inpaint("names", "name_masks", "-o", "out") == 0
    assert files("out") == ["inpaint.json", "\u00e9.png"]


@pytest.mark.parametrize("option", [("--seed", "-1"), ("--seed", str(2**63)), ("--grow", "-1"), ("--grow", "10001")])
def test_numbers_out_of_range_are_wrong_usage(work, option, capsys):
    assert inpaint("one.png", "hole.png", "-o", "out.png", *option) == 2
    assert option[0] in capsys.readouterr().err


@pytest.mark.parametrize("batch_size", [2, 8])
def test_pictures_filled_together_are_those_filled_alone(work, batch_size, capsys):
    mask(work / "masks" / "b.png", np.roll(HOLE, 9))
    (work / "photos" / "bad.png").write_bytes(b"no picture")
    mask(work / "masks" / "bad.png")
    assert inpaint("photos", "masks", "-o", "alone") == 1
    said = capsys.readouterr().err
    assert inpaint("photos", "masks", "-o", "together", "--batch-size", batch_size) == 1
    assert capsys.readouterr().err == said and "bad.png: not an image" in said
    assert files("together") == files("alone") and "deep/c.png" in files("alone")
    for name in ("a.png", "b.png", "deep/c.png"):
        assert (work / "together" / name).read_bytes() == (work / "alone" / name).read_bytes()


@pytest.mark.parametrize("filled_before", [False, True])
def test_a_file_put_in_the_place_of_one_that_failed_stays(filled_before, work, capsys):
    if filled_before:
        assert inpaint("photos", "masks", "-o", "out") == 0
    (work / "masks" / "b.png").write_bytes(b"no mask")
    assert inpaint("photos", "masks", "-o", "out") == 1
    assert "b.png" in capsys.readouterr().err and ("b.png" in files("out")) == filled_before
    picture(work / "out" / "b.png", 77)
    mine = (work / "out" / "b.png").read_bytes()
    mask(work / "masks" / "b.png")
    assert inpaint("photos", "masks", "-o", "out") == 1
    assert "not as this command made it" in capsys.readouterr().err
    assert (work / "out" / "b.png").read_bytes() == mine


@pytest.mark.parametrize("options", [("--samples", 3), ("--guidance", "hole.png")])
def test_what_the_model_cannot_do_is_said_once_and_leaves_no_trace(work, options, capsys):
    assert inpaint("photos", "masks", "-o", "out", *options) == 1
    assert capsys.readouterr().err.count("error") == 1 and not (work / "out").exists()


def test_a_damaged_mask_fails_alone(work, capsys):
    (work / "masks" / "b.png").write_bytes(b"no mask")
    assert inpaint("photos", "masks", "-o", "out") == 1
    assert capsys.readouterr().out.endswith("out: 2 filled, 1 failed\n")


def test_an_output_folder_among_the_masks_is_no_mask_folder(work, capsys):
    for _ in range(2):
        assert inpaint("photos", "masks", "-o", "masks/out") == 0
    assert "3 of 3 pictures are already filled" in capsys.readouterr().out


def test_a_place_that_cannot_be_written_to_is_named(work, capsys):
    (work / "file.png").write_bytes(b"")
    assert inpaint("one.png", "hole.png", "-o", "/proc/out.png") == 1
    said = capsys.readouterr().err
    assert "/proc/out.png" in said and "cannot be written" in said and ".part-" not in said


def test_the_names_of_fill_are_those_of_the_fills():
    assert list(get_args(FillName)) == list(FILLS)
