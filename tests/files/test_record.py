"""What a folder's files were made with."""

import json

import pytest

from inpaintzoo.files.record import Record
from inpaintzoo.types import DataError

MADE_WITH = {"model": "fcn", "side": 520, "values": [1, 2]}


def test_a_new_folder_has_no_record_and_a_written_one_is_read_back(tmp_path):
    record = Record(tmp_path / "new" / "made.json", MADE_WITH)
    assert record.read() is None and record.differences() == []
    record.write()
    assert record.read() == MADE_WITH == json.loads(record.path.read_text())
    assert record.differences() == [] and list(record.path.parent.iterdir()) == [record.path]


def test_differences_name_what_changed_what_came_and_what_went(tmp_path):
    path = tmp_path / "made.json"
    Record(path, MADE_WITH).write()
    other = Record(path, {"model": "x" * 50, "side": 520, "seed": 3})
    assert other.differences() == [
        f"model was fcn and is {'x' * 37}...",
        "values was [1, 2] and is not there",
        "seed was not there and is 3",
    ]


@pytest.mark.parametrize("content", [b"{", b"[1]", b"\xff"])
def test_a_damaged_record_is_named(tmp_path, content):
    (tmp_path / "made.json").write_bytes(content)
    with pytest.raises(DataError, match=r"made\.json is damaged \(.+\); delete it, or name another folder"):
        Record(tmp_path / "made.json", MADE_WITH).differences()
