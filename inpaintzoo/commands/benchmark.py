"""`inpaintzoo benchmark`: several methods on the same pinned pairs, under named protocols, in one table."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

from jsonargparse import ArgumentParser, Namespace

# Imported so that a config can name contenders, data, masks and fills by their class names.
from inpaintzoo import exports, fills  # noqa: F401
from inpaintzoo.benchmark.protocols.named import PROTOCOLS, MetricWeights, protocols
from inpaintzoo.benchmark.protocols.protocol import Protocol
from inpaintzoo.benchmark.report.terminal import terminal_report
from inpaintzoo.benchmark.run.contenders import Checkpoint, Fill, Weights  # noqa: F401
from inpaintzoo.benchmark.run.predictions import Predictions  # noqa: F401
from inpaintzoo.benchmark.run.processes import processes
from inpaintzoo.benchmark.run.runner import Benchmark
from inpaintzoo.commands.run import instantiated, run_command
from inpaintzoo.files.locks import sole_use


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: arguments after `inpaintzoo benchmark`; None reads sys.argv.

    Returns:
        The exit code: 0, 1 for an error that the user can fix, 2 for wrong usage.
    """
    parser = make_parser()

    def run(config: Namespace) -> None:
        settings = vars(instantiated(parser, config))
        settings.pop("config")
        benchmark(settings, settings.pop("protocols"), settings.pop("metric_weights"))

    return run_command(parser, argv, run)


def benchmark(settings: dict[str, Any], wanted: Sequence[str | Protocol], metric_weights: MetricWeights) -> None:
    """Measure several methods on the same pinned pairs, under named protocols, and write tables and pictures.

    Args:
        settings: arguments of `Benchmark`, without protocols and processes.
        wanted: names of protocols, and the user's own protocols.
        metric_weights: local files of the networks behind LPIPS, FID and others.
    """
    chosen = protocols(wanted, metric_weights)
    with processes() as all_processes, contextlib.ExitStack() as held:
        run = Benchmark(protocols=chosen, processes=all_processes, **settings)
        run.check_out()
        if all_processes.first:
            held.enter_context(sole_use(run.out))
        run.prepare()
        run.measure()
        if all_processes.first:
            from inpaintzoo.benchmark.report.write import write_report  # imported here because it loads matplotlib

            results = run.results()
            print(f"\n{terminal_report(results)}\n")
            write_report(results, run.out, run.render, run.truth)
            print(f"report: {run.out / 'index.html'}; tables, charts and numbers are beside it")


def make_parser() -> ArgumentParser:
    """The parser of the command's options, whose names and help come from `Benchmark`."""
    summary = (benchmark.__doc__ or "").splitlines()[0]
    parser = ArgumentParser(prog="inpaintzoo benchmark", description=summary)
    parser.add_argument("--config", action="config", help="YAML file; options after it change single values")
    parser.add_class_arguments(Benchmark, skip={"protocols", "force", "processes"})
    known = f"names ({', '.join(PROTOCOLS)}), or protocols of your own (docs/protocols.md)"
    parser.add_argument("--protocols", type=list[str | Protocol], default=["zoo"], help=known)
    parser.add_class_arguments(MetricWeights, "metric_weights")
    parser.add_argument("--force", action="store_true", help="redo what was done with other settings in --out")
    return parser
