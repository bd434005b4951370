"""`inpaintzoo remove` through the command line."""

import numpy as np
import pytest
from PIL import Image

from inpaintzoo.commands import main

IDS = np.zeros((48, 64), np.uint8)
IDS[10:20, 10:20] = 1
IDS[30:40, 40:55] = 2


@pytest.fixture
def work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(0).integers(60, 90, (48, 64, 3), dtype=np.uint8)
    pixels[IDS > 0] = [220, 40, 30]
    Image.fromarray(pixels).save("photo.png")
    Image.fromarray(IDS).save("ids.png")
    return tmp_path


def remove(*arguments):
    return main(["remove", "photo.png", *arguments, "--fill", "diffusion", "--device", "cpu"])


def test_a_click_on_a_known_instance(work, capsys):
    assert (
        remove("--at", "45,35", "--instances", "ids.png", "-o", "out.png", "--save-mask", "hole.png", "--grow", "1")
        == 0
    )
    hole = np.array(Image.open("hole.png"))
    assert (np.argwhere(hole)[[0, -1]] == [[29, 39], [40, 55]]).all()
    before, after = (np.array(Image.open(name)) for name in ("photo.png", "out.png"))
    assert (after[~hole] == before[~hole]).all()
    assert (after[hole] < 100).all()
    assert "out.png: 1 object removed" in capsys.readouterr().out


@pytest.mark.parametrize(
    "prompt", [["--at", "14,14"], ["--box", "8,8,22,22"], ["--at", "14,14+16,16", "--away", "45,35"]]
)
def test_without_any_weights(work, prompt):
    assert remove(*prompt, "-o", "out.png") == 0
    after = np.array(Image.open("out.png"))
    assert (after[11:19, 11:19] < 100).all()
    assert (after[30:40, 40:55] == [220, 40, 30]).all()


def test_several_objects_and_a_mask(work):
    drawn = np.zeros(IDS.shape, bool)
    drawn[2:5, 2:5] = True
    Image.fromarray(drawn).save("drawn.png")
    prompts = ["--at", "14,14", "--at", "45,35", "--mask", "drawn.png"]
    assert remove(*prompts, "--instances", "ids.png", "-o", "out.png", "--save-mask", "hole.png", "--grow", "0") == 0
    assert (np.array(Image.open("hole.png")) == (drawn | (IDS > 0))).all()


def test_the_list_and_its_picture(work, capsys):
    assert remove("--list", "--instances", "ids.png", "-o", "found.png") == 0
    out = capsys.readouterr().out
    assert "--box 40,30,55,40" in out
    assert "2 objects found" in out
    assert Image.open("found.png").size == (64, 48)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-o", "o.png"], "nothing to remove: give --at"),
        (["--at", "14,14"], "name the file to write: -o OUT"),
        (["--at", "14", "-o", "o.png"], "--at must be X,Y in whole pixels, got '14'"),
        (["--box", "1,2,3", "-o", "o.png"], "--box must be LEFT,TOP,RIGHT,BOTTOM"),
        (["--at", "900,1", "-o", "o.png"], "900,1 lies outside the picture, which is 64 wide and 48 high"),
        (["--at", "1,1", "--instances", "ids.png", "-o", "o.png"], "no object was found: 1,1"),
        (["--class", "person", "-o", "o.png"], "GrabCut knows no classes such as person"),
        (["--list"], "use --segmenter maskrcnn"),
        (["--at", "1,1", "--weights", "x", "-o", "o.png"], "grabcut has no weights"),
        (["--at", "14,14", "-o", "photo.png"], "photo.png"),
        (["--at", "14,14", "-o", "no/o.png"], "there is no folder no"),
        (
            ["--at", "14,14", "--segmenter", "maskrcnn", "--weights", "no.pth", "-o", "o.png"],
            "GrabCut needs no weights",
        ),
        (
            ["--at", "14,14", "--segmenter", "pointrend", "--weights", "no.pkl", "-o", "o.png"],
            "the segmenter PointRend (GrabCut needs no weights): there is no weight file no.pkl",
        ),
    ],
)
def test_mistakes_are_one_sentence(work, capsys, arguments, words):
    assert remove(*arguments) in (1, 2)
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert not (work / "o.png").exists()
