"""`inpaintzoo benchmark`: several methods on the same pinned pairs, under named protocols, in one table."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence

from jsonargparse import ArgumentParser

# Imported so that a config can name contenders, data, masks and fills by their class names.
from inpaintzoo import data, fills  # noqa: F401
from inpaintzoo.benchmark.contenders import Checkpoint, Fill, Method, Weights  # noqa: F401
from inpaintzoo.benchmark.overview import overview
from inpaintzoo.benchmark.predictions import Predictions  # noqa: F401
from inpaintzoo.benchmark.processes import Precision, processes
from inpaintzoo.benchmark.protocols import MetricWeights, protocol
from inpaintzoo.benchmark.runner import Benchmark
from inpaintzoo.data import InpaintingData
from inpaintzoo.types import InpaintzooError


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: what stands after `inpaintzoo benchmark`; None takes it from the process.

    Returns:
        The exit code: 0, 1 for an error that the user can mend, 2 for wrong usage.
    """
    parser = _parser()
    try:
        config = parser.parse_args(list(sys.argv[1:] if argv is None else argv))
    except SystemExit as stop:  # wrong usage, which the parser has explained, or --help
        return int(stop.code or 0)
    # jsonargparse 4.49 renamed the method; older versions are still allowed.
    build = getattr(parser, "instantiate", None) or parser.instantiate_classes
    try:
        settings = build(config).as_dict()
        settings.pop("config")
        benchmark(**settings)
    except (InpaintzooError, ValueError, OSError) as error:
        if os.environ.get("INPAINTZOO_TRACEBACK"):
            raise
        # An error of a loading process arrives with that process's traceback in front.
        sentence = re.split(r"inpaintzoo\.types\.\w+: ", str(error))[-1]
        rank = os.environ.get("RANK", "0")  # of several processes each may say the same
        which = "" if rank == "0" else f" (process {rank})"
        print(f"inpaintzoo benchmark: error{which}: {' '.join(sentence.split())}", file=sys.stderr)
        return 1
    return 0


def benchmark(
    contenders: dict[str, Method],
    sets: dict[str, InpaintingData],
    protocols: list[str] | None = None,
    out: str = "runs/benchmark",
    device: str = "auto",
    precision: Precision = "float32",
    batch_size: int = 8,
    seed: int = 0,
    cost: bool = True,
    metrics: list[str] | None = None,
    require: list[str] | None = None,
    metric_weights: MetricWeights | None = None,
    force: bool = False,
) -> None:
    """Measure several methods on the same pinned pairs, under named protocols, and write tables and pictures.

    Args:
        contenders: who takes part, by the name in the tables: Checkpoint, Weights, Predictions, Fill.
        sets: what they are measured on, by name: the test pictures of data modules, with their manifests or masks.
        protocols: how they are measured, by name; the zoo's own by default.
        out: the output folder: a new one, or that of a run to go on with.
        device: where networks run: cpu, cuda, cuda:1, and so on; auto takes a GPU where there is one.
        precision: in which contenders compute; metrics always compute in float32 or better.
        batch_size: pictures a batch.
        seed: of stochastic contenders.
        cost: whether to measure parameters, multiply-accumulates, time and memory.
        metrics: only these of the protocols' metrics, by name; their weights must be there.
        require: metrics whose weights must be there, by name; others are left out without them.
        metric_weights: local files of the networks that LPIPS, FID and others look through.
        force: do anew what was done with other settings in the output folder, instead of refusing it.
    """
    chosen = [protocol(name, metric_weights) for name in protocols or ["zoo"]]
    with processes() as all_processes:
        run = Benchmark(
            contenders,
            sets,
            chosen,
            out,
            device,
            precision,
            batch_size,
            seed,
            cost,
            metrics or (),
            require or (),
            force,
            all_processes,
        )
        run.prepare()
        run.measure()
    if all_processes.first:
        from inpaintzoo.benchmark.report import write_report  # here: other commands draw no charts

        results = run.results()
        print(f"\n{overview(results)}\n")
        write_report(results, run.out, run.render, run.truth)
        print(f"report: {run.out / 'index.html'}; tables, charts and numbers beside it")


def _parser() -> ArgumentParser:
    summary = (benchmark.__doc__ or "").splitlines()[0]
    parser = ArgumentParser(prog="inpaintzoo benchmark", description=summary)
    parser.add_argument("--config", action="config", help="YAML file; options behind it change single values")
    parser.add_function_arguments(benchmark, skip={"force"})
    parser.add_argument("--force", action="store_true", help="do anew what was done with other settings in --out")
    return parser
