"""Two processes give what one gives: the same weights after training, the same numbers from a test."""

import csv
import json
import os
import subprocess
import sys

import pytest
import torch
from places import SUPPORT, TESTS

CONFIG = str(TESTS / "conf" / "tiny.yaml")


def zoo(*arguments):
    environment = {**os.environ, "PYTHONPATH": str(SUPPORT), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, "-m", "inpaintzoo", *map(str, arguments)],
        env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def fit(folder, devices, batch_size, *options):
    zoo(
        "fit", "--config", CONFIG, "--trainer.default_root_dir", folder, "--trainer.devices", devices,
        "--data.batch_size", batch_size, "--data.train_size", 16, *options,
    )  # fmt: skip
    return torch.load(next(folder.rglob("last.ckpt")), weights_only=True)


# Plain gradient descent: Adam would hide a wrong factor of the gradients.
SGD = ("--model.generator_optimizer", "torch.optim.SGD", "--model.generator_optimizer.lr", 0.1,
       "--model.discriminator_optimizer", "torch.optim.SGD", "--model.discriminator_optimizer.lr", 0.1)  # fmt: skip


@pytest.mark.parametrize(
    "options", [(), ("--model.accumulate", 2, "--model.clip_norm", 0.5)], ids=["plain", "accumulated and clipped"]
)
def test_two_processes_train_like_one(tmp_path, options):
    # Masks of different areas: the normaliser of the hole loss must be that of the whole batch.
    one = fit(tmp_path / "one", 1, 4, *SGD, *options)
    two = fit(tmp_path / "two", 2, 2, *SGD, *options)
    assert one["inpainter"]["iteration"] == two["inpainter"]["iteration"] == 4
    for name, value in one["state_dict"].items():
        assert torch.allclose(value, two["state_dict"][name], atol=1e-6), name


def test_two_processes_resume_in_the_middle_of_a_window(tmp_path):
    options = (*SGD, "--model.accumulate", 2)
    whole = fit(tmp_path / "whole", 2, 2, *options)
    fit(tmp_path / "first", 2, 2, *options, "--model.max_iterations", 3)
    checkpoint = next((tmp_path / "first").rglob("last.ckpt"))
    resumed = fit(tmp_path / "second", 2, 2, *options, "--ckpt_path", checkpoint)
    for name, value in whole["state_dict"].items():
        assert torch.allclose(value, resumed["state_dict"][name], atol=1e-6), name


def test_two_processes_end_with_the_comparison_of_one(tmp_path):
    tables = []
    for devices in (1, 2):
        out = zoo(
            "fit", "--config", CONFIG, "--trainer.default_root_dir", tmp_path / str(devices),
            "--trainer.devices", devices, "--data.batch_size", 4 // devices, "--trainer.callbacks", "CompareFills",
        )  # fmt: skip
        tables.append([line for line in out.splitlines() if line.startswith(("  mean colour", "  diffusion"))])
    assert len(tables[0]) == 2 and tables[0] == tables[1]


def test_two_processes_test_like_one(tmp_path):
    results = []
    for devices in (1, 2):  # five pictures: one of them is repeated to even out two processes
        folder = tmp_path / str(devices)
        zoo("test", "--config", CONFIG, "--trainer.default_root_dir", folder, "--trainer.devices", devices,
            "--data.batch_size", 1)  # fmt: skip
        numbers = json.loads(next(folder.rglob("metrics.json")).read_text())
        rows = list(csv.reader(next(folder.rglob("per_image.csv")).open()))
        results.append((numbers["summary"], numbers["manifest_digest"], rows))
    assert len(results[0][2]) == 6
    assert results[0] == results[1]
