"""JPEG files written again: IPTC."""

import struct

import numpy as np
import pytest
from PIL import ExifTags, Image

from inpaintzoo.pictures.picture_file import read_picture

HOLE = np.s_[21:40, 37:55]


def scene(width=96, height=80):
    y, x = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([x, y, x + y], -1).astype(np.uint8))


def save(path, image):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 1
    image.save(path, exif=exif, quality=88)
    return path


def fill(source, target):
    """Paint the hole; returns nothing yet, and the notes."""
    notes = []
    file = read_picture(source, notes.append)
    pixels = file.picture.stored.copy()
    pixels[HOLE] = 20, 160, 60
    return file.write(pixels, target), notes


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
