"""Sheets for user studies: one HTML file of anonymous pictures, whose answers are counted later.

Zeng et al., "Learning Pyramid-Context Encoder Network for High-Quality Image Inpainting" (PEN-Net), CVPR 2019,
https://arxiv.org/abs/1904.07475, tables 4 (pairs) and 5 (single pictures).
"""

from __future__ import annotations

import csv
import io
import itertools
import random
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal, get_args

from inpaintzoo.benchmark.report.page import encoded
from inpaintzoo.benchmark.report.rendering import environment
from inpaintzoo.files.writing import new_file, write_text
from inpaintzoo.pictures.images import list_images, read_image
from inpaintzoo.types import ConfigError, DataError
from inpaintzoo.words import counted, listed

StudyKind = Literal["paired", "single"]
_ANSWERS = {"paired": ("left", "right"), "single": ("real", "filled")}


def write_study(
    out: str | Path,
    folders: Mapping[str, str | Path],
    kind: StudyKind = "paired",
    count: int | None = None,
    seed: int = 0,
    overwrite: bool = False,
) -> Path:
    """Write a sheet, and beside it the key that says what was shown: `study.html` and `study.key.csv`.

    A browser shows one question at a time, without names, and saves the answers as `answers.csv`. The key stays with
    whoever counts (`count_answers`).

    Args:
        out: The HTML file.
        folders: Pictures by group. `paired`: one group for each method, pictures matched by their names without
            suffix; each question shows one picture by two methods, in random order. `single`: groups such as `real`
            and one for each size of the holes; each question shows one picture and asks whether it is real.
        kind: Which of the two.
        count: Questions, drawn at random; None asks all.
        seed: Of the draw and the order.
        overwrite: Whether the two files may exist.

    Returns:
        The key's path.

    Raises:
        ConfigError: `kind` or `count` is out of range, or `paired` has fewer than two groups.
        DataError: A group without pictures, no name that two methods have, or a file that exists.
    """
    if kind not in get_args(StudyKind):
        raise ConfigError(f"a study must be 'paired' or 'single', got {kind!r}")
    if count is not None and count < 1:
        raise ConfigError(f"a study needs 1 or more questions, got count {count}; leave it out to ask all")
    if kind == "paired" and len(folders) < 2:
        raise ConfigError(f"a paired study compares two or more methods, got {counted(folders, 'folder')}; add one")
    target = new_file(out, (".html",), overwrite, DataError)
    key = new_file(target.with_suffix(".key.csv"), (".csv",), overwrite, DataError)
    groups = {group: {path.stem: path for path in list_images(folder)} for group, folder in folders.items()}
    for group, pictures in groups.items():
        if not pictures:
            raise DataError(f"{folders[group]}: the folder of {group!r} has no pictures; fill it, or leave it out")
    draw = random.Random(seed)
    questions: list[tuple[str, tuple[str, ...]]]
    if kind == "single":
        questions = [(name, (group,)) for group, pictures in groups.items() for name in pictures]
    else:
        pairs = itertools.combinations(groups, 2)
        questions = [(name, pair) for pair in pairs for name in groups[pair[0]] if name in groups[pair[1]]]
        if not questions:
            raise DataError(
                f"{listed([*groups], 'and')} have no picture of the same name; give filled pictures the same names"
            )
    draw.shuffle(questions)
    asked = [(name, tuple(draw.sample(shown, len(shown)))) for name, shown in questions[:count]]
    sheets = [[encoded(read_image(groups[group][name])) for group in shown] for name, shown in asked]
    page = environment({}).get_template("study.html.j2").render(kind=kind, questions=sheets, answers=_ANSWERS[kind])
    rows = io.StringIO()
    table = csv.writer(rows, lineterminator="\n")
    table.writerow(["question", "picture", *(_ANSWERS["paired"] if kind == "paired" else ["group"])])
    table.writerows([number, name, *shown] for number, (name, shown) in enumerate(asked, 1))
    write_text(target, page)
    write_text(key, rows.getvalue())
    return key


def count_answers(key: str | Path, answers: Iterable[str | Path]) -> dict[str, tuple[int, int]]:
    """Count the answers of a study.

    Args:
        key: The key that `write_study` wrote.
        answers: The volunteers' files, one each.

    Returns:
        By group: votes for it, and votes in all. Of pairs, how often it was chosen (PEN-Net's table 4); of single
        pictures, how often it was taken for real (table 5).

    Raises:
        DataError: An answer does not belong to this key.
    """
    shown = {row["question"]: row for row in csv.DictReader(Path(key).read_text(encoding="utf-8").splitlines())}
    votes: Counter[str] = Counter()
    seen: Counter[str] = Counter()
    for path in answers:
        for row in csv.DictReader(Path(path).read_text(encoding="utf-8-sig").splitlines()):
            question, answer = shown.get(row.get("question", "")), row.get("answer")
            kind = "single" if question and "group" in question else "paired"
            if question is None or answer not in _ANSWERS[kind]:
                raise DataError(
                    f"{path}: answer {answer!r} to question {row.get('question')!r} does not belong to {key}, which "
                    f"has {counted(shown, 'question')}; give the key that was written with this sheet"
                )
            groups = [question["group"]] if kind == "single" else [question[side] for side in _ANSWERS["paired"]]
            seen.update(groups)
            if answer != "filled":
                votes[question["group" if kind == "single" else answer]] += 1
    return {group: (votes[group], seen[group]) for group in sorted(seen)}
