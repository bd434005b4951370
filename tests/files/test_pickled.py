import collections
import os
import pickle
import zipfile

import numpy as np
import pytest
import torch

from inpaintzoo.files.pickled import load_arrays, load_pickled, save_pickled
from inpaintzoo.files.published import read_file
from inpaintzoo.files.writing import whole_files
from inpaintzoo.types import WeightsError


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


ARRAYS = {
    "matrix": np.arange(6, dtype=np.float32).reshape(2, 3),
    "columns first": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "half": np.ones((1, 2), np.float16),
    "swapped": np.arange(3, dtype=">i4"),
    "none": np.zeros((0, 4), np.float32),
    "single": np.float32(0.5),
}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_come_back_as_tensors(tmp_path, protocol):
    content = {"model": collections.OrderedDict(ARRAYS), "author": "me", "list": [1, (2.5, None, True)]}
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(content, protocol))
    found = load_arrays(tmp_path / "a.pkl")
    assert found["author"] == "me" and found["list"] == [1, [2.5, None, True]]
    assert found["model"].keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert found["model"][name].numpy().dtype == array.dtype.newbyteorder("=")
        assert np.array_equal(found["model"][name].numpy(), array), name


def test_arrays_that_python_2_pickled(tmp_path):
    """Its strings are bytes, and its arrays' content is such a string."""
    code = pickle.dumps(np.array([1.5, -2.0], "<f4"), 2)
    content = np.array([1.5, -2.0], "<f4").tobytes()
    start, end = code.rindex(b"h", 0, code.rindex(b"X")), code.rindex(b"t")
    code = code[:start] + b"U" + bytes([len(content)]) + content + code[end:]
    (tmp_path / "two.pkl").write_bytes(code)
    assert load_arrays(tmp_path / "two.pkl").tolist() == [1.5, -2.0]


class Calls:
    """Pickles as a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def hostile_pickles(folder):
    mark = str(folder / "it ran")
    array = pickle.dumps(np.zeros(4, np.float32), 2)
    return {
        "call": pickle.dumps({"model": Calls(os.mkdir, mark)}),
        "import": b"cposix\nsystem\n.",
        "eval": pickle.dumps(Calls(eval, f"__import__('os').mkdir({mark!r})")),
        "numpy's own loader": pickle.dumps(Calls(np.load, mark)),
        "attribute of an allowed name": b"cnumpy\nndarray.tofile\n.",
        "objects in an array": pickle.dumps(np.array([{}], dtype=object)),
        "records": pickle.dumps(np.zeros(1, [("a", "f4")])),
        "state of a function": b"c_codecs\nencode\n}b.",
        "state of a dictionary": b"}}(U\x01aK\x01ub.",
        "a function itself": b"c_codecs\nencode\n.",
        "another encoding": pickle.dumps(np.zeros(4, np.float32), 2).replace(b"latin1", b"base64"),
        "an array larger than its content": array.replace(b"K\x04\x85", b"K\x09\x85"),
        "persistent": b"Pa\n.",
        "a memo index of gigabytes": b"Nr\xff\xff\xff\x7f(.",
        "more bytes than there are": b"\x8e\xff\xff\xff\xff\xff\x00\x00\x00abc.",
        "cut off": array[:-20],
        "empty": b"",
    }


def test_other_pickles_are_refused_and_nothing_runs(tmp_path):
    for name, code in hostile_pickles(tmp_path).items():
        (tmp_path / "x.pkl").write_bytes(code)
        with pytest.raises(WeightsError, match=r"x\.pkl is not a readable weight file"):
            print(name, read_file(tmp_path / "x.pkl", "test"))
        assert [path.name for path in tmp_path.iterdir()] == ["x.pkl"], name
