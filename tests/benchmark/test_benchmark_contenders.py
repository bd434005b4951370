"""Contenders, pairs and metrics of a benchmark: what fits, and what is refused before anything runs."""

import functools
import json

import pytest
import torch
import toys
from benchmark_toys import NeedsLarge, go_offline, noise, protocol, ran, truths
from torchvision.utils import save_image

from inpaintzoo.benchmark.protocols.protocol import Published
from inpaintzoo.benchmark.run import contenders
from inpaintzoo.benchmark.run.contenders import Checkpoint, Fill, NetworkFiller, Weights
from inpaintzoo.benchmark.run.cost import measure_cost
from inpaintzoo.benchmark.run.pairs import Pairs
from inpaintzoo.benchmark.run.predictions import Predictions
from inpaintzoo.benchmark.run.processes import arithmetic, check_precision
from inpaintzoo.benchmark.run.runner import Benchmark
from inpaintzoo.data import FolderData
from inpaintzoo.data.masks import CentreSquare
from inpaintzoo.data.transforms import ResizeTo
from inpaintzoo.fills import Diffusion, MeanColour, mean_fill
from inpaintzoo.layers.attention.transfer import transfer_patches
from inpaintzoo.losses import ValidL1
from inpaintzoo.metrics import (
    FID,
    L1,
    LPIPS,
    PSNR,
    DiversityL1,
    PSNRHole,
)
from inpaintzoo.models import PENNet
from inpaintzoo.ops import find_device
from inpaintzoo.types import ConfigError, DataError, WeightsError
from inpaintzoo.weights import save_model

# ---------------------------------------------------------------- pairs


def test_other_pictures_than_the_pinned_ones_are_caught(tmp_path):
    photos = tmp_path / "photos"
    truths(photos, noise())
    data = {"test": str(photos), "num_workers": 0, "test_masks": CentreSquare()}
    ran(tmp_path / "out", sets={"photos": FolderData(**data)})
    manifest = tmp_path / "out" / "manifests" / "photos.jsonl"
    assert ran(tmp_path / "again", sets={"photos": FolderData(**data, manifest=manifest)}).results()
    (photos / "noise-2001.png").rename(photos / "x.png")
    (photos / "noise-2002.png").rename(photos / "noise-2001.png")
    (photos / "x.png").rename(photos / "noise-2002.png")
    with pytest.raises(DataError, match="set 'photos': manifest: the images are not those that were pinned"):
        ran(tmp_path / "new", sets={"photos": FolderData(**data, manifest=manifest)})
    with pytest.raises(DataError, match="pairs was"):
        ran(tmp_path / "out", sets={"photos": FolderData(**data)})
    assert not (tmp_path / "new").exists(), "found before anything is written"


def test_pairs_shuffled_in_the_manifest_are_caught(tmp_path):
    ran(tmp_path / "out")
    lines = (tmp_path / "out" / "manifests" / "noise.jsonl").read_text().splitlines()
    pairs = [json.loads(line) for line in lines[1:]]
    for keys, sentence in (
        (("image", "image_sha256"), "the images are not those that were pinned"),
        (("image_sha256",), "has changed since it was pinned"),
        (("mask",), "the mask of image 0 .* is not the pinned one"),
    ):
        shuffled = [dict(pair) for pair in pairs]
        for key in keys:
            for i, pair in enumerate(shuffled):
                pair[key] = pairs[i - 1][key]
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.jsonl"
        path.write_text("\n".join([lines[0], *map(json.dumps, shuffled)]) + "\n")
        with pytest.raises(DataError, match=sentence):
            ran(tmp_path / "new", sets={"noise": noise(manifest=path)})


# ---------------------------------------------------------------- contenders


def test_identical_predictions_are_perfect(tmp_path):
    photos = truths(tmp_path / "photos", noise(32))
    data = FolderData(test=photos, num_workers=0, test_masks=CentreSquare(), transform=ResizeTo(32))
    folder = tmp_path / "predictions"
    truths(folder, data)
    contenders = {"perfect": Predictions(str(folder), composites=True)}
    cell = ran(tmp_path / "out", contenders, {"photos": data}, [protocol(metrics=[PSNR(), PSNRHole(), L1()])])
    for row in cell.results().cells["perfect", "photos", "zoo"].rows:
        assert (row["psnr"], row["psnr_hole"], row["l1"]) == (100, 100, 0)


def test_predictions_are_paired_by_name(tmp_path):
    data = noise()
    expected = ran(tmp_path / "a", {"net": Fill(MeanColour())}, {"noise": data}).results().cells["net", "noise", "zoo"]
    source = Pairs("noise", data)
    for index, name in enumerate(data.source("test").names):
        batch = source.load([index])
        save_image(mean_fill(batch["image"] * (1 - batch["mask"]), batch["mask"])[0], tmp_path / f"{name}_out.png")
    method = Predictions(str(tmp_path), pattern="{name}_out.png")
    found = ran(tmp_path / "b", {"ready": method}, {"noise": data}).results()
    for mine, other in zip(found.cells["ready", "noise", "zoo"].rows, expected.rows, strict=True):
        assert mine["psnr_hole"] == pytest.approx(other["psnr_hole"], abs=0.05), "8 bits cost a little"
    assert found.contenders[0].kind == "predictions" and found.contenders[0].cost is None


def test_folders_of_predictions_that_do_not_fit_are_refused(tmp_path):
    data = noise()
    folder = tmp_path / "p"
    truths(folder, data)

    def refused(sentence, **settings):
        with pytest.raises(DataError, match=sentence):
            ran(tmp_path / "out", {"lama": Predictions(str(folder), **settings)}, {"noise": data})

    (folder / "noise-2003.png").rename(folder / "noise-3.png")
    refused(r"contender 'lama' on set 'noise': 1 of 5 predictions are missing in .*: noise-2003; there are noise-3")
    truths(folder, data)
    refused(r"holds 1 prediction of pictures that are not in the set: noise-3; were they made for other pairs")
    (folder / "noise-3.png").unlink()
    truths(folder, data, "{name}.jpg")
    refused("are two files for one prediction")
    for path in folder.glob("*.jpg"):
        path.unlink()
    save_image(torch.zeros(3, 16, 20), folder / "noise-2001.png")
    refused(r"1 of 5 predictions are not 16x16 like the set: .*noise-2001.png is 16x20; predict at the set's size")
    truths(folder, data)
    save_image(torch.zeros(3, 16, 16), folder / "noise-2001.png")
    refused("noise-2001.png: known pixels differ from those of picture 'noise-2001' by", composites=True)
    refused("are missing in .*noise-2000-0", fills=2)
    with pytest.raises(DataError, match="there is no folder"):
        ran(tmp_path / "out", {"lama": Predictions(str(folder / "{set}"))}, {"noise": data})
    for pattern, fills, sentence in (
        ("{nam}", 1, "may hold"), ("all.png", 1, "must hold {name}"), ("{name}", 2, "to tell 2 fills apart"),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=sentence):
            Predictions("p", pattern, fills)
    with pytest.raises(ConfigError, match="fills must be at least 1"):
        Predictions("p", fills=0)


def test_predictions_in_another_order_are_caught(tmp_path):
    data = noise()
    source = data.source("test")
    for index in range(5):
        save_image(source.load(index).image, tmp_path / f"{(index + 1) % 5:03d}.png")
    method = Predictions(str(tmp_path), pattern="{index:03d}")
    with pytest.raises(DataError, match=r"00\d.png is paired with picture 'noise-200\d' but shows 'noise-200\d'"):
        ran(tmp_path / "out", {"shifted": method}, {"noise": data}, batch_size=1)
    assert not (tmp_path / "out").exists(), "found before anything is measured"


def test_two_swapped_pictures_are_caught_whatever_the_batches(tmp_path):
    data = noise()
    truths(tmp_path / "p", data)
    first, last = tmp_path / "p" / "noise-2000.png", tmp_path / "p" / "noise-2004.png"
    first.rename(tmp_path / "x.png")
    last.rename(first)
    (tmp_path / "x.png").rename(last)
    with pytest.raises(DataError, match=r"noise-200(\d).png is paired with picture 'noise-200\1' but shows 'noise-200"):
        ran(tmp_path / "out", {"swapped": Predictions(str(tmp_path / "p"))}, {"noise": data})


def test_predictions_of_nobodys_pictures_get_a_remark(tmp_path):
    data = noise()
    truths(tmp_path / "p", data)
    save_image(torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(9)), tmp_path / "p" / "noise-2001.png")
    save_image(torch.zeros(3, 16, 16), tmp_path / "p" / "noise-2003.png")
    results = ran(tmp_path / "out", {"odd": Predictions(str(tmp_path / "p"))}, {"noise": data}).results()
    (remark,) = [text for name, text in results.contenders[0].facts.items() if name == "remark on noise"]
    assert "known pixels of 2 of 5 files differ" in remark and "noise-2001.png, noise-2003.png" in remark
    truths(tmp_path / "q", data, change=lambda image: image + 0.01)
    results = ran(tmp_path / "b", {"same": Predictions(str(tmp_path / "q"))}, {"noise": data}).results()
    assert "remark on noise" not in results.contenders[0].facts


def test_several_fills_of_a_folder_count_by_the_best(tmp_path):
    data = noise()
    truths(tmp_path, data, "noise/{name}-0.png", change=lambda image: image * 0.5)
    truths(tmp_path, data, "noise/{name}-1.png")
    method = Predictions(str(tmp_path / "{set}"), fills=2)
    protocols = [protocol("first"), protocol("best", [PSNR(), DiversityL1()], samples=5)]
    cells = ran(tmp_path / "out", {"outside": method}, {"noise": data}, protocols).results().cells
    assert all(row["psnr"] > 50 for row in cells["outside", "noise", "best"].rows)
    assert all(row["psnr"] < 40 for row in cells["outside", "noise", "first"].rows)
    assert all(row["diversity_l1"] > 0 for row in cells["outside", "noise", "best"].rows)


def test_networks_come_from_weight_files_and_from_runs(tmp_path):
    torch.manual_seed(0)
    net = PENNet(width=4)
    save_model(net, tmp_path / "net.safetensors", {"iterations": 7, "masks": "FreeForm"}, "for tests")
    from lightning import Trainer

    from inpaintzoo import Inpainter

    trainer = Trainer(accelerator="cpu", logger=False, enable_progress_bar=False)
    trainer.strategy.connect(Inpainter(net, {"valid": ValidL1()}))
    trainer.save_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt")
    data = {"noise": noise(64)}
    contenders = {"weights": Weights(str(tmp_path / "net.safetensors")), "run": Checkpoint(str(tmp_path / "run"))}
    results = ran(tmp_path / "out", contenders, data, cost=True).results()
    first, second = (results.cells[name, "noise", "zoo"] for name in contenders)
    assert first.rows == second.rows
    by_name = {contender.name: contender for contender in results.contenders}
    assert by_name["weights"].facts["network"] == by_name["run"].facts["network"] == "PENNet"
    assert by_name["weights"].facts["iterations"] == "7" and by_name["weights"].facts["licence"] == "for tests"
    assert len(by_name["run"].sha256) == 64 and by_name["run"].sha256 != by_name["weights"].sha256
    assert by_name["run"].cost.parameters == sum(p.numel() for p in net.parameters())
    assert ran(tmp_path / "out", contenders, data, cost=True).results().contenders == results.contenders


def test_a_weight_file_is_read_for_all_sets_at_once_and_hashed_once(tmp_path, monkeypatch):
    calls = []
    for name in ("load_described", "file_digest"):
        plain = getattr(contenders, name)
        spy = functools.partial(lambda plain, name, *a, **k: calls.append(name) or plain(*a, **k), plain, name)
        monkeypatch.setattr(contenders, name, spy)
    save_model(PENNet(width=4), tmp_path / "net.safetensors")
    methods = {"net": Weights(str(tmp_path / "net.safetensors")), "mean": Fill(MeanColour())}
    run = ran(tmp_path / "out", methods, {"a": noise(64), "b": noise(64)})
    assert run.results().contenders[0].facts["network"] == "PENNet"
    assert sorted(calls) == ["file_digest", "load_described", "load_described"]  # to check, and to fill
    assert methods["net"]._generator is None, "released for the next contender"


def test_a_damaged_cost_file_is_named(tmp_path):
    ran(tmp_path / "out", cost=True).results()
    (file,) = (tmp_path / "out").rglob("cost.json")
    kept = json.loads(file.read_text())
    for content in ("{", json.dumps({**kept, "cost": 5}), json.dumps({**kept, "cost": {"macs": 1}})):
        file.write_text(content)
        with pytest.raises(DataError, match=r"cost.json is damaged \(.+\); delete it"):
            ran(tmp_path / "out", cost=True).results()


def test_what_cannot_work_is_said_before_anything_runs(tmp_path):
    torch.manual_seed(0)
    save_model(PENNet(width=4), tmp_path / "net.safetensors")
    cases = [
        (DataError, "contender 'a' on set 'noise': PENNet needs .* multiples of 64, got 16x16",
         {"contenders": {"a": Weights(str(tmp_path / "net.safetensors"))}}),
        (WeightsError, "contender 'a' .*no such weight file", {"contenders": {"a": Weights("gone.safetensors")}}),
        (WeightsError, "contender 'a' .*no such checkpoint", {"contenders": {"a": Checkpoint("gone.ckpt")}}),
        (ConfigError, "contenders: 'a/b' must be usable as a", {"contenders": {"a/b": Fill(MeanColour())}}),
        (ConfigError, r"contenders: '..' must be", {"contenders": {"..": Fill(MeanColour())}}),
        (ConfigError, "more than once", {"contenders": {"a": Fill(MeanColour()), "A": Fill(MeanColour())}}),
        (ConfigError, "sets: .* must be usable", {"sets": {"": noise()}}),
        (ConfigError, "batch_size must be 1 or more", {"batch_size": 0}),
        (ConfigError, "--precision tf32 needs a GPU", {"precision": "tf32"}),
        (ConfigError, "--precision must be one of", {"precision": "float8"}),
        (ConfigError, "device nope cannot be used", {"device": "nope"}),
        (ConfigError, "no chosen protocol measures 'lpisp'; they measure mean_level, psnr", {"metrics": ["lpisp"]}),
        (ConfigError, "protocol 'b' measures none of psnr_hole",
         {"metrics": ["psnr_hole"], "protocols": [protocol(), protocol("b", [PSNR()])]}),
        (DataError, "manifest .* does not exist", {"sets": {"noise": noise(manifest="gone.jsonl")}}),
    ]  # fmt: skip
    for kind, sentence, changes in cases:
        with pytest.raises(kind, match=sentence):
            ran(tmp_path / "out", **changes)
    assert not (tmp_path / "out").exists()
    with pytest.raises(ConfigError, match="contenders: there is none"):
        Benchmark({}, {"noise": noise()}, [protocol()], tmp_path / "out")
    with pytest.raises(ConfigError, match="Fill: a PENNet has weights"):
        Fill(PENNet(width=4))


# ---------------------------------------------------------------- metrics that cannot be measured


def test_metrics_without_weights_are_left_out_with_the_reason(tmp_path, monkeypatch):
    offline = go_offline(monkeypatch, tmp_path)
    metrics = (PSNR(), LPIPS("alex"), FID())
    both = [protocol(name, metrics, optional=("lpips_alex", "fid")) for name in ("a", "b")]
    results = ran(tmp_path / "out", protocols=both).results()
    assert set(results.missing) == {"a", "b"} and set(results.missing["a"]) == {"lpips_alex", "fid"}
    assert results.missing["b"]["fid"].startswith("weights missing: ") and "no network" in results.missing["b"]["fid"]
    assert len(offline) == 2, "each file is looked for once"
    assert [column.name for column in results.cells["mean colour", "noise", "a"].columns] == ["psnr"]
    for asked in ({"require": ["fid"]}, {"metrics": ["psnr", "fid"]}):
        with pytest.raises(WeightsError, match=r"protocol 'a', metric 'fid': FID needs the weights .*no network"):
            ran(tmp_path / "new", protocols=both, **asked)
    with pytest.raises(WeightsError, match="metric 'fid'"):
        ran(tmp_path / "new", protocols=[protocol(metrics=metrics, optional=("lpips_alex",))])
    with pytest.raises(WeightsError, match=r"there is no weight file .*typo\.pth"):
        ran(tmp_path / "new", protocols=[protocol(metrics=[PSNR(), FID("typo.pth")], optional=("fid",))])
    assert not (tmp_path / "new").exists()


def test_metrics_that_a_set_is_too_small_for_are_left_out_there(tmp_path):
    sets = {"small": noise(16), "large": noise(64)}
    metrics = (PSNR(), NeedsLarge())
    results = ran(tmp_path / "out", sets=sets, protocols=[protocol(metrics=metrics)]).results()
    assert results.missing == {"zoo": {"large_only": "set 'small': large_only needs images of at least 64x64"}}
    names = {pair_set: [c.name for c in cell.columns] for (_, pair_set, _), cell in results.cells.items()}
    assert names == {"small": ["psnr"], "large": ["psnr", "large_only"]}
    with pytest.raises(DataError, match="set 'small': large_only needs"):
        ran(tmp_path / "new", sets=sets, protocols=[protocol(metrics=metrics)], require=["large_only"])


def test_chosen_metrics_leave_the_rest_of_a_protocol(tmp_path):
    published = (Published("Net", "Facade", "centre", {"psnr": 20.0, "l1": 1.0}, "table 1"),
                 Published("Net", "Facade", "all", {"l1": 2.0}, "table 1"))  # fmt: skip
    whole = protocol(metrics=[PSNR(), L1()], optional=("l1",), published=published)
    results = ran(tmp_path, protocols=[whole], metrics=["psnr"]).results()
    (chosen,) = results.protocols
    assert [metric.name for metric in chosen.metrics] == ["psnr"] and chosen.optional == ()
    assert [row.values for row in chosen.published] == [{"psnr": 20.0}]
    assert [column.name for column in results.cells["mean colour", "noise", "zoo"].columns] == ["psnr"]


# ---------------------------------------------------------------- cost, device


def test_cost_counts_what_the_layers_do():
    filler = NetworkFiller(toys.NormFreeGenerator(width=4), torch.device("cpu"), "float32", 0)
    cost = measure_cost(filler, Pairs("noise", noise(32)).load([0]))
    assert cost.parameters == (4 * 4 * 9 + 4) + (4 * 3 * 9 + 3)
    assert cost.macs == (4 * 4 * 9 + 4 * 3 * 9) * 32 * 32
    assert 0 < cost.spread[0] <= cost.milliseconds <= cost.spread[1]
    assert (cost.height, cost.width, cost.precision, cost.peak_bytes) == (32, 32, "float32", None)
    plain = measure_cost(NetworkFiller(Diffusion(), torch.device("cpu"), "float32", 0), Pairs("n", noise()).load([0]))
    assert (plain.parameters, plain.macs) == (0, None)


@pytest.mark.parametrize("kernel", [1, 3])
def test_attention_costs_the_same_whatever_computes_it(kernel):
    from torch.utils.flop_counter import FlopCounterMode

    from inpaintzoo.benchmark.run.cost import FORMULAS

    torch.manual_seed(0)
    deep, shallow, valid = torch.rand(2, 6, 8, 10), torch.rand(2, 5, 16, 20), torch.ones(2, 1, 8, 10)
    counts = []
    for engine in ("dense", "tiled"):
        with FlopCounterMode(display=False, custom_mapping=FORMULAS) as counter:
            transfer_patches(deep, deep, shallow, valid, kernel=kernel, engine=engine)
        counts.append(counter.get_total_flops())
    assert counts[0] == counts[1] > 0


def test_arithmetic_is_restored(monkeypatch):
    before = torch.get_float32_matmul_precision()
    with arithmetic(torch.device("cpu"), "bfloat16"):
        product = torch.ones(2, 2) @ torch.ones(2, 2)
        assert product.dtype == torch.bfloat16 and torch.get_float32_matmul_precision() == "highest"
    with pytest.raises(RuntimeError), arithmetic(torch.device("cpu"), "float32"):
        raise RuntimeError
    assert torch.get_float32_matmul_precision() == before
    assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32
    check_precision("bfloat16", find_device("cpu"))
