"""Training killed with SIGKILL, resumed, and compared bit by bit with the run that nothing stopped."""

from __future__ import annotations

import contextlib
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks.faults.processes import Command, other_file_system, sleep_until
from inpaintzoo.files.writing import whole_files

CONFIG = Path(__file__).with_name("run.yaml")
_COMPARED = ("state_dict", "optimizer_states", "lr_schedulers", "global_step")


def kills(count: int, seed: int, folder: Path) -> Iterator[tuple[str, str | None]]:
    """Kill that many runs, every second one in the middle of writing a checkpoint.

    Temporary files lie on another file system than the run where this machine has two.

    Yields:
        What was done, and what was lost; None if nothing was.
    """
    chance = random.Random(seed)
    elsewhere = other_file_system(folder)
    environment = {"TMPDIR": str(elsewhere)} if elsewhere else {}
    began = time.monotonic()
    unbroken = fit(folder / "unbroken", environment)
    if problem := unbroken.problem(codes=(0,)):
        yield "the unbroken run", problem
        return
    length, expected = time.monotonic() - began, last_checkpoint(folder / "unbroken")
    for number in range(count):
        place = folder / f"kill-{number}"
        run = fit(place, environment)
        if number % 2:
            when = f"at change {_kill_in_writing(run, place, chance)} in the checkpoint folder"
        else:
            delay = chance.uniform(0.2, 1.0) * length
            sleep_until(time.monotonic() + delay)
            run.kill()
            when = f"after {delay:.1f} s"
        run.wait()
        yield f"killed {when}", _resumed(place, expected, environment)


def fit(folder: Path, environment: dict[str, str], resume: Path | None = None, **limits: Any) -> Command:
    """Start the small run of `run.yaml`."""
    arguments = ["fit", "--config", CONFIG, "--trainer.default_root_dir", folder]
    return Command([*arguments, *(["--ckpt_path", resume] if resume else [])], folder, environment, **limits)


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints of a folder's runs that are complete by their names, the oldest first."""
    return sorted(whole_files(folder, "*.ckpt"), key=lambda file: file.stat().st_mtime_ns)


def last_checkpoint(folder: Path) -> dict[str, Any]:
    """The content of the newest `last.ckpt` of a folder's runs."""
    newest = max(whole_files(folder, "last.ckpt"), key=lambda file: file.stat().st_mtime_ns)
    return dict(torch.load(newest, weights_only=True))


def _kill_in_writing(run: Command, folder: Path, chance: random.Random) -> int:
    """Kill a run while files change in its checkpoint folder; returns how many changes were seen."""
    chosen, seen, before = chance.randint(2, 40), 0, set[tuple[str, int]]()
    while run.running and seen < chosen:
        now = _sizes(folder)
        seen, before = seen + (now != before), now
        time.sleep(0.0002)
    run.kill()
    return seen


def _sizes(folder: Path) -> set[tuple[str, int]]:
    """Names and sizes of all that lies in the checkpoint folders of a folder's first run."""
    found = set()
    for top, _, files in os.walk(folder / "lightning_logs" / "version_0" / "checkpoints"):
        for name in files:
            with contextlib.suppress(OSError):  # renamed meanwhile
                found.add((f"{top}/{name}", os.stat(f"{top}/{name}").st_size))
    return found


def _resumed(folder: Path, expected: dict[str, Any], environment: dict[str, str]) -> str | None:
    """Go on after a kill to the end; what differs from the unbroken run."""
    found = checkpoints(folder)
    for file in found:
        try:
            torch.load(file, weights_only=True)
        except Exception as error:
            return f"{file.name} is damaged: {error}"
    latest = [file for file in found if file.name == "last.ckpt"]
    run = fit(folder, environment, resume=latest[-1] if latest else None)
    if problem := run.problem(codes=(0,)):
        return problem
    got = last_checkpoint(folder)
    wrong = [key for key in _COMPARED if not same(got[key], expected[key])]
    wrong += [] if same(_average(got), _average(expected)) else ["moving average"]
    return f"differs from the unbroken run in {', '.join(wrong)}" if wrong else None


def _average(content: dict[str, Any]) -> object:
    return content["callbacks"]["GeneratorEMA"]


def same(one: object, other: object) -> bool:
    """Whether two nested structures are equal, tensors bit by bit."""
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other
