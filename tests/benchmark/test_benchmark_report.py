"""Charts, pictures, page and files of a benchmark: every number and every pixel is in its place."""

import base64
import csv
import dataclasses
import functools
import io
import json
import math
import re
import xml.etree.ElementTree
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from PIL import Image
from report_toys import (
    PSNRS,
    SIZE,
    a_cell,
    a_cost,
    a_protocol,
    a_render,
    a_truth,
    colour_of,
    published,
    some_results,
)

from inpaintzoo.benchmark.report.bootstrap import Bootstrap
from inpaintzoo.benchmark.report.charts import draw_chart, encode_chart
from inpaintzoo.benchmark.report.gallery import make_gallery, order, pixels_of
from inpaintzoo.benchmark.report.latex import to_latex
from inpaintzoo.benchmark.report.markdown import to_markdown
from inpaintzoo.benchmark.report.names import in_words
from inpaintzoo.benchmark.report.page import to_page
from inpaintzoo.benchmark.report.sheet import cell_corner, draw_sheet
from inpaintzoo.benchmark.report.tables import make_tables
from inpaintzoo.benchmark.report.write import file_names, write_report
from inpaintzoo.benchmark.run.runner import Benchmark
from inpaintzoo.metrics import L1, PSNR
from inpaintzoo.metrics.results import ALL, Column
from inpaintzoo.types import DataError

# ---------------------------------------------------------------- charts


def test_a_chart_shows_the_values_of_each_bin_with_their_intervals():
    (table,) = make_tables(some_results())
    figure = draw_chart(table)
    psnr, l1, fid = (axes for axes in figure.axes if axes.axison)
    assert [axes.get_title(loc="left") for axes in (psnr, l1, fid)] == ["PSNR (dB) ↑", "L1 ↓", "FID ↓"]
    assert [label.get_text() for label in psnr.get_xticklabels()] == ["0-0.2\nN=3", "0.2-0.4\nN=3"]
    for axes, metric in ((psnr, "psnr"), (l1, "l1"), (fid, "fid")):
        for line, name in zip(axes.containers, PSNRS, strict=True):
            expected = [table.entries[group, name, metric] for group in ("0-0.2", "0.2-0.4")]
            assert list(line[0].get_ydata()) == [entry.value for entry in expected]
            if metric != "fid":
                ends = [segment[:, 1] for segment in line[2][0].get_segments()]
                np.testing.assert_allclose(ends, [entry.interval for entry in expected], rtol=1e-9)


def test_charts_are_the_same_each_time_and_names_are_no_formulas():
    results = some_results(called=["_a", "$x_1$ & <b>", "c"])
    (table,) = make_tables(results)
    svg = encode_chart(draw_chart(table), "svg")
    assert svg == encode_chart(draw_chart(table), "svg")
    assert xml.etree.ElementTree.fromstring(svg).tag.endswith("svg")
    labels = [text.get_text().strip() for text in draw_chart(table).legends[0].get_texts()]
    assert labels == ["_a", "$x_1$ & <b>", "c"]
    png = Image.open(io.BytesIO(encode_chart(draw_chart(table), "png")))
    assert png.size[0] > 600 and np.asarray(png.convert("L")).std() > 5


def test_one_bin_makes_bars_from_0_and_points_where_0_is_no_end():
    results = some_results()
    for cell in results.cells.values():
        for row in cell.rows:
            row["bin"] = "0-0.2"
    (table,) = make_tables(results)
    psnr, l1, _ = draw_chart(table).axes
    assert table.groups == [ALL]
    assert [bar.get_height() for bar in l1.patches] == [table.entries[ALL, name, "l1"].value for name in PSNRS]
    assert l1.get_ylim()[0] == 0
    points = [container[0].get_ydata()[0] for container in psnr.containers]
    assert points == [table.entries[ALL, name, "psnr"].value for name in PSNRS] and not psnr.patches
    assert 0 < psnr.get_ylim()[0] < min(points), "19 to 27 dB are told apart"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("psnr_hole", "PSNR in the hole"),
        ("l1_border", "L1 at the hole's border"),
        ("ms_ssim", "MS-SSIM"),
        ("ssim_uniform51", "SSIM (uniform51)"),
        ("lpips_alex", "LPIPS (AlexNet)"),
        ("u_ids", "U-IDS"),
        ("miou_hole", "mIoU in the hole"),
        ("diversity_lpips_alex", "diversity (LPIPS, AlexNet)"),
        ("diversity_l1", "diversity (L1)"),
        ("l1_relative", "L1 (relative)"),
        ("my_own", "my own"),
    ],
)
def test_metrics_are_named_in_words(name, words):
    assert in_words(name) == words


# ---------------------------------------------------------------- pictures


def test_images_are_ordered_by_disagreement_and_by_the_worst():
    psnr, l1 = Column.of(PSNR()), Column.of(L1())
    values = {"a": {0: 20.0, 1: 60.0, 2: 25.0, 3: 10.0}, "b": {0: 30.0, 1: 40.0, 2: 25.0, 3: 10.0}}
    # Errors 0.1 and 0.03, 0.001 and 0.01, 0.056 twice, 0.316 twice.
    assert order([0, 1, 2, 3, 4], values, psnr) == ([0, 1, 2, 3], [3, 0, 2, 1])
    values = {"a": {0: 0.1, 1: 0.2, 2: 0.5}, "b": {0: 0.3, 1: 0.25}}
    assert order([0, 1, 2], values, l1) == ([0, 1, 2], [2, 1, 0])


def test_the_grid_has_the_right_image_in_each_cell():
    results = some_results()
    gallery = make_gallery(results, results.pair_sets[0], a_render, a_truth, count=4)
    # Errors, in thousandths: image 3 has 141, 56, 58; 5 has 158, 89, 86; 0 has 100, 32, 31; 2 has 126, 63, 61.
    assert gallery.disagreement == [3, 5, 0, 2]
    assert gallery.worst == [5, 3, 2, 0]
    sheet = np.asarray(draw_sheet(gallery, gallery.disagreement, "title"))
    side = 256
    for row, position in enumerate(gallery.disagreement):
        for column, method in enumerate(["given", *PSNRS, "truth"]):
            x, y = cell_corner(column, row, side, side)
            cell = sheet[y : y + side, x : x + side]
            expected = np.empty((SIZE, SIZE, 3), np.uint8)
            expected[:] = colour_of("truth" if method == "given" else method, position)
            if method == "given":
                expected[:4, :4] = 255
            assert np.array_equal(cell, expected.repeat(side // SIZE, 0).repeat(side // SIZE, 1)), (row, method)
    assert {name: score.text for name, score in gallery.shown[5].scores.items()} == {
        "plain": "16.00 dB",
        "good": "21.00 dB",
        "alike": "21.30 dB",
    }
    assert [name for name, score in gallery.shown[5].scores.items() if score.best] == ["alike"]


def test_large_pictures_are_made_smaller_and_small_ones_keep_their_levels():
    image = torch.randint(0, 256, (3, 40, 20)) / 255
    assert np.array_equal(pixels_of(image), (image * 255).round().permute(1, 2, 0).numpy())
    assert pixels_of(torch.rand(3, 600, 300)).shape == (256, 128, 3)
    assert (pixels_of(torch.full((3, 600, 300), 0.2)) == 51).all()


def test_rendered_pictures_of_another_size_are_refused():
    results = some_results()
    with pytest.raises(DataError, match="contender 'plain' should give pictures"):
        make_gallery(results, results.pair_sets[0], lambda *_: torch.zeros(2, 3, 4, 4), a_truth, count=2)


# ---------------------------------------------------------------- the page


class Page(HTMLParser):
    """Checks that tags are closed in order, and collects what the tests look at."""

    def __init__(self, page):
        super().__init__()
        self.open, self.tags, self.figures, self.text = [], [], [], []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append((tag, attributes))
        if tag not in ("meta", "img"):
            self.open.append(tag)
        if tag == "figure":
            self.figures.append([])
        if tag == "img" and "figure" in self.open:
            self.figures[-1].append(attributes["src"])

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def pixels(uri):
    kind, _, content = uri.partition(",")
    assert kind == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))


def test_the_page_is_well_formed_and_needs_no_other_file():
    evil = "<script>alert('1')</script> & \"x\""
    protocol = a_protocol(published=(published("good", "Scenes", ALL),), pitfalls=("a < b",))
    results = some_results(called=["good", evil, "alike"], protocol=protocol)
    results.missing = {"zoo": {"u_ids": "weights missing: <a & b>"}}
    results.contenders[0] = dataclasses.replace(results.contenders[0], cost=a_cost())
    tables = make_tables(results)
    chart = encode_chart(draw_chart(tables[0]), "svg")
    page = Page(to_page(results, tables, Bootstrap(), {("scenes", "zoo"): chart}, []))
    assert [tag for tag, _ in page.tags].count("script") == 1
    text = " ".join(page.text)
    assert evil in text and "a < b" in text and "weights missing: <a & b>" in text and "cd" * 32 in text
    links = [value for _, attributes in page.tags for key, value in attributes.items() if key in ("src", "href")]
    assert links and all(link.startswith(("#", "data:")) for link in links)
    anchors = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    assert {link[1:] for link in links if link.startswith("#")} <= anchors
    assert "25 / 19.00 (-6.00)" in text  # the paper's number, ours and the difference
    tables_of_page = [attributes for tag, attributes in page.tags if tag == "table"]
    assert len(tables_of_page) == 4 and all(one == {"class": "sortable"} for one in tables_of_page)


HOSTILE = [
    "<script>alert('1')</script>",
    "\"'><img src=x onerror=alert(1)>&amp;",
    "`code` | *bold* _it_ [a](b) <!--",
    "one\n\n# head\n\n| x | y |\r\n- item\t```",
    "../../etc\\passwd\\input{x}}{$%&#^~\n%",
    "{{ 7 * 7 }} {% raw %} {# x #} << x >> <% y %>",
]


@functools.cache
def reported(name):
    """The three pages of a benchmark in which a text stands wherever a user's text may stand."""
    protocol = a_protocol(name, published=(published(name, name, ALL),), pitfalls=(name,), split=name, masks=name)
    results = some_results(called=[name, "good", "alike"], pair_set=name, protocol=protocol, facts={name: name})
    results.missing = {name: {"u_ids": name}}
    results.run = {"device": name, name: name}
    results.contenders[0] = dataclasses.replace(results.contenders[0], source=name, cost=a_cost(device=name))
    results.cells[name, name, name].notes.append(name)
    render = lambda contender, *rest: a_render({name: "plain"}.get(contender, contender), *rest)  # noqa: E731
    for cell in results.cells.values():
        for row in cell.rows:
            row["name"] = name
    tables = make_tables(results)
    gallery = make_gallery(results, results.pair_sets[0], render, a_truth, count=2)
    draw_sheet(gallery, gallery.disagreement, name)
    chart = encode_chart(draw_chart(tables[0]), "svg")
    html = to_page(results, tables, Bootstrap(), {(name, name): chart}, [gallery])
    return html, to_markdown(results, tables, Bootstrap()), to_latex(results, tables, Bootstrap())


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_names(name):
    """A text changes neither the tags of the page, nor the cells of Markdown, nor the lines and groups of TeX."""
    (html, md, tex), (plain_html, plain_md, plain_tex) = reported(name), reported("harmless")
    page, plain = Page(html), Page(plain_html)
    shape = [[(tag, sorted(attributes)) for tag, attributes in one.tags] for one in (page, plain)]
    assert shape[0] == shape[1]
    assert " ".join(name.split()) in [" ".join(text.split()) for text in page.text]
    assert [tag for tag, _ in page.tags].count("script") == 1

    def marks(line):
        bare = re.sub(r"\\.|(`+)(?!`)(.*?)(?<!`)\1(?!`)", "", line)  # without escaped letters and code
        return re.sub(r"[^|*`<>\[\]#~]", "", bare)

    assert list(map(marks, md.splitlines())) == list(map(marks, plain_md.splitlines()))

    def commands(line):
        bare = re.sub(r"\\[{}%&#$_]|\\text\w+\{\}", "", line)
        return "%" if line.startswith("%") else re.sub(r"[^\\{}%&#$_^~]", "", bare)

    assert list(map(commands, tex.splitlines())) == list(map(commands, plain_tex.splitlines()))


def test_the_page_sorts_by_full_numbers():
    results = some_results()
    tables = make_tables(results)
    page = Page(to_page(results, tables, Bootstrap(), {}, []))
    values = [attributes["data-value"] for tag, attributes in page.tags if tag == "td"]
    assert values[:4] == ["plain", "19.0", repr(tables[0].entries[ALL, "plain", "l1"].value), "80.123"]


def test_the_page_shows_the_same_images_across_methods():
    results = some_results()
    gallery = make_gallery(results, results.pair_sets[0], a_render, a_truth, count=3)
    page = Page(to_page(results, make_tables(results), Bootstrap(), {}, [gallery]))
    assert len(page.figures) == len(gallery.shown)
    for position, cells in zip(gallery.disagreement, page.figures, strict=False):
        for method, uri in zip([*PSNRS, "truth"], cells[1:], strict=True):
            assert (pixels(uri) == colour_of(method, position)).all()
    figures = [attributes for tag, attributes in page.tags if tag == "figure"]
    assert [one["data-disagreement"] for one in figures][:3] == ["0", "1", "2"]


# ---------------------------------------------------------------- files


def test_names_become_file_names_that_stay_in_the_folder_and_apart():
    names = ["../../evil", "A", "a", "x/y", "x_y", "..", "plain name"]
    found = file_names(names)
    assert found == {
        "../../evil": "_.._evil",
        "A": "A",
        "a": "a-2",
        "x/y": "x_y",
        "x_y": "x_y-2",
        "..": "_",
        "plain name": "plain name",
    }


def test_a_report_is_complete_and_stays_in_its_folder(tmp_path):
    results = some_results(called=["../plain", "good", "alike"])
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("kept")
    render = lambda contender, *rest: a_render(contender.removeprefix("../"), *rest)  # noqa: E731
    write_report(results, tmp_path / "out", render, a_truth, pictures=2)
    files = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    tops = ["mine.txt", "table.md", "table.tex", "table.csv", "results.json", "index.html", "grid.png"]
    assert files == {
        *(f"out/{name}" for name in [*tops, "grid-worst.png", "charts/scenes/zoo.svg", "charts/scenes/zoo.png"]),
        *(f"out/images/{name}/scenes/zoo.csv" for name in ("_plain", "good", "alike")),
    }
    assert (tmp_path / "out" / "mine.txt").read_text() == "kept"
    with (tmp_path / "out" / "images" / "good" / "scenes" / "zoo.csv").open() as file:
        assert [float(line["psnr"]) for line in csv.DictReader(file)] == PSNRS["good"]


def test_results_json_holds_what_is_needed_to_repeat_a_run(tmp_path):
    cells = {"plain": a_cell("plain", psnrs=[math.nan] * 6)}
    results = some_results(cells=cells, protocol=a_protocol(published=(published("good", "Scenes", ALL),)))
    results.missing = {"zoo": {"u_ids": "weights missing"}}
    write_report(results, tmp_path, a_render, a_truth, pictures=0)

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    content = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"), parse_constant=refuse)
    assert content["run"] == results.run and content["missing"] == results.missing
    assert content["bootstrap"] == {"resamples": 1000, "level": 0.95, "seed": 0}
    assert content["sets"][0]["manifest_sha256"] == "cd" * 32 and content["sets"][0]["count"] == 6
    assert content["contenders"][1]["sha256"] == "ab" * 32
    assert content["protocols"][0]["rules"] == results.protocols[0].rules()
    (table,) = content["tables"]
    assert table["images"] == {ALL: 6, "0-0.2": 3, "0.2-0.4": 3}
    assert table["values"][ALL]["good"]["psnr"]["value"] == 27.0
    assert table["values"][ALL]["plain"]["psnr"]["value"] is None
    assert table["published"][0]["differences"] == {"psnr": 2.0}
    assert all((tmp_path / name).is_file() for names in content["files"].values() for name in names)
    assert content["files"]["grids"] == [] and not (tmp_path / "grid.png").exists()


def test_a_report_of_nothing_is_refused(tmp_path):
    results = some_results()
    with pytest.raises(ValueError, match="pictures must be 0 or more, got -1"):
        write_report(results, tmp_path / "out", a_render, a_truth, pictures=-1)
    results.cells = {}
    with pytest.raises(DataError, match="nothing to report"):
        write_report(results, tmp_path / "out", a_render, a_truth)
    assert not (tmp_path / "out").exists()


def test_a_benchmark_s_report_shows_its_own_pictures(tmp_path):
    from inpaintzoo.benchmark.run.contenders import Fill
    from inpaintzoo.data import ScenesData
    from inpaintzoo.data.masks import CentreSquare, RandomRectangles
    from inpaintzoo.fills import Diffusion, MeanColour

    scenes = {
        name: ScenesData(test_size=3, image_size=32, num_workers=0, test_masks=masks)
        for name, masks in (("squares", CentreSquare()), ("boxes", RandomRectangles()))
    }
    fills = {"mean colour": Fill(MeanColour()), "diffusion": Fill(Diffusion())}
    run = Benchmark(fills, scenes, [a_protocol()], tmp_path, cost=False, metrics=["psnr", "l1"], batch_size=2)
    run.prepare()
    run.measure()
    results = run.results()
    write_report(results, tmp_path, run.render, run.truth, pictures=2)
    gallery = make_gallery(results, results.pair_sets[1], run.render, run.truth, count=2)
    for position, shown in gallery.shown.items():
        image, mask = run.truth("boxes", [position])
        assert np.array_equal(shown.truth, pixels_of(image[0]))
        known = mask[0, 0].numpy() == 0
        for name in fills:
            picture = shown.composites[name]
            assert np.array_equal(picture[known], shown.truth[known])
            error = (run.render(name, "boxes", [position]) - image).square().mean().item()
            assert shown.scores[name].text == f"{-10 * math.log10(error):.2f} dB"
    grids = ["grid.png", "grid-worst.png", "grids/grid-boxes.png", "grids/grid-worst-boxes.png"]
    assert json.loads((tmp_path / "results.json").read_text())["files"]["grids"] == grids
    assert len(list((tmp_path / "charts").glob("*/zoo.svg"))) == 2
