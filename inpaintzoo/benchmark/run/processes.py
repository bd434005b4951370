"""The environment of a benchmark: processes, device, and the device's arithmetic."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import threading
import time
from collections.abc import Iterator
from typing import Literal, get_args

import torch
import torch.distributed as dist

from inpaintzoo.types import ConfigError, InpaintzooError
from inpaintzoo.words import counted

Precision = Literal["float32", "tf32", "bfloat16", "float16"]


WAIT_MINUTES = "INPAINTZOO_WAIT_MINUTES"  # in the environment: how long a process may take for one batch
_BEAT = 2.0  # seconds between a process's signs of life
_SILENCE = 45.0  # seconds without one, after which it has ended
_GOODBYE = 5.0  # seconds that the first process leaves the others to notice that it ends
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


class Meeting:
    """What the processes of a run know of each other, by counters in torch's store.

    Not a process group: its barrier waits for a process that hangs until a time that must allow for the longest work,
    and prints a C++ stack if one dies.
    """

    def __init__(self, store: dist.Store, rank: int, count: int) -> None:
        self.store, self.rank = store, rank
        self.others = {*range(count)} - {rank}
        self.wait_minutes = _wait_minutes()
        self._waits = 0
        self._seen: dict[str, tuple[int, float]] = {}  # counters of other processes, and since when they stand there
        self._left = threading.Event()
        self._beats = threading.Thread(target=self._beat, daemon=True)
        self._beats.start()

    def wait(self) -> None:
        """Wait for all, see `Processes.wait`."""
        self._waits += 1
        self._count(f"waits/{self.rank}", 1)
        start, pause = time.monotonic(), 0.005
        while late := [other for other in self.others if self._count(f"waits/{other}") < self._waits]:
            self._check()
            for other in late:
                if self._stands(f"steps/{other}", start) > 60 * self.wait_minutes:
                    self.others.remove(other)
                    raise InpaintzooError(
                        f"process {other} has finished nothing for {self.wait_minutes:g} minutes; {_KEPT}, with a "
                        f"larger {WAIT_MINUTES} if a batch takes longer"
                    )
            time.sleep(pause)
            pause = min(2 * pause, 0.5)

    def step(self) -> None:
        """Count a batch, see `Processes.step`."""
        self._count(f"steps/{self.rank}", 1)
        self._check()

    def leave(self, failed: bool) -> None:
        """Say that this process ends; the first one, which may hold the store, gives the others time to notice."""
        self._left.set()
        self._beats.join()
        with contextlib.suppress(InpaintzooError):
            self._count(f"failed/{self.rank}", int(failed))
            self._count(f"left/{self.rank}", 1)
            end = time.monotonic() + _GOODBYE
            while self.rank == 0 and time.monotonic() < end and not all(self._count(f"left/{i}") for i in self.others):
                time.sleep(0.05)

    def _check(self) -> None:
        for other in self.others:
            if self._count(f"failed/{other}"):
                raise InpaintzooError(f"stopped because process {other} has; {_KEPT} when what it says is solved")
            if self._stands(f"beats/{other}", 0.0) > _SILENCE:
                self.others.remove(other)
                raise InpaintzooError(f"process {other} has ended without a word (out of memory, or killed); {_KEPT}")

    def _stands(self, counter: str, start: float) -> float:
        """The seconds for which a counter has not changed, counted from `start` at the earliest."""
        value, now = self._count(counter), time.monotonic()
        if self._seen.get(counter, (None,))[0] != value:
            self._seen[counter] = value, now
        return now - max(start, self._seen[counter][1])

    def _count(self, counter: str, more: int = 0) -> int:
        """A counter's value, 0 if nobody has counted, after `more` is added."""
        try:
            return self.store.add(counter, more)
        except RuntimeError as error:
            raise InpaintzooError(f"process 0, or what started the processes, has ended; {_KEPT}") from error

    def _beat(self) -> None:
        with contextlib.suppress(InpaintzooError):
            while not self._left.wait(_BEAT):
                self._count(f"beats/{self.rank}", 1)


def _wait_minutes() -> float:
    given = os.environ.get(WAIT_MINUTES, "10")
    with contextlib.suppress(ValueError):
        if (minutes := float(given)) > 0:
            return minutes
    raise ConfigError(f"{WAIT_MINUTES} must be a number above 0, got {given!r}")


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
    meeting, failed = Meeting(store, rank, count), True
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
