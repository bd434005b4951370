"""Collects metrics over a data set; any number of processes give the results of one."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from inpaintzoo.metrics.base import ImageMetric, Metric, SampleMetric, SetMetric, check_pictures, exact
from inpaintzoo.metrics.extractors import BatchFeatures, Extractor
from inpaintzoo.metrics.pixel import L1, PSNR, L1Hole, PSNRHole
from inpaintzoo.metrics.results import ALL, Column, MetricResults, Row
from inpaintzoo.metrics.segmentation import PredictedLabels, SegmentationMetric
from inpaintzoo.metrics.similarity import SSIM
from inpaintzoo.ops import RATIO_EDGES, bin_labels, composite, gather_over_ranks, mask_ratio, ratio_bin
from inpaintzoo.types import Batch

Judged = Literal["composite", "raw"]
Quantise = Literal["none", "round", "truncate"]
_ROW_KEYS = ("index", "name", "ratio", "bin", "count")
Arrays = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Measured:
    """A suite's record of a batch: plain numbers, which can wait in a file until all batches are done.

    Attributes:
        rows: one per image, in the batch's order.
        features: for set metrics: named `(B, ...)` arrays by family.
        statistics: for segmentation metrics: by metric, one entry per image, None where the metric is undefined.
        fills: number of fills per image.
    """

    rows: list[Row]
    features: dict[str, Arrays] = dataclasses.field(default_factory=dict)
    statistics: dict[str, list[Arrays | None]] = dataclasses.field(default_factory=dict)
    fills: int = 1


class MetricSuite:
    """Metrics over a set: `reset()`, `update()` for each batch, `compute()`.

    One row is kept for each image. `compute()` gathers the rows of all processes, drops samples that a distributed
    sampler repeated, and takes means over images in order of their index; so N processes give the results of one.

    Args:
        metrics: what to measure; by default PSNR and L1 over frame and hole, and SSIM. (MS-SSIM is optional because
            its five scales need images of 161 pixels a side.) Metrics that use the same network will share it.
        judge: `composite`: the known pixels come from the image; `raw`: the prediction as the generator made it.
        bins: edges of the hole-ratio bins that results are broken down by.
        quantise: `round` or `truncate` (as `astype(uint8)` does) predictions to the levels of an 8-bit file, or
            `none`. It moves PSNR by about 0.01 dB.
    """

    def __init__(
        self,
        metrics: list[Metric] | None = None,
        judge: Judged = "composite",
        bins: tuple[float, ...] = RATIO_EDGES,
        quantise: Quantise = "none",
    ) -> None:
        self.metrics = [PSNR(), PSNRHole(), SSIM(), L1(), L1Hole()] if metrics is None else list(metrics)
        if not self.metrics:
            raise ValueError("MetricSuite: the list of metrics is empty; leave it out for the default ones")
        names = [metric.name for metric in self.metrics]
        if clashing := sorted({name for name in names if names.count(name) > 1 or name in _ROW_KEYS}):
            raise ValueError(f"MetricSuite: names of metrics must be unique and not one of {_ROW_KEYS}, got {clashing}")
        share_extractors(self.metrics)
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
        """Load what the metrics need and move it to the device; call it before the run starts.

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
        """Keep a batch that a suite of the same metrics has measured."""
        self._measured.append(measured)

    @torch.no_grad()
    def measure(
        self,
        prediction: Tensor,
        batch: Batch,
        segmentation: Tensor | None = None,
        batch_features: BatchFeatures | None = None,
    ) -> Measured:
        """Measure a batch without keeping it.

        Args:
            prediction: `(B, 3, H, W)`, the raw prediction; values outside [0, 1] are clamped. Or `(B, n, 3, H, W)`,
                several for each image: the one with the best PSNR is measured (SPN's protocol), and each
                `SampleMetric` sees all of them.
            batch: the truth, with `index`.
            segmentation: label logits `(B, classes, h, w)` of a generator that predicts labels, for its only fill.
            batch_features: shared by suites that measure the same batch; None: nothing is shared.

        Raises:
            ValueError: the batch has no `index`, or the shapes do not fit together.
            DataError: images too small for a metric, or label maps with classes that the generator does not know.
        """
        if "index" not in batch:
            raise ValueError("metrics need batch['index'], the samples' positions in the data set, to drop repeats")
        image, mask = batch["image"].float(), batch["mask"]
        fills = prediction if prediction.ndim == 5 else prediction.unsqueeze(1)
        for fill in fills.unbind(1):
            check_pictures(fill, image, mask)
        if segmentation is not None and (fills.shape[1] > 1 or len(segmentation) != len(image)):
            raise ValueError(
                f"segmentation needs one fill per image, got {len(segmentation)} and {tuple(fills.shape[:2])} fills"
            )
        with torch.autocast(prediction.device.type, enabled=False):
            all_judged = torch.stack([self.judged(fill, image, mask) for fill in fills.unbind(1)], dim=1)
            judged = best_fills(all_judged, image)
            values = {metric.name: metric(judged, image, mask).tolist() for metric in self.image_metrics}
            values |= {metric.name: metric(all_judged, mask).tolist() for metric in self.sample_metrics}
            features = self._features(judged, image, batch_features or BatchFeatures())
            statistics = self._statistics(judged, batch, segmentation)
        return Measured(self._rows(values, batch, fills.shape[1]), features, statistics, fills.shape[1])

    def _features(self, judged: Tensor, image: Tensor, batch_features: BatchFeatures) -> dict[str, Arrays]:
        found: dict[str, Arrays] = {}
        for metric in self.set_metrics:
            prediction: Any = judged
            truth: Any = image
            if metric.extractor is not None:
                metric.prepare(judged.device)  # it may have changed
                prediction = batch_features.of(judged, metric.extractor)
                truth = batch_features.of(image, metric.extractor) if metric.reads_truth else None
            found.setdefault(metric.family, {}).update(_arrays(metric.features(prediction, truth)))
        return found

    def _rows(self, values: Mapping[str, list[float]], batch: Batch, fills: int) -> list[Row]:
        indices = [int(index) for index in batch["index"]]
        names = list(batch.get("name", map(str, indices)))
        rows: list[Row] = []
        for i, ratio in enumerate(mask_ratio(batch["mask"]).tolist()):
            row: Row = {"index": indices[i], "name": names[i], "ratio": ratio, "bin": ratio_bin(ratio, self.bins)}
            for metric in self.image_metrics:
                # NaN where the metric is defined means that the prediction had NaN, and must show.
                row[metric.name] = values[metric.name][i] if metric.defined(ratio) else None
            for among in self.sample_metrics:
                row[among.name] = None if ratio == 0 or fills == 1 else values[among.name][i]
            rows.append(row)
        return rows

    def _statistics(self, judged: Tensor, batch: Batch, logits: Tensor | None) -> dict[str, list[Arrays | None]]:
        labels = None if logits is None else PredictedLabels(logits, judged, batch)
        found: dict[str, list[Arrays | None]] = {}
        for metric in self.segmentation_metrics:
            arrays = _arrays(None if labels is None else metric.statistics(labels))
            found[metric.name] = [{key: a[i] for key, a in arrays.items()} or None for i in range(len(judged))]
        return found

    def judged(self, prediction: Tensor, image: Tensor, mask: Tensor) -> Tensor:
        """The prediction as the metrics see it: in float32, clamped, quantised and composited as configured."""
        prediction = prediction.float()
        # Infinite values would be clamped to white or black and measured as such; as NaN they show in the results.
        prediction = prediction.masked_fill(prediction.isinf(), torch.nan).clamp(0, 1)
        # Predictions only: known pixels are 8-bit levels already, and truncation would lower those stored as k - 1e-7.
        if self.quantise != "none":
            levels = prediction * 255
            prediction = (levels.round() if self.quantise == "round" else levels.floor()) / 255
        return composite(image, prediction, mask) if self.judge == "composite" else prediction

    def compute(self, everywhere: bool = True) -> MetricResults:
        """Results over all images.

        Args:
            everywhere: include the images of all processes; all of them must call it, and each gets the results.
                False: this process's images only.
        """
        ranks = gather_over_ranks(self._measured) if everywhere else [self._measured]
        gathered = [[row for measured in batches for row in measured.rows] for batches in ranks]
        kept = _first_of_each(gathered)
        in_order = [*self.image_metrics, *self.sample_metrics, *self.set_metrics, *self.segmentation_metrics]
        results = MetricResults(
            rows=[gathered[rank][position] for rank, position in kept],
            columns=[Column.of(metric) for metric in in_order],
            labels=self.labels,
            judge=self.judge,
            notes=self._notes(max((measured.fills for batches in ranks for measured in batches), default=1)),
        )
        families = dict.fromkeys(metric.family for metric in self.set_metrics)
        features = {family: _kept_features(ranks, family, kept) for family in families}
        for metric in self.set_metrics:
            _compute_set(metric, results, features[metric.family])
        for of_labels in self.segmentation_metrics:
            name = of_labels.name
            found = [[one for measured in batches for one in measured.statistics[name]] for batches in ranks]
            _compute_segmentation(of_labels, results, [found[rank][position] for rank, position in kept])
        return results

    def _notes(self, fills: int) -> list[str]:
        notes = []
        if self.quantise != "none":
            notes.append(f"Predictions are 8-bit levels (quantise: {self.quantise}).")
        if fills > 1:
            notes.append(f"Of {fills} fills per image, the one with the best PSNR counts.")
        return notes


def _kept_features(ranks: Sequence[Sequence[Measured]], family: str, kept: Sequence[tuple[int, int]]) -> Arrays:
    """The features of a family, in order of the kept images."""
    found: list[Arrays] = []
    for batches in ranks:
        parts = [measured.features[family] for measured in batches]
        found.append({key: np.concatenate([part[key] for part in parts]) for key in (parts[0] if parts else {})})
    keys = {key: None for features in found for key in features}
    return {key: np.stack([found[rank][key][position] for rank, position in kept]) for key in keys}


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


def share_extractors(metrics: Iterable[Metric]) -> None:
    """Let metrics whose extractors have the same key use a single one, so that each network is loaded once."""
    shared: dict[str, Extractor] = {}
    for metric in metrics:
        if metric.extractor is not None:
            metric.extractor = shared.setdefault(metric.extractor.key, metric.extractor)


def best_fills(fills: Tensor, image: Tensor) -> Tensor:
    """The fill of each image with the least squared error (the first of ties): of `(B, n, 3, H, W)`, `(B, 3, H, W)`."""
    if fills.shape[1] == 1:
        return fills[:, 0]
    error = exact(fills - image.unsqueeze(1)).square().flatten(2).mean(dim=2)
    return fills[torch.arange(len(fills)), error.argmin(dim=1)]


def _first_of_each(gathered: Sequence[Sequence[Mapping[str, Any]]]) -> list[tuple[int, int]]:
    """(rank, position) of each sample, by ascending index.

    Samplers even out ranks by repeating samples at the end, so the earliest of one index is the original.
    """
    first: dict[int, tuple[int, int]] = {}
    for rank, rows in enumerate(gathered):
        for position, row in enumerate(rows):
            known = first.get(row["index"])
            if known is None or position < known[1]:
                first[row["index"]] = (rank, position)
    return [first[index] for index in sorted(first)]
