"""Damaged files of every kind that the zoo reads: an exit code and one sentence, or a result, but no traceback."""

from __future__ import annotations

import contextlib
import io
import random
import re
import resource
import shutil
import signal
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import NamedTuple

from benchmarks.faults import material
from benchmarks.faults.processes import complaint
from inpaintzoo.commands import main

_MEMORY = 4 * 2**30  # bytes that a command may take for it
_SECONDS = 30  # that a command may take with a damaged file of a few kilobytes
_NUMBERS = (b"0", b"-1", b"2147483648", b"1e309", b"NaN", b"null", b"[]", b"{}", b'"x"', b"true", b"9" * 40)


class Door(NamedTuple):
    """A way in for a file.

    Attributes:
        good: the file that is damaged, in a folder that is copied for each case.
        arguments: the command that reads the copy; gets the folder.
    """

    good: Path
    arguments: Callable[[Path], list[object]]


def mutants(count: int, seed: int, folder: Path) -> Iterator[tuple[str, str | None]]:
    """Damage `count` files, in turn of every kind, and hand each to the command that reads it.

    Yields:
        What was done, and what went wrong; None if nothing did.
    """
    chance = random.Random(seed)
    doors = list(_doors(folder / "good").items())
    for number in range(count):
        name, door = doors[number % len(doors)]
        place = folder / "case"
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(door.good.parent, place)
        how = damage(place / door.good.name, chance)
        problem = call(door.arguments(place))
        if problem:
            shutil.copytree(place, folder / f"kept-{number}")
        yield f"{number}: {name}, {how}", problem


def _doors(good: Path) -> dict[str, Door]:
    """Every kind of file with the command that reads it."""
    doors = {}
    kinds = {"png": "RGB", "jpg": "RGB", "webp": "RGBA", "bmp": "L", "tif": "RGBA"}
    for suffix, mode in kinds.items():
        for role in ("picture", "mask"):
            place = good / f"{role}-{suffix}"
            if role == "picture":
                file = material.photograph(place / f"a.{suffix}", mode=mode)
                material.mask(place / "b.png")
                named = ["a." + suffix, "b.png"]
            else:
                file = material.mask(place / f"b.{suffix}")
                material.photograph(place / "a.png")
                named = ["a.png", "b." + suffix]
            doors[f"{role} {suffix}"] = Door(
                file,
                lambda at, named=named: ["inpaint", at / named[0], at / named[1], "-o", at / "o.png", "--fill", "mean"],
            )
    place = good / "weights"
    file = material.weights(place / "net.safetensors")
    material.photograph(place / "a.png")
    material.mask(place / "b.png")
    doors["weights"] = Door(
        file, lambda at: ["inpaint", at / "a.png", at / "b.png", "-o", at / "o.png", "--model", at / "net.safetensors"]
    )
    place = good / "manifest"
    images, masks = material.pictures(place, 2)
    _must(["masks", "pair", "--images", images, "--masks", masks, "--out", place / "pairs.jsonl", "--size", 32])
    doors["manifest"] = Door(
        place / "pairs.jsonl", lambda at: ["masks", "show", at / "pairs.jsonl", "--out", at / "sheet.png"]
    )
    place = good / "ledger"
    images, masks = material.pictures(place, 2)
    _must(["inpaint", images, masks, "-o", place / "out", "--fill", "mean"])
    (ledger,) = (place / "out").glob("*.json*")
    shutil.move(ledger, place / ledger.name)
    doors["ledger"] = Door(place / ledger.name, lambda at: _with_ledger(at, ledger.name))
    place = good / "store"
    config = material.benchmark(place / "benchmark.json", place / "results")
    _must(["benchmark", "--config", config])
    for stored in ("key.json", "00000.json"):
        found = next((place / "results").rglob(stored)).relative_to(place)
        shutil.copy(place / found, place / stored)
        doors[f"store {stored}"] = Door(place / stored, lambda at, found=found: _with_store(at, found))
    place = good / "config"
    file = material.benchmark(place / "benchmark.json", place / "results")
    doors["config"] = Door(file, lambda at: ["benchmark", "--config", at / "benchmark.json", "--out", at / "results"])
    return doors


def _with_ledger(at: Path, name: str) -> list[object]:
    shutil.copy(at / name, at / "out" / name)
    return ["inpaint", at / "images", at / "masks", "-o", at / "out", "--fill", "mean"]


def _with_store(at: Path, found: Path) -> list[object]:
    shutil.copy(at / found.name, at / found)
    return ["benchmark", "--config", at / "benchmark.json", "--out", at / "results"]


def damage(path: Path, chance: random.Random) -> str:
    """Damage a file in place; returns how."""
    content = bytearray(path.read_bytes())
    text = path.suffix in (".json", ".jsonl")
    how = chance.choice(("bits", "cut", "insert", "swap", "zeros", "number" if text else "header"))
    at = chance.randrange(len(content))
    if how == "bits":
        for _ in range(chance.randint(1, 8)):
            content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    elif how == "cut":
        del content[at:]
    elif how == "insert":
        content[at:at] = chance.randbytes(chance.randint(1, 16))
    elif how == "swap":
        other = chance.randrange(len(content))
        content[at : at + 8], content[other : other + 8] = content[other : other + 8], content[at : at + 8]
    elif how == "zeros":
        content[at : at + 32] = bytes(len(content[at : at + 32]))
    elif how == "header":  # sizes, depths and counts stand in the first bytes
        content[chance.randrange(min(200, len(content)))] = chance.choice((0, 1, 127, 128, 255))
    else:
        values = [m.span() for m in re.finditer(rb'(?<=: )("[^"]*"|[-\d.eE]+|true|false|null)', bytes(content))]
        if values:
            start, end = chance.choice(values)
            content[start:end] = chance.choice(_NUMBERS)
    path.write_bytes(content)
    return how


class _TooLong(BaseException):
    """Not an Exception, so that nothing in the zoo takes it for an error of the file."""


def call(arguments: Sequence[object], codes: Sequence[int] = (0, 1, 2)) -> str | None:
    """Run a command in this process; what a user would complain about, None if there is nothing."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise _TooLong

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(_SECONDS)
    said, limits = io.StringIO(), resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (_taken() + _MEMORY, limits[1]))
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
            code = main([str(argument) for argument in arguments])
    except _TooLong:
        return f"still running after {_SECONDS} s"
    except Exception:
        return f"a traceback: {traceback.format_exc()[-300:]}"
    finally:
        signal.alarm(0)
        resource.setrlimit(resource.RLIMIT_DATA, limits)
        signal.signal(signal.SIGALRM, before)
    if code not in codes:
        return f"exit code {code}: {said.getvalue().strip()[-300:]}"
    return complaint(code, said.getvalue())


def _taken() -> int:
    """Bytes of data memory that this process holds, as RLIMIT_DATA counts them."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(re.search(r"VmData:\s+(\d+)", status).group(1))  # type: ignore[union-attr]


def _must(arguments: Sequence[object]) -> None:
    if problem := call(arguments, codes=(0,)):
        raise RuntimeError(f"{arguments[0]} does not work on good files: {problem}")
