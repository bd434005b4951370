"""Mutated command lines and configs of every command: an exit code and at most one sentence, never a traceback."""

import contextlib
import copy
import io
import random
import shlex
import sys

import pytest
import yaml
from places import TESTS

from inpaintzoo.commands import main

TINY = TESTS / "conf" / "tiny.yaml"
CONFIGS = TESTS.parent / "configs"
QUICK = CONFIGS / "benchmark" / "quickstart.yaml"
LINES = [
    f"fit --config {TINY} --model.generator.width 2 --data.masks FreeForm --ema.decay 0.9 --trainer.max_steps 0",
    f"fit --config {CONFIGS / 'pennet.yaml'} --config {CONFIGS / 'data' / 'folder.yaml'} --data.train a --data.test b",
    f"fit --config {TINY} --model.generator_optimizer Adam --model.generator_optimizer.lr 1e-4 --trainer.max_steps 0",
    f"test --config {TINY} --data.batch_size 2 --ckpt_path last.ckpt",
    f"validate --config {TINY} --data.seed 3 --ckpt_path last.ckpt",
    f"predict --config {TINY} --predictions.folder out --ckpt_path last.ckpt",
    f"doctor --config {TINY} --model.adversaries.global.objective LeastSquares --data.batch_size 99",
    f"benchmark --config {QUICK} --out out --contenders.a Checkpoint --contenders.a.path nowhere.ckpt",
    "masks make --mask FreeForm --count 1 --size 16 --out m",
    "masks bin m --polarity white",
    "masks pair --images p --masks CentreSquare --out pairs.jsonl",
    "masks show RandomRectangles --count 1 --size 16 --out s.png",
    "label --images p --out l --short_side 32 --classes VOCClasses",
    "list",
    "inpaint a.png m.png -o b.png --fill mean --grow 2",
    "export --ckpt last.ckpt --to a.safetensors --dtype fp16",
    "convert --from pennet a.pth -o b.safetensors",
]
WORDS = [
    "", " ", "null", "None", "-1", "0", "1e309", "nan", "99999999999999999999", "true", "[]", "[1, 2", "{}", "{a: 1}",
    "{class_path: os.system}", "{class_path: 3}", "{init_args: {}}", "os.system", "a.b", ".", "..", "/", "--", "-", "=",
    "--x", "--x=1", "--config", "--model", "--model.", "--model..x", "--data.masks", "--trainer.callbacks+", "Loss",
    "Generator", "HoleL1", "PENNet", "torch.optim.Adam", "!!python/object/apply:os.system [x]", "&a [*a]", "é", "\n",
    "\x00", "\ud800", "a" * 300, "'", '"', "%s", "{0}", "${HOME}", "--help", "@file", "null.null",
]  # fmt: skip


def mutated_words(words, chance):
    words = list(words)
    for _ in range(chance.randint(1, 2)):
        place = chance.randrange(1, len(words)) if len(words) > 1 else 0
        kind = chance.randrange(7)
        if kind == 0 and len(words) > 1:
            del words[place]
        elif kind == 1:
            words.insert(place + 1, chance.choice(WORDS))
        elif kind == 2 and place:
            words[place] = chance.choice(WORDS)
        elif kind == 3 and place and words[place]:
            letter = chance.randrange(len(words[place]))
            words[place] = words[place][:letter] + chance.choice("aZ0.-_=[{:\n ") + words[place][letter + 1 :]
        elif kind == 4 and place and words[place]:
            letter = chance.randrange(len(words[place]))
            words[place] = words[place][:letter] + words[place][letter + 1 :]
        elif kind == 5 and place:
            other = chance.randrange(1, len(words))
            words[place], words[other] = words[other], words[place]
        elif place:
            words[place] += chance.choice([".x", ".class_path", ".init_args", ".init_args.x", "+", "=", "=3", "[0]"])
    return words


def mutated_config(settings, chance):
    settings = copy.deepcopy(settings)
    places = []

    def collect(value):
        for key in list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
            places.append((value, key))
            collect(value[key])

    collect(settings)
    group, key = chance.choice(places)
    value = chance.choice([None, [], {}, 3, -1, 1e400, True, "x", "", [1], {"a": 1}, {"class_path": "x"}, *WORDS])
    if chance.random() < 0.3 and isinstance(group, dict):
        group[chance.choice(["x", "", 3, None, "class_path", "a.b", "init_args"])] = group.pop(key)
    else:
        group[key] = value
    return settings


def said_by(line):
    out, error = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        try:
            code = main(line)
        except BaseException as raised:
            return f"raised {type(raised).__name__}: {str(raised)[:200]}"
    told = [text for text in error.getvalue().splitlines() if text.startswith("inpaintzoo") and ": error" in text]
    if code not in (0, 1, 2) or len(told) > 1 or (code and not told and "doctor" not in line):
        return f"code {code}: {told}"
    leaked = ["Traceback", "Namespace(", "Union subtypes", "NestedArg"]
    # A network of no width ends in words of torch, with their place; the mistakes of the zoo must not.
    leaked += ["AttributeError", "KeyError", "TypeError", "IndexError", "AssertionError", "RecursionError"]
    return next((text for text in told if any(leak in text for leak in leaked)), None)


def check(cases):
    wrong = [(line, problem) for line in cases if (problem := said_by(line))]
    if wrong:
        text = "\n".join(f"{line!r}\n    {problem}" for line, problem in wrong[:40])
        pytest.fail(f"{len(wrong)} of them:\n{text}")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty folder to work in, and no run longer than one iteration."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["inpaintzoo"])
    return tmp_path


@pytest.mark.filterwarnings(r"ignore:\s*Importing .* is not\s+allowed")
@pytest.mark.parametrize("count", [1, pytest.param(120, marks=pytest.mark.slow)])
@pytest.mark.parametrize("line", LINES, ids=lambda line: " ".join(shlex.split(line)[:2])[:20])
def test_mutated_command_lines(line, count, place):
    chance = random.Random(line.replace(str(TESTS.parent), ""))  # the same mutations in every checkout
    check([mutated_words(shlex.split(line), chance) for _ in range(count)])


@pytest.mark.filterwarnings(r"ignore:\s*Importing .* is not\s+allowed")
@pytest.mark.parametrize("count", [1, pytest.param(300, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("command", "file"), [("fit --trainer.max_steps 0", TINY), ("doctor", TINY), ("benchmark --out o", QUICK)]
)
def test_mutated_configs(command, file, count, place):
    chance = random.Random(command)
    settings = yaml.safe_load(file.read_text())
    cases = []
    for number in range(count):
        path = place / f"{number}.yaml"
        path.write_text(yaml.safe_dump(mutated_config(settings, chance)))
        name, *options = command.split()
        cases.append([name, "--config", str(path), *options])
    check(cases)
