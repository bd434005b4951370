"""The help of a command is made once, and made anew when what it depends on has changed."""

import json
import os
import subprocess
import sys

import pytest

from inpaintzoo.commands import COMMANDS, kept_help, main

COMMAND = (
    "import json, sys; from inpaintzoo.commands import main; main(sys.argv[1:]); print(json.dumps([*sys.modules]))"
)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("INPAINTZOO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "help"


def test_help_that_is_kept_imports_nothing_heavy(cache):
    said = []
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", COMMAND, "fit", "--help"], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        text, _, modules = done.stdout.rstrip().rpartition("\n")
        said.append((text, set(json.loads(modules))))
    (first, imported), (second, light) = said
    assert first == second and "--trainer.max_epochs" in first
    assert "lightning" in imported and not {"torch", "numpy", "lightning", "jsonargparse"} & light


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_kept_help_is_what_the_command_says(command, cache, capsys):
    for option in ("--help", "-h"):
        assert main([command, option]) == 0
        said = capsys.readouterr().out
        assert [file.read_text(encoding="utf-8") for file in cache.iterdir()] == [said]


def test_another_width_or_version_has_its_own_text(cache, monkeypatch, capsys):
    for columns, version in (("60", "1"), ("100", "1"), ("100", "2")):
        monkeypatch.setenv("COLUMNS", columns)
        monkeypatch.setattr(kept_help.importlib.metadata, "version", lambda name, version=version: version)
        assert main(["config", "--help"]) == 0
    assert len(list(cache.iterdir())) == 3


def test_a_cache_that_cannot_be_written_does_not_matter(cache, capsys):
    cache.parent.write_text("a file")
    assert main(["config", "--help"]) == 0
    assert capsys.readouterr().out.startswith("usage: inpaintzoo config")


def test_classes_of_the_users_own_and_other_arguments_are_not_kept(cache, tmp_path, monkeypatch, capsys):
    (tmp_path / "mine_for_help.py").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    assert main(["config", "--import", "mine_for_help", "--help"]) == 0
    assert main(["config", "spn"]) == 0
    assert not os.path.exists(cache)
