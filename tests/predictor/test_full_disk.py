"""A folder of pictures whose output cannot be written: the fill ends at the first one, and a later run goes on."""

import errno
import os

import numpy as np
import pytest
from PIL import Image

from inpaintzoo.commands.inpaint import main
from inpaintzoo.pictures.picture_file import PictureFile

FILL = ["photos", "masks", "-o", "out", "--fill", "mean"]


@pytest.fixture
def work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("photos", "masks"):
        (tmp_path / folder).mkdir()
    mask = np.zeros((16, 16), np.uint8)
    mask[4:8, 4:8] = 255
    for name in "abcd":
        Image.fromarray(np.full((16, 16, 3), ord(name), np.uint8)).save(f"photos/{name}.png")
        Image.fromarray(mask).save(f"masks/{name}.png")
    return tmp_path


def fails(monkeypatch, number, reached, target=None):
    """Writing fails from the second picture on."""
    write = PictureFile._save

    def save(self, pixels, file, form):
        reached.append(self.path.stem)
        if len(reached) > 1:
            raise OSError(number, os.strerror(number), target)
        return write(self, pixels, file, form)

    monkeypatch.setattr(PictureFile, "_save", save)


@pytest.mark.parametrize("batch", ["1", "2"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_the_first_picture_that_finds_no_room_ends_the_fill(number, batch, work, capsys, monkeypatch):
    reached = []
    with monkeypatch.context() as patch:
        fails(patch, number, reached)
        patch.setattr("inpaintzoo.predictor.ledger.Ledger.end", lambda self: fail_to_end(number))
        assert main([*FILL, "--batch-size", batch]) == 1
    assert reached == ["a", "b"]
    lines = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert len(lines) == 1
    assert f"out/b.png cannot be written ({os.strerror(number)})" in lines[0]
    assert "and the fill of out ends here" in lines[0]
    assert main(FILL) == 0
    assert "1 of 4 pictures are already filled" in capsys.readouterr().out
    assert sorted(path.name for path in (work / "out").glob("*.png")) == ["a.png", "b.png", "c.png", "d.png"]


def fail_to_end(number):
    raise OSError(number, os.strerror(number), "out/inpaint.json")


def test_a_folder_that_may_not_be_written_ends_the_fill(work, capsys, monkeypatch):
    reached = []
    fails(monkeypatch, errno.EACCES, reached)
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write anywhere
    assert main(FILL) == 1
    assert reached == ["a", "b"] and "out/b.png cannot be written (Permission denied)" in capsys.readouterr().err


def test_a_single_file_that_may_not_be_replaced_does_not(work, capsys, monkeypatch):
    """Such as one that another program on Windows has opened."""
    reached = []
    fails(monkeypatch, errno.EACCES, reached)
    assert main(FILL) == 1
    assert reached == ["a", "b", "c", "d"]
    assert capsys.readouterr().err.count("Permission denied") == 3


def test_a_source_that_cannot_be_read_does_not(work, capsys, monkeypatch):
    (work / "photos" / "b.png").write_bytes(b"")
    assert main(FILL) == 1
    assert "out: 3 filled, 1 failed" in capsys.readouterr().out


def test_blocks_without_room_are_not_a_reason_to_encode_again(work, monkeypatch, capsys):
    """The picture is not written at all rather than with every pixel changed."""
    jpeglib = pytest.importorskip("jpeglib")
    Image.open("photos/a.png").save("a.jpg")

    def full(self, path, **options):
        monkeypatch.setattr("pathlib.Path.write_bytes", lambda self, data: fail_to_end(errno.ENOSPC))
        raise OSError("Output file write error --- out of disk space?")  # libjpeg's own words, without a number

    monkeypatch.setattr(jpeglib.DCTJPEG, "write_dct", full)
    assert main(["a.jpg", "masks/a.png", "-o", "b.jpg", "--fill", "mean"]) == 1
    assert "b.jpg" in (said := capsys.readouterr().err) and "No space left on device" in said
    assert not (work / "b.jpg").exists()
