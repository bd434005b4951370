"""Trains the built-in teacher, then measures it on the test split.

python -m benchmarks.teacher.train --config benchmarks/teacher/teacher.yaml [--ckpt_path last.ckpt]
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from benchmarks.teacher.training import TagClassifier
from inpaintzoo import exports  # noqa: F401  (the config names classes)
from inpaintzoo.callbacks import Checkpoints
from inpaintzoo.data.module import InpaintingData
from inpaintzoo.types import InpaintzooError


class TeacherCLI(LightningCLI):
    """Stock LightningCLI without subcommands, with the zoo's checkpoints."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the options of the checkpoints, and `--ckpt_path`."""
        parser.add_lightning_class_args(Checkpoints, "checkpoint")
        parser.add_argument("--ckpt_path", type=str | None, default=None, help="resume from this checkpoint")


def main(args: Sequence[str] | None = None) -> int:
    """Parse the command line and train; return 1 for an error that the user can fix."""
    try:
        cli = TeacherCLI(
            TagClassifier,
            InpaintingData,
            subclass_mode_data=True,
            auto_configure_optimizers=False,  # the module makes its own
            run=False,
            args=None if args is None else list(args),
        )
        cli.trainer.fit(cli.model, cli.datamodule, ckpt_path=cli.config["ckpt_path"])
        cli.trainer.test(cli.model, cli.datamodule)
    except InpaintzooError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
