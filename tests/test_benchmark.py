"""Benchmarks: the numbers are those of a plain loop, whoever computes them and however often they are interrupted."""

import dataclasses
import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import toys
from torchvision.utils import save_image

from inpaintzoo.benchmark.contenders import Checkpoint, Fill, NetworkFiller, NetworkMethod, Weights
from inpaintzoo.benchmark.cost import measure_cost
from inpaintzoo.benchmark.pairs import Pairs
from inpaintzoo.benchmark.predictions import Predictions
from inpaintzoo.benchmark.processes import Processes, arithmetic, check_precision, find_device
from inpaintzoo.benchmark.protocol import Protocol, Published
from inpaintzoo.benchmark.runner import Benchmark
from inpaintzoo.benchmark.store import WorkFolder
from inpaintzoo.data import FolderData, ScenesData
from inpaintzoo.data.manifest import Manifest
from inpaintzoo.data.masks import CentreSquare, RandomRectangles
from inpaintzoo.fills import Diffusion, MeanColour, mean_fill
from inpaintzoo.layers.attention import transfer_patches
from inpaintzoo.losses import ValidL1
from inpaintzoo.metrics import (
    FID,
    L1,
    LPIPS,
    PSNR,
    DiversityL1,
    ImageMetric,
    MetricResults,
    MetricSuite,
    MIoU,
    PSNRHole,
    SetMetric,
)
from inpaintzoo.metrics.suite import Measured
from inpaintzoo.models import PENNet
from inpaintzoo.ops import composite
from inpaintzoo.types import ConfigError, DataError, WeightsError
from inpaintzoo.weights import save_model

HERE = Path(__file__).parent
QUICK = HERE.parent / "configs" / "benchmark" / "quickstart.yaml"


class Counted(NetworkMethod):
    """A network that counts its batches, and can kill its process at one of them."""

    kind, source = "weights", "toy"

    def __init__(self, network, kill_at=None, identity="toy"):
        self.network, self.kill_at, self.name, self.batches = network, kill_at, identity, 0

    def generator(self):
        return self.network

    def identity(self, pairs):
        return {"weights": self.name}

    def open(self, pairs, device, precision, seed):
        filler = super().open(pairs, device, precision, seed)

        def counted(batch, n):
            if self.batches == self.kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            self.batches += 1
            return filler(batch, n)

        return counted


class MeanLevel(SetMetric):
    """A set metric without a network: the difference of the mean levels."""

    name, better, definition = "mean_level", "lower", "difference of the mean levels"

    def features(self, prediction, image):
        return {"prediction": prediction.mean(dim=(1, 2, 3)), "image": image.mean(dim=(1, 2, 3))}

    def compute(self, features):
        return float(abs(features["prediction"].mean() - features["image"].mean()))


class NeedsLarge(ImageMetric):
    """As MS-SSIM: not for small pictures."""

    name, better, definition = "large_only", "higher", "nothing"

    def measure(self, prediction, image, mask):
        if image.shape[-1] < 64:
            raise DataError("large_only needs images of at least 64x64")
        return image.mean()


def protocol(name="zoo", metrics=None, **changes):
    metrics = metrics or (PSNR(), PSNRHole(), MeanLevel())
    return Protocol(name, "a title", "a source", tuple(metrics), **changes)


def noise(size=16, **changes):
    return toys.NoiseData(size=size, test_masks=RandomRectangles(), **changes)


def network(seed=0, kind=toys.NormFreeGenerator):
    torch.manual_seed(seed)
    return kind()


def benchmark(out, contenders=None, sets=None, protocols=None, **changes):
    contenders = contenders or {"mean colour": Fill(MeanColour())}
    settings = {"device": "cpu", "batch_size": 2, "cost": False, **changes}
    return Benchmark(contenders, sets or {"noise": noise()}, protocols or [protocol()], out, **settings)


def ran(*arguments, **changes):
    run = benchmark(*arguments, **changes)
    run.prepare()
    run.measure()
    return run


def numbers(folder):
    """All batches below an output folder, byte by byte."""
    work = folder / "work"
    return {path.relative_to(work).as_posix(): path.read_bytes() for path in work.rglob("0*.*")}


def truths(folder, data, name="{name}.png", change=lambda image: image):
    """The set's own pictures as predictions."""
    source = data.source("test")
    for index, of in enumerate(source.names):
        path = folder / name.format(name=of, index=index)
        path.parent.mkdir(parents=True, exist_ok=True)
        save_image(change(source.load(index).image), path)
    return str(folder)


# ---------------------------------------------------------------- the numbers


def test_results_are_those_of_a_plain_loop_over_the_pairs(tmp_path):
    contenders = {"net": Counted(network()), "mean colour": Fill(MeanColour())}
    protocols = [protocol(), protocol("rounded", quantise="round", judge="raw", bins=(0.1, 0.3))]
    results = ran(tmp_path, contenders, protocols=protocols).results()
    assert [contender.name for contender in results.contenders] == ["net", "mean colour"]
    assert set(results.cells) == {(c, "noise", p) for c in contenders for p in ("zoo", "rounded")}
    data = noise()
    for (name, _, of), cell in results.cells.items():
        suite = next(p for p in protocols if p.name == of).suite()
        for index in range(5):
            batch = Pairs("noise", data).load([index])
            hidden = batch["image"] * (1 - batch["mask"])
            with torch.no_grad():
                fill = network()(hidden, batch["mask"]).image if name == "net" else mean_fill(hidden, batch["mask"])
            suite.update(fill, batch)
        expected = suite.compute()
        assert [row["name"] for row in cell.rows] == data.source("test").names
        assert [row["bin"] for row in cell.rows] == [row["bin"] for row in expected.rows]
        for found, wanted in zip(cell.rows, expected.rows, strict=True):
            assert found["psnr"] == pytest.approx(wanted["psnr"], rel=1e-5)
        assert cell.set_values["all"]["mean_level"] == pytest.approx(expected.set_values["all"]["mean_level"], abs=1e-6)
        assert cell.judge == expected.judge and cell.labels == expected.labels


def test_a_set_is_described_by_a_manifest_in_the_output_folder(tmp_path):
    (found,) = ran(tmp_path).results().pair_sets
    assert (found.name, found.count, found.height, found.width) == ("noise", 5, 16, 16)
    assert found.manifest == "manifests/noise.jsonl"
    pinned = Manifest.load(tmp_path / found.manifest)
    assert [pair.image for pair in pinned.pairs] == noise().source("test").names
    again = ran(tmp_path / "again", sets={"noise": noise(manifest=tmp_path / found.manifest)}).results()
    assert again.pair_sets[0].manifest_sha256 == found.manifest_sha256


def test_one_prediction_serves_all_protocols_and_later_ones_reuse_what_is_there(tmp_path):
    one = Counted(network())
    ran(tmp_path, {"net": one}, protocols=[protocol("a"), protocol("b")])
    assert one.batches == 3
    two, other = Counted(network()), Counted(network(1), identity="other")
    run = ran(tmp_path, {"net": two, "other": other}, protocols=[protocol("a"), protocol("b")])
    assert (two.batches, other.batches) == (0, 3)
    assert run.results().run["batches"] == "6 of 2 pictures, 3 of them from an earlier run"
    three = Counted(network())
    before = numbers(tmp_path)
    ran(tmp_path, {"net": three}, protocols=[protocol("a"), protocol("c")])
    assert three.batches == 3, "a new protocol needs the predictions again"
    assert before.items() <= numbers(tmp_path).items()


def test_a_stochastic_contender_is_judged_by_its_first_fills(tmp_path):
    protocols = [protocol("first"), protocol("best", [PSNR(), DiversityL1()], samples=4)]
    run = ran(tmp_path, {"net": Counted(network(kind=toys.NoisyGenerator))}, protocols=protocols, seed=3)
    results = run.results()
    filler = NetworkFiller(network(kind=toys.NoisyGenerator), torch.device("cpu"), "float32", 3)
    for index in range(5):
        batch = run.sets["noise"].load([index])
        fills = filler(batch, 4).images[0]
        mask, image = batch["mask"][0], batch["image"][0]
        psnr = [-10 * math.log10((mask * (fill.clamp(0, 1) - image)).square().mean()) for fill in fills]
        assert results.cells["net", "noise", "first"].rows[index]["psnr"] == pytest.approx(psnr[0], rel=1e-5)
        assert results.cells["net", "noise", "best"].rows[index]["psnr"] == pytest.approx(max(psnr), rel=1e-5)
    assert results.cells["net", "noise", "best"].rows[0]["diversity_l1"] > 0
    with pytest.raises(DataError, match="seed was 3 and is 4"):
        ran(tmp_path, {"net": Counted(network(kind=toys.NoisyGenerator))}, protocols=protocols, seed=4)


def test_means_over_batches_leave_out_an_incomplete_last_one(tmp_path):
    rows = [{"index": i, "name": str(i), "ratio": r, "bin": b, "psnr": v} for i, (r, b, v) in enumerate(
        [(0.1, "a", 1.0), (0.1, "a", 3.0), (0.5, "b", 10.0), (0.1, "a", 5.0), (0.1, "a", 100.0)])]  # fmt: skip
    column = protocol(metrics=[PSNR()]).suite().compute().columns
    summary = MetricResults(rows, column, ["a", "b"], "composite", batch=2).summary()
    assert summary["all"]["psnr"] == (1 + 3 + 10 + 5) / 4
    assert summary["a"]["psnr"] == (1 + 3 + 5 + 100) / 4, "the images of a bin form batches of their own"
    assert summary["b"]["psnr"] == 10, "fewer than a batch count as they are"
    of_three = MetricResults(rows, column, ["a", "b"], "composite", batch=3)
    assert of_three.summary()["a"]["psnr"] == (1 + 3 + 5) / 3
    assert "batches of 3; an incomplete last one does not count (2 of 5 images)" in of_three.table()
    cell = ran(tmp_path, protocols=[protocol(mean="batches", batch=4)]).results().cells["mean colour", "noise", "zoo"]
    whole = [row["psnr"] for row in cell.rows[:4]]
    assert cell.batch == 4 and cell.summary()["all"]["psnr"] == pytest.approx(sum(whole) / 4, rel=1e-12)


def test_rendered_pictures_are_those_that_were_measured(tmp_path):
    run = ran(tmp_path, {"net": Counted(network(kind=toys.NoisyGenerator))}, protocols=[protocol(samples=3)])
    pictures = run.render("net", "noise", [4, 0, 2])
    images, masks = run.truth("noise", [4, 0, 2])
    assert pictures.shape == images.shape == (3, 3, 16, 16) and masks.shape == (3, 1, 16, 16)
    assert torch.equal(composite(images, pictures, masks), pictures), "known pixels are the truth's"
    rows = run.results().cells["net", "noise", "zoo"].rows
    for picture, image, index in zip(pictures, images, (4, 0, 2), strict=True):
        assert -10 * math.log10((picture - image).square().mean()) == pytest.approx(rows[index]["psnr"], rel=1e-5)


# ---------------------------------------------------------------- batches, processes, interruptions


def test_two_processes_do_what_one_does(tmp_path):
    flags = ["--config", QUICK, "--sets.scenes.test_size", 5, "--sets.scenes.image_size", 32, "--batch_size", 2,
             "--metrics", "[psnr, psnr_hole, l1]", "--cost", "false", "--device", "cpu"]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    for count in (1, 2):
        start = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", count] if count > 1 else []
        command = [sys.executable, *start, "-m", "inpaintzoo", "benchmark", *flags, "--out", tmp_path / str(count)]
        done = subprocess.run(list(map(str, command)), env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.count("diffusion on scenes: 5 pictures") == 1, "said once"
    one, two = numbers(tmp_path / "1"), numbers(tmp_path / "2")
    assert len(one) == 9 and one == two


def test_batches_are_dealt_out_to_the_processes_by_number(tmp_path):
    for rank in (0, 1):
        method = Counted(network())
        run = benchmark(tmp_path, {"net": method})
        run.prepare()
        run.processes = dataclasses.replace(Processes(rank=rank, count=2))
        run._measure("net", run.sets["noise"])
        assert method.batches == (2, 1)[rank]
        assert [path.name for path in sorted((tmp_path / "work").rglob("0*.json"))] == [
            ["00000.json", "00002.json"], ["00000.json", "00001.json", "00002.json"]
        ][rank]  # fmt: skip


def test_a_killed_run_goes_on_where_it_stopped(tmp_path):
    whole = ran(tmp_path / "whole", {"net": Counted(network()), "mean colour": Fill(MeanColour())})
    child = os.fork()
    if child == 0:
        try:
            ran(tmp_path / "killed", {"net": Counted(network(), kill_at=2), "mean colour": Fill(MeanColour())})
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert len(numbers(tmp_path / "killed")) == 4, "two batches, rows and arrays each"
    # What a kill leaves of a file that was being written, and arrays whose rows were not.
    folder = tmp_path / "killed" / "work" / "net" / "noise" / "zoo"
    (folder / ".00002.json.1.part").write_text('{"rows": [')
    (folder / "00002.npz").write_bytes(b"PK")
    resumed = Counted(network())
    run = ran(tmp_path / "killed", {"net": resumed, "mean colour": Fill(MeanColour())})
    assert resumed.batches == 1, "only the batch that was not finished is computed"
    assert numbers(tmp_path / "killed") == numbers(tmp_path / "whole")
    assert run.results().cells == whole.results().cells


def test_work_done_with_other_settings_is_refused_or_done_anew(tmp_path, capsys):
    ran(tmp_path, {"net": Counted(network())})
    for changes, difference in (
        ({"batch_size": 3}, "batch_size was 2 and is 3"),
        ({"precision": "bfloat16"}, "precision was float32 and is bfloat16"),
        ({"sets": {"noise": noise(seed=1)}}, "pairs was"),
        ({"protocols": [protocol(quantise="round")]}, "quantise was none and is round"),
        ({"protocols": [protocol(metrics=[PSNR()])]}, "metrics was"),
        ({"contenders": {"net": Counted(network(1), identity="trained on")}}, "weights was toy and is trained on"),
    ):
        with pytest.raises(DataError, match=f"{difference}.*add --force"):
            ran(tmp_path, **{"contenders": {"net": Counted(network())}, **changes})
    anew = Counted(network())
    ran(tmp_path, {"net": anew}, batch_size=3, force=True)
    assert anew.batches == 2 and "done anew, batch_size was 2 and is 3" in capsys.readouterr().out
    assert {name.rsplit("/", 1)[1] for name in numbers(tmp_path)} == {
        f"{i:05d}.{s}" for i in range(2) for s in ("json", "npz")
    }


def test_other_folders_are_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(DataError, match="holds files that are no benchmark's; name another output folder"):
        ran(tmp_path, force=True)
    with pytest.raises(DataError, match="is a file"):
        ran(tmp_path / "thesis.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_damaged_work_is_named(tmp_path):
    run = ran(tmp_path)
    folder = tmp_path / "work" / "mean colour" / "noise" / "zoo"
    good = (folder / "00001.npz").read_bytes()
    for name, content in (("00001.npz", good[:40]), ("00001.json", b"{"), ("00001.json", b"[]")):
        before = (folder / name).read_bytes()
        (folder / name).write_bytes(content)
        with pytest.raises(DataError, match=r"00001\.\w+ is damaged; delete"):
            run.results()
        (folder / name).write_bytes(before)
    assert run.results().cells


def test_a_batch_survives_the_disk_bit_by_bit(tmp_path):
    rows = [{"index": 3, "name": "ä/ö", "ratio": 0.1, "bin": "0-1", "psnr": math.nan, "l1": None},
            {"index": 4, "name": "b", "ratio": 1 / 3, "bin": "0-1", "psnr": math.inf, "l1": 0.1}]  # fmt: skip
    features = {
        "inception:/a/b.pth": {"prediction": np.float32([[1e-30, 0.1], [2, np.nan]]), "logits": np.ones((2, 1))}
    }
    statistics = {"miou": [None, {"truth": np.arange(3)}], "nothing": [None, None]}
    folder = WorkFolder(tmp_path / "work", {"a": "b"})
    folder.claim()
    folder.write(7, Measured(rows, features, statistics, 5))
    found = folder.read(7)
    assert folder.has(7) and not folder.has(6)
    assert repr(found.rows) == repr(rows) and found.fills == 5
    assert found.features["inception:/a/b.pth"].keys() == features["inception:/a/b.pth"].keys()
    for key, array in features["inception:/a/b.pth"].items():
        assert found.features["inception:/a/b.pth"][key].tobytes() == array.tobytes()
    assert found.statistics["nothing"] == [None, None] and found.statistics["miou"][0] is None
    assert found.statistics["miou"][1]["truth"].tolist() == [0, 1, 2]


def test_suites_take_in_batches_that_were_measured_elsewhere():
    data = ScenesData(test_size=3, image_size=32, test_masks=CentreSquare())
    batch = Pairs("scenes", data).load(range(3))
    logits = torch.nn.functional.one_hot(batch["labels"].clamp(max=13), 14).permute(0, 3, 1, 2).float()
    metrics = [PSNR(), MeanLevel(), MIoU()]
    plain, apart = MetricSuite(metrics), MetricSuite(metrics)
    for part in (slice(0, 2), slice(2, 3)):
        some = {key: value[part] for key, value in batch.items()}
        plain.update(some["image"] * 0.5, some, logits[part])
        apart.add(MetricSuite(metrics).measure(some["image"] * 0.5, some, logits[part]))
    assert plain.compute() == apart.compute(everywhere=False)
    assert plain.compute().set_values["all"]["miou"] == 1


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
        (("image_sha256",), "has other content than when it was pinned"),
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
    data = FolderData(test=photos, num_workers=0, test_masks=CentreSquare())
    data.source("test").transform.size = (32, 32)
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
    refused(r"1 of 5 predictions are not 16x16 as the set is: .*noise-2001.png is 16x20; predict at the set's size")
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
    with pytest.raises(DataError, match=r"001.png is paired with picture 'noise-2001' but shows 'noise-2000'"):
        ran(tmp_path / "out", {"shifted": method}, {"noise": data})


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
        (ConfigError, "--device nope cannot be used", {"device": "nope"}),
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


@pytest.fixture
def offline(tmp_path, monkeypatch):
    attempts = []

    def download(url, path):
        attempts.append(url)
        raise OSError("no network")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    monkeypatch.setattr("inpaintzoo.metrics.pretrained.download", download)
    return attempts


def test_metrics_without_weights_are_left_out_with_the_reason(tmp_path, offline):
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
    with pytest.raises(WeightsError, match=r"typo\.pth.* is no file"):
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

    from inpaintzoo.benchmark.cost import FORMULAS

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
