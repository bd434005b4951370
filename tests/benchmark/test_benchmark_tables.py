"""Tables of a benchmark: intervals, marks, the papers' numbers, and the files that hold them."""

import csv
import dataclasses
import io
import math
import re

import numpy as np
import pytest
import scipy.stats
from report_toys import PSNRS, a_cell, a_cost, a_protocol, published, some_results

from inpaintzoo.benchmark.report import bootstrap as bootstrap_module
from inpaintzoo.benchmark.report.bootstrap import Bootstrap, image_weights
from inpaintzoo.benchmark.report.comparison import compare
from inpaintzoo.benchmark.report.latex import to_latex
from inpaintzoo.benchmark.report.markdown import to_markdown
from inpaintzoo.benchmark.report.records import to_csv
from inpaintzoo.benchmark.report.tables import make_tables
from inpaintzoo.benchmark.report.terminal import terminal_report
from inpaintzoo.benchmark.report.wording import cost_cells, left_out, scaled
from inpaintzoo.metrics import PSNR, MetricResults
from inpaintzoo.metrics.results import ALL, Column, decimals_of, number
from inpaintzoo.types import DataError

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
    assert "PSNR: 6 (alike) of 6 images have no hole and do not count." in table.remarks


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


def test_terminal_report_and_test_print_the_same_mean_alike():
    results = some_results()
    (table,) = make_tables(results)
    rows = [line.split() for line in terminal_report(results).splitlines()]
    for name in PSNRS:
        texts = [table.entries[ALL, name, column.name].text for column in table.columns]
        assert [name, *texts] in rows
    single = make_tables(some_results(names=("plain",)))[0].entries
    texts = [single[ALL, "plain", metric].text for metric in ("psnr", "l1", "fid")]
    assert a_cell("plain").table().splitlines()[5].split() == [ALL, "6", *texts]


TABLE = """\
| holes   |   N | method | PSNR (dB) ↑ |      L1 ↓ |   FID ↓ |
|:--------|----:|:-------|--------------:|------------:|----------:|
| all     |   6 | plain  |         19.00 |    *0.0733* |     80.12 |
| all     |   6 | good   |     *27.00* ≈ |  **0.0250** |   *40.50* |
| all     |   6 | alike  |     **27.02** | **0.0250** ≈ | **39.25** |
"""


def test_markdown_table():
    results = some_results()
    page = to_markdown(results, make_tables(results), Bootstrap())
    found = [[cell.strip() for cell in line.split("|")] for line in page.splitlines() if line.startswith("|")]
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
    assert one.cell("psnr", table.decimals["psnr"]) == "25 / 23.33 (-1.67)" and one.cell("l1", 4) == "-"
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


# ---------------------------------------------------------------- costs


def test_costs_are_readable():
    cells = ["x", "12.3 M", "3.21 G", "12.3 (11.9 to 13.2)", "5 MiB", "256x256", "cpu, 1 thread", "float32"]
    assert cost_cells("x", a_cost()) == cells
    assert cost_cells("x", a_cost(macs=None, peak_bytes=None))[2::2][:2] == ["-", "-"]
    assert [scaled(n) for n in (0, 999, 1000, 999_900, 2 * 10**12, 10**16)] == [
        *("0", "999", "1 K", "1 M", "2 T", "10,000 T")
    ]
