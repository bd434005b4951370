"""Folders of pictures without the command line: what is paired, done, left out and noted."""

import json
import re
import shutil
import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from predictor_toys import Paints, noise, square

from inpaintzoo import ConfigError, DataError, Predictor, save_model
from inpaintzoo.fills import Diffusion, MeanColour
from inpaintzoo.models import PENNet
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
    fill = FolderFill("photos", "masks", "out", format="png")
    assert (len(fill.tasks), fill.done, fill.unmatched) == (2, 0, ["photos/c.jpg: there is no mask masks/c.*"])
    assert (
        fill.notes == ["black is taken as the hole, the rarer colour of the masks; --polarity white for the other"]
        and not (work / "out").exists()
    )
    results = list(fill.results(Predictor(Paints())))
    assert [(result.files, result.error) for result in results] == [([task.out], None) for task in fill.tasks]
    assert (np.array(Image.open("out/a.png"))[square()] == (255, 0, 0)).all()
    again = FolderFill("photos", "masks", "out", format="png")
    assert (again.tasks, again.done) == ([], 2) and list(again.results(Predictor(Paints()))) == []
    with pytest.raises(ConfigError, match="made with other settings: grow was 0 and is 2; use another folder"):
        FolderFill("photos", "masks", "out", format="png", grow=2)


def test_a_folder_is_not_continued_with_another_model(work):
    def filled(predictor, force=False):
        return len(list(FolderFill("photos", "masks", "out", force=force).results(predictor)))

    torch.manual_seed(0)
    networks = [PENNet(width=4), PENNet(width=4)]
    save_model(networks[0], "first.safetensors")
    save_model(networks[1], "second.safetensors")
    alike = PENNet(width=4)
    alike.load_state_dict(networks[0].state_dict())
    models = ["first.safetensors", "second.safetensors", networks[0], networks[1], Diffusion(), MeanColour()]
    for model in models:
        predictor = Predictor(model)
        assert filled(predictor, force=True) == 2 and filled(Predictor(model)) == 0
        for other in models:
            if other is not model:
                with pytest.raises(ConfigError, match=r"made with other settings: (model|fill) was"):
                    filled(Predictor(other))
        with pytest.raises(ConfigError, match="made with other settings: overlap was not there and is 8; use"):
            filled(Predictor(model, overlap=8))
        if model is networks[0]:
            assert filled(Predictor(alike)) == 0
    first = Predictor("first.safetensors")
    filled(first, force=True)
    save_model(networks[1], "first.safetensors")
    assert filled(first) == 0  # it still has the weights that the file had
    with pytest.raises(ConfigError, match="made with other settings: model-file was"):
        filled(Predictor("first.safetensors"))


def test_results_twice_of_one_folder_notice_the_other_model(work):
    fill = FolderFill("photos", "masks", "out")
    assert len(list(fill.results(Predictor(Paints())))) == len(list(fill.results(Predictor(Paints())))) == 2
    with pytest.raises(ConfigError, match="made with other settings: model was"):
        list(fill.results(Predictor(Paints(colour=(0.0, 0.0, 1.0)))))


def test_folders_of_earlier_versions_are_continued(work):
    """The command noted the model; Python did not."""
    save_model(PENNet(width=4), "net.safetensors")
    found = (work / "net.safetensors").stat()
    model = {"model": str(work / "net.safetensors"), "model-file": [found.st_size, found.st_mtime_ns], "fill": None}
    by_command = {**model, "strategy": "auto", "tile": None, "overlap": None, "precision": "float32"}
    folder = {name: str(work / place) for name, place in (("image", "photos"), ("mask", "masks"))}
    settings = {"samples": 1, "seed": 0, "grow": 0, "polarity": "auto", "format": "keep"}
    for noted in (by_command, {}):
        (work / "out").mkdir(exist_ok=True)
        noted = {**folder, "guidance": None, **settings, **noted, "filled": {}}
        (work / "out" / "inpaint.json").write_text(json.dumps(noted))
        assert len(list(FolderFill("photos", "masks", "out").results(Predictor("net.safetensors")))) == 2
        with pytest.raises(ConfigError, match="made with other settings: model was"):
            list(FolderFill("photos", "masks", "out").results(Predictor(Paints())))
        shutil.rmtree(work / "out")


def test_two_runs_do_not_fill_one_folder_at_once(work):
    first = FolderFill("photos", "masks", "out", format="png").results(Predictor(Paints()))
    other = FolderFill("photos", "masks", "out", format="png", grow=2, force=True)
    late = FolderFill("photos", "masks", "out", format="png")
    next(first)
    with pytest.raises(ConfigError, match="out is in use by another inpaintzoo command"):
        next(other.results(Predictor(Paints())))
    assert len(list(first)) == 1
    with pytest.raises(ConfigError, match="another command has filled out meanwhile; run this one again"):
        next(late.results(Predictor(Paints())))
    assert sorted(path.name for path in (work / "out").iterdir()) == ["a.png", "b.png", "inpaint.json"]


def test_a_source_that_is_replaced_during_its_fill_is_filled_again(work):
    def replaces(self, image, mask):
        noise("RGB", seed=7).save("photos/a.jpg")
        return Paints.forward(self, image, mask)

    model = type("Replaces", (Paints,), {"forward": replaces})()
    assert len(list(FolderFill("photos", "masks", "out").results(Predictor(model)))) == 2
    again = FolderFill("photos", "masks", "out")
    assert [task.image.name for task in again.tasks] == ["a.jpg"] and again.done == 1


def test_a_file_that_is_put_there_during_a_run_stays(work):
    fill = FolderFill("photos", "masks", "out", format="png")
    results = fill.results(Predictor(Paints()))
    next(results)
    (work / "out" / "b.png").write_bytes(b"mine")
    (second,) = results
    assert "b.png: already in the folder, and not as this command made it" in str(second.error)
    assert (work / "out" / "b.png").read_bytes() == b"mine" and second.files == []
    (work / "out" / "b.png").unlink()
    assert len(FolderFill("photos", "masks", "out", format="png").tasks) == 1


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
    assert "JPEG changes some known pixels (2 files); --format png keeps them" in fill.notes
    fill = FolderFill("photos", "masks", "other", format="avif")
    assert "AVIF changes all known pixels a little (2 files); --format png keeps them" in fill.notes
    assert [result.notes for result in fill.results(Predictor(Paints()))] == [[], []]


def test_the_notes_of_a_call_are_kept_and_emitted_as_warnings_of_the_calling_line():
    predictor = Predictor(Paints())
    with warnings.catch_warnings(record=True) as emitted:
        warnings.simplefilter("always")
        predictor(noise("RGB"), np.zeros((40, 50)))
        predictor.fill_all([noise("RGB", 80, 100)], [square()])
    assert [(warning.category, warning.filename) for warning in emitted] == [(PredictorWarning, __file__)] * 2
    assert [str(note) for note in predictor.notes] == ["mask is scaled from 50x40 to the picture's 100x80"]


def test_pictures_of_other_formats_are_counted(work):
    (work / "photos" / "d.jxl").touch()
    said = "photos: 1 picture in other formats is left out (1 .jxl)"
    assert said in FolderFill("photos", "masks", "o").notes[0]
    for picture in (work / "photos").glob("*.jpg"):
        picture.unlink()
    with pytest.raises(DataError, match=rf"photos holds 0 pictures.*{re.escape(said)}"):
        FolderFill("photos", "masks", "o")
