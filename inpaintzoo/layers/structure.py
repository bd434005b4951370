"""Structure images: pictures without texture, with their edges kept.

Relative total variation is Xu, Yan, Xia, Jia: "Structure Extraction from Texture via Relative Total Variation", ACM
Transactions on Graphics 31(6), 2012, https://doi.org/10.1145/2366145.2366158, as discretised in the authors'
code, which omits one of the paper's blurs, with the constants of StructureFlow (https://arxiv.org/abs/1908.03852).
That code stops the linear solver early; here the tolerance is an argument.

The structure of a picture with a hole is that of its known part: filters never read the hole, and its border does not
count as an edge.
"""

from __future__ import annotations

import contextlib
import math
import warnings
from abc import ABC, abstractmethod
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._higher_order_ops.while_loop import while_loop

from inpaintzoo.layers.rebuildable import Rebuildable
from inpaintzoo.types import ConfigError, DataError

HoleBorder = Literal["cut", "flat"]

_STRONGEST = 1.0
_ROUND = 16  # solver steps between two checks of the residual


class StructureFilter(Rebuildable, ABC):
    """Removes texture and keeps edges; without parameters and gradients."""

    @torch.compiler.disable
    @torch.no_grad()
    def forward(self, image: Tensor, mask: Tensor | None = None) -> Tensor:
        """The structure of a batch; samples are independent of each other.

        Args:
            image: `(B, C, H, W)` in [0, 1]; whatever lies in the hole is ignored.
            mask: `(B, 1, H, W)`, 1 = hole; None: no hole.

        Returns:
            `(B, C, H, W)` in [0, 1], up to the solver's tolerance, 0 in the hole; single precision or better.

        Raises:
            ValueError: the mask does not fit the image.
        """
        mask = torch.zeros_like(image[:, :1]) if mask is None else mask
        if image.ndim != 4 or mask.shape != (image.shape[0], 1, *image.shape[2:]):
            raise ValueError(
                f"{type(self).__name__}: image and mask must be (B, C, H, W) and (B, 1, H, W), got "
                f"{tuple(image.shape)} and {tuple(mask.shape)}"
            )
        hole = mask.bool()
        # Weights depend on differences of a thousandth, which half precision and autocast would lose.
        known = image.to(torch.promote_types(image.dtype, torch.float32)).masked_fill(hole, 0.0)
        reduced = torch.is_autocast_enabled(image.device.type)
        # Only if autocast is on: exported programs do not support such a block around a loop.
        with torch.autocast(image.device.type, enabled=False) if reduced else contextlib.nullcontext():
            return self.smooth(known, hole.to(known.dtype)).masked_fill(hole, 0.0)

    @abstractmethod
    def smooth(self, image: Tensor, mask: Tensor) -> Tensor:
        """The structure of `(B, C, H, W)`, whose hole is 0; the result in the hole is overwritten with 0."""


class BilateralStructure(StructureFilter):
    """A repeated bilateral filter: cheaper than relative total variation, but it keeps strong texture.

    Args:
        kernel: side of the window in pixels, odd.
        sigma_colour: standard deviation of the colour Gaussian, on differences in [0, 1] summed over channels.
        sigma_space: standard deviation of the Gaussian window, in pixels.
        iterations: number of times that the filter is applied.
    """

    def __init__(
        self, kernel: int = 9, sigma_colour: float = 0.3, sigma_space: float = 3.0, iterations: int = 3
    ) -> None:
        super().__init__()
        if kernel < 3 or kernel % 2 == 0:
            raise ValueError(f"BilateralStructure: kernel must be odd and 3 or more, got {kernel}")
        _check_positive(self, sigma_colour=sigma_colour, sigma_space=sigma_space, iterations=iterations)
        self.kernel, self.sigma_colour, self.sigma_space = kernel, sigma_colour, sigma_space
        self.iterations = iterations

    def smooth(self, image: Tensor, mask: Tensor) -> Tensor:  # noqa: D102
        from kornia.filters import bilateral_blur  # here: kornia takes a second, and little else needs it

        # A hole of a very different colour has no weight in any average.
        far, hole = 1e3, mask.bool()
        for _ in range(self.iterations):
            image = bilateral_blur(
                image.masked_fill(hole, far),
                self.kernel,
                self.sigma_colour,
                (self.sigma_space, self.sigma_space),
                border_type="replicate",
            )
        return image


class RelativeTotalVariation(StructureFilter):
    """Smoothing by relative total variation: whatever varies back and forth within a window is texture and is removed.

    Args:
        strength: lambda of the paper, at most 1; greater values would leave hardly anything of a picture and
            take long to solve.
        sigma: width of the first iteration's window, in pixels; it halves with each, down to 0.5.
        sharpness: eps_s of the paper: lower bound of the mean gradient, in [0, 1] per pixel.
        iterations: number of reweightings; each solves one linear system.
        epsilon: lower bound of the window's gradients.
        tolerance: the conjugate gradients stop once the residual's norm is at most this fraction of the picture's, in
            each sample and channel. At 0.01 pixels are within 0.003 of the exact solution, 0.0002 on average (measured
            at 128x128).
        hole_border: `cut`: links between pixels that touch the hole are left out, so known pixels are smoothed
            among themselves. `flat`: differences at pixels of the hole count as 0 and the links stay; the pixels
            right of and below the hole then take on its black.
    """

    def __init__(
        self,
        strength: float = 0.015,
        sigma: float = 3.0,
        sharpness: float = 0.001,
        iterations: int = 3,
        epsilon: float = 0.001,
        tolerance: float = 0.01,
        hole_border: HoleBorder = "cut",
    ) -> None:
        super().__init__()
        _check_positive(self, strength=strength, sigma=sigma, sharpness=sharpness, iterations=iterations)
        _check_positive(self, epsilon=epsilon, tolerance=tolerance)
        if hole_border not in ("cut", "flat"):
            raise ValueError(f"RelativeTotalVariation: hole_border must be 'cut' or 'flat', got {hole_border!r}")
        if not strength <= _STRONGEST:
            raise ValueError(
                f"RelativeTotalVariation: strength must be at most {_STRONGEST:g}, got {strength:g}; the paper's "
                f"are from 0.01 to 0.03"
            )
        self.strength, self.sigma, self.sharpness, self.epsilon = strength, sigma, sharpness, epsilon
        self.iterations, self.tolerance = iterations, tolerance
        self.hole_border: HoleBorder = hole_border

    def smooth(self, image: Tensor, mask: Tensor) -> Tensor:  # noqa: D102
        structure, sigma = image, self.sigma
        for _ in range(self.iterations):
            links = self._weights(structure, mask, sigma)
            # Half, since this is the energy's derivative. The last structure is a good initial guess for the next.
            links = Links(*(self.strength / 2 * weight for weight in links))
            structure = solve_smoothing(image, links, structure, self.tolerance)
            sigma = max(sigma / 2, 0.5)
        return structure

    def _weights(self, structure: Tensor, mask: Tensor, sigma: float) -> Links:
        """Weights of the links, `1 / (|gradient| * |gradient of the window|)`, means over the channels."""
        known, uncut = 1 - mask, Links(*(torch.ones_like(part) for part in _differences(mask)))
        if self.hole_border == "cut":
            fine = kept = Links(known[..., 1:] * known[..., :-1], known[..., 1:, :] * known[..., :-1, :])
        else:
            fine, kept = Links(known[..., :-1], known[..., :-1, :]), uncut
        right, down = (part * keep for part, keep in zip(_differences(structure), fine, strict=True))
        right, down = F.pad(right, (0, 1)), F.pad(down, (0, 0, 0, 1))
        inverse = (
            (right.square() + down.square()).sqrt().mean(dim=1, keepdim=True).clamp(min=self.sharpness).reciprocal()
        )
        window = _window_differences(structure, kept, sigma)
        right, down = (part.abs().mean(dim=1, keepdim=True).clamp(min=self.epsilon) for part in window)
        return Links(inverse[..., :-1] / right * kept.right, inverse[..., :-1, :] / down * kept.down)


class Links(NamedTuple):
    """One value for each pair of neighbouring pixels.

    Attributes:
        right: `(B, C, H, W - 1)`, for each pixel and its right neighbour.
        down: `(B, C, H - 1, W)`, for each pixel and the one below it.
    """

    right: Tensor
    down: Tensor


def solve_smoothing(image: Tensor, links: Links, start: Tensor, tolerance: float) -> Tensor:
    """The picture `x` that minimises `sum (x - image)^2 + sum links * (difference of the linked pixels of x)^2`.

    Conjugate gradients for the correction of the guess, on the system scaled to a unit diagonal. Each channel of each
    sample is a separate system, which stops changing once it is solved.

    Args:
        image: `(B, C, H, W)`.
        links: weights, 0 or more, with one channel.
        start: `(B, C, H, W)`, an initial guess.
        tolerance: maximum norm of the residual, as a fraction of the image's norm.

    Raises:
        DataError: the image is not finite.
        ConfigError: the links are too strong for the precision.

    Warns:
        UserWarning: the maximum number of steps was reached before the tolerance.
    """
    scale = _diagonal(links).rsqrt()
    pulls = Links(-links.right * scale[..., 1:] * scale[..., :-1], -links.down * scale[..., 1:, :] * scale[..., :-1, :])
    # The guess's residual by differences; from the scaled system it would be lost in rounding.
    residual = (image - start - _divergence(start, links)) * scale
    limit = tolerance**2 * _dot(image, image)
    search = _Search(torch.zeros_like(residual), residual, residual, _dot(residual, residual))
    # At most as many steps as pixels in exact arithmetic and usually far fewer; rounding may need more.
    most = 10 * image.shape[2] * image.shape[3] + 1
    if torch.compiler.is_compiling():
        return start + _solve_traced(search, pulls, scale, limit, most).correction * scale
    for step in range(most):
        if step % _ROUND == 0:
            left = _left(search, scale)
            unsolved = ~(left <= limit)  # NaN counts as unsolved
            # This check waits for the device.
            goes_on, finite = torch.stack([unsolved.any(), left.isfinite().all()]).tolist()
            if not finite:
                raise _failure(image)
            if not goes_on:
                break
        search = _step(search, pulls, unsolved)
    else:
        reached = (_left(search, scale) / _dot(image, image)).nan_to_num().max().sqrt().item()
        warnings.warn(
            f"relative total variation was solved to a tolerance of {reached:.2g} instead of {tolerance:g}; raise the "
            f"tolerance, or use a smaller strength",
            stacklevel=2,
        )
    return start + search.correction * scale


class _Search(NamedTuple):
    """State of the conjugate gradients, for the scaled system.

    Attributes:
        correction: `(B, C, H, W)`, to be added to the guess.
        residual: `(B, C, H, W)`.
        direction: `(B, C, H, W)`, of the next step.
        energy: `(B, C, 1, 1)`, squared norms of the residual.
    """

    correction: Tensor
    residual: Tensor
    direction: Tensor
    energy: Tensor


def _left(search: _Search, scale: Tensor) -> Tensor:
    """Squared norms of the unscaled residual; scaled, large smooth areas would hardly count."""
    return _dot(search.residual / scale, search.residual / scale)


def _step(search: _Search, pulls: Links, unsolved: Tensor) -> _Search:
    """One step of the unsolved systems, `(B, C, 1, 1)` bool."""
    correction, residual, direction, before = search
    tiny = torch.finfo(before.dtype).tiny
    pulled = _scaled_system(direction, pulls)
    length = torch.where(unsolved, before / _dot(direction, pulled).clamp(min=tiny), 0.0)
    correction = torch.addcmul(correction, length, direction)
    residual = torch.addcmul(residual, length, pulled, value=-1)
    energy = _dot(residual, residual)
    return _Search(correction, residual, torch.addcmul(residual, energy / before.clamp(min=tiny), direction), energy)


def _solve_traced(search: _Search, pulls: Links, scale: Tensor, limit: Tensor, most: int) -> _Search:
    """The same search as a loop of the traced program; it simply ends if a picture is not finite."""

    def goes_on(step: Tensor, unsolved: Tensor, *search: Tensor) -> Tensor:
        return (step < most) & unsolved.any()

    def advance(step: Tensor, unsolved: Tensor, *search: Tensor) -> tuple[Tensor, ...]:
        after = _step(_Search(*search), pulls, unsolved)
        left = _left(after, scale)
        passes = (step + 1) % _ROUND != 0
        return step + 1, unsolved & (passes | ((left > limit) & left.isfinite())), *after

    first = torch.zeros((), dtype=torch.int64, device=limit.device)
    # Cloned, since the loop's inputs may not alias each other.
    _, _, *found = while_loop(
        goes_on, advance, (first, _left(search, scale) > limit, *(part.clone() for part in search))
    )
    return _Search(*found)


def _failure(image: Tensor) -> Exception:
    """The error to raise when the residual is no longer finite."""
    if not bool(image.isfinite().all()):
        return DataError("the structure of a picture with NaN or infinite pixels is not defined; replace those pixels")
    return ConfigError(
        "the linear system of relative total variation cannot be solved in this precision; use a smaller strength, or "
        "a larger sharpness or epsilon (RelativeTotalVariation)"
    )


def _diagonal(links: Links) -> Tensor:
    """One plus the weights of a pixel's four links."""
    return (
        1
        + F.pad(links.right, (0, 1))
        + F.pad(links.right, (1, 0))
        + F.pad(links.down, (0, 0, 0, 1))
        + F.pad(links.down, (0, 0, 1, 0))
    )


def _divergence(x: Tensor, links: Links) -> Tensor:
    """Half the gradient of `sum links * (difference of the linked pixels of x)^2`."""
    right, down = (weight * part for weight, part in zip(links, _differences(x), strict=True))
    return F.pad(right, (1, 0)) - F.pad(right, (0, 1)) + F.pad(down, (0, 0, 1, 0)) - F.pad(down, (0, 0, 0, 1))


def _scaled_system(x: Tensor, pulls: Links) -> Tensor:
    result = x.clone()
    result[..., :-1].addcmul_(pulls.right, x[..., 1:])
    result[..., 1:].addcmul_(pulls.right, x[..., :-1])
    result[..., :-1, :].addcmul_(pulls.down, x[..., 1:, :])
    result[..., 1:, :].addcmul_(pulls.down, x[..., :-1, :])
    return result


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(dim=(2, 3), keepdim=True)


def _differences(picture: Tensor) -> Links:
    return Links(picture.diff(dim=3), picture.diff(dim=2))


def _window_differences(picture: Tensor, kept: Links, sigma: float) -> Links:
    """Differences of the blurred picture, as the blur of its differences; links that are not kept count as 0.

    The picture is 0 beyond the frame, as in the authors' code, so its border has differences too.
    """
    right = _blurred(F.pad(picture, (1, 1)).diff(dim=3) * F.pad(kept.right, (1, 1), value=1.0), sigma)
    down = _blurred(F.pad(picture, (0, 0, 1, 1)).diff(dim=2) * F.pad(kept.down, (0, 0, 1, 1), value=1.0), sigma)
    return Links(right[..., 1:-1], down[..., 1:-1, :])


def _blurred(picture: Tensor, sigma: float) -> Tensor:
    """Gaussian blur, zeros beyond the frame; the window is 5 sigma wide, rounded to an odd number, as the authors'."""
    radius = math.floor(5 * sigma + 0.5) // 2
    offsets = torch.arange(-radius, radius + 1, device=picture.device, dtype=picture.dtype)
    kernel = torch.exp(-(offsets**2) / (2 * sigma**2))
    kernel = kernel / kernel.sum()
    planes = picture.flatten(0, 1).unsqueeze(1)
    planes = F.conv2d(planes, kernel.view(1, 1, 1, -1), padding=(0, radius))
    return F.conv2d(planes, kernel.view(1, 1, -1, 1), padding=(radius, 0)).view_as(picture)


def _check_positive(owner: nn.Module, **values: float) -> None:
    for name, value in values.items():
        if not value > 0:
            raise ValueError(f"{type(owner).__name__}: {name} must be above 0, got {value}")
