"""How files are written: whole, with ordinary permissions, and without traces of killed processes."""

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from inpaintzoo.models import PENNet
from inpaintzoo.weights import save_model
from inpaintzoo.weights.files import write_whole

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
from inpaintzoo.weights.files import write_whole

def write(file):
    Path(file).write_text("half")
    print("there", flush=True)
    time.sleep(60)

write_whole(Path(sys.argv[1]), write)
"""


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
    assert left.is_dir(), "it is another file's"
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
    write_whole(tmp_path / "a.txt", write)
    assert left.is_dir(), "its writer may live"
    os.utime(left, (time.time() - 2 * 24 * 3600,) * 2)
    write_whole(tmp_path / "a.txt", write)
    assert not left.exists()
