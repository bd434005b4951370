"""The ledger of a folder of filled pictures: what is ours, what is made, and what a kill leaves."""

import json
import os

import pytest

from inpaintzoo.predictor.ledger import Ledger, stamps
from inpaintzoo.types import ConfigError, DataError


def make(ledger, path, content=b"filled", sources=(), replace=os.replace):
    """Write a file as the predictor does: complete, noted, then renamed."""
    part = path.with_suffix(".part")
    part.write_bytes(content)
    ledger.note(path, part, stamps(sources))
    replace(part, path)


def reopened(folder, force=False):
    return Ledger(folder / "inpaint.json", {"seed": 1}, force)


def test_a_killed_run_has_noted_all_its_files_and_no_other(tmp_path):
    source, *files = [tmp_path / f"{name}.png" for name in ("source", "a", "\udcff", "c", "d")]
    source.write_bytes(b"source")
    ledger = reopened(tmp_path)
    ledger.begin([])
    settings = (tmp_path / "inpaint.json").read_bytes()
    for file in files[:2]:
        make(ledger, file, sources=[source])
    make(ledger, files[2], sources=[source], replace=lambda part, path: None)  # killed before the file had its name
    with open(tmp_path / "inpaint.journal", "a") as journal:
        journal.write('\n["d.png", [[3, ')  # killed while it wrote
    assert (tmp_path / "inpaint.json").read_bytes() == settings, "the JSON file is not written for each picture"
    files[2].write_bytes(b"the user's")
    files[3].write_bytes(b"the user's")
    later = reopened(tmp_path)
    assert [later.made([file], [source]) for file in files] == [True, True, False, False]
    later.check_ours(files[:2])
    for file in files[2:]:
        with pytest.raises(ConfigError, match=f"{file.name}: already in the folder, and not as this command made it"):
            later.check_ours([file])
    forced = reopened(tmp_path, force=True)
    forced.begin(files)
    later = reopened(tmp_path)
    later.check_ours(files)  # a forced run that was stopped is continued without force
    assert not any(later.made([file], [source]) for file in files)
    assert not (tmp_path / "inpaint.journal").exists()
    files[3].write_bytes(b"the user's, meanwhile")
    with pytest.raises(ConfigError, match=r"/d\.png: already"):
        reopened(tmp_path).check_ours(files)


def test_a_file_that_was_to_be_made_again_stays_ours_when_the_run_is_killed(tmp_path):
    file, source = tmp_path / "a.png", tmp_path / "source.png"
    for content, replace in ((b"old", os.replace), (b"newer", lambda part, path: None)):
        source.write_bytes(content)
        ledger = reopened(tmp_path)
        ledger.begin([])
        make(ledger, file, content, [source], replace)
    ledger = reopened(tmp_path)
    ledger.check_ours([file])
    assert file.read_bytes() == b"old" and not ledger.made([file], [source])


def test_the_json_file_is_written_twice_a_run(tmp_path):
    ledger, files = reopened(tmp_path), [tmp_path / f"{number}.png" for number in range(50)]
    ledger.begin([])
    for file in files:
        make(ledger, file)
    ledger.end()
    assert not (tmp_path / "inpaint.journal").exists()
    assert len(json.loads((tmp_path / "inpaint.json").read_text())["filled"]) == 50
    assert reopened(tmp_path).made(files, [])


def test_a_ledger_that_another_command_has_changed_is_not_written(tmp_path):
    early, other = reopened(tmp_path), reopened(tmp_path)
    other.begin([])
    make(other, tmp_path / "a.png")
    with pytest.raises(ConfigError, match=r"another command has filled .* meanwhile; run this one again"):
        early.begin([])
    other.end()
    other.begin([])  # a second run of one object
    other.end()


def test_what_an_earlier_version_had_begun_only_is_not_ours(tmp_path):
    (tmp_path / "a.png").write_bytes(b"the user's")
    (tmp_path / "inpaint.json").write_text(json.dumps({"seed": 1, "filled": {"a.png": None}}))
    with pytest.raises(ConfigError, match="not as this command made it"):
        reopened(tmp_path).check_ours([tmp_path / "a.png"])


@pytest.mark.parametrize("filled", [[], {"a.png": 3}, {"a.png": [["x"]]}, {"a.png": [[1.5, 2]]}, {"a.png": [7]}])
def test_a_damaged_ledger_is_named(tmp_path, filled):
    (tmp_path / "inpaint.json").write_text(json.dumps({"seed": 1, "filled": filled}))
    with pytest.raises(DataError, match=r"inpaint.json is damaged \(Expected .+\); delete it, or name another folder"):
        Ledger(tmp_path / "inpaint.json", {"seed": 1}, force=False)
