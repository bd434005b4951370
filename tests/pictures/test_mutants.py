"""Hundreds of damaged pictures: each is read or refused in a sentence that names it, and no known pixel changes."""

import random
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from file_toys import PREDICTOR
from PIL import Image

from inpaintzoo.pictures.images import read_image, read_labels
from inpaintzoo.types import InpaintzooError

SUITE = sorted(Path(__file__).with_name("pngsuite").glob("*.png"))


def sound_files(folder):
    rng = np.random.default_rng(0)
    files = list(SUITE)
    for kind in ("int8", "int16", "uint32", "uint16", "uint8", "float32"):
        for compression in (None, "adobe_deflate"):
            files.append(folder / f"{kind}_{compression}.tif")
            pixels = (rng.random((24, 20)) * (1 if kind == "float32" else 100)).astype(kind)
            tifffile.imwrite(files[-1], pixels, compression=compression, metadata=None)
    colours = Image.fromarray(rng.integers(0, 256, (24, 20, 3), np.uint8))
    for name in ("RGB.jpg", "CMYK.jpg", "L.jpg", "RGB.webp", "RGB.bmp", "P.bmp", "P.tif", "1.tif", "CMYK.tif"):
        files.append(folder / name)
        colours.convert(files[-1].stem).save(files[-1])
    return files


def mutant(file, rng):
    data = bytearray(file.read_bytes())
    for _ in range(rng.choice([1, 1, 1, 2])):
        place, what = rng.randrange(min(len(data), rng.choice([80, 400, len(data)]))), rng.random()
        if what < 0.93:
            data[place] = rng.randrange(256)
        elif what < 0.95:
            del data[place : place + rng.randrange(1, 30)]
        elif what < 0.97:
            data[place:place] = rng.randbytes(rng.randrange(1, 9))
        else:
            data = data[: max(8, place)]
    return _with_checksums(data) if file.suffix == ".png" else data


def _with_checksums(data):
    """Otherwise most mutants of PNG files would be found out by their checksums."""
    made, place = bytes(data[:8]), 8
    while place + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, place)
        body = bytes(data[place + 4 : place + 8 + length])
        made += data[place : place + 4] + body + struct.pack(">I", zlib.crc32(body))
        place += 12 + length
    return made


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("count", [60, pytest.param(1500, marks=pytest.mark.slow)])
def test_mutants_are_read_or_refused_in_a_sentence(count, tmp_path, capfd):
    rng, files, read = random.Random(count), sound_files(tmp_path), 0
    for number in range(count):
        source = rng.choice(files)
        path, out = tmp_path / f"mutant{source.suffix}", tmp_path / f"out{source.suffix}"
        path.write_bytes(mutant(source, rng))
        try:
            before = read_image(path)
            hole = np.zeros(before.shape[:2], bool)
            hole[:2, :2] = True
            with warnings.catch_warnings(record=True) as notes:
                warnings.simplefilter("always")
                PREDICTOR.fill_file(path, hole, out, overwrite=True)
            assert len(notes) <= 3, number
            if source.suffix != ".jpg":
                np.testing.assert_array_equal(read_image(out)[~hole], before[~hole], err_msg=f"{number} {source}")
            read += 1
        except InpaintzooError as error:
            assert str(path) in str(error) or "out." in str(error) or "pixels must lie" in str(error), number
        try:
            read_labels(path)
        except InpaintzooError as error:
            assert str(path) in str(error), number
    assert 0.1 * count < read < count
    assert capfd.readouterr() == ("", "")
