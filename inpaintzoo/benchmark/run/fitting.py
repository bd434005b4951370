"""Protocols as they can be run here: without metrics whose weights are missing, or that need larger pictures."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import torch

from inpaintzoo.benchmark.protocols.protocol import Protocol
from inpaintzoo.benchmark.run.pairs import Pairs
from inpaintzoo.benchmark.run.processes import arithmetic
from inpaintzoo.benchmark.run.store import Key
from inpaintzoo.files.writing import file_digest
from inpaintzoo.metrics import ImageMetric, Metric, MetricSuite
from inpaintzoo.metrics.suite import share_extractors
from inpaintzoo.types import Batch, ConfigError, DataError, WeightsError
from inpaintzoo.words import did_you_mean

Missing = dict[str, dict[str, str]]  # by protocol: metrics that are left out, with the reason


def choose_metrics(
    protocols: Sequence[Protocol], metrics: Collection[str] | None, require: Collection[str]
) -> list[Protocol]:
    """The protocols, reduced to the metrics that the user named; unchanged for None.

    Raises:
        ConfigError: a metric that no protocol has, or a protocol that is left without metrics.
    """
    if metrics is not None and not metrics:
        raise ConfigError("metrics is empty, so there is nothing to measure; null, or nothing, measures all")
    known = sorted({metric.name for protocol in protocols for metric in protocol.metrics})
    for name in [*(metrics or ()), *require]:
        if name not in known:
            raise ConfigError(
                f"no chosen protocol measures {name!r}; they measure {', '.join(known)}{did_you_mean(name, known)}"
            )
    chosen = []
    for protocol in protocols:
        kept = tuple(metric for metric in protocol.metrics if metrics is None or metric.name in metrics)
        if not kept:
            raise ConfigError(f"protocol {protocol.name!r} measures none of {', '.join(metrics or ())}; leave it out")
        names = {metric.name for metric in kept}
        published = tuple(
            dataclasses.replace(row, values={name: row.values[name] for name in row.values if name in names})
            for row in protocol.published
            if names & row.values.keys()
        )
        optional = tuple(name for name in protocol.optional if name in names)
        chosen.append(dataclasses.replace(protocol, metrics=kept, optional=optional, published=published))
    return chosen


def fit_protocols(
    protocols: Sequence[Protocol], sets: Mapping[str, Pairs], device: torch.device, asked: Collection[str]
) -> tuple[dict[tuple[str, str], MetricSuite], Missing]:
    """Load what the metrics need, and try each on the first pair of each set.

    Args:
        protocols: what to measure.
        sets: by name.
        device: where the metrics' networks go.
        asked: names of metrics that must not be left out.

    Returns:
        By set and protocol, a suite of the metrics that can be measured; and what is left out.

    Raises:
        WeightsError: weights of a metric that must not be left out are missing.
        DataError: the pictures of a set are too small for a metric that was asked for.
    """
    share_extractors(metric for protocol in protocols for metric in protocol.metrics)
    first = {name: pairs.load([0]) for name, pairs in sets.items()}
    suites: dict[tuple[str, str], MetricSuite] = {}
    missing: Missing = {}
    failures: dict[str, str] = {}
    for protocol in protocols:
        left_out = missing.setdefault(protocol.name, {})
        usable = [m for m in protocol.metrics if _prepared(m, protocol, device, asked, left_out, failures)]
        for name, batch in first.items():
            fitting = {m.name for m in usable if _fits(m, name, batch, device, asked, left_out)}
            if not fitting:
                raise ConfigError(f"protocol {protocol.name!r} has no metric left on set {name!r}: {left_out}")
            suites[name, protocol.name] = protocol.suite({m.name for m in protocol.metrics} - fitting)
    return suites, {name: left_out for name, left_out in missing.items() if left_out}


def _prepared(
    metric: Metric,
    protocol: Protocol,
    device: torch.device,
    asked: Collection[str],
    left_out: dict[str, str],
    failures: dict[str, str],
) -> bool:
    # Each source of weights is tried once: offline, every attempt may take its time.
    source = str(getattr(metric, "family", metric.definition))
    try:
        if source in failures:
            raise WeightsError(failures[source])
        metric.prepare(device)
    except WeightsError as error:
        if _own_weights(metric) or metric.name in asked or metric.name not in protocol.optional:
            raise WeightsError(f"protocol {protocol.name!r}, metric {metric.name!r}: {error}") from error
        failures[source] = str(error)
        left_out[metric.name] = f"weights missing: {error}"
        return False
    return True


def _fits(
    metric: Metric, name: str, batch: Batch, device: torch.device, asked: Collection[str], left_out: dict[str, str]
) -> bool:
    if not isinstance(metric, ImageMetric):
        return True
    image, mask = batch["image"].to(device), batch["mask"].to(device)
    try:
        with torch.no_grad(), arithmetic(device, "float32"):
            metric(image, image, mask)
    except DataError as error:
        if metric.name in asked:
            raise DataError(f"set {name!r}: {error}") from error
        left_out[metric.name] = f"set {name!r}: {error}"
        return False
    return True


def suite_key(protocol: Protocol, suite: MetricSuite) -> Key:
    """Everything that decides a suite's numbers, besides the pictures."""
    return {
        "judge": protocol.judge,
        "quantise": protocol.quantise,
        "bins": str(protocol.bins),
        "samples": str(protocol.samples),
        "metrics": "; ".join(_metric_key(metric) for metric in suite.metrics),
    }


def _metric_key(metric: Metric) -> str:
    file = _own_weights(metric)
    local = f" (weights {file_digest(file)}, {getattr(metric, 'family', '')})" if file else ""
    return f"{metric.name}: {metric.definition}{local}"


def _own_weights(metric: Metric) -> Path | None:
    """The weight file that the user named for a metric, or for the network inside it."""
    for part in (metric, *vars(metric).values()):
        weights = getattr(part, "weights", None)
        if isinstance(weights, (str, Path)):
            return Path(weights).expanduser()
    return None
