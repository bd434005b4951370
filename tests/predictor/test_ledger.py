"""The ledger of a folder of filled pictures: how often it is written, and that nothing is lost."""

import json

import pytest

from inpaintzoo.files import record
from inpaintzoo.predictor import ledger as module
from inpaintzoo.predictor.ledger import Ledger
from inpaintzoo.types import DataError


def test_a_slow_ledger_is_written_rarely_and_complete_in_the_end(tmp_path, monkeypatch):
    clock, written, real = [100.0], [], record.write_text

    def takes_a_second(target, text):
        real(target, text)
        written.append(clock[0])
        clock[0] += 1

    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(record, "write_text", takes_a_second)
    files = [tmp_path / f"{number}.png" for number in range(65)]
    ledger = Ledger(tmp_path / "inpaint.json", {"seed": 1}, force=False)
    ledger.begin(files)
    for file in files:
        file.write_bytes(b"filled")
        clock[0] += 2  # seconds a picture
        ledger.note([file], [file])
    assert written == [100, 121, 142, 163, 184, 205, 226], (
        "twenty times as long as the writing took, at least, lies between"
    )
    killed = Ledger(tmp_path / "inpaint.json", {"seed": 1}, force=False)
    assert sum(killed.made([file], [file]) for file in files) == 60
    killed.check_ours(files)  # those that it does not know are its own all the same
    ledger.write()
    after = Ledger(tmp_path / "inpaint.json", {"seed": 1}, force=False)
    assert all(after.made([file], [file]) for file in files)


def test_a_quick_ledger_is_written_each_time(tmp_path, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    ledger = Ledger(tmp_path / "inpaint.json", {}, force=False)
    for number in range(3):
        file = tmp_path / f"{number}.png"
        file.write_bytes(b"filled")
        clock[0] += 0.5
        ledger.note([file], [file])
        assert Ledger(tmp_path / "inpaint.json", {}, force=False).made([file], [file])


@pytest.mark.parametrize("filled", [[], {"a.png": 3}, {"a.png": [["x"]]}, {"a.png": [[1.5, 2]]}, {"a.png": [7]}])
def test_a_damaged_ledger_is_named(tmp_path, filled):
    (tmp_path / "inpaint.json").write_text(json.dumps({"seed": 1, "filled": filled}))
    with pytest.raises(DataError, match=r"inpaint.json is damaged \(Expected .+\); delete it, or name another folder"):
        Ledger(tmp_path / "inpaint.json", {"seed": 1}, force=False)
