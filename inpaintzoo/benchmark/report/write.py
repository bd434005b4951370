"""Writes the report of a benchmark: tables, numbers, charts, pictures, and a page with all of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from inpaintzoo.benchmark.report.bootstrap import Bootstrap
from inpaintzoo.benchmark.report.charts import draw_chart, encode_chart
from inpaintzoo.benchmark.report.gallery import Gallery, make_gallery
from inpaintzoo.benchmark.report.latex import to_latex
from inpaintzoo.benchmark.report.markdown import to_markdown
from inpaintzoo.benchmark.report.names import in_words
from inpaintzoo.benchmark.report.page import to_page
from inpaintzoo.benchmark.report.records import to_csv, to_json
from inpaintzoo.benchmark.report.sheet import draw_sheet, encode_png
from inpaintzoo.benchmark.report.tables import Table, make_tables
from inpaintzoo.benchmark.results import BenchmarkResults, Render, Truth
from inpaintzoo.files.writing import write_whole
from inpaintzoo.types import DataError

PICTURES = 8  # rows of a grid
_UNSAFE = re.compile(r"[^\w ()+,@=.-]")


def write_report(
    results: BenchmarkResults,
    folder: str | Path,
    render: Render,
    truth: Truth,
    pictures: int = PICTURES,
    bootstrap: Bootstrap | None = None,
) -> None:
    """Write the report into a folder; each file appears whole or not at all, and files of other names stay.

    `table.md`, `table.tex`, `table.csv`, `results.json` and `index.html` cover all sets and protocols;
    `images/METHOD/SET/PROTOCOL.csv` has the values of each image, `charts/SET/PROTOCOL.png` and `.svg` the metrics by
    hole ratio. `grid.png` and `grid-worst.png` show the first set's images across methods, sorted by disagreement and
    worst first; for further sets they are `grids/grid-SET.png` and `grids/grid-worst-SET.png`.

    Args:
        results: what the benchmark found.
        folder: the output folder, made if it does not exist.
        render: gives a contender's composites, as `Benchmark.render`; called once for each contender and set.
        truth: gives pictures and masks of a set, as `Benchmark.truth`.
        pictures: rows of a grid; 0 leaves pictures out.
        bootstrap: how confidence intervals are made.

    Raises:
        DataError: nothing was measured, or contenders were measured on different images.
        ValueError: a negative number of pictures.
    """
    if pictures < 0:
        raise ValueError(f"write_report: pictures must be 0 or more, got {pictures}")
    bootstrap = bootstrap or Bootstrap()
    out = _Folder(Path(folder))
    tables = make_tables(results, bootstrap)
    if not tables:
        raise DataError("there is nothing to report: no contender was measured on any set")
    images = _write_images(results, out)
    charts, chart_files = _write_charts(tables, out)
    made = [make_gallery(results, one, render, truth, pictures) for one in results.pair_sets if pictures]
    galleries = [gallery for gallery in made if gallery]
    files: dict[str, Any] = {"images": images, "charts": chart_files, "grids": _write_grids(galleries, out)}
    out.write("table.md", to_markdown(results, tables, bootstrap))
    out.write("table.tex", to_latex(results, tables, bootstrap))
    out.write("table.csv", to_csv(tables))
    out.write("results.json", to_json(results, tables, bootstrap, files))
    out.write("index.html", to_page(results, tables, bootstrap, charts, galleries))


class _Folder:
    """Writes files below a folder, whole or not at all."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, name: str, content: str | bytes) -> str:
        """Write a file and return its name, which is relative to the folder."""
        data = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
        return self.write_with(name, lambda file: Path(file).write_bytes(data))

    def write_with(self, name: str, write: Callable[[str], object]) -> str:
        """Let a function write a file, and return the file's name."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, write)
        return name


def file_names(names: Collection[str]) -> dict[str, str]:
    """A file name for each name; they differ even where capitals do not count."""
    found: dict[str, str] = {}
    for name in dict.fromkeys(names):
        base = _UNSAFE.sub("_", name).strip(". ") or "_"
        taken = {one.casefold() for one in found.values()}
        tries = (base if i == 1 else f"{base}-{i}" for i in range(1, len(names) + 2))
        found[name] = next(one for one in tries if one.casefold() not in taken)
    return found


def _write_images(results: BenchmarkResults, out: _Folder) -> list[str]:
    contenders = file_names([one.name for one in results.contenders])
    sets = file_names([one.name for one in results.pair_sets])
    protocols = file_names([one.name for one in results.protocols])
    files = []
    for (contender, pair_set, protocol), cell in results.cells.items():
        name = f"images/{contenders[contender]}/{sets[pair_set]}/{protocols[protocol]}.csv"
        files.append(out.write_with(name, cell.to_csv))
    return files


def _write_charts(tables: Sequence[Table], out: _Folder) -> tuple[dict[tuple[str, str], bytes], list[str]]:
    """SVG by set and protocol, and the names of the files."""
    sets = file_names([table.pair_set.name for table in tables])
    protocols = file_names([table.protocol.name for table in tables])
    charts: dict[tuple[str, str], bytes] = {}
    files: list[str] = []
    for table in tables:
        figure = draw_chart(table)
        if figure is not None:
            name = f"charts/{sets[table.pair_set.name]}/{protocols[table.protocol.name]}"
            svg = encode_chart(figure, "svg")
            charts[table.pair_set.name, table.protocol.name] = svg
            files += [out.write(f"{name}.svg", svg), out.write(f"{name}.png", encode_chart(figure, "png"))]
    return charts, files


def _write_grids(galleries: Sequence[Gallery], out: _Folder) -> list[str]:
    names = file_names([gallery.pair_set.name for gallery in galleries])
    files = []
    for i, gallery in enumerate(galleries):
        name = gallery.pair_set.name
        measure = f"{in_words(gallery.metric.name)}, protocol {gallery.protocol}"
        for kind, words, positions in (
            ("grid", "most disagreement first", gallery.disagreement),
            ("grid-worst", "worst cases first", gallery.worst),
        ):
            file = f"{kind}.png" if i == 0 else f"grids/{kind}-{names[name]}.png"
            files.append(out.write(file, encode_png(draw_sheet(gallery, positions, f"{name}: {words} ({measure})"))))
    return files
