"""Runs the jobs in turn, each within its share of the time; README.md shows the commands."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.campaign.jobs import JOBS
from benchmarks.campaign.parts import join, split
from benchmarks.campaign.work import Job


def main(argv: Sequence[str] | None = None) -> int:
    """Run the jobs, write the parts, and return the exit code: 0, or 1 if something failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.campaign", description=__doc__)
    parser.add_argument("--minutes", type=float, required=True, help="for all jobs together, without unpacking")
    parser.add_argument("--jobs", nargs="+", choices=JOBS, default=list(JOBS), help="in this order")
    parser.add_argument("--data", type=Path, required=True, help="folder made by benchmarks.campaign.pack")
    parser.add_argument("--out", type=Path, required=True, help="work and results; one that exists is continued")
    parser.add_argument("--parts", type=Path, help="where the parts of the results go; OUT/parts by default")
    parser.add_argument("--earlier", type=Path, help="folder with the parts of an earlier campaign, to go on from")
    parser.add_argument("--smoke", action="store_true", help="tiny networks on the CPU, to see that everything runs")
    args = parser.parse_args(argv)
    if args.minutes <= 0:
        parser.error(f"--minutes must be more than 0, got {args.minutes:g}")
    if not args.data.is_dir():
        parser.error(f"--data {args.data}: there is no such folder; make it with python -m benchmarks.campaign.pack")
    args.out.mkdir(parents=True, exist_ok=True)
    if args.earlier:
        if any(args.out.iterdir()):
            parser.error(f"--earlier {args.earlier}: {args.out} is not empty; leave out --earlier to continue it")
        join(args.earlier, args.out)
    end, failures = time.time() + 60 * args.minutes, list[str]()
    for number, name in enumerate(args.jobs):
        # What a job leaves of its time goes to the next ones.
        share = JOBS[name].weight / sum(JOBS[later].weight for later in args.jobs[number:])
        until = time.time() + share * max(end - time.time(), 0.0)
        print(f"== {name}: {(until - time.time()) / 60:.1f} minutes", flush=True)
        job = Job(args.data, args.out / name, args.smoke, until, failures)
        job.attempt(name, lambda job=job, name=name: JOBS[name].run(job))  # type: ignore[misc]
    left_out = split(args.out, args.jobs, args.parts or args.out / "parts")
    print(f"parts: {args.parts or args.out / 'parts'}; left out: {', '.join(left_out) or 'nothing'}")
    print(f"failed: {', '.join(failures) or 'nothing'}")
    return 1 if failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
