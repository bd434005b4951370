"""The results of a benchmark: contenders, pairs, protocols and numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from torch import Tensor

from inpaintzoo.benchmark.protocols.protocol import Protocol
from inpaintzoo.metrics import MetricResults

# A report asks for pictures when it draws them, so that no set has to fit into memory. Positions are the `index` of
# rows; tensors are float, on the CPU, in the order of the positions.
# render(contender, set, positions): composites `(n, 3, H, W)` in [0, 1].
Render = Callable[[str, str, Sequence[int]], Tensor]
# truth(set, positions): pictures `(n, 3, H, W)` in [0, 1] and masks `(n, 1, H, W)`, 1 = hole.
Truth = Callable[[str, Sequence[int]], tuple[Tensor, Tensor]]


@dataclasses.dataclass(frozen=True)
class Cost:
    """The cost of one forward pass of a network at batch 1.

    Attributes:
        parameters: number of the generator's parameters.
        macs: multiply-accumulate operations; None if they could not be counted.
        milliseconds: median time per image.
        spread: low and high quartile of that time.
        peak_bytes: peak memory beyond the weights; None if it cannot be measured.
        height: height of the image, in pixels.
        width: width of the image, in pixels.
        device: its name.
        precision: such as `float32`.
    """

    parameters: int
    macs: int | None
    milliseconds: float
    spread: tuple[float, float]
    peak_bytes: int | None
    height: int
    width: int
    device: str
    precision: str


@dataclasses.dataclass(frozen=True)
class Contender:
    """A row of the tables.

    Attributes:
        name: as the user gave it.
        kind: `checkpoint`, `weights`, `predictions` or `fill`.
        source: path, or the class of a fill.
        sha256: hash of the weight file; None if there is none.
        facts: further facts for the page, such as the iterations it was trained for. `network`, its class, and
            `arguments`, as JSON, find it in papers' tables.
        cost: None for folders of predictions, or if costs were not measured.
    """

    name: str
    kind: str
    source: str
    sha256: str | None = None
    facts: dict[str, str] = dataclasses.field(default_factory=dict)
    cost: Cost | None = None


@dataclasses.dataclass(frozen=True)
class PairSet:
    """The pinned pairs that numbers were measured on.

    Attributes:
        name: as the user gave it.
        description: pictures and masks, in words.
        count: number of pairs.
        height: height of the pictures, in pixels.
        width: width of the pictures, in pixels.
        manifest: path of the manifest, relative to the output folder or as given.
        manifest_sha256: hash of its bytes.
    """

    name: str
    description: str
    count: int
    height: int
    width: int
    manifest: str
    manifest_sha256: str


@dataclasses.dataclass
class BenchmarkResults:
    """Everything a report shows.

    Attributes:
        contenders: rows, in the user's order.
        pair_sets: the pairs that were measured.
        protocols: how it was measured.
        cells: results by names of (contender, pair set, protocol). A metric whose weights are missing is not among a
            cell's columns but in `missing`. For all contenders, the rows of a set are the same images in the same
            order.
        missing: by protocol, the metrics that were left out, each with the reason.
        run: date, command, versions, seeds, processes, device: facts to print with every table.
    """

    contenders: list[Contender]
    pair_sets: list[PairSet]
    protocols: list[Protocol]
    cells: dict[tuple[str, str, str], MetricResults]
    missing: dict[str, dict[str, str]] = dataclasses.field(default_factory=dict)
    run: dict[str, str] = dataclasses.field(default_factory=dict)

    def cells_of(self, pair_set: str, protocol: str) -> dict[str, MetricResults]:
        """The results on one set under one protocol, by contender, in the user's order."""
        names = [contender.name for contender in self.contenders]
        return {name: self.cells[key] for name in names if (key := (name, pair_set, protocol)) in self.cells}
