"""Decoding: every mode against values worked out by hand, and errors that name the file."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from inpaintzoo.pictures.images import (
    decode_rgb,
    image_to_tensor,
    list_images,
    note_left_out,
    open_image,
    read_image,
    read_labels,
    tensor_to_image,
    upright_size,
    write_image,
)
from inpaintzoo.types import ConfigError, DataError

RGB = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]], [[10, 20, 30], [40, 50, 60], [70, 80, 90]]], np.uint8)

# What a viewer shows, by EXIF orientation, of a stored picture A (EXIF 2.3: where row 0 and column 0 are).
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: lambda a: np.rot90(a, 1),
}


def _with_orientation(path: Path, pixels: np.ndarray, orientation: int, **options: object) -> Path:
    image = Image.fromarray(pixels)
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(path, exif=exif, **options)
    return path


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_orientation_is_applied(tmp_path, orientation, suffix):
    path = _with_orientation(tmp_path / f"a{suffix}", RGB, orientation)
    expected = UPRIGHT[orientation](RGB)
    np.testing.assert_array_equal(read_image(path), expected)
    with open_image(path) as image:
        assert upright_size(image) == expected.shape[:2]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_of_jpeg_also_when_decoded_smaller(tmp_path, orientation):
    quadrants = np.zeros((64, 128, 3), np.uint8)  # grey levels 0, 60 above, 120, 180 below
    quadrants[:32, 64:], quadrants[32:, :64], quadrants[32:, 64:] = 60, 120, 180
    path = _with_orientation(tmp_path / "a.jpg", quadrants, orientation, quality=95)
    for shrink, divisor in [(1.0, 1), (1.9, 1), (2.0, 2), (5.0, 4), (100.0, 8)]:
        with open_image(path) as image:
            rgb, used = decode_rgb(image, shrink)
        expected = UPRIGHT[orientation](quadrants[::divisor, ::divisor]).astype(int)
        assert used == divisor
        assert np.asarray(rgb).shape == expected.shape
        assert np.abs(np.asarray(rgb) - expected).mean() < 3


def test_turned_jpeg_of_odd_size_is_not_decoded_smaller(tmp_path):
    path = _with_orientation(tmp_path / "a.jpg", np.zeros((63, 128, 3), np.uint8), 6)
    with open_image(path) as image:
        rgb, used = decode_rgb(image, 8.0)
    assert used == 1 and rgb.size == (63, 128)


def test_grey_bilevel_and_grey_with_alpha(tmp_path):
    grey = np.array([[0, 7, 255]], np.uint8)
    Image.fromarray(grey).save(tmp_path / "l.png")
    Image.fromarray(np.stack([grey, np.full_like(grey, 9)], -1), "LA").save(tmp_path / "la.png")
    Image.fromarray(np.array([[0, 255, 255]], np.uint8)).convert("1").save(tmp_path / "1.png")
    three = np.repeat(grey[..., None], 3, -1)
    np.testing.assert_array_equal(read_image(tmp_path / "l.png"), three)
    np.testing.assert_array_equal(read_image(tmp_path / "la.png"), three)
    np.testing.assert_array_equal(read_image(tmp_path / "1.png")[..., 1], [[0, 255, 255]])


def test_alpha_is_dropped_and_the_colours_beneath_are_kept(tmp_path):
    alpha = np.array([[0, 128, 255], [1, 2, 3]], np.uint8)
    Image.fromarray(np.dstack([RGB, alpha]), "RGBA").save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), RGB)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("transparency", [None, 1, b"\x00\x80\xff"])
def test_palette(tmp_path, transparency):
    image = Image.fromarray(np.array([[0, 1, 2]], np.uint8), "P")
    image.putpalette([255, 0, 0, 0, 255, 0, 1, 2, 3])
    image.save(tmp_path / "p.png", **({} if transparency is None else {"transparency": transparency}))
    np.testing.assert_array_equal(read_image(tmp_path / "p.png"), [[[255, 0, 0], [0, 255, 0], [1, 2, 3]]])


def test_cmyk_jpeg(tmp_path):
    ink = np.zeros((16, 16, 4), np.uint8)
    ink[..., 0], ink[..., 3] = 255, 51  # full cyan, 20 % black: red 0, green and blue 255 * 0.8
    Image.fromarray(ink, "CMYK").save(tmp_path / "c.jpg", quality=95)
    pixel = read_image(tmp_path / "c.jpg")[8, 8].astype(int)
    assert np.abs(pixel - [0, 204, 204]).max() <= 3


def test_16_bit_is_scaled_not_clipped(tmp_path):
    deep = np.array([[0, 257, 25700, 32768, 65535]], np.uint16)
    expected = [[0, 1, 100, 128, 255]]  # value / 257, rounded
    for name in ("d.png", "d.tif"):
        Image.fromarray(deep).save(tmp_path / name)
        np.testing.assert_array_equal(read_image(tmp_path / name)[..., 2], expected)
    Image.fromarray(deep.astype(np.int32)).save(tmp_path / "i.tif")
    np.testing.assert_array_equal(read_image(tmp_path / "i.tif")[..., 0], expected)


def test_float_pixels_are_0_to_1_or_refused(tmp_path):
    Image.fromarray(np.array([[0.0, 0.5, 1.0]], np.float32)).save(tmp_path / "f.tif")
    np.testing.assert_array_equal(read_image(tmp_path / "f.tif")[..., 0], [[0, 128, 255]])
    for bad in (2.0, -0.1, np.nan):
        Image.fromarray(np.array([[0.0, bad]], np.float32)).save(tmp_path / "bad.tif")
        with pytest.raises(DataError, match=r"bad\.tif.*0\.\.1"):
            read_image(tmp_path / "bad.tif")


def test_errors_name_the_file_and_the_reason(tmp_path):
    whole = tmp_path / "whole.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(whole)
    (tmp_path / "cut.jpg").write_bytes(whole.read_bytes()[:-500])
    Image.open(whole).save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:-500])
    (tmp_path / "text.jpg").write_text("<!DOCTYPE html> not found")
    (tmp_path / "empty.png").touch()
    cases = {
        "cut.jpg": "cannot be decoded.*truncated",
        "cut.png": "cannot be decoded",
        "text.jpg": "not an image.*<!DOCTYPE",
        "empty.png": "empty",
        "none.png": "does not exist",
    }
    for name, reason in cases.items():
        with pytest.raises(DataError, match=rf"{name}: .*{reason}"):
            read_image(tmp_path / name)
    with pytest.raises(DataError, match="folder"):
        read_image(tmp_path)


def test_huge_pictures_are_an_error_that_says_what_to_do(tmp_path, monkeypatch):
    Image.new("L", (100, 100)).save(tmp_path / "huge.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(
        DataError, match=r"huge\.png.*10000 pixels.*limit of 2000 pixels; .*INPAINTZOO_MAX_MEGAPIXELS=500"
    ):
        read_image(tmp_path / "huge.png")


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_damaged_exif_does_not_spoil_a_picture(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "a.jpg", exif=b"Exif\x00\x00MM\x00\x2a\xff\xff\xff\xff")
    assert read_image(tmp_path / "a.jpg").shape == (2, 3, 3)


def test_labels_keep_their_values(tmp_path):
    indices = np.array([[0, 1, 2], [3, 11, 255]], np.uint8)
    Image.fromarray(indices).save(tmp_path / "l.png")
    palette = Image.fromarray(indices, "P")
    palette.putpalette([channel for index in range(256) for channel in (255 - index, 0, 7)])
    palette.save(tmp_path / "p.png")
    Image.fromarray(indices.astype(np.uint16) * 100).save(tmp_path / "d.png")
    Image.fromarray(indices > 2).save(tmp_path / "b.png")
    np.testing.assert_array_equal(read_labels(tmp_path / "l.png"), indices)
    np.testing.assert_array_equal(read_labels(tmp_path / "p.png"), indices)
    np.testing.assert_array_equal(read_labels(tmp_path / "d.png"), indices.astype(int) * 100)
    np.testing.assert_array_equal(read_labels(tmp_path / "b.png"), indices > 2)


def test_labels_that_are_not_indices_are_refused(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "rgb.png")
    Image.fromarray(RGB[..., 0]).save(tmp_path / "l.jpg")
    with pytest.raises(DataError, match=r"rgb\.png.*RGB.*indices"):
        read_labels(tmp_path / "rgb.png")
    with pytest.raises(DataError, match=r"l\.jpg.*JPEG.*PNG"):
        read_labels(tmp_path / "l.jpg")


def test_list_images(tmp_path):
    for name in (
        "b.JPG",
        "a/z.png",
        "a/c.TIFF",
        ".hidden.png",
        ".git/x.png",
        "__MACOSX/b.jpg",
        "notes.txt",
        "lab/a.png",
    ):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "f.webp").touch()
    (tmp_path / "in" / "link").symlink_to(tmp_path / "far")
    (tmp_path / "in" / "loop").symlink_to(tmp_path / "in")
    found = list_images(tmp_path / "in", exclude=[tmp_path / "in" / "lab"])
    assert [path.relative_to(tmp_path / "in").as_posix() for path in found] == [
        "a/c.TIFF",
        "a/z.png",
        "b.JPG",
        "link/f.webp",
    ]


def test_tensors_and_files_round_trip(tmp_path):
    tensor = image_to_tensor(RGB)
    assert tensor.dtype == torch.float32 and tensor.is_contiguous()
    assert tensor[:, 1, 0].tolist() == pytest.approx([10 / 255, 20 / 255, 30 / 255])
    write_image(tensor, tmp_path / "new" / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "new" / "a.png"), RGB)
    grey = tensor_to_image(torch.tensor([[[-1.0, 0.5, 2.0]]]))
    assert grey.mode == "L" and np.asarray(grey).tolist() == [[0, 128, 255]]
    with pytest.raises(ValueError, match=r"a\.xyz"):
        write_image(tensor, tmp_path / "a.xyz")
    with pytest.raises(ValueError, match="shape"):
        tensor_to_image(torch.zeros(1, 3, 4, 4))


def test_postscript_named_png_is_not_run(tmp_path, monkeypatch):
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", lambda *args, **options: pytest.fail("it ran"))
    (tmp_path / "a.png").write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n{} loop\n%%EOF\n"
    )
    with Image.open(tmp_path / "a.png") as image:
        assert image.format == "EPS", "Pillow alone would take it"
    with pytest.raises(DataError, match=r"a\.png: not an image in JPEG, .* \(it begins with b'%!PS"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("form", ["GIF", "PPM", "TGA", "ICO", "PCX"])
def test_formats_that_are_not_promised_are_refused(tmp_path, form):
    Image.fromarray(RGB).save(tmp_path / "a.png", format=form)
    with pytest.raises(DataError, match=r"a\.png: not an image in JPEG, PNG, BMP, WebP, TIFF, AVIF or HEIF format"):
        read_image(tmp_path / "a.png")


def test_jfif_is_jpeg(tmp_path):
    write_image(torch.full((3, 8, 8), 0.5), tmp_path / "a.jfif")
    with open_image(tmp_path / "a.jfif") as image:
        assert image.format == "JPEG"
    assert list_images(tmp_path) == [tmp_path / "a.jfif"]


TIFFS = {
    "5 bands of 16-bit unsigned integers": np.zeros((8, 8, 5), np.uint16),
    "3 bands of 32-bit floating point": np.zeros((8, 8, 3), np.float32),
    "1 band of 64-bit signed integers": np.zeros((8, 8), np.int64),
}


@pytest.mark.parametrize("content", TIFFS)
def test_a_tiff_that_pillow_cannot_read_is_described(tmp_path, content):
    photometric = "rgb" if TIFFS[content].ndim == 3 else "minisblack"
    tifffile.imwrite(tmp_path / "a.tif", TIFFS[content], photometric=photometric, planarconfig="contig")
    with pytest.raises(DataError, match=rf"a\.tif: TIFF files with {content} .*cannot be read; convert it to grey"):
        read_image(tmp_path / "a.tif")


def test_the_environment_raises_the_limit_on_sizes(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)  # restored when the test ends
    Image.new("1", (100, 100)).save(tmp_path / "huge.png")
    monkeypatch.setenv("INPAINTZOO_MAX_MEGAPIXELS", "0.02")
    assert read_image(tmp_path / "huge.png").shape == (100, 100, 3)
    monkeypatch.setenv("INPAINTZOO_MAX_MEGAPIXELS", "0.005")
    with pytest.raises(DataError, match="10000 pixels"):
        read_image(tmp_path / "huge.png")
    monkeypatch.setenv("INPAINTZOO_MAX_MEGAPIXELS", "many")
    with pytest.raises(ConfigError, match="INPAINTZOO_MAX_MEGAPIXELS must be a number of megapixels, got 'many'"):
        read_image(tmp_path / "huge.png")


def test_libtiff_does_not_write_to_the_terminal(tmp_path, capfd):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((64, 64), np.uint8), compression="adobe_deflate")
    data = bytearray((tmp_path / "a.tif").read_bytes())
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        data[file.pages[0].dataoffsets[0] + 2] ^= 255
    (tmp_path / "a.tif").write_bytes(data)
    with pytest.raises(DataError, match=r"a\.tif: the image cannot be decoded"):
        read_image(tmp_path / "a.tif")
    assert capfd.readouterr() == ("", "")


def test_pictures_of_other_formats_are_counted(tmp_path):
    for name in ("a.png", "b.JXL", "sub/c.jxl", "sub/d.gif", "e.txt", ".hidden.gif", "lab/f.jp2"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    text = f"{tmp_path}: 3 pictures in other formats are left out (2 .jxl, 1 .gif); convert them to PNG or JPEG"
    assert note_left_out(tmp_path, [tmp_path / "lab"]) == text
    assert note_left_out(tmp_path / "lab", []).startswith(f"{tmp_path / 'lab'}: 1 picture in other formats is left out")
    (tmp_path / "lab" / "f.jp2").unlink()
    assert note_left_out(tmp_path / "lab") == ""
