"""The environment of a benchmark: processes, device, and the device's arithmetic."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator
from typing import Literal, get_args

import torch
import torch.distributed as dist

from inpaintzoo.callbacks.meeting import Meeting
from inpaintzoo.types import ConfigError, InpaintzooError
from inpaintzoo.words import counted

Precision = Literal["float32", "tf32", "bfloat16", "float16"]


_KEPT = "finished batches are kept, so run the command again"


@dataclasses.dataclass(frozen=True)
class Processes:
    """This process among those of a run.

    Attributes:
        rank: from 0; the first process writes what is written once.
        count: number of processes.
        meeting: where they meet; None for one process, or where the caller has connected them.
    """

    rank: int = 0
    count: int = 1
    meeting: Meeting | None = None

    @property
    def first(self) -> bool:
        """Whether this is the first process."""
        return self.rank == 0

    def wait(self) -> None:
        """Wait until all processes have reached this point.

        Raises:
            InpaintzooError: one of them has ended, or does nothing.
        """
        if self.meeting is not None:
            self.meeting.wait()
        elif self.count > 1:
            dist.barrier()

    def step(self) -> None:
        """Tell the others that a batch is done.

        Raises:
            InpaintzooError: one of them has ended.
        """
        if self.meeting is not None:
            self.meeting.step()

    def say(self, text: str) -> None:
        """Print a line, in the first process only."""
        if self.first:
            print(text, flush=True)


@contextlib.contextmanager
def processes() -> Iterator[Processes]:
    """The processes that `torchrun` has started, connected while the block runs; without it, this process alone.

    Raises:
        InpaintzooError: they cannot be connected, or `INPAINTZOO_WAIT_MINUTES` is wrong.
    """
    if dist.is_initialized():
        yield Processes(dist.get_rank(), dist.get_world_size())
        return
    if (count := int(os.environ.get("WORLD_SIZE", "1"))) == 1:
        yield Processes()
        return
    try:
        store, rank, count = next(iter(dist.rendezvous("env://")))
    except (ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise InpaintzooError(f"the {count} processes cannot meet ({reason}); start them with torchrun") from error
    meeting, failed = Meeting(store, rank, count, _KEPT), True
    try:
        yield Processes(rank, count, meeting)
        failed = False
    finally:
        meeting.leave(failed)


def device_name(device: torch.device) -> str:
    """A device's name, such as `NVIDIA H200` or `cpu, 4 threads`: what the last digits depend on."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type}, {counted(torch.get_num_threads(), 'thread')}" if device.type == "cpu" else device.type


def check_precision(precision: str, device: torch.device) -> None:
    """Raise `ConfigError` unless the device supports this precision."""
    if precision not in get_args(Precision):
        raise ConfigError(f"--precision must be one of {', '.join(get_args(Precision))}, got {precision!r}")
    if precision in ("tf32", "float16") and device.type != "cuda":
        raise ConfigError(f"--precision {precision} needs a GPU, the device is {device.type}; use float32 or bfloat16")


@contextlib.contextmanager
def arithmetic(device: torch.device, precision: Precision) -> Iterator[None]:
    """Inside the block, networks compute deterministically in this precision.

    `float32` keeps the whole 24-bit mantissa, even on GPUs that shorten it to 11 bits (`tf32`) by default.
    """
    before = torch.get_float32_matmul_precision()
    short = precision == "tf32"
    reduced = {"bfloat16": torch.bfloat16, "float16": torch.float16}.get(precision)
    torch.set_float32_matmul_precision("high" if short else "highest")
    try:
        with (
            torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=short),
            torch.autocast(device.type, dtype=reduced, enabled=reduced is not None),
        ):
            yield
    finally:
        torch.set_float32_matmul_precision(before)
