"""The campaign: each job with tiny networks, work that goes on where it stopped, results in parts."""

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from benchmarks.campaign import jobs, measure, parts, work
from benchmarks.campaign.__main__ import main
from benchmarks.campaign.data import ObjectMasks, PhotographsAndScenes
from benchmarks.campaign.jobs import choose, facade, mixed
from benchmarks.campaign.parts import join, split
from benchmarks.campaign.work import Job, Training
from inpaintzoo import load_model
from inpaintzoo.data.dataset import SampleKey
from inpaintzoo.weights.checkpoints import read_checkpoint


def picture(path, seed, side=72):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)).save(path)


def label_map(path, classes, side=72):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(0).integers(0, classes, (side, side), dtype=np.uint8)).save(path)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    for index in range(4):
        picture(folder / "photographs" / "train" / f"{index}.jpg", index, 80)
        picture(folder / "facade" / "train" / "images" / f"{index}.jpg", 10 + index)
        for place in ("camvid", "labelmefacade"):
            picture(folder / place / "train" / "images" / f"{index}.jpg", 20 + index)
            label_map(folder / place / "train" / "labels" / f"{index}.png", 9)
    for index in range(2):
        picture(folder / "photographs" / "held_back" / f"h{index}.jpg", 30 + index, 64)
        picture(folder / "facade" / "test" / "images" / f"t{index}.jpg", 40 + index, 128)
        for place, test in (("camvid", "val"), ("labelmefacade", "test")):
            picture(folder / place / test / "images" / f"t{index}.jpg", 50 + index)
            label_map(folder / place / test / "labels" / f"t{index}.png", 9)
    return folder


def job(data, out, minutes=5.0):
    return Job(data, out, smoke=True, until=work.time.time() + 60 * minutes, failures=[])


def newest(folder):
    return max(folder.rglob("last*.ckpt"), key=lambda file: file.stat().st_mtime)


def weights_of(folder):
    return load_model(newest(folder)).state_dict()


# -- the whole command -------------------------------------------------------------------------------------------------


@pytest.fixture
def reached(monkeypatch):
    """Trainings reach their last iteration without training: name to iterations, in order."""
    iterations = {}

    def train(self, trainings, share=1.0):
        iterations.update({each.name: each.iterations for each in trainings})

    monkeypatch.setattr(Job, "train", train)
    monkeypatch.setattr(Job, "iteration", lambda self, training: iterations.get(training.name, 0))
    return iterations


def test_general_trains_all_candidates_briefly_and_the_best_for_long(data, tmp_path, monkeypatch, reached) -> None:
    bakeoff, distance = {}, {"aff": 3.0, "gated": 1.0, "spn": 2.0}

    def judged(job, name):
        bakeoff.setdefault(name, reached[name])
        return {"psnr_hole": 20.0, "feature_distance": distance[name]}

    monkeypatch.setattr(jobs, "judge", judged)
    campaign = job(data, tmp_path)
    jobs.general(campaign)
    assert bakeoff == {"aff": 2, "gated": 2, "spn": 2} and reached == {**bakeoff, "gated": 4}
    assert set(yaml.safe_load((tmp_path / "bakeoff.yaml").read_text())) == set(jobs.CANDIDATES)
    assert yaml.safe_load((tmp_path / "figures.yaml").read_text()) == judged(campaign, "gated")
    reached.clear()
    jobs.general(campaign)  # a second command
    assert reached == {"gated": 4}


def test_a_bake_off_that_is_not_finished_chooses_nobody(data, tmp_path, monkeypatch, reached) -> None:
    monkeypatch.setattr(Job, "train", lambda self, trainings, share=1.0: None)
    with pytest.raises(RuntimeError, match=r"the bake-off is not finished: .* give the job more minutes"):
        jobs.general(job(data, tmp_path))
    assert not (tmp_path / "winner").exists()


@pytest.mark.slow
def test_general_chooses_a_winner_and_trains_it_on_and_a_second_command_has_nothing_left_to_train(
    data, tmp_path, capsys, monkeypatch
) -> None:
    monkeypatch.setattr(jobs, "CANDIDATES", {name: jobs.CANDIDATES[name] for name in ("gated",)})
    out = tmp_path / "out"
    command = ["--minutes", "5", "--jobs", "general", "--data", str(data), "--out", str(out), "--smoke"]
    assert main(command) == 0, capsys.readouterr().err
    winner = (out / "general" / "winner").read_text()
    assert set(yaml.safe_load((out / "general" / "bakeoff.yaml").read_text())) == {"gated"}
    assert read_checkpoint(newest(out / "general" / winner)).content["inpainter"]["iteration"] == 4
    before = weights_of(out / "general" / winner)
    written = list((out / "parts").iterdir())
    assert 1 <= len(written) <= 8 and max(part.stat().st_size for part in written) <= 16 * 2**20

    later = tmp_path / "later"
    command = ["--minutes", "5", "--jobs", "general", "--data", str(data), "--out", str(later), "--smoke"]
    assert main([*command, "--earlier", str(out / "parts")]) == 0
    assert (later / "general" / "winner").read_text() == winner
    after = load_model(next((later / "general" / winner).rglob("weights.safetensors"))).state_dict()
    assert all(torch.equal(value.half().float(), after[name].float()) for name, value in before.items())


# -- the other jobs, a few methods each --------------------------------------------------------------------------------


@pytest.mark.slow
def test_facade_compares_every_method_that_was_trained(data, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(jobs, "METHODS", ("gated", "spn"))
    campaign = job(data, tmp_path / "facade")
    facade(campaign)
    assert campaign.failures == []
    table = (campaign.out / "benchmark" / "table.md").read_text()
    assert all(name in table for name in ("MeanColour", "Diffusion", "gated", "spn")) and "iterations)" not in table


@pytest.mark.slow
def test_mixed_scenes_are_tested_with_miou(data, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(jobs, "MIXED", ("basenet", "sgenet"))
    monkeypatch.setattr(jobs, "STREETS", jobs.STREETS[1:])
    campaign = job(data, tmp_path / "mixed")
    mixed(campaign)
    assert campaign.failures == []
    (metrics,) = (campaign.out / "labelmefacade-sgenet").rglob("test/**/metrics.json")
    assert "miou" in metrics.read_text()


@pytest.mark.slow
def test_speed_and_parity_on_the_cpu(data, tmp_path) -> None:
    campaign = job(data, tmp_path / "measure")
    measure.speed(campaign)
    measure.parity(campaign)
    assert campaign.failures == []
    rows = (campaign.out / "speed.md").read_text()
    assert "| gated | forward | float32 |" in rows and "| gated | train | reference |" in rows
    assert "SPN" in (campaign.out / "parity.yaml").read_text()


# -- time, and going on ------------------------------------------------------------------------------------------------


def test_a_training_cut_by_its_deadline_ends_with_the_same_weights_as_one_that_was_not(data, tmp_path) -> None:
    whole, cut = (job(data, tmp_path / name) for name in ("whole", "cut"))
    narrow = ("--model.adversaries.global.discriminator.width", "4")

    def training(campaign, iterations):
        return Training("gated", [*jobs.facade_options(campaign, "gated"), *narrow], iterations)

    whole.train([training(whole, 3)])
    weights = cut.out / "gated" / "weights.safetensors"
    cut.train([training(cut, 1)])  # a bake-off
    assert weights.is_file()
    cut.until = 0.0  # over before it begins: one batch more
    cut.train([training(cut, 3)])
    assert cut.iteration(training(cut, 3)) == 2 and not weights.exists()
    cut.until = work.time.time() + 300
    cut.train([training(cut, 3)])
    assert weights.is_file() and whole.failures == cut.failures == []
    found = weights_of(cut.out / "gated")
    assert all(torch.equal(value, found[name]) for name, value in weights_of(whole.out / "gated").items())


def test_a_failure_is_written_down_and_the_rest_goes_on(data, tmp_path) -> None:
    campaign = job(data, tmp_path / "job")

    def fail():
        raise RuntimeError("out of memory")

    assert not campaign.attempt("first", fail)
    assert campaign.attempt("second", lambda: None)
    assert campaign.failures == ["job/first"]
    assert "out of memory" in (campaign.out / "first.error.txt").read_text()


def test_the_command_says_what_it_needs(data, tmp_path, capsys) -> None:
    with pytest.raises(SystemExit):
        main(["--minutes", "1", "--data", str(tmp_path / "none"), "--out", str(tmp_path / "out")])
    assert "benchmarks.campaign.pack" in capsys.readouterr().err


def test_the_choice_is_the_smallest_feature_distance_near_the_best_psnr() -> None:
    figures = {
        "sharp": {"psnr_hole": 20.0, "feature_distance": 1.0},
        "blurred": {"psnr_hole": 20.3, "feature_distance": 2.0},
        "wrong": {"psnr_hole": 15.0, "feature_distance": 0.5},
    }
    assert choose(figures) == "sharp"


# -- parts -------------------------------------------------------------------------------------------------------------


def test_parts_hold_figures_first_then_the_most_valuable_weights_and_come_back(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(parts, "PART_SIZE", 64 * 1024)
    out = tmp_path / "out"
    sizes = {
        "facade/table.md": 100,
        "facade/spn/last.ckpt": 200_000,
        "general/aff/last.ckpt": 250_000,
        "facade/pennet/last.ckpt": 300_000,
        "general/spn/last.ckpt": 20,
        "general/spn/weights.safetensors": 10,
    }
    for name, size in sizes.items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes(name.encode() * (size // len(name) + 1))
    left_out = split(out, ["general", "facade"], out / "parts")
    # The checkpoint of a finished training is not needed; the largest of the less valuable ones has no room.
    assert sorted(left_out) == ["facade/pennet/last.ckpt", "general/spn/last.ckpt"]
    written = list((out / "parts").iterdir())
    assert 1 < len(written) <= 8 and max(part.stat().st_size for part in written) <= 64 * 1024
    join(out / "parts", tmp_path / "back")
    back = {str(f.relative_to(tmp_path / "back")): f for f in (tmp_path / "back").rglob("*") if f.is_file()}
    assert sorted(back) == sorted(set(sizes) - set(left_out))
    assert all(file.read_bytes() == (out / name).read_bytes() for name, file in back.items())
    written[0].unlink()
    with pytest.raises(FileNotFoundError):
        join(out / "parts", tmp_path / "again")


# -- data --------------------------------------------------------------------------------------------------------------


def test_the_mixture_is_reproducible_and_held_back_crops_are_whole(data) -> None:
    folders = {"train": str(data / "photographs" / "train"), "held_back": str(data / "photographs" / "held_back")}
    module = PhotographsAndScenes(**folders, size=64, scene_share=0.5, train_size=6, batch_size=2, num_workers=0)
    batches = [list(module.train_dataloader()) for _ in range(2)]
    assert torch.equal(batches[0][0]["image"], batches[1][0]["image"])
    dataset = module.train_dataloader().dataset
    assert not torch.equal(dataset[SampleKey(0, 1)]["image"], dataset[SampleKey(1, 1)]["image"])
    assert [batch["name"] for batch in module.val_dataloader()] == [["h0", "h1"]]


def test_object_masks_are_one_part_within_the_share_and_come_from_the_generator_alone() -> None:
    masks = ObjectMasks(share=(0.05, 0.3), grow=2)
    holes = [masks.draw(64, 64, np.random.default_rng(seed), 0) for seed in range(5)]
    assert all(set(hole.unique().tolist()) == {0.0, 1.0} and 0.05 <= hole.mean() < 0.6 for hole in holes)
    assert torch.equal(holes[0], masks.draw(64, 64, np.random.default_rng(0), 9))
    assert not torch.equal(holes[0], holes[1])
    with pytest.raises(ValueError, match=r"share must be"):
        ObjectMasks(share=(0.5, 0.1))
