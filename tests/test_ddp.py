"""Two processes give what one gives: the same weights after training, the same numbers from a test."""

import contextlib
import csv
import json
import os
import socket
import subprocess
import sys

import pytest
import torch
import torch.multiprocessing as mp
from places import SUPPORT, TESTS

from inpaintzoo.commands import main

CONFIG = str(TESTS / "conf" / "tiny.yaml")
# Plain gradient descent: Adam would hide a wrong factor of the gradients.
SGD = ("--model.generator_optimizer", "torch.optim.SGD", "--model.generator_optimizer.lr", 0.1,
       "--model.discriminator_optimizer", "torch.optim.SGD", "--model.discriminator_optimizer.lr", 0.1)  # fmt: skip

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks")


def arguments(command, folder, devices, batch_size, *options):
    run = ("--config", CONFIG, "--trainer.default_root_dir", folder, "--trainer.devices", devices)
    return [str(word) for word in (command, *run, "--data.batch_size", batch_size, *options)]


def one_of_two(rank, port, folder, commands, code):
    """A process of two, as torchrun would start it."""
    os.environ |= {"LOCAL_RANK": str(rank), "NODE_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    with (
        (folder / f"out-{rank}.txt").open("w") as out, (folder / f"err-{rank}.txt").open("w") as err,
        contextlib.redirect_stdout(out), contextlib.redirect_stderr(err),
    ):  # fmt: skip
        assert [main(command) for command in commands] == [code] * len(commands)
    # A group left open has threads that may abort the process while Python shuts down.
    assert code or not torch.distributed.is_initialized()


def zoo(folder, devices, *commands, code=0):
    """Run commands one after the other, in this process or in two forks of it, and return what they print."""
    folder.mkdir(exist_ok=True)
    if devices == 1:
        with (folder / "out-0.txt").open("w") as out, contextlib.redirect_stdout(out):
            assert [main(command) for command in commands] == [0] * len(commands)
    else:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        mp.start_processes(one_of_two, args=(port, folder, commands, code), nprocs=2, start_method="fork")
    return (folder / "out-0.txt").read_text()


def last(folder):
    return torch.load(next(folder.rglob("last.ckpt")), weights_only=True)


def check_same(one, two):
    for name, value in one["state_dict"].items():
        assert torch.allclose(value, two["state_dict"][name], atol=1e-6), name


@pytest.mark.parametrize(
    "options", [(), ("--model.accumulate", 2, "--model.clip_norm", 0.5)], ids=["plain", "accumulated and clipped"]
)
def test_two_processes_train_like_one(tmp_path, options):
    # Masks of different areas: the normaliser of the hole loss must be that of the whole batch.
    for devices in (1, 2):
        folder = tmp_path / str(devices)
        zoo(folder, devices, arguments("fit", folder, devices, 4 // devices, *SGD, "--data.train_size", 16, *options))
    one, two = last(tmp_path / "1"), last(tmp_path / "2")
    assert one["inpainter"]["iteration"] == two["inpainter"]["iteration"] == 4
    check_same(one, two)


# SPN's heads get a gradient from the prior loss only.
HEADLESS = (*SGD, "--model.generator", "SPN", "--model.generator.width", 4, "--model.generator.growth", 2,
            "--model.generator.hidden", 4, "--model.generator.dense_blocks", 1, "--model.generator.blocks", 1,
            "--model.losses", '{"image": {"class_path": "L1"}}', "--model.adversaries", "null",
            "--model.max_iterations", 2, "--trainer.limit_val_batches", 0)  # fmt: skip


def test_two_processes_train_a_network_of_which_a_part_gets_no_gradient(tmp_path):
    zoo(tmp_path, 2, arguments("fit", tmp_path, 2, 2, *HEADLESS))
    assert last(tmp_path)["inpainter"]["iteration"] == 2


def test_plain_ddp_says_which_part_gets_no_gradient(tmp_path):
    zoo(tmp_path, 2, arguments("fit", tmp_path, 2, 2, *HEADLESS, "--trainer.strategy", "ddp"), code=1)
    said = (tmp_path / "err-0.txt").read_text()
    assert (
        "generator's heads.0.weight, heads.0.bias, … (4 more); use strategy='ddp_find_unused_parameters_true'" in said
    )


def test_two_processes_resume_in_the_middle_of_a_window(tmp_path):
    options = (2, 2, *SGD, "--data.train_size", 16, "--model.accumulate", 2)
    zoo(
        tmp_path, 2,
        arguments("fit", tmp_path / "whole", *options),
        arguments("fit", tmp_path / "first", *options, "--model.max_iterations", 3),
        arguments("fit", tmp_path / "second", *options, "--ckpt_path", tmp_path / "first/lightning_logs/version_0"),
    )  # fmt: skip
    check_same(last(tmp_path / "whole"), last(tmp_path / "second"))


def test_two_processes_end_with_the_comparison_of_one(tmp_path):
    tables = []
    for devices in (1, 2):
        folder = tmp_path / str(devices)
        fit = arguments("fit", folder, devices, 4 // devices, "--trainer.callbacks", "CompareFills")
        out = zoo(folder, devices, fit)
        tables.append([line for line in out.splitlines() if line.startswith(("  mean colour", "  diffusion"))])
    assert len(tables[0]) == 2 and tables[0] == tables[1]


def test_two_processes_test_like_one(tmp_path):
    """Here the command starts the second process, as a user's would."""
    results = []
    for devices in (1, 2):  # five pictures: one of them is repeated to even out two processes
        folder = tmp_path / str(devices)
        command = arguments("test", folder, devices, 1)
        if devices == 1:
            zoo(folder, 1, command)
        else:
            paths = {"PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(SUPPORT)]), "CUDA_VISIBLE_DEVICES": ""}
            words = [sys.executable, "-m", "inpaintzoo", *command]
            done = subprocess.run(words, env=os.environ | paths, capture_output=True, text=True, timeout=300)
            assert done.returncode == 0, done.stdout + done.stderr
        numbers = json.loads(next(folder.rglob("metrics.json")).read_text())
        rows = list(csv.reader(next(folder.rglob("per_image.csv")).open()))
        results.append((numbers["summary"], numbers["manifest_digest"], rows))
    assert len(results[0][2]) == 6
    assert results[0] == results[1]
