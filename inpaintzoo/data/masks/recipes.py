"""Mask generators from their recipes, as manifests hold them.

A recipe names its classes: those of this package by their short names, a user's own by class path. They are looked up
among the classes that are imported, and nothing is imported for a recipe: a manifest comes from elsewhere.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from inpaintzoo.data.masks.base import MaskGenerator
from inpaintzoo.types import DataError


def mask_classes() -> dict[str, type[MaskGenerator]]:
    """Every imported mask class that can be built from a recipe, by its name in recipes.

    Classes defined inside a function are left out, as no other process could find them.
    """
    kinds: list[type[Any]] = [MaskGenerator]
    for kind in kinds:  # which grows
        kinds += kind.__subclasses__()
    found = {
        kind.recipe_name(): kind for kind in kinds if not inspect.isabstract(kind) and "<" not in kind.__qualname__
    }
    # The rest of the package has adapters such as PinnedMasks, which recipes cannot describe.
    return {name: kind for name, kind in sorted(found.items()) if not name.startswith("inpaintzoo.")}


def mask_from_recipe(recipe: dict[str, Any]) -> MaskGenerator:
    """Build the generator that `MaskGenerator.recipe` described.

    Args:
        recipe: `{"class": name, "args": {...}}`; arguments may hold recipes too.

    Raises:
        DataError: Not a recipe, a class that is not imported, or arguments that the class does not take.
    """
    kind = recipe_classes(recipe)[recipe["class"]]
    arguments = {key: _built(value) for key, value in recipe["args"].items()}
    try:
        return kind(**arguments)
    except DataError:
        raise
    except Exception as error:  # a constructor's arguments come from the file
        raise DataError(f"mask recipe for {recipe['class']}: {error}") from error


def recipe_classes(recipe: dict[str, Any]) -> dict[str, type[MaskGenerator]]:
    """The classes that a recipe names, inner recipes included.

    Raises:
        DataError: Not a recipe, or a class that is not imported.
    """
    known, named = mask_classes(), {}
    for name in _names(recipe):
        if name not in known:
            module = name.rpartition(".")[0]
            own = f"if it is your own, import its module first, on the command line with --import {module}"
            remedy = own if "." in name else f"known are {', '.join(known)}"
            raise DataError(f"mask recipe: unknown class {name!r}; {remedy}")
        named[name] = known[name]
    return named


def _names(recipe: Any) -> Iterator[str]:
    if not _is_recipe(recipe):
        raise DataError(f'a mask recipe must be {{"class": name, "args": {{...}}}}, got {recipe!r}')
    yield recipe["class"]
    for value in recipe["args"].values():
        for inner in value if isinstance(value, list) else [value]:
            if _is_recipe(inner):
                yield from _names(inner)


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
