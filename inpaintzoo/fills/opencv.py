"""Classical fills of OpenCV: Telea, Navier-Stokes and frequency-selective reconstruction.

OpenCV's own limits are hidden here: it computes in 8 bits where not told otherwise, and its masks mean the opposite in
`cv2.inpaint` (non-zero is hole) and `cv2.xphoto.inpaint` (zero is hole).
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from inpaintzoo.fills.smooth import fill_each, window_around
from inpaintzoo.types import InpaintzooError

_RADIUS = 3  # pixels around a hole pixel that decide its colour, as in OpenCV's sample
_FSR_MARGIN = 32  # pixels: a block of 16 is reconstructed with a border around it


@torch.no_grad()
def telea_fill(image: Tensor, mask: Tensor) -> Tensor:
    """Each hole filled from its edge inwards, every pixel with a weighted mean of its neighbours and their slopes.

    A. Telea, "An image inpainting technique based on the fast marching method", Journal of Graphics Tools 9(1), 2004,
    as OpenCV computes it. Milliseconds; suits scratches and text.

    Args:
        image: `(B, 3, H, W)` in [0, 1]; whatever lies in the hole is ignored.
        mask: `(B, 1, H, W)`, exactly 0 or 1, 1 = hole.

    Returns:
        `(B, 3, H, W)`, the known pixels bit-identical; a picture that is all hole becomes mid-grey. It carries no
        gradient.
    """
    return fill_each(image, mask, marched)


@torch.no_grad()
def navier_stokes_fill(image: Tensor, mask: Tensor) -> Tensor:
    """Each hole filled by continuing the lines of equal brightness that end at it.

    M. Bertalmio, A. Bertozzi and G. Sapiro, "Navier-Stokes, fluid dynamics, and image and video inpainting", CVPR 2001,
    as OpenCV computes it. Milliseconds; suits scratches and text.

    Args:
        image: `(B, 3, H, W)` in [0, 1]; whatever lies in the hole is ignored.
        mask: `(B, 1, H, W)`, exactly 0 or 1, 1 = hole.

    Returns:
        `(B, 3, H, W)`, the known pixels bit-identical; a picture that is all hole becomes mid-grey. It carries no
        gradient.
    """
    return fill_each(image, mask, partial(marched, method="INPAINT_NS"))


def marched(picture: np.ndarray, hole: np.ndarray, method: str = "INPAINT_TELEA") -> np.ndarray:
    """A picture `(H, W, 3)` filled by `cv2.inpaint`, channel after channel: it takes more than 8 bits of one only."""
    import cv2  # here: few commands need it

    filled, box = picture.copy(), window_around(hole, 2 * _RADIUS)
    part, inside = picture[box], hole[box]
    # Pictures one pixel high or wide would become NaN.
    framed = np.pad(part, ((1, 1), (1, 1), (0, 0)), mode="edge")
    # Telea's code adds up to 2 levels to what it computes, for the rounding to integers; so levels must be fine.
    levels, marked = (65535 * framed).astype(np.float32), np.pad(inside, 1, mode="edge").astype(np.uint8)
    channels = [
        cv2.inpaint(np.ascontiguousarray(levels[..., c]), marked, _RADIUS, getattr(cv2, method))[1:-1, 1:-1]
        for c in range(3)
    ]
    # The slopes may lead beyond the known colours.
    known = part[~inside]
    filled[box][inside] = (np.stack(channels, axis=-1)[inside] / 65535).clip(known.min(axis=0), known.max(axis=0))
    return filled


@torch.no_grad()
def fsr_fill(image: Tensor, mask: Tensor) -> Tensor:
    """Each hole filled block by block with the few frequencies that best describe the known pixels around.

    Frequency-selective reconstruction: N. Genser, J. Seiler, F. Schilling and A. Kaup, "Signal and loss geometry aware
    frequency selective extrapolation for error concealment", PCS 2018, as OpenCV computes it with its best quality:
    2 ms for each pixel of a compact hole, several times that for scattered ones. OpenCV computes in 8 bits; they are
    spread over the range of the known pixels around the hole.

    Args:
        image: `(B, 3, H, W)` in [0, 1]; whatever lies in the hole is ignored.
        mask: `(B, 1, H, W)`, exactly 0 or 1, 1 = hole.

    Returns:
        `(B, 3, H, W)`, the known pixels bit-identical; a picture that is all hole becomes mid-grey. It carries no
        gradient.

    Raises:
        InpaintzooError: OpenCV is installed without its `xphoto`.
    """
    return fill_each(image, mask, partial(_reconstructed, method="INPAINT_FSR_BEST"))


@torch.no_grad()
def fsr_fast_fill(image: Tensor, mask: Tensor) -> Tensor:
    """`fsr_fill` in about a twentieth of the time, with fewer steps.

    Args:
        image: `(B, 3, H, W)` in [0, 1]; whatever lies in the hole is ignored.
        mask: `(B, 1, H, W)`, exactly 0 or 1, 1 = hole.

    Returns:
        `(B, 3, H, W)`, as `fsr_fill`'s.

    Raises:
        InpaintzooError: OpenCV is installed without its `xphoto`.
    """
    return fill_each(image, mask, partial(_reconstructed, method="INPAINT_FSR_FAST"))


def _reconstructed(picture: np.ndarray, hole: np.ndarray, method: str) -> np.ndarray:
    filled, box = picture.copy(), window_around(hole, _FSR_MARGIN)
    part, inside = picture[box], hole[box]
    known = part[~inside]
    low, span = known.min(), max(np.ptp(known), 1e-9)
    levels = np.rint(255 * (part - low) / span).astype(np.uint8)[..., ::-1]  # BGR
    found = np.zeros_like(levels, order="C")
    xphoto_inpaint(np.ascontiguousarray(levels), inside, found, method)
    filled[box][inside] = low + span / 255 * found[..., ::-1][inside]
    return filled


def xphoto_inpaint(source: np.ndarray, hole: np.ndarray, filled: np.ndarray, method: str) -> None:
    """`cv2.xphoto.inpaint` with the hole as `(H, W)` bool, True = hole.

    Raises:
        InpaintzooError: it fails, or OpenCV is installed without its `xphoto`.
    """
    import cv2  # here: few commands need it

    xphoto: Any = getattr(cv2, "xphoto", None)
    if xphoto is None:
        raise InpaintzooError(
            "OpenCV is installed without its xphoto, which this fill needs: uninstall opencv-python and "
            "opencv-python-headless, and install opencv-contrib-python-headless again"
        )
    try:
        xphoto.inpaint(source, np.where(hole, np.uint8(0), np.uint8(255)), filled, getattr(xphoto, method))
    except cv2.error as error:
        raise InpaintzooError(f"OpenCV's {method} failed: {' '.join(str(error).split())}; use another fill") from error
