"""Prints the results of `test` and `validate`, and saves them with what is needed to repeat them."""

from __future__ import annotations

from pathlib import Path

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn

from inpaintzoo.callbacks.record import run_folder
from inpaintzoo.data.module import InpaintingData
from inpaintzoo.files.writing import new_folder, write_text, write_whole
from inpaintzoo.metrics import MetricResults
from inpaintzoo.types import DataError
from inpaintzoo.version import versions


class TestReport(Callback):
    """After a test, prints the table of results and writes `metrics.json`, `per_image.csv` and `manifest.jsonl`.

    The files go into a new folder `test` in the run folder, or into `test-1`, `test-2`, … if it exists: nothing is
    overwritten. `inpaintzoo validate` is reported the same way in `validate`; validation during training is not
    reported.

    It reads the LightningModule's `test_results` and `val_results`, which are `MetricResults`.
    """

    __test__ = False  # or pytest takes the class for tests

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Report the test."""
        self._report(trainer, getattr(pl_module, "test_results", None), "test")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Report a validation that is not part of a training."""
        if trainer.state.fn == "validate":
            self._report(trainer, getattr(pl_module, "val_results", None), "validate")

    def _report(self, trainer: Trainer, results: MetricResults | None, name: str) -> None:
        root = run_folder(trainer)  # all processes must ask, so before the others leave
        if results is None or not trainer.is_global_zero:
            return
        folder = new_folder(root / name)
        facts = {
            "checkpoint": str(trainer.ckpt_path) if trainer.ckpt_path else None,
            "versions": versions(),
            "manifest_digest": save_pairs(trainer, folder) if name == "test" else None,
        }
        write_text(folder / "metrics.json", results.to_json(facts))
        write_whole(folder / "per_image.csv", results.to_csv)
        print(f"\n{results.table()}\n", flush=True)
        rank_zero_info(f"{name}: results written to {folder}")


def save_pairs(trainer: Trainer, folder: Path) -> str | None:
    """Write the pairs that were measured as `manifest.jsonl`, and return their digest.

    Returns None if the data is not an `InpaintingData`, or if its masks cannot be pinned, which a warning explains.
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
