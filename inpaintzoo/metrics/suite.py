"""Collects metrics over a data set, in any number of processes, as if there were one."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from inpaintzoo.metrics.base import (
    ImageMetric,
    Metric,
    SampleMetric,
    SegmentationMetric,
    SetMetric,
    check_shapes,
    exact,
)
from inpaintzoo.metrics.pixel import L1, PSNR, L1Hole, PSNRHole
from inpaintzoo.metrics.results import ALL, Column, MetricResults, Row
from inpaintzoo.metrics.similarity import SSIM
from inpaintzoo.ops import RATIO_EDGES, bin_labels, composite, mask_ratio, ratio_bin
from inpaintzoo.types import Batch

Judge = Literal["composite", "raw"]
Quantise = Literal["none", "round", "truncate"]
_ROW_KEYS = ("index", "name", "ratio", "bin", "count")
Arrays = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Measured:
    """What a suite keeps of a batch: plain numbers, which can wait in a file until all batches are there.

    Attributes:
        rows: one an image, in the batch's order.
        features: of set metrics: by their family, named `(B, ...)` arrays.
        statistics: of segmentation metrics: by metric one entry an image, None where the metric is undefined.
        fills: an image.
    """

    rows: list[Row]
    features: dict[str, Arrays] = dataclasses.field(default_factory=dict)
    statistics: dict[str, list[Arrays | None]] = dataclasses.field(default_factory=dict)
    fills: int = 1


class MetricSuite:
    """Metrics over a set: `reset()`, `update()` for each batch, `compute()`.

    One row is kept for each image. `compute()` brings the rows of all processes together, drops samples that a
    distributed sampler repeated, and takes means over images in order of their index; so N processes give the
    results of one.

    Args:
        metrics: what to measure; by default PSNR and L1 over frame and hole, and SSIM. (MS-SSIM is left to choice
            because its five scales need images of 161 pixels a side.)
        judge: `composite`: the known pixels come from the image; `raw`: the prediction as the generator made it.
        bins: edges of the hole-ratio bins that results are broken down by.
        quantise: what an 8-bit file would make of the predictions: `none`, or levels of 1/255 by rounding or by
            truncation (as `astype(uint8)` does). It moves PSNR by about 0.01 dB.
    """

    def __init__(
        self,
        metrics: list[Metric] | None = None,
        judge: Judge = "composite",
        bins: tuple[float, ...] = RATIO_EDGES,
        quantise: Quantise = "none",
    ) -> None:
        self.metrics = [PSNR(), PSNRHole(), SSIM(), L1(), L1Hole()] if metrics is None else list(metrics)
        _check_names(self.metrics)
        if judge not in ("composite", "raw"):
            raise ValueError(f"MetricSuite: judge must be `composite` or `raw`, got {judge!r}")
        if quantise not in ("none", "round", "truncate"):
            raise ValueError(f"MetricSuite: quantise must be `none`, `round` or `truncate`, got {quantise!r}")
        self.judge = judge
        self.quantise = quantise
        self.bins = tuple(bins)
        self.labels = bin_labels(self.bins)
        self.reset()

    @property
    def image_metrics(self) -> list[ImageMetric]:
        """The metrics that give a value for each image."""
        return [metric for metric in self.metrics if isinstance(metric, ImageMetric)]

    @property
    def sample_metrics(self) -> list[SampleMetric]:
        """The metrics that compare the fills of an image with each other."""
        return [metric for metric in self.metrics if isinstance(metric, SampleMetric)]

    @property
    def set_metrics(self) -> list[SetMetric]:
        """The metrics that give one value for a set."""
        return [metric for metric in self.metrics if isinstance(metric, SetMetric)]

    @property
    def segmentation_metrics(self) -> list[SegmentationMetric]:
        """The metrics of predicted labels, which give one value for a set."""
        return [metric for metric in self.metrics if isinstance(metric, SegmentationMetric)]

    def prepare(self, device: torch.device | str) -> None:
        """Load what metrics need and move it to the device; call it before the run starts.

        Raises:
            WeightsError: weights that can be neither found nor fetched; it says where to put them.
        """
        for metric in self.metrics:
            metric.prepare(torch.device(device))

    def reset(self) -> None:
        """Forget all images."""
        self._measured: list[Measured] = []

    def update(self, prediction: Tensor, batch: Batch, segmentation: Tensor | None = None) -> None:
        """Measure a batch and keep it; arguments and errors as in `measure`."""
        self.add(self.measure(prediction, batch, segmentation))

    def add(self, measured: Measured) -> None:
        """Take in a batch that was measured before, here or elsewhere, by a suite of the same metrics."""
        self._measured.append(measured)

    @torch.no_grad()
    def measure(self, prediction: Tensor, batch: Batch, segmentation: Tensor | None = None) -> Measured:
        """Measure a batch, and keep nothing.

        Args:
            prediction: `(B, 3, H, W)`, the raw prediction; values outside [0, 1] are clamped. Or `(B, n, 3, H, W)`,
                several for each image: the one with the best PSNR is measured (SPN's protocol), and `SampleMetric`s
                see all of them.
            batch: the truth, with `index`.
            segmentation: label logits `(B, classes, h, w)` of a generator that predicts labels, for its only fill.

        Raises:
            ValueError: a batch without `index`, or shapes that do not fit.
            DataError: images too small for a metric, or label maps with classes that the generator does not know.
        """
        if "index" not in batch:
            raise ValueError("metrics need batch['index'], the samples' positions in the data set, to drop repeats")
        image, mask = batch["image"].float(), batch["mask"]
        fills = prediction if prediction.ndim == 5 else prediction.unsqueeze(1)
        for fill in fills.unbind(1):
            check_shapes(fill, image, mask)
        if segmentation is not None and (fills.shape[1] > 1 or len(segmentation) != len(image)):
            raise ValueError(
                f"segmentation is of one fill an image, got {len(segmentation)} and {tuple(fills.shape[:2])} fills"
            )
        with torch.autocast(prediction.device.type, enabled=False):
            all_judged = torch.stack([self.judged(fill, image, mask) for fill in fills.unbind(1)], dim=1)
            judged = best_fills(all_judged, image)
            values = {metric.name: metric(judged, image, mask).tolist() for metric in self.image_metrics}
            values |= {metric.name: metric(all_judged, mask).tolist() for metric in self.sample_metrics}
            features: dict[str, Arrays] = {}
            for of_set in self.set_metrics:
                features.setdefault(of_set.family, {}).update(_arrays(of_set.features(judged, image)))
            statistics = self._statistics(judged, batch, segmentation)
        return Measured(self._rows(values, batch, fills.shape[1]), features, statistics, fills.shape[1])

    def _rows(self, values: Mapping[str, list[float]], batch: Batch, fills: int) -> list[Row]:
        indices = [int(index) for index in batch["index"]]
        names = list(batch.get("name", map(str, indices)))
        rows: list[Row] = []
        for i, ratio in enumerate(mask_ratio(batch["mask"]).tolist()):
            row: Row = {"index": indices[i], "name": names[i], "ratio": ratio, "bin": ratio_bin(ratio, self.bins)}
            for metric in self.image_metrics:
                # A NaN that is left is a prediction that was no number, and must show.
                row[metric.name] = values[metric.name][i] if metric.defined(ratio) else None
            for among in self.sample_metrics:
                row[among.name] = None if ratio == 0 or fills == 1 else values[among.name][i]
            rows.append(row)
        return rows

    def _statistics(self, judged: Tensor, batch: Batch, logits: Tensor | None) -> dict[str, list[Arrays | None]]:
        found: dict[str, list[Arrays | None]] = {}
        for metric in self.segmentation_metrics:
            arrays = _arrays(None if logits is None else metric.statistics(logits, judged, batch))
            found[metric.name] = [{key: a[i] for key, a in arrays.items()} or None for i in range(len(judged))]
        return found

    def judged(self, prediction: Tensor, image: Tensor, mask: Tensor) -> Tensor:
        """What the metrics get to see: the prediction in float32, clamped, quantised and composited as chosen."""
        prediction = prediction.float().clamp(0, 1)
        # Predictions only: known pixels are 8-bit levels already, and truncation would lower those stored as k - 1e-7.
        if self.quantise != "none":
            levels = prediction * 255
            prediction = (levels.round() if self.quantise == "round" else levels.floor()) / 255
        return composite(image, prediction, mask) if self.judge == "composite" else prediction

    def compute(self, everywhere: bool = True) -> MetricResults:
        """Results over all images.

        Args:
            everywhere: those that all processes have seen; every process must call it, and each gets the results.
                False: those of this process alone.
        """
        ranks = _gather(self._measured) if everywhere else [self._measured]
        gathered = [[row for measured in batches for row in measured.rows] for batches in ranks]
        kept = _first_of_each(gathered)
        results = MetricResults(
            rows=[gathered[rank][position] for rank, position in kept],
            columns=[Column.of(metric) for metric in self._in_order()],
            labels=self.labels,
            judge=self.judge,
            notes=self._notes(max((measured.fills for batches in ranks for measured in batches), default=1)),
        )
        families = dict.fromkeys(metric.family for metric in self.set_metrics)
        features = {family: _kept_features(ranks, family, kept) for family in families}
        for metric in self.set_metrics:
            _compute_set(metric, results, features[metric.family])
        for of_labels in self.segmentation_metrics:
            found = [list(_of_each(batches, of_labels.name)) for batches in ranks]
            _compute_segmentation(of_labels, results, [found[rank][position] for rank, position in kept])
        return results

    def _in_order(self) -> list[Metric]:
        return [*self.image_metrics, *self.sample_metrics, *self.set_metrics, *self.segmentation_metrics]

    def _notes(self, fills: int) -> list[str]:
        notes = []
        if self.quantise != "none":
            notes.append(f"Predictions are 8-bit levels (quantise: {self.quantise}).")
        if fills > 1:
            notes.append(f"Of {fills} fills an image the one with the best PSNR counts.")
        return notes


def _kept_features(ranks: Sequence[Sequence[Measured]], family: str, kept: Sequence[tuple[int, int]]) -> Arrays:
    """The features of a family, in order of the kept images."""
    found: list[Arrays] = []
    for batches in ranks:
        parts = [measured.features[family] for measured in batches]
        found.append({key: np.concatenate([part[key] for part in parts]) for key in (parts[0] if parts else {})})
    keys = {key: None for features in found for key in features}
    return {key: np.stack([found[rank][key][position] for rank, position in kept]) for key in keys}


def _of_each(batches: Sequence[Measured], metric: str) -> Iterator[Arrays | None]:
    return itertools.chain.from_iterable(measured.statistics[metric] for measured in batches)


def _compute_set(metric: SetMetric, results: MetricResults, features: Arrays) -> None:
    for group in results.groups():
        chosen = [i for i, row in enumerate(results.rows) if group in (ALL, row["bin"])]
        value = metric.compute({key: array[chosen] for key, array in features.items()}) if chosen else None
        results.set_values.setdefault(group, {})[metric.name] = value


def _compute_segmentation(metric: SegmentationMetric, results: MetricResults, found: Sequence[Arrays | None]) -> None:
    for group in results.groups():
        rows = zip(found, results.rows, strict=True)
        chosen = [statistics for statistics, row in rows if statistics and group in (ALL, row["bin"])]
        stacked = {key: np.stack([of_image[key] for of_image in chosen]) for key in (chosen[0] if chosen else {})}
        results.set_values.setdefault(group, {})[metric.name] = metric.compute(stacked) if chosen else None
    if without := list(found).count(None):
        results.notes.append(f"{metric.name}: {without} of {len(found)} images {metric.undefined} and do not count.")


def _arrays(tensors: Mapping[str, Tensor] | None) -> Arrays:
    return {key: value.cpu().numpy() for key, value in (tensors or {}).items()}


def best_fills(fills: Tensor, image: Tensor) -> Tensor:
    """Of `(B, n, 3, H, W)` fills the nearest to the truth, `(B, 3, H, W)`; the first of equals."""
    if fills.shape[1] == 1:
        return fills[:, 0]
    error = exact(fills - image.unsqueeze(1)).square().flatten(2).mean(dim=2)
    return fills[torch.arange(len(fills)), error.argmin(dim=1)]


def _check_names(metrics: Sequence[Metric]) -> None:
    if not metrics:
        raise ValueError("MetricSuite: the list of metrics is empty; leave it out for the default ones")
    names = [metric.name for metric in metrics]
    if repeated := sorted({name for name in names if names.count(name) > 1 or name in _ROW_KEYS}):
        raise ValueError(f"MetricSuite: names of metrics must be unique and not one of {_ROW_KEYS}, got {repeated}")


def _gather(value: Any) -> list[Any]:
    """The value of each process, in order of rank."""
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return [value]
    values: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values


def _first_of_each(gathered: Sequence[Sequence[Mapping[str, Any]]]) -> list[tuple[int, int]]:
    """(rank, position) of each sample, by ascending index.

    Samplers even out ranks by repeats at the end, so among several of one index the earliest is the real one.
    """
    first: dict[int, tuple[int, int]] = {}
    for rank, rows in enumerate(gathered):
        for position, row in enumerate(rows):
            known = first.get(row["index"])
            if known is None or position < known[1]:
                first[row["index"]] = (rank, position)
    return [first[index] for index in sorted(first)]
