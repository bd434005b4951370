"""The command line: a table of commands, each in a module that is imported only when the command is called."""

from __future__ import annotations

import importlib
import io
import os
import sys
from collections.abc import Sequence

from inpaintzoo.commands.config_files import with_config_files
from inpaintzoo.commands.own_code import import_own
from inpaintzoo.version import __version__
from inpaintzoo.words import did_you_mean

COMMANDS = {
    "fit": ("training", "train a model            inpaintzoo fit --config configs/quickstart.yaml"),
    "validate": ("training", "measure on the validation pictures"),
    "test": ("training", "measure on the test pictures, per image and over the set"),
    "predict": ("training", "write the filled test pictures"),
    "benchmark": ("benchmark", "compare methods on the same pinned pairs, under named protocols"),
    "doctor": ("doctor", "check data, masks, sizes and weights without training, decode every file"),
    "config": ("config", "list the configs, or print one  inpaintzoo config spn > my.yaml"),
    "masks": ("masks", "make masks, sort them by ratio, pin them to pictures, look at them"),
    "label": ("label", "make label maps for pictures that have none"),
    "list": ("listing", "the methods: size, cost, needs, papers; --weights: weights by name"),
    "download": ("download", "fetch weights by name"),
    "inpaint": ("inpaint", "fill the holes of your pictures   inpaintzoo inpaint IMAGE MASK -o OUT --model FILE"),
    "remove": ("remove", "remove objects from a photograph   inpaintzoo remove IMAGE --at X,Y -o OUT"),
    "app": ("app", "both in the browser: a page on this machine"),
    "export": ("export", "a run's generator as safetensors, ONNX or torch.export file"),
    "convert": ("convert", "the authors' released weights as ours"),
    "push": ("push", "a weight file, with a model card, to the Hugging Face Hub"),
    "completion": ("completion", "a script with which your shell completes commands"),
}
"""Each command with the module in this package that runs it and one line of help."""


def overview() -> str:
    """The text that `inpaintzoo --help` prints."""
    lines = [f"  {name:<10} {about}" for name, (_, about) in COMMANDS.items()]
    own = "--import MODULE, with any command, imports a module with classes of your own first; it may be repeated."
    return "\n".join(["usage: inpaintzoo COMMAND [options]", "", *lines, "", own, "Each command has its own --help."])


def main(args: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        args: The command and its arguments; None reads sys.argv.

    Returns:
        The exit code: 0, 1 for an error that the user can fix, 2 for wrong usage, 130 for Ctrl-C.
    """
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # no C++ stack from a process whose partner has ended
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a name, or an arrow, that the terminal cannot show
    arguments = list(sys.argv[1:] if args is None else args)
    command, rest = (arguments[0], arguments[1:]) if arguments else ("--help", [])
    if command in ("-h", "--help"):
        print(overview())
        return 0
    if command == "--version":
        print(f"inpaintzoo {__version__}")
        return 0
    if command not in COMMANDS:
        meant = did_you_mean(command, COMMANDS) or "; inpaintzoo --help lists them"
        print(f"inpaintzoo: error: there is no command {command!r}{meant}", file=sys.stderr)
        return 2
    try:
        return _run(command, rest)
    except KeyboardInterrupt:  # outside the command's own boundary: its modules take seconds to import
        print(f"inpaintzoo {command}: stopped", file=sys.stderr)
        return 130


def _run(command: str, arguments: Sequence[str]) -> int:
    try:  # before the import of what the command needs, which takes seconds
        rest = import_own(command, with_config_files(command, arguments))
    except (FileNotFoundError, ImportError) as error:
        print(f"inpaintzoo {command}: error: {error}", file=sys.stderr)
        return 2
    name = COMMANDS[command][0]
    module = importlib.import_module(f"inpaintzoo.commands.{name}")
    return int(module.main([command, *rest] if name == "training" else rest))
