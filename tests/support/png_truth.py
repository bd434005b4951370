"""What a PNG file says, decoded from the format's definition alone (PNG, third edition)."""

import struct
import zlib

import numpy as np
from file_toys import chunk
from tiff_truth import packed

_ADAM7 = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]


def chunks_of(path):
    """Kinds and contents; checksums must be right."""
    data, place, found = path.read_bytes(), 8, []
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    while place < len(data):
        (length,), kind = struct.unpack_from(">I", data, place), data[place + 4 : place + 8]
        body = data[place + 8 : place + 8 + length]
        assert struct.unpack_from(">I", data, place + 8 + length)[0] == zlib.crc32(kind + body)
        found.append((kind, body))
        place += 12 + length
    return found


def true_rgba(path):
    """`(H, W, 4)` levels, 0 to 65535."""
    chunks = dict(chunks_of(path))
    width, height, depth, kind, _, _, interlaced = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[kind]
    data = zlib.decompress(b"".join(body for name, body in chunks_of(path) if name == b"IDAT"))
    samples = np.zeros((height, width, channels), np.int64)
    for top, left, down, right in _ADAM7 if interlaced else [(0, 0, 1, 1)]:
        part = samples[top::down, left::right]
        if part.size:
            part[...], data = _unfiltered(data, part.shape, depth)
    key = chunks.get(b"tRNS", b"")
    if kind == 3:
        table = np.frombuffer(chunks[b"PLTE"], np.uint8).reshape(-1, 3).astype(np.int64) * 257
        alpha = np.full(len(table), 65535)
        alpha[: len(key)] = np.frombuffer(key, np.uint8) * np.int64(257)
        return np.concatenate([table, alpha[:, None]], axis=1)[samples[..., 0]]
    opaque = np.ones((height, width), bool)
    if key:
        opaque = (samples != np.frombuffer(key, ">u2")).any(axis=-1)
    levels = samples * 65535 // (2**depth - 1)
    colours = np.broadcast_to(levels[..., : 3 if channels > 2 else 1], (height, width, 3))
    alpha = levels[..., -1] if channels in (2, 4) else opaque * 65535
    return np.concatenate([colours, alpha[..., None]], axis=-1)


def _unfiltered(data, shape, depth):
    height, width, channels = shape
    step, length = max(1, depth * channels // 8), (width * channels * depth + 7) // 8
    above, rows = [0] * length, []
    for row in range(height):
        how, line = data[row * (length + 1)], list(data[row * (length + 1) + 1 : (row + 1) * (length + 1)])
        for x in range(length):
            a, b, c = (line[x - step] if x >= step else 0), above[x], (above[x - step] if x >= step else 0)
            p = a + b - c
            paeth = min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]
            line[x] = (line[x] + [0, a, b, (a + b) // 2, paeth][how]) % 256
        above = line
        rows.append(line)
    packed = np.array(rows, np.uint8)
    if depth == 16:
        samples = packed.view(">u2")
    else:
        bits = np.unpackbits(packed, axis=1).reshape(height, -1, depth)
        samples = (bits * (1 << np.arange(depth)[::-1])).sum(axis=-1)
    return samples[:, : width * channels].reshape(shape), data[height * (length + 1) :]


def write_grey(path, levels, depth, key):
    """Levels `(H, W)` of 1 to 16 bits, one of which is transparent and the background."""
    rows = packed(levels, depth)
    width = len(rows) // len(levels)
    lines = b"".join(b"\0" + rows[start : start + width] for start in range(0, len(rows), width))
    head = struct.pack(">IIBBBBB", levels.shape[1], levels.shape[0], depth, 0, 0, 0, 0)
    parts = [(b"IHDR", head), (b"tRNS", key.to_bytes(2, "big")), (b"bKGD", key.to_bytes(2, "big"))]
    parts += [(b"IDAT", zlib.compress(lines)), (b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts))
