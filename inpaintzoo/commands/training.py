"""`inpaintzoo fit|validate|test|predict`: LightningCLI with the zoo's callbacks."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import re
import shlex
import shutil
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from jsonargparse import ArgumentParser, Namespace
from lightning import Callback, LightningDataModule, LightningModule, Trainer, seed_everything
from lightning.fabric.plugins.environments import TorchElasticEnvironment
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from lightning.pytorch.utilities import rank_zero_info
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch.optim.lr_scheduler import ReduceLROnPlateau

from inpaintzoo import exports  # noqa: F401  (so that a config may name any class)
from inpaintzoo.callbacks import (
    Checkpoints,
    GeneratorEMA,
    ImageLogger,
    PredictionWriter,
    RunProgress,
    RunRecord,
    StopAtSignal,
    TestReport,
)
from inpaintzoo.callbacks.record import claim_folder, holds_results, run_folder
from inpaintzoo.callbacks.watching import Watch, watch
from inpaintzoo.commands import COMMANDS
from inpaintzoo.commands.run import PARTNER_LOST, exit_code, one_sentence, parse, told
from inpaintzoo.commands.usage import UsageError, subcommand
from inpaintzoo.files.locks import sole_use
from inpaintzoo.files.writing import free_path, write_text
from inpaintzoo.training_module import TrainingModule
from inpaintzoo.types import ConfigError, InpaintzooError
from inpaintzoo.weights.checkpoints import read_checkpoint, run_settings
from inpaintzoo.weights.files import SUFFIX
from inpaintzoo.weights.registry import find_checkpoint
from inpaintzoo.weights.resuming import changed_settings

OWN_DEFAULTS = {
    "max_epochs": -1,
    "num_sanity_val_steps": 1,
    "log_every_n_steps": 10,
    "check_val_every_n_epoch": None,
    "enable_model_summary": False,  # RunRecord says what matters
}
_WORK = {
    "fit": ("train", "trains"),
    "validate": ("val", "validates"),
    "test": ("test", "tests"),
    "predict": ("predict", "predicts"),
}
_TRAINER = "Customize every aspect of training via flags"  # Lightning's title of the Trainer's options


class SaveConfig(SaveConfigCallback):
    """Writes `config.yaml` into the run folder, or `config-1.yaml`, … if another run has left one.

    Each checkpoint holds the settings too, so that what is exported from it never says those of another run.
    """

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Add the settings."""
        checkpoint["config"] = self._settings

    @functools.cached_property
    def _text(self) -> str:
        return self.parser.dump(self.config, skip_none=False)

    @functools.cached_property
    def _settings(self) -> dict[str, Any]:
        return run_settings(yaml.safe_load(self._text))

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Say which settings of a resumed run changed, and let the config's seed count as its other settings do."""
        saved = checkpoint.get("config")
        if trainer.state.fn != "fit" or not isinstance(saved, dict):
            return
        told = changed_settings(saved, self._settings)
        if "seed_everything" in told and self._settings["seed_everything"] is not False:
            pl_module.seed = None  # type: ignore[assignment]  # taken from the config when the fit starts
        for change in told.values():
            rank_zero_info(f"resumed with another setting: {change}")

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Find the run folder (a collective call), and write the file."""
        self._folder = run_folder(trainer)
        super().setup(trainer, pl_module, stage)

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write the file; Lightning would write it into the logger's folder, which runs may share."""
        self._folder.mkdir(parents=True, exist_ok=True)
        path = free_path(self._folder / self.config_filename)
        self.config_filename = path.name
        write_text(path, self._text)


class ZooCLI(LightningCLI):
    """LightningCLI in which each of the zoo's callbacks has its own group of options."""

    def __init__(self, args: list[str] | None, run: bool = True, parser_kwargs: dict[str, Any] | None = None) -> None:
        self._called = args[0] if args else None
        super().__init__(
            TrainingModule,
            LightningDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            seed_everything_default=1,
            trainer_defaults={**OWN_DEFAULTS, "callbacks": [TestReport()]},
            save_config_callback=SaveConfig,
            save_config_kwargs={"save_to_log_dir": False},
            auto_configure_optimizers=False,  # the modules make their own, the Inpainter two
            parser_kwargs={"prog": "inpaintzoo", **(parser_kwargs or {})},
            run=run,
            args=args,
        )

    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override]
        """The one that is called, since making the options of each takes as long as a small run; else all."""
        known = LightningCLI.subcommands()
        return {self._called: known[self._called]} if self._called in known else known

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse the command line; see `parse`."""
        commands = subcommand(parser, [])[2] or {"doctor": parser}
        for name, options in commands.items():
            options.usage = (
                f"inpaintzoo {name} --config configs/quickstart.yaml [--config FILE ...] [--OPTION VALUE ...]"
            )
            options.description = COMMANDS[name][1].split("  ")[0]
            groups: list[Any] = list(options._action_groups)
            options._action_groups = sorted(
                groups, key=lambda group: group.title == _TRAINER
            )  # the zoo's own come first
        self.config = parse(parser, sys.argv[1:] if args is None else args)
        command = self.config.get("subcommand")
        seed = (self.config[command] if command else self.config)["seed_everything"]
        self._draws_seed = seed is True
        if not isinstance(seed, bool) and not 0 <= seed < 2**32:  # Lightning seeds before anything else
            raise UsageError(f"--seed_everything {seed}: must be at least 0 and below 2^32")

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
        _check_slurm(config["trainer"])
        if config.get("ckpt_path"):
            config["ckpt_path"] = str(find_checkpoint(config["ckpt_path"]))
            if self.subcommand != "fit" and config["ckpt_path"].endswith(SUFFIX):  # only weights are needed
                config["model"]["init_args"]["init_from"], config["ckpt_path"] = config["ckpt_path"], None
        if config.get("ckpt_path"):
            _check_checkpoint(config["ckpt_path"])
            if self._draws_seed and self.subcommand == "fit":  # only a run that begins draws one
                saved = read_checkpoint(config["ckpt_path"]).content.get("config", {})
                config["seed_everything"] = seed_everything(saved.get("seed_everything"), workers=True)
        if self.subcommand in ("validate", "test"):
            config["verbose"] = False  # TestReport prints the table
        if self.subcommand == "predict":
            config["return_predictions"] = False  # PredictionWriter writes them; a large set would fill the memory
        trainer = config["trainer"]
        _check_trainer(trainer)
        kind, does = _WORK[self.subcommand or "fit"]
        if trainer[f"limit_{kind}_batches"] == 0:  # int or float, whichever the order of typing's cache makes of it
            raise ConfigError(f"--trainer.limit_{kind}_batches 0 {does} nothing; it must be above 0")
        if trainer["strategy"] == "auto" and _several(trainer["devices"], trainer["num_nodes"]):
            # Plain DDP does not allow parameters without gradients. The generator's update leaves the discriminators
            # without, and parts of a generator whose output no loss reads never get any, such as SPN's heads.
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
        except (ArithmeticError, LookupError, RuntimeError, TypeError) as error:  # torch's words for a width of 0
            raise ConfigError(f"{_being_built(error)}: {one_sentence(error)}") from error
        if self.subcommand == "fit":
            _check_optimizers(self.model)
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
        try:
            return super()._instantiate_trainer(
                config, [*(c for c in callbacks if not isinstance(c, tuple(off))), RunRecord(), StopAtSignal()]
            )
        except (AttributeError, ImportError, RuntimeError, TypeError, ValueError, MisconfigurationException) as error:
            raise ConfigError(f"--trainer: {one_sentence(error)}") from error

    def _run_subcommand(self, subcommand: str) -> None:
        """Run it in a folder of its own, which is removed if the run ends before its first step."""
        watching = watch(f"inpaintzoo {subcommand}", self.trainer)
        claimed = [claim_folder(logger) for logger in self.trainer.loggers] if self.trainer.is_global_zero else []
        try:
            with contextlib.ExitStack() as held:
                if self.trainer.is_global_zero and not self.trainer.fast_dev_run:  # type: ignore[attr-defined]
                    for folder in self._written(subcommand):
                        held.enter_context(sole_use(folder))
                super()._run_subcommand(subcommand)
            if torch.distributed.is_initialized():  # or its threads may abort the process while Python shuts down
                torch.distributed.destroy_process_group()
        except BaseException as error:
            for folder in filter(None, claimed):
                if not holds_results(folder):
                    shutil.rmtree(folder, ignore_errors=True)
            if watching is not None:
                _end_all(watching, error)
            if isinstance(error, SystemExit) and isinstance(error.__context__, KeyboardInterrupt):
                raise KeyboardInterrupt from error  # Lightning exits with 1
            raise

    def _written(self, subcommand: str) -> list[Path]:
        """The folders that only one command at a time may write into; a test gets a new one."""
        if subcommand == "fit":
            return [run_folder(self.trainer)]
        writers = [each for each in self.trainer.callbacks if isinstance(each, PredictionWriter)]  # type: ignore[attr-defined]
        return [each.target(self.trainer) for each in writers] if subcommand == "predict" else []

    def after_fit(self) -> None:
        """Say what the run has left, and what to do with it."""
        for checkpoints in self.trainer.checkpoint_callbacks:
            best, last = (getattr(checkpoints, f"{name}_model_path", "") for name in ("best", "last"))
            if best and (score := getattr(checkpoints, "best_model_score", None)) is not None:
                rank_zero_info(f"best checkpoint: {best} ({getattr(checkpoints, 'monitor', '')} {float(score):.3f})")
            if last:
                rank_zero_info(f"last checkpoint: {last}")
                written = [each for each in self.trainer.callbacks if isinstance(each, SaveConfig)]  # type: ignore[attr-defined]
                config = run_folder(self.trainer) / (written[0].config_filename if written else "config.yaml")
                command = ["inpaintzoo", "test", "--config", str(config), "--ckpt_path", best or last]
                rank_zero_info(f"to measure it: {shlex.join(command)}")

    def _parse_ckpt_path(self) -> None:
        # Lightning would let settings stored in the checkpoint overrule the config and the command line, and a resumed
        # run could not be given more iterations.
        return

    def _settings(self) -> Namespace:
        return self.config[self.subcommand] if self.subcommand else self.config


def _end_all(watching: Watch, error: BaseException) -> None:
    """End the other processes of the run too, and let one of them say why."""
    if not isinstance(error, Exception):  # a signal, which they follow themselves
        watching.teardown()
        return
    text = told(error)
    said = watching.failed(text, echo=text == PARTNER_LOST)
    if said is None:
        raise SystemExit(1) from error
    if said != text:
        raise InpaintzooError(said) from error


def _several(devices: Any, nodes: int) -> bool:
    if nodes > 1:
        return True
    if devices in ("auto", "-1", -1):
        return torch.cuda.device_count() > 1
    if isinstance(devices, list):
        return len(devices) > 1
    parts = [part for part in str(devices).split(",") if part.strip()]
    return len(parts) > 1 or (parts[0].strip().isdigit() and int(parts[0]) > 1)


def _check_slurm(trainer: Namespace) -> None:
    """Refuse a Slurm job of several tasks in which Lightning would fail, or wait for processes that nobody starts."""
    tasks, own = os.environ.get("SLURM_NTASKS", "1"), os.environ.get("SLURM_JOB_NAME") in ("bash", "interactive")
    if tasks == "1" or own or TorchElasticEnvironment.detect() or trainer["plugins"]:
        return
    if not {"SLURM_STEP_ID", "SLURM_STEPID"} & os.environ.keys():
        raise ConfigError(
            f"the Slurm job has {tasks} tasks (SLURM_NTASKS), but the command was started without srun; start it with "
            f"srun, or set SLURM_JOB_NAME=interactive to train in this process alone"
        )
    if "SLURM_NTASKS_PER_NODE" not in os.environ:
        raise ConfigError(
            f"the Slurm job has {tasks} tasks (SLURM_NTASKS), but not how many a node has; give --ntasks-per-node "
            f"instead of --ntasks"
        )


def _check_checkpoint(path: str) -> None:
    """Refuse anything but a checkpoint file: Lightning looks for names such as `last`, and may train without them."""
    if not os.path.isfile(path):
        raise ConfigError(f"--ckpt_path {path}: there is no such file; a run never starts from scratch instead")
    if Path(path).suffix == SUFFIX:
        raise ConfigError(
            f"--ckpt_path {path}: a weight file cannot continue a run; give a .ckpt file, or start from it with "
            f"--model.init_from {path}"
        )
    read_checkpoint(path)


def _check_trainer(trainer: Namespace) -> None:
    """Refuse settings that the Trainer takes, or refuses in words about its own code."""
    for flag, own, off in (("gradient_clip_val", "clip_norm", None), ("accumulate_grad_batches", "accumulate", 1)):
        if trainer[flag] != off:
            raise ConfigError(f"--trainer.{flag} is not used here; use --model.{own} {trainer[flag]}")
    devices = str(trainer["devices"])
    if not re.fullmatch(r"auto|-1|\d+(,\d+)*,?|\[(\d+(, *\d+)*)?\]", devices):
        raise ConfigError(f"--trainer.devices must be a number, a list of numbers or auto, got {devices}")
    numbers = re.findall(r"\d+", devices)
    if devices in ("0", "[]") or len(set(numbers)) < len(numbers):
        raise ConfigError(f"--trainer.devices must name at least one device, and each one once, got {devices}")
    for name in ("val_check_interval", "check_val_every_n_epoch", "log_every_n_steps", "num_nodes"):
        value = trainer[name]
        if isinstance(value, (int, float)) and value <= 0:
            raise ConfigError(f"--trainer.{name} must be above 0, got {value}")


def _check_optimizers(model: TrainingModule) -> None:
    """Build each optimizer and scheduler once and let it step, so that what it refuses is told before the run."""
    for part, (net, make_optimizer, make_scheduler) in model.optimized().items():
        key = f"--model.{part}optimizer"
        try:
            if trained := [parameter for parameter in net.parameters() if parameter.requires_grad]:
                make_optimizer(trained)
            parameter = torch.nn.Parameter(torch.zeros(1, 1))
            parameter.grad = torch.zeros(1, 1)
            optimizer = make_optimizer([parameter])
            optimizer.step()
            key = f"--model.{part}scheduler"
            if make_scheduler is not None and not isinstance(scheduler := make_scheduler(optimizer), ReduceLROnPlateau):
                optimizer.step()  # again: a scheduler warns if none came after it was built
                scheduler.step()
        except Exception as error:  # torch's classes raise whatever their arguments lead to
            raise ConfigError(f"{key}: {one_sentence(error)}") from error


def _being_built(error: BaseException) -> str:
    """The name of the class outside of the libraries whose constructor failed."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    built = [frame for frame in frames if frame.f_code.co_name == "__init__" and "self" in frame.f_locals]
    own = [frame for frame in built if "site-packages" not in frame.f_code.co_filename]
    return type((own or built)[-1].f_locals["self"]).__name__ if built else "a class of the config"


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


class _Unparsed(ZooCLI):
    """Ends when its parser is made."""

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        raise StopIteration


@functools.cache
def unparsed(run: bool = True) -> ArgumentParser:
    """The parser of the command line, before anything is parsed.

    Args:
        run: Whether it has `fit`, `validate`, `test` and `predict` as subcommands.
    """
    cli = _Unparsed.__new__(_Unparsed)
    with contextlib.suppress(StopIteration):
        cli.__init__([], run=run)  # type: ignore[misc]
    return cli.parser


def make_parser(command: str) -> ArgumentParser:
    """The options of `fit`, `validate`, `test` or `predict`."""
    return subcommand(unparsed(), [command])[1]


def main(args: Sequence[str]) -> int:
    """Run `fit`, `validate`, `test` or `predict`.

    Args:
        args: The command and its arguments.

    Returns:
        The exit code: 0, 1 for an error, 2 for wrong usage.
    """

    def run() -> None:
        ZooCLI(list(args))

    return run_training(f"inpaintzoo {args[0]}", run)


def run_training(name: str, run: Callable[[], int | None]) -> int:
    """Run a command that builds a model and its data, and return its exit code."""
    with _without_advice():
        return exit_code(name, run)


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
                "find_unused_parameters=True was specified",  # by us, since which parameters are used depends on losses
            ):
                warnings.filterwarnings("ignore", message=f".*{text}.*")
            yield
    finally:
        logger.removeFilter(tells)
