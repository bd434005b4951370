"""Mask generators: which part of a picture is hole.

A generator draws a mask of any size using only the random numbers it is given, so the same seed, epoch and index give
the same mask whatever the number of workers or ranks.
"""

from inpaintzoo.data.masks.base import MaskGenerator
from inpaintzoo.data.masks.files import MaskFolder
from inpaintzoo.data.masks.mixed import LimitedMask, MixedMasks
from inpaintzoo.data.masks.recipes import mask_classes, mask_from_recipe
from inpaintzoo.data.masks.shapes import CentreSquare, PENNetSquare, RandomRectangles
from inpaintzoo.data.masks.strokes import FreeForm, LaMaStrokes, SquareFreeForm

MASK_CLASSES = mask_classes()
"""The mask classes of this package by name; `mask_classes` also finds a user's own."""

__all__ = [
    "MASK_CLASSES",
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
