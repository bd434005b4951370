"""What a protocol is: everything that decides a number beside the prediction."""

from __future__ import annotations

import dataclasses
from typing import Literal

from inpaintzoo.bins import RATIO_EDGES
from inpaintzoo.metrics import Metric, MetricSuite
from inpaintzoo.metrics.suite import Judge, Quantise

Mean = Literal["images", "batches"]


@dataclasses.dataclass(frozen=True)
class Published:
    """A row of a paper's table.

    Attributes:
        method: as the paper names it; a class name of the zoo where it is one of ours.
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
    """One way to measure, as a paper or its code has it.

    Attributes:
        name: short, in lower case; what a user asks for.
        title: one line.
        source: paper, section or file that it comes from.
        metrics: what is measured; each metric object defines its variant.
        optional: names of metrics that need weights which may be missing: they are then left out with a note.
        judge: whether composites or raw predictions are judged.
        quantise: what an 8-bit file makes of the predictions.
        bins: edges of the hole-ratio bins.
        samples: fills an image of stochastic generators; the best by PSNR counts.
        mean: over images; or over batch means with an incomplete last batch dropped, as some code has it.
        batch: images a batch, where `mean` is over batches.
        split: which pictures the source tests on, in words.
        resize: how pictures get their size, in words.
        masks: where the holes come from, in words.
        pitfalls: what makes numbers of this protocol incomparable, one sentence each.
        published: the paper's own numbers.
    """

    name: str
    title: str
    source: str
    metrics: tuple[Metric, ...]
    optional: tuple[str, ...] = ()
    judge: Judge = "composite"
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

    def suite(self) -> MetricSuite:
        """A suite that measures by this protocol."""
        return MetricSuite(list(self.metrics), self.judge, self.bins, self.quantise)
