"""The facts of a run: printed at its start, kept in its folder."""

from __future__ import annotations

import json
import platform
import shlex
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, Trainer
from lightning.pytorch.utilities import rank_zero_info

from inpaintzoo.files.writing import free_path, write_text
from inpaintzoo.version import versions


def run_folder(trainer: Trainer) -> Path:
    """Where a run keeps its files: the logger's folder, or the Trainer's root folder without a logger.

    All processes must call it together, since Lightning broadcasts the first one's answer.
    """
    return Path(trainer.log_dir or trainer.default_root_dir)


class RunRecord(Callback):
    """Prints what is about to be trained, and writes `run.json` (versions, command, hardware) into the run folder."""

    def on_fit_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Print and write before the first step."""
        parameters = sum(parameter.numel() for parameter in pl_module.generator.parameters())
        judging = sum(parameter.numel() for parameter in pl_module.adversaries.parameters())
        name = type(pl_module.generator).__name__
        rank_zero_info(f"generator: {name}, {parameters:,} parameters; discriminators: {judging:,} parameters")
        for headline in filter(None, (loss.headline for loss in pl_module.losses.values())):
            rank_zero_info(headline)
        batch = getattr(trainer.datamodule, "batch_size", None)  # type: ignore[attr-defined]
        if batch:
            product = f"{batch} x {pl_module.accumulate} accumulated x {trainer.world_size} processes"
            total = batch * pl_module.accumulate * trainer.world_size
            rank_zero_info(f"effective batch: {total} ({product}); precision {trainer.precision}")
        folder = run_folder(trainer)
        rank_zero_info(f"run folder: {folder}")
        if trainer.is_global_zero:
            self._write(trainer, folder)

    @staticmethod
    def _write(trainer: Trainer, folder: Path) -> None:
        device = trainer.strategy.root_device
        facts = {
            "started": datetime.now().astimezone().isoformat(timespec="seconds"),
            "command": shlex.join(["inpaintzoo", *sys.argv[1:]]),
            "versions": versions(),
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or "cpu",
            "processes": trainer.world_size,
            "precision": trainer.precision,
        }
        folder.mkdir(parents=True, exist_ok=True)
        path = free_path(folder / "run.json")  # a resumed run may share the folder
        write_text(path, json.dumps(facts, indent=2) + "\n")
