"""A benchmark of three methods on six images, made by hand, for the tests of its report."""

import dataclasses

import torch

from inpaintzoo.benchmark.protocols.protocol import Protocol, Published
from inpaintzoo.benchmark.results import BenchmarkResults, Contender, Cost, PairSet
from inpaintzoo.metrics import FID, L1, PSNR, MetricResults
from inpaintzoo.metrics.results import ALL, Column

SIZE = 16
BINS = (0.2, 0.4)
RATIOS = [0.1, 0.15, 0.3, 0.35, 0.1, 0.3]
PSNRS = {
    "plain": [20.0, 22.0, 18.0, 17.0, 21.0, 16.0],
    "good": [30.0, 33.0, 24.0, 25.0, 29.0, 21.0],
    "alike": [30.2, 32.7, 24.3, 24.8, 28.8, 21.3],
}
L1S = {
    "plain": [0.05, 0.04, 0.09, 0.1, 0.04, 0.12],
    "good": [0.01, 0.01, 0.03, 0.03, 0.02, 0.05],
    "alike": [0.01, 0.01, 0.03, 0.03, 0.02, 0.05],
}
FIDS = {"plain": 80.123, "good": 40.5, "alike": 39.25}


def a_protocol(name="zoo", published=(), **settings):
    metrics = (PSNR(), L1(), FID())
    return Protocol(name, "A title", "a source", metrics, bins=BINS, published=published, **settings)


def a_cell(name, batch=1, psnrs=None):
    rows = [
        {"index": i, "name": f"image-{i}", "ratio": ratio, "bin": "0-0.2" if ratio < 0.2 else "0.2-0.4"}
        for i, ratio in enumerate(RATIOS)
    ]
    for row, psnr, l1 in zip(rows, psnrs or PSNRS[name], L1S[name], strict=True):
        row |= {"psnr": psnr, "l1": l1}
    columns = [Column.of(metric) for metric in (PSNR(), L1(), FID())]
    fids = {group: {"fid": FIDS[name]} for group in ("0-0.2", "0.2-0.4", ALL)}
    return MetricResults(rows, columns, ["0-0.2", "0.2-0.4", "0.4-1"], "composite", fids, batch=batch)


def some_results(names=tuple(PSNRS), called=None, pair_set="scenes", protocol=None, facts=None, cells=None):
    """A benchmark of three methods on six images."""
    protocol = protocol or a_protocol()
    called = dict(zip(names, called or names, strict=True))
    return BenchmarkResults(
        contenders=[
            Contender(called[name], "weights", f"{name}.safetensors", "ab" * 32, dict(facts or {})) for name in names
        ],
        pair_sets=[PairSet(pair_set, "drawn scenes", 6, SIZE, SIZE, f"manifests/{pair_set}.jsonl", "cd" * 32)],
        protocols=[protocol],
        cells={(called[name], pair_set, protocol.name): (cells or {}).get(name) or a_cell(name) for name in names},
        run={"date": "2026-01-02", "command": "inpaintzoo benchmark --x `y`", "seed": "0"},
    )


def colour_of(contender, position):
    """The colour that a toy contender fills an image with, in 8-bit levels."""
    methods = ["truth", *PSNRS]
    return 20 + 40 * methods.index(contender), 10 * position, 200


def a_render(contender, pair_set, positions):
    colours = torch.tensor([colour_of(contender, position) for position in positions]) / 255
    return colours[:, :, None, None].expand(-1, -1, SIZE, SIZE)


def a_truth(pair_set, positions):
    mask = torch.zeros(len(positions), 1, SIZE, SIZE)
    mask[:, :, :4, :4] = 1
    return a_render("truth", pair_set, positions), mask


def a_cost(**changed):
    cost = Cost(12_345_678, 3_210_000_000, 12.345, (11.9, 13.2), 5 * 2**20, 256, 256, "cpu, 1 thread", "float32")
    return dataclasses.replace(cost, **changed)


def published(method, data, masks, psnr=25.0):
    return Published(method, data, masks, {"psnr": psnr}, "a paper, table 1")
