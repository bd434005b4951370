"""Smooth fills: the mean colour, diffusion (harmonic) and biharmonic; and what all fills share.

Diffusion solves Laplace's equation in the hole (five-point stencil) with the known pixels as boundary values and no
flux through the frame.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from inpaintzoo.generator import Generator
from inpaintzoo.ops import composite

GREY = 0.5
"""Colour of a picture without a known pixel."""


def fill_each(image: Tensor, mask: Tensor, solve: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Tensor:
    """Fill picture after picture; one that is all hole becomes mid-grey.

    Args:
        image: `(B, 3, H, W)` in [0, 1]; whatever lies in the hole is ignored.
        mask: `(B, 1, H, W)`, exactly 0 or 1, 1 = hole.
        solve: takes `(H, W, 3)` in float64, which it must not change, and the hole, `(H, W)` bool, and returns the
            filled picture.

    Returns:
        `(B, 3, H, W)`, the known pixels bit-identical.
    """
    # Starting from the mean colour: pictures that are all hole are done, and nothing in the hole is read.
    filled = mean_fill(image, mask)
    for index, hole in enumerate((mask[:, 0] > 0.5).cpu().numpy()):
        if hole.any() and not hole.all():
            result = solve(filled[index].permute(1, 2, 0).cpu().double().numpy(), hole)
            filled[index] = torch.from_numpy(np.ascontiguousarray(result.transpose(2, 0, 1))).to(filled)
    return composite(image, filled.clamp(0, 1), mask)


def window_around(hole: np.ndarray, margin: int) -> tuple[slice, slice]:
    """The slices of the smallest window that shows a hole `(H, W)` and a margin in pixels, cut at the frame."""
    rows, columns = np.flatnonzero(hole.any(axis=1)), np.flatnonzero(hole.any(axis=0))
    top, left = max(int(rows[0]) - margin, 0), max(int(columns[0]) - margin, 0)
    return slice(top, int(rows[-1]) + 1 + margin), slice(left, int(columns[-1]) + 1 + margin)


# -- mean colour -----------------------------------------------------------------------------------------------------


def mean_fill(image: Tensor, mask: Tensor) -> Tensor:
    """Each hole filled with the mean colour of its picture's known pixels; a picture that is all hole becomes mid-grey.

    Args:
        image: `(B, 3, H, W)` in [0, 1]; whatever lies in the hole is ignored.
        mask: `(B, 1, H, W)`, exactly 0 or 1, 1 = hole.

    Returns:
        `(B, 3, H, W)`, the known pixels bit-identical.
    """
    known = (1 - mask).sum(dim=(2, 3), keepdim=True)
    colour = Generator.hide_hole(image, mask).sum(dim=(2, 3), keepdim=True) / known.clamp_min(1)
    colour = torch.where(known > 0, colour, GREY)
    return composite(image, colour.expand_as(image), mask)


# -- diffusion -------------------------------------------------------------------------------------------------------


@torch.no_grad()
def diffusion_fill(
    image: Tensor, mask: Tensor, tolerance: float | None = None, max_iterations: int | None = None
) -> Tensor:
    """Each hole filled with the harmonic function that continues the known pixels.

    Solved exactly, one picture after another on the CPU: about 0.2 s for a hole of 128x128, 3 s for one of 512x512.

    Args:
        image: `(B, 3, H, W)` in [0, 1]; whatever lies in the hole is ignored.
        mask: `(B, 1, H, W)`, exactly 0 or 1, 1 = hole.
        tolerance: ignored, with a warning: the solution is exact.
        max_iterations: ignored, with a warning.

    Returns:
        `(B, 3, H, W)`, the known pixels bit-identical, the hole within the range of the known pixels; a picture that is
        all hole becomes mid-grey. It carries no gradient.
    """
    warn_ignored("diffusion_fill", tolerance, max_iterations)
    return fill_each(image, mask, _harmonic)


def warn_ignored(owner: str, *ignored: float | None) -> None:
    """Say that the settings of the iterative solver of earlier versions have no effect any more."""
    if any(value is not None for value in ignored):
        # A FutureWarning is shown by default, also from a library that a script uses.
        text = f"{owner}: tolerance and max_iterations have no effect, the solution is exact; leave them out"
        warnings.warn(text, FutureWarning, stacklevel=3)


def _harmonic(picture: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """Every hole pixel equals the mean of its neighbours: a sparse system, solved directly."""
    from scipy import sparse  # here: it takes a while to import, and little else needs it
    from scipy.sparse.linalg import splu

    box = window_around(hole, 1)
    filled, hole = picture.copy(), hole[box]
    pixels, unknown = np.arange(hole.size).reshape(hole.shape), hole.ravel()
    one = np.concatenate([pixels[1:].ravel(), pixels[:, 1:].ravel()])
    other = np.concatenate([pixels[:-1].ravel(), pixels[:, :-1].ravel()])
    one, other = np.concatenate([one, other]), np.concatenate([other, one])
    kept = unknown[one]
    links = sparse.csr_array((np.ones(kept.sum()), (one[kept], other[kept])), shape=(hole.size, hole.size))[unknown]
    matrix = sparse.diags(links.sum(axis=1)) - links[:, unknown]
    # Ordering and pivots as suit a symmetric, diagonally dominant matrix.
    factors = splu(matrix.tocsc(), "MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
    filled[box][hole] = factors.solve(links[:, ~unknown] @ filled[box][~hole])
    return filled


# -- biharmonic ------------------------------------------------------------------------------------------------------


@torch.no_grad()
def biharmonic_fill(image: Tensor, mask: Tensor) -> Tensor:
    """Each hole filled with the biharmonic function that continues the known pixels and their slopes.

    scikit-image's sparse direct solver, one picture after another on the CPU: about 0.3 s for a hole of 128x128, and
    growing faster than its area.

    Args:
        image: `(B, 3, H, W)` in [0, 1]; whatever lies in the hole is ignored.
        mask: `(B, 1, H, W)`, exactly 0 or 1, 1 = hole.

    Returns:
        `(B, 3, H, W)`, the known pixels bit-identical; a picture that is all hole becomes mid-grey. It carries no
        gradient. Values are clipped to the range of the known pixels.
    """
    from skimage.restoration import inpaint_biharmonic  # here: it takes a second, and little else needs it

    return fill_each(image, mask, partial(inpaint_biharmonic, channel_axis=-1))
