"""Mask files: found, read, thresholded, resized and surveyed."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import numpy as np
from PIL import Image
from torch import Tensor

from inpaintzoo.data.checks import in_threads
from inpaintzoo.data.masks.base import hole_tensor
from inpaintzoo.pictures.colours import pixels_of
from inpaintzoo.pictures.images import (
    IMAGE_SUFFIXES,
    JPEG_SUFFIXES,
    decode_rgb,
    grey_levels,
    list_images,
    open_image,
    orientation_of,
    turn,
)
from inpaintzoo.types import DataError, Polarity, PolarityChoice

UNCLEAR = (0.4, 0.6)  # a white part between these does not tell hole from rest
# Parts of pixels between 10 and 90 % grey above which a mask file is a photograph. Of blurred masks (sigma 10 pixels of
# 256) half are at most; of 95 % of photographs at least half are.
_COLOURED_PHOTOGRAPH, _GREY_PHOTOGRAPH = 0.2, 0.7
_LOOKED_AT = 256  # pixels a side


def check_polarity(polarity: str, owner: str = "") -> None:
    """Raise `DataError` unless it is one of `PolarityChoice`; the message begins with the owner."""
    if polarity not in get_args(PolarityChoice):
        owner = f"{owner}: " if owner else ""
        raise DataError(f"{owner}polarity must be auto, white or black (the hole's colour), got {polarity!r}")


def check_brightest(brightest: float, name: str) -> None:
    """Raise `DataError` if the brightest grey level of mask files, in [0, 1], is that of the class value 1."""
    if 0.0 < brightest <= 1.5 / 255:
        raise DataError(f"{name} has the values 0 and 1, which both read as black; save masks with 0 and 255")


def sample_positions(count: int, sample: int = 64) -> list[int]:
    """Up to `sample` positions, evenly spread over `count`."""
    return np.linspace(0, count - 1, min(sample, count)).round().astype(int).tolist()


def list_mask_files(folder: Path) -> list[str]:
    """Mask files below a folder, relative and with `/`, in the order of their names.

    Raises:
        DataError: no such folder, or no mask file in it.
    """
    if not folder.is_dir():
        raise DataError(f"mask folder {folder} {'is a file' if folder.exists() else 'does not exist'}; give a folder")
    files = [path.relative_to(folder).as_posix() for path in list_images(folder)]
    if not files:
        raise DataError(f"mask folder {folder} holds 0 mask files ({' '.join(IMAGE_SUFFIXES)}), subfolders included")
    return files


def read_grey(path: Path) -> np.ndarray:
    """The file's levels, see `mask_levels`.

    Raises:
        DataError: the file is missing, damaged, or a photograph.
    """
    with open_image(path) as picture:
        return mask_levels(picture, str(path))


def is_no_mask(path: Path) -> bool:
    """Whether a file is a photograph, or cannot be read."""
    try:
        read_grey(path)
    except DataError:
        return True
    return False


def mask_levels(image: Image.Image, name: str) -> np.ndarray:
    """The levels of a mask as upright `(H, W)` float32 in [0, 1], whatever its mode.

    They are its opacity if that varies (a hole painted on an empty layer, or erased from the picture), otherwise its
    grey levels.

    Args:
        image: an opened file, or any Pillow image.
        name: name of the mask, for the error.

    Raises:
        DataError: it is a photograph.
    """
    opacity = _opacity(image)
    if opacity is not None and opacity.min() != opacity.max():
        return turn(opacity, orientation_of(image))
    grey = grey_levels(image)
    step = max(1, max(grey.shape) // _LOOKED_AT)
    sample = grey[::step, ::step]
    between = float(((sample > 0.1) & (sample < 0.9)).mean())
    if between > _COLOURED_PHOTOGRAPH and _is_photograph(image, sample, between, step):
        raise DataError(
            f"{name} looks like a photograph: {between:.0%} of its pixels are neither black nor white; give a mask, "
            "or, if picture and mask are swapped, exchange them"
        )
    return grey


def has_varied_alpha(image: Image.Image) -> bool:
    """Whether some of its pixels are more opaque than others."""
    opacity = _opacity(image)
    return opacity is not None and bool(opacity.min() != opacity.max())


def _opacity(image: Image.Image) -> np.ndarray | None:
    """The opacity of a decoded image's pixels, `(H, W)` float32 in [0, 1], as stored; None if it has none."""
    if image.getbands()[-1] in "Aa":
        return np.asarray(image.getchannel(image.getbands()[-1]), np.float32) / 255
    if "transparency" not in image.info:
        return None
    pixels, colours = pixels_of(image)
    return colours.alpha(pixels)


def _is_photograph(image: Image.Image, grey: np.ndarray, between: float, step: int) -> bool:
    """Whether a sample of an image's pixels has many different colours, or, without colours, many greys.

    Blurred and JPEG-compressed masks have greys too, so only a large part counts without colours; a mask in two colours
    has few different ones.
    """
    if between > _GREY_PHOTOGRAPH and len(np.unique((grey * 15.99).astype(np.uint8))) >= 8:
        return True
    if image.mode in ("1", "L", "LA", "La"):
        return False
    rgb = np.asarray(decode_rgb(image)[0])[::step, ::step]
    coloured = float((np.ptp(rgb, axis=2) > 32).mean())
    return coloured > 0.05 and len(np.unique(rgb.reshape(-1, 3) >> 4, axis=0)) > 64


def read_hole(path: Path, polarity: Polarity, threshold: float) -> Tensor:
    """The file's `(1, H, W)` mask at its own size.

    Args:
        path: path of the file.
        polarity: the colour of the hole.
        threshold: how much of the hole's colour makes a pixel hole: `grey > threshold` for white holes,
            `1 - grey > threshold` for black ones.
    """
    grey = read_grey(path)
    return hole_tensor((grey if polarity == "white" else 1.0 - grey) > threshold)


def rarer_colour(white: float, name: str) -> Polarity:
    """The colour of the hole where a mask does not say: the rarer one; a mask that is all white is all hole.

    Args:
        white: the white part of its pixels, in [0, 1].
        name: name of the mask, for the error.

    Raises:
        DataError: neither colour is clearly rarer.
    """
    if UNCLEAR[0] <= white <= UNCLEAR[1]:
        raise DataError(
            f"{name}: {white:.0%} of the pixels are white, so neither colour is clearly the hole's; set polarity to "
            "white or black"
        )
    return "black" if 0.5 < white < 1 else "white"


def file_ratios(folder: Path, files: Sequence[str], polarity: Polarity, threshold: float) -> list[float]:
    """Each file's hole ratio at its own size, read by several threads."""
    return in_threads(lambda file: read_hole(folder / file, polarity, threshold).double().mean().item(), files)


@dataclasses.dataclass(frozen=True)
class MaskSurvey:
    """Statistics of a sample of a folder's files.

    Attributes:
        count: files in the folder.
        positions: positions of the sampled files in the folder's order.
        white: each sampled file's part of pixels that are nearer to white than to black.
        brightest: the highest grey level in the sample, in [0, 1].
        jpegs: files in the folder that are JPEGs.
    """

    count: int
    positions: list[int]
    white: list[float]
    brightest: float
    jpegs: int

    @property
    def mean_white(self) -> float:
        """Mean of the sampled files' white parts."""
        return sum(self.white) / len(self.white)


def survey_files(folder: Path, files: Sequence[str]) -> MaskSurvey:
    """Look at up to 64 files, evenly spread over the folder's order.

    Raises:
        DataError: a file cannot be read, or the files hold class values (0 and 1) instead of grey levels.
    """
    positions = sample_positions(len(files))
    white, brightest = [], 0.0
    for position in positions:
        grey = read_grey(folder / files[position])
        white.append(float((grey > 0.5).mean()))
        brightest = max(brightest, float(grey.max()))
    check_brightest(brightest, f"mask folder {folder}")
    jpegs = sum(file.lower().endswith(JPEG_SUFFIXES) for file in files)
    return MaskSurvey(len(files), positions, white, brightest, jpegs)
