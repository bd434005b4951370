"""The pictures of a report: the same images across all methods, sorted by disagreement or worst first."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from inpaintzoo.benchmark.results import BenchmarkResults, PairSet, Render, Truth
from inpaintzoo.metrics.results import Column, MetricResults, decimals_of, number
from inpaintzoo.ops import show_hole
from inpaintzoo.types import DataError

PICTURE_SIDE = 256  # longest side of a picture in a report, in pixels
Pixels = np.ndarray  # (h, w, 3) uint8


@dataclasses.dataclass(frozen=True)
class Score:
    """A method's number for one image.

    Attributes:
        text: the caption of the picture, with its unit.
        best: whether no other method is better.
    """

    text: str
    best: bool


@dataclasses.dataclass(frozen=True)
class Shown:
    """One image of a set across the methods.

    Attributes:
        position: position in the set.
        name: name of the image.
        ratio: share of hole pixels.
        masked: what the methods were given, with a white hole.
        truth: the original.
        composites: by method.
        scores: by method.
    """

    position: int
    name: str
    ratio: float
    masked: Pixels
    truth: Pixels
    composites: dict[str, Pixels]
    scores: dict[str, Score]


@dataclasses.dataclass(frozen=True)
class Gallery:
    """The pictures of a set.

    Attributes:
        pair_set: the set.
        protocol: name of the protocol that gives the scores and the order.
        metric: the metric that gives them.
        names: names of the methods, in order.
        shown: images by position.
        disagreement: positions, starting where the methods differ most.
        worst: positions, starting where the methods are worst on average.
    """

    pair_set: PairSet
    protocol: str
    metric: Column
    names: list[str]
    shown: dict[int, Shown]
    disagreement: list[int]
    worst: list[int]


def make_gallery(
    results: BenchmarkResults, pair_set: PairSet, render: Render, truth: Truth, count: int
) -> Gallery | None:
    """Choose images by their numbers and render them; None if no image metric was measured.

    Disagreement is the standard deviation of an image's errors over the methods; the worst image has the largest mean
    error. Errors are the root mean squared errors that PSNR is made from, under the first protocol that has PSNR;
    otherwise they are values of the first metric.

    Args:
        results: what the benchmark found.
        pair_set: the set to choose from.
        render: see `Benchmark.render`.
        truth: see `Benchmark.truth`.
        count: largest number of images in each order.

    Raises:
        DataError: the pictures' number or size is not what was asked for.
    """
    measured = _measured(results, pair_set)
    if measured is None:
        return None
    protocol, column, cells = measured
    rows = {row["index"]: row for row in next(iter(cells.values())).rows}
    values = {
        name: {row["index"]: v for row in cell.rows if (v := row[column.name]) is not None and math.isfinite(v)}
        for name, cell in cells.items()
    }
    disagreement, worst = order(list(rows), values, column)
    disagreement, worst = disagreement[:count], worst[:count]
    chosen = sorted({*disagreement, *worst})
    if not chosen:
        return None
    images, masks = truth(pair_set.name, chosen)
    _check("truth", images, len(chosen), None)
    composites = {}
    for name in cells:
        rendered = render(name, pair_set.name, chosen)
        _check(f"contender {name!r}", rendered, len(chosen), images)
        composites[name] = [pixels_of(image) for image in rendered]
    shown = {}
    for i, position in enumerate(chosen):
        shown[position] = Shown(
            position,
            str(rows[position]["name"]),
            float(rows[position]["ratio"]),
            pixels_of(show_hole(images[i], masks[i])),
            pixels_of(images[i]),
            {name: pictures[i] for name, pictures in composites.items()},
            scores({name: values[name].get(position) for name in cells}, column),
        )
    return Gallery(pair_set, protocol, column, list(cells), shown, disagreement, worst)


def order(
    positions: Sequence[int], values: Mapping[str, Mapping[int, float]], column: Column
) -> tuple[list[int], list[int]]:
    """Positions by falling disagreement, and from the worst to the best mean error; ties keep their order.

    Args:
        positions: positions of all images.
        values: by method and position; images without any value are left out.
        column: what the values are.
    """
    of_image = {
        position: [_error(of_one[position], column) for of_one in values.values() if position in of_one]
        for position in positions
    }
    known = {position: errors for position, errors in of_image.items() if errors}
    spread = {position: statistics.pstdev(errors) for position, errors in known.items()}
    mean = {position: statistics.fmean(errors) for position, errors in known.items()}
    by_spread = sorted(known, key=lambda position: -spread[position])
    by_mean = sorted(known, key=lambda position: -mean[position])
    return by_spread, by_mean


def _error(value: float, column: Column) -> float:
    """A number that is larger for a worse picture.

    For decibels it is the root mean squared error: 60 dB and 40 dB look alike, 30 dB and 20 dB do not.
    """
    if column.unit == "dB":
        return float(10.0 ** (-value / 20.0))
    return -value if column.better == "higher" else value


def scores(values: Mapping[str, float | None], column: Column) -> dict[str, Score]:
    """The captions of one image's pictures."""
    known = [value for value in values.values() if value is not None]
    best = (max(known) if column.better == "higher" else min(known)) if known else None
    decimals = decimals_of(column.unit, max(map(abs, known), default=0.0))
    unit = f" {column.unit}" if column.unit else ""
    return {
        name: Score("-" if value is None else number(value, decimals) + unit, value is not None and value == best)
        for name, value in values.items()
    }


def pixels_of(image: Tensor, side: int = PICTURE_SIDE) -> Pixels:
    """An image `(3, H, W)` in [0, 1] rounded to 8 bits, and shrunk if a side is longer than `side`."""
    height, width = image.shape[-2:]
    longest = max(height, width)
    if longest > side:
        size = (max(1, round(height * side / longest)), max(1, round(width * side / longest)))
        image = functional.interpolate(image[None].float(), size, mode="bicubic", antialias=True)[0]
    levels = (image.float().clamp(0, 1) * 255).round().to(torch.uint8)
    return np.ascontiguousarray(levels.permute(1, 2, 0).numpy())


def _measured(results: BenchmarkResults, pair_set: PairSet) -> tuple[str, Column, dict[str, MetricResults]] | None:
    """The protocol and the metric that score the pictures, and the results of all methods."""
    found: list[tuple[str, Column, dict[str, MetricResults]]] = []
    for protocol in results.protocols:
        cells = results.cells_of(pair_set.name, protocol.name)
        if cells and (rows := next(iter(cells.values())).rows):
            columns = [column for column in next(iter(cells.values())).columns if column.name in rows[0]]
            found += [(protocol.name, column, cells) for column in columns]
    return next((one for one in found if one[1].name == "psnr"), found[0] if found else None)


def _check(what: str, pictures: Tensor, count: int, like: Tensor | None) -> None:
    expected = (count, 3, *(like.shape[-2:] if like is not None else pictures.shape[-2:]))
    if tuple(pictures.shape) != expected:
        raise DataError(f"report: {what} should give pictures {expected}, got {tuple(pictures.shape)}")
