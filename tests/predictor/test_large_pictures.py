"""Large pictures: what they take is said, or they are refused, before they are decoded and filled."""

import warnings

import numpy as np
import pytest
from file_toys import Green
from PIL import Image

from inpaintzoo import DataError, Predictor
from inpaintzoo.commands.inpaint import main
from inpaintzoo.pictures.images import LIMIT

NOTE = (
    "0.01 megapixels take about 0.0002 GB of memory; INPAINTZOO_MAX_MEGAPIXELS=0.001 in the environment refuses "
    "such pictures"
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two pictures that count as large, and masks."""
    monkeypatch.setattr("inpaintzoo.predictor.memory.LARGE", 1000)
    monkeypatch.delenv(LIMIT, raising=False)
    monkeypatch.chdir(tmp_path)
    mask = np.zeros((100, 100), np.uint8)
    mask[20:40, 20:40] = 255
    for name in ("photos", "masks"):
        (tmp_path / name).mkdir()
        for number in "ab":
            Image.fromarray(mask).save(f"{name}/{number}.png")
    return tmp_path


@pytest.fixture
def little_memory(monkeypatch):
    monkeypatch.setattr("inpaintzoo.predictor.memory.free_memory", lambda device: 1e5)


class Asks(Green):
    """Notes what had been said when it was asked to fill."""

    def __init__(self, said):
        super().__init__()
        self.said, self.before = said, []

    def forward(self, image, mask):
        self.before.append(self.said())
        return super().forward(image, mask)


@pytest.mark.parametrize("single", [True, False])
def test_the_command_says_it_before_the_fill_and_once(single, folder, monkeypatch, capsys):
    before = []
    monkeypatch.setattr("inpaintzoo.fills.FILLS", {"mean": lambda: Asks(lambda: capsys.readouterr().err)})
    monkeypatch.setattr(Asks, "forward", lambda self, *given: before.append(self.said()) or Green.forward(self, *given))
    places = ["photos/a.png", "masks/a.png", "-o", "out.png"] if single else ["photos", "masks", "-o", "out"]
    assert main([*places, "--fill", "mean"]) == 0
    for text, name in zip(before, "a" if single else "ab", strict=True):
        assert text.count("megapixels") == 1 and f"note: photos/{name}.png: 0.01 megapixels" in text
    assert "megapixels" not in capsys.readouterr().err


def test_python_warns_before_the_fill_and_once(folder):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        predictor = Predictor(Asks(lambda: [str(warning.message) for warning in said]))
        predictor("photos/a.png", "masks/a.png")
        predictor.fill_file("photos/a.png", "masks/a.png", "out.png")
        predictor.fill_all(["photos/a.png"], ["masks/a.png"])
    assert [len(texts) for texts in predictor.generator.before] == [1, 2, 3]
    assert [str(warning.message) for warning in said] == [f"photos/a.png: {NOTE}"] * 3
    assert {warning.filename for warning in said} == {__file__}


def test_more_than_there_is_memory_for_is_refused_before_it_is_read(folder, little_memory, monkeypatch, capsys):
    monkeypatch.setattr("inpaintzoo.predictor.predictor.read_picture", lambda *given: pytest.fail("read"))
    assert main(["photos", "masks", "-o", "out", "--fill", "mean"]) == 1
    said = capsys.readouterr().err
    assert said.count("error") == 2
    assert "photos/a.png: 0.01 megapixels take about 0.0002 GB of memory and 0.0001 GB are free" in said
    for call in (
        lambda predictor: predictor("photos/a.png", "masks/a.png"),
        lambda predictor: predictor.fill_file("photos/a.png", "masks/a.png", "out.png"),
        lambda predictor: predictor.fill_all(["photos/a.png"], ["masks/a.png"]),
    ):
        with pytest.raises(DataError, match=r"scale it down, or try anyway with INPAINTZOO_MAX_MEGAPIXELS=1"):
            call(Predictor(Green()))


def test_the_remedies_work(folder, little_memory, monkeypatch, capsys):
    command = ["photos/a.png", "masks/a.png", "-o", "out.png", "--fill", "mean"]
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)  # the variable changes it
    monkeypatch.setenv(LIMIT, "0.001")
    assert main(command) == 1 and "exceeds limit of 1000 pixels" in capsys.readouterr().err
    monkeypatch.setenv(LIMIT, "1")
    assert main(command) == 0
