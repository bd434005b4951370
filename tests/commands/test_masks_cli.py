"""`inpaintzoo masks` through the command line: good input makes files, bad input one sentence and an exit code."""

import csv
import errno
import os

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from places import TESTS

from inpaintzoo import commands
from inpaintzoo.commands.masks import main
from inpaintzoo.data.dataset import MASK_STREAM, sample_rng
from inpaintzoo.data.manifest import Manifest, PinnedMasks
from inpaintzoo.data.masks import FreeForm, MaskFolder


@pytest.fixture
def masks_dir(tmp_path):
    folder = tmp_path / "masks"
    folder.mkdir()
    for rows in (1, 2, 3, 5):  # 5, 10, 15, 25 % hole, black
        grey = np.full((20, 20), 255, dtype=np.uint8)
        grey[:rows] = 0
        Image.fromarray(grey).save(folder / f"{rows}.png")
    return folder


@pytest.fixture
def images_dir(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for i in range(3):
        Image.fromarray(np.full((50, 40, 3), 60 * i, dtype=np.uint8)).save(folder / f"{i}.png")
    return folder


def refused(capsys, code, *arguments):
    """Run a command that must fail, and return the one sentence it says."""
    assert main([str(argument) for argument in arguments]) == code
    said = capsys.readouterr().err
    assert "Traceback" not in said
    if code == 1:
        assert said.strip().count("\n") == 0
    return said


def ran(capsys, *arguments):
    assert main([str(argument) for argument in arguments]) == 0
    return capsys.readouterr()


def test_make_writes_the_masks_that_evaluation_would_draw(tmp_path, capsys):
    out = tmp_path / "out"
    said = ran(capsys, "make", "--mask", "FreeForm", "--count", 4, "--size", 64, "--seed", 5, "--out", out).out
    assert "4 masks of 64x64" in said and "white is hole" in said
    files = sorted(out.iterdir())
    assert [file.name for file in files] == ["00000.png", "00001.png", "00002.png", "00003.png"]
    for i, file in enumerate(files):
        grey = np.asarray(Image.open(file))
        assert grey.dtype == np.uint8 and set(np.unique(grey)) == {0, 255}
        expected = FreeForm().draw(64, 64, sample_rng(5, 0, i, MASK_STREAM), i)
        assert torch.equal(torch.from_numpy(grey / 255.0).float()[None], expected)


def test_make_takes_a_class_with_arguments_and_any_size(tmp_path, capsys):
    mixture = (
        "{class_path: MixedMasks, init_args: {masks: [{class_path: CentreSquare, init_args: {size: 4}}, "
        "{class_path: RandomRectangles, init_args: {count: [1, 1], side: [0.5, 0.5]}}], weights: [1, 1]}}"
    )
    ran(capsys, "make", "--mask", mixture, "--count", 12, "--size", "[8, 16]", "--out", tmp_path / "out")
    masks = [np.asarray(Image.open(file)) for file in (tmp_path / "out").iterdir()]
    assert {mask.shape for mask in masks} == {(8, 16)}
    assert {int((mask > 0).sum()) for mask in masks} == {16, 32}


def test_make_does_not_overwrite_without_force(tmp_path, capsys):
    arguments = ("make", "--mask", "CentreSquare", "--count", 1, "--size", 8, "--out", tmp_path / "out")
    ran(capsys, *arguments)
    assert "is not empty; name another folder, or add --force" in refused(capsys, 1, *arguments)
    ran(capsys, *arguments, "--force")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--mask", "Stripes"), "'Stripes' is neither a folder that exists nor a mask class (CentreSquare,"),
        (("--mask", "{class_path: FreeForm, init_args: {strokes: [3, 1]}}"), "FreeForm: strokes must be"),
        (("--mask", "FreeForm", "--count", "0"), "--count must be at least 1, got 0"),
        (("--mask", "FreeForm", "--size", "0"), "--size must be at least 1"),
        (("--mask", "FreeForm", "--seed", "-1"), "--seed must be 0 or more, got -1"),
        (("--mask", "{class_path: CentreSquare, init_args: {size: 99}}", "--size", "8"), "does not fit into 8x8"),
    ],
)
def test_make_refuses_bad_input_in_one_sentence(tmp_path, capsys, arguments, message):
    said = refused(capsys, 1, "make", *arguments, "--out", tmp_path / "out")
    assert said.startswith("inpaintzoo masks make: error: ")
    assert message in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "arguments", [(), ("make",), ("burn",), ("make", "--mask", "FreeForm", "--out", "x", "--count", "many"), ("show",)]
)
def test_wrong_usage_exits_with_two(capsys, arguments):
    assert "error:" in refused(capsys, 2, *arguments)


def test_help_exits_with_zero(capsys):
    assert "pair" in ran(capsys, "--help").out
    assert "--force" in ran(capsys, "make", "--help").out


def test_bin_counts_files_and_writes_a_table(tmp_path, masks_dir, capsys):
    said = ran(capsys, "bin", masks_dir, "--csv", tmp_path / "ratios.csv")
    assert "black is hole (the rarer colour)" in said.err
    counts = {line.split()[0]: int(line.split()[1]) for line in said.out.splitlines()[1:9]}
    assert counts.pop("0.01-0.1") == 2 and counts.pop("0.1-0.2") == 1 and counts.pop("0.2-0.3") == 1
    assert set(counts.values()) == {0}
    with open(tmp_path / "ratios.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["file"], float(row["ratio"]), row["bin"]) for row in rows] == [
        ("1.png", 0.05, "0.01-0.1"),
        ("2.png", 0.1, "0.01-0.1"),
        ("3.png", 0.15, "0.1-0.2"),
        ("5.png", 0.25, "0.2-0.3"),
    ]
    assert f"{tmp_path} is a folder; name a file" in refused(capsys, 1, "bin", masks_dir, "--csv", tmp_path)
    assert "ratios.csv already exists" in refused(capsys, 1, "bin", masks_dir, "--csv", tmp_path / "ratios.csv")


def test_bin_with_the_wrong_polarity_warns(masks_dir, capsys):
    said = ran(capsys, "bin", masks_dir, "--polarity", "white")
    assert "warning: " in said.err and "86% hole is a lot; if black is the hole, set polarity black" in said.err
    assert said.err.count("hole is a lot") == 1
    assert refused(capsys, 2, "bin", masks_dir, "--polarity", "grey")


def test_bin_of_nothing(tmp_path, capsys):
    assert "does not exist" in refused(capsys, 1, "bin", tmp_path / "none")
    assert "holds 0 mask files" in refused(capsys, 1, "bin", tmp_path)


def test_pair_pins_images_with_drawn_masks(tmp_path, images_dir, capsys):
    out = tmp_path / "pairs.jsonl"
    said = ran(capsys, "pair", "--images", images_dir, "--masks", "FreeForm", "--out", out, "--seed", 3, "--size", 32)
    manifest = Manifest.load(out)
    assert f"3 pairs in {out}, digest {manifest.digest()[:12]}" in said.out
    assert [pinned.image for pinned in manifest.pairs] == ["0", "1", "2"]
    expected = FreeForm().draw(32, 32, sample_rng(3, 0, 1, MASK_STREAM), 1)
    assert torch.equal(PinnedMasks(out).draw(32, 32, np.random.default_rng(), 1), expected)
    arguments = ("pair", "--images", images_dir, "--masks", "FreeForm", "--out", out)
    assert "already exists; name another file or allow overwriting it (--force)" in refused(capsys, 1, *arguments)
    ran(capsys, *arguments, "--force")
    assert Manifest.load(out).height == 256


def test_pair_pins_images_with_mask_files_in_order(tmp_path, images_dir, masks_dir, capsys):
    ordered = f"{{class_path: MaskFolder, init_args: {{path: {masks_dir}, order: index}}}}"
    out = tmp_path / "pairs.jsonl"
    ran(capsys, "pair", "--images", images_dir, "--masks", ordered, "--out", out, "--size", "[20, 20]")
    assert [pinned.mask["file"] for pinned in Manifest.load(out).pairs] == ["1.png", "2.png", "3.png"]
    assert [pinned.bin for pinned in Manifest.load(out).pairs] == ["0.01-0.1", "0.01-0.1", "0.1-0.2"]


def test_pair_refuses_bad_input(tmp_path, images_dir, capsys):
    out = tmp_path / "pairs.jsonl"
    missing = ("pair", "--images", tmp_path / "none", "--masks", "FreeForm", "--out", out)
    assert "none does not exist" in refused(capsys, 1, *missing)
    assert "none" in refused(capsys, 1, "pair", "--images", images_dir, "--masks", tmp_path / "none", "--out", out)
    wrong = ("pair", "--images", images_dir, "--masks", "FreeForm", "--out", tmp_path / "pairs.txt")
    assert "must end in .jsonl" in refused(capsys, 1, *wrong)
    assert not out.exists()


def test_masks_of_the_users_own_class_are_pinned_tested_and_benchmarked(tmp_path, images_dir, monkeypatch, capsys):
    (tmp_path / "own_masks.py").write_text(
        "import torch\n"
        "from inpaintzoo.data.masks import MaskGenerator\n"
        "class Stripe(MaskGenerator):\n"
        "    def __init__(self, rows: int = 4):\n"
        "        self.rows = rows\n"
        "    def draw(self, height, width, rng, index):\n"
        "        mask = torch.zeros(1, height, width)\n"
        "        start = int(rng.integers(height - self.rows))\n"
        "        mask[:, start : start + self.rows] = 1.0\n"
        "        return mask\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    stripes = "{class_path: own_masks.Stripe, init_args: {rows: 6}}"
    out, sheet = tmp_path / "pairs.jsonl", tmp_path / "sheet.png"
    ran(capsys, "pair", "--images", images_dir, "--masks", stripes, "--out", out, "--size", 32)
    assert Manifest.load(out).pairs[0].mask["recipe"] == {"class": "own_masks.Stripe", "args": {"rows": 6}}
    assert "3 masks" in ran(capsys, "show", out, "--out", sheet).out
    ran(capsys, "make", "--mask", "own_masks.Stripe", "--count", 1, "--size", 16, "--out", tmp_path / "made")

    init_args = {"test": str(images_dir), "num_workers": 0, "manifest": str(out), "test_masks": "own_masks.Stripe"}
    resize = {"class_path": "ResizeTo", "init_args": {"size": 32}}
    data = {"class_path": "FolderData", "init_args": {**init_args, "transform": resize}}
    extra = tmp_path / "data.yaml"
    extra.write_text(yaml.safe_dump({"data": data}))
    tiny = TESTS / "conf" / "tiny.yaml"
    folder = ["--trainer.default_root_dir", str(tmp_path / "run")]
    assert commands.main(["test", "--config", str(tiny), "--config", str(extra), *folder]) == 0
    (written,) = (tmp_path / "run").rglob("manifest.jsonl")
    assert Manifest.load(written).digest() == Manifest.load(out).digest()

    settings = {"contenders": {"mean": {"class_path": "Fill", "init_args": {"generator": "MeanColour"}}}}
    extra.write_text(yaml.safe_dump({**settings, "sets": {"own": data}, "metrics": ["psnr"], "device": "cpu"}))
    assert commands.main(["benchmark", "--config", str(extra), "--out", str(tmp_path / "table")]) == 0
    assert "own (3 pictures)" in capsys.readouterr().out


def test_show_draws_classes_folders_and_manifests(tmp_path, images_dir, masks_dir, capsys):
    sheet = tmp_path / "sheets" / "sheet.png"
    assert "9 masks" in ran(capsys, "show", "LaMaStrokes", "--count", 9, "--size", 64, "--out", sheet).out
    assert "already exists" in refused(capsys, 1, "show", "LaMaStrokes", "--out", sheet)
    assert "4 masks" in ran(capsys, "show", masks_dir, "--out", sheet, "--force", "--columns", 2, "--size", 20).out
    picture = np.asarray(Image.open(sheet).convert("L"))
    gap, cell, row = 6, 128, 128 + 14 + 6
    assert picture.shape == (2 * row + gap, 2 * (cell + gap) + gap)
    # The files in their order, white = hole: 5, 10, 15 and 25 % (shrinking and growing blurs one row at most).
    shown = [picture[y : y + cell, x : x + cell] for y in (gap, gap + row) for x in (gap, gap + cell + gap)]
    assert [float((part > 128).mean()) for part in shown] == pytest.approx([0.05, 0.1, 0.15, 0.25], abs=0.02)
    out = tmp_path / "pairs.jsonl"
    ran(capsys, "pair", "--images", images_dir, "--masks", "FreeForm", "--out", out, "--size", 32)
    assert "3 masks" in ran(capsys, "show", out, "--out", sheet, "--force").out


def test_show_refuses_bad_input(tmp_path, masks_dir, capsys):
    assert "must end in .png" in refused(capsys, 1, "show", masks_dir, "--out", tmp_path / "sheet.txt")
    assert "neither a folder" in refused(capsys, 1, "show", tmp_path / "none", "--out", tmp_path / "s.png")
    assert "does not exist" in refused(capsys, 1, "show", tmp_path / "none.jsonl", "--out", tmp_path / "s.png")
    (tmp_path / "bad.jsonl").write_text("hello\n")
    assert "line 1: not JSON" in refused(capsys, 1, "show", tmp_path / "bad.jsonl", "--out", tmp_path / "s.png")
    assert "--count" in refused(capsys, 1, "show", "FreeForm", "--count", 0, "--out", tmp_path / "s.png")
    assert not (tmp_path / "s.png").exists()


def test_what_make_writes_bin_and_folders_read_back(tmp_path, capsys):
    out = tmp_path / "out"
    ran(capsys, "make", "--mask", "FreeForm", "--count", 20, "--size", 64, "--out", out)
    masks = MaskFolder(out, order="index")
    assert masks.polarity == "white"
    for i in range(20):
        expected = FreeForm().draw(64, 64, sample_rng(0, 0, i, MASK_STREAM), i)
        assert torch.equal(masks.draw(64, 64, np.random.default_rng(), i), expected)


def test_make_with_force_leaves_no_mask_of_an_earlier_run(tmp_path, capsys):
    out = tmp_path / "out"
    ran(capsys, "make", "--mask", "FreeForm", "--count", 4, "--size", 32, "--out", out)
    elsewhere = tmp_path / "elsewhere.png"
    (out / "00001.png").rename(elsewhere)
    (out / "00001.png").symlink_to(elsewhere)
    before = elsewhere.read_bytes()
    ran(capsys, "make", "--mask", "CentreSquare", "--count", 2, "--size", 32, "--out", out, "--force")
    assert sorted(path.name for path in out.iterdir()) == ["00000.png", "00001.png"]
    assert elsewhere.read_bytes() == before and not (out / "00001.png").is_symlink()
    elsewhere.rename(out / "photo.png")
    said = refused(capsys, 1, "make", "--mask", "FreeForm", "--out", out, "--force")
    assert "holds other pictures (photo.png), which would count as masks" in said


def test_a_disk_that_is_full_is_one_sentence_with_the_file(tmp_path, capsys, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Image.Image, "save", full)
    for arguments in (["make", "--mask", "FreeForm", "--count", 1], ["show", "FreeForm", "--count", 1]):
        out = tmp_path / ("sheet.png" if arguments[0] == "show" else "out")
        said = refused(capsys, 1, *arguments, "--out", out)
        assert "No space left on device" in said and str(out) in said
        assert not list(tmp_path.rglob(".part-*"))
