"""Pictures of predicted labels: maps at every scale, and confidence against error (SGE-Net's figures 6 to 8)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch.nn.functional as F
from lightning import Callback, Trainer
from lightning.pytorch.utilities import rank_zero_info
from PIL import Image, ImageDraw
from torch import Tensor
from torchvision.transforms.functional import to_tensor

from inpaintzoo.callbacks.record import run_folder
from inpaintzoo.callbacks.sheets import ValidationSheet, as_evaluated
from inpaintzoo.data.labels.classes import LabelClasses, colour_labels
from inpaintzoo.files.writing import free_path, write_whole
from inpaintzoo.metrics.segmentation import confidence_and_error, correlation, moments, predicted_logits
from inpaintzoo.ops import composite, gather_over_ranks, show_hole
from inpaintzoo.pictures.images import tensor_to_image
from inpaintzoo.pictures.sheet import LINE, contact_sheet
from inpaintzoo.types import Batch, ConfigError, Output

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_CELL, _GAP = 128, 4  # pixels: smallest side of a picture, space between pictures
_ROWS = ("", "labels", "confidence:\ndark is sure", "difference:\nlight is surer", "unreliable:\nwhite")
_BACKGROUND, _TEXT_COLOUR = (225, 225, 225), (0, 0, 0)  # grey, so that the edges of white and black pictures show


class SegmentationMaps(ValidationSheet):
    """After each validation draws images, labels, confidence and unreliable pixels of each scale (figures 6 and 7).

    Each picture has five rows; columns are the masked input, the scales from coarse to fine, the composite and the
    truth. Dark is sure, as in the paper; unreliable pixels are white. In the differences from the next coarser scale,
    light pixels became surer and dark ones less sure. Labels have the colours of the data's `classes`.

    Args:
        count: how many validation pictures.
    """

    name = "segmentation"
    title = "labels by scale"

    def __init__(self, count: int = 2) -> None:
        if count < 1:
            raise ValueError(f"SegmentationMaps: count must be at least 1, got {count}")
        super().__init__(count)
        self._told = False

    def check(self, pl_module: Any) -> None:
        """Raise `ConfigError` for a generator that predicts no labels."""
        _require_predicted_labels(self, pl_module)

    def draw(self, trainer: Trainer, pl_module: Any, batch: Any) -> Tensor:
        """See `segmentation_sheet`."""
        output = _output(trainer, pl_module, batch)
        logits = _logits(self, pl_module, output)
        classes = getattr(getattr(trainer, "datamodule", None), "classes", None)
        if classes is not None and len(classes) == logits.shape[1]:
            return to_tensor(segmentation_sheet(batch, output, classes))
        if not self._told:
            self._told = True
            has = f"the data names {len(classes)} classes" if classes is not None else "the data names no classes"
            rank_zero_info(
                f"SegmentationMaps: {has} and the generator predicts {logits.shape[1]}, so they are numbers in "
                f"arbitrary colours; set FolderData's `classes`"
            )
        numbers = LabelClasses(tuple(map(str, range(logits.shape[1]))))
        return to_tensor(segmentation_sheet(batch, output, numbers))


class ConfidencePlot(Callback):
    """After a test plots the labels' confidence against the error of the fill, over the hole (figure 8).

    Each dot is an image, at the means over its hole; the line is the mean error of all pixels by confidence. The file
    is `images/confidence.png` in the run folder. The pictures pass through the network once more; several processes
    share them, and the first one draws. Pixels whose logits are not finite are left out of the line.

    Args:
        count: how many images at most.
        bins: bins of the confidence, from 0 to 1.
    """

    def __init__(self, count: int = 500, bins: int = 20) -> None:
        if count < 1 or bins < 2:
            raise ValueError(f"ConfidencePlot: count must be 1 or more and bins 2 or more, got {count} and {bins}")
        self.count = count
        self.bins = bins
        self._folder = Path()

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Check the generator, and find the run folder (a collective call).

        Raises:
            ConfigError: the generator predicts no labels.
        """
        _require_predicted_labels(self, pl_module)
        self._folder = run_folder(trainer) / "images"

    def on_test_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Start afresh."""
        self._moments: list[np.ndarray] = []
        self._seen: set[int] = set()
        self._binned = np.zeros((2, self.bins))  # pixels, and the sum of their errors

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, *args: Any
    ) -> None:
        """Collect what a batch shows."""
        # Rank r has images r, r + N, …, and may repeat an early one at the end.
        fresh = [i for i, index in enumerate(batch["index"].tolist()) if index < self.count and self._is_new(index)]
        if not fresh:
            return
        head: Any = {key: batch[key][fresh] for key in ("image", "mask")}
        output = _output(trainer, pl_module, head)
        logits = _logits(self, pl_module, output)
        confidence, error = confidence_and_error(logits, output.image.clamp(0, 1), head["image"])
        self._moments.append(moments(confidence, error, head["mask"]).cpu().numpy())
        hole = (head["mask"][:, 0] > 0.5).to(confidence.device) & confidence.isfinite() & error.isfinite()
        where = (confidence[hole] * self.bins).long().clamp(max=self.bins - 1).cpu().numpy()
        self._binned[0] += np.bincount(where, minlength=self.bins)
        self._binned[1] += np.bincount(where, weights=error[hole].cpu().numpy(), minlength=self.bins)

    def on_test_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Plot what all processes have collected."""
        gathered = gather_over_ranks((np.concatenate([*self._moments, np.zeros((0, 6))]), self._binned))
        if not trainer.is_global_zero:
            return
        rows = np.concatenate([moments for moments, _ in gathered])
        rows = rows[rows[:, 0] > 0]
        if not len(rows):
            rank_zero_info("ConfidencePlot: no test picture has a hole, so there is nothing to plot")
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        path = free_path(self._folder / "confidence.png")
        write_whole(path, confidence_plot(rows, sum(binned for _, binned in gathered)).savefig)
        value = correlation(rows)
        text = "undefined" if value is None else f"{value:.3f}"
        rank_zero_info(f"confidence against error: correlation {text} over {len(rows)} images, {path}")

    def _is_new(self, index: int) -> bool:
        new = index not in self._seen
        self._seen.add(index)
        return new


# -- drawing ---------------------------------------------------------------------------------------------------------


def segmentation_sheet(batch: Batch, output: Output, classes: LabelClasses) -> Image.Image:
    """Rows of pictures, labels, confidence, its increase and unreliable pixels, with captions and a legend.

    Args:
        batch: B pairs, with `labels` if there are any.
        output: the generator's output for them, with `pyramid`, `segmentations` and, if it has them, `unreliable`.
        classes: as many as the logits have.
    """
    columns = _columns(batch, output, classes)
    height, width = batch["image"].shape[-2:]
    side = max(_CELL, width)
    size = side, max(1, round(side * height / width))
    pictures = [
        None if row >= len(rows) else rows[row][sample].resize(size, Image.Resampling.NEAREST)
        for sample in range(len(batch["image"]))
        for row in range(len(_ROWS))
        for _, rows in columns
    ]
    grid = contact_sheet(pictures, len(columns), _GAP, _BACKGROUND)
    legend = _legend(classes, grid.width)
    sheet = Image.new("RGB", (grid.width, LINE - _GAP + grid.height + legend.height), _BACKGROUND)
    sheet.paste(grid, (0, LINE - _GAP))
    sheet.paste(legend, (0, sheet.height - legend.height))
    pen = ImageDraw.Draw(sheet)
    for number, (caption, _) in enumerate(columns):
        pen.text((_GAP + number * (size[0] + _GAP), 1), caption, fill=_TEXT_COLOUR)
    shown = _ROWS[: max(len(rows) for _, rows in columns)]
    for sample in range(len(batch["image"])):
        for row, name in enumerate(shown):
            pen.multiline_text(
                (_GAP, LINE + (len(_ROWS) * sample + row) * (size[1] + _GAP) + 4), name, fill=_TEXT_COLOUR
            )
    return sheet


def _columns(batch: Batch, output: Any, classes: LabelClasses) -> list[tuple[str, list[list[Image.Image]]]]:
    """The columns: a caption and, from top to bottom, rows of pictures, one per sample."""

    def drawn(maps: Tensor) -> list[Image.Image]:
        return [tensor_to_image(picture) for picture in maps]

    def coloured(maps: Tensor) -> list[Image.Image]:
        return [Image.fromarray(colour_labels(labels.cpu().numpy(), classes.colours)) for labels in maps]

    image, mask = batch["image"].float().cpu(), batch["mask"].float().cpu()
    columns = [("masked", [drawn(show_hole(image, mask))])]
    unreliable = output.unreliable or [None] * len(output.segmentations)
    scales = list(zip(output.pyramid, output.segmentations, unreliable, strict=True))
    coarser: Tensor | None = None
    for number, (picture, logits, unsure) in reversed(list(enumerate(scales))):
        confidence, labels = logits.float().softmax(dim=1).max(dim=1, keepdim=True)
        before = confidence if coarser is None else F.interpolate(coarser, size=confidence.shape[2:], mode="nearest")
        rows = [drawn(picture), coloured(labels[:, 0]), drawn(1 - confidence), drawn((1 + confidence - before) / 2)]
        coarser = confidence
        rows += [drawn(unsure)] if unsure is not None else []
        columns.append((f"scale {number}, {picture.shape[-2]}x{picture.shape[-1]}", rows))
    filled = composite(image, output.image.float().clamp(0, 1).cpu(), mask)
    columns.append(("composite", [drawn(filled)]))
    columns.append(("truth", [drawn(image), *([coloured(batch["labels"])] if "labels" in batch else [])]))
    return columns


def _legend(classes: LabelClasses, width: int) -> Image.Image:
    """Class names beside their colours, in as many lines as needed."""
    places, left, line = [], _GAP, 0
    for name, colour in zip((*classes.names, "ignored"), (*classes.colours, (0, 0, 0)), strict=True):
        needed = 16 + 7 * len(name)
        if left + needed > width and left > _GAP:
            left, line = _GAP, line + 1
        places.append((left, line, name, colour))
        left += needed + 8
    legend = Image.new("RGB", (width, (line + 1) * (LINE + 2)), _BACKGROUND)
    pen = ImageDraw.Draw(legend)
    for left, line, name, colour in places:
        top = line * (LINE + 2) + 2
        pen.rectangle((left, top, left + 11, top + 11), fill=colour, outline=_TEXT_COLOUR)
        pen.text((left + 16, top), name, fill=_TEXT_COLOUR)
    return legend


def confidence_plot(rows: np.ndarray, binned: np.ndarray) -> Figure:
    """Confidence against error: a dot for each image, and as a line the mean error of the pixels in each bin.

    Args:
        rows: `(N, 6)` moments of images with a hole, see `inpaintzoo.metrics.segmentation.moments`.
        binned: `(2, bins)`, the number of pixels and the sum of their errors, by confidence from 0 to 1.
    """
    from matplotlib.figure import Figure  # here: a training that plots nothing need not wait for matplotlib

    dots = np.array([(row[1] / row[0], row[2] / row[0]) for row in rows if np.isfinite(row).all()]).reshape(-1, 2)
    edges = np.linspace(0, 1, binned.shape[1] + 1)
    counts, sums = binned
    filled = counts > 0
    confidence, error = ((edges[:-1] + edges[1:]) / 2)[filled], sums[filled] / counts[filled]
    if len(error) == 1:  # a line as wide as its bin
        confidence, error = np.array([edges[:-1][filled][0], edges[1:][filled][0]]), error.repeat(2)
    found = correlation(rows)
    text = "undefined" if found is None else f"{found:.3f}"
    figure = Figure(figsize=(5.6, 5.4), layout="constrained")
    axes = figure.subplots()
    title = f"correlation over pixels {text}; {len(rows)} images (dots), pixels by confidence (line)"
    axes.set_title(title, fontsize=9)
    axes.set_xlabel("confidence P_max in the hole")
    axes.set_ylabel("L1 error in the hole")
    axes.grid(color="#C8C8C8")
    axes.scatter(dots[:, 0], dots[:, 1], s=12, color="#466EC8", zorder=2)
    axes.plot(confidence, error, color="#C82828", linewidth=2)
    axes.set_xlim(0, 1)
    axes.set_ylim(bottom=0)
    return figure


# -- what both share -------------------------------------------------------------------------------------------------


def _output(trainer: Trainer, pl_module: Any, batch: Batch) -> Output:
    with as_evaluated(trainer, pl_module):
        output: Output = pl_module.predict_frame(batch)
    return output


def _require_predicted_labels(callback: Callback, pl_module: Any) -> None:
    # Only a generator that learns from labels can predict them; whether it does shows with the first output.
    if not pl_module.generator.needs_labels:
        raise _no_labels(callback, pl_module)


def _logits(callback: Callback, pl_module: Any, output: Output) -> Tensor:
    logits = predicted_logits(output)
    if logits is None:
        raise _no_labels(callback, pl_module)
    return logits


def _no_labels(callback: Callback, pl_module: Any) -> ConfigError:
    return ConfigError(
        f"{type(callback).__name__} shows predicted labels, like those of SGE-Net and SG-Net, and "
        f"{type(pl_module.generator).__name__} predicts none; remove this callback from the config"
    )
