"""The contract of a generator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from inpaintzoo.layers.attention.guidance import Guidance
from inpaintzoo.layers.rebuildable import Rebuildable
from inpaintzoo.ops import can_be_read
from inpaintzoo.types import ConfigError, DataError, Output


class Generator(Rebuildable):
    """Fills holes: `forward(image, mask) -> Output`.

    The Inpainter passes `image * (1 - mask)`. A subclass must still call `hide_hole` first, so that the truth cannot
    leak when a library user passes a whole picture.

    Attributes:
        size_multiple: height and width must be multiples of this.
        smallest_side: height and width must be at least this, in pixels.
        widest_view: longest side in pixels that `Predictor` shows it at once, unless told otherwise.
        needs_labels: whether training needs `batch["labels"]`.
        num_classes: number of labels that it predicts; None if it predicts none.
        stochastic: whether two forward passes of the same input may differ.
        revision: raised when the same arguments and weights give another picture than before, so that a benchmark does
            not continue with pictures of both.
        accepts_guidance: whether `forward` takes `guidance`, which steers its patch attention.
    """

    size_multiple: ClassVar[int] = 1
    smallest_side: int = 1
    # Papers train at 256; at more than twice that, networks fill worse, not better.
    widest_view: ClassVar[int] = 512
    needs_labels: ClassVar[bool] = False
    num_classes: int | None = None
    stochastic: bool = False
    revision: ClassVar[int] = 1
    accepts_guidance: bool = False

    def forward(self, image: Tensor, mask: Tensor) -> Output:
        """Fill the hole.

        Args:
            image: `(B, 3, H, W)` in [0, 1]; whatever lies in the hole is ignored.
            mask: `(B, 1, H, W)`, exactly 0 or 1, 1 = hole.

        Returns:
            The raw prediction for the whole frame, and whatever else the method's losses read.
        """
        raise NotImplementedError

    def sample(
        self, image: Tensor, mask: Tensor, n: int, generator: torch.Generator | Sequence[torch.Generator] | None = None
    ) -> Tensor:
        """Draw several fills of the same holes; stochastic generators override it.

        Overrides should compute only once what does not depend on the noise.

        Args:
            image: `(B, 3, H, W)` in [0, 1]; whatever lies in the hole is ignored.
            mask: `(B, 1, H, W)`, 1 = hole.
            n: samples per image, 1 or more.
            generator: source of the noise; a sequence has one per image, so that an image's samples do not depend on
                its batch. None: torch's global generator.

        Returns:
            `(B, n, 3, H, W)`, raw predictions.

        Raises:
            ValueError: the generator is deterministic.
        """
        raise ValueError(f"{type(self).__name__} is deterministic: it has one fill, its forward's")

    def noise_shape(self, height: int, width: int) -> tuple[int, ...] | None:
        """Shape of one fill's noise, without the batch, for `forward(..., noise=[values])`.

        None if `forward` takes no noise: the generator is deterministic, or always draws its own.

        Args:
            height: height of the image.
            width: width of the image.
        """
        return None

    def check_size(self, image: Tensor, mask: Tensor) -> None:
        """Raise `DataError` (a `ValueError`) unless the pair fits the contract and this generator's sizes.

        The mask's values are checked only where that is nearly free: not in training on an accelerator, which would
        have to synchronise, and not while a graph is recorded.
        """
        height, width = image.shape[-2:]
        if image.ndim != 4 or image.shape[1] != 3:
            raise DataError(f"the image must be (B, 3, H, W), got {tuple(image.shape)}")
        if mask.shape != (image.shape[0], 1, height, width):
            raise DataError(
                f"the mask must be ({image.shape[0]}, 1, {height}, {width}) to fit the image, got {tuple(mask.shape)}"
            )
        if height % self.size_multiple or width % self.size_multiple:
            raise DataError(
                f"{type(self).__name__} needs height and width that are multiples of {self.size_multiple}, got "
                f"{height}x{width}; resize or crop the images, or pad them with inpaintzoo.ops.pad_to_multiple"
            )
        if min(height, width) < self.smallest_side:
            raise DataError(
                f"{type(self).__name__} needs height and width of at least {self.smallest_side}, got {height}x{width}; "
                f"enlarge the images"
            )
        self._check_mask(mask)

    def _check_mask(self, mask: Tensor) -> None:
        if not mask.is_floating_point():
            raise DataError(f"the mask must be floating point, 1 = hole, got {mask.dtype}; pass mask.float()")
        if can_be_read(mask, self.training) and not bool(((mask == 0) | (mask == 1)).all()):
            low, high = mask.min().item(), mask.max().item()
            raise DataError(
                f"the mask must be exactly 0 or 1 everywhere, 1 = hole, got values from {low:g} to {high:g}; "
                f"compare it with its middle, such as (mask > {max(1.0, high) / 2:g}).float()"
            )

    def read_guidance(self, guidance: Tensor | None, mask: Tensor) -> Guidance | None:
        """Check a guidance map and wrap it; None stays None.

        Args:
            guidance: `(B, 1, H, W)`, permissions or class ids, see `inpaintzoo.layers.attention.Guidance`.
            mask: `(B, 1, H, W)`, 1 = hole.

        Raises:
            ConfigError: if this generator has no patch attention to guide.
            DataError: if the map does not fit.
        """
        if guidance is None:
            return None
        if not self.accepts_guidance:
            raise ConfigError(f"{type(self).__name__} has no patch attention that guidance could steer; leave it out")
        return Guidance(guidance, mask)

    @staticmethod
    def hide_hole(image: Tensor, mask: Tensor, fill: float = 0.0) -> Tensor:
        """The image with the hole replaced by `fill`, NaN and infinity in the hole included."""
        return image.masked_fill(mask.bool(), fill)
