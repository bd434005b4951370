"""Prints the results of `test` and `validate`, and writes them down with what is needed to repeat them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn

from inpaintzoo.callbacks.record import versions
from inpaintzoo.data.module import InpaintingData
from inpaintzoo.files.writing import new_folder
from inpaintzoo.metrics import MetricResults
from inpaintzoo.types import DataError


class TestReport(Callback):
    """After a test, prints the table of results and writes `metrics.json`, `per_image.csv` and `manifest.jsonl`.

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
        folder = new_folder(Path(root) / name)
        facts = {**provenance(trainer), "manifest_digest": save_pairs(trainer, folder) if name == "test" else None}
        (folder / "metrics.json").write_text(results.to_json(facts), encoding="utf-8")
        results.to_csv(folder / "per_image.csv")
        print(f"\n{results.table()}\n", flush=True)
        rank_zero_info(f"{name}: results written to {folder}")


def save_pairs(trainer: Trainer, folder: Path) -> str | None:
    """Write the pairs that were measured as `manifest.jsonl`, and return their digest.

    None where the data is not the zoo's, or its masks are of a class outside the package: those cannot be rebuilt
    from a file, and a warning says so.
    """
    data = getattr(trainer, "datamodule", None)
    if not isinstance(data, InpaintingData):
        return None
    try:
        pinned = data.pinned
    except DataError as error:
        rank_zero_warn(f"the pairs of this test are not pinned: {error}")
        return None
    pinned.save(folder / "manifest.jsonl")
    return pinned.digest()


def provenance(trainer: Trainer) -> Mapping[str, Any]:
    """What a number needs beside it: checkpoint and versions."""
    return {"checkpoint": str(trainer.ckpt_path) if trainer.ckpt_path else None, "versions": versions()}
