"""Mask generators from their recipes, as manifests hold them."""

from __future__ import annotations

from typing import Any

from inpaintzoo.data.masks.base import MaskGenerator
from inpaintzoo.data.masks.files import MaskFolder
from inpaintzoo.data.masks.mixed import LimitedMask, MixedMasks
from inpaintzoo.data.masks.shapes import CentreSquare, PENNetSquare, RandomRectangles
from inpaintzoo.data.masks.strokes import FreeForm, LaMaStrokes, SquareFreeForm
from inpaintzoo.types import DataError

# All that a recipe may name: a manifest comes from elsewhere, and must not be able to import anything.
MASK_CLASSES: dict[str, type[MaskGenerator]] = {
    kind.__name__: kind
    for kind in (
        CentreSquare,
        RandomRectangles,
        PENNetSquare,
        FreeForm,
        SquareFreeForm,
        LaMaStrokes,
        MaskFolder,
        MixedMasks,
        LimitedMask,
    )
}


def mask_from_recipe(recipe: dict[str, Any]) -> MaskGenerator:
    """Build the generator that `MaskGenerator.recipe` described.

    Args:
        recipe: `{"class": name, "args": {...}}`, where arguments may hold recipes again.

    Raises:
        DataError: not a recipe, a class that is not one of `MASK_CLASSES`, or arguments it does not take.
    """
    require_known(recipe)
    name = recipe["class"]
    arguments = {key: _built(value) for key, value in recipe["args"].items()}
    try:
        return MASK_CLASSES[name](**arguments)
    except TypeError as error:
        raise DataError(f"mask recipe for {name}: {error}") from error


def require_known(recipe: dict[str, Any]) -> None:
    """Raise `DataError` if this is no recipe, or one inside it names a class that is not one of `MASK_CLASSES`."""
    if not _is_recipe(recipe):
        raise DataError(f'a mask recipe must be {{"class": name, "args": {{...}}}}, got {recipe!r}')
    if recipe["class"] not in MASK_CLASSES:
        raise DataError(f"mask recipe: unknown class {recipe['class']!r}; known are {', '.join(MASK_CLASSES)}")
    for value in recipe["args"].values():
        for inner in value if isinstance(value, list) else [value]:
            if _is_recipe(inner):
                require_known(inner)


def _built(value: Any) -> Any:
    if _is_recipe(value):
        return mask_from_recipe(value)
    return [_built(item) for item in value] if isinstance(value, list) else value


def _is_recipe(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and set(value) == {"class", "args"}
        and isinstance(value["class"], str)
        and isinstance(value["args"], dict)
    )
