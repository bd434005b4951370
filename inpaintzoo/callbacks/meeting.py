"""What the processes of a run know of each other."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator

import torch.distributed as dist

from inpaintzoo.types import ConfigError, InpaintzooError

WAIT_MINUTES = "INPAINTZOO_WAIT_MINUTES"  # in the environment: how long a process may take for one batch
_BEAT = 2.0  # seconds between a process's signs of life
SILENCE = 35.0  # seconds without one, after which it has ended
_GOODBYE = 5.0  # seconds that the first process leaves the others to notice that it ends


class Lost(InpaintzooError):
    """A process of this run has ended, or does nothing.

    Attributes:
        process: its number.
    """

    def __init__(self, process: int, text: str) -> None:
        super().__init__(text)
        self.process = process


class Meeting:
    """What the processes of a run know of each other, by counters in torch's store.

    Not a process group: its barrier waits for a process that hangs until a time that must allow for the longest work,
    and prints a C++ stack if one dies.

    Args:
        store: where they count; nothing else may use the same connection, since a call that waits would stop the beats.
        rank: this process's number.
        count: number of processes.
        advice: what to do when one is lost, to end sentences with.
    """

    def __init__(self, store: dist.Store, rank: int, count: int, advice: str) -> None:
        self.store, self.rank, self.advice = store, rank, advice
        self.others = {*range(count)} - {rank}
        self.wait_minutes = wait_minutes()
        self.seen: dict[str, tuple[int, float]] = {}  # counters of other processes, and since when they stand there
        self._waits = 0
        self._left = threading.Event()
        self._beats = threading.Thread(target=self._beat, daemon=True)
        self._beats.start()

    def wait(self) -> None:
        """Wait for all, see `Processes.wait`."""
        self._waits += 1
        self._count(f"waits/{self.rank}", 1)
        start, pause = time.monotonic(), 0.005
        while late := [other for other in self.others if self._count(f"waits/{other}") < self._waits]:
            self.check()
            for other in late:
                if self._stands(f"steps/{other}", start) > 60 * self.wait_minutes:
                    self.others.remove(other)
                    raise Lost(
                        other,
                        f"process {other} has finished nothing for {self.wait_minutes:g} minutes; {self.advice}, with "
                        f"a larger {WAIT_MINUTES} if a batch takes longer",
                    )
            time.sleep(pause)
            pause = min(2 * pause, 0.5)

    def step(self) -> None:
        """Count a batch, see `Processes.step`."""
        self._count(f"steps/{self.rank}", 1)
        self.check()

    def leave(self, failed: bool, reason: str = "") -> None:
        """Say that this process ends; the first one, which may hold the store, gives the others time to notice.

        Args:
            failed: whether the others should end too.
            reason: what they tell then, in one sentence.
        """
        self._left.set()
        self._beats.join()
        with contextlib.suppress(InpaintzooError):
            with self._reaching():
                self.store.set("reason", reason)
            self._count(f"failed/{self.rank}", int(failed))
            self._count(f"left/{self.rank}", 1)
            end = time.monotonic() + _GOODBYE
            while self.rank == 0 and time.monotonic() < end and not all(self._count(f"left/{i}") for i in self.others):
                time.sleep(0.05)

    def check(self) -> None:
        """Notice that another process has failed or is lost.

        Raises:
            InpaintzooError: One has failed.
            Lost: One has ended without a word.
        """
        self.others = {
            other for other in self.others if not self._count(f"left/{other}") or self._count(f"failed/{other}")
        }
        for other in self.others:
            if self._count(f"failed/{other}"):
                with self._reaching():
                    reason = self.store.get("reason").decode()
                raise InpaintzooError(
                    reason or f"stopped because process {other} has; {self.advice} when what it says is solved"
                )
            begun = self._count(f"beats/{other}") > 0  # before, it may be importing its modules
            if self._stands(f"beats/{other}", 0.0) > (SILENCE if begun else 60 * self.wait_minutes):
                self.others.remove(other)
                raise Lost(
                    other, f"process {other} gives no sign of life (killed, out of memory, or hanging); {self.advice}"
                )

    def _stands(self, counter: str, start: float) -> float:
        """The seconds for which a counter has not changed, counted from `start` at the earliest."""
        value, now = self._count(counter), time.monotonic()
        if self.seen.get(counter, (None,))[0] != value:
            self.seen[counter] = value, now
        return now - max(start, self.seen[counter][1])

    def _count(self, counter: str, more: int = 0) -> int:
        """A counter's value, 0 if nobody has counted, after `more` is added."""
        with self._reaching():
            return self.store.add(counter, more)

    @contextlib.contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            raise Lost(0, f"process 0, or what started the processes, has ended; {self.advice}") from error

    def _beat(self) -> None:
        with contextlib.suppress(InpaintzooError):
            self._count(f"beats/{self.rank}", 1)
            while not self._left.wait(_BEAT):
                self._count(f"beats/{self.rank}", 1)


def wait_minutes() -> float:
    """The minutes that a process may take for one batch.

    Raises:
        ConfigError: The environment gives something else than a number above 0.
    """
    given = os.environ.get(WAIT_MINUTES, "10")
    with contextlib.suppress(ValueError):
        if (minutes := float(given)) > 0:
            return minutes
    raise ConfigError(f"{WAIT_MINUTES} must be a number above 0, got {given!r}")
