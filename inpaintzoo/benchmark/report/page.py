"""`index.html`: everything that a benchmark found, on one page that needs no other file."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterator, Mapping, Sequence

from PIL import Image

from inpaintzoo.benchmark.protocols.protocol import Protocol
from inpaintzoo.benchmark.report.bootstrap import Bootstrap
from inpaintzoo.benchmark.report.comparison import compare, published_columns
from inpaintzoo.benchmark.report.gallery import Gallery, Pixels
from inpaintzoo.benchmark.report.names import in_words
from inpaintzoo.benchmark.report.rendering import environment
from inpaintzoo.benchmark.report.tables import Table
from inpaintzoo.benchmark.report.wording import (
    COST_HEAD,
    TIE,
    about_marks,
    cost_cells,
    head_of,
    interval_text,
    left_out,
)
from inpaintzoo.benchmark.results import BenchmarkResults, Contender
from inpaintzoo.words import counted

_SMALL = 128  # pictures up to this side are enlarged with sharp pixels, and kept without loss


def to_page(
    results: BenchmarkResults,
    tables: Sequence[Table],
    bootstrap: Bootstrap,
    charts: Mapping[tuple[str, str], bytes],
    galleries: Sequence[Gallery],
) -> str:
    """The page.

    Args:
        results: what the benchmark found.
        tables: made from it.
        bootstrap: how their intervals were made.
        charts: SVG by set and protocol.
        galleries: pictures of sets.
    """
    filters = {
        "about": _about,
        "compare": compare,
        "cost_cells": _cost_cells,
        "definitions": lambda table: {f"{in_words(c.name)} ({c.name})": c.definition for c in table.columns},
        "encoded": encoded,
        "head": head_of,
        "interval": interval_text,
        "in_words": in_words,
        "left_out": lambda missing: left_out({in_words(name): reason for name, reason in missing.items()}),
        "origin": _origin,
        "published_columns": published_columns,
        "sort_key": lambda value: "" if value is None or math.isnan(value) else repr(value),
        "uri": _uri,
    }
    html = environment(filters)
    html.tests["small"] = _is_small
    facts = [
        counted(results.contenders, "method"),
        counted(results.pair_sets, "set"),
        counted(results.protocols, "protocol"),
        *(results.run[key] for key in ("device", "precision", "date") if key in results.run),
    ]
    return html.get_template("index.html.j2").render(
        results=results,
        tables=tables,
        bootstrap=bootstrap,
        charts=charts,
        galleries=galleries,
        overview=facts,
        about_marks=about_marks(bootstrap, "Best", "second best"),
        cost_head=COST_HEAD,
        tie=TIE,
    )


def _origin(protocol: Protocol) -> dict[str, str]:
    facts = {"source": protocol.source, "split": protocol.split, "size": protocol.resize, "holes": protocol.masks}
    return {f"the protocol's {name}": text for name, text in facts.items() if text}


def _about(contender: Contender) -> dict[str, str]:
    sha256 = {"SHA-256": contender.sha256} if contender.sha256 else {}
    return {"kind": contender.kind, "source": contender.source, **sha256, **contender.facts}


def _cost_cells(one: Contender) -> Iterator[tuple[str, object]]:
    """The texts of a row, each with what it is sorted by."""
    assert one.cost
    cost = one.cost
    values = [one.name, cost.parameters, cost.macs, cost.milliseconds, cost.peak_bytes, cost.height * cost.width]
    keys = ["" if value is None else value for value in [*values, cost.device, cost.precision]]
    return zip(cost_cells(one.name, cost), keys, strict=True)


def _is_small(picture: Pixels) -> bool:
    return max(picture.shape[:2]) <= _SMALL


def encoded(picture: Pixels) -> str:
    """A picture as a data URI: PNG if it is small, else JPEG."""
    file = io.BytesIO()
    image = Image.fromarray(picture)
    if _is_small(picture):
        image.save(file, format="PNG", optimize=True)
        return _uri(file.getvalue(), "image/png")
    image.save(file, format="JPEG", quality=92, subsampling=0, optimize=True)
    return _uri(file.getvalue(), "image/jpeg")


def _uri(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
