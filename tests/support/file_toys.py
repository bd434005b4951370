"""Picture files of every kind, and a Predictor that fills holes with green."""

import functools
import io
import struct
import zlib

import numpy as np
import predictor_toys
import torch
from PIL import Image, ImageCms

from inpaintzoo import Predictor
from inpaintzoo.generator import Generator
from inpaintzoo.types import Output

HEIGHT, WIDTH = 30, 44
HOLE = np.zeros((HEIGHT, WIDTH), bool)
HOLE[4:11, 20:32] = True


class Green(Generator):
    size_multiple = 8

    def forward(self, image, mask):
        self.check_size(image, mask)
        return Output(torch.tensor([0.0, 1.0, 0.0]).view(1, 3, 1, 1).expand_as(image).clone())


PREDICTOR = Predictor(Green(), device="cpu")


def noise(mode="RGB", size=(WIDTH, HEIGHT)):
    return predictor_toys.noise(mode, *size[::-1], seed=1, colours=30)


@functools.cache  # a profile holds the second it was made in
def profile():
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="1" dc:title="Fa\xc3\xa7ade">'
    b"<xmpGImg:image>c2VjcmV0</xmpGImg:image></rdf:Description></x:xmpmeta>"
)


def xmp_of(path):
    with Image.open(path) as image:
        image.load()
        found = image.info.get("xmp") or getattr(image, "text", {}).get("XML:com.adobe.xmp", "")
    return found if isinstance(found, bytes) else str(found).encode()


def exif_with_thumbnail():
    """IFD0 with an orientation and a maker's text, IFD1 with a thumbnail."""
    thumbnail = io.BytesIO()
    noise(size=(8, 8)).save(thumbnail, "JPEG")
    data = thumbnail.getvalue()
    ifd0 = struct.pack("<HHHIHH", 1, 0x0112, 3, 1, 6, 0)
    start = 8 + len(ifd0) + 4
    ifd1 = struct.pack("<HHHIIHHII", 2, 0x0201, 4, 1, start + 30, 0x0202, 4, 1, len(data))
    return b"II*\0" + struct.pack("<I", 8) + ifd0 + struct.pack("<I", start) + ifd1 + bytes(4) + data, data


def write_png(path, pixels):
    """16 bits per channel, without filters."""
    height, width, channels = pixels.shape
    kind = {2: 4, 3: 2, 4: 6}[channels]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    parts = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)), (b"IDAT", zlib.compress(rows))]
    data = b"".join(
        struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in [*parts, (b"IEND", b"")]
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + data)


def read_png(path):
    """The 16-bit levels, from the format's own definition; filters none and up."""
    data, place, chunks = path.read_bytes(), 8, {}
    while place < len(data):
        (length,), kind = struct.unpack_from(">I", data, place), data[place + 4 : place + 8]
        body = data[place + 8 : place + 8 + length]
        assert struct.unpack_from(">I", data, place + 8 + length)[0] == zlib.crc32(kind + body)
        chunks[kind] = chunks.get(kind, b"") + body
        place += 12 + length
    width, height, depth, kind = struct.unpack(">IIBB", chunks[b"IHDR"][:10])
    assert depth == 16
    channels = {4: 2, 2: 3, 6: 4}[kind]
    lines = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, -1)
    above, rows = np.zeros(lines.shape[1] - 1, np.uint8), []
    for line in lines:
        assert line[0] in (0, 2)
        above = line[1:] + above if line[0] == 2 else line[1:]
        rows.append(above)
    return np.stack(rows).view(">u2").reshape(height, width, channels).astype(np.uint16), chunks


def deep_noise(channels):
    return np.random.default_rng(3).integers(0, 65536, (HEIGHT, WIDTH, channels), dtype=np.uint16)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def write_indexed(path, indices, depth, palette, alpha=b""):
    """A palette PNG file of 1 to 8 bits, without filters.

    Args:
        path: the file.
        indices: `(H, W)`.
        depth: bits of an index.
        palette: `(N, 3)` uint8.
        alpha: opacity of the first entries.
    """
    rows = np.packbits((indices[..., None] >> np.arange(depth)[::-1] & 1).reshape(len(indices), -1), axis=1)
    head = struct.pack(">IIBBBBB", indices.shape[1], indices.shape[0], depth, 3, 0, 0, 0)
    parts = [(b"IHDR", head), (b"PLTE", palette.tobytes()), (b"tRNS", alpha)]
    parts += [(b"IDAT", zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))), (b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts))
