"""The facts of a run: printed at its start, kept in its folder."""

from __future__ import annotations

import json
import platform
import shlex
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, Trainer
from lightning.pytorch.utilities import rank_zero_info

from inpaintzoo.files.writing import free_path, write_text
from inpaintzoo.version import versions
from inpaintzoo.words import counted


def run_folder(trainer: Trainer) -> Path:
    """Where a run keeps its files: the folder in which Lightning makes `checkpoints`.

    The Trainer's `log_dir` is not it: several loggers, such as that of Weights & Biases, give all runs the same one.

    All processes must call it together: the first one's answer holds, since only its logger may know its run.
    """
    folder = Path(trainer.default_root_dir)
    if trainer.loggers:
        logger = trainer.loggers[0]
        version = logger.version if isinstance(logger.version, str) else f"version_{logger.version}"
        folder = Path(logger.save_dir or folder, str(logger.name), version)
    return trainer.strategy.broadcast(folder)


def claim_folder(logger: Any) -> Path | None:
    """Give a logger that numbers its folders one that no other run has, even if both begin in the same instant.

    Args:
        logger: One of the Trainer's.

    Returns:
        The folder, now made; None if the logger was given its version or has none.
    """
    if getattr(logger, "_version", 0) is not None or not hasattr(logger, "_get_next_version"):
        return None
    root = Path(logger.root_dir)
    root.mkdir(parents=True, exist_ok=True)
    while True:
        version = logger._get_next_version()
        try:
            (root / f"version_{version}").mkdir()
        except FileExistsError:  # another run was faster
            continue
        logger._version = version
        return root / f"version_{version}"


def holds_results(folder: Path) -> bool:
    """Whether a run has left more in its folder than what each run writes before its first step."""
    kept = ("config*.yaml", "run*.json", "hparams.yaml", "events.out.tfevents.*")
    return any(path.is_file() and not any(path.match(name) for name in kept) for path in folder.rglob("*"))


def git_commit() -> str | None:
    """The commit of the code in the working folder, with `+changes` if files differ from it; None without git."""
    try:
        commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True, timeout=10)
        changes = subprocess.run(
            ["git", "status", "--porcelain", "--untracked-files=no"], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return commit.stdout.strip() + ("+changes" if changes.stdout.strip() else "")


class RunRecord(Callback):
    """Prints what is about to be trained; writes `run.json` (versions, commit, command, hardware) into its folder."""

    def on_fit_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Print and write before the first step."""
        for headline in pl_module.headlines():
            rank_zero_info(headline)
        batch = getattr(trainer.datamodule, "batch_size", None)  # type: ignore[attr-defined]
        if batch:
            product = f"{batch} x {pl_module.accumulate} accumulated x {trainer.world_size} processes"
            total = batch * pl_module.accumulate * trainer.world_size
            rank_zero_info(f"effective batch: {total} ({product}); precision {trainer.precision}")
        if pl_module.accumulate > 1 and pl_module.max_iterations:
            updates = counted(pl_module.max_iterations // pl_module.accumulate, "update")
            rank_zero_info(f"{pl_module.max_iterations} iterations make {updates}, which schedules count")
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
            "git": git_commit(),
            "versions": versions(),
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or "cpu",
            "processes": trainer.world_size,
            "precision": trainer.precision,
        }
        folder.mkdir(parents=True, exist_ok=True)
        path = free_path(folder / "run.json")  # a resumed run may share the folder
        write_text(path, json.dumps(facts, indent=2) + "\n")
