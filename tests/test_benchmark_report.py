"""The report of a benchmark: every number, mark and pixel stands where it belongs."""

import base64
import csv
import dataclasses
import io
import json
import math
import re
import xml.etree.ElementTree
from html.parser import HTMLParser

import numpy as np
import pytest
import scipy.stats
import torch
from PIL import Image

from inpaintzoo.benchmark import bootstrap as bootstrap_module
from inpaintzoo.benchmark.bootstrap import Bootstrap, image_weights
from inpaintzoo.benchmark.charts import draw_chart, encode_chart
from inpaintzoo.benchmark.comparison import compare
from inpaintzoo.benchmark.gallery import make_gallery, order, picture_of
from inpaintzoo.benchmark.latex import to_latex
from inpaintzoo.benchmark.markdown import to_markdown
from inpaintzoo.benchmark.page import to_page
from inpaintzoo.benchmark.protocol import Protocol, Published
from inpaintzoo.benchmark.records import to_csv
from inpaintzoo.benchmark.report import file_names, write_report
from inpaintzoo.benchmark.results import BenchmarkResults, Contender, Cost, PairSet
from inpaintzoo.benchmark.runner import Benchmark
from inpaintzoo.benchmark.sheet import cell_corner, draw_sheet
from inpaintzoo.benchmark.tables import decimals_of, make_tables, number
from inpaintzoo.benchmark.wording import cost_cells, left_out, scaled
from inpaintzoo.metrics import FID, L1, PSNR, MetricResults
from inpaintzoo.metrics.results import ALL, Column
from inpaintzoo.types import DataError

SIZE = 16
BINS = (0.2, 0.4)
RATIOS = [0.1, 0.15, 0.3, 0.35, 0.1, 0.3]
PSNRS = {
    "plain": [20.0, 22.0, 18.0, 17.0, 21.0, 16.0],
    "good": [30.0, 33.0, 24.0, 25.0, 29.0, 21.0],
    "alike": [30.2, 32.7, 24.3, 24.8, 28.8, 21.3],
}
L1S = {
    "plain": [0.05, 0.04, 0.09, 0.1, 0.04, 0.12],
    "good": [0.01, 0.01, 0.03, 0.03, 0.02, 0.05],
    "alike": [0.01, 0.01, 0.03, 0.03, 0.02, 0.05],
}
FIDS = {"plain": 80.123, "good": 40.5, "alike": 39.25}


def a_protocol(name="zoo", published=(), **settings):
    metrics = (PSNR(), L1(), FID())
    return Protocol(name, "A title", "a source", metrics, bins=BINS, published=published, **settings)


def a_cell(name, batch=1, psnrs=None):
    rows = [
        {"index": i, "name": f"image-{i}", "ratio": ratio, "bin": "0-0.2" if ratio < 0.2 else "0.2-0.4"}
        for i, ratio in enumerate(RATIOS)
    ]
    for row, psnr, l1 in zip(rows, psnrs or PSNRS[name], L1S[name], strict=True):
        row |= {"psnr": psnr, "l1": l1}
    columns = [Column.of(metric) for metric in (PSNR(), L1(), FID())]
    fids = {group: {"fid": FIDS[name]} for group in ("0-0.2", "0.2-0.4", ALL)}
    return MetricResults(rows, columns, ["0-0.2", "0.2-0.4", "0.4-1"], "composite", fids, batch=batch)


def some_results(names=tuple(PSNRS), called=None, pair_set="scenes", protocol=None, facts=None, cells=None):
    """A benchmark of three methods on six images."""
    protocol = protocol or a_protocol()
    called = dict(zip(names, called or names, strict=True))
    return BenchmarkResults(
        contenders=[
            Contender(called[name], "weights", f"{name}.safetensors", "ab" * 32, dict(facts or {})) for name in names
        ],
        pair_sets=[PairSet(pair_set, "drawn scenes", 6, SIZE, SIZE, f"manifests/{pair_set}.jsonl", "cd" * 32)],
        protocols=[protocol],
        cells={(called[name], pair_set, protocol.name): (cells or {}).get(name) or a_cell(name) for name in names},
        run={"date": "2026-01-02", "command": "inpaintzoo benchmark --x `y`", "seed": "0"},
    )


def colour_of(contender, position):
    """The colour that a toy contender fills an image with, in 8-bit levels."""
    methods = ["truth", *PSNRS]
    return 20 + 40 * methods.index(contender), 10 * position, 200


def a_render(contender, pair_set, positions):
    colours = torch.tensor([colour_of(contender, position) for position in positions]) / 255
    return colours[:, :, None, None].expand(-1, -1, SIZE, SIZE)


def a_truth(pair_set, positions):
    mask = torch.zeros(len(positions), 1, SIZE, SIZE)
    mask[:, :, :4, :4] = 1
    return a_render("truth", pair_set, positions), mask


# ---------------------------------------------------------------- intervals


def test_resampled_means_are_those_of_a_plain_loop():
    values = np.random.default_rng(1).normal(size=(2, 7))
    chosen = Bootstrap(resamples=200, seed=5)
    draws = np.random.default_rng(5).integers(7, size=(200, 7))
    expected = [[values[series][draw].mean() for series in range(2)] for draw in draws]
    np.testing.assert_allclose(chosen.means(values, np.ones_like(values)), expected, rtol=1e-12)


def test_intervals_do_not_depend_on_how_much_is_in_memory(monkeypatch):
    values = np.random.default_rng(1).normal(size=(3, 31))
    whole = Bootstrap(resamples=150).means(values, np.ones_like(values))
    monkeypatch.setattr(bootstrap_module, "_CELLS", 200)
    np.testing.assert_array_equal(Bootstrap(resamples=150).means(values, np.ones_like(values)), whole)


def test_intervals_agree_with_scipy():
    values = np.random.default_rng(2).gamma(2.0, size=80)
    chosen = Bootstrap(resamples=20000, level=0.9, seed=3)
    ours = chosen.interval(chosen.means(values[None], np.ones((1, 80)))[:, 0])
    result = scipy.stats.bootstrap(
        (values,), np.mean, n_resamples=20000, confidence_level=0.9, method="percentile", random_state=4
    )
    theirs = result.confidence_interval
    width = theirs.high - theirs.low
    assert abs(ours[0] - theirs.low) < 0.03 * width and abs(ours[1] - theirs.high) < 0.03 * width


@pytest.mark.parametrize("batch", [1, 2, 4, 10])
def test_weights_of_images_give_the_mean_of_the_results(batch):
    values = [3.0, None, 5.0, 8.0, 1.0, 2.5, None, 4.0, 100.0]
    rows = [{"index": i, "name": str(i), "ratio": 0.1, "bin": "0-0.2", "psnr": value} for i, value in enumerate(values)]
    expected = MetricResults(rows, [Column.of(PSNR())], ["0-0.2"], "composite", batch=batch).summary()[ALL]["psnr"]
    weights = image_weights(values, batch)
    found = sum(w * (v or 0.0) for w, v in zip(weights, values, strict=True)) / weights.sum()
    assert found == pytest.approx(expected, rel=1e-12)


def test_series_without_numbers_have_no_interval():
    chosen = Bootstrap(resamples=100)
    values = np.array([[math.nan] * 4, [1.0, math.nan, 2.0, 3.0], [1.0, math.nan, 2.0, 3.0], [1.0, math.inf, 2.0, 3.0]])
    weights = np.array([[0.0] * 4, [1.0] * 4, [1.0, 0.0, 1.0, 1.0], [1.0] * 4])
    means = chosen.means(values, weights)
    intervals = [chosen.interval(means[:, series]) for series in range(4)]
    assert intervals[0] is None and intervals[1] is None and intervals[3] is None
    assert 1.0 <= intervals[2][0] < intervals[2][1] <= 3.0


@pytest.mark.parametrize("settings", [{"resamples": 10}, {"level": 1.0}, {"level": 0.0}])
def test_a_bootstrap_refuses_what_gives_no_interval(settings):
    with pytest.raises(ValueError, match=r"resamples must be 100 or more and level in \(0, 1\)"):
        Bootstrap(**settings)


# ---------------------------------------------------------------- tables


def test_differences_are_paired():
    """A small but steady difference between methods is significant, however far apart the images are."""
    steady = [value - 0.2 for value in PSNRS["alike"]]
    (table,) = make_tables(some_results(cells={"plain": a_cell("plain", psnrs=steady)}))
    entries = {name: table.entries[ALL, name, "psnr"] for name in PSNRS}
    assert entries["alike"].place == 1 and entries["alike"].difference is None
    assert entries["plain"].difference == pytest.approx((-0.2, -0.2)) and not entries["plain"].tied
    assert entries["good"].tied  # now better, now worse
    low, high = entries["plain"].interval
    assert low < entries["alike"].value < high  # the intervals alone would not tell them apart


def test_paired_differences_are_those_of_a_plain_loop():
    (table,) = make_tables(some_results(), Bootstrap(resamples=300, level=0.8, seed=9))
    draws = np.random.default_rng(9).integers(6, size=(300, 6))
    best, plain = np.array(PSNRS["alike"]), np.array(PSNRS["plain"])
    expected = np.percentile([(plain - best)[draw].mean() for draw in draws], [10, 90])
    assert table.entries[ALL, "plain", "psnr"].difference == pytest.approx(tuple(expected))


def test_places_of_numbers_that_are_printed_alike_are_shared():
    (table,) = make_tables(some_results())
    places = {name: table.entries[ALL, name, "l1"].place for name in PSNRS}
    assert places == {"plain": 2, "good": 1, "alike": 1}
    assert {name: table.entries[ALL, name, "fid"].place for name in PSNRS} == {"plain": 0, "good": 2, "alike": 1}
    assert table.entries[ALL, "alike", "l1"].tied  # equal in each image
    assert table.entries[ALL, "plain", "fid"].interval is None and not table.entries[ALL, "plain", "fid"].tied


def test_a_single_method_has_nothing_to_be_compared_with():
    (table,) = make_tables(some_results(names=("good",)))
    assert {entry.place for entry in table.entries.values()} == {0}
    assert table.entries[ALL, "good", "psnr"].interval is not None
    (table,) = make_tables(some_results(names=("good", "plain")))
    assert {name: table.entries[ALL, name, "psnr"].place for name in ("good", "plain")} == {"good": 1, "plain": 0}


def test_values_that_are_missing_or_no_numbers_are_never_best():
    psnrs = {"good": [math.nan, *PSNRS["good"][1:]], "alike": [None] * 6}
    cells = {name: a_cell(name, psnrs=values) for name, values in psnrs.items()}
    (table,) = make_tables(some_results(cells=cells))
    texts = {name: table.entries[ALL, name, "psnr"].text for name in PSNRS}
    assert texts == {"plain": "19.00", "good": "nan", "alike": "-"}
    assert all(table.entries[ALL, name, "psnr"].place == 0 for name in PSNRS)
    assert "psnr: images that have no hole and do not count, of 6: alike 6." in table.remarks


def test_means_over_batches_are_resampled_over_the_images_that_count():
    cells = {name: a_cell(name, batch=4) for name in PSNRS}
    (table,) = make_tables(some_results(cells=cells, protocol=a_protocol(mean="batches", batch=4)))
    entry = table.entries[ALL, "good", "psnr"]
    assert entry.value == pytest.approx(np.mean(PSNRS["good"][:4]))
    assert min(PSNRS["good"][:4]) <= entry.interval[0] <= entry.value <= entry.interval[1] <= 33.0
    assert "The last 2 of 6 images fill no batch and do not count over all images." in table.remarks


def test_methods_that_were_measured_on_different_images_are_not_compared():
    shuffled = a_cell("alike")
    shuffled.rows[0]["name"], shuffled.rows[1]["name"] = shuffled.rows[1]["name"], shuffled.rows[0]["name"]
    with pytest.raises(DataError, match="'plain' and 'alike' were measured on different images"):
        make_tables(some_results(cells={"alike": shuffled}))


def test_a_metric_that_is_missing_on_another_set_only_is_not_called_missing():
    results = some_results()
    results.missing = {"zoo": {"fid": "weights missing: a.pth.", "u_ids": "weights missing: a.pth"}}
    (table,) = make_tables(results)
    assert table.missing == {"u_ids": "weights missing: a.pth"}
    sentence = "Not measured: fid, u_ids. Reason: weights missing: a.pth."
    assert left_out(results.missing["zoo"]) == [sentence]


@pytest.mark.parametrize(
    ("unit", "largest", "value", "text"),
    [
        ("dB", 30.0, 23.456, "23.46"),
        ("%", 0.01, 0.0123, "0.01"),
        ("", 0.95, 0.94126, "0.9413"),
        ("", 0.02, 0.004567, "0.00457"),
        ("", 23.4, 23.456, "23.46"),
        ("", 230.4, 230.456, "230.5"),
        ("", 0.0, None, "-"),
        ("dB", 0.0, math.inf, "inf"),
    ],
)
def test_numbers_have_the_decimals_of_their_unit(unit, largest, value, text):
    assert number(value, decimals_of(unit, largest)) == text


TABLE = """\
| holes   |   N | method | `psnr` (dB) ↑ |      `l1` ↓ |   `fid` ↓ |
| ------- | ---:| ------ | -------------:| -----------:| ---------:|
| all     |   6 | plain  |         19.00 |    *0.0733* |     80.12 |
| all     |   6 | good   |     *27.00* ≈ |  **0.0250** |   *40.50* |
| all     |   6 | alike  |     **27.02** | **0.0250** ≈ | **39.25** |
"""


def test_markdown_table():
    results = some_results()
    page = to_markdown(results, make_tables(results), Bootstrap())
    found = [[cell.strip() for cell in line.split("|")] for line in page.splitlines() if line.startswith("| ")]
    expected = [[cell.strip() for cell in line.split("|")] for line in TABLE.splitlines()]
    assert found[0] == expected[0] and found[2:5] == expected[2:]
    assert found[5][:5] == ["", "0-0.2", "3", "plain", "21.00"]  # (20 + 22 + 21) / 3
    assert found[8][:5] == ["", "0.2-0.4", "3", "plain", "17.00"]
    assert len({len(line) for line in page.splitlines() if re.match(r"\| (holes|all|0-0|0\.2)", line)}) == 1
    assert "N = 6 pairs, 16x16" in page and "cd" * 32 in page
    assert "`` inpaintzoo benchmark --x `y` ``" in page


def test_latex_is_balanced_and_its_lines_are_complete():
    results = some_results(called=["a_b & 50%", r"c\d{e}", "~f^g#$<>"])
    results.contenders[0] = dataclasses.replace(results.contenders[0], cost=a_cost())
    page = to_latex(results, make_tables(results), Bootstrap())
    lines = [line.strip() for line in page.splitlines() if not line.startswith("%")]
    plain = re.sub(r"\\[{}%&#$_]", "", "\n".join(lines))
    depth = 0
    for letter in plain:
        depth += {"{": 1, "}": -1}.get(letter, 0)
        assert depth >= 0
    assert depth == 0
    for name in ("table", "tabular"):
        assert plain.count(rf"\begin{{{name}}}") == plain.count(rf"\end{{{name}}}") == 2
    assert plain.count(r"\toprule") == plain.count(r"\bottomrule") == 2
    rows = [line for line in plain.splitlines() if line.endswith(r"\\") and "multicolumn" not in line]
    assert [row.count(" & ") for row in rows] == [3] * 10 + [7] * 2
    assert re.findall(r"(?<!\\)[#_^&%](?![\s{])", "\n".join(rows)) == []
    assert r"a\_b \& 50\%" in page and r"c\textbackslash{}d\{e\}" in page
    assert r"\textbf{27.02}" in page and r"\underline{27.00}\rlap{$^{\approx}$}" in page


def test_csv_gives_back_each_bit():
    (table,) = tables = make_tables(some_results())
    lines = list(csv.DictReader(io.StringIO(to_csv(tables))))
    assert len(lines) == len(table.entries) == 3 * 3 * 3
    for line in lines:
        entry = table.entries[line["holes"], line["method"], line["metric"]]
        assert float(line["value"]) == entry.value
        assert int(line["images"]) == table.counts[line["holes"]]
        interval = (float(line["low"]), float(line["high"])) if line["low"] else None
        assert interval == entry.interval and (line["metric"] == "fid") == (interval is None)
        difference = (float(line["difference_low"]), float(line["difference_high"])) if line["difference_low"] else None
        assert difference == entry.difference


# ---------------------------------------------------------------- papers


def published(method, data, masks, psnr=25.0):
    return Published(method, data, masks, {"psnr": psnr}, "a paper, table 1")


def comparisons(rows, facts=None, pair_set="scenes", called="mine"):
    results = some_results(
        names=("good",), called=[called], protocol=a_protocol(published=tuple(rows)), facts=facts, pair_set=pair_set
    )
    (table,) = make_tables(results)
    return compare(table, results), table


def test_a_paper_s_numbers_stand_beside_ours_with_the_difference():
    found, table = comparisons([published("SPN", "Places2", "0.2-0.4"), published("Other", "Places2", ALL)], NETWORK)
    (one,) = found
    assert (one.contender, one.group, one.same_data, one.same_bin) == ("mine", "0.2-0.4", False, True)
    assert one.ours["psnr"] == pytest.approx((24 + 25 + 21) / 3)
    assert one.differences["psnr"] == pytest.approx(70 / 3 - 25)
    assert one.cell("psnr", "dB") == "25 / 23.33 (-1.67)" and one.cell("l1", "") == "-"
    words = one.words(table.pair_set)
    assert words == "paper's data: Places2, holes: 0.2-0.4; ours: drawn scenes; ratio 0.2-0.4 (other data)"


NETWORK = {"network": "SPN", "arguments": '{"stochastic": false, "width": 4}'}
STOCHASTIC = {"network": "SPN", "arguments": '{"stochastic": true, "width": 4}'}


def test_rows_of_our_data_are_preferred_and_empty_bins_left_out():
    rows = [
        published("SPN", "CelebA-HQ, 2,000 test images", ALL),
        published("SPN", "CelebA, first 12,000 of test", ALL),
        published("SPN", "Places2", "0.4-0.6"),
    ]
    found, _ = comparisons(rows, NETWORK, pair_set="celeba-hq test")
    assert [(one.row.data, one.same_data) for one in found] == [("CelebA-HQ, 2,000 test images", True)]
    found, _ = comparisons(rows, NETWORK)
    assert [one.row.masks for one in found] == [ALL, ALL] and not any(one.same_data for one in found)


def test_methods_are_found_by_name_by_argument_and_by_class():
    rows = [published("SPN", "X", ALL), published("SPN, stochastic", "X", ALL), published("PEN-Net", "X", ALL)]
    assert [one.row.method for one in comparisons(rows, NETWORK)[0]] == ["SPN"]
    assert [one.row.method for one in comparisons(rows, STOCHASTIC)[0]] == ["SPN, stochastic"]
    assert [one.row.method for one in comparisons(rows, called="pennet")[0]] == ["PEN-Net"]
    assert comparisons(rows, called="mine")[0] == []
    guided = {"network": "SGENet", "arguments": '{"variant": "guided"}'}
    assert [one.row.method for one in comparisons([*rows, published("SG-Net", "X", ALL)], guided)[0]] == ["SG-Net"]
    assert comparisons([published("SGENet", "X", ALL)], guided)[0] == []


# ---------------------------------------------------------------- charts


def test_a_chart_shows_the_values_of_each_bin_with_their_intervals():
    (table,) = make_tables(some_results())
    figure = draw_chart(table)
    psnr, l1, fid = (axes for axes in figure.axes if axes.axison)
    assert [axes.get_title(loc="left") for axes in (psnr, l1, fid)] == ["psnr (dB) ↑", "l1 ↓", "fid ↓"]
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


def test_one_bin_makes_bars():
    results = some_results()
    for cell in results.cells.values():
        for row in cell.rows:
            row["bin"] = "0-0.2"
    (table,) = make_tables(results)
    axes = draw_chart(table).axes[0]
    assert table.groups == [ALL]
    assert [bar.get_height() for bar in axes.patches] == [table.entries[ALL, name, "psnr"].value for name in PSNRS]


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
    assert np.array_equal(picture_of(image), (image * 255).round().permute(1, 2, 0).numpy())
    assert picture_of(torch.rand(3, 600, 300)).shape == (256, 128, 3)
    assert (picture_of(torch.full((3, 600, 300), 0.2)) == 51).all()


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


def a_cost(**changed):
    cost = Cost(12_345_678, 3_210_000_000, 12.345, (11.9, 13.2), 5 * 2**20, 256, 256, "cpu, 1 thread", "float32")
    return dataclasses.replace(cost, **changed)


def test_costs_are_readable():
    cells = ["x", "12.3 M", "3.21 G", "12.3 (11.9 to 13.2)", "5 MiB", "256x256", "cpu, 1 thread", "float32"]
    assert cost_cells("x", a_cost()) == cells
    assert cost_cells("x", a_cost(macs=None, peak_bytes=None))[2::2][:2] == ["-", "-"]
    assert [scaled(n) for n in (0, 999, 1000, 999_900, 2 * 10**12, 10**16)] == [
        *("0", "999", "1 K", "1 M", "2 T", "10,000 T")
    ]


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
        raise AssertionError(f"{constant} is no JSON")

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
    from inpaintzoo.benchmark.contenders import Fill
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
        assert np.array_equal(shown.truth, picture_of(image[0]))
        known = mask[0, 0].numpy() == 0
        for name in fills:
            picture = shown.composites[name]
            assert np.array_equal(picture[known], shown.truth[known])
            error = (run.render(name, "boxes", [position]) - image).square().mean().item()
            assert shown.scores[name].text == f"{-10 * math.log10(error):.2f} dB"
    grids = ["grid.png", "grid-worst.png", "grids/grid-boxes.png", "grids/grid-worst-boxes.png"]
    assert json.loads((tmp_path / "results.json").read_text())["files"]["grids"] == grids
    assert len(list((tmp_path / "charts").glob("*/zoo.svg"))) == 2
