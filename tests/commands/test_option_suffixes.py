"""Every option of every command with something after its name: one sentence that begins with what was typed."""

import contextlib
import importlib
import shlex

import pytest
from places import TESTS

from inpaintzoo.commands import training
from inpaintzoo.commands.run import parse
from inpaintzoo.commands.usage import UsageError, subcommand

TINY = TESTS / "conf" / "tiny.yaml"
QUICK = TESTS.parent / "configs" / "benchmark" / "quickstart.yaml"
SUFFIXES = (".x", ".class_path", ".init_args", ".init_args.x", "+", "[0]")
WITHIN = [  # options of the classes that the config names
    *("model.generator", "model.generator.width", "model.generator_optimizer", "model.generator_optimizer.lr"),
    *("model.losses", "model.losses.hole", "model.losses.hole.weight", "data.masks", "data.batch_size"),
    *("model.adversaries.global.objective", "model.adversaries.global.weight"),
]
LINES = {
    "training": [f"{command} --config {TINY}" for command in ("fit", "validate", "test", "predict")],
    "doctor": [f"--config {TINY}"],
    "benchmark": [f"--config {QUICK} --out o"],
    "masks": [
        "make --mask FreeForm --out m",
        "bin m",
        "pair --images p --masks CentreSquare --out a.jsonl",
        "show FreeForm --out s.png",
    ],
    "label": ["--images p --out l --classes VOCClasses"],
    "listing": [""],
    "inpaint": ["a.png m.png -o b.png --fill mean"],
    "export": ["--ckpt last.ckpt --to a.safetensors"],
    "convert": ["--from pennet a.pth -o b.safetensors"],
}
LEAKS = ("NestedArg", "Namespace", "<class", "Not of type", "object has no", "a class path (str)", "unhashable")


def parser_of(name, arguments, monkeypatch):
    """The parser that a command makes, without what it would do with it."""
    made = []

    def stop(*found):
        made.extend(found)
        raise SystemExit

    module = importlib.import_module(f"inpaintzoo.commands.{name}")
    monkeypatch.setattr(training.ZooCLI, "parse_arguments", lambda cli, parser, args: stop(parser))
    monkeypatch.setattr(module, "run_command", stop, raising=False)
    with contextlib.suppress(SystemExit):
        module.main(arguments)
    return made[0]


def options_of(parser, name, argv):
    actions = subcommand(parser, argv)[1]._actions
    found = [option for action in actions for option in action.option_strings if option.startswith("--")]
    within = [f"--{option}" for option in WITHIN] if name == "doctor" or "fit" in argv else []
    return [option for option in found if not option.endswith("+")] + within


def fault(parser, argv, option):
    """What is wrong with the sentence; None if nothing is."""
    try:
        parse(parser, argv)
    except UsageError as error:
        begins = str(error).replace("init_args.", "").startswith(option.replace("init_args.", "").removesuffix("+"))
        return None if begins and len(str(error)) < 300 and not any(leak in str(error) for leak in LEAKS) else error
    except Exception as error:
        return repr(error)
    return "accepted"


@pytest.mark.parametrize("step", [149, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", LINES)
def test_an_option_with_something_after_its_name_is_one_sentence(name, step, monkeypatch):
    parser = parser_of(name, ["fit"] if name == "training" else [], monkeypatch)
    wrong = []
    for line in LINES[name]:
        argv = shlex.split(line)
        options = options_of(parser, name, argv)
        known = subcommand(parser, argv)[1]._option_string_actions
        typed = [option + suffix for suffix in SUFFIXES for option in options if f"{option}{suffix}" not in known]
        cases = [(option, value) for option in typed for value in ("abc", "")][::step]
        for option, value in cases:
            if problem := fault(parser, [*argv, option, *filter(None, [value])], option):
                wrong.append(f"{line.split(' ')[0]} {option} {value}: {problem}")
    assert not wrong, f"{len(wrong)} of them\n" + "\n".join(wrong[:40])
