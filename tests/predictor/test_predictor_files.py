"""Picture files through the Predictor: every bit, orientation, metadata, damaged files."""

import io
import struct
import warnings

import numpy as np
import pytest
import tifffile
from file_toys import (
    HEIGHT,
    HOLE,
    PREDICTOR,
    WIDTH,
    XMP,
    chunk,
    deep_noise,
    exif_with_thumbnail,
    noise,
    profile,
    read_png,
    write_png,
    xmp_of,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageOps
from PIL.PngImagePlugin import PngInfo
from PIL.TiffImagePlugin import IFDRational

from inpaintzoo import DataError, Predictor
from inpaintzoo.fills import MeanColour
from inpaintzoo.predictor import JpegWarning

LOSSLESS = {
    ".png": ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"],
    ".bmp": ["1", "L", "P", "RGB", "RGBA"],
    ".webp": ["RGB", "RGBA"],
    ".tif": ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "F"],
}


@pytest.mark.parametrize(("suffix", "mode"), [(s, mode) for s, modes in LOSSLESS.items() for mode in modes])
def test_lossless_files_keep_known_pixels_and_mode(suffix, mode, tmp_path):
    noise(mode).save(tmp_path / f"in{suffix}", **({"lossless": True, "exact": True} if suffix == ".webp" else {}))
    before = Image.open(tmp_path / f"in{suffix}")
    PREDICTOR.fill_file(tmp_path / f"in{suffix}", HOLE, tmp_path / f"out{suffix}")
    after = Image.open(tmp_path / f"out{suffix}")
    assert (after.mode, after.size, after.format) == (before.mode, before.size, before.format)
    np.testing.assert_array_equal(np.array(after)[~HOLE], np.array(before)[~HOLE])
    assert (np.array(after)[HOLE] != np.array(before)[HOLE]).mean() > 0.3
    if mode == "P":
        assert after.getpalette() == before.getpalette()
    (in_memory,) = PREDICTOR(tmp_path / f"in{suffix}", HOLE)
    np.testing.assert_array_equal(np.array(in_memory), np.array(after))


# -- orientation -----------------------------------------------------------------------------------------------------


def oriented(orientation, path, **options):
    """A file whose upright picture is noise of (HEIGHT, WIDTH), stored as by a camera held that way."""
    back = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    upright = noise()
    stored = upright.transpose(back[orientation]) if orientation in back else upright
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    exif[ExifTags.Base.Make] = "Camera works"
    exif[int(ExifTags.IFD.Exif)] = {
        int(ExifTags.Base.ExifImageWidth): stored.width,
        int(ExifTags.Base.ExifImageHeight): stored.height,
        int(ExifTags.Base.MakerNote): b"maker's own",
    }
    stored.save(path, exif=exif, **options)
    return upright


@pytest.mark.parametrize("suffix", [".png", ".webp", ".jpg"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_files_come_out_upright_with_metadata_that_fits(orientation, suffix, tmp_path):
    oriented(orientation, tmp_path / f"in{suffix}", **({"lossless": True} if suffix == ".webp" else {}))
    upright = ImageOps.exif_transpose(Image.open(tmp_path / f"in{suffix}"))
    assert upright.size == (WIDTH, HEIGHT)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", JpegWarning)
        PREDICTOR.fill_file(tmp_path / f"in{suffix}", HOLE, tmp_path / "out.png")
        PREDICTOR.fill_file(tmp_path / f"in{suffix}", HOLE, tmp_path / f"same{suffix}")
    after = Image.open(tmp_path / "out.png")
    np.testing.assert_array_equal(np.array(after)[~HOLE], np.array(upright)[~HOLE])
    assert (np.array(after)[HOLE] == (0, 255, 0)).all()
    for name in ("out.png", f"same{suffix}"):
        exif = Image.open(tmp_path / name).getexif()
        inner = exif.get_ifd(ExifTags.IFD.Exif)
        kept = orientation if name == "same.jpg" else 1  # blocks of JPEG files stay where they are
        assert exif[ExifTags.Base.Orientation] == kept and exif[ExifTags.Base.Make] == "Camera works"
        sides = (WIDTH, HEIGHT) if kept < 5 else (HEIGHT, WIDTH)
        assert (inner[ExifTags.Base.ExifImageWidth], inner[ExifTags.Base.ExifImageHeight]) == sides
        assert inner[ExifTags.Base.MakerNote] == b"maker's own"
    (in_memory,) = PREDICTOR(tmp_path / f"in{suffix}", HOLE)
    assert in_memory.getexif()[ExifTags.Base.Orientation] == 1
    np.testing.assert_array_equal(np.array(in_memory), np.array(after))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_pillow_image_comes_back_in_its_own_frame(orientation, tmp_path):
    oriented(orientation, tmp_path / "in.png")
    image = Image.open(tmp_path / "in.png")
    image.load()
    (filled,) = PREDICTOR(image, HOLE)
    assert filled.size == image.size and filled.getexif()[ExifTags.Base.Orientation] == orientation
    after = np.array(ImageOps.exif_transpose(filled))
    np.testing.assert_array_equal(after[~HOLE], np.array(noise())[~HOLE])
    assert (after[HOLE] == (0, 255, 0)).all()


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_a_mask_drawn_on_the_stored_pixels_is_turned_with_them(orientation, tmp_path):
    oriented(orientation, tmp_path / "in.png")
    stored = np.array(Image.open(tmp_path / "in.png"))
    hole = np.zeros(stored.shape[:2], bool)
    hole[2:9, 3:8] = True
    (filled,) = PREDICTOR(Image.open(tmp_path / "in.png"), hole)
    np.testing.assert_array_equal((np.array(filled) != stored).any(axis=-1), hole)
    (upright,) = PREDICTOR(tmp_path / "in.png", hole)
    np.testing.assert_array_equal(np.array(upright), np.array(ImageOps.exif_transpose(filled)))


# -- metadata --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
@pytest.mark.filterwarnings("ignore::inpaintzoo.predictor.JpegWarning")
def test_colour_profile_and_exif_are_kept(suffix, tmp_path):
    exif = Image.Exif()
    exif[ExifTags.Base.Artist] = "A. Photographer"
    noise().save(tmp_path / f"in{suffix}", icc_profile=profile(), exif=exif, dpi=(300, 300))
    PREDICTOR.fill_file(tmp_path / f"in{suffix}", HOLE, tmp_path / f"out{suffix}")
    after = Image.open(tmp_path / f"out{suffix}")
    assert after.info["icc_profile"] == profile()
    assert after.getexif()[ExifTags.Base.Artist] == "A. Photographer"
    if suffix != ".webp":
        assert [round(float(value)) for value in after.info["dpi"]] == [300, 300]


def test_texts_of_png_files_are_kept(tmp_path):
    texts = PngInfo()
    texts.add_text("Title", "Façade")
    noise().save(tmp_path / "in.png", pnginfo=texts)
    PREDICTOR.fill_file(tmp_path / "in.png", HOLE, tmp_path / "out.png")
    assert Image.open(tmp_path / "out.png").text["Title"] == "Façade"


WRITTEN_XMP = XMP.replace(b"c2VjcmV0", b"")


@pytest.mark.parametrize("target", [".jpg", ".png", ".webp", ".tif"])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
@pytest.mark.filterwarnings("ignore::inpaintzoo.predictor.JpegWarning")
def test_xmp_is_kept_in_every_format_without_what_shows_the_removed(suffix, target, tmp_path):
    texts, tags = PngInfo(), Image.Exif()
    texts.add_itxt("XML:com.adobe.xmp", XMP.decode())
    tags[700] = XMP
    options = {".jpg": {"xmp": XMP}, ".webp": {"xmp": XMP}, ".png": {"pnginfo": texts}, ".tif": {"exif": tags}}
    noise().save(tmp_path / f"in{suffix}", **options[suffix])
    assert xmp_of(tmp_path / f"in{suffix}") == XMP
    PREDICTOR.fill_file(tmp_path / f"in{suffix}", HOLE, tmp_path / f"out{target}")
    assert xmp_of(tmp_path / f"out{target}") == WRITTEN_XMP


def test_the_thumbnail_that_shows_what_was_removed_goes(tmp_path):
    block, thumbnail = exif_with_thumbnail()
    noise().save(tmp_path / "in.png", exif=block)
    assert thumbnail in (tmp_path / "in.png").read_bytes()
    assert Image.open(tmp_path / "in.png").getexif().get_ifd(ExifTags.IFD.IFD1)
    PREDICTOR.fill_file(tmp_path / "in.png", HOLE.T, tmp_path / "out.png")
    assert thumbnail not in (tmp_path / "out.png").read_bytes()
    exif = Image.open(tmp_path / "out.png").getexif()
    assert exif[ExifTags.Base.Orientation] == 1 and not exif.get_ifd(ExifTags.IFD.IFD1)


def test_jpeg_warns_and_keeps_its_quantisation(tmp_path):
    muted = Image.fromarray(np.array(noise("L")) // 4 + 96).resize((176, 120), Image.Resampling.BICUBIC)
    muted.save(tmp_path / "in.jpg", quality=80)
    hole = np.kron(HOLE, np.ones((4, 4), bool))
    with pytest.warns(JpegWarning, match="JPEG changes known pixels"):
        PREDICTOR.fill_file(tmp_path / "in.jpg", hole, tmp_path / "out.jpg")
    before, after = Image.open(tmp_path / "in.jpg"), Image.open(tmp_path / "out.jpg")
    assert after.quantization == before.quantization
    far = np.s_[80:, :]
    assert np.abs(np.array(after)[far].astype(int) - np.array(before)[far]).max() <= 1


@pytest.mark.filterwarnings("ignore::inpaintzoo.predictor.JpegWarning")
def test_cmyk_jpeg_stays_cmyk(tmp_path):
    Image.new("CMYK", (WIDTH, HEIGHT), (10, 200, 30, 60)).save(tmp_path / "in.jpg", quality=100)
    PREDICTOR.fill_file(tmp_path / "in.jpg", HOLE, tmp_path / "out.jpg")
    after = Image.open(tmp_path / "out.jpg")
    assert after.mode == "CMYK"
    assert np.abs(np.array(after)[15:].astype(int) - (10, 200, 30, 60)).max() <= 4
    assert np.abs(np.array(after.convert("RGB"))[7, 26].astype(int) - (0, 255, 0)).max() <= 40


def test_a_jpeg_mask_warns(tmp_path):
    noise().save(tmp_path / "in.png")
    Image.fromarray(HOLE).convert("L").save(tmp_path / "mask.jpg", quality=70)
    with pytest.warns(UserWarning, match="grey edges"):
        (filled,) = PREDICTOR(tmp_path / "in.png", tmp_path / "mask.jpg")
    changed = (np.array(filled) != np.array(noise())).any(axis=-1)
    assert (changed != HOLE).mean() < 0.02


# -- 16-bit colour ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_16_bit_colour_png_keeps_every_bit(channels, tmp_path):
    pixels = deep_noise(channels)
    write_png(tmp_path / "in.png", pixels)
    PREDICTOR.fill_file(tmp_path / "in.png", HOLE, tmp_path / "out.png")
    after, _ = read_png(tmp_path / "out.png")
    np.testing.assert_array_equal(after[~HOLE], pixels[~HOLE])
    expected = [38469] if channels == 2 else [0, 65535, 0]
    assert (after[HOLE][:, : len(expected)] == expected).all()
    if channels != 3:
        np.testing.assert_array_equal(after[..., -1], pixels[..., -1])
    again = Image.open(tmp_path / "out.png")
    np.testing.assert_array_equal(
        np.array(again)[..., 1 if channels == 3 else -1], after[..., 1 if channels == 3 else -1] >> 8
    )


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "adobe_deflate"])
@pytest.mark.parametrize("channels", [3, 4])
def test_16_bit_colour_tiff_keeps_every_bit(order, compression, channels, tmp_path):
    pixels = deep_noise(channels)
    extra = {"extrasamples": ("unassalpha",)} if channels == 4 else {}
    tifffile.imwrite(tmp_path / "in.tif", pixels, byteorder=order, compression=compression, photometric="rgb", **extra)
    PREDICTOR.fill_file(tmp_path / "in.tif", HOLE, tmp_path / "out.tif")
    after = tifffile.imread(tmp_path / "out.tif")
    np.testing.assert_array_equal(after[~HOLE], pixels[~HOLE])
    assert after.dtype == np.uint16 and (after[HOLE][:, :3] == (0, 65535, 0)).all()
    PREDICTOR.fill_file(tmp_path / "in.tif", HOLE, tmp_path / "out.png")
    np.testing.assert_array_equal(read_png(tmp_path / "out.png")[0], after)


@pytest.mark.parametrize("compression", [None, "adobe_deflate"])
@pytest.mark.parametrize("channels", [3, 4])
def test_16_bit_colour_tiff_in_planes_keeps_every_bit(compression, channels, tmp_path):
    pixels = deep_noise(channels)
    extra = {"extrasamples": ("unassalpha",)} if channels == 4 else {}
    planes = np.ascontiguousarray(pixels.transpose(2, 0, 1))
    layout = {"photometric": "rgb", "planarconfig": "separate", "compression": compression}
    tifffile.imwrite(tmp_path / "in.tif", planes, **layout, **extra)
    PREDICTOR.fill_file(tmp_path / "in.tif", HOLE, tmp_path / "out.tif")
    after = tifffile.imread(tmp_path / "out.tif")
    assert after.dtype == np.uint16 and (after[HOLE][:, :3] == (0, 65535, 0)).all()
    np.testing.assert_array_equal(after[~HOLE], pixels[~HOLE])


@pytest.mark.parametrize(
    "layout",
    [
        {"photometric": "separated"},
        {"photometric": "rgb", "extrasamples": ("unspecified",)},
        {"photometric": "rgb", "extrasamples": ("assocalpha",)},
    ],
)
def test_16_bit_tiffs_that_would_lose_bits_are_refused(layout, tmp_path):
    tifffile.imwrite(tmp_path / "in.tif", deep_noise(4), metadata=None, **layout)
    with pytest.raises(DataError, match=r"in.tif: 16-bit TIFF files in colour are read as RGB"):
        PREDICTOR.fill_file(tmp_path / "in.tif", HOLE, tmp_path / "out.tif")
    assert not (tmp_path / "out.tif").exists()


COLOUR_CHUNKS = {b"gAMA": struct.pack(">I", 45455), b"cHRM": struct.pack(">8I", *range(31270, 31278))}


@pytest.mark.parametrize("deep", [True, False])
def test_png_says_what_its_colours_mean_as_before(deep, tmp_path):
    chunks = {**COLOUR_CHUNKS, b"pHYs": struct.pack(">IIB", 11811, 11811, 1)}
    pixels = deep_noise(3)
    pixels[0, 0] = (1, 2, 3)
    if deep:
        chunks[b"tRNS"] = struct.pack(">HHH", 1, 2, 3)
        write_png(tmp_path / "in.png", pixels)
    else:
        noise().save(tmp_path / "in.png")
    data = (tmp_path / "in.png").read_bytes()
    added = b"".join(chunk(kind, body) for kind, body in chunks.items()) + chunk(b"tEXt", b"Author\0Ann")
    (tmp_path / "in.png").write_bytes(data[:33] + added + data[33:])
    PREDICTOR.fill_file(tmp_path / "in.png", HOLE, tmp_path / "out.png")
    written = (tmp_path / "out.png").read_bytes()
    for kind, body in chunks.items():
        assert chunk(kind, body) in written, kind
    assert Image.open(tmp_path / "out.png").text["Author"] == "Ann"
    if deep:
        np.testing.assert_array_equal(read_png(tmp_path / "out.png")[0][~HOLE], pixels[~HOLE])


def test_16_bit_colour_keeps_profile_and_says_what_pillow_lacks(tmp_path):
    tifffile.imwrite(tmp_path / "in.tif", deep_noise(3), photometric="rgb", iccprofile=profile())
    PREDICTOR.fill_file(tmp_path / "in.tif", HOLE, tmp_path / "out.png")
    PREDICTOR.fill_file(tmp_path / "out.png", HOLE, tmp_path / "back.tif")
    assert Image.open(tmp_path / "out.png").info["icc_profile"] == profile()
    assert Image.open(tmp_path / "back.tif").info["icc_profile"] == profile()
    with pytest.raises(DataError, match=r"no mode for 16-bit colour; use Predictor.fill_file"):
        PREDICTOR(tmp_path / "in.tif", HOLE)
    with pytest.raises(DataError, match="WEBP does not hold pictures of mode 16-bit colour"):
        PREDICTOR.fill_file(tmp_path / "in.tif", HOLE, tmp_path / "out.webp")


def camera_exif():
    exif = Image.Exif()
    exif.update({ExifTags.Base.Artist: "J. Mueller", ExifTags.Base.Make: "Maker", ExifTags.Base.Software: "Raw 3"})
    exif[int(ExifTags.IFD.Exif)] = {
        ExifTags.Base.ExposureTime: IFDRational(1, 250),
        ExifTags.Base.DateTimeOriginal: "2026:11:26 12:00:00",
        ExifTags.Base.MakerNote: bytes(range(200)),
    }
    exif[int(ExifTags.IFD.GPSInfo)] = {ExifTags.GPS.GPSLatitude: (IFDRational(52), IFDRational(31), IFDRational(7, 2))}
    stored = Image.Exif()
    stored.load(exif.tobytes())
    return stored


@pytest.mark.parametrize("source", ["png", "tif"])
@pytest.mark.parametrize("target", ["png", "tif"])
def test_16_bit_colour_keeps_exif_xmp_and_resolution(source, target, tmp_path):
    pixels = deep_noise(4)
    write_png(tmp_path / "plain.png", pixels)
    data = (tmp_path / "plain.png").read_bytes()
    added = chunk(b"eXIf", camera_exif().tobytes().removeprefix(b"Exif\0\0"))
    added += chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP) + chunk(b"pHYs", struct.pack(">IIB", 11811, 5906, 1))
    (tmp_path / "in.png").write_bytes(data[:33] + added + data[33:])
    if source == "tif":
        PREDICTOR.fill_file(tmp_path / "in.png", HOLE, tmp_path / "in.tif")
        pixels = tifffile.imread(tmp_path / "in.tif")
    PREDICTOR.fill_file(tmp_path / f"in.{source}", HOLE, tmp_path / f"out.{target}")
    out = tmp_path / f"out.{target}"
    after = tifffile.imread(out) if target == "tif" else read_png(out)[0]
    np.testing.assert_array_equal(after[~HOLE], pixels[~HOLE])
    assert xmp_of(out) == WRITTEN_XMP
    with Image.open(out) as image:
        found, wanted = image.getexif(), camera_exif()
        assert found[ExifTags.Base.Artist] == "J. Mueller" and found[ExifTags.Base.Software] == "Raw 3"
        for part in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
            assert dict(found.get_ifd(part)) == dict(wanted.get_ifd(part))
        assert [round(float(value)) for value in image.info["dpi"]] == [300, 150]
    if target == "tif":
        with tifffile.TiffFile(out) as file:
            codes = [tag.code for tag in file.pages[0].tags]
        assert codes == sorted(codes), "as TIFF asks for"


# -- damaged files ---------------------------------------------------------------------------------------------------


def encoded(kind):
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    noise(size=(24, 16)).save(buffer, kind, exif=exif)
    return buffer.getvalue()


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    kind=st.sampled_from(["PNG", "JPEG", "TIFF", "WEBP", "16-bit PNG", "16-bit TIFF"]),
    cut=st.floats(0, 1),
    flips=st.lists(st.tuples(st.floats(0, 1), st.integers(1, 255)), max_size=4),
)
def test_damaged_files_are_named_and_nothing_else_happens(kind, cut, flips, tmp_path):
    path = tmp_path / "in.png"
    if kind == "16-bit PNG":
        write_png(path, deep_noise(3)[:16, :24])
    elif kind == "16-bit TIFF":
        tifffile.imwrite(path, deep_noise(3)[:16, :24], photometric="rgb")
    else:
        path.write_bytes(encoded(kind))
    data = bytearray(path.read_bytes())
    for place, change in flips:
        data[int(place * (len(data) - 1))] ^= change
    path.write_bytes(bytes(data[: int(cut * len(data))]))
    hole = np.zeros((24, 16), bool)
    hole[3:9, 3:9] = True
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            (filled,) = Predictor(MeanColour())(path, hole)
        except DataError as error:
            assert "in.png" in str(error) or "mask" in str(error)
        else:
            assert filled.size in ((16, 24), (24, 16))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"none.png: the file does not exist"):
        PREDICTOR(tmp_path / "none.png", HOLE)


def test_a_pillow_image_whose_file_is_cut_short_is_refused(tmp_path):
    noise().save(tmp_path / "in.png")
    data = (tmp_path / "in.png").read_bytes()
    with pytest.raises(DataError, match="cannot be decoded"):
        PREDICTOR(Image.open(io.BytesIO(data[: len(data) // 2])), HOLE)


def test_further_frames_are_not_dropped_silently(tmp_path):
    noise().save(tmp_path / "in.tif", save_all=True, append_images=[noise()])
    with pytest.warns(UserWarning, match="only the first of its 2 frames"):
        PREDICTOR.fill_file(tmp_path / "in.tif", HOLE, tmp_path / "out.tif")
    np.testing.assert_array_equal(np.array(Image.open(tmp_path / "out.tif"))[~HOLE], np.array(noise())[~HOLE])
