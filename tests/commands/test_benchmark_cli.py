"""`inpaintzoo benchmark` through the command line, and what its page and its configs say."""

import csv
import inspect
import io
import json
import os
import re
import shlex
import sys

import pytest
import torch
from benchmark_toys import go_offline
from places import TESTS
from predictor_toys import noise

from inpaintzoo import commands
from inpaintzoo.benchmark.run.runner import Benchmark
from inpaintzoo.commands.benchmark import main, make_parser
from inpaintzoo.commands.config_files import with_config_files
from inpaintzoo.files.locks import LOCK, sole_use
from inpaintzoo.models import PENNet
from inpaintzoo.weights import save_model

HERE = TESTS
QUICK = HERE.parent / "configs" / "benchmark" / "quickstart.yaml"


def said(capsys, code, *arguments):
    assert main([str(argument) for argument in arguments]) == code
    out = capsys.readouterr()
    return out.out if code == 0 else out.err


FILLS_CONFIG = QUICK.with_name("fills.yaml")


def test_the_fills_side_by_side_on_a_folder(tmp_path, capsys, monkeypatch):
    go_offline(monkeypatch, tmp_path)
    monkeypatch.setattr("inpaintzoo.benchmark.report.write.write_report", lambda *arguments: None)
    (tmp_path / "photos").mkdir()
    noise("RGB", 40, 40).save(tmp_path / "photos" / "a.png")
    # The command is the one that the config's header gives.
    header = " ".join(line.strip("# \\") for line in FILLS_CONFIG.read_text().splitlines() if line.startswith("#"))
    words = re.search(r"(--sets\.pictures FolderData .*?) --out", header).group(1)
    words = words.replace("photos/test", str(tmp_path / "photos")).replace("size 256", "size 40")
    common = ("--device", "cpu", "--metrics", "[psnr_hole]", "--cost", "false", "--out", tmp_path / "out")
    text = said(capsys, 0, "--config", FILLS_CONFIG, *shlex.split(words), *common)
    rows = text.split("protocol zoo\n")[1].split("\n\n")[0].splitlines()[1:]
    names = ["mean colour", "diffusion", "biharmonic", "Telea", "Navier-Stokes", "FSR fast", "shift-map"]
    assert [row.rsplit(maxsplit=1)[0].strip() for row in rows] == names


SMALL = ("--config", QUICK, "--sets.scenes.test_size", 3, "--sets.scenes.image_size", 32, "--device", "cpu",
         "--metrics", "[psnr, psnr_hole, l1]")  # fmt: skip


def test_the_quickstart_prints_a_table_and_writes_a_report(tmp_path, capsys, monkeypatch):
    offline = go_offline(monkeypatch, tmp_path)
    torch.manual_seed(0)
    save_model(PENNet(width=4), tmp_path / "net.safetensors")
    mine = ("--contenders.mine", "Weights", "--contenders.mine.path", tmp_path / "net.safetensors")
    text = said(capsys, 0, *SMALL, *mine, "--sets.scenes.image_size", 64, "--out", tmp_path / "out")
    assert "biharmonic on scenes: 3 pictures" in text and "scenes (3 pictures), protocol zoo" in text
    head, *rows = text.split("protocol zoo\n")[1].split("\n\n")[0].splitlines()
    assert head.split() == ["psnr", "(dB)", "↑", "psnr_hole", "(dB)", "↑", "l1", "↓"]
    assert [row.rsplit(maxsplit=3)[0] for row in rows] == ["mean colour", "diffusion", "biharmonic", "mine"]
    work = tmp_path / "out" / "work" / "diffusion" / "scenes" / "zoo" / "00000.json"
    values = [row["psnr"] for row in json.loads(work.read_text())["rows"]]
    assert float(rows[1].split()[1]) == pytest.approx(sum(values) / 3, abs=0.006)
    assert text.splitlines()[-1].startswith(f"report: {tmp_path / 'out' / 'index.html'}")
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"index.html", "table.md", "table.tex", "table.csv", "results.json", "grid.png"} <= written
    assert all(name in (tmp_path / "out" / "table.md").read_text() for name in ("mean colour", "diffusion", "mine"))
    text = said(capsys, 0, *SMALL, *mine, "--sets.scenes.image_size", 64, "--out", tmp_path / "out")
    assert "4 of 4 batches are already done" in text and "on scenes" not in text
    assert offline == [], "metrics that nobody asked for are not prepared"


def test_wrong_commands_are_one_sentence(tmp_path, capsys):
    out = ("--out", tmp_path / "out")
    for code, sentence, flags in (
        (1, "error: protocol 'zo' is unknown; the known ones are zoo", ["--protocols", "[zo]"]),
        (1, "error: no chosen protocol measures 'psnrr'", ["--metrics", "[psnrr]"]),
        (1, "error: metrics is empty, so there is nothing to measure; null, or nothing", ["--metrics", "[]"]),
        (1, "there is no such weight file",
         ["--contenders.a", "Weights", "--contenders.a.path", tmp_path / "no.safetensors"]),
        (1, "Fill: a PENNet has weights", ["--contenders.a", "Fill", "--contenders.a.generator", "PENNet"]),
        (1, "batch_size must be 1 or more", ["--batch_size", 0]),
        (2, "--batch_size many: must be a whole number", ["--batch_size", "many"]),
        (2, "--contenders.a nosuch: there is no such class", ["--contenders.a", "nosuch"]),
        (2, "--nosuch 1: there is no such option", ["--nosuch", 1]),
    ):  # fmt: skip
        text = said(capsys, code, *SMALL, *out, *flags)
        assert sentence in text and "Traceback" not in text
        assert text.strip().count("\n") == 0
    assert said(capsys, 1, *SMALL, *out, "--contenders", "{}").endswith(
        "contenders: there is none; name at least one\n"
    )
    assert not (tmp_path / "out").exists()


def test_two_benchmarks_do_not_use_one_folder_at_once(tmp_path, capsys):
    with sole_use(tmp_path / "out"):
        text = said(capsys, 1, *SMALL, "--out", tmp_path / "out")
        assert "out is in use by another inpaintzoo command; wait until it has ended" in text
        assert [path.name for path in (tmp_path / "out").iterdir()] == [LOCK]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_names_of_pictures_and_folders_do_not_end_a_benchmark(tmp_path, capsys):
    names = ["plain", "two\nlines", os.fsdecode(b"latin\xe9"), "<script>alert(1)<br>", "\"quoted' & $%{}", "=1+1|x`y`"]
    (tmp_path / "photos").mkdir()
    for seed, name in enumerate(names):
        noise("RGB", 32, 32, seed).save(tmp_path / "photos" / f"{name}.png")
    out = tmp_path / os.fsdecode(b"caf\xe9")
    flags = ["--config", QUICK.parent / "folder.yaml", "--sets.photos.test", tmp_path / "photos", "--out", out,
             "--sets.photos.transform.size", 32, "--sets.photos.num_workers", 0, "--protocols", "[zoo]",
             "--metrics", "[psnr]", "--cost", "false", "--device", "cpu"]  # fmt: skip
    before = sys.stdout
    sys.stdout = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")  # strict, as a terminal is
    try:
        assert commands.main(["benchmark", *map(str, flags)]) == 0
        sys.stdout.flush()
        text = sys.stdout.buffer.getvalue().decode()
    finally:
        sys.stdout = before
    assert r"caf\udce9/index.html; tables" in text and "photos (6 pictures)" in text
    expected = {name.replace("\udce9", r"\udce9") for name in names}
    for file in (out / "images").rglob("*.csv"):
        with file.open(newline="", encoding="utf-8") as table:
            assert {row["name"] for row in csv.DictReader(table)} == expected
    html = (out / "index.html").read_text(encoding="utf-8")
    assert "alert(1)" in html and "<script>alert" not in html and "<br>" not in html
    for file in out.rglob("*.*"):
        if file.suffix in (".json", ".jsonl", ".md", ".tex", ".csv", ".svg"):
            file.read_text(encoding="utf-8")
    assert json.loads((out / "results.json").read_text(encoding="utf-8"))["sets"][0]["count"] == 6


PAGE = (HERE.parent / "docs" / "benchmark.md").read_text()
HEADERS = "".join(path.read_text().replace("\\\n#", "") for path in sorted(QUICK.parent.glob("*.yaml")))
COMMANDS = re.findall(r"^(?:# +)?inpaintzoo benchmark (.*)$", PAGE + HEADERS, re.MULTILINE)


@pytest.mark.parametrize("flags", COMMANDS)
def test_commands_of_page_and_configs_parse(flags, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert make_parser().parse_args(with_config_files("benchmark", shlex.split(flags))).contenders
    assert len(COMMANDS) == 10


def test_flags_that_a_config_names_parse():
    text = " ".join(line.removeprefix("# ") for line in (QUICK.parent / "folder.yaml").read_text().splitlines())
    named = re.findall(r"--[a-z.]+ \w[\w/.]*(?: --[a-z.]+ \w[\w/.]*)*", text.split("contenders: mean")[0])
    for flags in [flags for flags in named if "nproc" not in flags and "--config" not in flags]:
        assert make_parser().parse_args(
            ["--config", str(QUICK.parent / "folder.yaml"), *shlex.split(flags.rstrip("."))]
        )
    assert len(named) >= 5


def test_the_config_of_the_page_parses(tmp_path):
    (text,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "page.yaml").write_text(text)
    flags = ["--protocols", "[zoo, lama]", "--sets.strokes.test_masks", "RandomRectangles"]
    config = make_parser().parse_args(["--config", str(tmp_path / "page.yaml"), *flags])
    assert config.protocols == ["zoo", "lama"]
    assert config.sets["strokes"].init_args.test_masks.class_path.endswith("RandomRectangles")
    assert [contender.class_path.rpartition(".")[2] for contender in config.contenders.values()] == [
        "Checkpoint", "Weights", "Predictions", "Fill"
    ]  # fmt: skip


(OWN,) = re.findall(r"```yaml\n(.*?)```", (HERE.parent / "docs" / "protocols.md").read_text(), re.DOTALL)


def own(folder, *changes):
    """The config of the page on protocols, with some of its text replaced."""
    text = OWN
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (folder / "own.yaml").write_text(text)
    return ("--config", folder / "own.yaml", "--metrics", "[psnr, ssim_uniform7]", "--out", folder / "out")


def test_a_protocol_of_the_users_own_measures_is_reported_and_kept_to(tmp_path, capsys):
    text = said(capsys, 0, *SMALL, *own(tmp_path))
    assert re.search(r"protocol thesis\n +psnr \(dB\) ↑ +ssim_uniform7 ↑\n", text)
    written = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [one["name"] for one in written["protocols"]] == ["zoo", "thesis"]
    rules = written["protocols"][1]["rules"]
    assert rules["judged"] == "composites, 8 bits by rounding" and rules["bins"] == "0-0.25 0.25-0.5 0.5-1"
    assert "uniform 7x7 windows" in rules["ssim_uniform7"]
    assert written["protocols"][1]["pitfalls"] == ["The pictures are my own."]
    values = written["tables"][1]["values"]["all"]["diffusion"]
    work = json.loads((tmp_path / "out" / "work" / "diffusion" / "scenes" / "thesis" / "00000.json").read_text())
    assert values["psnr"]["value"] == pytest.approx(sum(row["psnr"] for row in work["rows"]) / 3, rel=1e-12)
    assert "thesis: Large holes, as 8-bit files" in (tmp_path / "out" / "index.html").read_text()
    text = said(capsys, 1, *SMALL, *own(tmp_path, ("quantise: round", "quantise: none")))
    assert "was done with other settings: quantise was round and is none" in text


@pytest.mark.parametrize(
    ("code", "sentence", "change"),
    [
        (1, "'lama' of your own has a built-in name; choose another name", ("name: thesis", "name: lama")),
        (1, "protocols: 'a/b' must be usable as a folder's name", ("name: thesis", "name: a/b")),
        (1, "; did you mean zoo?", ("- zoo", "- zooo")),
        (1, "ratio edges must increase", ("[0.25, 0.5]", "[0.5, 0.25]")),
        (1, "protocol 'thesis': samples and batch must be at least 1", ("samples: 1", "samples: 0")),
        (1, "no chosen protocol measures 'ssim_uniform7'", ("size: 7", "size: 9")),
        (2, "quantize", ("quantise: round", "quantize: round")),
        (2, "sharp", ("quantise: round", "quantise: sharp")),
        (2, "PSNRR", ("- PSNR\n", "- PSNRR\n")),
    ],
)  # fmt: skip
def test_a_wrong_protocol_of_the_users_own_is_refused(code, sentence, change, tmp_path, capsys):
    text = said(capsys, code, *SMALL, *own(tmp_path, change))
    assert sentence in text and "Traceback" not in text
    assert code == 2 or text.strip().count("\n") == 0
    assert not (tmp_path / "out").exists()


def test_every_option_is_explained_on_the_page():
    options = {*inspect.signature(Benchmark).parameters, "metric_weights"} - {"device", "seed", "processes"}
    assert [name for name in sorted(options) if name not in PAGE] == []


def test_what_was_left_out_is_said_with_the_reason(tmp_path, capsys, monkeypatch):
    go_offline(monkeypatch, tmp_path)
    flags = ["--metrics", "null", "--protocols", "[zoo, srpnet, spn]", "--cost", "false", "--out", tmp_path / "out"]
    text = " ".join(said(capsys, 0, *SMALL, *flags).split())
    sentence = "Not measured: zoo/fid, zoo/u_ids, zoo/p_ids, spn/fid. Reason: weights missing: FID needs the weights"
    assert sentence in text
    assert "diversity_l1" not in text, "no fill here is one of several"
    reason = "set 'scenes': ms_ssim with 5 scales needs images of at least 161x161"
    assert f"Not measured: srpnet/ms_ssim. Reason: {reason}" in text
    text = said(capsys, 1, *SMALL, *flags[:-1], tmp_path / "new", "--require", "[fid]")
    assert "protocol 'zoo', metric 'fid': FID needs the weights" in text
