"""What teachers and the diversity term do for SPN, in narrow runs on a CPU: 64 pixels, a few hundred iterations.

    python -m benchmarks.spn_narrow --out runs/narrow                                     # on scenes
    python -m benchmarks.spn_narrow --out runs/narrow --train FOLDER --test FOLDER        # on photographs

Every run is a shipped config at an eighth of the width. Photographs are cut into squares first, so that a few large
ones give many small ones. `OUT/results.jsonl` gets a line for each run, and runs that it has are not repeated.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from PIL import Image

from inpaintzoo.commands import main as inpaintzoo
from inpaintzoo.data import ScenesData
from inpaintzoo.pictures.images import tensor_to_image

SIDE = 64
NARROW = {"width": 8, "growth": 4, "dense_blocks": 2, "hidden": 8, "blocks": 2}
TEACHERS = ("BuiltinTeacher", "EfficientNetTeacher", "RandomTeacher")


def diversity_options(name: str, iterations: int) -> list[str]:
    """Options for `spn_probabilistic`: its diversity term, warmed up over a third of the run; the paper's; or none."""
    perceptual = "--model.losses.perceptual"
    if name == "paper":
        papers = {"calibrate": "false", "epsilon": "1e-5", "diversity_weight": "1"}
        options = [word for key, value in papers.items() for word in (f"{perceptual}.{key}", value)]
        return [*options, "--trainer.callbacks", "null"]
    if name == "none":
        return [f"{perceptual}.diversity_weight", "0", "--trainer.callbacks", "null"]
    warm_up = {"loss": "perceptual", "setting": "diversity_weight", "weights": [0.0, 0.1], "gradual": True}
    warm_up["iterations"] = [0, iterations // 3]
    return ["--trainer.callbacks", json.dumps([{"class_path": "LossSchedule", "init_args": warm_up}])]


def paint(folder: Path, train: int = 300, test: int = 40) -> None:
    """Write built-in scenes as files, since painting them again in every run costs more than training."""
    data = ScenesData(train_size=train, val_size=1, test_size=test, image_size=SIDE)
    for split in ("train", "test"):
        (folder / split).mkdir(parents=True)
        source = data.source(split)
        for index in range(len(source)):
            tensor_to_image(source.load(index).image).save(folder / split / f"{index:04d}.png")


def cut(pictures: Path, folder: Path, cell: int = 128) -> None:
    """Write a photograph, scaled to a short side of three cells, as squares of `SIDE`."""
    folder.mkdir(parents=True)
    for path in sorted(path for path in pictures.iterdir() if path.suffix.lower() in (".jpg", ".jpeg", ".png")):
        photo = Image.open(path).convert("RGB")
        scale = 3 * cell / min(photo.size)
        photo = photo.resize((round(photo.width * scale), round(photo.height * scale)), Image.Resampling.LANCZOS)
        for top in range(0, photo.height - cell + 1, cell):
            for left in range(0, photo.width - cell + 1, cell):
                square = photo.crop((left, top, left + cell, top + cell)).resize((SIDE, SIDE), Image.Resampling.LANCZOS)
                square.save(folder / f"{path.stem}-{top}-{left}.png")


def run(folder: Path, data: Path, config: str, options: list[str], iterations: int, seed: int) -> dict[str, float]:
    """Train and test a config; metrics of one fill, and if it is stochastic of the best of five and their diversity."""
    common = ["--config", f"configs/{config}.yaml", *options, "--config", "configs/data/folder.yaml"]
    common += ["--data.train", str(data / "train"), "--data.test", str(data / "test"), "--data.transform", "ResizeTo"]
    common += ["--data.transform.size", str(SIDE), "--data.batch_size", "4", "--data.num_workers", "0"]
    common += ["--data.masks", "SquareFreeForm", "--data.test_masks", "CentreSquare", "--seed_everything", str(seed)]
    common += ["--trainer.accelerator", "cpu", "--trainer.default_root_dir", str(folder)]
    for name, value in NARROW.items():
        common += [f"--model.generator.{name}", str(value)]
    common += ["--model.adversaries.global.discriminator.width", "16"]
    fit = ["--model.max_iterations", str(iterations), "--trainer.limit_val_batches", "0", "--ema.decay", "0.98"]
    fit += ["--model.generator_optimizer.lr", "5e-4", "--model.discriminator_optimizer.lr", "2e-4"]
    started = time.process_time()
    assert inpaintzoo(["fit", *common, *fit]) == 0
    seconds = time.process_time() - started
    (checkpoint,) = folder.rglob("last.ckpt")
    found = {"cpu_seconds": round(seconds)}
    for samples in (1, 5) if config == "spn_probabilistic" else (1,):
        out = folder / f"test-{samples}"
        test = ["--ckpt_path", str(checkpoint), "--model.samples", str(samples), "--trainer.default_root_dir", str(out)]
        assert inpaintzoo(["test", *common, *test]) == 0
        summary = json.loads(next(out.rglob("metrics.json")).read_text())["summary"]["all"]
        found |= {f"{name}@{samples}": value for name, value in summary.items()}
    return found


def main() -> None:
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--train", type=Path, help="photographs to train on; without them: scenes")
    parser.add_argument("--test", type=Path, help="photographs to test on")
    parser.add_argument("--iterations", type=int, default=300)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--only", nargs="+", help="names of runs, such as BuiltinTeacher, none, calibrated")
    given = parser.parse_args()
    data = given.out / ("photographs" if given.train else "scenes")
    if not data.exists():
        if given.train:
            cut(given.train, data / "train")
            cut(given.test, data / "test")
        else:
            paint(data)
    runs = {name: ("spn", ["--model.losses.prior.teacher", name]) for name in TEACHERS}
    runs["no teacher"] = ("spn", ["--config", "configs/ablations/spn_no_distillation.yaml"])
    for name in ("calibrated", "paper", "none"):
        runs[f"{name} diversity"] = ("spn_probabilistic", diversity_options(name, given.iterations))
    results = given.out / "results.jsonl"
    done = [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
    for seed in given.seeds:
        for name, (config, options) in runs.items():
            key = {"data": data.name, "run": name, "seed": seed, "iterations": given.iterations}
            if (given.only and name not in given.only) or any(key.items() <= row.items() for row in done):
                continue
            folder = given.out / "-".join(str(part) for part in key.values()).replace(" ", "_")
            row = key | run(folder, data, config, options, given.iterations, seed)
            with results.open("a") as file:
                file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
