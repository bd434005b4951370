"""Prints the results of `test` and `validate`, and writes them down with what is needed to repeat them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info

from inpaintzoo.metrics import MetricResults


class TestReport(Callback):
    """After a test, prints the table of results and writes `metrics.json` and `per_image.csv`.

    The files go to a new folder `test` in the run's folder (the logger's, or `default_root_dir` without a logger);
    where there is one already, to `test-1`, `test-2`, …: nothing is overwritten. `inpaintzoo validate` is reported
    in the same way in `validate`; validation during training is not.

    It reads `test_results` and `val_results` of the LightningModule, as `MetricResults`.
    """

    __test__ = False  # or pytest takes the class for tests

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Report the test."""
        self._report(trainer, getattr(pl_module, "test_results", None), "test")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Report a validation that was asked for by itself."""
        if trainer.state.fn == "validate":
            self._report(trainer, getattr(pl_module, "val_results", None), "validate")

    def _report(self, trainer: Trainer, results: MetricResults | None, name: str) -> None:
        root = trainer.log_dir or trainer.default_root_dir  # asks all processes, so before the others leave
        if results is None or not trainer.is_global_zero:
            return
        folder = new_folder(Path(root), name)
        (folder / "metrics.json").write_text(results.to_json(provenance(trainer)), encoding="utf-8")
        results.to_csv(folder / "per_image.csv")
        print(f"\n{results.table()}\n", flush=True)
        rank_zero_info(f"{name}: results written to {folder}")


def new_folder(root: Path, name: str) -> Path:
    """Make `root/name`, or `root/name-1`, `root/name-2`, … if it is taken."""
    number = 0
    while True:
        folder = root / (f"{name}-{number}" if number else name)
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            number += 1


def provenance(trainer: Trainer) -> Mapping[str, Any]:
    """What a number needs beside it: checkpoint, digest of the pinned pairs if there are any, and versions."""
    from inpaintzoo import __version__  # at the top it would be a circle: the package imports its callbacks

    digest = getattr(getattr(trainer, "datamodule", None), "manifest_digest", None)
    return {
        "checkpoint": str(trainer.ckpt_path) if trainer.ckpt_path else None,
        "manifest_digest": None if digest is None else str(digest),
        "versions": {"inpaintzoo": __version__, "torch": str(torch.__version__), "lightning": lightning.__version__},
    }
