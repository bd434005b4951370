"""How a picture of any size becomes one of the network's size, and the augmentations of training.

A resize policy only decides on a `Crop`: which part of the picture, at which size. Cutting it out is the same for
all policies: one resampling step, antialiased for the image and by nearest neighbour for its labels.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional

from inpaintzoo.pictures.images import image_to_tensor

Resample = Literal["bicubic", "bilinear", "lanczos", "box", "nearest"]


@dataclasses.dataclass(frozen=True)
class Crop:
    """A part of a picture, and the size it is resized to.

    Attributes:
        box: top, left, bottom, right in pixels of the upright picture; may be fractions.
        size: height and width of the result, in pixels.
    """

    box: tuple[float, float, float, float]
    size: tuple[int, int]

    @property
    def shrink(self) -> float:
        """How many times smaller the result is than its part of the picture; below 1 if it is enlarged."""
        top, left, bottom, right = self.box
        return min((bottom - top) / self.size[0], (right - left) / self.size[1])

    def cut_image(self, image: Image.Image, resample: Resample = "bicubic", divisor: int = 1) -> Tensor:
        """The crop of an RGB picture as a `(3, height, width)` float32 tensor in [0, 1].

        Args:
            image: the picture, upright.
            resample: the filter; when shrinking it is widened (antialiasing), except for `nearest`.
            divisor: how many times smaller the picture was decoded than the one the box refers to.
        """
        top, left, bottom, right = (edge / divisor for edge in self.box)
        box = (left, top, min(right, image.width), min(bottom, image.height))
        height, width = self.size
        return image_to_tensor(image.resize((width, height), Image.Resampling[resample.upper()], box))

    def cut_labels(self, labels: np.ndarray, picture: tuple[int, int]) -> np.ndarray:
        """The crop of a label map; each pixel has the label nearest to its centre.

        Args:
            labels: `(H, W)`; its size may differ from the picture's, its proportions may not.
            picture: height and width of the picture that the box refers to.
        """
        rows = _nearest(self.box[0], self.box[2], self.size[0], labels.shape[0] / picture[0], labels.shape[0])
        columns = _nearest(self.box[1], self.box[3], self.size[1], labels.shape[1] / picture[1], labels.shape[1])
        return labels[rows[:, None], columns]


def _nearest(start: float, stop: float, count: int, scale: float, limit: int) -> np.ndarray:
    centres = start + (np.arange(count) + 0.5) * (stop - start) / count
    return np.clip(np.floor(centres * scale).astype(np.int64), 0, limit - 1)


class ResizePolicy(ABC):
    """Decides which part of a picture the network sees; all pictures end up at the same size.

    Args:
        resample: the filter for the image, in Pillow's terms. Shrinking is antialiased, except for `nearest`.
    """

    def __init__(self, resample: Resample = "bicubic") -> None:
        if resample.upper() not in Image.Resampling.__members__:
            raise ValueError(f"resample must be bicubic, bilinear, lanczos, box or nearest, got {resample!r}")
        self.resample = resample

    @abstractmethod
    def plan(self, height: int, width: int, rng: np.random.Generator | None) -> Crop:
        """The crop of a picture of this size.

        Args:
            height: height of the upright picture, in pixels.
            width: width of the upright picture, in pixels.
            rng: makes the random choices; None makes none and crops the centre, for evaluation.
        """


class ResizeTo(ResizePolicy):
    """The whole picture at a fixed size, whatever its proportions (CelebA-HQ, facades).

    Args:
        size: side of the square in pixels, or (height, width).
        resample: the filter.
    """

    def __init__(self, size: int | tuple[int, int] = 256, resample: Resample = "bicubic") -> None:
        super().__init__(resample)
        self.size = _sides("ResizeTo: size", size)

    def plan(self, height: int, width: int, rng: np.random.Generator | None) -> Crop:  # noqa: D102
        return Crop((0.0, 0.0, height, width), self.size)


class SquareThenResize(ResizePolicy):
    """The largest square in the middle of the picture, resized.

    Args:
        size: side of the result in pixels.
        resample: the filter.
    """

    def __init__(self, size: int = 256, resample: Resample = "bicubic") -> None:
        super().__init__(resample)
        self.size = _sides("SquareThenResize: size", size)

    def plan(self, height: int, width: int, rng: np.random.Generator | None) -> Crop:  # noqa: D102
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        return Crop((top, left, top + side, left + side), self.size)


class ShortSideThenCrop(ResizePolicy):
    """The picture resized so that its short side fits, then cropped (SGE-Net: short side 256, random 256x256 crops).

    Args:
        short_side: length of the short side after resizing, in pixels.
        crop: side of the crop in pixels, or (height, width); None uses `short_side`.
        position: where training crops; evaluation always uses the centre.
        resample: the filter.
    """

    def __init__(
        self,
        short_side: int = 256,
        crop: int | tuple[int, int] | None = None,
        position: Literal["random", "centre"] = "random",
        resample: Resample = "bicubic",
    ) -> None:
        super().__init__(resample)
        self.crop = _sides("ShortSideThenCrop: crop", short_side if crop is None else crop)
        if max(self.crop) > short_side:
            height, width = self.crop
            raise ValueError(f"ShortSideThenCrop: a crop of {height}x{width} does not fit short_side={short_side}")
        if position not in ("random", "centre"):
            raise ValueError(f"ShortSideThenCrop: position must be random or centre, got {position!r}")
        self.short_side = short_side
        self.position = position

    def plan(self, height: int, width: int, rng: np.random.Generator | None) -> Crop:  # noqa: D102
        scale = self.short_side / min(height, width)
        resized = (round(height * scale), round(width * scale))
        return _cropped(height, width, resized, self.crop, rng if self.position == "random" else None)


class RandomCrop(ResizePolicy):
    """A crop at the picture's own scale: random in training, the centre in evaluation (Places2).

    A picture smaller than the crop is first enlarged until it covers it; `InpaintingData.check` says how many are.

    Args:
        size: side of the crop in pixels, or (height, width).
        resample: the filter for pictures that are enlarged or resized.
        resize: side of the result in pixels, or (height, width); None keeps the crop's size.
    """

    def __init__(
        self,
        size: int | tuple[int, int] = 256,
        resample: Resample = "bicubic",
        resize: int | tuple[int, int] | None = None,
    ) -> None:
        super().__init__(resample)
        self.crop = _sides("RandomCrop: size", size)
        self.size = self.crop if resize is None else _sides("RandomCrop: resize", resize)

    def plan(self, height: int, width: int, rng: np.random.Generator | None) -> Crop:  # noqa: D102
        scale = max(1.0, self.crop[0] / height, self.crop[1] / width)
        cropped = _cropped(height, width, (round(height * scale), round(width * scale)), self.crop, rng)
        return Crop(cropped.box, self.size)


def _cropped(
    height: int, width: int, resized: tuple[int, int], crop: tuple[int, int], rng: np.random.Generator | None
) -> Crop:
    """The same as resizing the picture to `resized` and then cropping whole pixels."""
    room = (resized[0] - crop[0], resized[1] - crop[1])
    top, left = (int(rng.integers(free + 1)) for free in room) if rng is not None else (free // 2 for free in room)
    rows, columns = height / resized[0], width / resized[1]  # picture pixels per pixel of the result
    return Crop((top * rows, left * columns, (top + crop[0]) * rows, (left + crop[1]) * columns), crop)


class ColourJitter:
    """Random brightness, contrast, saturation and hue, in random order (PEN-Net trains with 0.05 of each).

    Args:
        brightness: factors are drawn from [1 - brightness, 1 + brightness].
        contrast: factors are drawn from [1 - contrast, 1 + contrast].
        saturation: factors are drawn from [1 - saturation, 1 + saturation].
        hue: the shift is drawn from [-hue, hue], in turns of the hue circle; at most 0.5.
    """

    def __init__(
        self, brightness: float = 0.05, contrast: float = 0.05, saturation: float = 0.05, hue: float = 0.05
    ) -> None:
        limits = {"brightness": 1.0, "contrast": 1.0, "saturation": 1.0, "hue": 0.5}
        self.ranges = {"brightness": brightness, "contrast": contrast, "saturation": saturation, "hue": hue}
        for name, value in self.ranges.items():
            if not 0.0 <= value <= limits[name]:
                raise ValueError(f"ColourJitter: {name} must lie in [0, {limits[name]}], got {value}")

    def __call__(self, image: Tensor, rng: np.random.Generator) -> Tensor:
        """The jittered `(3, H, W)` image in [0, 1]; the input is not changed."""
        adjust = {
            "brightness": lambda value, amount: functional.adjust_brightness(value, 1.0 + amount),
            "contrast": lambda value, amount: functional.adjust_contrast(value, 1.0 + amount),
            "saturation": lambda value, amount: functional.adjust_saturation(value, 1.0 + amount),
            "hue": functional.adjust_hue,
        }
        names = list(self.ranges)
        for name in (names[position] for position in rng.permutation(len(names))):
            amount = float(rng.uniform(-self.ranges[name], self.ranges[name]))
            if amount:
                image = adjust[name](image, amount)
        return image  # every adjustment above keeps to [0, 1]


def flip_pair(image: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Image and labels mirrored left to right."""
    return torch.flip(image, (-1,)), None if labels is None else torch.flip(labels, (-1,))


def _sides(what: str, size: int | tuple[int, int]) -> tuple[int, int]:
    height, width = (size, size) if isinstance(size, int) else size
    if height < 1 or width < 1:
        raise ValueError(f"{what} must be at least 1 pixel, got {size}")
    return int(height), int(width)
