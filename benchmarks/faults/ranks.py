"""Training in two processes of which one dies, hangs or meets a bad picture: all end soon, with one sentence."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lightning import Callback

from benchmarks.faults import material
from benchmarks.faults.kills import CONFIG
from benchmarks.faults.processes import complaint

_PATIENCE = 60.0  # seconds from the fault to the end of all processes
_LOOPING = "looping"  # a file that says so
_START = 240.0  # seconds until both processes train


class Endless(Callback):
    """Loops for ever in the second process, after a few batches."""

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Loop, or not."""
        if trainer.global_rank == 1 and pl_module.iteration == 4:
            (Path(trainer.default_root_dir) / _LOOPING).touch()
            while True:
                pass


def ranks(count: int, seed: int, folder: Path) -> Iterator[tuple[str, str | None]]:
    """Spoil one process of two, in up to `count` ways.

    Yields:
        What was done, and what went wrong; None if nothing did.
    """
    endless = ["--model.max_iterations", "100000", "--data.cache", "false"]
    images, _ = material.pictures(folder / "material", 12)
    broken = images / "007.png"
    broken.write_bytes(broken.read_bytes()[:-200])
    data = ["--data", "FolderData", "--data.root", str(images), "--data.batch_size", "1"]
    ways = {
        "the second process is killed": (endless, 1, signal.SIGKILL),
        "a picture is damaged": ([*data, "--model.max_iterations", "100"], 0, None),
        "the first process is killed": (endless, 0, signal.SIGKILL),
        "the second process is stopped": (endless, 1, signal.SIGSTOP),
        "the first process is stopped": (endless, 0, signal.SIGSTOP),
        "the second process loops": ([*endless, "--trainer.callbacks", f"{__name__}.Endless"], 1, 0),
    }
    for what, (options, rank, how) in list(ways.items())[:count]:
        place = folder / what.replace(" ", "-")
        place.mkdir()
        yield what, _spoiled(place, options, rank, how)


def _spoiled(folder: Path, options: list[str], rank: int, how: int | None) -> str | None:
    command = [sys.executable, "-m", "inpaintzoo", "fit", "--config", str(CONFIG), *options]
    command += [
        "--trainer.devices",
        "2",
        "--trainer.default_root_dir",
        str(folder),
        "--checkpoint.every_iterations",
        "2",
    ]
    with open(folder / "stderr", "w+") as said:
        first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said, start_new_session=True)
        try:
            if how is not None:
                if not _begun(folder, first, _LOOPING if how == 0 else "last.ckpt"):
                    return f"did not begin to train: {(folder / 'stderr').read_text().strip()[-300:]}"
                os.kill((first.pid, *_children(first.pid))[rank], how)
            began = time.monotonic()
            limit = _PATIENCE if how is not None else _START
            while time.monotonic() - began < limit and (first.poll() is None or _session(first.pid)):
                time.sleep(0.2)
            if first.poll() is None or _session(first.pid):
                return f"still running {limit:.0f} s after the fault"
        finally:
            for pid in _session(first.pid):
                os.kill(pid, signal.SIGKILL)
            first.wait()
        text = (folder / "stderr").read_text(errors="replace")
    if "Traceback" in text or "gloo/transport" in text or "Child process" in text:
        return f"a wall of text: {text.strip()[-400:]}"
    expected = -signal.SIGKILL if rank == 0 and how is not None else 1
    if first.returncode != expected:
        return f"exit code {first.returncode}: {text.strip()[-300:]}"
    return complaint(1, text)


def _begun(folder: Path, process: subprocess.Popen[bytes], sign: str) -> bool:
    """Wait until a run has written the file that shows that it is ready for the fault."""
    began = time.monotonic()
    while time.monotonic() - began < _START and process.poll() is None:
        if any(folder.rglob(sign)):
            return True
        time.sleep(0.2)
    return False


def _status(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _children(pid: int) -> list[int]:
    """The processes that a process has started, by their numbers."""
    found = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]
    return sorted(other for other in found if (status := _status(other)) and int(status[1]) == pid)


def _session(pid: int) -> list[int]:
    """All processes of a session that are not dead."""
    found = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]
    statuses = {other: _status(other) for other in found}
    return [other for other, status in statuses.items() if status and int(status[3]) == pid and status[0] != "Z"]
