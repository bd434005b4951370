"""Manifests that were changed at random are read or refused in a sentence, at once."""

import json
import random

import numpy as np
import pytest
from PIL import Image

from inpaintzoo.data.manifest import Manifest, PinnedMasks
from inpaintzoo.data.masks import FreeForm, LimitedMask, MaskFolder, MixedMasks
from inpaintzoo.data.source import ImageSource
from inpaintzoo.types import DataError

VALUES = [
    *(None, True, -1, 0, 1, 2**31, 10**400, 1e300, float("nan"), float("inf"), "", "\0", "\ud800", "../x", "/"),
    *([], [0], [1, 2**31], [2**31, 2**31], ["a", "b"], {}, {"class": "FreeForm"}, {"class": [], "args": 1}),
]


class Two(ImageSource):
    names = ("a", "b")

    def load(self, index, rng=None):
        raise NotImplementedError

    def fingerprint(self, index):
        return f"{index}"


@pytest.fixture
def manifests(tmp_path):
    (tmp_path / "masks").mkdir()
    for name in Two.names:
        Image.fromarray(np.eye(16, dtype=bool)).save(tmp_path / "masks" / f"{name}.png")
    kinds = [
        MaskFolder(tmp_path / "masks", order="name"),
        LimitedMask(MixedMasks([FreeForm()], [1.0]), (0.0, 1.0)),
        MaskFolder(tmp_path / "masks", order="name", flips=True),
    ]
    paths = []
    for number, masks in enumerate(kinds):
        paths.append(tmp_path / f"{number}.jsonl")
        Manifest.make(Two(), masks, 0, 16, 16).save(paths[-1])
    return paths


def mutated(text, chance):
    lines = [json.loads(line) for line in text.splitlines()]
    places = []

    def walk(node):
        for key in node if isinstance(node, dict) else range(len(node)):
            places.append((node, key))
            if isinstance(node[key], (dict, list)):
                walk(node[key])

    walk(lines)
    node, key = chance.choice(places)
    if isinstance(node, dict) and chance.random() < 0.2:
        del node[key]
    else:
        node[key] = chance.choice(VALUES)
    return "\n".join(map(json.dumps, lines))


def read(path):
    try:
        masks = PinnedMasks(path)
        masks.check()
        masks.mask_files()
        for index in range(len(masks.pinned)):
            masks.draw(16, 16, np.random.default_rng(0), index)
    except DataError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.timeout(60)
def test_mutated_manifests_are_sentences(manifests, tmp_path, seed):
    chance = random.Random(seed)
    original = manifests[seed].read_text()
    assert read(manifests[seed]) == ""
    for _ in range(300):
        text = mutated(original, chance)
        (tmp_path / "mutated.jsonl").write_text(text)
        said = read(tmp_path / "mutated.jsonl")
        assert "\n" not in said and len(said) < 1500, text
