"""Where the Predictor writes: formats that fit, nothing overwritten or half written, copies without a hole."""

from pathlib import Path

import numpy as np
import pytest
from file_toys import HEIGHT, HOLE, PREDICTOR, WIDTH, Green, noise
from PIL import Image

from inpaintzoo import DataError, InpaintzooError, Predictor


@pytest.mark.parametrize(
    ("mode", "out"), [("RGBA", "out.jpg"), ("P", "out.webp"), ("LA", "out.bmp"), ("I;16", "out.jpg")]
)
def test_a_format_that_cannot_hold_the_picture_is_refused_before_the_work(mode, out, tmp_path):
    class Never(Green):
        def forward(self, image, mask):
            raise AssertionError

    noise(mode).save(tmp_path / "in.png")
    with pytest.raises(DataError, match=rf"does not hold pictures of mode {mode} such as .*in.png; write PNG"):
        Predictor(Never()).fill_file(tmp_path / "in.png", HOLE, tmp_path / out)
    assert [path.name for path in tmp_path.iterdir()] == ["in.png"]


def test_nothing_is_overwritten_unless_asked_for(tmp_path):
    noise().save(tmp_path / "in.png")
    (tmp_path / "out.png").write_text("mine")
    with pytest.raises(InpaintzooError, match=r"out.png already exists"):
        PREDICTOR.fill_file(tmp_path / "in.png", HOLE, tmp_path / "out.png")
    assert (tmp_path / "out.png").read_text() == "mine"
    PREDICTOR.fill_file(tmp_path / "in.png", HOLE, tmp_path / "out.png", overwrite=True)
    assert Image.open(tmp_path / "out.png").size == (WIDTH, HEIGHT)


def test_a_file_appears_whole_or_not_at_all(tmp_path, monkeypatch):
    noise().save(tmp_path / "in.png")

    def breaks(self, file, **options):
        Path(file).write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(Image.Image, "save", breaks)
    with pytest.raises(OSError, match="disk full"):
        PREDICTOR.fill_file(tmp_path / "in.png", HOLE, tmp_path / "out.png")
    assert [path.name for path in tmp_path.iterdir()] == ["in.png"]


@pytest.mark.parametrize("out", ["out.txt", "out", "nowhere/out.png"])
def test_targets_that_cannot_be_are_named(out, tmp_path):
    noise().save(tmp_path / "in.png")
    with pytest.raises(DataError, match=r"cannot tell the format|no folder"):
        PREDICTOR.fill_file(tmp_path / "in.png", HOLE, tmp_path / out)


def test_without_a_hole_the_file_is_copied_byte_by_byte(tmp_path):
    noise().save(tmp_path / "in.jpg")
    with pytest.warns(UserWarning, match="no hole, so the file is copied"):
        PREDICTOR.fill_file(tmp_path / "in.jpg", np.zeros_like(HOLE), tmp_path / "out.jpg")
    assert (tmp_path / "out.jpg").read_bytes() == (tmp_path / "in.jpg").read_bytes()


def test_a_jpg_without_a_hole_is_copied_to_jpeg_too(tmp_path):
    noise().save(tmp_path / "in.jpg", quality=60)
    with pytest.warns(UserWarning, match="no hole, so the file is copied"):
        PREDICTOR.fill_file(tmp_path / "in.jpg", np.zeros_like(HOLE), tmp_path / "out.JPEG")
    assert (tmp_path / "out.JPEG").read_bytes() == (tmp_path / "in.jpg").read_bytes()


def test_a_generator_in_training_is_filled_with_in_eval_mode_and_stays_in_training():
    generator, seen = Green().train(), []
    generator.register_forward_pre_hook(lambda module, _: seen.append(module.training))
    Predictor(generator, device="cpu")(noise(), HOLE)
    assert seen == [False] and generator.training
