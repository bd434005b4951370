"""Configs by name: what `--config` finds from any folder, and `inpaintzoo config`."""

import shutil
import sys

import pytest
import yaml
from places import CONFIGS

from inpaintzoo.commands import main
from inpaintzoo.commands.config_files import config_names, folder_of_configs, with_config_files

NAMES = [path.relative_to(CONFIGS).with_suffix("").as_posix() for path in CONFIGS.rglob("*.yaml")]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def found(*arguments):
    return with_config_files("fit", arguments)


@pytest.mark.parametrize("name", ["spn", "spn.yaml", "configs/spn.yaml", "configs/spn", "./configs/spn.yaml"])
def test_a_name_is_the_zoos_config_from_any_folder(name, capsys):
    assert found("--config", name, "--ema.decay", "0.9") == [
        "--config",
        str(CONFIGS / "spn.yaml"),
        "--ema.decay",
        "0.9",
    ]
    assert found(f"--config={name}") == [f"--config={CONFIGS / 'spn.yaml'}"]
    assert capsys.readouterr().err == f"inpaintzoo fit: --config {name} is the zoo's {CONFIGS / 'spn.yaml'}\n" * 2
    assert found("-c", name) == ["-c", str(CONFIGS / "spn.yaml")]


def test_every_config_has_its_name():
    assert sorted(NAMES) == sorted(config_names())
    for name in NAMES:
        assert found("--config", name, "--config", f"{name}.yaml") == ["--config", str(CONFIGS / f"{name}.yaml")] * 2


def test_a_file_comes_before_the_zoos(elsewhere, capsys):
    (elsewhere / "spn.yaml").write_text("{}")
    assert found("--config", "spn.yaml") == ["--config", "spn.yaml"]
    assert capsys.readouterr().err == "inpaintzoo fit: --config spn.yaml is the file here, not the zoo's spn\n"
    (elsewhere / "mine.yaml").write_text("{}")
    assert found("--config", "mine.yaml") == ["--config", "mine.yaml"]
    assert capsys.readouterr().err == "", "nothing to tell apart"
    (elsewhere / "pennet").mkdir()  # a folder is not a config
    assert found("--config", "pennet") == ["--config", str(CONFIGS / "pennet.yaml")]


def test_the_checkouts_own_file_is_not_announced(monkeypatch, capsys):
    monkeypatch.chdir(CONFIGS.parent)
    assert found("--config", "configs/spn.yaml") == ["--config", "configs/spn.yaml"]
    assert capsys.readouterr().err == ""


def test_only_the_first_process_says_which(monkeypatch, capsys):
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert found("--config", "spn") == ["--config", str(CONFIGS / "spn.yaml")]
    assert capsys.readouterr().err == ""


def test_what_is_no_name_is_left_alone():
    for text in ("{model: null}", "seed_everything: 1", "model:\n  x: 1", "", "--print_config"):
        assert found("--config", text) == ["--config", text]
    assert found("--model.init_from", "spn") == ["--model.init_from", "spn"]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("spm", "; did you mean spn or spl?"),
        ("configs/pennett.yaml", "; did you mean pennet"),
        ("folder", "; did you mean benchmark/folder or data/folder?"),
        ("data/foldr", "; did you mean data/folder"),
        ("nothing-like-it", "; inpaintzoo config lists them"),
        ("../spn.yaml", "; did you mean spn?"),
    ],
)
def test_a_name_that_is_missing_is_one_sentence(name, meant, capsys):
    for command in ("fit", "benchmark", "doctor", "validate", "test", "predict"):
        assert main([command, "--config", name]) == 2
        line = capsys.readouterr().err
        assert line.count("\n") == 1 and meant in line
        assert line.startswith(f"inpaintzoo {command}: error: --config {name}: there is no such file, and no config of")


def test_a_missing_absolute_path_is_no_name(capsys):
    assert main(["fit", "--config", "/nowhere/spn.yaml"]) == 2
    assert capsys.readouterr().err == "inpaintzoo fit: error: --config /nowhere/spn.yaml: there is no such file\n"


def test_a_missing_file_is_suggested_from_its_own_folder(elsewhere, capsys):
    (elsewhere / "mine.yaml").write_text("{}")
    assert main(["fit", "--config", "mime.yaml"]) == 2
    assert "did you mean mine.yaml?" in capsys.readouterr().err


def test_a_missing_name_is_told_before_heavy_imports(monkeypatch, capsys):
    for module in ("torch", "lightning", "jsonargparse", "yaml"):
        monkeypatch.setitem(sys.modules, module, None)  # importing it raises
    assert main(["benchmark", "--config", "quickstrt"]) == 2
    assert "did you mean quickstart or benchmark/quickstart?" in capsys.readouterr().err


def test_config_lists_every_config_with_a_line(capsys):
    assert main(["config"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sorted(line.split()[0] for line in lines) == sorted(NAMES)
    assert lines[0].split()[0] == "aff" and lines[-1].split()[0].startswith("trainer/"), "methods come first"
    assert next(line for line in lines if line.startswith("spn ")).endswith(
        "SPN, deterministic: Fully Context-Aware Image Inpainting with a Learned Semantic Pyramid (Zhang et al., 2021)"
    )
    assert all(len(line.split(None, 1)[1]) > 20 and not line.endswith((".", ":", ",")) for line in lines)
    assert max(map(len, lines)) <= 220


def test_config_writes_one_out(capsys):
    for name in ("spn", "configs/data/folder.yaml"):
        assert main(["config", name]) == 0
        stem = name.removeprefix("configs/").removesuffix(".yaml")
        assert capsys.readouterr().out == (CONFIGS / f"{stem}.yaml").read_text(encoding="utf-8")


def test_config_refuses_what_is_not_there(capsys):
    assert main(["config", "spm"]) == 1
    assert capsys.readouterr().err == (
        "inpaintzoo config: error: spm: no config of the zoo has this name; did you mean spn or spl?\n"
    )


def test_configs_are_ascii():
    """`inpaintzoo config spn > my.yaml` writes in the terminal's encoding, and YAML is read as UTF-8."""
    assert [name for name in NAMES if not (CONFIGS / f"{name}.yaml").read_text(encoding="utf-8").isascii()] == []


def test_configs_name_no_file_beside_them():
    """So that they work from wherever the package is installed."""
    files = {path.name for path in CONFIGS.rglob("*.yaml")}

    def texts(value):
        if isinstance(value, dict):
            return [text for inner in value.values() for text in texts(inner)]
        return [text for inner in value for text in texts(inner)] if isinstance(value, list) else [value]

    for name in NAMES:
        values = texts(yaml.safe_load((CONFIGS / f"{name}.yaml").read_text(encoding="utf-8")))
        assert [text for text in values if isinstance(text, str) and text.split("/")[-1] in files] == [], name


def test_a_copied_package_brings_its_configs(tmp_path, monkeypatch):
    """In a wheel the configs are within the package; in a checkout beside it."""
    shutil.copytree(CONFIGS, tmp_path / "site-packages" / "inpaintzoo" / "configs")
    (tmp_path / "site-packages" / "configs").mkdir()  # another package's
    inside = tmp_path / "site-packages" / "inpaintzoo" / "commands" / "config.py"
    assert folder_of_configs(inside) == tmp_path / "site-packages" / "inpaintzoo" / "configs"
    assert folder_of_configs(CONFIGS.parent / "inpaintzoo" / "commands" / "config.py") == CONFIGS
