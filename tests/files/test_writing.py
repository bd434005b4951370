"""How files are written: whole, with ordinary permissions, and without traces of killed processes."""

import errno
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from inpaintzoo.discriminators import SPNDiscriminator
from inpaintzoo.files import writing
from inpaintzoo.files.writing import write_whole
from inpaintzoo.models import PENNet
from inpaintzoo.types import WeightsError
from inpaintzoo.weights import load_model, load_network, save_model

posix = pytest.mark.skipif(os.name != "posix", reason="permissions and signals of POSIX")


@posix
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_the_umask_decides_who_may_read_a_weight_file(tmp_path, umask, mode):
    torch.manual_seed(0)
    before = os.umask(umask)
    try:
        save_model(PENNet(width=4), tmp_path / "net.safetensors")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "net.safetensors").stat().st_mode) == mode


def test_names_of_full_length_are_written(tmp_path):
    target = tmp_path / ("語" * 83 + ".png")
    write_whole(target, lambda file: Path(file).write_text("x"))
    assert target.read_text() == "x" and list(tmp_path.iterdir()) == [target]


HANGS = """
import sys, time
from pathlib import Path
from inpaintzoo.files.writing import write_whole

def write(file):
    Path(file).write_text("half")
    print("there", flush=True)
    time.sleep(60)

write_whole(Path(sys.argv[1]), write)
"""


def next_run():
    """Forget, as a new process has, which folders were searched."""
    writing._sweep.cache_clear()


@posix
def test_what_a_killed_process_left_is_removed(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", HANGS, str(tmp_path / "a.txt")], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"there\n"
    (left,) = tmp_path.iterdir()
    write_whole(tmp_path / "a.txt", lambda file: Path(file).write_text("first"))
    assert left.is_dir(), "its writer lives"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    write_whole(tmp_path / "b.txt", lambda file: Path(file).write_text("other"))
    assert left.is_dir(), "a run searches a folder once"
    next_run()
    write_whole(tmp_path / "a.txt", lambda file: Path(file).write_text("second"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt", "b.txt"]
    assert (tmp_path / "a.txt").read_text() == "second"


def test_what_another_machine_left_is_removed_after_a_day(tmp_path):
    names = []

    def write(file):
        names.append(os.path.basename(os.path.dirname(file)))
        with open(file, "w") as opened:
            opened.write("x")

    write_whole(tmp_path / "a.txt", write)
    prefix = names[0].rsplit("-", 3)[0]  # before host, process and the random end
    left = tmp_path / f"{prefix}-0a0a0a0a-1-abc"
    left.mkdir()
    next_run()
    write_whole(tmp_path / "a.txt", write)
    assert left.is_dir(), "its writer may live"
    os.utime(left, (time.time() - 2 * 24 * 3600,) * 2)
    next_run()
    write_whole(tmp_path / "a.txt", write)
    assert not left.exists()


# --- the system's errors ----------------------------------------------------------------------------------------------


@posix
@pytest.mark.parametrize(
    "write",
    [
        lambda file: Path(file).write_bytes(bytes(9999)),
        lambda file: Image.effect_noise((99, 99), 50).save(file),
        lambda file: save_file({"a": torch.zeros(9999)}, file),
        lambda file: shutil.copyfile(sys.executable, file),
    ],
)
def test_a_file_that_the_system_refuses_is_named_with_the_reason(tmp_path, small_files, write):
    (tmp_path / "a.png").write_text("before")
    with small_files(), pytest.raises(OSError, match=r"cannot be written \(File too large\): '[^']*/a.png'") as caught:
        write_whole(tmp_path / "a.png", write)
    assert caught.value.errno == errno.EFBIG and caught.value.filename == str(tmp_path / "a.png")
    assert (tmp_path / "a.png").read_text() == "before" and len(list(tmp_path.iterdir())) == 1


def test_reasons_are_found_in_what_libraries_say(tmp_path):
    def torch_says(file):
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        finally:
            raise RuntimeError("PytorchStreamWriter failed")

    def pillow_says(file):
        raise OSError("encoder error -2")

    for write, reason in ((torch_says, "No space left on device"), (pillow_says, "encoder error -2")):
        with pytest.raises(OSError, match=rf"cannot be written \({reason}\): '[^']*/a.png'"):
            write_whole(tmp_path / "a.png", write)
    with pytest.raises(ZeroDivisionError):
        write_whole(tmp_path / "a.png", lambda file: 1 / 0)


def test_a_container_on_this_machine_is_another_machine(monkeypatch):
    here = writing._machine()
    monkeypatch.setattr(os, "readlink", lambda path: "pid:[1]")
    there = writing._machine()
    assert here != there == writing._machine(), "its process numbers say nothing here"


# --- files that ask for more than they hold ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("class_path", "arguments", "sentence"),
    [
        ("models.SPN", {"blocks": 10_000}, "far more tensors than the file, which holds 1"),
        ("models.SPN", {"blocks": 10**7}, "10000000 is too large a number for a file of this size"),
        ("discriminators.SPNDiscriminator", {"width": 2000}, "does not fit its network"),
    ],
)
def test_a_small_file_takes_little(tmp_path, class_path, arguments, sentence):
    about = {"inpaintzoo_format": "1", "class_path": f"inpaintzoo.{class_path}", "init_args": json.dumps(arguments)}
    save_file({"a": torch.zeros(1)}, tmp_path / "a.safetensors", {**about, "facts": "{}"})
    resource = pytest.importorskip("resource")
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises(WeightsError, match=sentence):
        load_network(tmp_path / "a.safetensors")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000, "kilobytes"
    assert time.process_time() - start < 10


def test_a_discriminator_is_refused_before_it_is_built(tmp_path, monkeypatch):
    save_model(SPNDiscriminator(width=4), tmp_path / "judge.safetensors")
    assert isinstance(load_network(tmp_path / "judge.safetensors"), SPNDiscriminator)
    monkeypatch.setattr(SPNDiscriminator, "__init__", lambda *_: pytest.fail("built"))
    with pytest.raises(WeightsError, match="holds a SPNDiscriminator, which fills no holes"):
        load_model(tmp_path / "judge.safetensors")
