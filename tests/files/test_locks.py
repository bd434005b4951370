"""A folder is used by one command at a time, and a killed one does not keep it."""

import os
import signal

import pytest

from inpaintzoo.files.locks import sole_use
from inpaintzoo.types import ConfigError


def test_a_second_command_is_refused_until_the_first_has_ended(tmp_path):
    folder = tmp_path / "new" / "out"
    with sole_use(folder):
        with (
            pytest.raises(ConfigError, match=r"out is in use by another .*; wait until"),
            sole_use(folder),
        ):
            pass
        with sole_use(tmp_path / "other"):
            pass
    assert not folder.exists(), "it was made for nothing"
    folder.mkdir()
    with sole_use(folder):
        pass
    assert not any(folder.iterdir()), "nothing is left"


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_a_killed_command_does_not_keep_a_folder(tmp_path):
    ready, told = os.pipe()
    child = os.fork()
    if child == 0:
        with sole_use(tmp_path):
            os.write(told, b"x")
            signal.pause()
        os._exit(0)
    os.read(ready, 1)
    with pytest.raises(ConfigError, match="in use"), sole_use(tmp_path):
        pass
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with sole_use(tmp_path):
        pass
    assert not any(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_is_the_system_s_error(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OSError, match="file"), sole_use(tmp_path / "file" / "out"):
        pass
