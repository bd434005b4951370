"""Work that is done one piece at a time, in the order in which it came, and may be cancelled."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from torch import nn

from inpaintzoo.types import InpaintzooError

T = TypeVar("T")
_LOOK = 0.2  # seconds between two looks at whether the client is still there


class Cancelled(InpaintzooError):
    """The user does not want the result any more."""


class Busy(InpaintzooError):
    """More is waiting than the line takes."""


class NameTaken(InpaintzooError):
    """There is a job of this name already."""


@dataclasses.dataclass
class Job:
    """A piece of work.

    Attributes:
        name: by which it is asked about and cancelled.
        since: when it was begun, or when it joined the line; `time.monotonic`.
        running: whether it has been begun.
        cancelled: whether the result is not wanted any more.
    """

    name: str
    since: float = dataclasses.field(default_factory=time.monotonic)
    running: bool = False
    cancelled: bool = False

    def check(self, *ignored: object) -> None:
        """Raise `Cancelled` if it has been cancelled."""
        if self.cancelled:
            raise Cancelled("cancelled as you asked")

    @contextlib.contextmanager
    def stopping(self, network: nn.Module) -> Iterator[None]:
        """Let a network stop before its next layer when the job is cancelled."""
        hooks = [module.register_forward_pre_hook(self.check) for module in network.modules()]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()


class Line:
    """A line of jobs and the one thread that does them.

    Args:
        most: jobs that it holds; more are refused.
    """

    def __init__(self, most: int = 16) -> None:
        self.most = most
        self.jobs: dict[str, Job] = {}
        self._worker = ThreadPoolExecutor(1, "fill")
        self._changing = threading.Lock()

    async def do(self, name: str, work: Callable[[Job], T], gone: Callable[[], Awaitable[bool]]) -> T:
        """Wait for its turn, do the work, and return the result.

        Args:
            name: see `Job`.
            work: called in the line's thread.
            gone: whether the client has left, which cancels the job.

        Raises:
            Busy: too many are waiting.
            Cancelled: the job was cancelled. Work that has been begun ends at its next look at the job.
            NameTaken: the line holds a job of this name.
        """
        job = self._join(name)
        future: Future[T] = self._worker.submit(self._run, job, work)
        future.add_done_callback(lambda _: self.jobs.pop(name))
        waiting = asyncio.wrap_future(future)
        waiting.add_done_callback(lambda done: done.cancelled() or done.exception())  # it may fail with nobody waiting
        while not (await asyncio.wait({waiting}, timeout=_LOOK))[0]:
            job.cancelled |= await gone()
            if job.cancelled:
                future.cancel()
                break
        job.check()
        return await waiting

    def _join(self, name: str) -> Job:
        with self._changing:
            if name in self.jobs:
                raise NameTaken(f"there is a job {name!r} already; give this one another name")
            if len(self.jobs) >= self.most:
                raise Busy(f"the server is busy: {len(self.jobs)} fills are waiting; try again later")
            job = self.jobs[name] = Job(name)
        return job

    def _run(self, job: Job, work: Callable[[Job], T]) -> T:
        job.check()
        job.running, job.since = True, time.monotonic()
        return work(job)

    def state(self, name: str) -> dict[str, Any]:
        """How far a job is: `running` or `waiting`, for how many seconds, and how many come before it.

        Raises:
            KeyError: there is no such job.
        """
        jobs = list(self.jobs)
        job = self.jobs[name]
        state = "running" if job.running else "waiting"
        return {"state": state, "before": jobs.index(name), "seconds": round(time.monotonic() - job.since, 1)}

    def close(self) -> None:
        """Cancel all jobs, and wait for the one that runs."""
        for job in list(self.jobs.values()):
            job.cancelled = True
        self._worker.shutdown(cancel_futures=True)
