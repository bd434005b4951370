"""After training: is the network better than filling the hole with something plain?"""

from __future__ import annotations

import textwrap
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, Trainer
from tabulate import tabulate
from torch import Tensor
from torchvision.utils import save_image

from inpaintzoo.callbacks.ema import GeneratorEMA
from inpaintzoo.callbacks.record import run_folder
from inpaintzoo.files.writing import free_path, write_whole
from inpaintzoo.fills import FILLS
from inpaintzoo.generator import Generator
from inpaintzoo.metrics import L1Hole, MetricSuite, PSNRHole
from inpaintzoo.metrics.results import decimals_of
from inpaintzoo.ops import composite, evaluating, show_hole
from inpaintzoo.types import Batch
from inpaintzoo.words import did_you_mean


class CompareFills(Callback):
    """When training ends, compares the generator with fills without a network, in the holes of the validation pairs.

    Prints a table and the path of a before/after picture: masked, mean colour, diffusion, generator, truth.

    Args:
        pictures: how many rows the picture has.
        fills: names of `inpaintzoo.fills.FILLS`; `shiftmap` takes a second or more for each picture.
    """

    def __init__(self, pictures: int = 6, fills: Sequence[str] = ("mean", "diffusion")) -> None:
        for name in fills:
            if name not in FILLS:
                choices = ", ".join(FILLS)
                raise ValueError(
                    f"CompareFills: fills must be one of {choices}, got {name!r}{did_you_mean(name, FILLS)}"
                )
        if pictures < 1:
            raise ValueError(f"CompareFills: pictures must be at least 1, got {pictures}")
        self.pictures = pictures
        self.fills = {"mean colour" if name == "mean" else name: FILLS[name]() for name in fills}
        self._started = time.monotonic()

    def on_fit_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Start the clock."""
        self._started = time.monotonic()

    def on_fit_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Measure, print and draw."""
        # All processes must ask; each measures its share of the pairs.
        path = run_folder(trainer) / "comparison.png"
        minutes = (time.monotonic() - self._started) / 60
        with evaluating(pl_module), GeneratorEMA.in_place(trainer, pl_module):
            self._compare(trainer, pl_module, minutes, path)

    def _compare(self, trainer: Trainer, pl_module: Any, minutes: float, path: Path) -> None:
        name = type(pl_module.generator).__name__
        methods: dict[str, Callable[[Batch], Tensor]] = {
            **{fill: partial(_fill, generator) for fill, generator in self.fills.items()},
            name: lambda batch: pl_module.fills(batch)[:, 0],
        }
        suites = {method: MetricSuite([PSNRHole(), L1Hole()]) for method in methods}
        rows: list[Tensor] = []
        for batch in trainer.datamodule.val_dataloader():  # type: ignore[attr-defined]
            batch = trainer.strategy.batch_to_device(batch)
            with torch.no_grad():
                predictions = {method: fill(batch).clamp(0, 1) for method, fill in methods.items()}
            for method, prediction in predictions.items():
                suites[method].update(prediction, batch)
            if len(rows) < self.pictures:
                rows += _rows(batch, list(predictions.values()))
        results = {method: suite.compute().flat() for method, suite in suites.items()}
        if not trainer.is_global_zero:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        path = free_path(path)
        sheet = torch.cat(rows[: self.pictures])
        write_whole(path, lambda file: save_image(sheet, file, nrow=len(methods) + 2))
        print(_verdict(results, name, pl_module.iteration, minutes, path), flush=True)


def _fill(generator: Generator, batch: Batch) -> Tensor:
    filled: Tensor = generator(batch["image"], batch["mask"]).image
    return filled


def _rows(batch: Batch, predictions: list[Tensor]) -> list[Tensor]:
    image, mask = batch["image"], batch["mask"]
    filled = [composite(image, prediction, mask) for prediction in predictions]
    rows = torch.stack([show_hole(image, mask), *filled, image], dim=1).cpu()
    scale = max(1, 128 // image.shape[-1])  # enlarges small pictures, which are hard to see
    return list(rows.repeat_interleave(scale, dim=-1).repeat_interleave(scale, dim=-2))


def _verdict(results: dict[str, dict[str, float]], name: str, iterations: int, minutes: float, path: Path) -> str:
    formats = ["", *(f".{decimals_of(unit, 0.0)}f" for unit in ("dB", "%"))]
    rows = [(method, values["psnr_hole"], 100 * values["l1_hole"]) for method, values in results.items()]
    table = tabulate(rows, ("", "PSNR (dB)", "L1 (%)"), tablefmt="plain", floatfmt=formats)
    lines = [
        "",
        f"In the hole, on the validation pairs, after {iterations} iterations ({minutes:.1f} minutes):",
        textwrap.indent(table, "  "),
    ]
    for method in results:
        if method != name:
            gain = results[name]["psnr_hole"] - results[method]["psnr_hole"]
            verdict = f"better than {method}" if gain > 0 else f"NOT better than {method}"
            lines.append(f"{name} is {verdict}: {gain:+.2f} dB")
    columns = ", ".join(["masked", *results, "truth"])
    return "\n".join([*lines, f"before/after picture ({columns}): {path}"])
