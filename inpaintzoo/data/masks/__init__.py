"""Mask generators: which part of a picture is hole.

A generator draws a mask of any size using only the random numbers it is given, so the same seed, epoch and index give
the same mask whatever the number of workers or ranks.
"""

import warnings
from typing import Any

from inpaintzoo.data.masks.base import MaskGenerator
from inpaintzoo.data.masks.files import MaskFolder
from inpaintzoo.data.masks.mixed import LimitedMask, MixedMasks
from inpaintzoo.data.masks.recipes import mask_classes, mask_from_recipe
from inpaintzoo.data.masks.shapes import CentreSquare, PENNetSquare, RandomRectangles
from inpaintzoo.data.masks.strokes import FreeForm, LaMaStrokes, SquareFreeForm

__all__ = [
    "CentreSquare",
    "FreeForm",
    "LaMaStrokes",
    "LimitedMask",
    "MaskFolder",
    "MaskGenerator",
    "MixedMasks",
    "PENNetSquare",
    "RandomRectangles",
    "SquareFreeForm",
    "mask_classes",
    "mask_from_recipe",
]


def __getattr__(name: str) -> Any:
    if name == "MASK_CLASSES":  # until version 0.3
        warnings.warn("MASK_CLASSES lacks a user's own classes; call mask_classes()", DeprecationWarning, stacklevel=2)
        return mask_classes()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
