"""`inpaintzoo download`: fetches weights by name, so that they are there when they are needed."""

from __future__ import annotations

from collections.abc import Sequence

from jsonargparse import ArgumentParser, Namespace

from inpaintzoo.commands.run import run_command
from inpaintzoo.types import WeightsError
from inpaintzoo.weights import registry
from inpaintzoo.words import did_you_mean


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: arguments after `inpaintzoo download`; None reads sys.argv.

    Returns:
        The exit code: 0, 1 for an error that the user can fix, 2 for wrong usage.
    """
    return run_command(make_parser(), argv, _download)


def make_parser() -> ArgumentParser:
    """The options of the command."""
    parser = ArgumentParser(
        prog="inpaintzoo download", description="Download weights by name, check them, and convert them if necessary."
    )
    names = f"a name of `inpaintzoo list --weights`, or {registry.HUB}owner/name@revision"
    parser.add_argument("name", type=str, help=names)
    parser.add_argument("--trust", action="store_true", help="accept a file whose digest nobody has verified")
    return parser


def _download(config: Namespace) -> None:
    if config.name.startswith(registry.HUB):
        file = registry.find_checkpoint(config.name)
    elif config.name in registry.entries():
        file = registry.fetch(config.name, config.trust)
    else:
        meant = (
            did_you_mean(config.name, registry.entries(), limit=3) or "; `inpaintzoo list --weights` lists the names"
        )
        raise WeightsError(f"no weights are called {config.name}{meant}")
    print(file)
