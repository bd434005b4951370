"""The faults of benchmarks/faults: a few of each here, the full counts as slow tests."""

import random

import pytest
import torch

from benchmarks.faults.__main__ import FAULTS
from benchmarks.faults.kills import same
from benchmarks.faults.mutants import damage
from benchmarks.faults.processes import complaint

FEW = {"kills": 2, "disks": 2, "pairs": 1, "mutants": 60, "payloads": 24}


def losses(name, count, folder):
    cases = list(FAULTS[name][0](count, 0, folder))
    assert len(cases) >= count
    return [f"{what}: {problem}" for what, problem in cases if problem]


@pytest.mark.parametrize("name", FEW)
def test_a_few_faults_lose_nothing(name, tmp_path):
    assert losses(name, FEW[name], tmp_path) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", FAULTS)
def test_faults_lose_nothing(name, tmp_path):
    assert losses(name, FAULTS[name][1], tmp_path) == []


def test_the_judge_notices_what_it_looks_for():
    assert complaint(0, "") is None
    assert complaint(1, "inpaintzoo fit: error: no room\n") is None
    assert "a traceback" in complaint(1, "Traceback (most recent call last):\n")
    assert "2 error lines" in complaint(1, "a: error: b\na: error: c\n")
    assert "0 error lines" in complaint(2, "usage: ...\n")
    one = {"a": [torch.zeros(2)], "b": (1, "x")}
    assert same(one, {"a": [torch.zeros(2)], "b": (1, "x")})
    assert not same(one, {"a": [torch.tensor([0.0, 1e-45])], "b": (1, "x")})
    assert not same(torch.zeros(2), torch.zeros(2, dtype=torch.float64))


def test_damage_changes_a_file(tmp_path):
    chance = random.Random(0)
    for number in range(40):
        file = tmp_path / f"{number}.json"
        file.write_text('{"a": 1, "b": "text", "c": [1, 2, 3]}')
        how = damage(file, chance)
        assert how in ("bits", "cut", "insert", "swap", "zeros", "number")
    texts = [file.read_bytes() for file in tmp_path.iterdir()]
    assert sum(text != b'{"a": 1, "b": "text", "c": [1, 2, 3]}' for text in texts) > 30
