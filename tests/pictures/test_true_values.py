"""What Pillow says of a file against what the file says, for the network and in what is written."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import tifffile
from file_toys import PREDICTOR, Green, chunk
from PIL import Image
from png_truth import chunks_of, true_rgba, write_grey
from tiff_truth import write_tiff

from inpaintzoo import DataError, Predictor
from inpaintzoo.pictures.images import read_image, read_labels

SUITE = sorted(Path(__file__).with_name("pngsuite").glob("*.png"))
RNG = np.random.default_rng(8)


class Never(Green):
    def forward(self, image, mask):
        raise AssertionError("too late")


def hole_of(*size):
    hole = np.zeros(size, bool)
    hole[size[0] // 4 : size[0] // 2, size[1] // 4 : size[1] // 2] = True
    return hole


def filled(path, out, note=None):
    """The hole, after `out` is written."""
    with Image.open(path) as image:
        hole = hole_of(image.height, image.width)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        PREDICTOR.fill_file(path, hole, out)
    texts = [str(warning.message) for warning in said]
    assert (texts == []) if note is None else (len(texts) == 1 and note in texts[0]), texts
    return hole


@pytest.mark.parametrize("path", SUITE, ids=lambda path: path.stem)
def test_pngs_keep_their_true_values_and_chunks(path, tmp_path):
    before, hole = true_rgba(path), filled(path, tmp_path / "out.png")
    after = true_rgba(tmp_path / "out.png")
    np.testing.assert_array_equal(after[~hole], before[~hole])
    np.testing.assert_array_equal(after[..., 3], before[..., 3])
    said = dict(chunks_of(path))
    kept = {kind: said[kind] for kind in (b"gAMA", b"sBIT", b"bKGD", b"tIME") if kind in said}
    assert kept.items() <= dict(chunks_of(tmp_path / "out.png")).items()


@pytest.mark.parametrize("path", SUITE, ids=lambda path: path.stem)
def test_training_reads_the_same_true_values(path):
    expected = true_rgba(path)[..., :3] / 257
    assert np.abs(read_image(path) - expected).max() <= 1, "16 bits lose their low byte"


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_a_transparent_grey_level_is_found_and_kept(depth, tmp_path):
    """As a hole, in what is written, and in the background colour."""
    top = 2**depth - 1
    levels = RNG.integers(0, 2, (16, 16)) * top
    write_grey(tmp_path / "in.png", levels, depth, key=top)
    transparent = true_rgba(tmp_path / "in.png")[..., 3] == 0
    assert transparent.any() and not transparent.all()
    PREDICTOR.fill_file(tmp_path / "in.png", hole_of(16, 16), tmp_path / "out.png")
    np.testing.assert_array_equal(true_rgba(tmp_path / "out.png")[..., 3] == 0, transparent)
    background = int.from_bytes(dict(chunks_of(tmp_path / "out.png"))[b"bKGD"], "big")
    assert background == top
    PREDICTOR.fill_file(tmp_path / "in.png", None, tmp_path / "whole.png")
    whole = true_rgba(tmp_path / "whole.png")
    assert (whole[..., 3] == 65535).all()
    np.testing.assert_array_equal(whole[~transparent], true_rgba(tmp_path / "in.png")[~transparent])
    PREDICTOR.fill_file(tmp_path / "in.png", tmp_path / "in.png", tmp_path / "mask.png", polarity="white")
    found = (true_rgba(tmp_path / "mask.png") != true_rgba(tmp_path / "in.png")).any(axis=-1)
    assert not found[~transparent].any() or not found[transparent].any(), "the mask is read from its transparency"


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_only_the_lower_bits_of_a_transparent_level_count(depth, tmp_path):
    top = 2**depth - 1
    write_grey(tmp_path / "in.png", RNG.integers(0, 2, (16, 16)) * top, depth, key=top)
    whole = tmp_path / "whole.png"
    PREDICTOR.fill_file(tmp_path / "in.png", None, whole)
    data = (tmp_path / "in.png").read_bytes()
    key = chunk(b"tRNS", top.to_bytes(2, "big"))
    assert key in data
    (tmp_path / "in.png").write_bytes(data.replace(key, chunk(b"tRNS", (top + 2**15).to_bytes(2, "big"))))
    PREDICTOR.fill_file(tmp_path / "in.png", None, tmp_path / "out.png")
    np.testing.assert_array_equal(true_rgba(tmp_path / "out.png"), true_rgba(whole))


@pytest.mark.parametrize("suffix", [".tif", ".bmp", ".webp", ".jpg"])
@pytest.mark.filterwarnings("ignore:.*JPEG changes known pixels")
def test_transparency_that_a_format_lacks_is_noted(suffix, tmp_path):
    path = next(path for path in SUITE if path.stem == "tbrn2c08")
    with pytest.warns(UserWarning, match=r"tbrn2c08\.png: .* has no colour that counts as transparent"):
        PREDICTOR.fill_file(path, hole_of(32, 32), tmp_path / f"out{suffix}")


def test_alpha_is_refused_in_bmp_before_the_fill(tmp_path):
    Image.fromarray(RNG.integers(0, 256, (16, 16, 4), np.uint8)).save(tmp_path / "in.png")
    with pytest.raises(DataError, match=r"BMP does not hold pictures of mode RGBA .* write PNG or WEBP or TIFF"):
        Predictor(Never()).fill_file(tmp_path / "in.png", hole_of(16, 16), tmp_path / "out.bmp")


TYPES = ["int8", "int16", "int32", "uint32", "uint8", "uint16", "float32"]


def numbers(dtype):
    if np.dtype(dtype).kind == "f":
        return RNG.random((24, 20)).astype(dtype)
    low, high = (0, 65535) if dtype in ("int32", "uint32") else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    return RNG.integers(low, high, (24, 20), endpoint=True).astype(dtype)


@pytest.mark.parametrize("compression", [None, "adobe_deflate"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", TYPES)
def test_tiffs_keep_type_and_sign(dtype, order, compression, tmp_path):
    before = numbers(dtype)
    tifffile.imwrite(tmp_path / "in.tif", before, byteorder=order, compression=compression, metadata=None)
    if (dtype, order) == ("uint32", ">"):
        with pytest.raises(DataError, match="1 band of 32-bit unsigned integers"):
            PREDICTOR.fill_file(tmp_path / "in.tif", hole_of(24, 20), tmp_path / "out.tif")
        return
    hole = filled(tmp_path / "in.tif", tmp_path / "out.tif")
    after = tifffile.imread(tmp_path / "out.tif")
    assert after.dtype == before.dtype
    np.testing.assert_array_equal(after[~hole], before[~hole])
    bottom, top = {"float32": (0, 1), "int32": (0, 65535), "uint32": (0, 65535)}.get(dtype) or (
        np.iinfo(dtype).min,
        np.iinfo(dtype).max,
    )
    scale = (after.astype(np.float64) - bottom) / (top - bottom)
    assert np.abs(scale[hole] - 0.587).max() < 0.01, "green"
    known = (before.astype(np.float64) - bottom) / (top - bottom) * 255
    assert np.abs(read_image(tmp_path / "in.tif")[..., 1] - known).max() <= 1, "in training too"


@pytest.mark.parametrize("dtype", ["int8", "int16"])
def test_a_format_without_signs_is_refused_before_the_fill(dtype, tmp_path):
    tifffile.imwrite(tmp_path / "in.tif", numbers(dtype), metadata=None)
    with pytest.raises(DataError, match=f"PNG does not hold pictures of mode {dtype} .* write TIFF"):
        Predictor(Never()).fill_file(tmp_path / "in.tif", hole_of(24, 20), tmp_path / "out.png")


@pytest.mark.parametrize("dtype", ["int32", "uint32"])
def test_large_integers_become_16_bits_in_png(dtype, tmp_path):
    before = numbers(dtype)
    tifffile.imwrite(tmp_path / "in.tif", before, metadata=None)
    hole = filled(tmp_path / "in.tif", tmp_path / "out.png")
    np.testing.assert_array_equal(true_rgba(tmp_path / "out.png")[..., 0][~hole], before[~hole])


def test_large_integers_beyond_16_bits_are_refused(tmp_path):
    before = numbers("uint32")
    before[0, 0] = 2**31 + 5
    tifffile.imwrite(tmp_path / "in.tif", before, metadata=None)
    with pytest.raises(DataError, match=r"uint32 pixels must lie in 0\.\.65535"):
        PREDICTOR.fill_file(tmp_path / "in.tif", hole_of(24, 20), tmp_path / "out.png")


@pytest.mark.parametrize("bits", [1, 2, 4, 12])
def test_unusual_depths_mean_the_same(bits, tmp_path):
    levels, top = RNG.integers(0, 2**bits, (24, 20)), 2**bits - 1
    levels[0, :2] = 0, top
    write_tiff(tmp_path / "in.tif", levels, bits)
    notes = {2: "2-bit pixels are written with 8 bits", 4: "4-bit pixels are written with 8 bits"}
    note = {**notes, 12: "12-bit levels are written with 16 bits"}.get(bits)
    hole = filled(tmp_path / "in.tif", tmp_path / "out.tif", note)
    after = np.array(Image.open(tmp_path / "out.tif"))
    white = {1: 1, 12: 65535}.get(bits, 255)
    np.testing.assert_array_equal(np.round(after / white * top)[~hole], levels[~hole])
    assert after[0, 1] == white and after[0, 0] == 0
    assert np.abs(read_image(tmp_path / "in.tif")[..., 1] - levels / top * 255).max() <= 1, "in training too"
    np.testing.assert_array_equal(read_labels(tmp_path / "in.tif"), levels, "class indices are not scaled")


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_labels_in_few_bits_are_not_scaled(depth, tmp_path):
    levels = RNG.integers(0, 2**depth, (8, 8))
    write_grey(tmp_path / "in.png", levels, depth, key=0)
    np.testing.assert_array_equal(read_labels(tmp_path / "in.png"), levels)


def test_zero_as_white_means_the_same_in_training(tmp_path):
    levels = numbers("uint16")
    tifffile.imwrite(tmp_path / "in.tif", levels, photometric="miniswhite", metadata=None)
    expected = np.round((65535 - levels.astype(np.int64)) / 257)
    np.testing.assert_array_equal(read_image(tmp_path / "in.tif")[..., 0], expected)


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("scale", [1, 257])
def test_palettes_of_8_and_16_bits_mean_the_same(scale, bits, tmp_path):
    indices, colours = RNG.integers(0, 2**bits, (24, 20)).astype(np.uint8), RNG.integers(0, 256, (3, 2**bits))
    write_tiff(tmp_path / "in.tif", indices, bits, photometric=3, tags=[(320, "H", (colours * scale).ravel())])
    expected = colours.T[indices]
    np.testing.assert_array_equal(read_image(tmp_path / "in.tif"), expected)
    note = "in.tif: its 4-bit pixels are written with 8 bits" if bits == 4 else None
    hole = filled(tmp_path / "in.tif", tmp_path / "out.tif", note)
    np.testing.assert_array_equal(read_image(tmp_path / "out.tif")[~hole], expected[~hole])
    filled(tmp_path / "in.tif", tmp_path / "out.png")
    np.testing.assert_array_equal(true_rgba(tmp_path / "out.png")[..., :3][~hole] // 257, expected[~hole])


GEO = [(33550, "d", [0.5, 0.5, 0]), (33922, "d", [0, 0, 0, 4e5, 5e6, 0]), (34735, "H", [1, 1, 0, 0])]


def test_geotiff_tags_are_carried(tmp_path):
    write_tiff(tmp_path / "in.tif", numbers("uint8"), 8, tags=GEO)
    filled(tmp_path / "in.tif", tmp_path / "out.tif")
    with Image.open(tmp_path / "out.tif") as image:
        for tag, _, values in GEO:
            assert tuple(image.tag_v2[tag]) == tuple(values)


def test_tags_that_are_left_out_are_noted(tmp_path):
    write_tiff(tmp_path / "in.tif", numbers("uint8"), 8, tags=[(50838, "I", [1]), (65000, "H", [7])])
    filled(tmp_path / "in.tif", tmp_path / "out.tif", "in.tif: TIFF tags 50838, 65000 are left out")
    write_tiff(tmp_path / "turned.tif", numbers("uint8"), 8, tags=[*GEO, (274, "H", [3])])
    left_out = "turned.tif: TIFF tags 33550, 33922, 34735 are left out"
    filled(tmp_path / "turned.tif", tmp_path / "turned_out.tif", left_out)


def test_empty_texts_times_and_background_are_copied(tmp_path):
    Image.fromarray(numbers("uint8")).save(tmp_path / "in.png")
    data = (tmp_path / "in.png").read_bytes()
    texts = [
        (b"tEXt", b"Comment\0"),
        (b"iTXt", b"Title\0\0\0de\0Titel\0"),
        (b"tEXt", b"Author\0\xe9"),
        (b"tEXt", b"\0x"),
    ]
    parts = [(b"bKGD", b"\0\x05"), (b"tIME", b"\x07\xe8\1\2\3\4\5")]
    added = [b"".join(chunk(*part) for part in some) for some in (parts, texts)]
    (tmp_path / "in.png").write_bytes(data[:33] + added[0] + data[33:-12] + added[1] + data[-12:])
    filled(tmp_path / "in.png", tmp_path / "out.png")
    written = chunks_of(tmp_path / "out.png")
    for part in parts + texts[:3]:
        assert part in written
    assert texts[3] not in written, "a text without a keyword is not valid"


@pytest.mark.filterwarnings("ignore:Metadata Warning")
def test_a_damaged_file_gets_one_note(tmp_path):
    tags = [(254, "I", [0, 0]), (263, "H", [1, 1]), (266, "H", [1, 1]), (296, "H", [2, 2])]
    write_tiff(tmp_path / "in.tif", numbers("uint8"), 8, tags=tags)
    filled(tmp_path / "in.tif", tmp_path / "out.tif", "more such warnings)")
