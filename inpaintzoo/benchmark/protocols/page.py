"""The generated part of `docs/protocols.md`: `python -m inpaintzoo.benchmark.protocols.page docs/protocols.md`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from inpaintzoo.benchmark.protocols.named import PROTOCOLS, protocol
from inpaintzoo.benchmark.protocols.protocol import Protocol
from inpaintzoo.types import ConfigError

BEGIN, END = "<!-- made from inpaintzoo/benchmark/protocols/named.py -->", "<!-- end of what is made -->"


def sections() -> str:
    """An overview of all protocols, and a section for each, as Markdown."""
    known = [protocol(name) for name in PROTOCOLS]
    return "\n".join([_overview(known), *(_section(one) for one in known)])


def renewed(page: str) -> str:
    """A page with everything between its two markers made anew.

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
        cells = [f"[`{one.name}`](#{one.name})", rules["judged"], metrics, _edges(one), rules["mean"]]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _section(one: Protocol) -> str:
    facts = [("source", one.source), ("split", one.split), ("size", one.resize), ("holes", one.masks)]
    if one.samples > 1:
        facts.append(("fills", one.rules()["fills"]))
    lines = [f"## {one.name}", "", f"{one.title}.", ""]
    lines += [f"- **{name}**: {text}." for name, text in facts if text]
    lines += ["", "| metric | unit | definition |", "|---|---|---|"]
    lines += [f"| `{metric.name}` | {metric.unit} | {_cell(metric.definition)} |" for metric in one.metrics]
    lines += ["", "Pitfalls:", "", *(f"- {pitfall}" for pitfall in one.pitfalls), ""]
    return "\n".join([*lines, *_published(one)])


def _published(one: Protocol) -> list[str]:
    if not one.published:
        return []
    sources = "; ".join(dict.fromkeys(row.source for row in one.published))
    methods = ", ".join(dict.fromkeys(row.method for row in one.published))
    return [f"Published: {len(one.published)} rows ({sources}) of {methods}.", ""]


def _edges(one: Protocol) -> str:
    return " ".join(f"{edge:g}" for edge in one.bins)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main(arguments: Sequence[str]) -> int:
    """Renew the page that is named."""
    path = Path(arguments[0])
    path.write_text(renewed(path.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
