"""Sheets for user studies: what is asked, what a volunteer can see, and how answers are counted."""

import base64
import csv
import io
import re

import numpy as np
import pytest
from PIL import Image

from inpaintzoo.benchmark.report.study import count_answers, write_study
from inpaintzoo.types import ConfigError, DataError


@pytest.fixture
def folders(tmp_path):
    """Two methods with three pictures each and a third with two of them, each in a grey of its own."""
    greys = {"ours": {"a": 10, "b": 20, "c": 30}, "theirs": {"a": 110, "b": 120, "c": 130}, "old": {"a": 210, "b": 220}}
    for method, pictures in greys.items():
        (tmp_path / method).mkdir()
        for name, grey in pictures.items():
            Image.new("RGB", (8, 8), (grey,) * 3).save(tmp_path / method / f"{name}.png")
    return {method: tmp_path / method for method in greys}, greys


def shown_greys(page):
    """The grey of every picture, by question."""
    return [
        [int(np.array(Image.open(io.BytesIO(base64.b64decode(data))))[0, 0, 0]) for data in found]
        for found in (re.findall(r"base64,([^\"]+)", section) for section in page.split("<section")[1:])
    ]


def answer(path, rows):
    path.write_text("question,answer\n" + "".join(f"{question},{choice}\n" for question, choice in rows))
    return path


def test_pairs_are_asked_once_each_without_names_and_the_key_says_what_was_shown(folders, tmp_path):
    paths, greys = folders
    key = write_study(tmp_path / "study.html", paths)
    page = (tmp_path / "study.html").read_text()
    rows = list(csv.DictReader(key.read_text().splitlines()))
    assert key == tmp_path / "study.key.csv" and len(rows) == 3 + 2 + 2
    assert len({(row["picture"], frozenset((row["left"], row["right"]))) for row in rows}) == 7
    expected = [[greys[row[side]][row["picture"]] for side in ("left", "right")] for row in rows]
    assert shown_greys(page) == expected
    assert not any(method in re.sub(r"base64,[^\"]+", "", page) for method in greys), "nobody may see a method's name"
    assert {row["left"] for row in rows} > {"ours"}, "sides are drawn"


def test_votes_for_pairs(folders, tmp_path):
    paths, _ = folders
    key = write_study(tmp_path / "study.html", {name: paths[name] for name in ("ours", "theirs")})
    rows = list(csv.DictReader(key.read_text().splitlines()))
    side = {row["question"]: "left" if row["left"] == "ours" else "right" for row in rows}
    other = {"left": "right", "right": "left"}
    first = answer(tmp_path / "1.csv", side.items())
    second = answer(tmp_path / "2.csv", [("1", side["1"]), ("2", other[side["2"]])])
    assert count_answers(key, [first, second]) == {"ours": (4, 5), "theirs": (1, 5)}


def test_votes_for_single_pictures(folders, tmp_path):
    paths, greys = folders
    key = write_study(
        tmp_path / "study.html", {"real": paths["ours"], "64x64": paths["old"]}, "single", count=4, seed=3
    )
    rows = list(csv.DictReader(key.read_text().splitlines()))
    source = {"real": "ours", "64x64": "old"}
    expected = [[greys[source[row["group"]]][row["picture"]]] for row in rows]
    assert shown_greys((tmp_path / "study.html").read_text()) == expected and len(rows) == 4
    given = answer(tmp_path / "1.csv", [(row["question"], "real") for row in rows[:3]] + [("4", "filled")])
    counts = count_answers(key, [given])
    assert sum(votes for votes, _ in counts.values()) == 3 and sum(seen for _, seen in counts.values()) == 4


def test_the_draw_depends_on_the_seed_alone(folders, tmp_path):
    paths, _ = folders
    keys = [write_study(tmp_path / f"{i}.html", paths, seed=seed).read_text() for i, seed in enumerate((1, 1, 2))]
    assert keys[0] == keys[1] != keys[2]


def test_errors(folders, tmp_path):
    paths, _ = folders
    out = tmp_path / "study.html"
    with pytest.raises(ConfigError, match="a study must be 'paired' or 'single', got 'triple'"):
        write_study(out, paths, "triple")
    with pytest.raises(ConfigError, match="needs 1 or more questions, got count 0"):
        write_study(out, paths, count=0)
    with pytest.raises(ConfigError, match="compares two or more methods, got 1 folder; add one"):
        write_study(out, {"ours": paths["ours"]})
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="the folder of 'none' has no pictures"):
        write_study(out, {"ours": paths["ours"], "none": tmp_path / "none"})
    Image.new("RGB", (8, 8)).save(tmp_path / "none" / "z.png")
    with pytest.raises(DataError, match="no picture of the same name"):
        write_study(out, {"ours": paths["ours"], "none": tmp_path / "none"})
    key = write_study(out, paths)
    with pytest.raises(DataError, match="exists"):
        write_study(out, paths)
    for rows in ([("99", "left")], [("1", "real")]):
        with pytest.raises(DataError, match=f"answer '{rows[0][1]}' to question '{rows[0][0]}' does not belong to"):
            count_answers(key, [answer(tmp_path / "wrong.csv", rows)])
