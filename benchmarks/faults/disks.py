"""Disks that fill up, and limits on the size of files: what was good stays, and one sentence says what could not be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from benchmarks.faults import material
from benchmarks.faults.kills import checkpoints, fit
from benchmarks.faults.processes import Command, can_mount

_ROOM = (0.5, 1.5, 2.5, 3.2, 3.9, 4.6, 5.5)  # how many of its checkpoints the disk of a run has room for


def disks(count: int, seed: int, folder: Path) -> Iterator[tuple[str, str | None]]:
    """Run `fit` on disks of up to `count` sizes, and each command that writes with too little room.

    Yields:
        What was done, and what went wrong; None if nothing did.
    """
    plain = fit(folder / "plain", {})
    if problem := plain.problem(codes=(0,)):
        yield "the run with room enough", problem
        return
    size = max(file.stat().st_size for file in checkpoints(folder / "plain"))
    mounts = can_mount(folder)
    for room in _ROOM[:count]:
        place = folder / f"room-{room}"
        if mounts:
            (place / "disk").mkdir(parents=True)
            run = fit(place / "disk", {}, disk=(place / "disk", int(room * size)))
            yield f"fit, disk full after {room} checkpoints", _kept(run, place / "left")
        if room < 1:
            run = fit(folder / "limit", {}, file_limit=int(room * size))
            yield f"fit, files limited to {room} of a checkpoint", _kept(run, folder / "limit")
    for name, arguments in _commands(folder / "material").items():
        for limit in (64, 200):
            place = folder / f"{name}-{limit}"
            run = Command(arguments(place), place, file_limit=limit)
            yield f"{name}, files limited to {limit} bytes", run.problem(codes=(1,)) or _nothing_partial(place / "out")


def _commands(folder: Path) -> dict[str, Callable[[Path], list[object]]]:
    images, masks = material.pictures(folder, 2)
    weights, config = material.weights(folder / "net.safetensors"), folder / "benchmark.json"
    picture, mask = images / "000.png", masks / "000.png"
    return {
        "inpaint": lambda place: ["inpaint", picture, mask, "-o", place / "out.png", "--fill", "mean"],
        "inpaint-folder": lambda place: ["inpaint", images, masks, "-o", place / "out", "--fill", "mean"],
        "masks-make": lambda place: [
            *["masks", "make", "--mask", "FreeForm", "--count", "3", "--size", "64", "--out"],
            place / "out",
        ],
        "masks-show": lambda place: ["masks", "show", masks, "--out", place / "out.png"],
        "masks-pair": lambda place: ["masks", "pair", "--images", images, "--masks", masks, "--out", place / "o.jsonl"],
        "export": lambda place: ["export", "--ckpt", weights, "--to", place / "out.safetensors"],
        "benchmark": lambda place: ["benchmark", "--config", material.benchmark(config, place / "out")],
    }


def _kept(run: Command, folder: Path) -> str | None:
    """Whether a run that could not write ended in a sentence and left only checkpoints that can be read."""
    if problem := run.problem(codes=(0, 1)):
        return problem
    for file in checkpoints(folder):
        try:
            torch.load(file, weights_only=True)
        except Exception as error:
            return f"{file.name} is damaged: {error}"
    return None


def _nothing_partial(folder: Path) -> str | None:
    left = [path.name for path in folder.rglob("*") if path.is_file() and path.suffix in (".png", ".safetensors")]
    return f"left {', '.join(left)}" if left else None
