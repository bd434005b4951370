"""How much of a picture fits into memory at once."""

from __future__ import annotations

import contextlib
import math
import os
import warnings
from pathlib import Path

import torch

from inpaintzoo.generator import Generator
from inpaintzoo.pictures.images import LIMIT, open_image
from inpaintzoo.types import DataError

TILES = (2048, 1024, 512, 384, 256)
BYTES_PER_PIXEL = 8192  # at the peak; at 512x512 the zoo's networks need 1200 (SRPNet) to 6100 (SPN)
_GIB = 1024**3
LARGE = 80_000_000  # pixels, above which a picture takes so much memory that it is said before
# per pixel, at the peak, to read, fill and write a picture in colour; JPEG files have their blocks in memory too
_BYTES_TO_FILL, _BYTES_TO_FILL_JPEG = 20, 27


def affordable_pixels(generator: Generator, device: torch.device, max_memory: float | None) -> float:
    """How many pixels a generator can be shown at once.

    Args:
        generator: a plain fill without parameters needs a fiftieth of a network's memory.
        device: where it runs.
        max_memory: GiB that may be used; None: half of the free memory.
    """
    memory = free_memory(device) / 2 if max_memory is None else max_memory * _GIB
    return memory / (BYTES_PER_PIXEL if any(True for _ in generator.parameters()) else BYTES_PER_PIXEL / 50)


def affordable_tile(pixels: float, widest: int = 512) -> int:
    """The side in pixels of the largest usual square tile no wider and with no more pixels than this; at least 256."""
    return next((tile for tile in TILES if tile <= widest and tile**2 <= pixels), TILES[-1])


def free_memory(device: torch.device) -> float:
    """Free memory of the device in bytes (on a CPU, available memory); 4 GiB if the system does not report it."""
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        found = dict(line.split(":", 1) for line in lines)["MemAvailable"]
        return float(found.split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return 4.0 * _GIB


def note_if_large(path: Path) -> str:
    """A sentence about the memory that a picture file will take, from its header; empty if it is not large.

    Raises:
        DataError: there is not so much memory, and the user has not allowed pictures of any size by `LIMIT`.
    """
    pixels = 0
    with warnings.catch_warnings(), contextlib.suppress(DataError):  # both are told when it is read
        warnings.simplefilter("ignore")
        with open_image(path, load=False) as image:
            pixels = image.width * image.height
            each = _BYTES_TO_FILL_JPEG if image.format in ("JPEG", "MPO") else _BYTES_TO_FILL
    if pixels <= LARGE:
        return ""
    size, needed, free = pixels / 1e6, pixels * each / 1e9, free_memory(torch.device("cpu")) / 1e9
    takes = f"{path}: {size:.4g} megapixels take about {needed:.3g} GB of memory"
    if needed > free and not os.environ.get(LIMIT):
        raise DataError(
            f"{takes} and {free:.3g} GB are free; scale it down, or try anyway with {LIMIT}={math.ceil(size)} in the "
            "environment"
        )
    return f"{takes}; {LIMIT}={LARGE / 1e6:g} in the environment refuses such pictures"
