"""docs/papers.md: each figure and table of the five publications has its line, and what a line names is there."""

import re
import shlex

import pytest
from pages import ROOT, blocks

import inpaintzoo.callbacks
from inpaintzoo.commands.benchmark import make_parser

PAGE = ROOT / "docs" / "papers.md"


def numbers(prefix, *counts):
    """`numbers("3.", 10)`: 3.1 to 3.10."""
    return {f"{prefix}{number}" for count in counts for number in range(1, count + 1)}


# Counted in the publications' texts.
ITEMS = {
    "SPN": (numbers("", 13), numbers("", 6)),
    "PEN-Net": (numbers("", 8), numbers("", 6)),
    "SRPNet": (numbers("", 6) | {"A1"}, numbers("", 5) | numbers("A", 5)),
    "SGE-Net": (numbers("", 11), numbers("", 5)),
    "The dissertation: pyramid, feature fusion, removal": (
        numbers("1.", 3) | numbers("2.", 27) | numbers("3.", 10) | numbers("4.", 5) | numbers("5.", 19),
        numbers("2.", 4) | numbers("3.", 6) | numbers("4.", 2) | numbers("5.", 5),
    ),
}


def sections():
    parts = PAGE.read_text().split("\n## ")[1:]
    return {part.splitlines()[0]: part for part in parts}


def spelt_out(cell):
    """The figures and the tables of a row's first cell, such as `figures 1, 3.2 to 3.4, table A1`, with repeats."""
    found = {"figure": [], "table": []}
    kind = ""
    for word, first, last in re.findall(r"(figure|table)s?|([A\d.]+\d|\d)(?: to ([\d.]+\d))?", cell):
        if word:
            kind = word
        elif last:
            chapter, start = first.rsplit(".", 1)
            found[kind] += (
                [f"{chapter}.{n}" for n in range(int(start), int(last.rsplit(".", 1)[1]) + 1)]
                if (last.startswith(f"{chapter}."))
                else [first, last]
            )
        else:
            found[kind].append(first)
    return found["figure"], found["table"]


def rows(text):
    return [
        line.split(" | ")[0].removeprefix("| ") for line in text.splitlines() if re.match(r"\| (figure|table)", line)
    ]


@pytest.mark.parametrize("paper", ITEMS)
def test_each_figure_and_table_has_one_line(paper):
    assert sections().keys() == ITEMS.keys()
    figures, tables = [], []
    for cell in rows(sections()[paper]):
        more_figures, more_tables = spelt_out(cell)
        figures += more_figures
        tables += more_tables
    assert (sorted(figures), sorted(tables)) == tuple(map(sorted, ITEMS[paper]))


def test_ranges_are_spelt_out():
    assert spelt_out("figures 1, 3.2 to 3.4, 5.1, table A1") == (["1", "3.2", "3.3", "3.4", "5.1"], ["A1"])


def test_a_line_that_reproduces_nothing_says_why():
    lines = [line for line in PAGE.read_text().splitlines() if "not reproduced" in line]
    assert lines and all(re.search(r"not reproduced: \w+", line) for line in lines)


def test_files_and_callbacks_exist():
    text = PAGE.read_text()
    files = set(re.findall(r"`((?:inpaintzoo|configs)/[\w/.]+)`", text))
    assert len(files) > 15 and [name for name in files if not (ROOT / name).exists()] == []
    for name in re.findall(r"callback `(\w+)`", text):
        assert hasattr(inpaintzoo.callbacks, name)


def test_its_benchmarks_parse(monkeypatch):
    monkeypatch.chdir(ROOT)
    lines = [line for block in blocks(PAGE, "bash") for line in block.splitlines() if " benchmark " in line]
    assert len(lines) >= 6
    parser = make_parser()
    for line in lines:
        assert parser.parse_args(shlex.split(line)[2:]).contenders, line
