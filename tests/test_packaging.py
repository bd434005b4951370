"""What wheel and sdist hold, from setuptools itself, without a build; `.ci/run` builds and installs them."""

import re
import runpy
import shutil
import subprocess

import pytest
import yaml
from places import CONFIGS, ROOT

from inpaintzoo import __version__


@pytest.fixture
def package(monkeypatch, tmp_path):
    """The package as setuptools sees it; what it writes goes to a folder of the test's own."""
    setuptools = pytest.importorskip("setuptools")
    made = []
    monkeypatch.setattr(
        setuptools,
        "setup",
        lambda **settings: made.append(setuptools.Distribution({**settings, "script_name": "setup.py"})),
    )
    monkeypatch.chdir(ROOT)
    runpy.run_path("setup.py")
    (found,) = made
    found.parse_config_files()
    found.get_command_obj("egg_info").egg_base = str(tmp_path)
    return found


def test_the_wheel_has_code_data_and_configs(package, tmp_path):
    build = package.get_command_obj("build_py")
    build.build_lib = str(tmp_path)
    build.ensure_finalized()
    held = {file.removeprefix(f"{tmp_path}/") for file in build.get_outputs(include_bytecode=False)}
    assert {f"inpaintzoo/configs/{path.relative_to(CONFIGS).as_posix()}" for path in CONFIGS.rglob("*.yaml")} <= held
    used = [path for path in (ROOT / "inpaintzoo").rglob("*") if path.is_file() and path.suffix != ".pyc"]
    assert {path.relative_to(ROOT).as_posix() for path in used} <= held, "every file of the package is used by it"


def test_the_sdist_has_every_file_of_the_repository(package):
    if not (ROOT / ".git").exists() or not shutil.which("git"):
        pytest.skip("only a checkout knows which files there are")
    info = package.get_command_obj("egg_info")
    info.ensure_finalized()
    info.run()
    held = {file.replace("\\", "/") for file in info.filelist.files}
    tracked = subprocess.run(["git", "ls-files"], capture_output=True, text=True, check=True).stdout.split()
    assert [file for file in tracked if file not in held and file != ".gitignore"] == []


def test_the_citation_names_this_version():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert cited["version"] == __version__ and cited["license"] == "MIT" and cited["cff-version"] == "1.2.0"


def test_hosted_ci_calls_the_script_on_every_system_and_python():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "tests.yml").read_text(encoding="utf-8"))
    job = workflow["jobs"]["run"]
    assert job["steps"][-1] == {"run": ".ci/run", "shell": "bash"}
    matrix = job["strategy"]["matrix"]
    assert {system.split("-")[0] for system in matrix["system"]} == {"ubuntu", "macos", "windows"}
    supported = re.findall(r"Python :: (3\.\d+)", (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert matrix["python"] == supported
    assert {"oldest", *matrix["dependencies"]} == {"oldest", "newest"}
    assert {extra["system"] for extra in matrix["include"]} == set(matrix["system"])


def test_the_page_on_installing_names_every_extra(package):
    page = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.M)) == set(package.extras_require)
