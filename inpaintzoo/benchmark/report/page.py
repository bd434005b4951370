"""`index.html`: everything that a benchmark found on one page that needs no other file."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape

from PIL import Image

from inpaintzoo.benchmark.report.bootstrap import Bootstrap
from inpaintzoo.benchmark.report.comparison import compare
from inpaintzoo.benchmark.report.gallery import Gallery, Picture, Shown
from inpaintzoo.benchmark.report.markdown import interval_text
from inpaintzoo.benchmark.report.page_assets import CSS, SCRIPT
from inpaintzoo.benchmark.report.tables import Entry, Table
from inpaintzoo.benchmark.report.wording import COST_HEAD, TIE, about_marks, cost_cells, head_of, left_out
from inpaintzoo.benchmark.results import BenchmarkResults, Contender, PairSet
from inpaintzoo.metrics.results import ALL, Column

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
    parts = [_header(results, bootstrap)]
    for i, pair_set in enumerate(results.pair_sets):
        parts.append(_set(i, pair_set))
        for table in tables:
            if table.pair_set.name == pair_set.name:
                parts.append(_section(table, results, charts.get((pair_set.name, table.protocol.name))))
        parts += [_pictures(gallery) for gallery in galleries if gallery.pair_set.name == pair_set.name]
    parts += [_costs(results), _methods(results), _run(results)]
    title = f"Side by side: {', '.join(one.name for one in results.contenders)}"
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{CSS}</style>\n</head>\n<body>\n"
        + "\n".join(part for part in parts if part)
        + f"\n<script>{SCRIPT}</script>\n</body>\n</html>\n"
    )


# ---------------------------------------------------------------- text


def _header(results: BenchmarkResults, bootstrap: Bootstrap) -> str:
    anchors = [(f"set-{i}", pair_set.name) for i, pair_set in enumerate(results.pair_sets)]
    anchors += [("cost", "Cost")] if any(one.cost for one in results.contenders) else []
    anchors += [("methods", "Methods"), ("run", "Run")]
    links = "".join(f'<a href="#{anchor}">{escape(name)}</a>' for anchor, name in anchors)
    counts = [
        _counted(len(results.contenders), "method"),
        _counted(len(results.pair_sets), "set"),
        _counted(len(results.protocols), "protocol"),
    ]
    facts = [*counts, *(results.run[key] for key in ("device", "precision", "date") if key in results.run)]
    marks = about_marks(bootstrap, "Best", "second best")
    small = f"Below a number: its {100 * bootstrap.level:g} % confidence interval. Click a column's head to sort."
    return (
        f'<header><h1>Side by side</h1>\n<p class="pale">{escape(" · ".join(facts))}</p>\n<nav>{links}</nav>\n'
        f'<p class="legend">{escape(marks)} {escape(small)}</p></header>'
    )


def _counted(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def _set(position: int, pair_set: PairSet) -> str:
    facts = {
        "pairs": f"N = {pair_set.count}, {pair_set.height}x{pair_set.width}",
        "pictures and masks": pair_set.description,
        "manifest": f"{pair_set.manifest} (SHA-256 {pair_set.manifest_sha256})",
    }
    return f'<h2 id="set-{position}">{escape(pair_set.name)}</h2>\n{_facts(facts)}'


def _section(table: Table, results: BenchmarkResults, chart: bytes | None) -> str:
    protocol = table.protocol
    facts = {"source": protocol.source, "split": protocol.split, "size": protocol.resize, "holes": protocol.masks}
    facts = {f"the protocol's {name}": text for name, text in facts.items() if text}
    remarks = "".join(f"<li>{escape(remark)}</li>" for remark in table.remarks)
    parts = [
        f"<h3>{escape(protocol.name)}: {escape(protocol.title)}</h3>",
        _numbers(table, [ALL]),
        *(f'<p class="note">{escape(sentence)}</p>' for sentence in left_out(table.missing)),
        f'<ul class="legend">{remarks}</ul>',
    ]
    if len(table.groups) > 1:
        parts.append(_folded("By hole ratio", _numbers(table, table.groups[1:])))
    if chart:
        words = f"{protocol.name} on {table.pair_set.name}: each metric by method and hole ratio"
        parts.append(f'<img class="chart" src="{_uri("image/svg+xml", chart)}" alt="{escape(words)}">')
    parts.append(_published(table, results))
    pitfalls = "".join(f"<li>{escape(pitfall)}</li>" for pitfall in protocol.pitfalls)
    definitions = _facts({column.name: column.definition for column in table.columns})
    parts.append(_folded("Pitfalls and definitions", f"<ul>{pitfalls}</ul>\n{_facts(facts)}{definitions}"))
    return "\n".join(part for part in parts if part)


def _folded(title: str, content: str, opened: bool = False) -> str:
    return f"<details{' open' if opened else ''}><summary>{escape(title)}</summary>\n{content}\n</details>"


def _facts(facts: Mapping[str, str]) -> str:
    items = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts.items())
    return f"<dl>{items}</dl>" if items else ""


# ---------------------------------------------------------------- tables


def _numbers(table: Table, groups: Sequence[str]) -> str:
    by_bin = groups != [ALL]
    heads = [_head(name) for name in (("holes", "N", "method") if by_bin else ("method",))]
    heads += [_metric_head(column) for column in table.columns]
    lines = []
    for place, group in enumerate(groups):
        for name in table.names:
            cells = [_cell(group, str(place), True), _cell(str(table.counts[group]), str(table.counts[group]))]
            cells = [*(cells if by_bin else []), _cell(name, name, True)]
            cells += [_entry(table.entries[group, name, column.name]) for column in table.columns]
            lines.append("".join(cells))
    return _table(heads, lines, sortable=True)


def _table(heads: Iterable[str], lines: Iterable[str], sortable: bool = False) -> str:
    body = "\n".join(f"<tr>{line}</tr>" for line in lines)
    kind = ' class="sortable"' if sortable else ""
    return (
        f'<div class="scroll"><table{kind}>\n<thead><tr>{"".join(heads)}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def _head(name: str) -> str:
    kind = "" if name == "N" else ' class="text"'
    return f'<th scope="col"{kind}>{escape(name)}</th>'


def _metric_head(column: Column) -> str:
    return (
        f'<th scope="col" data-better="{escape(column.better)}" title="{escape(column.definition)}">'
        f"{escape(head_of(column))}</th>"
    )


def _cell(text: str, value: str, left: bool = False, long: bool = False) -> str:
    kind = "long" if long else "text" if left else ""
    attribute = f' class="{kind}"' if kind else ""
    return f'<td{attribute} data-value="{escape(value)}">{escape(text)}</td>'


def _entry(entry: Entry) -> str:
    kind = {1: ' class="best"', 2: ' class="second"'}.get(entry.place, "")
    value = "" if entry.value is None or math.isnan(entry.value) else repr(entry.value)
    tie = f" {TIE}" if entry.tied else ""
    below = f"<small>{escape(interval_text(entry))}</small>" if entry.interval else ""
    return f'<td{kind} data-value="{escape(value)}">{escape(entry.text)}{tie}{below}</td>'


def _published(table: Table, results: BenchmarkResults) -> str:
    found = compare(table, results)
    if not found:
        return ""
    columns = [column for column in table.columns if any(column.name in one.row.values for one in found)]
    heads = [*map(_head, ("method", "paper", "measured on")), *map(_metric_head, columns)]
    lines = []
    for one in found:
        words = one.words(table.pair_set)
        cells = [_cell(one.contender, one.contender, True), _cell(one.row.source, one.row.source, True)]
        cells.append(_cell(words, words, long=True))
        for column in columns:
            difference = one.differences.get(column.name, math.nan)
            cells.append(_cell(one.cell(column.name, column.unit), "" if math.isnan(difference) else repr(difference)))
        lines.append("".join(cells))
    note = '<p class="legend">Paper / ours (ours less the paper\'s; columns sort by this difference).</p>'
    opened = any(one.same_data for one in found)
    return _folded("The papers' own numbers", note + _table(heads, lines, sortable=True), opened)


def _costs(results: BenchmarkResults) -> str:
    measured = [(one.name, one.cost) for one in results.contenders if one.cost]
    if not measured:
        return ""
    lines = []
    for name, cost in measured:
        values = [name, cost.parameters, cost.macs, cost.milliseconds, cost.peak_bytes, cost.height * cost.width]
        keys = ["" if value is None else str(value) for value in [*values, cost.device, cost.precision]]
        cells = zip(cost_cells(name, cost), keys, strict=True)
        lines.append("".join(_cell(text, key, i in (0, 6, 7)) for i, (text, key) in enumerate(cells)))
    heads = [
        f'<th scope="col"{" class=text" if i in (0, 6, 7) else ""}>{name}</th>' for i, name in enumerate(COST_HEAD)
    ]
    return f'<h2 id="cost">Cost</h2>\n<p class="legend">Of one picture.</p>\n{_table(heads, lines, sortable=True)}'


def _methods(results: BenchmarkResults) -> str:
    sections = [f"<h3>{escape(one.name)}</h3>\n{_facts(_about(one))}" for one in results.contenders]
    return '<h2 id="methods">Methods</h2>\n' + "\n".join(sections)


def _about(contender: Contender) -> dict[str, str]:
    sha256 = {"SHA-256": contender.sha256} if contender.sha256 else {}
    return {"kind": contender.kind, "source": contender.source, **sha256, **contender.facts}


def _run(results: BenchmarkResults) -> str:
    return f'<h2 id="run">Run</h2>\n{_facts(results.run)}'


# ---------------------------------------------------------------- pictures


def _pictures(gallery: Gallery) -> str:
    figures = [_figure(gallery, gallery.shown[position]) for position in gallery.disagreement]
    later = [position for position in gallery.worst if position not in gallery.disagreement]
    figures += [_figure(gallery, gallery.shown[position], hidden=True) for position in later]
    metric = f"{gallery.metric.name}, protocol {gallery.protocol}"
    note = (
        f"The same images across methods. Below each picture its {metric}; the best of an image is green. Disagreement "
        f"is the standard deviation of the error over the methods. Hold a picture down to see the truth."
    )
    buttons = (
        '<button type="button" data-order="disagreement" aria-pressed="true">most disagreement first</button> '
        '<button type="button" data-order="worst" aria-pressed="false">worst cases first</button>'
    )
    return (
        f'<h3>Pictures</h3>\n<p class="legend">{escape(note)}</p>\n<div class="pictures"><p>{buttons}</p>\n'
        + "\n".join(figures)
        + "\n</div>"
    )


def _figure(gallery: Gallery, shown: Shown, hidden: bool = False) -> str:
    cells = [_picture_cell(shown.masked, "", "given", f"{100 * shown.ratio:.0f} % hole", "score")]
    for name in gallery.names:
        score = shown.scores[name]
        kind = "score top" if score.best else "score"
        cells.append(_picture_cell(shown.composites[name], "composite", name, score.text, kind))
    cells.append(_picture_cell(shown.truth, "truth", "truth", shown.name, "score"))
    width = f"repeat({len(cells)}, minmax(7rem, 16rem))"
    places = " ".join(
        f'data-{name}="{chosen.index(shown.position) if shown.position in chosen else ""}"'
        for name, chosen in (("disagreement", gallery.disagreement), ("worst", gallery.worst))
    )
    return (
        f'<figure {places}{" hidden" if hidden else ""}><div class="row" style="grid-template-columns: {width}">'
        f"{''.join(cells)}</div></figure>"
    )


def _picture_cell(picture: Picture, kind: str, name: str, caption: str, caption_kind: str) -> str:
    small = max(picture.shape[:2]) <= _SMALL
    kinds = " ".join(part for part in (kind, "pixels" if small else "") if part)
    attribute = f' class="{kinds}"' if kinds else ""
    return (
        f'<div class="cell"><span class="name" title="{escape(name)}">{escape(name)}</span>'
        f'<img{attribute} src="{_encoded(picture, small)}" alt="{escape(name)}: {escape(caption)}" '
        f'width="{picture.shape[1]}" height="{picture.shape[0]}">'
        f'<span class="{caption_kind}" title="{escape(caption)}">{escape(caption)}</span></div>'
    )


def _encoded(picture: Picture, lossless: bool) -> str:
    file = io.BytesIO()
    image = Image.fromarray(picture)
    if lossless:
        image.save(file, format="PNG", optimize=True)
        return _uri("image/png", file.getvalue())
    image.save(file, format="JPEG", quality=92, subsampling=0, optimize=True)
    return _uri("image/jpeg", file.getvalue())


def _uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
