"""`python -m benchmarks.faults`: make faults, count them, list what was lost."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.faults.disks import disks
from benchmarks.faults.kills import kills
from benchmarks.faults.mutants import mutants
from benchmarks.faults.pairs import pairs
from benchmarks.faults.payloads import payloads
from benchmarks.faults.ranks import ranks

FAULTS = {
    "kills": (kills, 20),
    "disks": (disks, 7),
    "pairs": (pairs, 5),
    "mutants": (mutants, 5000),
    "payloads": (payloads, 374),
    "ranks": (ranks, 6),
}
"""Each fault with its usual number of cases."""


def main(argv: list[str] | None = None) -> int:
    """Make the faults that are named; returns 1 if anything was lost."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=__doc__)
    parser.add_argument("faults", nargs="*", help=f"of {', '.join(FAULTS)}; all if none is named")
    parser.add_argument(
        "--count", type=int, help="cases of each; " + ", ".join(f"{k} {n}" for k, (_, n) in FAULTS.items())
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--folder", type=Path, help="where to work; a temporary folder, removed afterwards, if not named"
    )
    options = parser.parse_args(argv)
    for name in options.faults:
        if name not in FAULTS:
            parser.error(f"there is no fault {name!r}; there are {', '.join(FAULTS)}")
    torch.set_num_threads(1)
    lost = 0
    with tempfile.TemporaryDirectory() as temporary:
        for name in options.faults or FAULTS:
            folder = (options.folder or Path(temporary)) / name
            folder.mkdir(parents=True)
            fault, usual = FAULTS[name]
            began, cases, bad = time.monotonic(), 0, 0
            for what, problem in fault(usual if options.count is None else options.count, options.seed, folder):
                cases += 1
                if problem:
                    bad += 1
                    print(f"{name}: {what}: {problem}", flush=True)
            print(f"{name}: {cases} cases, {bad} with a loss, {time.monotonic() - began:.0f} s", flush=True)
            lost += bad
    return int(lost > 0)


if __name__ == "__main__":
    sys.exit(main())
