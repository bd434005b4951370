"""The command line: which module runs a command. Each is imported when its command is called: some take seconds."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from inpaintzoo.version import __version__

OVERVIEW = """\
usage: inpaintzoo COMMAND [options]

  fit       train a model            inpaintzoo fit --config configs/quickstart.yaml
  validate  measure on the validation pictures
  test      measure on the test pictures, per image and over the set
  predict   write the filled test pictures
  benchmark compare methods on the same pinned pairs, under named protocols
  doctor    check data, masks, sizes and weights without training
  masks     make masks, sort them by ratio, pin them to pictures, look at them
  label     make label maps for pictures that have none
  list      the methods: size, cost, needs, papers
  inpaint   fill the holes of your pictures   inpaintzoo inpaint IMAGE MASK -o OUT --model FILE
  export    a run's generator as safetensors, ONNX or torch.export file
  convert   the authors' released weights as ours

Each command has its own --help.
"""

_TRAINING = ("fit", "validate", "test", "predict", "doctor")


def main(args: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        args: without the program's name; None takes those of the process.

    Returns:
        The exit code: 0, 1 for an error that the user can mend, 2 for wrong usage.
    """
    arguments = list(sys.argv[1:] if args is None else args)
    command, rest = (arguments[0], arguments[1:]) if arguments else ("--help", [])
    if command in ("-h", "--help"):
        print(OVERVIEW)
        return 0
    if command == "--version":
        print(f"inpaintzoo {__version__}")
        return 0
    return _run(command, rest)


def _run(command: str, rest: list[str]) -> int:
    if command == "masks":
        from inpaintzoo import masks_cli

        return masks_cli.main(rest)
    if command == "inpaint":
        from inpaintzoo import inpaint_cli

        return inpaint_cli.main(rest)
    if command == "label":
        from inpaintzoo import label_cli

        return label_cli.main(rest)
    if command == "benchmark":
        from inpaintzoo import benchmark_cli

        return benchmark_cli.main(rest)
    if command in ("export", "convert", "list"):
        from inpaintzoo import weights_cli

        return weights_cli.main(command, rest)
    if command not in _TRAINING and not command.startswith("-"):
        print(f"inpaintzoo: error: there is no command {command!r}; inpaintzoo --help lists them", file=sys.stderr)
        return 2
    from inpaintzoo import training_cli

    return training_cli.main([command, *rest])
