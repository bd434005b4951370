"""The faults of benchmarks/faults: a few of each here, the full counts as slow tests."""

import random
import re
import subprocess
import sys

import pytest
import torch
from places import TESTS

from benchmarks.faults.__main__ import FAULTS
from benchmarks.faults.kills import same
from benchmarks.faults.mutants import damage
from benchmarks.faults.processes import complaint

FEW = {"kills": 2, "disks": 2, "pairs": 1, "mutants": 60, "payloads": 24}


def check(folder, name, *arguments):
    """Run a fault in an interpreter of its own: it forks, which autograd forbids once it has been used."""
    command = [sys.executable, "-m", "benchmarks.faults", name, *map(str, arguments), "--folder", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=TESTS.parent)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert re.search(rf"^{name}: [1-9]\d* cases, 0 with a loss", done.stdout, re.MULTILINE), done.stdout


@pytest.mark.parametrize("name", FEW)
def test_a_few_faults_lose_nothing(name, tmp_path):
    check(tmp_path, name, "--count", FEW[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", FAULTS)
def test_faults_lose_nothing(name, tmp_path):
    check(tmp_path, name)


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
