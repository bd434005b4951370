import pickle
import zipfile

import pytest
import torch

from inpaintzoo.files.pickled import load_pickled, save_pickled
from inpaintzoo.files.writing import whole_files


def test_what_is_saved_is_loaded(tmp_path):
    save_pickled({"a": torch.arange(3), "b": "text"}, tmp_path / "a.ckpt")
    got = load_pickled(tmp_path / "a.ckpt")
    assert got["a"].tolist() == [0, 1, 2] and got["b"] == "text"
    assert [path.name for path in tmp_path.iterdir()] == ["a.ckpt"]


def test_the_file_before_is_kept_under_another_name(tmp_path):
    last, previous = tmp_path / "last.ckpt", tmp_path / "previous.ckpt"
    for number in range(3):
        save_pickled(number, last, keep_previous=previous)
    assert load_pickled(last) == 2 and load_pickled(previous) == 1


def test_without_hard_links_the_file_before_is_renamed(tmp_path, monkeypatch):
    def refuse(*args):
        raise OSError("no hard links here")

    monkeypatch.setattr("os.link", refuse)
    last, previous = tmp_path / "last.ckpt", tmp_path / "previous.ckpt"
    for number in range(3):
        save_pickled(number, last, keep_previous=previous)
    assert load_pickled(last) == 2 and load_pickled(previous) == 1


def test_a_write_that_fails_names_the_file_and_leaves_the_old_ones(tmp_path, small_files):
    last, previous = tmp_path / "last.ckpt", tmp_path / "previous.ckpt"
    for number in range(2):
        save_pickled(number, last, keep_previous=previous)
    with small_files(), pytest.raises(OSError, match=r"File too large.*last\.ckpt"):
        save_pickled(torch.zeros(10_000), last, keep_previous=previous)
    assert load_pickled(last) == 1 and load_pickled(previous) == 0
    assert whole_files(tmp_path, "*") == [last, previous] or whole_files(tmp_path, "*") == [previous, last]


def test_compressed_files_are_refused(tmp_path):
    save_pickled(torch.zeros(10**6), tmp_path / "plain.ckpt")
    bomb = zipfile.ZipFile(tmp_path / "bomb.ckpt", "w", zipfile.ZIP_DEFLATED)
    with zipfile.ZipFile(tmp_path / "plain.ckpt") as plain, bomb:
        for name in plain.namelist():
            bomb.writestr(name, plain.read(name))
    assert (tmp_path / "bomb.ckpt").stat().st_size < 10_000
    with pytest.raises(pickle.UnpicklingError, match="compressed"):
        load_pickled(tmp_path / "bomb.ckpt")


def test_files_that_are_being_written_are_not_found(tmp_path):
    save_pickled(1, tmp_path / "last.ckpt")
    (tmp_path / ".part-0-1-x").mkdir()
    (tmp_path / ".part-0-1-x" / "last.ckpt").touch()
    assert whole_files(tmp_path, "last*.ckpt") == [tmp_path / "last.ckpt"]
