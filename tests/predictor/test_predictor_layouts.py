"""TIFF files that Pillow misreads, and files that are not TIFF, through the Predictor."""

import os
import threading

import numpy as np
import pytest
import tifffile
from file_toys import HEIGHT, HOLE, PREDICTOR, WIDTH, noise
from PIL import Image, IptcImagePlugin

from inpaintzoo import DataError

RNG = np.random.default_rng(5)


def levels(*channels, dtype=np.uint8):
    return RNG.integers(0, np.iinfo(dtype).max + 1, (HEIGHT, WIDTH, *channels), dtype=dtype)


@pytest.mark.parametrize("compression", [None, "adobe_deflate"])
@pytest.mark.parametrize("target", [".tif", ".png"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_where_zero_is_white_the_picture_means_the_same(dtype, target, compression, tmp_path):
    pixels, top = levels(dtype=dtype), np.iinfo(dtype).max
    tifffile.imwrite(tmp_path / "in.tif", pixels, photometric="miniswhite", compression=compression)
    PREDICTOR.fill_file(tmp_path / "in.tif", HOLE, tmp_path / f"out{target}")
    after = np.array(Image.open(tmp_path / f"out{target}"))
    np.testing.assert_array_equal(after[~HOLE], (top - pixels)[~HOLE])
    assert (np.abs(after[HOLE].astype(int) - 0.587 * top) <= 1).all(), "green"
    if target == ".tif":
        with tifffile.TiffFile(tmp_path / "out.tif") as file:
            assert file.pages[0].photometric == tifffile.PHOTOMETRIC.MINISBLACK
    (in_memory,) = PREDICTOR(tmp_path / "in.tif", HOLE)
    np.testing.assert_array_equal(np.array(in_memory), after)


def test_floats_with_zero_as_white_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "in.tif", RNG.random((HEIGHT, WIDTH), np.float32), photometric="miniswhite")
    with pytest.raises(DataError, match=r"in.tif: zero is white in it, .* mode F; convert it"):
        PREDICTOR.fill_file(tmp_path / "in.tif", HOLE, tmp_path / "out.tif")


LOST = [
    (4, "rgb", ["unspecified"], r"further channels \(ExtraSamples \(0,\)\)"),
    (5, "rgb", ["unassalpha", "unspecified"], r"further channels \(ExtraSamples \(2, 0\)\)"),
    (4, "rgb", ["assocalpha"], "premultiplied alpha"),
    (2, "minisblack", ["assocalpha"], "premultiplied alpha"),
    (2, "minisblack", ["unspecified"], "further channels"),
    (5, "separated", ["unspecified"], "further channels"),
]


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize(("channels", "photometric", "extra", "what"), LOST)
def test_tiffs_whose_channels_would_be_lost_are_refused(channels, photometric, extra, what, planar, tmp_path):
    pixels = levels(channels)
    layout = {"photometric": photometric, "extrasamples": extra, "metadata": None, "planarconfig": planar}
    tifffile.imwrite(tmp_path / "in.tif", np.moveaxis(pixels, -1, 0) if planar == "separate" else pixels, **layout)
    try:
        Image.open(tmp_path / "in.tif")
    except OSError:
        what = r"TIFF files with \d bands of \d+-bit .* cannot be read"
    with pytest.raises(DataError, match=rf"in.tif: .*{what}"):
        PREDICTOR.fill_file(tmp_path / "in.tif", HOLE, tmp_path / "out.tif")
    assert not (tmp_path / "out.tif").exists()


@pytest.mark.parametrize(("channels", "photometric"), [(2, "minisblack"), (4, "rgb")])
def test_alpha_that_is_not_multiplied_in_is_kept(channels, photometric, tmp_path):
    pixels = levels(channels)
    tifffile.imwrite(tmp_path / "in.tif", pixels, photometric=photometric, extrasamples=["unassalpha"], metadata=None)
    PREDICTOR.fill_file(tmp_path / "in.tif", HOLE, tmp_path / "out.tif")
    after = np.array(Image.open(tmp_path / "out.tif"))
    np.testing.assert_array_equal(after[~HOLE], pixels[~HOLE])
    np.testing.assert_array_equal(after[..., -1], pixels[..., -1])


@pytest.mark.parametrize(
    ("mode", "compression", "written"),
    [("RGB", "jpeg", "tiff_adobe_deflate"), ("RGB", "tiff_lzw", "tiff_lzw"), ("1", "group4", "group4")],
)
def test_a_tiff_is_written_without_loss_whatever_was_read(mode, compression, written, tmp_path):
    noise(mode).save(tmp_path / "in.tif", compression=compression)
    before = np.array(Image.open(tmp_path / "in.tif"))
    PREDICTOR.fill_file(tmp_path / "in.tif", HOLE, tmp_path / "out.tif")
    after = Image.open(tmp_path / "out.tif")
    assert after.info["compression"] == written
    np.testing.assert_array_equal(np.array(after)[~HOLE], before[~HOLE])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with a name")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "in.png")
    errors = []

    def fill():
        try:
            PREDICTOR.fill_file(tmp_path / "in.png", HOLE, tmp_path / "out.png")
        except DataError as error:
            errors.append(str(error))

    thread = threading.Thread(target=fill, daemon=True)
    thread.start()
    thread.join(timeout=30)
    assert errors and "in.png: this is a pipe or device, not a regular file" in errors[0]


@pytest.mark.parametrize(("name", "text"), [("none.png", "the file does not exist"), ("", "this is a folder")])
def test_what_is_not_there_and_folders_say_so(name, text, tmp_path):
    with pytest.raises(DataError, match=text):
        PREDICTOR(tmp_path / name, HOLE)


@pytest.mark.parametrize("kind", ["I", "B"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_iptc_is_kept_as_bytes_whatever_type_it_claims(order, kind, dtype, tmp_path):
    keyword = b"\x1c\x02\x19\x00\x03abc"
    tag = (33723, kind, len(keyword) // (4 if kind == "I" else 1), keyword, True)
    options = {"byteorder": order, "photometric": "rgb", "extratags": [tag], "metadata": None}
    tifffile.imwrite(tmp_path / "in.tif", levels(3, dtype=dtype), **options)
    assert keyword in (tmp_path / "in.tif").read_bytes()
    PREDICTOR.fill_file(tmp_path / "in.tif", HOLE, tmp_path / "out.tif")
    with Image.open(tmp_path / "out.tif") as after:
        assert IptcImagePlugin.getiptcinfo(after) == {(2, 25): b"abc"}
