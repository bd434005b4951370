"""The cost of one forward pass of a network: parameters, multiply-accumulates, time, memory."""

from __future__ import annotations

import statistics
import time
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from inpaintzoo.benchmark.results import Cost
from inpaintzoo.benchmark.run.contenders import NetworkFiller
from inpaintzoo.benchmark.run.processes import device_name
from inpaintzoo.layers.attention import operator  # noqa: F401  (registers the operator)
from inpaintzoo.types import Batch

WARM_UP = 2  # forwards before the timing
LEAST, MOST, SECONDS = 5, 100, 3.0  # timed forwards: as many as fit into the time, within bounds


def measure_cost(filler: NetworkFiller, batch: Batch) -> Cost:
    """The cost of filling one picture.

    Args:
        filler: the network with its device and precision.
        batch: one pair, on the device.
    """
    generator, device = filler.inpainter.generator, filler.device
    parameters = sum(parameter.numel() for parameter in generator.parameters())
    macs = None
    if parameters:
        with FlopCounterMode(display=False, custom_mapping=FORMULAS) as counter:
            filler(batch, 1)
        macs = counter.get_total_flops() // 2  # torch counts a multiply-accumulate as two
    peak = _peak_bytes(filler, batch, device)
    times = _times(filler, batch, device)
    low, median, high = statistics.quantiles(times, n=4, method="inclusive")
    height, width = batch["image"].shape[-2:]
    return Cost(parameters, macs, median, (low, high), peak, height, width, device_name(device), filler.precision)


def _peak_bytes(filler: NetworkFiller, batch: Batch, device: torch.device) -> int | None:
    if device.type != "cuda":
        return None
    torch.cuda.synchronize(device)
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    filler(batch, 1)
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) - before


def _times(filler: NetworkFiller, batch: Batch, device: torch.device) -> list[float]:
    """Milliseconds of each forward."""
    for _ in range(WARM_UP):
        filler(batch, 1)
    times: list[float] = []
    while len(times) < LEAST or (len(times) < MOST and sum(times) < 1000 * SECONDS):
        _finish(device)
        start = time.perf_counter()
        filler(batch, 1)
        _finish(device)
        times.append(1000 * (time.perf_counter() - start))
    return times


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _attention_flops(
    query: Any, key: Any, value: Any, key_gain: Any, query_gain: Any, allowed: Any, kernel: int, *rest: Any, **more: Any
) -> int:
    """For `transfer_patches`: each pair of cells compares patches of keys and adds up a 4x4 patch of values."""
    images, channels, height, width = key
    cells = height * width
    return 2 * images * cells * cells * (channels * kernel * kernel + 16 * value[1])


# The zoo's own operator; torch knows the others.
FORMULAS = {torch.ops.inpaintzoo.transfer_patches: _attention_flops}
