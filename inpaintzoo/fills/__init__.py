"""Fills without a network: baselines that any method must beat, and the classical methods of OpenCV.

The arithmetic is in `smooth.py` (mean colour, diffusion, biharmonic), `opencv.py` (Telea, Navier-Stokes,
frequency-selective reconstruction) and `shiftmap.py`; here are the generators, by which configs name them.
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from inpaintzoo.fills.opencv import fsr_fast_fill, fsr_fill, navier_stokes_fill, telea_fill
from inpaintzoo.fills.shiftmap import shiftmap_fill
from inpaintzoo.fills.smooth import biharmonic_fill, diffusion_fill, mean_fill, warn_ignored
from inpaintzoo.generator import Generator
from inpaintzoo.types import DEFAULT_FILL, Output

__all__ = [
    "DEFAULT_FILL",
    "FILLS",
    "FSR",
    "Biharmonic",
    "Diffusion",
    "FSRFast",
    "MeanColour",
    "NavierStokes",
    "ShiftMap",
    "Telea",
    "biharmonic_fill",
    "diffusion_fill",
    "fsr_fast_fill",
    "fsr_fill",
    "mean_fill",
    "navier_stokes_fill",
    "shiftmap_fill",
    "telea_fill",
]


class MeanColour(Generator):
    """`mean_fill` as a generator without parameters."""

    def forward(self, image: Tensor, mask: Tensor) -> Output:
        """Fill the hole; see `mean_fill`."""
        self.check_size(image, mask)
        return Output(image=mean_fill(image, mask))


class Diffusion(Generator):
    """`diffusion_fill` as a generator without parameters.

    Args:
        tolerance: ignored, with a warning: the solution is exact.
        max_iterations: ignored, with a warning.
    """

    revision = 2  # 1 was solved iteratively

    def __init__(self, tolerance: float | None = None, max_iterations: int | None = None) -> None:
        super().__init__()
        warn_ignored("Diffusion", tolerance, max_iterations)

    def forward(self, image: Tensor, mask: Tensor) -> Output:
        """Fill the hole; see `diffusion_fill`."""
        self.check_size(image, mask)
        return Output(image=diffusion_fill(image, mask))


class Biharmonic(Generator):
    """`biharmonic_fill` as a generator without parameters."""

    def forward(self, image: Tensor, mask: Tensor) -> Output:
        """Fill the hole; see `biharmonic_fill`."""
        self.check_size(image, mask)
        return Output(image=biharmonic_fill(image, mask))


class ShiftMap(Generator):
    """`shiftmap_fill` as a generator without parameters."""

    widest_view: ClassVar[int] = 2048

    def forward(self, image: Tensor, mask: Tensor) -> Output:
        """Fill the hole; see `shiftmap_fill`."""
        self.check_size(image, mask)
        return Output(image=shiftmap_fill(image, mask))


class FSR(Generator):
    """`fsr_fill` as a generator without parameters."""

    widest_view: ClassVar[int] = 256

    def forward(self, image: Tensor, mask: Tensor) -> Output:
        """Fill the hole; see `fsr_fill`."""
        self.check_size(image, mask)
        return Output(image=fsr_fill(image, mask))


class FSRFast(Generator):
    """`fsr_fast_fill` as a generator without parameters."""

    def forward(self, image: Tensor, mask: Tensor) -> Output:
        """Fill the hole; see `fsr_fast_fill`."""
        self.check_size(image, mask)
        return Output(image=fsr_fast_fill(image, mask))


class Telea(Generator):
    """`telea_fill` as a generator without parameters."""

    widest_view: ClassVar[int] = 2048

    def forward(self, image: Tensor, mask: Tensor) -> Output:
        """Fill the hole; see `telea_fill`."""
        self.check_size(image, mask)
        return Output(image=telea_fill(image, mask))


class NavierStokes(Generator):
    """`navier_stokes_fill` as a generator without parameters."""

    widest_view: ClassVar[int] = 2048

    def forward(self, image: Tensor, mask: Tensor) -> Output:
        """Fill the hole; see `navier_stokes_fill`."""
        self.check_size(image, mask)
        return Output(image=navier_stokes_fill(image, mask))


FILLS: dict[str, type[Generator]] = {
    "mean": MeanColour,
    "diffusion": Diffusion,
    "biharmonic": Biharmonic,
    "shiftmap": ShiftMap,
    "fsr": FSR,
    "fsr_fast": FSRFast,
    "telea": Telea,
    "navier_stokes": NavierStokes,
}
"""The fills by their names on the command line, those of `FillName`."""
