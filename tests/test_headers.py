"""Headers of the shipped configs: each command and each flag that they name is parsed as a reader would type it."""

import functools
import re
import shlex
from pathlib import Path

import pytest
from jsonargparse import ArgumentError
from pages import ParsedOnly
from places import ROOT

from inpaintzoo.commands.benchmark import make_parser
from inpaintzoo.commands.mistakes import usage_error

# Those of `inpaintzoo benchmark` have a parser of their own.
CONFIGS = sorted(path for path in (ROOT / "configs").rglob("*.yaml") if path.parent.name != "benchmark")
WORDS = {"and", "or", "alone", "after", "over"}


def header(config):
    """Lines of the comment before the first key, without their `# `, continued lines joined."""
    lines = []
    for line in config.read_text().splitlines():
        if not line.startswith("#"):
            break
        lines.append(line[1:].removeprefix(" "))
    return "\n".join(lines).replace("\\\n", " ")


def commands(text):
    return re.findall(r"^ +inpaintzoo fit (.*)$", text, re.MULTILINE)


def items(text):
    """Bullets and paragraphs on a line each."""
    text = re.sub(r"^ +inpaintzoo .*$", "", text, flags=re.MULTILINE)
    return [" ".join(part.split()) for part in re.split(r"\n(?=- |\s*\n)|(?<=[.:])\n(?! )", text) if "--" in part]


def chains(item):
    """Runs of flags with their values, such as `--a X --a.b Y`; a value is missing where the sentence goes on."""
    found, end = [], None
    for match in re.finditer(r'--(\w[\w.]*\w)(?:(?<![.,;:)]) (?!--)("[^"]*"|[^\s(]+))?', item):
        flag, value = match.groups()
        if value and (value in WORDS or not re.search(r"[\w\"]", value)):
            value = None
        option = [f"--{flag}"] + ([] if value is None else [value.strip('"').rstrip(".,;:)")])
        if end is not None and item[end : match.start()] == " ":
            found[-1] += option
        else:
            found.append(option)
        ended = value is None or value != value.rstrip(".,;:)")
        end = None if ended else match.end()
    return found


def placed(options, folder):
    return [str(folder) if option in ("DIR", "FILE") else option for option in options]


@functools.cache
def parser():
    """That of the command line; made once, since it takes longer than parsing."""
    return ParsedOnly(["--config", str(ROOT / "configs" / "quickstart.yaml")], run=False).parser


def complaint(options):
    """The sentence with which these options are refused; empty if they parse."""
    try:
        parser().parse_args(options)
    except (ArgumentError, TypeError, ValueError, KeyError) as error:
        return usage_error(parser(), options, error)
    return ""


def known(flag, options):
    """Whether a flag without a value exists: a value of the wrong type is another complaint than an unknown flag."""
    said = complaint([*options, flag, "null"])
    return not any(f"no such {thing}" in said for thing in ("option", "argument", "key"))


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: "/".join(path.parts[-2:]))
def test_every_command_and_flag_of_a_header_parses(config, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    text = header(config)
    lines = commands(text)
    assert lines and all(str(config.relative_to(ROOT)) in line for line in lines)
    for line in lines:
        assert complaint(placed(shlex.split(line), tmp_path)) == ""
    base = placed(shlex.split(lines[0]), tmp_path)
    wrong = []
    for item in items(text):
        named = set(re.findall(r"configs/data/\w+\.yaml", item))
        if "own images" in item.lower():
            named.add("configs/data/folder.yaml")
        layers = [[], *(["--config", name] for name in sorted(named))]
        for chain in chains(item):
            if len(chain) == 1:
                good = any(known(chain[0], [*base, *layer]) for layer in layers)
            else:
                good = any(not complaint([*base, *layer, *placed(chain, tmp_path)]) for layer in layers)
            if not good:
                wrong.append(" ".join(chain))
    assert wrong == []


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: "/".join(path.parts[-2:]))
def test_accumulation_is_advised_with_as_many_more_iterations(config):
    """`max_iterations` counts batches: accumulating four alone would drop three quarters of the updates."""
    text = header(config)
    advised = re.findall(r"--model\.accumulate (\d+)(?: --model\.max_iterations (\d+))?", text)
    iterations = re.search(r"^    max_iterations: (\d+)", config.read_text(), re.MULTILINE)
    for batches, given in advised:
        assert int(given or 0) == int(batches) * int(iterations.group(1))


def test_chains_are_read_as_they_are_meant():
    item = 'A: --a.b X --a.c "[1, 2]"; own: --dd DIR. With --ee, --ff and --gg 3 or (--hh 4) --config x.yaml.'
    expected = ["--a.b X --a.c [1, 2]", "--dd DIR", "--ee", "--ff", "--gg 3", "--hh 4", "--config x.yaml"]
    assert [" ".join(chain) for chain in chains(item)] == expected


def test_the_comparison_trains_and_names_its_methods(monkeypatch):
    """benchmarks/comparison: each method's budget parses, and the runs that are compared are those that are trained."""
    monkeypatch.chdir(ROOT)
    folder = ROOT / "benchmarks" / "comparison"
    script = (folder / "train.sh").read_text()
    methods = re.search(r"methods=\((\w[^)]*)\)", script).group(1).split()
    for method in methods:
        layers = ["--config", f"configs/{method}.yaml", "--config", str(folder / "budget.yaml")]
        rates = ["--model.generator_optimizer.lr", "5e-4", "--model.discriminator_optimizer.lr", "2e-4"]
        assert all(rate in script for rate in rates)
        assert complaint([*layers, "--data.root", "photos", *rates]) == ""
    config = make_parser().parse_args(["--config", str(folder / "facade.yaml"), "--sets.squares.root", "photos"])
    paths = [method.init_args.path for method in config.contenders.values() if "path" in method.init_args]
    assert {Path(path).name for path in paths} == set(methods)


def test_a_misspelt_flag_is_not_known(monkeypatch):
    monkeypatch.chdir(ROOT)
    base = ["--config", "configs/aff.yaml"]
    assert known("--model.generator.width", base) and not known("--model.generator.widht", base)
    assert known("--data.root", [*base, "--config", "configs/data/folder.yaml"]) and not known("--data.rot", base)
