"""Several processes of a benchmark: what each does when another fails, dies or hangs."""

import os
import signal
import socket
import time

import pytest

from inpaintzoo import commands
from inpaintzoo.benchmark.run.processes import processes
from inpaintzoo.callbacks import meeting as module
from inpaintzoo.callbacks.meeting import WAIT_MINUTES
from inpaintzoo.commands.run import exit_code
from inpaintzoo.types import DataError, InpaintzooError

pytestmark = pytest.mark.skipif(os.name != "posix", reason="fork")


@pytest.fixture
def pair(monkeypatch):
    """Runs a function in each of two processes, and returns their exit codes and how long they took."""
    monkeypatch.setattr(module, "_BEAT", 0.05)
    monkeypatch.setattr(module, "SILENCE", 1.0)
    monkeypatch.setattr(module, "_GOODBYE", 1.0)

    def run(*functions):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        for name, value in {"WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}.items():
            monkeypatch.setenv(name, str(value))
        children, start = [], time.monotonic()
        for rank, function in enumerate(functions):
            monkeypatch.setenv("RANK", str(rank))
            if (child := os.fork()) == 0:
                code = 99
                try:
                    code = exit_code("benchmark", lambda function=function: joined(function))
                finally:
                    os._exit(code)
            children.append(child)
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        return codes, time.monotonic() - start

    return run


def joined(function):
    with processes() as all_processes:
        function(all_processes)


def works(run):
    for _ in range(3):
        run.step()
        run.wait()


def test_two_processes_wait_for_each_other(pair, capfd):
    def slow(run):
        run.wait()
        time.sleep(0.3)
        print("slow", flush=True)
        run.wait()

    def quick(run):
        run.wait()
        run.wait()
        print("quick", flush=True)

    assert pair(slow, quick)[0] == [0, 0]
    assert capfd.readouterr() == ("slow\nquick\n", "")


@pytest.mark.parametrize("rank", [0, 1])
def test_a_process_that_fails_stops_the_other(pair, capfd, rank):
    def fails(run):
        run.wait()
        raise DataError("a.png is damaged")

    codes, seconds = pair(*((fails, works) if rank == 0 else (works, fails)))
    said = capfd.readouterr().err.splitlines()
    about = f"stopped because process {rank} has; finished batches are kept, so run the command again when what it says"
    assert codes == [1, 1] and seconds < 5 and len(said) == 2
    assert any("a.png is damaged" in line for line in said) and any(about in line for line in said)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_process_that_is_killed_stops_the_other_with_one_line(pair, capfd, rank):
    def dies(run):
        run.wait()
        time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGKILL)

    codes, seconds = pair(*((dies, works) if rank == 0 else (works, dies)))
    said = capfd.readouterr().err.splitlines()
    assert codes[rank] == -signal.SIGKILL and codes[1 - rank] == 1 and seconds < 5 and len(said) == 1
    about = "process 1 gives no sign of life (killed" if rank else "process 0, or what started the processes,"
    assert f"{about}" in said[0] and "finished batches are kept, so run the command again" in said[0]


def test_a_process_that_hangs_stops_the_other(pair, capfd, monkeypatch):
    monkeypatch.setenv(WAIT_MINUTES, "0.01")

    def hangs(run):
        run.wait()
        time.sleep(2)
        os._exit(7)

    codes, seconds = pair(works, hangs)
    assert codes == [1, 7] and seconds < 10
    assert capfd.readouterr().err == (
        "benchmark: error: process 1 has finished nothing for 0.01 minutes; finished batches are kept, so run the "
        "command again, with a larger INPAINTZOO_WAIT_MINUTES if a batch takes longer\n"
    )


def test_batches_that_are_finished_are_no_hanging(pair, capfd, monkeypatch):
    monkeypatch.setenv(WAIT_MINUTES, "0.01")

    def busy(run):
        run.wait()
        for _ in range(8):
            time.sleep(0.2)
            run.step()
        run.wait()

    def waits(run):
        run.wait()
        run.wait()

    assert pair(waits, busy)[0] == [0, 0]
    assert capfd.readouterr().err == ""


def test_processes_that_cannot_meet_are_one_sentence(monkeypatch):
    for name in ("MASTER_ADDR", "MASTER_PORT", "RANK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InpaintzooError, match=r"the 2 processes cannot meet \(.*RANK.*\); start them with torchrun"):
        joined(works)


def test_the_command_keeps_torch_from_printing_stacks_of_its_own(monkeypatch, capsys):
    monkeypatch.delenv("TORCH_CPP_LOG_LEVEL", raising=False)
    assert commands.main(["--version"]) == 0 and os.environ["TORCH_CPP_LOG_LEVEL"] == "ERROR"
