"""JPEG files written again: blocks without a hole, quantisation, sub-sampling, IPTC."""

import importlib.util
import struct
import sys

import numpy as np
import pytest
from file_toys import PREDICTOR
from PIL import ExifTags, Image, ImageOps

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
    """Pixels not in an MCU with a hole, nor beside one, whose smoothed colour reaches there."""
    with Image.open(path) as image:
        high, wide = (8 * max(layer[axis] for layer in image.layer) for axis in (2, 1))
        far = np.ones((image.height, image.width), bool)
    rows, columns = HOLE
    top, left = rows.start // high * high - 1, columns.start // wide * wide - 1
    far[max(0, top) : -(-rows.stop // high) * high + 1, max(0, left) : -(-columns.stop // wide) * wide + 1] = False
    assert far.sum() > 2000
    return far


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


@needs_jpeglib
@pytest.mark.parametrize("size", [(96, 80), (93, 75)])
@pytest.mark.parametrize("kind", [*KINDS, "grey"])
def test_blocks_without_a_hole_come_back_bit_for_bit(kind, size, tmp_path):
    source = save(tmp_path / "in.jpg", scene(*size, "L" if kind == "grey" else "RGB"), **KINDS.get(kind, {}))
    assert fill(source, tmp_path / "out.jpg") == ("", [])
    before, after = upright(source), upright(tmp_path / "out.jpg")
    change = np.abs(after - before)
    assert change[far_from_the_hole(tmp_path / "out.jpg")].max() == 0
    assert np.abs(after[HOLE][6:-6, 6:-6] - PAINTS["L" if kind == "grey" else "RGB"]).max() < 30
    with Image.open(source) as old, Image.open(tmp_path / "out.jpg") as new:
        assert [layer[1:3] for layer in new.layer] == [layer[1:3] for layer in old.layer]
        tables = [[image.quantization[layer[3]] for layer in image.layer] for image in (old, new)]
        assert tables[0] == tables[1]
        assert [layer[0] for layer in new.layer] == list(range(1, len(new.layer) + 1))


@needs_jpeglib
@pytest.mark.parametrize("kind", ["4:2:0", "4:2:2", "4:4:4", "grey"])
@pytest.mark.parametrize("orientation", range(2, 9))
def test_blocks_are_turned_with_the_picture(orientation, kind, tmp_path):
    source = save(tmp_path / "in.jpg", scene(mode="L" if kind == "grey" else "RGB"), orientation, **KINDS.get(kind, {}))
    assert fill(source, tmp_path / "turned.jpg") == ("", [])
    before, after = upright(source), upright(tmp_path / "turned.jpg")
    far = far_from_the_hole(tmp_path / "turned.jpg")
    assert np.abs(after - before)[far].max() <= 4  # no coefficient has changed, but decoders round
    # Turned back, without a change, it has the coefficients of the source again.
    with Image.open(tmp_path / "turned.jpg") as image:
        tags = image.getexif()
        tags[ExifTags.Base.Orientation] = BACK[orientation]
        parts = (tmp_path / "turned.jpg").read_bytes()
        (tmp_path / "tagged.jpg").write_bytes(parts.replace(image.info["exif"], tags.tobytes()))
        assert len(tags.tobytes()) == len(image.info["exif"])
    file = read_picture(tmp_path / "tagged.jpg", pytest.fail)
    assert file.write(file.picture.stored.copy(), tmp_path / "back.jpg") == ""
    with Image.open(source) as old, Image.open(tmp_path / "back.jpg") as new:
        assert old.size == new.size and old.quantization == new.quantization
        stored = np.abs(np.array(new).astype(int) - np.array(old))
    changed = stored.reshape(*stored.shape[:2], -1).any(axis=2)
    assert 0 < changed.sum() <= (~far).sum() and not (changed & _stored(far, orientation)).any()


def _stored(upright_pixels, orientation):
    image = Image.fromarray(upright_pixels.astype(np.uint8))
    tags = image.getexif()
    tags[ExifTags.Base.Orientation] = BACK[orientation]
    return np.array(ImageOps.exif_transpose(image)).astype(bool)


# -- where blocks cannot be kept ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", range(1, 9))
def test_without_jpeglib_tables_and_sub_sampling_are_turned(orientation, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "jpeglib", None)
    turned = orientation >= 5
    for kind, (across, down) in {"4:2:0": (2, 2), "4:2:2": (1, 1) if turned else (2, 1), "4:4:4": (1, 1)}.items():
        source = save(tmp_path / "in.jpg", scene(), orientation, **KINDS[kind])
        assert fill(source, tmp_path / "out.jpg") == ("the package jpeglib is not installed", [])
        with Image.open(source) as old, Image.open(tmp_path / "out.jpg") as new:
            assert new.layer[0][1:3] == (across, down) and new.layer[1][1:3] == (1, 1)
            assert old.quantization.keys() == new.quantization.keys()
            for number, table in old.quantization.items():
                expected = np.reshape(table, (8, 8)).T if turned else np.reshape(table, (8, 8))
                np.testing.assert_array_equal(np.reshape(new.quantization[number], (8, 8)), expected)
        far = far_from_the_hole(tmp_path / "out.jpg")
        assert np.abs(upright(tmp_path / "out.jpg") - upright(source))[far].mean() < (0.6 if kind == "4:4:4" else 6)


@needs_jpeglib
@pytest.mark.parametrize(
    ("mode", "size", "orientation", "reason"),
    [
        ("RGB", (96, 75), 6, "its sides are not a whole number of blocks, which therefore cannot be turned"),
        ("RGB", (90, 80), 2, "its sides are not a whole number of blocks, which therefore cannot be turned"),
        ("CMYK", (96, 80), 1, "the blocks of CMYK files cannot be kept"),
    ],
)
def test_why_known_pixels_change_everywhere(mode, size, orientation, reason, tmp_path):
    source = save(tmp_path / "in.jpg", scene(*size, mode), orientation)
    assert fill(source, tmp_path / "out.jpg") == (reason, [])
    assert upright(tmp_path / "out.jpg").shape == upright(source).shape


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
