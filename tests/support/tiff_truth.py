"""Small TIFF files of kinds that no library here writes (TIFF 6.0)."""

import struct

import numpy as np

_KINDS = {"H": 3, "I": 4, "d": 12, "B": 1}


def packed(samples, bits):
    """Rows of samples of 1 to 16 bits, each row filled up to whole bytes."""
    places = samples.astype(np.int64)[..., None] >> np.arange(bits)[::-1] & 1
    return np.packbits(places.reshape(len(samples), -1).astype(np.uint8), axis=1).tobytes()


def write_tiff(path, samples, bits, photometric=1, tags=()):
    """One uncompressed strip of one channel, little-endian.

    Args:
        path: the file.
        samples: `(H, W)` unsigned, or any array of 8, 16 or 32 bits.
        bits: per sample.
        photometric: 0 zero is white, 1 zero is black, 3 palette.
        tags: more fields, `(tag, kind, values)` with struct's letter of the kind.
    """
    data = packed(samples, bits) if bits not in (8, 16, 32) else samples.tobytes()
    height, width = samples.shape
    fields = [(256, "I", [width]), (257, "I", [height]), (258, "H", [bits]), (259, "H", [1]), (262, "H", [photometric])]
    fields += [(273, "I", [8]), (277, "H", [1]), (278, "I", [height]), (279, "I", [len(data)]), *tags]
    start = 8 + len(data) + len(data) % 2
    entries, rest, end = [], b"", start + 2 + 12 * len(fields) + 4
    for tag, kind, values in sorted(fields):
        body = struct.pack(f"<{len(values)}{kind}", *values)
        slot = body.ljust(4, b"\0") if len(body) <= 4 else struct.pack("<I", end + len(rest))
        rest += body + bytes(len(body) % 2) if len(body) > 4 else b""
        entries.append(struct.pack("<HHI", tag, _KINDS[kind], len(values)) + slot)
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    path.write_bytes(b"II*\0" + struct.pack("<I", start) + data + bytes(len(data) % 2) + directory + rest)
