"""The one place where commands end with an error: one line, whatever was raised."""

import os
import signal

import pytest
import torch
from places import TESTS
from safetensors import SafetensorError
from torch.utils.data import DataLoader

from inpaintzoo import Inpainter, commands
from inpaintzoo.commands import main, training  # noqa: F401  (Lightning's log must not bind to a test's stderr)
from inpaintzoo.commands.run import exit_code, told
from inpaintzoo.commands.training import ZooCLI
from inpaintzoo.commands.usage import UsageError
from inpaintzoo.types import DataError

TINY = str(TESTS / "conf" / "tiny.yaml")


class Killed(torch.utils.data.Dataset):
    def __len__(self):
        return 2

    def __getitem__(self, index):
        os.kill(os.getpid(), signal.SIGKILL)


class Failing(Killed):
    def __init__(self, error):
        self.error = error

    def __getitem__(self, index):
        raise self.error


def of_a_worker(dataset):
    with pytest.raises(Exception) as caught:
        list(DataLoader(dataset, num_workers=1, multiprocessing_context="fork"))
    return caught.value


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (OSError(28, "No space left on device", "a/last.ckpt"), "a/last.ckpt: No space left on device"),
        (OSError(30, "Read-only file system"), "Read-only file system"),
        (OSError(27, "File too large", "a.png"), "a.png: File too large"),
        (FileNotFoundError(2, "No such file or directory", "runs"), "runs: No such file or directory"),
        (OSError("encoder error -2 when writing image file"), "encoder error -2 when writing image file"),
        (DataError("a.png: damaged"), "a.png: damaged"),
        (ValueError("Invalid\n  value"), "Invalid value"),
        (SafetensorError("header too large"), "header too large"),
        (MemoryError(), "memory ran out"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried"), "memory ran out"),
        (RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"), "memory ran out"),
        (OSError(12, "Cannot allocate memory"), "memory ran out"),
        (
            RuntimeError("[/pytorch/gloo/pair.cc:534] Connection closed by peer [127.0.0.1]:1"),
            "another process of this",
        ),
        (torch.distributed.DistBackendError("NCCL error: remote process exited"), "another process of this run"),
    ],
)
def test_an_error_of_the_system_or_of_the_user_is_one_sentence(error, text):
    assert told(error).startswith(text) and "\n" not in told(error)


def test_an_error_of_a_loading_process_is_told_as_if_it_had_none():
    assert told(of_a_worker(Killed())).startswith("a loading process was killed, most likely because memory ran out")
    assert told(of_a_worker(Failing(DataError("a.png: damaged")))) == "a.png: damaged"
    assert told(of_a_worker(Failing(ValueError("of two:\nlines")))) == "of two: lines"


def test_a_mistake_in_the_code_is_named_with_its_place(capsys, monkeypatch):
    def run():
        return {}["weight"]

    assert exit_code("inpaintzoo fit", run) == 1
    said = capsys.readouterr().err
    assert said.startswith("inpaintzoo fit: error: KeyError: 'weight' (test_run.py, line ") and said.count("\n") == 1
    assert "INPAINTZOO_TRACEBACK=1" in said
    monkeypatch.setenv("INPAINTZOO_TRACEBACK", "1")
    with pytest.raises(KeyError):
        exit_code("inpaintzoo fit", run)


@pytest.mark.parametrize(
    ("raised", "code"),
    [(UsageError("a"), 2), (SystemExit(), 0), (SystemExit(3), 3), (SystemExit("no"), 1), (KeyboardInterrupt(), 130)],
)
def test_exit_codes(raised, code, capsys):
    def run():
        raise raised

    assert exit_code("try", run) == code
    assert "Traceback" not in capsys.readouterr().err


def test_each_of_several_processes_says_which_it_is(capsys, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert exit_code("try", lambda: [][0]) == 1
    assert capsys.readouterr().err.startswith("try: error (process 1): IndexError")


ADAM = ["--model.generator_optimizer", "Adam"]
PLATEAU = "torch.optim.lr_scheduler.OneCycleLR"
STEP = ["--model.generator_scheduler", "StepLR", "--model.generator_scheduler.step_size"]
FIT = [
    ([*ADAM, "--model.generator_optimizer.lr", "-1"], 1, "--model.generator_optimizer: Invalid learning rate: -1"),
    (["--model.discriminator_optimizer", "LBFGS"], 1, "--model.discriminator_optimizer: LBFGS.step() missing"),
    (["--model.generator_optimizer", "SparseAdam"], 1, "--model.generator_optimizer: SparseAdam does not support"),
    ([*STEP, "0"], 1, "--model.generator_scheduler: integer modulo by zero"),
    (["--model.generator_scheduler", PLATEAU, "--model.generator_scheduler.max_lr", "1"], 1, "You must define either"),
    (["--seed_everything", "-1"], 2, "--seed_everything -1: must be at least 0 and below 2^32"),
    (["--trainer.val_check_interval", "0"], 1, "--trainer.val_check_interval must be above 0, got 0"),
    (["--trainer.log_every_n_steps", "0"], 1, "--trainer.log_every_n_steps must be above 0, got 0"),
    (
        ["--trainer.devices", "[0,0]"],
        1,
        "--trainer.devices must name at least one device, and each one once, got [0, 0",
    ),
    (["--trainer.limit_train_batches", "0"], 1, "--trainer.limit_train_batches 0 trains nothing; it must be above 0"),
    (["--trainer.limit_train_batches", "0.0"], 1, "--trainer.limit_train_batches 0 trains nothing"),
    (["--trainer.devices", "0"], 1, "--trainer.devices must name at least one device"),
    (["--trainer.max_epochs", "-5"], 1, "--trainer: `max_epochs` must be"),
    (["--trainer.accelerator", "foo"], 1, "invalid accelerator name: `accelerator='foo'`"),
    (["--trainer.max_time", "x"], 1, "is not a valid duration"),
    (["--trainer.default_root_dir", "/dev/null/x"], 1, "Not a directory"),
    (["--model.generator.width", "0"], 1, "RuntimeError: Given groups=1"),
]


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
@pytest.mark.parametrize(("options", "code", "text"), FIT)
def test_a_fit_that_cannot_run_says_so_in_one_sentence(options, code, text, tmp_path, capsys):
    assert main(["fit", "--config", TINY, "--trainer.default_root_dir", str(tmp_path), *options]) == code
    error = capsys.readouterr().err
    (said,) = [line for line in error.splitlines() if ": error: " in line]
    assert said.startswith("inpaintzoo fit: error: ") and text in said and "Traceback" not in error


@pytest.mark.parametrize(
    ("command", "name", "nothing"),
    [("test", "test", "tests"), ("predict", "predict", "predicts"), ("validate", "val", "validates")],
)
def test_a_command_that_would_do_nothing_says_so(command, name, nothing, tmp_path, capsys):
    options = ["--trainer.default_root_dir", str(tmp_path), f"--trainer.limit_{name}_batches", "0"]
    assert main([command, "--config", TINY, *options]) == 1
    assert f"--trainer.limit_{name}_batches 0 {nothing} nothing; it must be above 0" in capsys.readouterr().err


def test_ctrl_c_while_modules_are_imported_is_one_line(monkeypatch, capsys):
    def interrupted(name):
        raise KeyboardInterrupt

    monkeypatch.setattr(commands.importlib, "import_module", interrupted)
    for command in ("fit", "inpaint"):
        assert main([command]) == 130
        assert capsys.readouterr().err == f"inpaintzoo {command}: stopped\n"
    monkeypatch.setattr(commands, "import_own", lambda command, rest: interrupted(command))
    assert main(["masks", "--import", "json"]) == 130
    assert capsys.readouterr().err == "inpaintzoo masks: stopped\n"


@pytest.mark.parametrize("command", ["fit", "test"])
def test_ctrl_c_before_the_first_batch_is_130(command, tmp_path, monkeypatch, capsys):
    def interrupted(self, stage):
        raise KeyboardInterrupt

    monkeypatch.setattr(Inpainter, "setup", interrupted)
    try:
        assert main([command, "--config", TINY, "--trainer.default_root_dir", str(tmp_path)]) == 130
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # Lightning ignores it now
    assert capsys.readouterr().err.endswith(f"inpaintzoo {command}: stopped\n")


@pytest.mark.parametrize("command", ["test", "predict", "validate", "fit"])
@pytest.mark.parametrize("name", ["my.safetensors", "gen.pth", "text.ckpt", "gone.ckpt"])
def test_a_file_that_is_no_checkpoint_is_named(command, name, tmp_path, capsys):
    path = tmp_path / name
    if name == "gen.pth":
        torch.save({"netG": {"weight": torch.zeros(1)}}, path)
    elif name != "gone.ckpt":
        path.write_bytes(b"\x08\0\0\0\0\0\0\0{}      ")
    assert main([command, "--config", TINY, "--ckpt_path", str(path)]) == 1
    error = capsys.readouterr().err
    (said,) = [line for line in error.splitlines() if ": error: " in line]
    assert str(path) in said and "weights_only" not in error and "Traceback" not in error


def test_only_the_options_of_the_called_command_are_made(monkeypatch, capsys):
    made = []
    monkeypatch.setattr(ZooCLI, "add_arguments_to_parser", lambda self, parser: made.append(parser))
    assert main(["fit", "--help"]) == 0
    assert len(made) == 1 and "--model" in capsys.readouterr().out


def test_output_that_nobody_reads_any_more_is_no_error(monkeypatch, capsys):
    """As with `inpaintzoo list | head -1`."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as pipe:
        monkeypatch.setattr("sys.stdout", pipe)
        assert exit_code("inpaintzoo list", lambda: print("much")) == 141
    assert capsys.readouterr().err == ""


def test_a_pipe_of_the_commands_own_that_breaks_is_an_error(capsys):
    def run():
        raise BrokenPipeError("Broken pipe")

    assert exit_code("inpaintzoo fit", run) == 1
    assert "Broken pipe" in capsys.readouterr().err
