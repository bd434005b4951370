"""Benchmarks give the numbers of a plain loop, with any number of processes and interruptions."""

import dataclasses
import json
import math
import os
import signal
import socket
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import toys
from benchmark_toys import (
    Counted,
    MeanLevel,
    benchmark,
    network,
    noise,
    numbers,
    protocol,
    ran,
)
from places import CONFIGS

from inpaintzoo.benchmark.run.contenders import Fill, NetworkFiller
from inpaintzoo.benchmark.run.pairs import Pairs
from inpaintzoo.benchmark.run.processes import Processes
from inpaintzoo.benchmark.run.store import WorkFolder
from inpaintzoo.commands.benchmark import main
from inpaintzoo.data import ScenesData
from inpaintzoo.data.manifest import Manifest
from inpaintzoo.data.masks import CentreSquare
from inpaintzoo.fills import MeanColour, mean_fill
from inpaintzoo.metrics import (
    L1,
    PSNR,
    DiversityL1,
    MetricResults,
    MetricSuite,
    MIoU,
)
from inpaintzoo.metrics.suite import Measured
from inpaintzoo.ops import composite
from inpaintzoo.types import ConfigError, DataError

QUICK = CONFIGS / "benchmark" / "quickstart.yaml"


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


def quick_flags(out):
    flags = ["--config", QUICK, "--sets.scenes.test_size", 5, "--sets.scenes.image_size", 32, "--batch_size", 2,
             "--metrics", "[psnr, psnr_hole, l1]", "--cost", "false", "--device", "cpu", "--out", out]  # fmt: skip
    return list(map(str, flags))


def forked(function):
    """Run a function in a process of its own; returns the process's number. An exit code of 0 means no exception."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = int(function() or 0)
        finally:
            os._exit(code)
    return child


def exit_code(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_two_processes_do_what_one_does(tmp_path, monkeypatch):
    assert main(quick_flags(tmp_path / "one")) == 0
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # The environment that torchrun gives its processes.
    for name, value in {"WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}.items():
        monkeypatch.setenv(name, str(value))
    children = []
    for rank in (0, 1):
        monkeypatch.setenv("RANK", str(rank))
        children.append(forked(lambda: main(quick_flags(tmp_path / "two"))))
    assert [exit_code(child) for child in children] == [0, 0]
    one, two = numbers(tmp_path / "one"), numbers(tmp_path / "two")
    assert len(one) == 9 and one == two


@pytest.mark.slow
def test_torchrun_does_what_one_process_does(tmp_path):
    assert main(quick_flags(tmp_path / "one")) == 0
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command = [sys.executable, *torchrun, "-m", "inpaintzoo", "benchmark", *quick_flags(tmp_path / "two")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("diffusion on scenes: 5 pictures") == 1, "said once"
    assert numbers(tmp_path / "one") == numbers(tmp_path / "two")


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
    killed = {"net": Counted(network(), kill_at=2), "mean colour": Fill(MeanColour())}
    assert exit_code(forked(lambda: ran(tmp_path / "killed", killed) and 0)) == -signal.SIGKILL
    assert len(numbers(tmp_path / "killed")) == 4, "two batches, rows and arrays each"
    # Left by a kill: part of a file that was being written, and arrays whose rows were not.
    folder = tmp_path / "killed" / "work" / "net" / "noise" / "zoo"
    (folder / ".00002.json.1.part").write_text('{"rows": [')
    (folder / "00002.npz").write_bytes(b"PK")
    resumed = Counted(network())
    run = ran(tmp_path / "killed", {"net": resumed, "mean colour": Fill(MeanColour())})
    assert resumed.batches == 1, "only the batch that was not finished is computed"
    assert numbers(tmp_path / "killed") == numbers(tmp_path / "whole")
    assert run.results().cells == whole.results().cells


def test_work_done_with_other_settings_is_refused_or_redone(tmp_path, capsys):
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
    redone = Counted(network())
    ran(tmp_path, {"net": redone}, batch_size=3, force=True)
    assert redone.batches == 2 and "redone, batch_size was 2 and is 3" in capsys.readouterr().out
    assert {name.rsplit("/", 1)[1] for name in numbers(tmp_path)} == {
        f"{i:05d}.{s}" for i in range(2) for s in ("json", "npz")
    }


def test_batches_without_a_key_are_not_trusted(tmp_path):
    ran(tmp_path)
    (tmp_path / "work" / "mean colour" / "noise" / "zoo" / "key.json").unlink()
    with pytest.raises(DataError, match=r"was done with other settings: its key.json is missing; .*add --force"):
        ran(tmp_path)
    assert ran(tmp_path, force=True).results()


def test_other_masks_are_pinned_again_by_force(tmp_path, capsys):
    ran(tmp_path)
    manifest = tmp_path / "manifests" / "noise.jsonl"
    before = manifest.read_text()
    other = {"noise": toys.NoiseData(size=16, test_masks=CentreSquare())}
    with pytest.raises(DataError, match=r"pairs was .*add --force"):
        ran(tmp_path, sets=other)
    (tmp_path / "work").rename(tmp_path / "other")
    with pytest.raises(DataError, match=r"set 'noise': pictures or masks are not those .*add --force to pin again"):
        ran(tmp_path, sets=other)
    (tmp_path / "other").rename(tmp_path / "work")
    assert manifest.read_text() == before
    run = ran(tmp_path, sets=other, force=True)
    assert "redone, pairs was" in capsys.readouterr().out
    assert manifest.read_text() != before and run.sets["noise"].differs(tmp_path) is None
    manifest.write_text("{")
    with pytest.raises(DataError, match="set 'noise': its manifest cannot be read"):
        ran(tmp_path, sets=other)
    assert ran(tmp_path, sets=other, force=True).results()


class Alone(Processes):
    """One of several processes; it does not wait for the others."""

    def wait(self):
        pass


def test_processes_that_would_measure_something_else_are_refused(tmp_path):
    benchmark(tmp_path, processes=Alone(0, 2)).prepare()
    benchmark(tmp_path, processes=Alone(1, 2)).prepare()
    with pytest.raises(ConfigError, match="process 1 would not measure the same as the first: batch_size was 2"):
        benchmark(tmp_path, processes=Alone(1, 2), batch_size=3, force=True).prepare()


def test_numbers_of_another_device_are_not_mixed_in(tmp_path, monkeypatch):
    ran(tmp_path)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 7)
    with pytest.raises(DataError, match="device was cpu, 1 thread and is cpu, 7 threads"):
        ran(tmp_path)


def test_other_folders_are_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(DataError, match="holds files that are not from a benchmark; name another output folder"):
        ran(tmp_path, force=True)
    with pytest.raises(DataError, match="is a file"):
        ran(tmp_path / "thesis.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def changed(batch, **changes):
    return json.dumps({**batch, **changes}).encode()


def test_damaged_work_is_named(tmp_path):
    run = ran(tmp_path)
    folder = tmp_path / "work" / "mean colour" / "noise" / "zoo"
    good, batch = (folder / "00001.npz").read_bytes(), json.loads((folder / "00001.json").read_bytes())
    rows = batch["rows"]
    for name, content, reason in (
        ("00001.npz", good[:40], "zip file"),
        ("00001.json", b"{", "line 1"),
        ("00001.json", b"[]", "Expected `object`"),
        ("00001.json", changed(batch, rows=rows[1:]), "it has not the rows of its 2 pictures"),
        ("00001.json", changed(batch, rows=[]), "it has not the rows of its 2 pictures"),
        ("00001.json", changed(batch, rows=rows[::-1]), "it has not the rows of its 2 pictures"),
        ("00001.json", changed(batch, rows=[{**rows[0], "psnr": "9"}, rows[1]]), "row 2 has words for numbers"),
        ("00001.json", changed(batch, rows=[{**rows[0], "bin": "0-1"}, rows[1]]), "row 2 has another name or hole"),
        ("00001.json", changed(batch, rows=[{**rows[0], "ratio": 7}, rows[1]]), r"must lie in \[0, 1\], got 7"),
        ("00001.json", changed(batch, rows=[{"index": 2}, rows[1]]), "row 2 has not the metrics"),
        ("00001.json", changed(batch, arrays=[]), "the arrays of a metric are missing"),
        ("00001.json", changed(batch, arrays=batch["arrays"][1:]), "it holds other arrays"),
        ("00001.json", changed(batch, fills=0), "Expected `int` >= 1"),
        ("00001.json", changed(batch, defined={"miou": [0]}), "the arrays of a metric are missing"),
    ):
        before = (folder / name).read_bytes()
        (folder / name).write_bytes(content)
        with pytest.raises(DataError, match=rf"00001\.\w+ is damaged \(.*{reason}.*\); delete [^;]*run again"):
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
    named = [SimpleNamespace(name=name, family=name) for name in ("miou", "nothing", "inception:/a/b.pth")]
    suite = SimpleNamespace(
        image_metrics=[PSNR(), L1()], sample_metrics=[], bins=(0, 1), segmentation_metrics=named[:2],
        set_metrics=named[2:],
    )  # fmt: skip
    found = folder.read(7, [3, 4], suite)
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
