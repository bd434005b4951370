"""What importing the package imports, and that nothing public is lost by importing it late."""

import json
import subprocess
import sys

import pytest

from inpaintzoo.commands import main, overview

# One after the other in one interpreter: what the earlier ones import may be there, what is absent after a later one
# is absent after it alone.
STEPS = [
    ("import inpaintzoo", "torch lightning", "inpaintzoo"),
    ("from inpaintzoo.commands import main; main(['--version'])", "torch lightning", "inpaintzoo.commands"),
    ("from inpaintzoo.commands import main; main(['inpaint', '--help'])", "torch numpy", "inpaintzoo.commands.inpaint"),
    ("main(['inpaint', 'a.png', 'b.png', '-o', 'c.png', '--fil', 'telea'])", "torch numpy", "inpaintzoo.commands"),
    ("main(['config', 'spnn'])", "torch numpy", "inpaintzoo.commands.config"),
    ("main(['remove', '--help'])", "torch lightning", "inpaintzoo.commands.remove"),
    ("from inpaintzoo.data import masks", "lightning", "torch"),
    ("from inpaintzoo import Predictor, load_model", "lightning torchmetrics kornia skimage", "torch"),
    ("from inpaintzoo.commands import convert, export, inpaint", "lightning torchmetrics kornia skimage", "torch"),
    ("inpaintzoo.models.PENNet", "lightning", "torch"),
    ("inpaintzoo.Inpainter", "timm", "lightning inpaintzoo.teachers"),
]
PACKAGES = ["inpaintzoo", "inpaintzoo.data"]
SCRIPT = """
import contextlib, importlib, json, sys
told = {"loaded": [], "listed": {}, "exported": {}, "missing": {}}
with contextlib.redirect_stdout(sys.stderr):
    for step in STEPS:
        exec(step)
        told["loaded"].append(list(sys.modules))

    import jsonargparse
    from inpaintzoo import Inpainter

    parser = jsonargparse.ArgumentParser()
    parser.add_subclass_arguments(Inpainter, "model")
    model = {"class_path": "Inpainter", "init_args": {"generator": "PENNet", "losses": {"a": "HoleL1"}}}
    told["short name"] = parser.parse_object({"model": model}).model.init_args.losses["a"].class_path

    for package in PACKAGES:
        told["listed"][package] = dir(importlib.import_module(package))
        told["exported"][package] = importlib.import_module(f"{package}.exports").__all__
        names = {}
        exec(f"from {package} import *", names)
        told["missing"][package] = [name for name in told["exported"][package] if name not in names]
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def told():
    """What a fresh interpreter says of its imports."""
    code = f"STEPS, PACKAGES = {[code for code, _, _ in STEPS]!r}, {PACKAGES!r}\n{SCRIPT}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("number", range(len(STEPS)), ids=[code for code, _, _ in STEPS])
def test_what_is_imported(number, told):
    _, absent, present = STEPS[number]
    loaded = set(told["loaded"][number])
    assert not set(absent.split()) & loaded and set(present.split()) <= loaded


@pytest.mark.parametrize("package", PACKAGES)
def test_all_public_names_are_there(package, told):
    assert sorted(told["listed"][package]) == sorted(told["exported"][package]) and len(told["listed"][package]) > 8
    assert told["missing"][package] == []


@pytest.mark.parametrize("name", ["Inpaintr", "_hidden", "__wrapped__"])
def test_what_is_not_public_is_an_attribute_error(name):
    import inpaintzoo

    with pytest.raises(AttributeError, match=f"module 'inpaintzoo' has no attribute '{name}'"):
        getattr(inpaintzoo, name)


def test_a_parser_of_the_users_own_knows_all_classes(told):
    assert told["short name"] == "inpaintzoo.losses.HoleL1"


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
