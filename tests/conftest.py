"""Settings that every test shares."""

import contextlib
import functools
import os
import sys

os.environ["TORCH_CPP_LOG_LEVEL"] = "ERROR"  # as `inpaintzoo` sets it before it imports torch

import pytest
import torch

# The tests' networks are tiny: a second thread costs more in waiting than it saves, above all on a busy machine.
torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def scenes_are_painted_once():
    """Each built-in scene is painted once for all tests but its own: painting takes as long as a training step."""
    if scenes := sys.modules.get("inpaintzoo.data.scenes"):
        scenes.paint_scene = functools.lru_cache(maxsize=256)(scenes.paint_scene)


@pytest.fixture
def small_files():
    """A context in which the system refuses files of more than 4 kB, as it does when a disk is full.

    Not around a whole test: pytest's own report, which may go to a file, is written before fixtures end.
    """
    resource = pytest.importorskip("resource")

    @contextlib.contextmanager
    def limited():
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limited
