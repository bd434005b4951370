"""The named protocols: two by hand, perfect scores for perfect predictions, the papers' numbers and the page."""

import dataclasses
import hashlib
import json

import numpy as np
import pytest
import torch
from benchmark_toys import protocol as toy_protocol
from benchmark_toys import ran
from metric_toys import MeanDifference
from places import ROOT
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from benchmarks.protocols_page import BEGIN, renewed
from inpaintzoo.benchmark.protocols.named import PROTOCOLS, MetricWeights, protocol
from inpaintzoo.benchmark.protocols.paper_tables import rows, without_protocol
from inpaintzoo.benchmark.protocols.protocol import Protocol, Published
from inpaintzoo.data import SceneSource
from inpaintzoo.fills import diffusion_fill
from inpaintzoo.metrics import (
    FID,
    L1,
    LPIPS,
    PSNR,
    SSIM,
    DiversityLPIPS,
    L1Grey,
    L1Hole,
    L1Relative,
    MetricSuite,
    MIoU,
)
from inpaintzoo.metrics.extractors import BatchFeatures
from inpaintzoo.metrics.inception_network import Inception, InceptionMetric
from inpaintzoo.metrics.suite import share_extractors
from inpaintzoo.types import ConfigError, InpaintzooError

PAGE = ROOT / "docs" / "protocols.md"


def pictures(count, size, seed=0):
    """8-bit truths, float predictions between 8-bit levels, and masks with holes of very different sizes."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 7, 7, generator=generator)
    image = torch.nn.functional.interpolate(coarse, size=(size, size), mode="bilinear", align_corners=True)
    image = (image * 255).round() / 255
    prediction = (image + 0.1 * torch.randn(image.shape, generator=generator)).clamp(-0.1, 1.1)
    mask = torch.zeros(count, 1, size, size)
    for i in range(count):
        mask[i, :, : size * (i + 1) // (count + 1), : size - 3] = 1
    return prediction, image, mask


def measured(one, prediction, image, mask):
    """Results by a protocol, without the metrics that need weights."""
    suite = one.suite(without=one.optional)
    suite.update(prediction, {"image": image, "mask": mask, "index": torch.arange(len(image))})
    results = suite.compute()
    results.batch = one.batch if one.mean == "batches" else 1
    return results


def as_bytes(tensor):
    """`(x * 255).astype(uint8)`, with channels last."""
    return (tensor.permute(1, 2, 0).numpy() * 255).astype(np.uint8)


# ---------------------------------------------------------------- by hand


def spn_by_hand(prediction, image, mask, batch):
    """Mean over whole batches of batch means, as SPN's script takes them: PSNR, SSIM and L1."""
    of_batches = []
    for start in range(0, len(image) - len(image) % batch, batch):
        values = []
        for i in range(start, start + batch):
            filled = prediction[i].clamp(0, 1) * mask[i] + image[i] * (1 - mask[i])
            fake, real = as_bytes(filled), as_bytes(image[i])
            psnr = peak_signal_noise_ratio(real, fake, data_range=255)
            ssim = structural_similarity(fake, real, win_size=11, channel_axis=2, data_range=255)
            l1 = np.mean(np.abs(fake.mean(axis=2) - real.mean(axis=2))) / 255
            values.append((psnr, ssim, l1))
        of_batches.append(np.mean(values, axis=0))
    return np.mean(of_batches, axis=0)


def test_spn_by_hand_with_the_tail_dropped():
    prediction, image, mask = pictures(count=5, size=40)
    one = dataclasses.replace(protocol("spn"), batch=2)
    found = measured(one, prediction, image, mask)
    expected = spn_by_hand(prediction, image, mask, batch=2)
    values = [found.flat()[name] for name in ("psnr", "ssim_uniform11", "l1_grey")]
    np.testing.assert_allclose(values, expected, rtol=1e-6)
    everything = dataclasses.replace(one, mean="images")
    assert measured(everything, prediction, image, mask).flat()["psnr"] != pytest.approx(expected[0], abs=1e-3)
    rounded = dataclasses.replace(one, quantise="round")
    assert measured(rounded, prediction, image, mask).flat()["psnr"] != pytest.approx(expected[0], abs=1e-4)


def test_spn_takes_the_best_of_five_by_psnr_and_all_metrics_from_it():
    _, image, mask = pictures(count=2, size=40)
    noise = 0.1 * torch.randn(2, 5, 3, 40, 40, generator=torch.Generator().manual_seed(1))
    noise[0, 3] *= 0.3  # the best fills
    noise[1, 1] *= 0.3
    fills = image.unsqueeze(1) + noise
    one = dataclasses.replace(protocol("spn"), batch=2)
    assert one.samples == 5
    found = measured(one, fills, image, mask)
    expected = spn_by_hand(torch.stack([fills[0, 3], fills[1, 1]]), image, mask, batch=1)
    values = [found.flat()[name] for name in ("psnr", "ssim_uniform11", "l1_grey")]
    np.testing.assert_allclose(values, expected, rtol=1e-6)
    holes = [
        np.mean([np.abs(as_bytes(a.clamp(0, 1)) / 255 - as_bytes(b.clamp(0, 1)) / 255)[m[0].numpy() > 0].mean()
                 for j, a in enumerate(of) for b in of[j + 1 :]])
        for of, m in zip(fills, mask, strict=True)
    ]  # fmt: skip
    assert found.flat()["diversity_l1"] == pytest.approx(np.mean(holes), rel=1e-5)


def test_pennet_by_hand():
    prediction, image, mask = pictures(count=3, size=64)
    values = []
    for raw, truth, hole in zip(prediction, image, mask, strict=True):
        fake, real = as_bytes(raw.clamp(0, 1) * hole + truth * (1 - hole)), as_bytes(truth)
        a, b = real.astype(np.float64), fake.astype(np.float64)
        mae = np.abs(a - b).sum() / (a + b).sum()
        psnr = peak_signal_noise_ratio(real, fake)
        values.append((mae, psnr, structural_similarity(real, fake, win_size=51, channel_axis=2)))
    found = measured(protocol("pennet"), prediction, image, mask).flat()
    names = ("l1_relative", "psnr", "ssim_uniform51")
    np.testing.assert_allclose([found[name] for name in names], np.mean(values, axis=0), rtol=1e-6)


def test_pennets_and_srpnets_papers_judge_composites():
    prediction, image, mask = pictures(count=1, size=164)
    error = ((prediction.clamp(0, 1) - image) * mask).double()
    for name in ("pennet_paper", "srpnet", "sgenet"):
        found = measured(protocol(name), prediction, image, mask).flat()
        if "l1" in found:
            assert found["l1"] == pytest.approx(100 * error.abs().mean().item(), rel=1e-6)
        if "psnr" in found:
            assert found["psnr"] == pytest.approx(-10 * np.log10(error.square().mean().item()), rel=1e-6)


def test_srpnets_printed_l1_vanishes_with_the_hole():
    """So composites were judged: extended from the two lowest levels, L1 is 0 without a hole; raw outputs' is not."""
    levels = {}
    for row in protocol("srpnet").published:
        if row.masks[0] == "0":
            low, high = (float(edge) for edge in row.masks.split("-"))
            levels.setdefault((row.data, row.method), []).append(((low + high) / 2, row.values["l1"]))
    assert len(levels) == 16
    for points in levels.values():
        (low, first), (high, second) = sorted(points)[:2]
        assert abs(first - low * (second - first) / (high - low)) < 0.2


# ---------------------------------------------------------------- bins and batches


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("spn", ["0-0.2", "0-0.2", "0.2-0.4", "0.4-0.6", "0.6-1"]),
        ("lama", ["0-0.1", "0.1-0.2", "0.3-0.4", "0.5-0.6", "0.6-0.7"]),
        ("zoo", ["0.01-0.1", "0.1-0.2", "0.3-0.4", "0.5-0.6", "0.6-1"]),
    ],
)
def test_edges_belong_to_the_bin_below(name, expected):
    image = torch.full((5, 3, 20, 20), 0.4)
    mask = torch.zeros(5, 1, 20, 20)
    for i, pixels in enumerate((40, 80, 160, 240, 244)):  # 10, 20, 40, 60 and 61 % of 400
        mask[i].view(-1)[:pixels] = 1
    found = measured(protocol(name), image, image, mask)
    assert [row["bin"] for row in found.rows] == expected


def test_spn_counts_batches_of_fifty():
    one = protocol("spn")
    assert (one.mean, one.batch) == ("batches", 50)
    assert one.rules()["mean"] == "of batch means, batches of 50, tail dropped"
    others = [protocol(name) for name in PROTOCOLS if name != "spn"]
    assert {other.mean for other in others} == {"images"}


# ---------------------------------------------------------------- perfect predictions


class Pooled(torch.nn.Module):
    """In place of Inception: random projections of 3x3 means as features and logits."""

    def __init__(self):
        super().__init__()
        self.map = torch.randn(27, 12, generator=torch.Generator().manual_seed(0))

    def forward(self, images):
        means = torch.nn.functional.adaptive_avg_pool2d(images.float() / 128 - 1, 3).flatten(1)
        return tuple((means @ self.map).split([8, 4], dim=1))


def without_weights(one):
    """The protocol with stand-ins for networks that would need weights."""
    inception = Inception()
    inception.network = Pooled()
    for metric in one.metrics:
        if isinstance(metric, InceptionMetric):
            metric.extractor = inception
        elif isinstance(metric, (LPIPS, DiversityLPIPS)):
            metric.extractor = MeanDifference()
    return one


def test_all_protocols_together_look_at_each_version_of_a_picture_once(tmp_path):
    passes = []

    class Counted(Pooled):
        def forward(self, images):
            passes.append(images.clone())
            return super().forward(images)

    known = [protocol(name, MetricWeights(inception=str(tmp_path / "inception.pth"))) for name in PROTOCOLS]
    metrics = [metric for one in known for metric in one.metrics if isinstance(metric, InceptionMetric)]
    share_extractors(metrics)
    assert len(metrics) == 12 and len({metric.extractor for metric in metrics}) == 1
    metrics[0].extractor.network = Counted()
    prediction, image, mask = pictures(count=3, size=164)
    batch, batch_features = {"image": image, "mask": mask, "index": torch.arange(3)}, BatchFeatures()
    for one in known:
        others = [metric.name for metric in one.metrics if not isinstance(metric, InceptionMetric)]
        if len(others) < len(one.metrics):
            one.suite(without=others).measure(prediction, batch, batch_features=batch_features)
    assert len(passes) == 3  # the truth; composites rounded and truncated
    assert not any(torch.equal(a, b) for i, a in enumerate(passes) for b in passes[i + 1 :])


def test_a_benchmark_looks_once_at_the_pictures_that_two_protocols_share(tmp_path):
    inception, passes = Inception(), []

    class Counted(Pooled):
        def forward(self, images):
            passes.append(len(images))
            return super().forward(images)

    inception.network = Counted()
    metrics = FID(), FID()
    for metric in metrics:
        metric.extractor = inception
    protocols = [toy_protocol("float", [metrics[0]]), toy_protocol("rounded", [metrics[1]], quantise="round")]
    run = ran(tmp_path / "out", protocols=protocols)
    assert len(passes) == 2 * run.batches, "the truth and the composite, which Inception sees in 8 bits"


PERFECT = {"psnr": 100, "ssim": 1, "ms_ssim": 100, "l1": 0, "lpips": 0, "diversity": 0, "fid": 0, "miou": 1}


@pytest.mark.parametrize("name", PROTOCOLS)
def test_identical_predictions_are_perfect(name):
    one = without_weights(protocol(name))
    _, image, mask = pictures(count=12, size=164 if "ms_ssim" in one.rules() else 56)
    labels = torch.arange(image.shape[-1]).expand(len(image), image.shape[-2], -1) % 3
    batch = {"image": image, "mask": mask, "index": torch.arange(len(image)), "labels": labels}
    fills = image if one.samples == 1 else image.unsqueeze(1).expand(-1, one.samples, -1, -1, -1)
    suite = one.suite()
    suite.prepare("cpu")
    logits = torch.nn.functional.one_hot(labels, 3).permute(0, 3, 1, 2).float() if one.samples == 1 else None
    suite.update(fills, batch, logits)
    values = suite.compute().flat()
    assert values.keys() == {metric.name for metric in one.metrics}
    score = values.pop("inception_score", None)  # has no perfect value
    assert score is None or score >= 1
    for metric, value in values.items():
        stem = next((stem for stem in sorted(PERFECT, key=len, reverse=True) if metric.startswith(stem)), None)
        expected = 50 if stem is None else PERFECT[stem]
        assert value == pytest.approx(expected, abs=1e-6), metric


# ---------------------------------------------------------------- named protocols


def test_known_and_unknown_names():
    expected = {"zoo", "pennet", "pennet_paper", "srpnet", "sgenet", "spn", "pyramid", "lama", "mat"}
    assert PROTOCOLS.keys() == expected
    with pytest.raises(ConfigError, match=r"'pennett' is unknown; the known ones are .*; did you mean pennet\?"):
        protocol("pennett")
    with pytest.raises(InpaintzooError, match=r"known ones are zoo, pennet, .*, mat$"):
        protocol("???")


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_protocol_says_what_it_is(name):
    one = protocol(name)
    assert one.name == name
    assert all([one.title, one.source, one.split, one.resize, one.masks, one.pitfalls])
    assert all(pitfall.endswith(".") for pitfall in one.pitfalls)
    assert set(one.optional) == {metric.name for metric in one.metrics if metric.pretrained}
    again = protocol(name)
    assert one.rules() == again.rules()
    assert all(a is not b for a, b in zip(one.metrics, again.metrics, strict=True)), "networks are not shared by runs"


def test_weights_reach_their_metrics():
    weights = MetricWeights(alex="a.pth", vgg="v.pth", inception="i.pth")
    seen = set()
    for name in PROTOCOLS:
        for metric in protocol(name, weights).metrics:
            if isinstance(metric, InceptionMetric):
                assert metric.extractor.weights == "i.pth"
            elif isinstance(metric, (LPIPS, DiversityLPIPS)):
                assert metric.extractor.weights == {"alex": "a.pth", "vgg": "v.pth"}[metric.extractor.net]
            else:
                continue
            seen.add(metric.name)
    assert seen == {"fid", "inception_score", "u_ids", "p_ids", "lpips_alex", "lpips_vgg", "diversity_lpips_alex"}


def test_rules_name_everything_that_decides_numbers():
    base = Protocol("own", "Own", "nowhere", (PSNR(), L1()))
    changed = [
        dataclasses.replace(base, judge="raw"),
        dataclasses.replace(base, quantise="round"),
        dataclasses.replace(base, quantise="truncate"),
        dataclasses.replace(base, bins=(0.2, 0.4)),
        dataclasses.replace(base, samples=3),
        dataclasses.replace(base, mean="batches", batch=4),
        dataclasses.replace(base, mean="batches", batch=5),
        dataclasses.replace(base, metrics=(PSNR(cap=80), L1())),
        dataclasses.replace(base, metrics=(PSNR(), L1(percent=True))),
        dataclasses.replace(base, metrics=(PSNR(),)),
    ]
    rules = [one.rules() for one in (base, *changed)]
    assert all(a != b for i, a in enumerate(rules) for b in rules[i + 1 :])
    assert dataclasses.replace(base, title="Other", pitfalls=("one.",)).rules() == base.rules()


def test_a_protocol_that_contradicts_itself_is_refused():
    def own(**changes):
        return Protocol(**{"name": "own", "title": "Own", "source": "nowhere", "metrics": (PSNR(), L1()), **changes})

    row = Published("method", "data", "masks", {"ssim": 0.5}, "table 1")
    for changes, message in (
        ({"optional": ("fid",)}, r"protocol 'own': \['fid'\] are not among its metrics, \['psnr', 'l1'\]"),
        ({"published": (row,)}, r"\['ssim'\] are not among its metrics"),
        ({"samples": 0}, "samples and batch must be at least 1, got 0 and 1"),
        ({"batch": 0}, "samples and batch must be at least 1, got 1 and 0"),
        ({"mean": "median"}, "mean must be `images` or `batches`, got 'median'"),
        ({"bins": (0.4, 0.2)}, "ratio edges must increase"),
        ({"judge": "both"}, "judge must be"),
        ({"metrics": ()}, "the list of metrics is empty"),
    ):
        with pytest.raises(ValueError, match=message):
            own(**changes)


def test_a_suite_without_some_metrics():
    one = Protocol("own", "Own", "nowhere", (PSNR(), FID(), MIoU()), optional=("fid",), judge="raw", bins=(0.2,))
    suite = one.suite(without=one.optional)
    assert [metric.name for metric in suite.metrics] == ["psnr", "miou"]
    assert (suite.judge, suite.bins) == ("raw", (0.2,))


# ---------------------------------------------------------------- published numbers and the page


@pytest.mark.parametrize(
    ("name", "method", "data", "masks", "expected"),
    [
        ("pennet_paper", "PENNet", "Places2", "128x128", {"l1_hole": 9.94, "ms_ssim": 78.09, "fid": 15.19}),
        ("srpnet", "SRPNet", "Facade", "central", {"l1": 3.02, "psnr": 23.22, "ms_ssim": 82.49}),
        ("srpnet", "PENNet", "CelebA-HQ", "0.5-0.6", {"l1": 7.76, "psnr": 18.72, "ms_ssim": 69.40}),
        ("sgenet", "SGENet", "Cityscapes", "irregular", {"psnr": 18.03, "ssim": 0.75, "fid": 39.93}),
        ("spn", "SPN", "Places2", "all", {"psnr": 27.72, "ssim_uniform11": 0.877, "l1_grey": 0.0185, "fid": 4.73}),
        ("spn", "SPL", "Paris", "0.4-0.6", {"psnr": 24.47, "l1_grey": 0.0292}),
        ("spn", "SPN, stochastic", "Paris", "0-0.2", {"psnr": 35.03, "l1_grey": 0.0045, "fid": 34.07}),
        ("pyramid", "PyramidGenerator", "Places2", "0.3-0.4", {"ssim": 0.8460, "psnr": 22.96, "l1": 0.0353}),
        ("pyramid", "AFFNet", "Places2", "central", {"ssim": 0.7469, "psnr": 20.10, "l1": 0.0476}),
        ("pyramid", "PG_S+256", "DIV2K", "not stated", {"ssim": 0.809, "psnr": 24.07, "l1": 0.042}),
        ("spn", "12 SPADE blocks", "Paris", "all", {"psnr": 29.61, "ssim_uniform11": 0.886, "fid": 42.5}),
        ("srpnet", "two discriminators", "Facade", "central", {"l1": 3.02, "psnr": 22.47, "ms_ssim": 80.11}),
        ("sgenet", "SGENet, labels by DPN", "Outdoor", "not stated", {"psnr": 20.19}),
        ("mat", "Big-LaMa", "Places", "large", {"fid": 2.97, "p_ids": 13.09, "u_ids": 32.39}),
    ],
)
def test_published_rows(name, method, data, masks, expected):
    published = protocol(name).published
    found = [
        row.values
        for row in published
        if row.method == method and row.data.startswith(data) and row.masks.startswith(masks)
    ]
    assert len(found) == 1
    assert {key: found[0][key] for key in expected} == pytest.approx(expected)


def test_srpnets_baseline_is_pennet():
    """Table 5's first row repeats PEN-Net's of table 2, so it is named after that network."""
    central = [row for row in protocol("srpnet").published if row.data == "Facade" and row.masks.startswith("central")]
    rows_of = {row.source: row for row in central if "PENNet" in row.method}
    assert rows_of["SRPNet, table 5"].method == "baseline (PENNet; its row of table 2)"
    assert rows_of["SRPNet, table 5"].values == rows_of["SRPNet, table 2"].values


def test_numbers_that_no_protocol_measures():
    found = {(row.source, row.data, row.masks, row.method): row.values for row in without_protocol()}
    assert found["PEN-Net, table 4", "Facade", "central 128x128 square", "PatchMatch"] == {
        "ranked better in pairs, %": 40.15
    }
    assert found["PEN-Net, table 5", "DTD", "32x32", "PENNet"] == {"taken for real, %": 82.23}
    assert found["SPN, table 6", "256x256", "", "SPN"] == {"parameters, millions": 50, "ms an image, GTX 3090": 50}
    assert found["dissertation, table 5.3", "Pascal VOC 2012 test", "", "MPSSD300"] == {"mAP, %": 77.7}
    assert found["dissertation, table 5.4", "COCO test-dev 2015", "", "MPSSD512"]["AP of small objects, %"] == 17.1
    preferred = [row for row in without_protocol() if row.source == "SGE-Net, table 2"]
    shares = {(row.data, row.method, name): value for row in preferred for name, value in row.values.items()}
    assert len(shares) == 4 * 12
    for (data, method, name), value in shares.items():  # what is not preferred to one is preferred to the other
        other = name.removeprefix("preferred to ").removesuffix(", %")
        assert value + shares[data, other, f"preferred to {method}, %"] == pytest.approx(100)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_published_rows_are_distinct_and_plausible(name):
    published = protocol(name).published
    keys = [(row.method, row.data, row.masks, row.source) for row in published]
    assert len(set(keys)) == len(keys)
    units = {metric.name: metric.unit for metric in protocol(name).metrics}
    for row in published:
        for metric, value in row.values.items():
            low, high = {"%": (0, 100), "dB": (10, 45)}.get(units[metric], (0, 1))
            assert metric in ("fid", "inception_score") or low < value < high, row


def test_published_rows_are_those_that_were_checked_against_the_papers():
    """After a correction of a CSV file, set the new digest."""
    every = [[name, *dataclasses.astuple(row)] for name in PROTOCOLS for row in protocol(name).published]
    every += [["", *dataclasses.astuple(row)] for row in without_protocol()]
    digest = hashlib.sha256(json.dumps(every).encode()).hexdigest()
    assert (len(every), digest) == (407, "2fb4a587c217b98ef712b30d43ce03caab11d224caeeaf29c2b33dc05f0ac16c")


def test_published_rows_need_a_value_for_each_metric():
    head = "source,data,masks,method,psnr,ssim"
    with pytest.raises(ValueError, match="table 9: Own has 1 values for 2 metrics"):
        list(rows([head, "table 9,data,all,Own,20.0"]))
    (row,) = rows([head, '"table 9, left",data,all,Own,20.0,'])
    assert row == Published("Own", "data", "all", {"psnr": 20.0}, "table 9, left")


def test_the_page_is_what_the_code_says():
    page = PAGE.read_text(encoding="utf-8")
    assert renewed(page) == page, "renew it: python -m benchmarks.protocols_page docs/protocols.md"
    assert renewed(page.replace("| `psnr_border` | dB |", "| `psnr_border` | |")) == page
    assert "| PEN-Net, table 5 | DTD | 32x32 | PENNet | taken for real, % | 82.23 |" in page
    for name in PROTOCOLS:
        assert f"\n## {name}\n" in page and f"(#{name})" in page
    with pytest.raises(ConfigError, match="the page needs the lines"):
        renewed(page.replace(BEGIN, ""))


@pytest.mark.slow
def test_the_pages_measurements_on_scenes():
    source = SceneSource("test", 12, 256)
    image = torch.stack([source.load(index).image for index in range(12)])
    image = (image * 255).round() / 255
    mask = torch.zeros(12, 1, 256, 256)
    mask[:, :, 33:223, 33:223] = 1
    prediction = diffusion_fill(image * (1 - mask), mask)
    variants = [
        SSIM("uniform", 51, sample_covariance=True),
        SSIM("uniform", 11, sample_covariance=True),
        SSIM(),
        SSIM(padded=True),
        *(variant(percent=True) for variant in (L1Relative, L1Grey, L1, L1Hole)),
    ]
    values = []
    for metrics, quantise in ((variants, "none"), *(([PSNR()], how) for how in ("none", "round", "truncate"))):
        suite = MetricSuite(metrics, quantise=quantise)
        suite.update(prediction, {"image": image, "mask": mask, "index": torch.arange(12)})
        values += suite.compute().flat().values()
    table = PAGE.read_text(encoding="utf-8").split("## What a protocol changes")[1].split("## ")[0]
    lines = [line for line in table.splitlines() if line.startswith(("| SSIM", "| L1", "| PSNR"))]
    printed = [cell for line in lines if (cell := line.split("|")[3].strip())]
    assert len(printed) == len(values) == 11
    for cell, value in zip(printed, values, strict=True):
        digits = len(cell.split(".")[1])
        assert float(cell) == pytest.approx(value, abs=2 * 10**-digits), f"{cell} is {value:.4f}"
