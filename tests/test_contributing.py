"""CONTRIBUTING.md followed to the letter, in a copy of the checkout: what it adds passes the project's own checks."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pages import blocks
from places import ROOT

GUIDE = ROOT / "CONTRIBUTING.md"
MODEL, CONFIG, TEST = "inpaintzoo/models/dilated.py", "configs/dilated.yaml", "tests/models/test_dilated.py"
REGISTRY, CONTRACTS = "inpaintzoo/models/__init__.py", "tests/test_contracts.py"


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """The checkout after steps 1 to 4 of the guide."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("inpaintzoo", "configs", "tests", "benchmarks"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "golden"))
    for name in ("pyproject.toml", "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs"):
        (folder / name).symlink_to(ROOT / name)
    files = {text.split("\n", 1)[0][2:]: text for kind in ("python", "yaml") for text in blocks(GUIDE, kind)}
    assert set(files) == {MODEL, CONFIG, TEST}
    for name, text in files.items():
        (folder / name).write_text(text)
    (line,) = [text for text in blocks(GUIDE, "") if text.startswith("from ")]
    name = line.split()[-1]
    registry = (folder / REGISTRY).read_text()
    registry = registry.replace("\n__all__ = [\n", f'\n{line}\n__all__ = [\n    "{name}",\n', 1)
    assert f'"{name}"' in registry
    (folder / REGISTRY).write_text(registry)
    done(folder, "ruff check --fix --quiet", REGISTRY)
    (entry,) = [text for text in blocks(GUIDE, "") if text.startswith("    ")]
    contracts = (folder / CONTRACTS).read_text()
    (folder / CONTRACTS).write_text(contracts.replace("\nGENERATORS = {\n", f"\nGENERATORS = {{\n{entry}", 1))
    return folder


def done(folder, command, *arguments):
    """Run a command of the guide in the copy, by the programs beside this Python; it must succeed."""
    paths = {"PYTHONPATH": str(folder), "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    words = [*shlex.split(command), *arguments]
    ran = subprocess.run(words, cwd=folder, env=os.environ | paths, capture_output=True, text=True)
    assert ran.returncode == 0, f"{command}\n{ran.stdout}\n{ran.stderr}"
    return ran.stdout


def commands(start):
    """Lines of the guide's plain blocks that start like this."""
    return [line for text in blocks(GUIDE, "") for line in text.splitlines() if line.startswith(start)]


def test_the_written_files_pass_ruff(copy):
    written = (MODEL, TEST, REGISTRY, CONTRACTS)
    assert "All checks passed" in done(copy, "ruff check", *written)
    assert "4 files already formatted" in done(copy, "ruff format --check", *written)


def test_the_config_is_doctored_and_trains(copy):
    doctor, fit = commands("inpaintzoo ")
    small = "--model.generator.width 4 --data.batch_size 2 --data.num_workers 0 --data.train_size 4 --data.val_size 1"
    assert "0 errors" in done(copy, f"{doctor} {small}")
    done(copy, f"{fit} {small} --model.max_iterations 2 --trainer.val_check_interval 2 --trainer.accelerator cpu")
    assert any((copy / "runs" / "dilated").rglob("last.ckpt"))


def test_the_written_test_passes(copy):
    (command,) = commands(f"pytest {TEST}")
    assert "4 passed" in done(copy, command)


@pytest.mark.slow
def test_the_suites_over_all_classes_and_configs_pass(copy):
    (command,) = commands("pytest tests -k")
    said = done(copy, command, "--ignore=tests/test_contributing.py", "-m", "", "-p", "no:cacheprovider")
    assert int(re.search(r"(\d+) passed", said).group(1)) > 35


@pytest.mark.slow
def test_types_and_rooms_pass(copy):
    assert "Success: no issues found" in done(copy, "mypy")
    assert "2 kept, 0 broken" in done(copy, "lint-imports")
