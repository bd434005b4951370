"""Metadata of files through the Predictor: every byte that is still valid is kept."""

import struct
import warnings
import zlib

import numpy as np
import PIL
import pytest
import tifffile
from file_toys import (
    HOLE,
    PREDICTOR,
    XMP,
    Green,
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

from inpaintzoo import DataError, Predictor

pytestmark = pytest.mark.filterwarnings("ignore::inpaintzoo.predictor.JpegWarning")

BYTE, ASCII, SHORT, LONG, RATIONAL, UNDEFINED = 1, 2, 3, 4, 5, 7
WIDTHS = {BYTE: 1, ASCII: 1, SHORT: 2, LONG: 4, RATIONAL: 8, UNDEFINED: 1}
POINTERS = (34665, 34853, 40965)


def packed(fields, start, order):
    """A TIFF directory at `start`: tag -> (type, bytes in this order), or -> such a dict that it points to."""
    end, entries, values = start + 2 + 12 * len(fields) + 4, b"", b""
    for tag, field in sorted(fields.items()):
        place = struct.pack(order + "I", end + len(values))
        if isinstance(field, dict):
            entries += struct.pack(order + "HHI", tag, LONG, 1) + place
            values += packed(field, end + len(values), order)
            continue
        kind, data = field
        entries += struct.pack(order + "HHI", tag, kind, len(data) // WIDTHS[kind])
        entries += data.ljust(4, b"\0") if len(data) <= 4 else place
        values += data + bytes(len(data) % 2) if len(data) > 4 else b""
    return struct.pack(order + "H", len(fields)) + entries + bytes(4) + values


def exif_block(fields, order="<"):
    return {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(order + "I", 8) + packed(fields, 8, order)


def unpacked(data, start=None):
    """The fields of a TIFF file's or EXIF block's first directory, as for `packed`, their bytes in its order."""
    order = {b"II": "<", b"MM": ">"}[data[:2]]
    big = struct.unpack_from(order + "H", data, 2)[0] == 43
    start = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)[0] if start is None else start
    (count,), size = struct.unpack_from(order + ("Q" if big else "H"), data, start), 20 if big else 12
    found, tags = {}, []
    for place in range(start + (8 if big else 2), start + (8 if big else 2) + count * size, size):
        tag, kind, number = struct.unpack_from(order + ("HHQ" if big else "HHI"), data, place)
        slot, length = place + (12 if big else 8), number * {**WIDTHS, 16: 8}[kind]
        (offset,) = struct.unpack_from(order + ("Q" if big else "I"), data, slot)
        where = offset if length > (8 if big else 4) else slot
        found[tag] = unpacked(data, offset) if tag in POINTERS else (kind, data[where : where + length])
        tags.append(tag)
    assert tags == sorted(tags), "as TIFF asks for"
    return found


def exif_of(path):
    """What a file's EXIF says: a TIFF file's own directory, or the block in another."""
    if path.suffix == ".tif":
        return unpacked(path.read_bytes())
    with Image.open(path) as image:
        image.load()
        return unpacked(image.info["exif"].removeprefix(b"Exif\0\0"))


JOSE = "© José 日本\0".encode()
ABOUT = {
    270: (ASCII, "Façade, old\0".encode("latin-1")),
    33432: (ASCII, JOSE),
    40091: (BYTE, "Überschrift\0".encode("utf-16-le")),
}
CAMERA = {
    33434: (RATIONAL, struct.pack("<II", 1, 250)),
    36867: (ASCII, b"2026:11:26 12:00:00\0"),
    37500: (UNDEFINED, bytes(range(201))),
    37510: (UNDEFINED, b"ASCII\0\0\0" + JOSE),
    40965: {1: (ASCII, b"R98\0"), 2: (UNDEFINED, b"0100")},
}
PLACE = {1: (ASCII, b"N\0"), 2: (RATIONAL, struct.pack("<6I", 52, 1, 31, 1, 7, 2))}
FIELDS = {**ABOUT, 34665: CAMERA, 34853: PLACE}


def write_source(path, exif):
    """A picture file with such a block; 16-bit if its name says so."""
    if path.name.startswith("deep"):
        write_png(path.with_suffix(".png"), deep_noise(3))
        data = path.with_suffix(".png").read_bytes()
        path.with_suffix(".png").write_bytes(data[:33] + chunk(b"eXIf", exif) + data[33:])
    else:
        noise().save(path.with_suffix(".jpg" if path.suffix == ".tif" else path.suffix), exif=b"Exif\0\0" + exif)
    if path.suffix == ".tif":  # whose writer is what is tested
        source = path.with_suffix(".png" if path.name.startswith("deep") else ".jpg")
        PREDICTOR.fill_file(source, HOLE, path)


WAYS = [
    (f"plain{one}", other) for one in (".png", ".jpg", ".webp", ".tif") for other in (".png", ".jpg", ".webp", ".tif")
]
WAYS += [(f"deep{one}", other) for one in (".png", ".tif") for other in (".png", ".tif")]


@pytest.mark.parametrize(("source", "target"), WAYS)
def test_every_byte_of_exif_is_kept_in_every_format(source, target, tmp_path):
    write_source(tmp_path / source, exif_block(FIELDS))
    PREDICTOR.fill_file(tmp_path / source, HOLE, tmp_path / f"out{target}")
    found = exif_of(tmp_path / f"out{target}")
    assert {tag: found.get(tag) for tag in FIELDS} == FIELDS
    with Image.open(tmp_path / f"out{target}") as image:
        exif = image.getexif()
        assert exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ExposureTime] == pytest.approx(1 / 250)
        assert exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitude] == (52, 31, 3.5)
        assert exif.get_ifd(ExifTags.IFD.Interop)[1] == "R98"


def swapped(fields):
    """The same values in the other byte order."""
    units = {SHORT: 2, LONG: 4, RATIONAL: 4}
    return {
        tag: swapped(field)
        if isinstance(field, dict)
        else (field[0], np.frombuffer(field[1], f"u{units.get(field[0], 1)}").byteswap().tobytes())
        for tag, field in fields.items()
    }


@pytest.mark.filterwarnings("ignore:.*TIFF tags 32999 are left out")
@pytest.mark.parametrize("deep", [True, False])
@pytest.mark.parametrize(("order", "big"), [(">", False), ("<", True)])  # Pillow opens no big-endian BigTIFF
@pytest.mark.parametrize("target", [".png", ".tif"])
def test_other_kinds_of_tiff_keep_their_texts_and_numbers(target, order, big, deep, tmp_path):
    extra = [(33432, 2, len(JOSE), JOSE, True), (18246, 3, 1, 4, True), (32999, 3, 1, 7, True)]
    pixels = deep_noise(3) if deep else deep_noise(1)[..., 0]
    options = {"photometric": "rgb" if deep else "minisblack", "metadata": None, "extratags": extra}
    tifffile.imwrite(tmp_path / "in.tif", pixels, byteorder=order, bigtiff=big, **options)
    PREDICTOR.fill_file(tmp_path / "in.tif", HOLE, tmp_path / f"out{target}")
    found, written = exif_of(tmp_path / f"out{target}"), order
    if target == ".tif":
        written = {b"II": "<", b"MM": ">"}[(tmp_path / "out.tif").read_bytes()[:2]]
        np.testing.assert_array_equal(tifffile.imread(tmp_path / "out.tif")[~HOLE], pixels[~HOLE])
    assert found[33432] == (ASCII, JOSE) and found[18246] == (SHORT, struct.pack(written + "H", 4))
    assert 32999 not in found, "may say how the file was stored"


def test_a_big_endian_block_becomes_a_little_endian_tiff(tmp_path):
    noise().save(tmp_path / "in.jpg", exif=b"Exif\0\0" + exif_block(swapped(FIELDS), ">"))
    PREDICTOR.fill_file(tmp_path / "in.jpg", HOLE, tmp_path / "out.tif")
    found = exif_of(tmp_path / "out.tif")
    assert {tag: found.get(tag) for tag in FIELDS} == FIELDS


@pytest.mark.parametrize("source", ["plain.png", "deep.png"])
def test_a_block_does_not_say_how_a_tiff_is_stored(source, tmp_path):
    wrong = {256: (LONG, bytes(4)), 258: (SHORT, bytes(6)), 259: (SHORT, b"\7\0"), 262: (SHORT, b"\0\0")}
    wrong |= {
        273: (LONG, bytes(4)),
        274: (SHORT, b"\6\0"),
        282: (RATIONAL, struct.pack("<II", 99, 1)),
        330: (LONG, b"abcd"),
    }
    write_source(tmp_path / source, exif_block({**wrong, **ABOUT}))
    PREDICTOR.fill_file(tmp_path / source, HOLE.T, tmp_path / "out.tif")
    found = exif_of(tmp_path / "out.tif")
    assert {tag: found.get(tag) for tag in ABOUT} == ABOUT
    assert found.get(274, (SHORT, b"\1\0")) == (SHORT, b"\1\0") and 330 not in found
    pixels = deep_noise(3) if source == "deep.png" else np.array(noise())
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "out.tif")[~HOLE.T], np.rot90(pixels, -1)[~HOLE.T])


@pytest.mark.parametrize("source", ["plain.png", "plain.jpg", "deep.png"])
def test_damaged_exif_does_not_fail_a_tiff(source, tmp_path):
    write_source(tmp_path / source, b"garbage!")
    with pytest.warns(UserWarning, match=rf"{source}: its EXIF is damaged and left out"):
        PREDICTOR.fill_file(tmp_path / source, HOLE, tmp_path / "out.tif")
    assert 34665 not in exif_of(tmp_path / "out.tif")
    with Image.open(tmp_path / "out.tif") as image:
        image.load()


@pytest.mark.filterwarnings("ignore:.*Truncated File Read")
def test_of_partly_damaged_exif_the_rest_is_kept(tmp_path):
    block = bytearray(exif_block({**ABOUT, 315: (ASCII, b"Ann, photographer\0")}))
    place = block.index(struct.pack("<HH", 315, ASCII))
    struct.pack_into("<I", block, place + 8, 10**6)
    write_source(tmp_path / "plain.png", bytes(block))
    with pytest.warns(UserWarning, match=r"parts of its EXIF are damaged and left out \(tags 315\)"):
        PREDICTOR.fill_file(tmp_path / "plain.png", HOLE, tmp_path / "out.tif")
    found = exif_of(tmp_path / "out.tif")
    assert {tag: found.get(tag) for tag in ABOUT} == ABOUT and 315 not in found


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cut=st.floats(0.5, 1),
    flips=st.lists(st.tuples(st.integers(0, 120), st.integers(1, 255)), min_size=1, max_size=4),
    order=st.sampled_from("<>"),
)
def test_however_exif_is_damaged_a_tiff_is_written(cut, flips, order, tmp_path):
    block = bytearray(exif_block(FIELDS if order == "<" else swapped(FIELDS), order))
    for place, change in flips:
        block[place] ^= change
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        noise().save(tmp_path / "in.png", exif=bytes(block[: int(cut * len(block))]))
        PREDICTOR.fill_file(tmp_path / "in.png", HOLE, tmp_path / "out.tif", overwrite=True)
        with Image.open(tmp_path / "out.tif") as image:
            image.load()
            assert image.getexif().get(274, 1) == 1


def test_the_thumbnail_does_not_reach_a_tiff(tmp_path):
    block, thumbnail = exif_with_thumbnail()
    noise().save(tmp_path / "in.png", exif=block)
    PREDICTOR.fill_file(tmp_path / "in.png", HOLE.T, tmp_path / "out.tif")
    assert thumbnail not in (tmp_path / "out.tif").read_bytes()
    with Image.open(tmp_path / "out.tif") as image:
        assert image.n_frames == 1


def test_a_tiff_that_was_turned_says_its_new_sides(tmp_path):
    sides = {40962: (LONG, struct.pack("<I", 44)), 40963: (LONG, struct.pack("<I", 30))}
    exif = Image.Exif()
    exif.load(exif_block({274: (SHORT, b"\6\0"), 34665: sides}))
    noise().save(tmp_path / "in.tif", exif=exif, dpi=(300, 150))
    PREDICTOR.fill_file(tmp_path / "in.tif", HOLE.T, tmp_path / "out.tif")
    with Image.open(tmp_path / "out.tif") as image:
        assert image.size == (30, 44) and image.getexif().get(274, 1) == 1
        inner = image.getexif().get_ifd(ExifTags.IFD.Exif)
        assert (inner[40962], inner[40963]) == (30, 44)
        assert [round(float(value)) for value in image.info["dpi"]] == [150, 300]


@pytest.mark.parametrize("planes", [True, False])
@pytest.mark.parametrize("target", [".png", ".tif"])
def test_a_16_bit_tiff_comes_out_upright(planes, target, tmp_path):
    pixels = deep_noise(3)
    layout = {"photometric": "rgb", "planarconfig": "separate" if planes else "contig", "metadata": None}
    stored = np.ascontiguousarray(pixels.transpose(2, 0, 1)) if planes else pixels
    tifffile.imwrite(tmp_path / "in.tif", stored, extratags=[(274, 3, 1, 6, True)], **layout)
    PREDICTOR.fill_file(tmp_path / "in.tif", HOLE.T, tmp_path / f"out{target}")
    after = read_png(tmp_path / "out.png")[0] if target == ".png" else tifffile.imread(tmp_path / "out.tif")
    np.testing.assert_array_equal(after[~HOLE.T], np.rot90(pixels, -1)[~HOLE.T])
    with Image.open(tmp_path / f"out{target}") as image:
        assert image.getexif().get(274, 1) == 1


def test_an_orientation_in_exif_that_is_cut_short_is_set_right(tmp_path):
    block = exif_block({274: (SHORT, b"\6\0"), 315: (ASCII, b"Ann, photographer\0")})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        noise().save(tmp_path / "in.png", exif=block[: 8 + 2 + 12 + 5])
        PREDICTOR.fill_file(tmp_path / "in.png", HOLE.T, tmp_path / "out.png")
        with Image.open(tmp_path / "out.png") as image:
            assert image.size == (30, 44) and image.getexif().get(274, 1) == 1


# -- orientation that is not in an EXIF block ------------------------------------------------------------------------


def raw_profile(block):
    """EXIF as ImageMagick writes it into PNG files."""
    data = b"Exif\0\0" + block
    digits = data.hex()
    lines = "\n".join(digits[start : start + 72] for start in range(0, len(digits), 72))
    return f"\nexif\n{len(data):8}\n{lines}\n"


def png_with_raw_profile(path, fields):
    texts = PngInfo()
    texts.add_text("Raw profile type exif", raw_profile(exif_block(fields)), zip=True)
    texts.add_text("Author", "Ann")
    noise().save(path, pnginfo=texts)


TURNED_XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'


def test_a_raw_profile_of_a_png_becomes_exif(tmp_path):
    png_with_raw_profile(tmp_path / "in.png", {**FIELDS, 274: (SHORT, b"\6\0")})
    for target in (".png", ".tif"):
        PREDICTOR.fill_file(tmp_path / "in.png", HOLE.T, tmp_path / f"out{target}")
        with Image.open(tmp_path / f"out{target}") as image:
            image.load()
            assert image.size == (30, 44) and image.getexif().get(274, 1) == 1
            assert "Raw profile type exif" not in image.info
            assert target == ".tif" or image.text["Author"] == "Ann"
        found = exif_of(tmp_path / f"out{target}")
        assert {tag: found.get(tag) for tag in FIELDS} == FIELDS
    np.testing.assert_array_equal(np.array(Image.open(tmp_path / "out.png"))[~HOLE.T], np.rot90(noise(), -1)[~HOLE.T])


def test_a_damaged_raw_profile_is_dropped(tmp_path):
    texts = PngInfo()
    texts.add_text("Raw profile type exif", "\nexif\n 4\nnothing")
    noise().save(tmp_path / "in.png", pnginfo=texts)
    with pytest.warns(UserWarning, match=r"in.png: its EXIF is damaged and left out"):
        PREDICTOR.fill_file(tmp_path / "in.png", HOLE, tmp_path / "out.png")
    with Image.open(tmp_path / "out.png") as image:
        assert not image.info.keys() & {"exif", "Raw profile type exif"}


@pytest.mark.parametrize("source", ["raw.png", "xmp.png", "xmp.jpg", "xmp.webp", "exif.png", "exif.tif"])
def test_a_picture_in_memory_that_was_brought_upright_says_so(source, tmp_path):
    path, texts = tmp_path / source, PngInfo()
    texts.add_itxt("XML:com.adobe.xmp", TURNED_XMP.decode())
    if source == "raw.png":
        png_with_raw_profile(path, {274: (SHORT, b"\6\0")})
    elif source.startswith("exif"):
        exif = Image.Exif()
        exif[274] = 6
        noise().save(path, exif=exif)
    else:
        noise().save(path, **({"pnginfo": texts} if source == "xmp.png" else {"xmp": TURNED_XMP}))
    if Image.open(path).getexif().get(274) != 6:
        pytest.skip("this version of Pillow does not look there")
    (filled,) = PREDICTOR(path, HOLE.T)
    assert filled.size == (30, 44) and filled.getexif().get(274, 1) == 1
    np.testing.assert_array_equal(np.array(ImageOps.exif_transpose(filled)), np.array(filled))
    filled.save(tmp_path / "again.png", exif=filled.getexif())
    assert Image.open(tmp_path / "again.png").getexif().get(274, 1) == 1


# -- XMP -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("target", [".png", ".jpg", ".tif"])
def test_xmp_in_another_unicode_becomes_utf8(target, encoding, mark, tmp_path):
    noise().save(tmp_path / "in.webp", xmp=(mark + XMP.decode()).encode(encoding), lossless=True)
    PREDICTOR.fill_file(tmp_path / "in.webp", HOLE, tmp_path / f"out{target}")
    assert xmp_of(tmp_path / f"out{target}") == XMP.replace(b"c2VjcmV0", b"")


@pytest.mark.parametrize("deep", [True, False])
def test_xmp_that_is_no_unicode_is_left_out_of_png_alone(deep, tmp_path):
    latin, pixels = XMP.decode().encode("latin-1"), deep_noise(3) if deep else np.array(noise())
    extra = [(700, 1, len(latin), latin, True)]
    tifffile.imwrite(tmp_path / "in.tif", pixels, photometric="rgb", metadata=None, extratags=extra)
    with pytest.warns(UserWarning, match=r"in.tif: its XMP is not UTF-8"):
        PREDICTOR.fill_file(tmp_path / "in.tif", HOLE, tmp_path / "out.png")
    PREDICTOR.fill_file(tmp_path / "in.tif", HOLE, tmp_path / "out.tif")
    assert xmp_of(tmp_path / "out.png") == b""
    assert xmp_of(tmp_path / "out.tif") == latin.replace(b"c2VjcmV0", b"")


# -- what a format cannot hold ---------------------------------------------------------------------------------------


class Never(Green):
    def forward(self, image, mask):
        raise AssertionError


@pytest.mark.parametrize(("name", "most"), [("EXIF", 65533), ("XMP", 65533 - 29), ("comment", 65000)])
def test_more_metadata_than_a_jpeg_holds_is_refused_before_the_work(name, most, tmp_path):
    def save(size):
        block = exif_block({37510: (UNDEFINED, bytes(size - 6 - 8 - 2 - 12 - 4))}) if name == "EXIF" else b""
        texts = PngInfo()
        if name == "XMP":
            texts.add_itxt("XML:com.adobe.xmp", "<" * size)
        if name == "comment":
            texts.add_text("comment", "c" * size)
        noise().save(tmp_path / "in.png", pnginfo=texts, **({"exif": block} if block else {}))

    save(most - 1)  # even, as a block is
    PREDICTOR.fill_file(tmp_path / "in.png", HOLE, tmp_path / "out.jpg")
    save(most + 1)
    with pytest.raises(
        DataError, match=rf"out2.jpg: JPEG holds {most} bytes of {name} and .*in.png has {most + 1}; write PNG"
    ):
        Predictor(Never(), device="cpu").fill_file(tmp_path / "in.png", HOLE, tmp_path / "out2.jpg")
    assert not (tmp_path / "out2.jpg").exists()


RESOLUTIONS = [(1e-9, None), (0.01, {".tif"}), (0.4, {".png", ".bmp", ".tif"}), (300, {".png", ".bmp", ".jpg", ".tif"})]
RESOLUTIONS += [(65537, {".png", ".bmp", ".tif"}), (10**8, {".tif"}), (4 * 10**9, {".tif"})]


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize(("dpi", "holders"), RESOLUTIONS)
def test_a_resolution_is_kept_where_a_format_has_a_number_for_it(dpi, holders, deep, tmp_path):
    steps = (1, 10**9) if dpi < 1e-6 else (round(dpi * 100), 100) if dpi < 10**7 else (dpi, 1)
    pixels = deep_noise(3) if deep else np.array(noise())
    options = {"resolution": (steps, steps), "resolutionunit": "inch", "software": False, "metadata": None}
    tifffile.imwrite(tmp_path / "in.tif", pixels, photometric="rgb", **options)
    for target in (".png", ".tif") if deep else (".png", ".bmp", ".jpg", ".tif"):
        PREDICTOR.fill_file(tmp_path / "in.tif", HOLE, tmp_path / f"out{target}")
        with Image.open(tmp_path / f"out{target}") as image:
            found = [float(value) for value in image.info.get("dpi", ())]
        if target in (holders or ()):
            assert found == pytest.approx([dpi, dpi], rel=0.05), target
        else:
            assert not any(value == pytest.approx(dpi, rel=0.5) for value in found), target
            assert all(value in (0, 1, 96) or value == pytest.approx(96, rel=0.01) for value in found), target


# -- PNG's chunks ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("deep", [True, False])
@pytest.mark.parametrize(("name", "body"), [(b"sRGB", b"\2"), (b"cICP", bytes([9, 16, 0, 1]))])
def test_png_keeps_which_standard_its_colours_follow(name, body, deep, tmp_path):
    if name == b"cICP" and not deep and int(PIL.__version__.split(".")[0]) < 12:
        pytest.skip("this version of Pillow does not write it")
    write_png(tmp_path / "in.png", deep_noise(3)) if deep else noise().save(tmp_path / "in.png")
    data = (tmp_path / "in.png").read_bytes()
    (tmp_path / "in.png").write_bytes(data[:33] + chunk(name, body) + data[33:])
    PREDICTOR.fill_file(tmp_path / "in.png", HOLE, tmp_path / "out.png")
    written = (tmp_path / "out.png").read_bytes()
    assert chunk(name, body) in written[: written.index(b"IDAT")]


def test_an_srgb_chunk_does_not_stand_beside_a_profile(tmp_path):
    write_png(tmp_path / "in.png", deep_noise(3))
    data, icc = (tmp_path / "in.png").read_bytes(), chunk(b"iCCP", b"ICC\0\0" + zlib.compress(profile()))
    (tmp_path / "in.png").write_bytes(data[:33] + icc + chunk(b"sRGB", b"\0") + data[33:])
    PREDICTOR.fill_file(tmp_path / "in.png", HOLE, tmp_path / "out.png")
    chunks = read_png(tmp_path / "out.png")[1]
    assert b"iCCP" in chunks and b"sRGB" not in chunks
