"""Generates part of `docs/protocols.md`: `python -m benchmarks.protocols_page docs/protocols.md`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from inpaintzoo.benchmark.protocols.named import PROTOCOLS, protocol
from inpaintzoo.benchmark.protocols.paper_tables import without_protocol
from inpaintzoo.benchmark.protocols.protocol import Protocol
from inpaintzoo.types import ConfigError

BEGIN, END = "<!-- generated from inpaintzoo/benchmark/protocols/named.py -->", "<!-- end of the generated part -->"


def sections() -> str:
    """A table of all protocols and a section for each, as Markdown."""
    known = [protocol(name) for name in PROTOCOLS]
    return "\n".join([_overview(known), *(_section(one) for one in known), _without_protocol()])


def renewed(page: str) -> str:
    """A page with everything between its two markers regenerated.

    Raises:
        ConfigError: the page lacks a marker.
    """
    if BEGIN not in page or END not in page:
        raise ConfigError(f"the page needs the lines {BEGIN!r} and {END!r}")
    head, rest = page.split(BEGIN, 1)
    return f"{head}{BEGIN}\n\n{sections()}\n{END}{rest.split(END, 1)[1]}"


def _overview(known: Sequence[Protocol]) -> str:
    lines = ["| protocol | judged | metrics | bins | mean |", "|---|---|---|---|---|"]
    for one in known:
        rules = one.rules()
        metrics = ", ".join(f"`{metric.name}`" for metric in one.metrics)
        edges = " ".join(f"{edge:g}" for edge in one.bins)
        cells = [f"[`{one.name}`](#{one.name})", rules["judged"], metrics, edges, rules["mean"]]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _section(one: Protocol) -> str:
    facts = [("source", one.source), ("split", one.split), ("size", one.resize), ("holes", one.masks)]
    if one.samples > 1:
        facts.append(("fills", one.rules()["fills"]))
    lines = [f"## {one.name}", "", f"{one.title}.", ""]
    lines += [f"- **{name}**: {text}." for name, text in facts if text]
    lines += ["", "| metric | unit | definition |", "|---|---|---|"]
    for metric in one.metrics:
        definition = metric.definition.replace("|", "\\|")
        lines.append(f"| `{metric.name}` | {metric.unit} | {definition} |")
    lines += ["", "Pitfalls:", "", *(f"- {pitfall}" for pitfall in one.pitfalls), ""]
    return "\n".join([*lines, *_published(one)])


def _published(one: Protocol) -> list[str]:
    if not one.published:
        return []
    sources = "; ".join(dict.fromkeys(row.source for row in one.published))
    methods = ", ".join(dict.fromkeys(row.method for row in one.published))
    return [f"Published: {len(one.published)} rows ({sources}) of {methods}.", ""]


def _without_protocol() -> str:
    lines = ["## Printed, but measured by no protocol", "", "| source | data | holes | method | quantity | value |"]
    lines.append("|---|---|---|---|---|---|")
    for row in without_protocol():
        for quantity, value in row.values.items():
            lines.append(f"| {row.source} | {row.data} | {row.masks} | {row.method} | {quantity} | {value:g} |")
    return "\n".join([*lines, ""])


def main(arguments: Sequence[str]) -> int:
    """Regenerate the page that the first argument names."""
    path = Path(arguments[0])
    path.write_text(renewed(path.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
