"""A class outside the package, found by `--import` or in the current folder: the page on an own network, as printed."""

import shlex
import sys

import pytest
from pages import blocks
from places import ROOT
from torchvision.utils import save_image

from inpaintzoo.commands import main
from inpaintzoo.data import SceneSource

PAGE = ROOT / "docs" / "your_own.md"
TRAINING = "--data.train_size 4 --data.val_size 1 --data.batch_size 2"
SMALL = {
    "fit": f"{TRAINING} --model.max_iterations 2 --trainer.val_check_interval 2",
    "doctor": TRAINING,
    "test": f"{TRAINING} --data.test_size 2 --model.generator.width 4",
    "benchmark": "--sets.scenes.test_size 2",
}


@pytest.fixture
def at(monkeypatch):
    """Enters a folder; what Python imports from there is forgotten afterwards."""
    before = set(sys.modules)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield monkeypatch.chdir
    for name in set(sys.modules) - before:
        if name.startswith("mynets"):
            del sys.modules[name]


@pytest.fixture
def place(tmp_path, at):
    """A folder with the page's files, and a picture with a hole."""
    at(tmp_path)
    for text in blocks(PAGE, "python") + blocks(PAGE, "yaml"):
        (tmp_path / text.split("\n", 1)[0].removeprefix("# ")).write_text(text)
    image = SceneSource("test", 1, 32).load(0).image
    save_image(image, "photo.png")
    hole = (image[:1] * 0).repeat(3, 1, 1)
    hole[:, 8:20, 8:20] = 1
    save_image(hole, "hole.png")
    return tmp_path


def test_the_page_on_an_own_network_runs_as_printed(place, capsys, monkeypatch):
    # Charts and pages of any network are the benchmark's own tests'.
    monkeypatch.setattr("inpaintzoo.benchmark.report.write.write_report", lambda *arguments: None)
    lines = [line for text in blocks(PAGE, "bash") for line in text.splitlines()]
    for line in lines:
        _, command, *options = shlex.split(line)
        small = shlex.split(SMALL.get(command, ""))
        if "mine.yaml" in options and command in ("fit", "doctor"):
            small += ["--model.generator.width", "4"]
        assert main([command, *options, *small]) == 0, f"{line}\n{capsys.readouterr().err}"
    assert {shlex.split(line)[1] for line in lines} == {"doctor", "fit", "test", "benchmark", "export", "inpaint"}
    out = capsys.readouterr().out
    assert "Hourglass" in out and "mine" in out
    exec(compile((place / "fill.py").read_text(), "fill.py", "exec"), {"__name__": "__main__"})
    assert (place / "again.png").read_bytes() == (place / "filled.png").read_bytes()

    del sys.modules["mynets"]
    rename = (place / "mine.safetensors").read_bytes().replace(b"mynets.Hourglass", b"nonets.Hourglass")
    (place / "other.safetensors").write_bytes(rename)
    assert main(["inpaint", "photo.png", "hole.png", "--out", "no.png", "--model", "other.safetensors"]) == 1
    assert "with --import nonets" in capsys.readouterr().err


@pytest.mark.parametrize("option", [["--import", "mynets_ran"], ["--import=mynets_ran"]])
def test_import_runs_a_module_of_the_current_folder(option, tmp_path, at, capsys):
    at(tmp_path)
    (tmp_path / "mynets_ran.py").write_text("print('mine ran')")
    assert main(["export", "--help", *option]) == 0
    out = capsys.readouterr().out
    assert out.startswith("mine ran") and "--ckpt" in out


@pytest.mark.parametrize(
    ("module", "sentence"),
    [
        ("mynets_none", "--import mynets_none: there is no such module here or on Python's path"),
        ("mynets_none.inner", "--import mynets_none.inner: there is no such module"),
        ("mynets_needs", "--import mynets_needs: importing it raised ModuleNotFoundError: No module named 'mynets_x'"),
        ("mynets_wrong", "--import mynets_wrong: importing it raised SyntaxError"),
        ("mynets.py", "--import mynets.py: there is no such module"),
        ("./mynets.py", "--import './mynets.py': give a module's name"),
    ],
)
def test_a_module_that_cannot_be_imported_is_one_sentence(module, sentence, tmp_path, at, capsys):
    at(tmp_path)
    (tmp_path / "mynets_needs.py").write_text("import mynets_x")
    (tmp_path / "mynets_wrong.py").write_text("def")
    assert main(["list", "--import", module]) == 2
    error = capsys.readouterr().err
    assert sentence in error and error.count("\n") == 1


def test_a_file_of_the_current_folder_takes_no_installed_modules_place(tmp_path, at):
    at(tmp_path)
    assert main(["masks", "--help"]) == 0
    assert sys.path[-1] == ""
