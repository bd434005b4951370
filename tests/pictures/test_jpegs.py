"""JPEG files written again: blocks without a hole, quantisation, sub-sampling, IPTC."""

import importlib.util
import struct
import sys

import numpy as np
import pytest
from file_toys import PREDICTOR
from PIL import ExifTags, Image, ImageOps

from inpaintzoo.pictures.images import turn
from inpaintzoo.pictures.picture_file import read_picture
from inpaintzoo.predictor import JpegWarning
from inpaintzoo.types import DataError

needs_jpeglib = pytest.mark.skipif(not importlib.util.find_spec("jpeglib"), reason="jpeglib has no wheel here")
HOLE = np.s_[21:40, 37:55]
PAINTS = {"L": 150, "RGB": (20, 160, 60), "CMYK": (160, 20, 100, 0)}
BACK = {2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}  # the orientation that undoes another


def scene(width=96, height=80, mode="RGB"):
    """Smooth shapes in strong colours, different in every block, with some noise."""
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / 5 + y / 9), np.cos(x / 3 - y / 11), np.sin(x * y / 150)]
    noise = np.random.default_rng(0).normal(0, 9, (height, width, 3))
    return Image.fromarray(np.clip(127 + 120 * np.stack(waves, -1) + noise, 0, 255).astype(np.uint8)).convert(mode)


def save(path, image, orientation=1, sampling=None, **options):
    """A JPEG file; `sampling` in J:a:b if Pillow does not write it."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    if sampling is None:
        image.save(path, exif=exif, **{"quality": 88, **options})
    else:
        import jpeglib

        made = jpeglib.from_spatial(np.array(image))
        made.samp_factor = sampling
        made.write_spatial(str(path), qt=88)
    return path


def fill(source, target):
    """Paint the hole of the upright picture; returns why known pixels change everywhere, and the notes."""
    notes = []
    file = read_picture(source, notes.append)
    pixels = file.picture.stored.copy()
    file.picture.upright(pixels)[HOLE] = PAINTS[file.mode]
    return file.write(pixels, target), notes


def upright(path):
    with Image.open(path) as image:
        return np.array(ImageOps.exif_transpose(image)).astype(int)


def far_from_the_hole(path):
    """Upright pixels not in an MCU with a hole, nor beside one, whose subsampled colours are smoothed."""
    with Image.open(path) as image:
        high, wide = (8 * max(layer[axis] for layer in image.layer) for axis in (2, 1))
        beside = int(max(high, wide) > 8)
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
        far = np.ones((image.height, image.width), bool)
    hole = np.zeros_like(turn(far, orientation))
    hole[HOLE] = True
    places = np.nonzero(turn(hole, BACK.get(orientation, 1)))
    (top, bottom), (left, right) = ((place.min(), place.max() + 1) for place in places)
    rows = slice(max(0, top // high * high - beside), -(-bottom // high) * high + beside)
    far[rows, max(0, left // wide * wide - beside) : -(-right // wide) * wide + beside] = False
    assert far.sum() > 2000
    return turn(far, orientation)


KINDS = {
    "4:2:0": {},
    "4:2:2": {"subsampling": 1},
    "4:4:4": {"subsampling": 0},
    "4:4:0": {"sampling": "4:4:0"},
    "4:1:1": {"sampling": "4:1:1"},
    "progressive": {"progressive": True},
    "restart intervals": {"restart_marker_blocks": 3},
    "own Huffman tables": {"optimize": True},
    "components are RGB": {"keep_rgb": True, "subsampling": 0},
    "tables with large steps": {"qtables": [list(range(1, 640, 10))] * 3},
}


def with_transform(path, transform):
    """Four components as Adobe's programs write them: 2 is YCCK; without the segment, they are CMYK."""
    data = path.read_bytes()
    place = data.index(b"\xff\xee\0\x0eAdobe")
    own = b"" if transform is None else data[place : place + 15] + bytes([transform])
    path.write_bytes(data[:place] + own + data[place + 16 :])
    return path


FOUR = {"CMYK": 0, "YCCK": 2, "CMYK without Adobe's segment": None}
MODES = {"grey": "L", **dict.fromkeys(FOUR, "CMYK")}


def source_of(kind, size, orientation, path):
    """A file in a layout of `KINDS` or `MODES`."""
    made = save(path, scene(*size, MODES.get(kind, "RGB")), orientation, **KINDS.get(kind, {}))
    return with_transform(made, FOUR[kind]) if kind in FOUR else made


@needs_jpeglib
@pytest.mark.parametrize("kind", [*KINDS, *MODES])
def test_blocks_without_a_hole_come_back_bit_for_bit(kind, tmp_path):
    """As stored, however the picture is held, and whether or not its sides are whole blocks."""
    for orientation, size in [*((number, (93, 75)) for number in range(1, 9)), (1, (96, 80)), (6, (96, 80))]:
        source, out = source_of(kind, size, orientation, tmp_path / "in.jpg"), tmp_path / "out.jpg"
        assert fill(source, out) == ("", [])
        before, after = upright(source), upright(out)
        assert np.abs(after - before)[far_from_the_hole(out)].max() == 0
        paint = np.array(PAINTS[MODES.get(kind, "RGB")])
        assert np.abs(after[HOLE][6:-6, 6:-6] - paint).max() < 30
        with Image.open(source) as old, Image.open(out) as new:
            assert new.size == old.size and new.getexif() == old.getexif()
            assert new.info.get("adobe_transform") == old.info.get("adobe_transform")
            assert [layer[1:3] for layer in new.layer] == [layer[1:3] for layer in old.layer]
            tables = [[image.quantization[layer[3]] for layer in image.layer] for image in (old, new)]
            assert tables[0] == tables[1]
            assert [layer[0] for layer in new.layer] == list(range(1, len(new.layer) + 1))


@needs_jpeglib
def test_metadata_stays_true_of_the_stored_picture(tmp_path):
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    source = save(tmp_path / "in.jpg", scene(), 6, xmp=xmp, dpi=(300, 200))
    assert fill(source, tmp_path / "out.jpg") == ("", []) == fill(source, tmp_path / "out.jpg")
    fill(source, tmp_path / "out.png")
    for name, orientation, dpi in [("out.jpg", 6, (300, 200)), ("out.png", 1, (200, 300))]:
        with Image.open(tmp_path / name) as image:
            image.load()
            assert image.getexif()[ExifTags.Base.Orientation] == orientation
            assert tuple(round(value) for value in image.info["dpi"]) == dpi
            stored = image.info.get("xmp") or image.text["XML:com.adobe.xmp"].encode()
            assert stored == xmp.replace(b"6", b"%d" % orientation)


@needs_jpeglib
def test_blocks_that_decode_to_other_values_are_not_passed_off_as_kept(tmp_path):
    """Decoders smooth a progressive file whose last scans are missing, but not the sequential file that is written."""
    data = save(tmp_path / "in.jpg", scene(), progressive=True).read_bytes()
    scans = [place for place in range(len(data)) if data[place : place + 2] == b"\xff\xda"]
    (tmp_path / "in.jpg").write_bytes(data[: scans[1]] + b"\xff\xd9")
    reason, _ = fill(tmp_path / "in.jpg", tmp_path / "out.jpg")
    assert reason == "its blocks decode to other values once they are written again"


# -- where blocks cannot be kept ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", [1, 6])
def test_without_jpeglib_tables_and_sub_sampling_are_kept(orientation, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "jpeglib", None)
    for kind, (across, down) in {"4:2:0": (2, 2), "4:2:2": (2, 1), "4:4:4": (1, 1)}.items():
        source = save(tmp_path / "in.jpg", scene(), orientation, **KINDS[kind])
        assert fill(source, tmp_path / "out.jpg") == ("the package jpeglib is not installed", [])
        with Image.open(source) as old, Image.open(tmp_path / "out.jpg") as new:
            assert new.layer[0][1:3] == (across, down) and new.layer[1][1:3] == (1, 1)
            assert old.quantization == new.quantization
        far = far_from_the_hole(tmp_path / "out.jpg")
        assert np.abs(upright(tmp_path / "out.jpg") - upright(source))[far].mean() < (0.6 if kind == "4:4:4" else 6)


@needs_jpeglib
@pytest.mark.parametrize("kind", ["jpg", "png"])
def test_the_warning_says_which_known_pixels_change(kind, tmp_path):
    scene().save(tmp_path / f"in.{kind}")
    hole = np.zeros((80, 96), bool)
    hole[HOLE] = True
    where = {"jpg": "in the blocks that the hole touches", "png": "everywhere a little, since the picture was not"}
    with pytest.warns(JpegWarning, match=f"JPEG changes known pixels {where[kind]}"):
        PREDICTOR.fill_file(tmp_path / f"in.{kind}", hole, tmp_path / "blocks.jpg")
    change = np.abs(upright(tmp_path / "blocks.jpg") - upright(tmp_path / f"in.{kind}"))
    assert (change[far_from_the_hole(tmp_path / "blocks.jpg")].max() == 0) == (kind == "jpg")


def test_12_bit_files_are_refused(tmp_path):
    data = save(tmp_path / "in.jpg", scene()).read_bytes()
    frame = data.index(b"\xff\xc0")
    (tmp_path / "in.jpg").write_bytes(data[: frame + 4] + b"\x0c" + data[frame + 5 :])
    with pytest.raises(DataError, match=r"in\.jpg: not an image in JPEG, PNG, BMP, WebP, TIFF, AVIF or HEIF format"):
        read_picture(tmp_path / "in.jpg", pytest.fail)


# -- what else a file may hold -----------------------------------------------------------------------------------------


@needs_jpeglib
def test_a_second_picture_trailing_bytes_and_many_segments_do_not_matter(tmp_path):
    scene().save(tmp_path / "in.mpo", save_all=True, append_images=[scene(48, 40)], quality=88)
    data = (tmp_path / "in.mpo").read_bytes()
    segments = b"".join(b"\xff\xef\0\x07own" + b"\xff\xee\0\x07own" for _ in range(100))
    (tmp_path / "in.jpg").write_bytes(data[:2] + segments + data[2:] + b"\xff\xe0 trailer \xff\xda")
    assert fill(tmp_path / "in.jpg", tmp_path / "out.jpg") == ("", [])
    change = np.abs(upright(tmp_path / "out.jpg") - upright(tmp_path / "in.jpg"))
    assert change[far_from_the_hole(tmp_path / "out.jpg")].max() == 0


@needs_jpeglib
def test_slight_damage_is_not_printed(tmp_path, capfd):
    data = save(tmp_path / "in.jpg", scene()).read_bytes()
    (tmp_path / "in.jpg").write_bytes(data[:-2] + bytes(9) + data[-2:])
    change, _ = fill(tmp_path / "in.jpg", tmp_path / "out.jpg")
    assert change == "" and capfd.readouterr() == ("", "")


def resource(number, data, name=b""):
    padded = bytes([len(name)]) + name + b"\0" * (1 - len(name) % 2)
    return b"8BIM" + struct.pack(">H", number) + padded + struct.pack(">I", len(data)) + data + b"\0" * (len(data) % 2)


IPTC = resource(0x0404, b"\x1c\x02\x78\0\x07caption")
OTHER = resource(0x03ED, bytes(16), b"resolution")
THUMBNAIL = resource(0x040C, b"shows what was removed")


def with_segments(path, *segments):
    data = save(path, scene()).read_bytes()
    made = b"".join(b"\xff\xed" + struct.pack(">H", len(content) + 2) + content for content in segments)
    path.write_bytes(data[:2] + made + data[2:])
    return path


def app13(path):
    with Image.open(path) as image:
        return [data for name, data in image.applist if name == "APP13"]


def test_iptc_is_kept_and_its_thumbnail_goes(tmp_path):
    block = IPTC + THUMBNAIL + OTHER
    source = with_segments(tmp_path / "in.jpg", b"Photoshop 3.0\0" + block, b"Adobe_CM\0own")
    assert fill(source, tmp_path / "out.jpg")[1] == []
    assert app13(tmp_path / "out.jpg") == [b"Adobe_CM\0own", b"Photoshop 3.0\0" + IPTC + OTHER]
    with Image.open(tmp_path / "out.jpg") as image:
        assert image.getexif()[ExifTags.Base.Orientation] == 1


def test_iptc_in_several_segments_is_kept(tmp_path):
    block = IPTC + resource(0x0BB7, np.random.default_rng(0).bytes(90000)) + OTHER
    parts = [b"Photoshop 3.0\0" + block[start : start + 60000] for start in range(0, len(block), 60000)]
    fill(with_segments(tmp_path / "in.jpg", *parts), tmp_path / "out.jpg")
    assert b"".join(part.removeprefix(b"Photoshop 3.0\0") for part in app13(tmp_path / "out.jpg")) == block


@pytest.mark.parametrize("block", [IPTC[:-5], IPTC + b"what is this", b"8BIM\x04\x04\xff"])
def test_damaged_iptc_is_left_out_with_a_note(block, tmp_path):
    source = with_segments(tmp_path / "in.jpg", b"Photoshop 3.0\0" + block)
    assert fill(source, tmp_path / "out.jpg")[1] == [f"{source}: its IPTC is damaged and left out"]
    assert app13(tmp_path / "out.jpg") == []


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif"])
def test_a_note_says_that_other_formats_do_not_get_the_iptc(suffix, tmp_path):
    source = with_segments(tmp_path / "in.jpg", b"Photoshop 3.0\0" + IPTC)
    notes = fill(source, tmp_path / f"out{suffix}")[1]
    assert notes == [f"{source}: its IPTC (APP13) is left out; write .jpg to keep it"]
