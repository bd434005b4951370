"""What the processes of a run know of each other."""

import time

import pytest
import torch.distributed as dist

from inpaintzoo.callbacks import meeting
from inpaintzoo.callbacks.meeting import Lost, Meeting


def test_a_process_that_has_not_begun_yet_is_not_lost(monkeypatch):
    monkeypatch.setattr(meeting, "SILENCE", 0.1)
    store = dist.HashStore()
    others = Meeting(store, 0, 2, "go on")
    for _ in range(3):  # it imports its modules
        others.check()
        time.sleep(0.1)
    store.add("beats/1", 1)
    others.check()
    time.sleep(0.2)
    with pytest.raises(Lost, match=r"process 1 gives no sign of life .*; go on"):
        others.check()
    others.leave(failed=True)
