"""`inpaintzoo fit|validate|test|predict`: LightningCLI with the zoo's callbacks."""

from __future__ import annotations

import contextlib
import logging
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from jsonargparse import Namespace
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from lightning.pytorch.utilities import rank_zero_info
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from inpaintzoo import exports  # noqa: F401  (so that a config may name any class)
from inpaintzoo.callbacks import (
    Checkpoints,
    GeneratorEMA,
    ImageLogger,
    PredictionWriter,
    RunProgress,
    RunRecord,
    TestReport,
)
from inpaintzoo.callbacks.record import run_folder
from inpaintzoo.commands.run import exit_code, parse
from inpaintzoo.data.module import InpaintingData
from inpaintzoo.files.writing import free_path
from inpaintzoo.inpainter import Inpainter
from inpaintzoo.types import ConfigError, InpaintzooError, WeightsError
from inpaintzoo.weights.checkpoints import find_checkpoint
from inpaintzoo.weights.files import SUFFIX

OWN_DEFAULTS = {
    "max_epochs": -1,
    "num_sanity_val_steps": 1,
    "log_every_n_steps": 10,
    "check_val_every_n_epoch": None,
    "enable_model_summary": False,  # RunRecord says what matters
}


class SaveConfig(SaveConfigCallback):
    """Writes `config.yaml` into the run folder, or `config-1.yaml`, … if another run has left one."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Pick a free file name."""
        self.config_filename = free_path(run_folder(trainer) / self.config_filename).name
        super().setup(trainer, pl_module, stage)


class ZooCLI(LightningCLI):
    """LightningCLI in which each of the zoo's callbacks has its own group of options."""

    def __init__(self, args: list[str] | None, run: bool = True, parser_kwargs: dict[str, Any] | None = None) -> None:
        super().__init__(
            Inpainter,
            InpaintingData,
            subclass_mode_model=True,
            subclass_mode_data=True,
            seed_everything_default=1,
            trainer_defaults={**OWN_DEFAULTS, "callbacks": [TestReport()]},
            save_config_callback=SaveConfig,
            auto_configure_optimizers=False,  # the modules make their own, the Inpainter two
            parser_kwargs={"prog": "inpaintzoo", **(parser_kwargs or {})},
            run=run,
            args=args,
        )

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse the command line; see `parse`."""
        self.config = parse(parser, sys.argv[1:] if args is None else args)

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add a group of options for each callback."""
        parser.add_lightning_class_args(RunProgress, "progress")
        parser.add_lightning_class_args(ImageLogger, "images")
        parser.add_lightning_class_args(GeneratorEMA, "ema")
        parser.add_lightning_class_args(Checkpoints, "checkpoint")
        parser.add_lightning_class_args(PredictionWriter, "predictions")

    def before_instantiate_classes(self) -> None:
        """Check what can be checked before anything is built."""
        config = self._settings()
        if config.get("ckpt_path"):
            config["ckpt_path"] = str(find_checkpoint(config["ckpt_path"]))
            if self.subcommand != "fit" and config["ckpt_path"].endswith(SUFFIX):  # only weights are needed
                config["model"]["init_args"]["init_from"], config["ckpt_path"] = config["ckpt_path"], None
        if config.get("ckpt_path"):
            _check_checkpoint(config["ckpt_path"])
        if self.subcommand in ("validate", "test"):
            config["verbose"] = False  # TestReport prints the table
        if self.subcommand == "predict":
            config["return_predictions"] = False  # PredictionWriter writes them; a large set would fill the memory
        trainer = config["trainer"]
        for flag, own, off in (("gradient_clip_val", "clip_norm", None), ("accumulate_grad_batches", "accumulate", 1)):
            if trainer[flag] != off:
                raise ConfigError(f"--trainer.{flag} cannot serve two optimizers; use --model.{own} {trainer[flag]}")
        if not re.fullmatch(r"auto|-1|\d+(,\d+)*,?|\[.*\]", str(trainer["devices"])):
            raise ConfigError(
                f"--trainer.devices must be a number, a list of numbers or auto, got {trainer['devices']}"
            )
        adversarial = config["model"].get("init_args", {}).get("adversaries")
        if adversarial and trainer["strategy"] == "auto" and _several(trainer["devices"], trainer["num_nodes"]):
            # The generator's update leaves the discriminators without gradients, which plain DDP does not allow.
            trainer["strategy"] = "ddp_find_unused_parameters_true"

    def instantiate_classes(self) -> None:
        """Build model, data and trainer.

        Raises:
            ConfigError: A value that one of the classes refuses.
        """
        try:
            super().instantiate_classes()
        except ValueError as error:
            raise ConfigError(_innermost(error)) from error
        given = self._settings().get("ckpt_path") or self.model.init_from
        if (
            not given
            and any(True for _ in self.model.parameters())
            and self.subcommand in ("validate", "test", "predict")
        ):
            rank_zero_info(
                "WARNING: neither --ckpt_path nor --model.init_from is given, so the network has random weights"
            )

    def _instantiate_trainer(self, config: dict[str, Any], callbacks: list[Callback]) -> Trainer:
        # Lightning refuses these callbacks if their kind is switched off.
        off: list[type[Callback]] = [RunProgress] if config.get("enable_progress_bar") is False else []
        off += [Checkpoints] if config.get("enable_checkpointing") is False else []
        return super()._instantiate_trainer(
            config, [*(c for c in callbacks if not isinstance(c, tuple(off))), RunRecord()]
        )

    def _parse_ckpt_path(self) -> None:
        # Lightning would let settings stored in the checkpoint overrule the config and the command line, and a resumed
        # run could not be given more iterations.
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
    parts = [part for part in str(devices).split(",") if part.strip()]
    return len(parts) > 1 or (parts[0].strip().isdigit() and int(parts[0]) > 1)


def _check_checkpoint(path: str) -> None:
    """Refuse anything but a checkpoint file: Lightning looks for names such as `last`, and may train without them."""
    if path.endswith(SUFFIX):
        raise ConfigError(
            f"--ckpt_path {path}: a weight file has no optimizer state to resume from; "
            f"start a new run with --model.init_from {path}"
        )
    if not Path(path).is_file():
        raise ConfigError(f"--ckpt_path {path}: there is no such file; a run never starts from scratch instead")
    try:
        torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # torch.load raises whatever the bytes lead to
        raise WeightsError(f"--ckpt_path {path}: the file is not a checkpoint, or it is damaged") from error


def _innermost(error: BaseException) -> str:
    """The sentence that a class raised, without the parser's account of the argument that it was for."""
    while error.__cause__ is not None or (error.__context__ is not None and not error.__suppress_context__):
        cause = error.__cause__ or error.__context__
        if not isinstance(cause, ValueError):
            break
        error = cause
    return _own_reason(str(error))


def _own_reason(text: str) -> str:
    """The reason that a class gave, out of the parser's account of why no type of a union took a value."""
    reasons = [line.strip()[2:].strip('"') for line in text.splitlines() if line.lstrip().startswith("- ")]
    own = [
        reason for reason in reasons if not re.match("Expected a <class|Import path .* does not|Problem with", reason)
    ]
    return own[0] if "Union subtypes" in text and own else text


def main(args: Sequence[str]) -> int:
    """Run `fit`, `validate`, `test` or `predict`.

    Args:
        args: The command and its arguments.

    Returns:
        The exit code: 0, 1 for an error that the user can fix, 2 for wrong usage.
    """

    def run() -> None:
        ZooCLI(list(args))

    return run_training(run)


def run_training(run: Callable[[], int | None]) -> int:
    """Run a command that builds an Inpainter and its data, and return its exit code."""
    with _without_advice():
        return exit_code("inpaintzoo", run, (InpaintzooError, MisconfigurationException))


@contextlib.contextmanager
def _without_advice() -> Iterator[None]:
    """Silences advice that does not apply here, or that the zoo's own messages already give."""

    def tells(record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith(("💡 Tip", "TPU available"))

    logger = logging.getLogger("lightning.pytorch.utilities.rank_zero")
    logger.addFilter(tells)
    try:
        with warnings.catch_warnings():
            for text in (
                "does not have many workers",
                "number of training batches",
                "treespec, LeafSpec",
                "It is recommended to use `self.log",  # every process computes the same from all rows
                "The dirpath has changed",
            ):
                warnings.filterwarnings("ignore", message=f".*{text}.*")
            yield
    finally:
        logger.removeFilter(tells)
