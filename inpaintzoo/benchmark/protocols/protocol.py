"""Protocols: everything besides the prediction that decides a number."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import Literal

from inpaintzoo.metrics import Metric, MetricSuite
from inpaintzoo.metrics.suite import Judged, Quantise
from inpaintzoo.ops import RATIO_EDGES, bin_labels

Mean = Literal["images", "batches"]


@dataclasses.dataclass(frozen=True)
class Published:
    """A row of a paper's table.

    Attributes:
        method: the paper's name for it, or our class name if the zoo has it.
        data: the test set, in the paper's words.
        masks: the holes, in the paper's words, or a ratio bin such as `0.2-0.4`.
        values: by metric name of the protocol, in the metric's unit.
        source: paper and table.
    """

    method: str
    data: str
    masks: str
    values: dict[str, float]
    source: str


@dataclasses.dataclass(frozen=True)
class Protocol:
    """A way to measure, as defined by a paper, its code, or a user's config.

    Attributes:
        name: short, in lower case.
        title: one line.
        source: the paper, section or file that defines it.
        metrics: what is measured; each metric object defines its variant.
        optional: names of metrics that are left out, with a note, if their weights are missing.
        judge: whether composites or raw predictions are judged.
        quantise: how predictions are made 8-bit: not at all, by rounding or by truncation.
        bins: edges of the hole-ratio bins.
        samples: fills per image of stochastic generators; the best by PSNR counts.
        mean: over images, or over the means of batches without an incomplete last one, as in some papers' code.
        batch: images per batch, if `mean` is over batches.
        split: the source's test pictures, in words.
        resize: how pictures get their size, in words.
        masks: where the holes come from, in words.
        pitfalls: what makes numbers of this protocol incomparable, one sentence each.
        published: the paper's own numbers.

    Raises:
        ValueError: parts that contradict each other.
    """

    name: str
    title: str
    source: str
    metrics: tuple[Metric, ...]
    optional: tuple[str, ...] = ()
    judge: Judged = "composite"
    quantise: Quantise = "none"
    bins: tuple[float, ...] = RATIO_EDGES
    samples: int = 1
    mean: Mean = "images"
    batch: int = 1
    split: str = ""
    resize: str = ""
    masks: str = ""
    pitfalls: tuple[str, ...] = ()
    published: tuple[Published, ...] = ()

    def __post_init__(self) -> None:
        """Check what can be checked without pictures."""
        names = [metric.name for metric in self.metrics]
        self.suite()  # refuses names that clash, and unknown ways to judge and quantise
        bin_labels(self.bins)
        if unknown := sorted({*self.optional, *(name for row in self.published for name in row.values)} - {*names}):
            raise ValueError(f"protocol {self.name!r}: {unknown} are not among its metrics, {names}")
        if self.mean not in ("images", "batches"):
            raise ValueError(f"protocol {self.name!r}: mean must be `images` or `batches`, got {self.mean!r}")
        if self.samples < 1 or self.batch < 1:
            raise ValueError(
                f"protocol {self.name!r}: samples and batch must be at least 1, got {self.samples} and {self.batch}"
            )

    def suite(self, without: Collection[str] = ()) -> MetricSuite:
        """A suite that measures by this protocol.

        Args:
            without: names of metrics to leave out, such as those whose weights are missing.
        """
        kept = [metric for metric in self.metrics if metric.name not in without]
        return MetricSuite(kept, self.judge, self.bins, self.quantise)

    def rules(self) -> dict[str, str]:
        """Everything that decides the numbers, in words; protocols with equal rules give equal numbers."""
        judged = "composites" if self.judge == "composite" else "raw predictions"
        levels = {"none": "float", "round": "8 bits by rounding", "truncate": "8 bits by truncation"}[self.quantise]
        mean = "over images" if self.mean == "images" else f"of batch means, batches of {self.batch}, tail dropped"
        best = "the only fill" if self.samples == 1 else f"of {self.samples} fills the best by PSNR"
        return {
            "judged": f"{judged}, {levels}",
            "fills": best,
            "mean": mean,
            "bins": " ".join(bin_labels(self.bins)),
            **{metric.name: metric.definition for metric in self.metrics},
        }
