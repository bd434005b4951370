"""Pictures of fewer than 8 bits keep their depth where Pillow would write 8, or a note says that they do not."""

import struct
import warnings
from pathlib import Path

import numpy as np
import pytest
from file_toys import PREDICTOR, write_indexed
from PIL import Image
from png_truth import chunks_of, true_rgba, write_grey
from tiff_truth import write_tiff

from inpaintzoo.pictures.images import read_image

SUITE = sorted(Path(__file__).with_name("pngsuite").glob("*.png"))
RNG = np.random.default_rng(3)
HOLE = np.zeros((13, 21), bool)
HOLE[3:7, 5:12] = True


def layout(path):
    """Bits and colour type of a PNG file."""
    return tuple(dict(chunks_of(path))[b"IHDR"][8:10])


@pytest.mark.parametrize("path", SUITE, ids=lambda path: path.stem)
def test_pngs_keep_bits_and_colour_type(path, tmp_path):
    with Image.open(path) as image:
        hole = np.zeros((image.height, image.width), bool)
    hole[2:5, 2:5] = True
    PREDICTOR.fill_file(path, hole, tmp_path / "out.png")
    assert layout(tmp_path / "out.png") == layout(path)


@pytest.mark.parametrize("depth", [1, 2, 4])
@pytest.mark.parametrize("key", [0, 1])
def test_grey_levels_are_those_of_the_depth(depth, key, tmp_path):
    """In the hole too, where none may become the transparent one, and in background and transparency."""
    path, out, levels = tmp_path / "in.png", tmp_path / "out.png", RNG.integers(0, 2**depth, HOLE.shape)
    write_grey(path, levels, depth, key)
    PREDICTOR.fill_file(path, HOLE, out)
    assert layout(out) == (depth, 0)
    chunks = dict(chunks_of(out))
    assert chunks[b"tRNS"] == chunks[b"bKGD"] == struct.pack(">H", key)
    before, after = true_rgba(path), true_rgba(out)
    np.testing.assert_array_equal(after[~HOLE], before[~HOLE])
    np.testing.assert_array_equal(after[..., 3], before[..., 3])
    opaque = HOLE & (before[..., 3] > 0)
    steps = np.abs(after[opaque][:, 0] / 65535 - 0.587) * (2**depth - 1)  # green
    assert steps.max() <= (1.5 if depth == 2 else 1.0)


@pytest.mark.parametrize("entries", [2, 3, 16, 200])
@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_palettes_keep_depth_and_entries(depth, entries, tmp_path):
    if entries > 2**depth:
        return
    path, out = tmp_path / "in.png", tmp_path / "out.png"
    palette = RNG.integers(0, 256, (entries, 3), np.uint8)
    indices = RNG.integers(0, entries, HOLE.shape)
    write_indexed(path, indices, depth, palette, alpha=bytes([7]))
    PREDICTOR.fill_file(path, HOLE, out)
    assert layout(out) == (depth, 3)
    for kind in (b"PLTE", b"tRNS"):
        assert dict(chunks_of(out))[kind] == dict(chunks_of(path))[kind]
    np.testing.assert_array_equal(true_rgba(out)[~HOLE], true_rgba(path)[~HOLE])
    with Image.open(out) as image:
        image.verify()


@pytest.mark.parametrize("photometric", [0, 1, 3])
@pytest.mark.parametrize("depth", [2, 4])
def test_formats_that_are_written_with_8_bits_say_so(depth, photometric, tmp_path):
    colours = [(320, "H", RNG.integers(0, 65536, 3 * 2**depth).tolist())] if photometric == 3 else []
    write_tiff(tmp_path / "in.tif", RNG.integers(0, 2**depth, HOLE.shape), depth, photometric, colours)
    for suffix, note in [(".tif", f"in.tif: its {depth}-bit pixels are written with 8 bits"), (".png", "")]:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            PREDICTOR.fill_file(tmp_path / "in.tif", HOLE, tmp_path / f"out{suffix}")
        assert [str(warning.message) for warning in said] == ([f"{tmp_path}/{note}"] if note else [])
        before, after = read_image(tmp_path / "in.tif"), read_image(tmp_path / f"out{suffix}")
        np.testing.assert_array_equal(after[~HOLE], before[~HOLE])
    assert layout(tmp_path / "out.png") == (depth, 3 if photometric == 3 else 0)
