"""Masks whose hole is in a transparent colour (PNG's `tRNS`) are read by it, in every depth and by every reader."""

import struct
import zlib

import numpy as np
import pytest
from file_toys import chunk, write_indexed
from PIL import Image
from png_truth import true_rgba, write_grey

from inpaintzoo.data.masks.reading import mask_levels, read_grey, read_hole
from inpaintzoo.pictures.images import open_image

HOLE = np.zeros((16, 16), bool)
HOLE[3:7, 5:12] = True


def write_colour(path, pixels, depth, key):
    """A PNG file of RGB levels with a transparent colour."""
    rows = pixels.astype(">u2" if depth == 16 else np.uint8)
    head = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], depth, 2, 0, 0, 0)
    parts = [(b"IHDR", head), (b"tRNS", struct.pack(">HHH", *key))]
    parts += [(b"IDAT", zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))), (b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts))


@pytest.mark.parametrize("kind", ["grey", "RGB", "palette"])
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_the_transparent_colour_is_the_one_that_is_not_opaque(depth, kind, dark, tmp_path):
    """The transparent level is the brightest one, or a dark one beside black."""
    path, top = tmp_path / "mask.png", 1 if dark else 2**depth - 1
    top = 258 if dark and depth == 16 else top
    if (kind == "RGB" and depth < 8) or (kind == "palette" and depth > 8):
        return
    if kind == "grey":
        write_grey(path, np.where(HOLE, 0, top), depth, key=top)
    elif kind == "palette":
        write_indexed(path, np.where(HOLE, 1, 0), depth, np.array([[0, 0, 0], [9, 9, 9]], np.uint8), alpha=b"\0")
    else:
        write_colour(path, np.where(HOLE, 0, top)[..., None].repeat(3, axis=-1), depth, key=(top,) * 3)
    np.testing.assert_array_equal(true_rgba(path)[..., 3] > 0, HOLE)
    np.testing.assert_array_equal(read_grey(path), HOLE)
    np.testing.assert_array_equal(read_hole(path, "white", 0.5)[0].numpy(), HOLE)


def test_a_transparent_colour_that_no_pixel_has_is_not_a_mask(tmp_path):
    write_grey(tmp_path / "mask.png", np.where(HOLE, 65535, 0), 16, key=77)
    np.testing.assert_array_equal(read_grey(tmp_path / "mask.png"), HOLE)


@pytest.mark.parametrize("mode", ["LA", "La", "RGBA", "RGBa"])
def test_alpha_is_read_in_every_mode_of_pillow(mode, tmp_path):
    layers = np.stack([np.zeros_like(HOLE), HOLE], axis=-1).astype(np.uint8) * 255
    image = Image.fromarray(layers, "LA").convert("LA" if mode == "La" else "RGBA").convert(mode)
    np.testing.assert_array_equal(mask_levels(image, "mask"), HOLE)
    if mode in ("LA", "RGBA"):
        image.save(tmp_path / "mask.png")
        with open_image(tmp_path / "mask.png") as opened:
            np.testing.assert_array_equal(mask_levels(opened, "mask"), HOLE)
