"""The command line: stock LightningCLI for fit, validate, test and predict, and the zoo's own commands beside it."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jsonargparse import Namespace
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from inpaintzoo import masks_cli
from inpaintzoo.callbacks import (
    Checkpoints,
    GeneratorEMA,
    ImageLogger,
    PredictionWriter,
    RunProgress,
    RunRecord,
    TestReport,
)
from inpaintzoo.data.module import InpaintingData
from inpaintzoo.doctor import examine
from inpaintzoo.inpainter import Inpainter
from inpaintzoo.types import ConfigError, InpaintzooError
from inpaintzoo.version import __version__

EPILOG = """\
Beside these: `inpaintzoo doctor --config FILE` checks data, masks, sizes and weights without training;
`inpaintzoo masks make|bin|pair|show` makes and inspects masks. Each has its own --help."""

OWN_DEFAULTS = {
    "max_epochs": -1,
    "num_sanity_val_steps": 1,
    "log_every_n_steps": 10,
    "check_val_every_n_epoch": None,
}


class ZooCLI(LightningCLI):
    """LightningCLI with the zoo's callbacks, each with its own group of options."""

    def __init__(self, args: list[str] | None, run: bool = True) -> None:
        super().__init__(
            Inpainter,
            InpaintingData,
            subclass_mode_model=True,
            subclass_mode_data=True,
            seed_everything_default=1,
            trainer_defaults={**OWN_DEFAULTS, "callbacks": [RunRecord(), TestReport()]},
            parser_kwargs={"epilog": EPILOG} if run else {},
            run=run,
            args=args,
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Give each callback that a user may want to set its own group."""
        parser.add_lightning_class_args(RunProgress, "progress")
        parser.add_lightning_class_args(ImageLogger, "images")
        parser.add_lightning_class_args(GeneratorEMA, "ema")
        parser.add_lightning_class_args(Checkpoints, "checkpoint")
        parser.add_lightning_class_args(PredictionWriter, "predictions")

    def before_instantiate_classes(self) -> None:
        """Check what can be checked before anything is built."""
        config = self._settings()
        checkpoint = config.get("ckpt_path")
        if checkpoint and checkpoint not in ("best", "last", "hpc", "registry") and not Path(checkpoint).is_file():
            raise ConfigError(
                f"--ckpt_path {checkpoint}: there is no such file; a run never starts from scratch instead"
            )
        if self.subcommand in ("validate", "test"):
            config["verbose"] = False  # TestReport prints the table
        trainer = config["trainer"]
        if trainer["strategy"] == "auto" and _several(trainer["devices"], trainer["num_nodes"]):
            # The generator's update leaves the discriminators without gradients, which plain DDP refuses.
            trainer["strategy"] = "ddp_find_unused_parameters_true"

    def instantiate_classes(self) -> None:
        """Build model, data and trainer; a bad value is a sentence, not a traceback."""
        try:
            super().instantiate_classes()
        except ValueError as error:
            if isinstance(error, InpaintzooError):
                raise
            raise ConfigError(str(error)) from error

    def _parse_ckpt_path(self) -> None:
        # Lightning would let the settings stored in the checkpoint overrule the config and the command line, so that a
        # resumed run could not be given more iterations. Here a config is always given, and it counts.
        return

    def _settings(self) -> Namespace:
        return self.config[self.subcommand] if self.subcommand else self.config


def _several(devices: Any, nodes: int) -> bool:
    if nodes > 1:
        return True
    if devices in ("auto", "-1", -1):
        return torch.cuda.device_count() > 1
    if isinstance(devices, list):
        return len(devices) > 1
    text = str(devices)
    return len([part for part in text.split(",") if part]) > 1 if "," in text else int(text) > 1


def main(args: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        args: without the program's name; None takes those of the process.

    Returns:
        The exit code: 0, 1 for an error that the user can mend, 2 for wrong usage.
    """
    arguments = list(sys.argv[1:] if args is None else args)
    _quieten()
    try:
        if arguments[:1] == ["masks"]:
            return masks_cli.main(arguments[1:])
        if arguments[:1] == ["doctor"]:
            cli = ZooCLI(arguments[1:], run=False)
            return examine(cli.model, cli.datamodule)
        if arguments[:1] == ["--version"]:
            print(f"inpaintzoo {__version__}")
            return 0
        ZooCLI(arguments)
    except InpaintzooError as error:
        if os.environ.get("INPAINTZOO_TRACEBACK"):
            raise
        print(f"inpaintzoo: error: {error}", file=sys.stderr)
        return 1
    return 0


def _quieten() -> None:
    # Advice that cannot be followed here, or that the zoo's own lines already give.
    for text in (
        "does not have many workers",
        "number of training batches",
        "args parameter is intended to run from within Python",
        "treespec, LeafSpec",
    ):
        warnings.filterwarnings("ignore", message=f".*{text}.*")
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(
        lambda record: not record.getMessage().startswith(("💡 Tip", "TPU available"))
    )
