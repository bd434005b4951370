"""Folders of pictures without the command line: what is paired, done, left out and noted."""

import warnings

import numpy as np
import pytest
from PIL import Image
from predictor_toys import Paints, noise, square

from inpaintzoo import ConfigError, Predictor
from inpaintzoo.predictor import FolderFill, PredictorWarning


@pytest.fixture
def work(tmp_path, monkeypatch):
    """Two pictures with black holes, and one without a mask."""
    monkeypatch.chdir(tmp_path)
    for folder in ("photos", "masks"):
        (tmp_path / folder).mkdir()
    for seed, name in enumerate("abc"):
        noise("RGB", seed=seed).save(tmp_path / "photos" / f"{name}.jpg")
    for name in "ab":
        Image.fromarray(~square()).save(tmp_path / "masks" / f"{name}_mask.png")
    return tmp_path


def test_a_folder_is_filled_and_continued(work):
    fill = FolderFill("photos", "masks", "out", format="png", made_with={"colour": "red"})
    assert (len(fill.tasks), fill.done, fill.unmatched) == (2, 0, ["photos/c.jpg: there is no mask masks/c.*"])
    assert (
        fill.notes == ["black is taken as the hole, the rarer colour of the masks; --polarity white for the other"]
        and not (work / "out").exists()
    )
    results = list(fill.results(Predictor(Paints())))
    assert [(result.files, result.error) for result in results] == [([task.out], None) for task in fill.tasks]
    assert (np.array(Image.open("out/a.png"))[square()] == (255, 0, 0)).all()
    again = FolderFill("photos", "masks", "out", format="png", made_with={"colour": "red"})
    assert (again.tasks, again.done) == ([], 2) and list(again.results(Predictor(Paints()))) == []
    with pytest.raises(ConfigError, match="made with other settings: colour was red and is blue; use another folder"):
        FolderFill("photos", "masks", "out", format="png", made_with={"colour": "blue"})


def test_the_hole_colour_is_that_of_all_masks_also_when_a_run_continues(work):
    for name, rows in [("a", 5), ("b", 23), ("c", 5)]:  # 23 of 40 rows alone would be unclear
        hole = np.zeros((40, 50), bool)
        hole[:rows] = True
        Image.fromarray(hole).save(work / "masks" / f"{name}_mask.png")
    for left in (3, 1):
        fill = FolderFill("photos", "masks", "out", format="png")
        assert len(fill.tasks) == left and all(result.error is None for result in fill.results(Predictor(Paints())))
        assert (np.array(Image.open("out/b.png"))[:23] == (255, 0, 0)).all()
        (work / "out" / "b.png").unlink()


def test_jpeg_is_noted_once_for_all(work):
    fill = FolderFill("photos", "masks", "out")
    assert "JPEG changes known pixels a little (2 files); --format png keeps them" in fill.notes
    assert [result.notes for result in fill.results(Predictor(Paints()))] == [[], []]


def test_the_notes_of_a_call_are_kept_and_emitted_as_warnings_of_the_calling_line():
    predictor = Predictor(Paints())
    with warnings.catch_warnings(record=True) as emitted:
        warnings.simplefilter("always")
        predictor(noise("RGB"), np.zeros((40, 50)))
        predictor.fill_all([noise("RGB", 80, 100)], [square()])
    assert [(warning.category, warning.filename) for warning in emitted] == [(PredictorWarning, __file__)] * 2
    assert [str(note) for note in predictor.notes] == ["mask is scaled from 50x40 to the picture's 100x80"]
