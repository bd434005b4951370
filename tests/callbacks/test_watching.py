"""A run of two processes: when one fails, dies or hangs, both end, and one of them says why."""

import os
import re
import select
import signal
import socket
import sys
import time

import pytest
import torch.distributed as dist
from lightning import Trainer

from inpaintzoo.callbacks import meeting, watching
from inpaintzoo.callbacks.watching import Watch, watch
from inpaintzoo.types import ConfigError, DataError

pytestmark = pytest.mark.skipif(os.name != "posix", reason="fork")


class Child:
    """A forked process with the methods of Popen that a watch needs."""

    def __init__(self, pid):
        self.pid, self.code = pid, None

    def poll(self):
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.code = os.waitstatus_to_exitcode(status) if pid else None
        return self.code

    def kill(self):
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)


@pytest.fixture
def pair(monkeypatch, capfd):
    """Runs a function in each of two processes; returns exit code of the first, and what both say."""
    for module, name, seconds in [
        (meeting, "_BEAT", 0.05), (meeting, "SILENCE", 1.0), (meeting, "_GOODBYE", 1.0),
        (watching, "_LOOK", 0.05), (watching, "_GRACE", 0.5), (watching, "_AWAKE", 0.7),
    ]:  # fmt: skip
        monkeypatch.setattr(module, name, seconds)

    def run(*functions, launched=True):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        lives, held = os.pipe()  # closed when both have ended
        if (first := os.fork()) == 0:
            monkeypatch.setenv(watching._PARENT, str(os.getpid()) if launched else "0")
            if (second := os.fork()) == 0:
                take_part(1, port, functions[1], [])
            store = dist.TCPStore("127.0.0.1", port, is_master=True, wait_for_workers=False)
            take_part(0, port, functions[0], [Child(second)] if launched else [], store)
        os.close(held)
        ended = select.select([lives], [], [], 20)[0]
        os.close(lives)
        assert ended, "a process is left"
        return os.waitstatus_to_exitcode(os.waitpid(first, 0)[1]), capfd.readouterr().err

    return run


def take_part(rank, port, function, children, store=None):
    code = 99
    try:
        watched = Watch("zoo fit", rank, 2, lambda: "go on")
        watched.start("127.0.0.1", port, children)
        watched._joined.wait(10)
        try:
            function(watched)
            watched.teardown()
            code = 0
        except Exception as error:
            if said := watched.failed(str(error), echo=isinstance(error, RuntimeError)):
                print(f"zoo fit: error: {said}", file=sys.stderr, flush=True)
            code = 1
    finally:
        os._exit(code)


def works(watched):
    for _ in range(3):
        watched.on_train_batch_start()
        time.sleep(0.02)
        watched.on_train_batch_end()
    watched._meeting.wait()  # so that both begin what follows at the same time


def waits(watched):
    works(watched)
    watched._meeting._count("waits", 1)
    watched.on_train_batch_start()
    place = {"time": time}
    exec(compile("time.sleep(60)", "torch/distributed/all_reduce.py", "exec"), place)


def other_waits(watched):
    while not watched._meeting._count("waits"):
        time.sleep(0.02)


def fails(watched):
    works(watched)
    raise DataError("a.png is damaged")


def loses_the_other(watched):
    works(watched)
    watched._known.wait(10)
    raise RuntimeError("Connection closed by peer")


def dies(watched):
    works(watched)
    other_waits(watched)
    os.kill(os.getpid(), signal.SIGKILL)


def stops(watched):
    works(watched)
    other_waits(watched)
    os.kill(os.getpid(), signal.SIGSTOP)


def loops(watched):
    works(watched)
    watched.on_train_batch_start()
    while True:
        pass


def in_place(rank, function, other):
    return (function, other) if rank == 0 else (other, function)


def test_two_that_work_leave_each_other_in_peace(pair):
    def slow(watched):
        works(watched)
        watched.on_save_checkpoint()
        time.sleep(2.0)

    assert pair(works, slow) == (0, "") and pair(slow, works) == (0, "")


@pytest.mark.parametrize("launched", [True, False])
@pytest.mark.parametrize("rank", [0, 1])
def test_one_that_fails_ends_both_with_its_sentence(pair, rank, launched):
    who = "process 1: " if rank else ""
    for other in (waits, loses_the_other):
        code, said = pair(*in_place(rank, fails, other), launched=launched)
        assert (code, said) == (1, f"zoo fit: error: {who}a.png is damaged\n")


def test_two_that_fail_say_one_thing(pair):
    code, said = pair(fails, fails)
    assert code == 1 and said.count("\n") == 1 and "a.png is damaged" in said


@pytest.mark.parametrize(
    ("function", "rank", "launched", "reason"),
    [
        (dies, 0, True, "process 0.* has ended.*; go on"),
        (dies, 0, False, "process 0.* has ended.*; go on"),
        (dies, 1, True, "process 1 was killed by SIGKILL, by the system if memory ran out; go on"),
        (dies, 1, False, r"process 1 gives no sign of life \(killed, out of memory, or hanging\); go on"),
        (stops, 0, True, "process 0 does not answer; go on"),
        (stops, 1, True, r"process 1 gives no sign of life \(killed, out of memory, or hanging\); go on"),
        (loops, 0, True, r"process 0 has spent . s on a training batch \(test_watching.py, line \d+\); go on, with .*"),
        (loops, 1, True, r"process 1 has spent . s on a training batch \(test_watching.py, line \d+\); go on, with .*"),
    ],
)
def test_one_that_is_lost_ends_both_with_a_sentence(pair, function, rank, launched, reason):
    code, said = pair(*in_place(rank, function, waits), launched=launched)
    assert re.fullmatch(f"zoo fit: error: {reason}\n", said)
    assert code == (-signal.SIGKILL if rank == 0 and function is not loops else 1)


class Clock:
    """Passes the time of a watch: `wait` returns after the next step, True after the last."""

    def __init__(self, steps):
        self.now, self.steps = 1000.0, iter(steps)

    def wait(self, seconds):
        step = next(self.steps, None)
        self.now += step or 0.0
        return step is None

    def is_set(self):
        return False


HALVES = [0.5] * 76  # 38 seconds


@pytest.mark.parametrize(
    ("before", "steps", "ends"),
    [
        (0.1, [*HALVES, 0.5, 0.5], False),
        (0.1, [*HALVES, *HALVES], True),
        (3.0, [*HALVES, *[0.5] * 30], False),  # 20 times longer than ever before is 60 seconds
        (3.0, [*HALVES, *HALVES], True),
        (0.1, [*HALVES, 300.0, *HALVES], False),  # it was stopped itself, as all were
        (None, [*HALVES, *HALVES], False),  # the first batch
        (None, HALVES * 16, True),
    ],
)
def test_how_long_a_batch_may_take(monkeypatch, before, steps, ends):
    clock = Clock(steps)
    monkeypatch.setattr(watching.time, "monotonic", lambda: clock.now)
    watched = Watch("zoo fit", 0, 2, lambda: "go on")
    if before is not None:
        watched.on_train_batch_start()
        clock.now += before
        watched.on_train_batch_end()
    watched.on_train_batch_start()
    ended = []
    monkeypatch.setattr(watched, "_end", lambda: ended.append(True))
    watched.over = clock
    watched._look()
    assert bool(ended) == ends


def test_one_process_has_no_watch_and_a_wrong_time_is_told_before_the_start(monkeypatch):
    trainer = Trainer(accelerator="cpu", devices=1, logger=False)
    before = list(trainer.callbacks)
    assert watch("zoo fit", trainer) is None and trainer.callbacks == before
    trainer = Trainer(accelerator="cpu", devices=2, logger=False)
    watched = watch("zoo fit", trainer)
    assert watched is not None and trainer.callbacks[0] is watched is trainer.strategy.launcher.watching
    monkeypatch.setenv("INPAINTZOO_WAIT_MINUTES", "soon")
    with pytest.raises(ConfigError, match="INPAINTZOO_WAIT_MINUTES must be a number above 0, got 'soon'"):
        watch("zoo fit", Trainer(accelerator="cpu", devices=2, logger=False))
