"""Structure images: a picture without its texture, edges kept.

Relative total variation is Xu, Yan, Xia, Jia: "Structure Extraction from Texture via Relative Total Variation", ACM
Transactions on Graphics 31(6), 2012, https://doi.org/10.1145/2366145.2366158, in the discretisation of the authors'
code, which leaves out one of the paper's blurs, with the constants of StructureFlow (https://arxiv.org/abs/1908.03852).
That code stops the linear solver early; here the tolerance is an argument.

Where a picture has a hole, its structure is that of the known part: no filter looks into the hole, and the step from
the picture to the empty hole is no edge.
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
_ROUND = 16  # steps of the solver between two looks at what is left


class StructureFilter(Rebuildable, ABC):
    """Smooths texture away and keeps edges; has no parameters and gives no gradients."""

    @torch.compiler.disable
    @torch.no_grad()
    def forward(self, image: Tensor, mask: Tensor | None = None) -> Tensor:
        """The structure of a batch; a sample's does not depend on the others'.

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
        # Differences of a thousandth decide about the weights: no half precision, nor that of autocast.
        known = image.to(torch.promote_types(image.dtype, torch.float32)).masked_fill(hole, 0.0)
        reduced = torch.is_autocast_enabled(image.device.type)
        # Only where there is something to switch off: an exported program cannot hold such a block around a loop.
        with torch.autocast(image.device.type, enabled=False) if reduced else contextlib.nullcontext():
            return self.smooth(known, hole.to(known.dtype)).masked_fill(hole, 0.0)

    @abstractmethod
    def smooth(self, image: Tensor, mask: Tensor) -> Tensor:
        """The structure of `(B, C, H, W)`, whose hole is 0; what this returns in the hole is overwritten with 0."""


class BilateralStructure(StructureFilter):
    """A bilateral filter, some times over: cheaper than relative total variation, and it keeps strong texture.

    Args:
        kernel: side of the window in pixels, odd.
        sigma_colour: how different, in [0, 1] and summed over the channels, two pixels may be and still be averaged.
        sigma_space: of the Gaussian window, in pixels.
        iterations: times the filter is applied.
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

        # A hole of a colour that no pixel is like has no weight in any average.
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
    """Smoothing by relative total variation: what varies back and forth within a window is texture, and goes.

    Args:
        strength: lambda of the paper, up to 1: beyond, hardly anything is left of a picture and its
            system takes long to solve.
        sigma: of the first iteration's window, in pixels; it halves with each, down to 0.5.
        sharpness: eps_s of the paper: least mean gradient, in [0, 1] a pixel, that counts.
        iterations: of reweighting; each solves one linear system.
        epsilon: the same for gradients of the window.
        tolerance: the conjugate gradients stop where the residual's norm is this part of the picture's, in each sample
            and channel. At 0.01 pixels are within 0.003 of the exact solution, 0.0002 on average (measured at 128x128).
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
            # The energy's derivative, whence the half. The last structure is near the next.
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
    """Something for each pair of neighbouring pixels.

    Attributes:
        right: `(B, C, H, W - 1)`, of a pixel and the one right of it.
        down: `(B, C, H - 1, W)`, of a pixel and the one below.
    """

    right: Tensor
    down: Tensor


def solve_smoothing(image: Tensor, links: Links, start: Tensor, tolerance: float) -> Tensor:
    """The picture `x` that minimises `sum (x - image)^2 + sum links * (difference of the linked pixels of x)^2`.

    Conjugate gradients, for what the guess lacks, on the system scaled to a diagonal of ones. Each channel of each
    sample is a system of its own, which rests once it is solved.

    Args:
        image: `(B, C, H, W)`.
        links: weights, 0 or more, with one channel.
        start: `(B, C, H, W)`, a guess.
        tolerance: largest norm of the residual, as a part of that of the image.

    Raises:
        DataError: the image is not finite.
        ConfigError: the links are too strong for the precision.

    Warns:
        UserWarning: the steps ran out, and the picture is within a larger tolerance only.
    """
    scale = _diagonal(links).rsqrt()
    pulls = Links(-links.right * scale[..., 1:] * scale[..., :-1], -links.down * scale[..., 1:, :] * scale[..., :-1, :])
    # The residual of the guess by differences: of the scaled system it would be lost in rounding.
    residual = (image - start - _divergence(start, links)) * scale
    limit = tolerance**2 * _dot(image, image)
    search = _Search(torch.zeros_like(residual), residual, residual, _dot(residual, residual))
    # As many steps as pixels in exact arithmetic, and far fewer in practice; rounding may ask for more.
    most = 10 * image.shape[2] * image.shape[3] + 1
    if torch.compiler.is_compiling():
        return start + _solve_traced(search, pulls, scale, limit, most).correction * scale
    for step in range(most):
        if step % _ROUND == 0:
            left = _left(search, scale)
            unsolved = ~(left <= limit)  # NaN is unsolved
            # Looking waits for the device.
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
            f"tolerance, or take a smaller strength",
            stacklevel=2,
        )
    return start + search.correction * scale


class _Search(NamedTuple):
    """How far the conjugate gradients are, all of the scaled system.

    Attributes:
        correction: `(B, C, H, W)`, of the guess.
        residual: `(B, C, H, W)`.
        direction: `(B, C, H, W)`, of the next step.
        energy: `(B, C, 1, 1)`, squares of the residual.
    """

    correction: Tensor
    residual: Tensor
    direction: Tensor
    energy: Tensor


def _left(search: _Search, scale: Tensor) -> Tensor:
    """Squares of the residual as it was: scaled, large smooth areas would hardly count."""
    return _dot(search.residual / scale, search.residual / scale)


def _step(search: _Search, pulls: Links, unsolved: Tensor) -> _Search:
    """A step of the systems that are unsolved, `(B, C, 1, 1)`."""
    correction, residual, direction, before = search
    tiny = torch.finfo(before.dtype).tiny
    pulled = _scaled_system(direction, pulls)
    length = torch.where(unsolved, before / _dot(direction, pulled).clamp(min=tiny), 0.0)
    correction = torch.addcmul(correction, length, direction)
    residual = torch.addcmul(residual, length, pulled, value=-1)
    energy = _dot(residual, residual)
    return _Search(correction, residual, torch.addcmul(residual, energy / before.clamp(min=tiny), direction), energy)


def _solve_traced(search: _Search, pulls: Links, scale: Tensor, limit: Tensor, most: int) -> _Search:
    """The same search as a loop of the program that is being traced; where a picture is not finite it just ends."""

    def goes_on(step: Tensor, unsolved: Tensor, *search: Tensor) -> Tensor:
        return (step < most) & unsolved.any()

    def advance(step: Tensor, unsolved: Tensor, *search: Tensor) -> tuple[Tensor, ...]:
        after = _step(_Search(*search), pulls, unsolved)
        left = _left(after, scale)
        passes = (step + 1) % _ROUND != 0
        return step + 1, unsolved & (passes | ((left > limit) & left.isfinite())), *after

    first = torch.zeros((), dtype=torch.int64, device=limit.device)
    # A tensor of its own for each: what a loop is given may not be one and the same.
    _, _, *found = while_loop(
        goes_on, advance, (first, _left(search, scale) > limit, *(part.clone() for part in search))
    )
    return _Search(*found)


def _failure(image: Tensor) -> Exception:
    """What to raise when the residual is no number any more."""
    if not bool(image.isfinite().all()):
        return DataError("the structure of a picture with NaN or infinite pixels is not defined; mend the picture")
    return ConfigError(
        "the linear system of relative total variation cannot be solved in this precision; take a smaller strength, or "
        "a larger sharpness or epsilon (RelativeTotalVariation)"
    )


def _diagonal(links: Links) -> Tensor:
    """One and the weights of a pixel's four links."""
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
    """Differences of the blurred picture: the blur of its differences, of which the links that are not kept are 0.

    Beyond the frame the picture is 0, as in the authors' code, so the frame's border has differences too.
    """
    right = _blurred(F.pad(picture, (1, 1)).diff(dim=3) * F.pad(kept.right, (1, 1), value=1.0), sigma)
    down = _blurred(F.pad(picture, (0, 0, 1, 1)).diff(dim=2) * F.pad(kept.down, (0, 0, 1, 1), value=1.0), sigma)
    return Links(right[..., 1:-1], down[..., 1:-1, :])


def _blurred(picture: Tensor, sigma: float) -> Tensor:
    """Gaussian blur, zeros beyond the frame; the window has the authors' width, 5 sigma rounded to an odd number."""
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
