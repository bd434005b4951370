"""Weight files that carry code: whatever door they come through, nothing in them runs."""

from __future__ import annotations

import io
import itertools
import os
import pickle
import random
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks.faults import material
from benchmarks.faults.kills import CONFIG, fit
from benchmarks.faults.mutants import call

_TRACE = "ran"


class _Calls:
    """Calls a function when it is unpickled."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.function, self.arguments


def _codes(trace: Path) -> dict[str, object]:
    """Objects that leave a file behind if their pickle is trusted."""
    touch = f"touch {trace}"
    return {
        "os.system": _Calls(os.system, touch),
        "subprocess": _Calls(subprocess.getoutput, touch),
        "exec": _Calls(exec, f"open({str(trace)!r}, 'w')"),
        "eval": _Calls(eval, f"open({str(trace)!r}, 'w')"),
        "open": _Calls(open, str(trace), "w"),
        "torch.save": _Calls(torch.save, torch.zeros(1), str(trace)),
        "os.mkdir": _Calls(os.mkdir, str(trace)),
    }


def _hidden(good: dict[str, Any], code: object) -> dict[str, object]:
    """The places of a checkpoint that a payload may lie in."""
    return {
        "alone": code,
        "weight": {**good, "state_dict": {**good["state_dict"], "generator.extra": code}},
        "hyper_parameters": {**good, "hyper_parameters": code},
        "callbacks": {**good, "callbacks": {"GeneratorEMA": code}},
        "loops": {**good, "loops": code},
        "key": {**good, "datamodule": {"seed": code}},
    }


def _formats() -> dict[str, Callable[[object, Path], None]]:
    def stored(value: object, path: Path) -> None:
        torch.save(value, path)

    def legacy(value: object, path: Path) -> None:
        torch.save(value, path, _use_new_zipfile_serialization=False)

    def plain(value: object, path: Path) -> None:
        path.write_bytes(pickle.dumps(value, protocol=2))

    def deflated(value: object, path: Path) -> None:
        torch.save(value, whole := io.BytesIO())
        with zipfile.ZipFile(whole) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
            for name in source.namelist():
                target.writestr(name, source.read(name))

    return {"zip": stored, "legacy": legacy, "pickle": plain, "deflated": deflated}


def payloads(count: int, seed: int, folder: Path) -> Iterator[tuple[str, str | None]]:
    """Send up to `count` files with code in them through every command that reads weights.

    Yields:
        What was done, and what went wrong; None if nothing did.
    """
    run = fit(folder / "run", {})
    if problem := run.problem(codes=(0,)):
        yield "the run whose checkpoint is changed", problem
        return
    good = torch.load(next((folder / "run").rglob("last.ckpt")), weights_only=True)
    picture, mask = material.photograph(folder / "picture.png"), material.mask(folder / "mask.png")
    trace = folder / _TRACE
    doors: dict[str, tuple[str, Callable[[Path], list[object]]]] = {
        "inpaint": (
            ".ckpt",
            lambda file: ["inpaint", picture, mask, "-o", folder / "o.png", "--force", "--model", file],
        ),
        "export": (".ckpt", lambda file: ["export", "--ckpt", file, "--to", folder / "o.safetensors", "--force"]),
        "renamed": (".safetensors", lambda file: ["inpaint", picture, mask, "-o", folder / "o.png", "--model", file]),
        "convert": (
            ".pth",
            lambda file: ["convert", file, "--from", "pennet", "--force", "-o", folder / "o.safetensors"],
        ),
        "test": (".ckpt", lambda file: ["test", "--config", CONFIG, "--ckpt_path", file]),
        "fit": (".ckpt", lambda file: ["fit", "--config", CONFIG, "--ckpt_path", file]),
        "init_from": (".ckpt", lambda file: ["fit", "--config", CONFIG, "--model.init_from", file]),
    }
    cases = list(itertools.product(doors.items(), _formats().items(), _codes(trace), _hidden(good, None)))
    chosen = random.Random(seed).sample(cases, min(count, len(cases)))
    for (door, (suffix, arguments)), (kind, write), code, place in chosen:
        file = folder / f"payload{suffix}"
        write(_hidden(good, _codes(trace)[code])[place], file)
        problem = call(arguments(file), codes=(1, 2))
        if trace.exists():
            problem = "the code ran"
            trace.rmdir() if trace.is_dir() else trace.unlink()
        yield f"{code} as {place} in a {kind} file through {door}", problem
