"""The jobs, the most valuable first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from torch.utils.data import DataLoader

from benchmarks.campaign.data import ObjectMasks
from benchmarks.campaign.measure import parity, speed
from benchmarks.campaign.work import Job, Training
from inpaintzoo import load_model
from inpaintzoo.data.dataset import InpaintingDataset
from inpaintzoo.data.folder import FolderSource
from inpaintzoo.data.masks import FreeForm, MixedMasks, RandomRectangles
from inpaintzoo.data.transforms import ResizeTo
from inpaintzoo.losses import Perceptual
from inpaintzoo.ops import composite
from inpaintzoo.teachers import EfficientNetTeacher

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "configs"

# Widths at which every network trains in seconds on a CPU, with the discriminators of the configs.
_TINY = {
    "pennet": ("--model.generator.width", "4"),
    "srpnet": ("--model.generator.width", "4"),
    "basenet": ("--model.generator.width", "4", "--model.generator.hidden", "8"),
    "sgnet": ("--model.generator.width", "4", "--model.generator.hidden", "8"),
    "sgenet": ("--model.generator.width", "4", "--model.generator.hidden", "8"),
    "spl": ("--model.generator.width", "4", "--model.generator.growth", "4", "--model.generator.hidden", "4"),
    "spn": ("--model.generator.width", "4", "--model.generator.growth", "4", "--model.generator.hidden", "4"),
    "gated": ("--model.generator.width", "4"),
    "aff": ("--model.generator.width", "12"),
    "pyramid_256": ("--model.generator.width", "4"),
}


# -- general: the model that ships as the default ----------------------------------------------------------------------

_COARSE = ("--model.losses.coarse", "L1", "--model.losses.coarse.which", "coarse", "--model.losses.coarse.weight", "2")
# All have four to five million parameters, so that their checkpoints fit the parts.
CANDIDATES: dict[str, tuple[str, ...]] = {
    "aff": ("--model.generator", "AFFNet", *_COARSE),
    "gated": ("--model.generator", "GatedNet", *_COARSE),
    "spn": (
        *("--model.generator", "SPN", "--model.generator.width", "16", "--model.generator.growth", "16"),
        *("--model.generator.hidden", "64", "--model.losses.prior", "PriorDistillation"),
    ),
}


def general(job: Job) -> None:
    """A bake-off of the candidates within 30 % of the time, then the winner for the rest of it."""
    short, long = (2, 4) if job.smoke else (400, 12000)
    folder, weights = job.data / "photographs", lite0_weights(job)

    def training(name: str, iterations: int) -> Training:
        options = ["--config", str(Path(__file__).parent / "general.yaml"), *CANDIDATES[name]]
        options += ["--data.train", str(folder / "train"), "--data.held_back", str(folder / "held_back")]
        options += ["--model.losses.perceptual.network.weights", weights or "null"]
        if name == "spn":
            options += ["--model.losses.prior.teacher", "EfficientNetTeacher"]
            options += ["--model.losses.prior.teacher.weights", weights or "null"]
        if job.smoke:
            options += [*_TINY[name], "--data.size", "64", "--data.batch_size", "4", "--data.num_workers", "0"]
            options += ["--data.train_size", "16", "--model.adversaries.global.discriminator.width", "4"]
        return Training(name, [*options, *_machine(job)], iterations)

    chosen = job.out / "winner"
    if not chosen.is_file():
        bakeoff = [training(name, short) for name in CANDIDATES]
        job.train(bakeoff, share=0.3)
        figures = {each.name: judge(job, each.name) for each in bakeoff if job.iteration(each)}
        (job.out / "bakeoff.yaml").write_text(yaml.safe_dump(figures, sort_keys=False))
        if any(job.iteration(each) < short for each in bakeoff):
            raise RuntimeError(f"the bake-off is not finished: {figures}; give the job more minutes")
        chosen.write_text(choose(figures))
    name = chosen.read_text()
    job.train([training(name, long)])
    (job.out / "figures.yaml").write_text(yaml.safe_dump(judge(job, name), sort_keys=False))


def lite0_weights(job: Job) -> str | None:
    """The packed weights of EfficientNet-Lite0; a smoke test does without them."""
    return None if job.smoke else str(job.data / "efficientnet-lite0.pth")


def choose(figures: Mapping[str, Mapping[str, float]]) -> str:
    """The smallest feature distance among the candidates within 0.5 dB of the best."""
    best = max(row["psnr_hole"] for row in figures.values())
    near = [name for name, row in figures.items() if row["psnr_hole"] >= best - 0.5]
    return min(near, key=lambda name: figures[name]["feature_distance"])


@torch.inference_mode()
def judge(job: Job, name: str) -> dict[str, float]:
    """Mean PSNR in the hole (dB) and feature distance of the fills of the held-back crops, and the iterations."""
    holes = MixedMasks([FreeForm(), RandomRectangles(count=(1, 2), side=(0.15, 0.5)), ObjectMasks()], [0.4, 0.3, 0.3])
    source = FolderSource(job.data / "photographs" / "held_back", transform=ResizeTo(64 if job.smoke else 256))
    network = load_model(job.checkpoint(name), job.device)
    distance = Perceptual(which="composite", network=EfficientNetTeacher(lite0_weights(job))).to(job.device)
    psnr, distances = [], []
    for sample in DataLoader(InpaintingDataset(source, holes, seed=0, augment=False)):
        image, mask = sample["image"].to(job.device), sample["mask"].to(job.device)
        output = network(image * (1 - mask), mask)
        error = (composite(image, output.image.clamp(0, 1), mask) - image).square().sum() / (3 * mask.sum())
        psnr.append(-10 * error.log10())
        distances.append(distance(output, {"image": image, "mask": mask}))
    return {
        "psnr_hole": round(float(torch.stack(psnr).mean()), 3),
        "feature_distance": round(float(torch.stack(distances).mean()), 4),
    }


def _machine(job: Job) -> tuple[str, ...]:
    if job.device == "cuda":
        return "--trainer.accelerator", "gpu", "--trainer.devices", "1", "--trainer.precision", "bf16-mixed"
    return "--trainer.accelerator", "cpu"


# -- facade and mixed scenes: the methods under one budget -------------------------------------------------------------


METHODS = ("pennet", "srpnet", "spn", "spl", "gated", "aff", "pyramid_256")


def facade_options(job: Job, method: str) -> list[str]:
    """Options of `inpaintzoo fit` for a method on the facades."""
    options = ["--config", str(CONFIGS / f"{method}.yaml"), "--config", str(CONFIGS / "data" / "facade.yaml")]
    return [*options, "--data.root", str(job.data / "facade"), *_size(job, method), *_machine(job)]


def facade(job: Job) -> None:
    """Every method on the same number of facades, then the benchmark."""
    iterations = 2 if job.smoke else 500
    trainings = [Training(method, facade_options(job, method), iterations) for method in METHODS]
    job.train(trainings, share=0.85)
    contenders: dict[str, Any] = {
        name: {"class_path": "Fill", "init_args": {"generator": name}} for name in ("MeanColour", "Diffusion")
    }
    for training in trainings:
        if reached := job.iteration(training):
            # Whoever ran out of time is compared all the same, and named for it.
            label = training.name if reached >= training.iterations else f"{training.name} ({reached} iterations)"
            contenders[label] = {"class_path": "Checkpoint", "init_args": {"path": str(job.checkpoint(training.name))}}
    squares = {
        "root": str(job.data / "facade"),
        "test": "test/images",
        "transform": {"class_path": "ResizeTo", "init_args": {"size": 128 if job.smoke else 256}},
        "num_workers": 0,
        "test_masks": {"class_path": "CentreSquare"},
    }
    config = {
        "contenders": contenders,
        "sets": {"squares": {"class_path": "FolderData", "init_args": squares}},
        "protocols": ["zoo", "pennet"],
        "out": str(job.out / "benchmark"),
        "batch_size": 2 if job.smoke else 10,
    }
    (job.out / "benchmark.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    job.command("benchmark", "--config", job.out / "benchmark.yaml", "--cost", "false", "--force")


# Name, test folder, classes with the unlabelled one if it is not the last, and its index.
STREETS = (("camvid", "val", 11, 11), ("labelmefacade", "test", 9, 0))
MIXED = ("basenet", "sgnet", "sgenet")


def mixed(job: Job) -> None:
    """Base-Net, SG-Net and SGE-Net on two sets of street views, tested with mIoU."""
    trainings = []
    for folder, test, classes, unlabelled in STREETS:
        for method in MIXED:
            options = ["--config", str(CONFIGS / f"{method}.yaml"), "--config", str(CONFIGS / "data" / "folder.yaml")]
            options += ["--data.root", str(job.data / folder), "--data.train", "train/images"]
            options += ["--data.test", f"{test}/images"]
            if method != "basenet":
                options += ["--data.labels_train", "train/labels", "--data.labels_test", f"{test}/labels"]
                options += ["--data.ignore_labels", f"[{unlabelled}]", "--model.generator.num_classes", str(classes)]
            options += ["--data.test_masks", "CentreSquare", *_size(job, method, short_side=True), *_machine(job)]
            trainings.append(Training(f"{folder}-{method}", options, iterations=2 if job.smoke else 600))
    job.train(trainings, share=0.9)
    for training in trainings:
        if job.iteration(training):
            where = ["--trainer.default_root_dir", job.out / training.name / "test"]
            checkpoint = ["--ckpt_path", job.checkpoint(training.name)]
            test = ("test", *training.options, *where, *checkpoint)
            job.attempt(f"{training.name}-test", lambda test=test: job.command(*test))  # type: ignore[misc]


def _size(job: Job, method: str, short_side: bool = False) -> list[str]:
    """Options for pictures of 256x256 in batches of 16, or the smoke test's."""
    side = (128 if method == "srpnet" else 64) if job.smoke else 256
    kind = ("ShortSideThenCrop", "short_side") if short_side else ("ResizeTo", "size")
    options = ["--data.transform", kind[0], f"--data.transform.{kind[1]}", str(side)]
    batch, workers = ("4", "0") if job.smoke else ("16", "12")
    options += ["--data.batch_size", batch, "--data.num_workers", workers, "--ema.decay", "0.99"]
    return [*options, *_TINY[method]] if job.smoke else options


@dataclass(frozen=True)
class Kind:
    """A kind of job.

    Attributes:
        run: does the work, in a process that was given some minutes for it.
        weight: its part of the time, relative to the other jobs.
    """

    run: Callable[[Job], None]
    weight: float


JOBS = {
    "general": Kind(general, 10),
    "facade": Kind(facade, 8),
    "mixed": Kind(mixed, 4),
    "speed": Kind(speed, 2),
    "parity": Kind(parity, 1),
}
