"""HEIF, AVIF and the other formats that Pillow writes: what a filled picture keeps, and what is said of the rest."""

import io
import warnings

import numpy as np
import pytest
from file_toys import PREDICTOR
from PIL import ExifTags, Image, ImageCms

from inpaintzoo.pictures import images
from inpaintzoo.pictures.images import (
    IMAGE_SUFFIXES,
    image_to_tensor,
    list_images,
    note_left_out,
    read_image,
    write_image,
)
from inpaintzoo.types import DataError

pillow_heif = pytest.importorskip("pillow_heif")
pillow_heif.register_heif_opener()

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
LOSSLESS = {".heic": ("L", "RGB", "RGBA"), ".jp2": ("L", "LA", "RGB", "RGBA", "I;16"), ".tga": ("L", "RGB", "RGBA"),
            ".ppm": ("L", "RGB", "I;16")}  # fmt: skip


def noise(mode, size=(48, 40)):
    draw = np.random.default_rng(3)
    if mode == "I;16":
        return Image.fromarray(draw.integers(0, 65536, size[::-1], dtype=np.uint16))
    channels = len(mode)
    pixels = draw.integers(0, 256, (*size[::-1], channels), dtype=np.uint8)
    return Image.fromarray(pixels[..., 0] if channels == 1 else pixels)


def fill(image, mask, out):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        PREDICTOR.fill_file(image, mask.astype(np.float32), out)
    return [str(each.message) for each in said]


def hole(size=(48, 40)):
    mask = np.zeros(size[::-1], bool)
    mask[10:20, 12:30] = True
    return mask


@pytest.mark.parametrize(("suffix", "mode"), [(suffix, mode) for suffix, modes in LOSSLESS.items() for mode in modes])
def test_known_pixels_are_kept_bit_for_bit(tmp_path, suffix, mode):
    picture, mask = noise(mode), hole()
    picture.save(tmp_path / "a.png")
    notes = fill(tmp_path / "a.png", mask, tmp_path / f"b{suffix}")
    with Image.open(tmp_path / f"b{suffix}") as made:
        made.load()
    before, after = np.asarray(picture), np.asarray(made if mode == "I;16" else made.convert(mode))
    assert (before[~mask] == after[~mask]).all() and (before[mask] != after[mask]).any()
    assert notes == []


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_avif_says_that_it_changes_known_pixels(tmp_path, mode):
    picture, mask = noise(mode), hole()
    picture.save(tmp_path / "a.png")
    (note,) = fill(tmp_path / "a.png", mask, tmp_path / "b.avif")
    assert "b.avif: AVIF changes known pixels everywhere a little" in note and "write .png to keep them exactly" in note
    with Image.open(tmp_path / "b.avif") as made:
        change = np.asarray(picture).astype(int) - np.asarray(made.convert(mode))
    assert 0 <= np.abs(change[~mask]).max() <= 6


@pytest.mark.parametrize("suffix", [".heic", ".avif"])
def test_a_picture_of_a_phone_stays_one(tmp_path, suffix):
    """Upright, with its profile and EXIF, and without the thumbnail that shows what was removed."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation], exif[ExifTags.Base.Make] = 6, "Phone"
    options = {"exif": exif.tobytes(), "icc_profile": PROFILE, "xmp": b"<x:xmpmeta/>", "quality": 90}
    small = {"thumbnails": [24]} if suffix == ".heic" else {}
    noise("RGB", (40, 48)).save(tmp_path / f"a{suffix}", **options, **small)
    shown = read_image(tmp_path / f"a{suffix}")
    assert shown.shape == (40, 48, 3), "turned by a quarter"
    fill(tmp_path / f"a{suffix}", hole(), tmp_path / f"b{suffix}")
    with Image.open(tmp_path / f"b{suffix}") as made:
        made.load()
    assert made.size == (48, 40) and made.info["icc_profile"] == PROFILE and made.info["xmp"] == b"<x:xmpmeta/>"
    assert made.getexif()[ExifTags.Base.Make] == "Phone" and made.getexif().get(ExifTags.Base.Orientation, 1) == 1
    change = np.abs(np.asarray(made).astype(int) - shown)[~hole()].max()
    assert change == 0 if suffix == ".heic" else change <= 6
    assert not made.info.get("thumbnails")


def test_a_profile_that_the_format_cannot_hold_is_named(tmp_path):
    noise("RGB").save(tmp_path / "a.png", icc_profile=PROFILE)
    assert "JPEG2000 holds no colour profile: it is left out" in fill(tmp_path / "a.png", hole(), tmp_path / "b.jp2")[0]
    assert "BMP holds no colour profile" in fill(tmp_path / "a.png", hole(), tmp_path / "b.bmp")[0]


def test_levels_beyond_eight_bits_are_named(tmp_path):
    pillow_heif.encode("RGB;16", (32, 32), bytes(32 * 32 * 6), tmp_path / "a.heic", quality=90)
    (note,) = fill(tmp_path / "a.heic", hole((32, 32)), tmp_path / "b.png")
    assert note.endswith("a.heic: its 10-bit levels are read with 8 bits")


def test_pictures_that_do_not_fit_name_formats_that_do(tmp_path):
    noise("I;16").save(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"b.heic: HEIF does not hold pictures of mode I;16 .*; write PNG or TIFF"):
        fill(tmp_path / "a.png", hole(), tmp_path / "b.heic")


def test_folders_count_what_can_be_read(tmp_path):
    assert {".heic", ".heif", ".avif"} <= set(IMAGE_SUFFIXES)
    noise("RGB").save(tmp_path / "a.HEIC", format="HEIF")
    write_image(image_to_tensor(read_image(tmp_path / "a.HEIC")), tmp_path / "b.heif")
    assert [path.name for path in list_images(tmp_path)] == ["a.HEIC", "b.heif"]
    assert (read_image(tmp_path / "a.HEIC") == read_image(tmp_path / "b.heif")).all()


def test_without_the_package_one_sentence_names_the_extra(tmp_path, monkeypatch):
    noise("RGB").save(tmp_path / "a.png")
    noise("RGB").save(tmp_path / "a.heic", quality=90)
    remedy = r'pip install "inpaintzoo\[heif\]"'
    monkeypatch.setattr(images, "_missing", lambda form: form == "HEIF")
    with pytest.raises(DataError, match=rf"a\.heic: HEIF pictures need another package; {remedy}$"):
        read_image(tmp_path / "a.heic")
    with pytest.raises(DataError, match=rf"b\.heic: HEIF pictures need another package; {remedy}$"):
        fill(tmp_path / "a.png", hole(), tmp_path / "b.heic")
    monkeypatch.setattr(images, "IMAGE_SUFFIXES", (".png",))
    said = note_left_out(tmp_path)
    assert said.endswith('(1 .heic); convert them to PNG or JPEG, or pip install "inpaintzoo[heif]" to read them')


def test_no_other_decoder_is_started(tmp_path):
    """The content decides, so a file of another format is refused whatever it is called."""
    for name, form in (("a.heic", "JPEG2000"), ("a.avif", "TGA"), ("a.heif", "GIF")):
        data = io.BytesIO()
        noise("RGB").save(data, format=form)
        (tmp_path / name).write_bytes(data.getvalue())
        with pytest.raises(DataError, match=r"not an image in JPEG, PNG, BMP, WebP, TIFF, AVIF or HEIF format"):
            read_image(tmp_path / name)
    (tmp_path / "b.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    with pytest.raises(DataError, match=r"b\.heic: "):
        read_image(tmp_path / "b.heic")
