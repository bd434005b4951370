"""Runs a benchmark: every contender fills every set once, and all protocols measure the same fills."""

from __future__ import annotations

import dataclasses
import re
import shlex
import sys
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor
from tqdm import tqdm

from inpaintzoo.benchmark.protocols.protocol import Protocol
from inpaintzoo.benchmark.results import BenchmarkResults, Contender, Cost
from inpaintzoo.benchmark.run.contenders import BatchFiller, Method, NetworkFiller
from inpaintzoo.benchmark.run.cost import measure_cost
from inpaintzoo.benchmark.run.fitting import Missing, choose_metrics, fit_protocols, suite_key
from inpaintzoo.benchmark.run.pairs import Pairs
from inpaintzoo.benchmark.run.processes import Precision, Processes, arithmetic, check_precision, device_name
from inpaintzoo.benchmark.run.store import Key, WorkFolder
from inpaintzoo.data import InpaintingData
from inpaintzoo.files.locks import LOCK
from inpaintzoo.files.record import Record
from inpaintzoo.metrics import MetricResults, MetricSuite
from inpaintzoo.metrics.extractors import BatchFeatures
from inpaintzoo.metrics.suite import best_fills
from inpaintzoo.ops import composite, find_device
from inpaintzoo.types import Batch, ConfigError, DataError, InpaintzooError
from inpaintzoo.version import __version__, versions

MARKER = "benchmark.json"
_NAME = re.compile(r"[^\W_][\w ()+,@=-]*(\.[\w ()+,@=-]+)*")


@dataclasses.dataclass(frozen=True)
class _Cell:
    """One contender on one set under one protocol."""

    protocol: Protocol
    suite: MetricSuite
    work: WorkFolder


class Benchmark:
    """Several contenders on the same pinned pairs, under named protocols.

    Batches do not depend on which process computes them, and each finished batch is kept in the output folder. So N
    processes give the results of one, and a killed run resumes where it stopped.

    Args:
        contenders: Checkpoint, Weights, Predictions or Fill, by the name that the tables show.
        sets: data modules by name, whose test pictures are measured with their manifests or masks.
        protocols: how to measure.
        out: the output folder: a new one, or that of a run to resume.
        device: where networks run: cpu, cuda, cuda:1, and so on; auto picks a GPU if there is one.
        precision: number format that contenders compute in; metrics always use float32 or better.
        batch_size: pictures per batch.
        seed: seed of stochastic contenders.
        cost: whether to measure parameters, multiply-accumulates, time and memory.
        metrics: restrict the protocols to these metrics, by name; their weights must be there. None: all metrics.
        require: metrics whose weights must be there, by name; others are left out if theirs are missing.
        force: redo work in the output folder that was done with other settings, instead of refusing it.
        processes: the processes of this run.

    Raises:
        ConfigError: an invalid setting.
    """

    def __init__(
        self,
        contenders: dict[str, Method],
        sets: dict[str, InpaintingData],
        protocols: Sequence[Protocol],
        out: str | Path,
        device: str = "auto",
        precision: Precision = "float32",
        batch_size: int = 8,
        seed: int = 0,
        cost: bool = True,
        metrics: Sequence[str] | None = None,
        require: Sequence[str] = (),
        force: bool = False,
        processes: Processes | None = None,
    ) -> None:
        _check_names("contenders", contenders)
        _check_names("sets", sets)
        _check_names("protocols", [protocol.name for protocol in protocols])
        if batch_size < 1 or seed < 0:
            raise ConfigError(f"batch_size must be 1 or more and seed 0 or more, got {batch_size} and {seed}")
        self.device = find_device(device)
        check_precision(precision, self.device)
        self.contenders = dict(contenders)
        self.data = dict(sets)
        self.protocols = choose_metrics(protocols, metrics, require)
        self.asked = {*(metrics or ()), *require}
        self.out = Path(out).expanduser()
        self.precision: Precision = precision
        self.batch_size, self.seed = batch_size, seed
        self.with_cost = cost
        self.force = force
        self.processes = processes or Processes()
        self.sets: dict[str, Pairs] = {}
        self.missing: Missing = {}
        self._cells: dict[tuple[str, str, str], _Cell] = {}
        self._opened: tuple[tuple[str, str], BatchFiller] | None = None
        self._found = 0  # batches that were done before

    @property
    def batches(self) -> int:
        """The number of batches over all contenders and sets."""
        return len(self.contenders) * sum(len(pairs.batches(self.batch_size)) for pairs in self.sets.values())

    # ---------------------------------------------------------------- checks

    def check_out(self) -> None:
        """Raise `DataError` if the output folder is a file, or a folder that is not empty nor from a benchmark."""
        if self.out.exists() and not self.out.is_dir():
            raise DataError(f"the output folder {self.out} is a file; name a folder")
        others = self.out.is_dir() and any(path.name != LOCK for path in self.out.iterdir())
        if others and not (self.out / MARKER).is_file():
            raise DataError(f"{self.out} holds files that are not from a benchmark; name another output folder")

    def prepare(self) -> None:
        """Check everything that can be checked, and claim the output folder.

        Raises:
            InpaintzooError: something that would stop the run later, or make its numbers wrong.
        """
        self.check_out()
        self.sets = {name: Pairs(name, data) for name, data in self.data.items()}
        for pairs in self.sets.values():
            for remark in pairs.remarks:
                self.processes.say(f"set {pairs.name}: WARNING: {remark}")
        for name, method in self.contenders.items():
            for pairs in self.sets.values():
                try:
                    method.check(pairs)
                except InpaintzooError as error:
                    raise type(error)(f"contender {name!r} on set {pairs.name!r}: {error}") from error
            method.release()
        self._make_cells()
        self._claim()

    def _make_cells(self) -> None:
        if not self.processes.first:
            self.processes.wait()  # until the first process has fetched the weights
        suites, self.missing = fit_protocols(self.protocols, self.sets, self.device, self.asked)
        if self.processes.first:
            self.processes.wait()
        for name, method in self.contenders.items():
            for pairs in self.sets.values():
                key = self._key(method, pairs)
                for protocol in self.protocols:
                    suite = suites[pairs.name, protocol.name]
                    folder = self.out / "work" / name / pairs.name / protocol.name
                    work = WorkFolder(folder, {**key, **suite_key(protocol, suite)})
                    self._cells[name, pairs.name, protocol.name] = _Cell(protocol, suite, work)

    def _key(self, method: Method, pairs: Pairs) -> Key:
        drawn = {} if method.deterministic else {"seed": str(self.seed), "fills drawn": str(self._fills)}
        return {
            "inpaintzoo": __version__,
            "torch": torch.__version__,
            "device": device_name(self.device),
            "precision": self.precision,
            "batch_size": str(self.batch_size),
            "pairs": pairs.digest,
            **method.identity(pairs),
            **drawn,
        }

    @property
    def _fills(self) -> int:
        return max(protocol.samples for protocol in self.protocols)

    def _claim(self) -> None:
        stale = {cell.work.path: cell.work.differences() for cell in self._cells.values()}
        stale = {path: changed for path, changed in stale.items() if changed}
        if stale and not self.force:
            path, changed = next(iter(stale.items()))
            more = f" (and {len(stale) - 1} more)" if len(stale) > 1 else ""
            raise DataError(
                f"{path}{more} was done with other settings: {changed[0]}; name another output folder, or add --force "
                f"to redo it"
            )
        for name, pairs in self.sets.items():
            if not self.force and (words := pairs.differs(self.out)):
                raise DataError(f"set {name!r}: {words}; name another output folder, or add --force to pin again")
        self.processes.wait()
        if self.processes.first:
            self._take_over(stale)
        self.processes.wait()
        for cell in self._cells.values():
            if changed := cell.work.differences():
                raise ConfigError(
                    f"process {self.processes.rank} would not measure the same as the first: {changed[0]}"
                )

    def _take_over(self, stale: Mapping[Path, list[str]]) -> None:
        Record(self.out / MARKER, {"benchmark": 1, "inpaintzoo": __version__}).write()
        for pairs in self.sets.values():
            pairs.pin(self.out)
        for path, changed in stale.items():
            self.processes.say(f"{path}: redone, {changed[0]}")
        for cell in self._cells.values():
            cell.work.claim()
        self._found = sum(
            self._done(name, pairs.name, batch)
            for name in self.contenders
            for pairs in self.sets.values()
            for batch in range(len(pairs.batches(self.batch_size)))
        )

    def _done(self, contender: str, pair_set: str, batch: int) -> bool:
        return all(cell.work.has(batch) for cell in self._cells_of(contender, pair_set))

    def _cells_of(self, contender: str, pair_set: str) -> list[_Cell]:
        return [self._cells[contender, pair_set, protocol.name] for protocol in self.protocols]

    # ---------------------------------------------------------------- batches

    def measure(self) -> None:
        """Do this process's unfinished batches, and wait for those of the other processes."""
        if self._found:
            self.processes.say(f"{self._found} of {self.batches} batches are already done")
        for name in self.contenders:
            for pairs in self.sets.values():
                self._measure(name, pairs)
        self.processes.wait()

    def _measure(self, name: str, pairs: Pairs) -> None:
        batches = pairs.batches(self.batch_size)
        mine = range(self.processes.rank, len(batches), self.processes.count)
        todo = [number for number in mine if not self._done(name, pairs.name, number)]
        if not todo:
            return
        cells = self._cells_of(name, pairs.name)
        loader = pairs.loader([batches[number] for number in todo])
        filler = self._filler(name, pairs.name)
        shows = self.processes.first and sys.stderr.isatty()
        progress = tqdm(loader, desc=f"{name} on {pairs.name}", disable=not shows, leave=False)
        for number, batch in zip(todo, progress, strict=True):
            self._measure_batch(number, self._moved(batch), filler, cells)
            self.processes.step()
        self.processes.say(f"{name} on {pairs.name}: {len(pairs)} pictures")

    def _measure_batch(self, number: int, batch: Batch, filler: BatchFiller, cells: Sequence[_Cell]) -> None:
        filled, batch_features = filler(batch, self._fills), BatchFeatures()
        with arithmetic(self.device, "float32"):
            for cell in cells:
                if not cell.work.has(number):
                    fills = filled.images[:, : cell.protocol.samples]
                    cell.work.write(number, cell.suite.measure(fills, batch, filled.logits, batch_features))

    def _moved(self, batch: Any) -> Batch:
        moved: Batch = {
            key: value.to(self.device, non_blocking=True) if isinstance(value, Tensor) else value
            for key, value in batch.items()
        }  # type: ignore[assignment]
        return moved

    def _filler(self, contender: str, pair_set: str) -> BatchFiller:
        if self._opened is None or self._opened[0] != (contender, pair_set):
            if self._opened and self._opened[0][0] != contender:
                self.contenders[self._opened[0][0]].release()
            self._opened = None  # one network at a time
            method, pairs = self.contenders[contender], self.sets[pair_set]
            self._opened = (contender, pair_set), method.open(pairs, self.device, self.precision, self.seed)
        return self._opened[1]

    # ---------------------------------------------------------------- results

    def results(self) -> BenchmarkResults:
        """Everything a report shows. Call it in the first process, after `measure`."""
        costs = {name: self._cost(name) if self.with_cost else None for name in self.contenders}
        return BenchmarkResults(
            contenders=[
                Contender(name, method.kind, method.source, method.sha256(), method.facts(), costs[name])
                for name, method in self.contenders.items()
            ],
            pair_sets=[pairs.described(self.out) for pairs in self.sets.values()],
            protocols=self.protocols,
            cells={names: self._cell_results(names[1], cell) for names, cell in self._cells.items()},
            missing=self.missing,
            run=self._run_facts(),
        )

    def _cell_results(self, pair_set: str, cell: _Cell) -> MetricResults:
        suite, protocol = cell.suite, cell.protocol
        suite.reset()
        for number, batch in enumerate(self.sets[pair_set].batches(self.batch_size)):
            suite.add(cell.work.read(number, batch, suite))
        results = suite.compute(everywhere=False)
        suite.reset()
        results.batch = protocol.batch if protocol.mean == "batches" else 1
        return results

    def _run_facts(self) -> dict[str, str]:
        return {
            "date": datetime.now().astimezone().isoformat(timespec="seconds"),
            "command": shlex.join(["inpaintzoo", *sys.argv[1:]]),
            "device": device_name(self.device),
            "precision": self.precision,
            "processes": str(self.processes.count),
            "batches": f"{self.batches} of {self.batch_size} pictures, {self._found} of them from an earlier run",
            "seed": str(self.seed),
            **versions(),
        }

    def _cost(self, contender: str) -> Cost | None:
        """The cost at the first set's size; measured once per output folder."""
        pairs = next(iter(self.sets.values()))
        key = {"size": f"{pairs.height}x{pairs.width}", **self._key(self.contenders[contender], pairs)}
        file = self.out / "work" / contender / "cost.json"
        kept = Record(file, key).read() or {}
        cost = kept.pop("cost", None)
        if kept == key:
            try:
                return msgspec.convert(cost, Cost | None)  # type: ignore[call-overload, no-any-return]
            except msgspec.ValidationError as error:
                raise DataError(f"{file} is damaged ({error}); delete it and run again") from error
        filler = self._filler(contender, pairs.name)
        measured = measure_cost(filler, self._moved(pairs.load([0]))) if isinstance(filler, NetworkFiller) else None
        Record(file, {**key, "cost": None if measured is None else dataclasses.asdict(measured)}).write()
        return measured

    def truth(self, pair_set: str, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Pictures `(n, 3, H, W)` and masks `(n, 1, H, W)` of a set, on the CPU."""
        batch = self.sets[pair_set].load(indices)
        return batch["image"], batch["mask"]

    def render(self, contender: str, pair_set: str, indices: Sequence[int]) -> Tensor:
        """Composites `(n, 3, H, W)` in [0, 1], on the CPU: the fills that the first protocol judges, computed again."""
        filler, pairs = self._filler(contender, pair_set), self.sets[pair_set]
        parts = []
        for start in range(0, len(indices), self.batch_size):
            batch = self._moved(pairs.load(indices[start : start + self.batch_size]))
            fills = filler(batch, self.protocols[0].samples).images.clamp(0, 1)
            image, mask = batch["image"], batch["mask"]
            whole = [composite(image, fill, mask) for fill in fills.unbind(1)]
            parts.append(best_fills(torch.stack(whole, dim=1), image).cpu())
        return torch.cat(parts)


def _check_names(what: str, names: Collection[str]) -> None:
    if not names:
        raise ConfigError(f"{what}: there is none; name at least one")
    folded = [name.casefold() for name in names]
    for name in names:
        if not _NAME.fullmatch(name) or len(name) > 80:
            raise ConfigError(
                f"{what}: {name!r} must be usable as a folder's name: letters, digits, blanks and ()+,.@=-_, starting "
                f"with a letter or digit, 80 at most"
            )
        if folded.count(name.casefold()) > 1:
            raise ConfigError(f"{what}: {name!r} is given more than once (ignoring case); choose another name")
