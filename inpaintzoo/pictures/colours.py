"""Pixels of any kind to RGB and back: from what a file, picture or array stores to what a generator works with.

Writing changes only the pixels handed in, and of these neither alpha nor transparency.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from PIL import Image

from inpaintzoo.pictures.tiffs import true_type
from inpaintzoo.types import DataError

_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R 601-2, as Pillow's greyscale
_CHUNK = 4096  # pixels compared with a palette at once


class Colours(ABC):
    """The colours that pixels `(..., channels)` stand for, or `(...)` for one channel without an axis.

    Attributes:
        step: from one level of the file to the next; more than 1 for levels of 2 and 4 bits, which are held in 8.
    """

    step = 1

    @abstractmethod
    def read(self, pixels: np.ndarray) -> np.ndarray:
        """RGB in [0, 1], `(..., 3)` float32."""

    @abstractmethod
    def write(self, rgb: np.ndarray, old: np.ndarray) -> np.ndarray:
        """Pixels like `old`, its alpha included, in new colours.

        Args:
            rgb: `(N, 3)` float32 in [0, 1].
            old: the N pixels that are replaced.
        """

    def alpha(self, pixels: np.ndarray) -> np.ndarray | None:
        """Opacity in [0, 1] of each pixel; None if these pixels have none."""
        return None

    def opaque(self, pixels: np.ndarray) -> np.ndarray:
        """The same pixels without transparency."""
        return pixels


class Levels(Colours):
    """Grey or RGB levels, perhaps followed by alpha: 1-bit, 8-bit, 16-bit and floating-point pixels.

    Args:
        channels: 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha.
        top: the level of white, and of full opacity.
        axis: whether pixels have an axis of channels.
        key: the colour that counts as transparent, if any (PNG's `tRNS`).
        bottom: the level of black; below 0 for signed integers.
    """

    def __init__(
        self, channels: int, top: float, axis: bool = True, key: tuple[int, ...] | None = None, bottom: float = 0.0
    ) -> None:
        self.colours = 1 if channels < 3 else 3
        self.has_alpha = channels in (2, 4)
        self.top = top
        self.axis = axis
        self.key = key
        self.bottom = bottom

    def read(self, pixels: np.ndarray) -> np.ndarray:  # noqa: D102
        colours = self._split(pixels)[..., : self.colours]
        levels = (colours.astype(np.float32) - np.float32(self.bottom)) / np.float32(self.top - self.bottom)
        return np.broadcast_to(levels, (*levels.shape[:-1], 3))

    def write(self, rgb: np.ndarray, old: np.ndarray) -> np.ndarray:  # noqa: D102
        levels = (rgb if self.colours == 3 else (rgb @ _LUMA)[:, None]).clip(0, 1)
        levels = levels * (self.top - self.bottom) + self.bottom
        new = old.copy()
        split = self._split(new)
        split[:, : self.colours] = levels if old.dtype.kind == "f" else np.round(levels / self.step) * self.step
        if self.key is not None:
            was = (self._split(old) == self.key).all(axis=1)
            became = (split == self.key).all(axis=1) & ~was
            split[became, -1] = self._beside_key()
            split[was] = self.key
        return new

    def alpha(self, pixels: np.ndarray) -> np.ndarray | None:  # noqa: D102
        if self.key is not None:
            return 1 - (self._split(pixels) == self.key).all(axis=-1).astype(np.float32)
        return pixels[..., -1].astype(np.float32) / np.float32(self.top) if self.has_alpha else None

    def opaque(self, pixels: np.ndarray) -> np.ndarray:  # noqa: D102
        new = pixels.copy()
        if self.has_alpha:
            new[..., -1] = self.top
        if self.key is not None:
            split = self._split(new)
            split[(split == self.key).all(axis=-1), -1] = self._beside_key()
        return new

    def _beside_key(self) -> int:
        """The level next to the last one of the transparent colour, which looks the same, or nearly so."""
        assert self.key is not None
        return (self.key[-1] // self.step ^ 1) * self.step

    def _split(self, pixels: np.ndarray) -> np.ndarray:
        return pixels if self.axis else pixels[..., None]


class Palette(Colours):
    """Indices into a palette; new colours become the nearest of its entries that has the same opacity.

    Args:
        table: `(N, 4)` uint8 RGBA.
    """

    def __init__(self, table: np.ndarray) -> None:
        self.table = table

    def read(self, pixels: np.ndarray) -> np.ndarray:  # noqa: D102
        return (self.table[:, :3].astype(np.float32) / np.float32(255))[pixels]

    def write(self, rgb: np.ndarray, old: np.ndarray) -> np.ndarray:  # noqa: D102
        new, opacity = old.copy(), self.table[:, 3][old]
        for level in np.unique(opacity):
            new[opacity == level] = self._nearest(rgb[opacity == level], self.table[:, 3] == level)
        return new

    def alpha(self, pixels: np.ndarray) -> np.ndarray | None:  # noqa: D102
        opacity = self.table[:, 3].astype(np.float32) / np.float32(255)
        return None if opacity.min() == 1 else opacity[pixels]

    def opaque(self, pixels: np.ndarray) -> np.ndarray:  # noqa: D102
        solid = self.table[:, 3] == 255
        if not solid.any():
            raise DataError("no entry of the palette is opaque, so its transparent part cannot be filled; use RGBA")
        return np.where(solid[pixels], pixels, np.flatnonzero(solid)[0]).astype(pixels.dtype)

    def _nearest(self, rgb: np.ndarray, allowed: np.ndarray) -> np.ndarray:
        entries = np.flatnonzero(allowed)
        colours = self.table[entries, :3].astype(np.float32) / np.float32(255)
        squares = (colours**2).sum(axis=1)
        parts = [rgb[start : start + _CHUNK] for start in range(0, len(rgb), _CHUNK)]
        # |a - b|² without |a|², which is the same for all entries
        return np.concatenate([entries[(squares - 2 * part @ colours.T).argmin(axis=1)] for part in parts])


class Inks(Colours):
    """8-bit CMYK without a profile: light is what is left after cyan, magenta, yellow and then black ink."""

    def read(self, pixels: np.ndarray) -> np.ndarray:  # noqa: D102
        left = 1 - pixels.astype(np.float32) / np.float32(255)
        return left[..., :3] * left[..., 3:]

    def write(self, rgb: np.ndarray, old: np.ndarray) -> np.ndarray:  # noqa: D102
        light = rgb.max(axis=1, keepdims=True).clip(1e-6, 1)  # all the grey in black ink
        inks = np.concatenate([1 - rgb / light, 1 - light], axis=1)
        return np.round(inks.clip(0, 1) * 255).astype(old.dtype)


class Converted(Colours):
    """8-bit pixels of another Pillow mode with three channels, by Pillow's own conversion.

    Args:
        mode: such as `YCbCr`.
    """

    def __init__(self, mode: str) -> None:
        self.mode = mode

    def read(self, pixels: np.ndarray) -> np.ndarray:  # noqa: D102
        return _converted(pixels, self.mode, "RGB").astype(np.float32) / np.float32(255)

    def write(self, rgb: np.ndarray, old: np.ndarray) -> np.ndarray:  # noqa: D102
        return _converted(np.round(rgb.clip(0, 1)[None] * 255).astype(np.uint8), "RGB", self.mode)[0]


def _converted(pixels: np.ndarray, source: str, target: str) -> np.ndarray:
    picture = Image.frombytes(source, (pixels.shape[1], pixels.shape[0]), np.ascontiguousarray(pixels).tobytes())
    return np.asarray(picture.convert(target))


def pixels_of(image: Image.Image) -> tuple[np.ndarray, Colours]:
    """A Pillow image's pixels, in the type of its file, and their meaning.

    Raises:
        DataError: its mode is not supported.
    """
    pixels, kind = np.array(image), true_type(image)
    if kind is None:
        return pixels, colours_of_image(image)
    limits = np.iinfo(kind if kind.itemsize < 4 else np.uint16)
    return pixels.astype(kind), Levels(1, limits.max, axis=False, bottom=limits.min)


def colours_of_image(image: Image.Image) -> Colours:
    """The meaning of a Pillow image's pixels.

    Raises:
        DataError: its mode is not supported.
    """
    mode, key = image.mode, image.info.get("transparency")
    if mode == "P":
        return Palette(_rgba_table(image))
    if mode == "CMYK":
        return Inks()
    if mode in ("YCbCr", "HSV"):
        return Converted(mode)
    if mode == "1":
        return Levels(1, 1.0, axis=False, key=(bool(key),) if isinstance(key, int) else None)
    if mode in ("L", "F") or mode.startswith("I"):
        top = {"L": 255.0, "F": 1.0}.get(mode, 65535.0)
        return Levels(1, top, axis=False, key=(key,) if isinstance(key, int) and mode != "F" else None)
    if mode in ("LA", "RGB", "RGBA"):
        channels = len(mode)
        return Levels(channels, 255.0, key=key if mode == "RGB" and isinstance(key, tuple) else None)
    raise DataError(
        f"pictures of mode {mode} cannot be filled; convert it to one of 1, L, LA, P, RGB, RGBA, CMYK, YCbCr, HSV, "
        "I;16, I or F"
    )


def colours_of_array(array: np.ndarray) -> Colours:
    """The meaning of an array `(H, W)` or `(H, W, C)`: C = 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha.

    Raises:
        DataError: another shape or type.
    """
    if array.ndim not in (2, 3) or (array.ndim == 3 and not 1 <= array.shape[2] <= 4) or 0 in array.shape:
        raise DataError(f"a picture must have 1 to 4 channels, as (H, W) or (H, W, C), got shape {array.shape}")
    tops = {"bool": 1.0, "uint8": 255.0, "uint16": 65535.0, "float16": 1.0, "float32": 1.0, "float64": 1.0}
    if array.dtype.name not in tops:
        raise DataError(f"a picture's type must be one of {', '.join(tops)} (floats in [0, 1]), got {array.dtype.name}")
    return Levels(1 if array.ndim == 2 else array.shape[2], tops[array.dtype.name], axis=array.ndim == 3)


def _rgba_table(image: Image.Image) -> np.ndarray:
    """The palette as `(256, 4)` RGBA; missing entries are copies of the first."""
    flat = image.getpalette("RGBA") or [0, 0, 0, 255]
    table = np.array(flat, dtype=np.uint8).reshape(-1, 4)
    key = image.info.get("transparency")
    if isinstance(key, int) and key < len(table):
        table[key, 3] = 0
    elif isinstance(key, bytes):
        levels = np.frombuffer(key, dtype=np.uint8)[: len(table)]
        table[: len(levels), 3] = levels
    return np.concatenate([table, np.repeat(table[:1], 256 - len(table), axis=0)])
