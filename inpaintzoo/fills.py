"""Fills without a network: the mean colour, diffusion (harmonic) and biharmonic. Baselines to hold a network against.

Diffusion solves Laplace's equation in the hole (five-point stencil), with the known pixels as boundary values and no
flux through the frame. The system is solved by conjugate gradients with a multilevel preconditioner (Bramble, Pasciak
and Xu 1990, https://doi.org/10.1090/S0025-5718-1990-1023042-6), so the number of iterations hardly grows with the hole.
"""

from __future__ import annotations

import warnings

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from inpaintzoo.generator import Generator
from inpaintzoo.ops import composite
from inpaintzoo.types import Output

GREY = 0.5
"""The colour of a picture of which nothing is known."""


# -- mean colour -----------------------------------------------------------------------------------------------------


def mean_fill(image: Tensor, mask: Tensor) -> Tensor:
    """Each hole in the mean colour of its picture's known pixels; a picture that is all hole becomes mid-grey.

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
def diffusion_fill(image: Tensor, mask: Tensor, tolerance: float = 1e-3, max_iterations: int = 500) -> Tensor:
    """Each hole filled with the harmonic function that continues the known pixels.

    Args:
        image: `(B, 3, H, W)` in [0, 1]; whatever lies in the hole is ignored.
        mask: `(B, 1, H, W)`, exactly 0 or 1, 1 = hole.
        tolerance: bound on the error of every pixel (one step of 8 bits is 4e-3), by an estimate with a margin of ten.
        max_iterations: bound on the iterations; a warning says when it was reached.

    Returns:
        `(B, 3, H, W)`, the known pixels bit-identical, the hole within the range of the known pixels but for the
        tolerance; a picture that is all hole becomes mid-grey. It carries no gradient.
    """
    start = mean_fill(image, mask)
    # A hole as large as the frame has no boundary: every constant solves it, and mean_fill chose one.
    hole = mask * (mask < 1).flatten(1).any(dim=1).to(mask.dtype).view(-1, 1, 1, 1)
    dtype = torch.promote_types(image.dtype, torch.float32)
    with torch.autocast(image.device.type, enabled=False):
        filled = _solve(start.to(dtype), hole.to(dtype), tolerance, max_iterations)
    return composite(image, filled.clamp(0, 1), mask)


def _solve(picture: Tensor, hole: Tensor, tolerance: float, max_iterations: int) -> Tensor:
    """Preconditioned conjugate gradients, one independent system a sample and channel."""
    levels = _coarser_holes(hole)
    residual = -hole * _laplacian(picture)
    step = _precondition(residual, levels)
    direction, energy = step, _dot(residual, step)
    for _ in range(max_iterations):
        # The preconditioned residual approximates the error; it fell short of it by up to five times in trials.
        if 10 * step.abs().max() <= tolerance:
            return picture
        image = hole * _laplacian(direction)
        # Systems that are solved already have energy 0 and must stay where they are.
        length = energy / _positive(_dot(direction, image))
        picture = picture + length * direction
        residual = residual - length * image
        step = _precondition(residual, levels)
        new_energy = _dot(residual, step)
        direction = step + new_energy / _positive(energy) * direction
        energy = new_energy
    left = 10 * float(step.abs().max())
    warnings.warn(
        f"diffusion_fill stopped after {max_iterations} iterations with an error of about {left:.1e} (tolerance "
        f"{tolerance:.1e}); raise max_iterations or the tolerance",
        stacklevel=4,
    )
    return picture


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(dim=(2, 3), keepdim=True)


def _positive(value: Tensor) -> Tensor:
    return torch.where(value > 0, value, 1.0)


def _laplacian(picture: Tensor) -> Tensor:
    """Negative Laplacian: each pixel times its number of neighbours, less the neighbours; none beyond the frame."""
    down = picture[..., 1:, :] - picture[..., :-1, :]
    right = picture[..., :, 1:] - picture[..., :, :-1]
    # What flows out of a pixel less what flows in, on both axes.
    return F.pad(down, (0, 0, 1, 0)) - F.pad(down, (0, 0, 0, 1)) + F.pad(right, (1, 0)) - F.pad(right, (0, 1))


def _coarser_holes(hole: Tensor) -> list[Tensor]:
    """The hole at 1, 1/2, 1/4, ...: a cell belongs to it where all four finer ones do; as long as anything is left."""
    levels = [hole]
    while min(levels[-1].shape[-2:]) > 1:
        height, width = levels[-1].shape[-2:]
        # The frame's edge lets nothing through, so the hole continues there.
        padded = F.pad(levels[-1], (0, width % 2, 0, height % 2), mode="replicate")
        coarser = -F.max_pool2d(-padded, 2)
        if not coarser.any():
            break
        levels.append(coarser)
    return levels


def _precondition(residual: Tensor, levels: list[Tensor]) -> Tensor:
    """An approximate inverse of the Laplacian in the hole: the sum of its diagonals' inverses over all levels."""
    residuals = [residual]
    for hole in levels[1:]:
        residuals.append(hole * _restrict(residuals[-1]))
    # In two dimensions the Laplacian's diagonal is the same at each level.
    result = residuals[-1] / 4
    for residual, hole in zip(residuals[-2::-1], levels[-2::-1], strict=True):
        result = residual / 4 + hole * _prolong(result, (residual.shape[-2], residual.shape[-1]))
    return result


def _kernel(like: Tensor) -> Tensor:
    """Bilinear interpolation by two as a `(C, 1, 4, 4)` convolution kernel."""
    line = torch.tensor([0.25, 0.75, 0.75, 0.25], dtype=like.dtype, device=like.device)
    return (line[:, None] * line).expand(like.shape[1], 1, 4, 4)


def _prolong(coarse: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear to twice the size, level beyond the frame, and cut to `size`."""
    padded = F.pad(coarse, (1, 1, 1, 1), mode="replicate")
    fine = F.conv_transpose2d(padded, _kernel(coarse), stride=2, padding=3, groups=coarse.shape[1])
    return fine[..., : size[0], : size[1]]


def _restrict(fine: Tensor) -> Tensor:
    """Half size, rounded up; the exact transpose of `_prolong`, as conjugate gradients need it."""
    even = F.pad(fine, (0, fine.shape[-1] % 2, 0, fine.shape[-2] % 2))
    padded = F.conv2d(even, _kernel(fine), stride=2, padding=3, groups=fine.shape[1])
    # The transpose of repeating an edge is adding the repetition to it.
    rows = padded[..., 1:-1, :].clone()
    rows[..., 0, :] += padded[..., 0, :]
    rows[..., -1, :] += padded[..., -1, :]
    coarse = rows[..., 1:-1].clone()
    coarse[..., 0] += rows[..., 0]
    coarse[..., -1] += rows[..., -1]
    return coarse


# -- biharmonic ------------------------------------------------------------------------------------------------------


@torch.no_grad()
def biharmonic_fill(image: Tensor, mask: Tensor) -> Tensor:
    """Each hole filled with the biharmonic function that continues the known pixels and their slopes.

    scikit-image's sparse direct solver, one picture after the other on the CPU: about 0.3 s for a hole of 128x128, and
    growing faster than its area.

    Args:
        image: `(B, 3, H, W)` in [0, 1]; whatever lies in the hole is ignored.
        mask: `(B, 1, H, W)`, exactly 0 or 1, 1 = hole.

    Returns:
        `(B, 3, H, W)`, the known pixels bit-identical; a picture that is all hole becomes mid-grey. It carries no
        gradient. Values are clipped to the range of the known pixels.
    """
    from skimage.restoration import inpaint_biharmonic  # here: it takes a second, and little else needs it

    # From the mean colour, so that pictures that are all hole are done and nothing in the hole is read.
    filled = mean_fill(image, mask)
    for index, hole in enumerate((mask[:, 0] > 0.5).cpu().numpy()):
        if hole.any() and not hole.all():
            picture = filled[index].permute(1, 2, 0).double().cpu().numpy()
            result = inpaint_biharmonic(picture, hole, channel_axis=-1)
            filled[index] = torch.from_numpy(np.ascontiguousarray(result.transpose(2, 0, 1))).to(filled)
    return composite(image, filled.clamp(0, 1), mask)


# -- as generators ---------------------------------------------------------------------------------------------------


class MeanColour(Generator):
    """`mean_fill` as a generator without parameters."""

    def forward(self, image: Tensor, mask: Tensor) -> Output:
        """Fill the hole; see `mean_fill`."""
        self.check_size(image, mask)
        return Output(image=mean_fill(image, mask))


class Diffusion(Generator):
    """`diffusion_fill` as a generator without parameters.

    Args:
        tolerance: bound on the error of every pixel, above 0.
        max_iterations: bound on the iterations, 1 or more.
    """

    def __init__(self, tolerance: float = 1e-3, max_iterations: int = 500) -> None:
        super().__init__()
        if tolerance <= 0 or max_iterations < 1:
            raise ValueError(
                f"Diffusion: tolerance must be above 0 and max_iterations 1 or more, got {tolerance}, {max_iterations}"
            )
        self.tolerance = tolerance
        self.max_iterations = max_iterations

    def forward(self, image: Tensor, mask: Tensor) -> Output:
        """Fill the hole; see `diffusion_fill`."""
        self.check_size(image, mask)
        return Output(image=diffusion_fill(image, mask, self.tolerance, self.max_iterations))


class Biharmonic(Generator):
    """`biharmonic_fill` as a generator without parameters."""

    def forward(self, image: Tensor, mask: Tensor) -> Output:
        """Fill the hole; see `biharmonic_fill`."""
        self.check_size(image, mask)
        return Output(image=biharmonic_fill(image, mask))
