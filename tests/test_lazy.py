"""What importing the package imports, and that nothing public is lost by importing it late."""

import subprocess
import sys

import pytest

from inpaintzoo.commands import main, overview


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.parametrize(
    ("code", "absent", "present"),
    [
        ("import inpaintzoo", "torch lightning", "inpaintzoo"),
        ("from inpaintzoo.commands import main; main(['--version'])", "torch lightning", "inpaintzoo.commands"),
        ("from inpaintzoo import Predictor, load_model", "lightning torchmetrics kornia skimage", "torch"),
        (
            "from inpaintzoo.commands import convert, export, inpaint",
            "lightning torchmetrics kornia skimage",
            "torch",
        ),
        ("import inpaintzoo; inpaintzoo.models.PENNet", "lightning", "torch"),
        ("from inpaintzoo.data import masks", "lightning", "torch"),
        ("import inpaintzoo; inpaintzoo.Inpainter", "nothing", "lightning inpaintzoo.teachers"),
    ],
)
def test_what_is_imported(code, absent, present):
    loaded = run(f"{code}; import sys; print(*sys.modules)")
    assert not set(absent.split()) & set(loaded) and set(present.split()) <= set(loaded)


@pytest.mark.parametrize("package", ["inpaintzoo", "inpaintzoo.data"])
def test_all_public_names_are_there(package):
    listed = run(f"import {package} as package; print(*dir(package))")
    exported = run(f"from {package}.exports import __all__ as names; print(*names)")
    assert sorted(listed) == sorted(exported) and len(listed) > 8
    assert run(f"from {package} import *; print(*(name for name in {exported} if name not in globals()))") == []


@pytest.mark.parametrize("name", ["Inpaintr", "_hidden", "__wrapped__"])
def test_what_is_not_public_is_an_attribute_error(name):
    import inpaintzoo

    with pytest.raises(AttributeError, match=f"module 'inpaintzoo' has no attribute '{name}'"):
        getattr(inpaintzoo, name)


def test_a_parser_of_the_users_own_knows_all_classes():
    code = """
import jsonargparse
from inpaintzoo import Inpainter
parser = jsonargparse.ArgumentParser()
parser.add_subclass_arguments(Inpainter, "model")
model = {"class_path": "Inpainter", "init_args": {"generator": "PENNet", "losses": {"a": "HoleL1"}}}
print(parser.parse_object({"model": model}).model.init_args.losses["a"].class_path)
"""
    assert run(code) == ["inpaintzoo.losses.HoleL1"]


def test_an_unknown_command_is_a_sentence_and_imports_nothing(capsys):
    assert main(["inpant", "a.png"]) == 2
    said = capsys.readouterr().err
    assert said == "inpaintzoo: error: there is no command 'inpant'; did you mean inpaint?\n"


def test_every_command_of_the_overview_is_known(capsys):
    for line in overview().splitlines():
        if line.startswith("  ") and line[2] != " ":
            command = line.split()[0]
            assert main([command, "--help"]) == 0
            said = capsys.readouterr().out
            assert said.startswith("usage: ") and command in said.split("\n\n")[0].split()
