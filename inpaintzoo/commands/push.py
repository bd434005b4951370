"""`inpaintzoo push`: publishes weights on the Hugging Face Hub, with a model card."""

from __future__ import annotations

from collections.abc import Sequence

from jsonargparse import ArgumentParser, Namespace

from inpaintzoo.commands.run import run_command
from inpaintzoo.weights.publishing import push_to_hub
from inpaintzoo.weights.registry import HUB


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: arguments after `inpaintzoo push`; None reads sys.argv.

    Returns:
        The exit code: 0, 1 for an error that the user can fix, 2 for wrong usage.
    """
    return run_command(make_parser(), argv, _push)


def make_parser() -> ArgumentParser:
    """The options of the command."""
    parser = ArgumentParser(
        prog="inpaintzoo push",
        description="Upload weights, with a model card, to a repository of the Hugging Face Hub.",
    )
    parser.add_argument("file", type=str, help="a weight file, a checkpoint or a run's folder")
    parser.add_argument("repository", type=str, help="owner/name; made if it does not exist")
    parser.add_argument("--metrics", type=str, help="a metrics.json of `inpaintzoo test`, for the model card")
    parser.add_argument("--raw", action="store_true", help="use the trained weights instead of their moving average")
    parser.add_argument("--private", action="store_true", help="make a new repository private")
    return parser


def _push(config: Namespace) -> None:
    address = push_to_hub(config.file, config.repository, config.metrics, config.private, config.raw)
    print(f"{address}: use it as --model {HUB}{config.repository}")
