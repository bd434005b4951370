"""What a benchmark found: who took part, on which pairs, under which protocols, and the numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from torch import Tensor

from inpaintzoo.benchmark.protocols.protocol import Protocol
from inpaintzoo.metrics import MetricResults

# Pictures for a report are asked for when they are drawn, so that no set has to fit into memory. Positions are the
# `index` of rows; tensors are float, on the CPU, in the order asked for.
# render(contender, set, positions): composites `(n, 3, H, W)` in [0, 1].
Render = Callable[[str, str, Sequence[int]], Tensor]
# truth(set, positions): pictures `(n, 3, H, W)` in [0, 1] and masks `(n, 1, H, W)`, 1 = hole.
Truth = Callable[[str, Sequence[int]], tuple[Tensor, Tensor]]


@dataclasses.dataclass(frozen=True)
class Cost:
    """What one forward of a network costs, at batch 1.

    Attributes:
        parameters: of the generator.
        macs: multiply-accumulate operations of one forward; None where they could not be counted.
        milliseconds: median time of an image.
        spread: quartiles of that time, low and high.
        peak_bytes: peak memory beyond the weights' own; None where it cannot be measured.
        height: of the image, in pixels.
        width: likewise.
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
        sha256: of the weight file; None where there is none.
        facts: further facts for the page, such as the iterations it was trained for. By `network`, its class, and
            `arguments`, JSON of them by name, it is found in papers' tables.
        cost: None for folders of ready predictions, or where no costs were asked for.
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
        description: of pictures and masks, in words.
        count: number of pairs.
        height: of the pictures, in pixels.
        width: likewise.
        manifest: path of the manifest, relative to the output folder or as given.
        manifest_sha256: of its bytes.
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
        pair_sets: what was measured on.
        protocols: how it was measured.
        cells: results by names of (contender, pair set, protocol). A metric that could not be measured because its
            weights are missing is left out of a cell's columns and named in `missing`. Rows of one set are of the
            same images in the same order for all contenders.
        missing: by protocol, metrics left out and why, one sentence each.
        run: date, command, versions, seeds, processes, device: facts to print with every table.
    """

    contenders: list[Contender]
    pair_sets: list[PairSet]
    protocols: list[Protocol]
    cells: dict[tuple[str, str, str], MetricResults]
    missing: dict[str, dict[str, str]] = dataclasses.field(default_factory=dict)
    run: dict[str, str] = dataclasses.field(default_factory=dict)

    def cells_of(self, pair_set: str, protocol: str) -> dict[str, MetricResults]:
        """The results on one set under one protocol, by contender, in the order of rows."""
        keys = {contender.name: (contender.name, pair_set, protocol) for contender in self.contenders}
        return {name: self.cells[key] for name, key in keys.items() if key in self.cells}
