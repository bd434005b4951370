"""`inpaintzoo list`: the zoo's generators or the weights that have names in a table, or another kind of class."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Sequence

from jsonargparse import ArgumentParser, Namespace
from tabulate import tabulate

from inpaintzoo.commands.run import run_command
from inpaintzoo.models.catalogue import list_models
from inpaintzoo.weights import registry

METHODS = "methods"
# Each kind with the module of its classes and their base class.
KINDS = {
    "losses": ("losses", "Loss"),
    "adversaries": ("adversary", "Adversary"),
    "discriminators": ("discriminators", "Discriminator"),
    "objectives": ("objectives", "Objective"),
    "views": ("views", "View"),
    "masks": ("data.masks", "MaskGenerator"),
    "data": ("data", "InpaintingData"),
    "metrics": ("metrics", "Metric"),
    "teachers": ("teachers", "Teacher"),
    "fills": ("fills", "Generator"),
}
_BASES = {"InceptionMetric", "SegmentationMetric", *(base for _, base in KINDS.values())} - {"Adversary"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: arguments after `inpaintzoo list`; None reads sys.argv.

    Returns:
        The exit code: 0, 1 for an error that the user can fix, 2 for wrong usage.
    """
    return run_command(make_parser(), argv, _list)


def make_parser() -> ArgumentParser:
    """The options of the command."""
    parser = ArgumentParser(
        prog="inpaintzoo list",
        description="The zoo's generators: size, cost at 256x256, needs, and papers; or another kind of class, with "
        "arguments and defaults, your own after --import MODULE; or the weights that have names.",
    )
    parser.add_argument("kind", nargs="?", choices=[METHODS, *KINDS], default=METHODS, help="what to list")
    parser.add_argument("--weights", action="store_true", help="list the weights that have names instead")
    return parser


def _list(config: Namespace) -> None:
    if config.weights:
        _list_weights()
        return
    if config.kind == METHODS:
        _list_methods()
        return
    for kind in classes(config.kind):
        module = "" if kind.__module__.startswith("inpaintzoo.") else f"{kind.__module__}."
        parameters = list(inspect.signature(kind).parameters.values())
        arguments = ", ".join(str(each.replace(annotation=inspect.Parameter.empty)) for each in parameters)
        summary = " ".join((inspect.getdoc(kind) or "").split("\n\n")[0].split())
        print(f"{module}{kind.__name__}({arguments})\n    {summary}")


def classes(kind: str) -> list[type]:
    """The imported classes of a kind that a config may name: the zoo's, then the user's own.

    Args:
        kind: one of `KINDS`.
    """
    room, base = f"inpaintzoo.{KINDS[kind][0]}", KINDS[kind][1]
    found: list[type] = [getattr(importlib.import_module(room), base)]
    for each in found:  # which grows
        found.extend(set(each.__subclasses__()).difference(found))
    zoo = {each for each in found if each.__module__.startswith("inpaintzoo.")}
    named = [
        each
        for each in found
        if each.__name__ not in _BASES
        and not each.__name__.startswith("_")
        and "." not in each.__qualname__
        and not each.__module__.endswith(".base")
        and (each.__module__.startswith(room) or (each not in zoo and kind != "fills"))
    ]
    return sorted(named, key=lambda each: (each not in zoo, each.__name__))


def _list_methods() -> None:
    rows = [
        {
            "method": row.name,
            "parameters": f"{row.parameters:,}",
            "GMACs": f"{row.macs / 1e9:.1f}",
            "multiple": row.size_multiple,
            "least": row.smallest_side,
            "labels": "yes" if row.needs_labels else "-",
            "samples": "yes" if row.stochastic else "-",
            "guidance": "yes" if row.guidance else "-",
            "paper": row.paper,
        }
        for row in list_models()
    ]
    aligned = ["left", *["right"] * 4, *["left"] * 4]
    print(tabulate(rows, headers="keys", tablefmt="plain", colalign=aligned, disable_numparse=True))


def _list_weights() -> None:
    rows = []
    for name, entry in sorted(registry.entries().items()):
        state = "by hand" if entry.page else "download" if entry.sha256 else "download --trust"
        rows.append(
            {
                "name": name,
                "trained on": entry.data,
                "masks": entry.masks or "-",
                "licence": entry.licence or "not stated",
                "commercial use": {True: "yes", False: "no", None: "not known"}[entry.commercial],
                "MB": f"{entry.bytes / 1e6:.0f}" if entry.bytes else "-",
                "state": "here" if registry.kept_file(name).is_file() else state,
                "source": entry.source,
            }
        )
    print(tabulate(rows, headers="keys", tablefmt="plain", disable_numparse=True))
