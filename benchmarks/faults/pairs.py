"""Two commands at once into one folder: one wins, the other says so, and nothing is mixed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from benchmarks.faults import material
from benchmarks.faults.kills import fit
from benchmarks.faults.processes import Command


def pairs(count: int, seed: int, folder: Path) -> Iterator[tuple[str, str | None]]:
    """Start two commands at the same moment, `count` times each kind.

    Yields:
        What was done, and what went wrong; None if nothing did.
    """
    images, masks = material.pictures(folder / "material", 40)
    for number in range(count):
        place = folder / str(number)
        out = place / "filled"
        fills = ("mean", "diffusion")
        runs = [Command(["inpaint", images, masks, "-o", out, "--fill", fill], place) for fill in fills]
        yield "two inpaint runs with different fills", _one_wins(runs) or _one_kind(out, images, masks, place)
        config = material.benchmark(place / "benchmark.json", place / "results")
        runs = [Command(["benchmark", "--config", config], place) for _ in range(2)]
        yield "two benchmarks", _one_wins(runs)
        runs = [fit(place / "runs", {}) for _ in range(2)]
        yield "two fits", next(filter(None, (run.problem(codes=(0,)) for run in runs)), None) or _two_runs(place)


def _one_wins(runs: list[Command]) -> str | None:
    for run in runs:
        if problem := run.problem(codes=(0, 1)):
            return problem
    codes = sorted(run.wait() for run in runs)
    return None if codes == [0, 1] else f"exit codes {codes}; one should have found the folder in use"


def _one_kind(out: Path, images: Path, masks: Path, place: Path) -> str | None:
    """Whether all files come from one run: those of the winner are made again alone and compared."""
    for fill in ("mean", "diffusion"):
        alone = place / fill
        if problem := Command(["inpaint", images, masks, "-o", alone, "--fill", fill], place).problem(codes=(0,)):
            return problem
        equal = [_pixels(out / file.name) == _pixels(file) for file in sorted(alone.glob("*.png"))]
        if all(equal):
            return None
    return "the files of two runs are mixed"


def _pixels(path: Path) -> bytes:
    return Image.open(path).tobytes() if path.exists() else b""


def _two_runs(place: Path) -> str | None:
    found = sorted(str(file.relative_to(place)) for file in (place / "runs").rglob("last.ckpt"))
    return None if len(found) == 2 else f"two runs left {len(found)} last.ckpt: {', '.join(found)}"
