"""Packages that import their public names when one of them is asked for, so that small commands start at once."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from typing import Any


def exports_of(
    module: str, alone: Mapping[str, str] | None = None
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of a package whose public names a module of its own lists.

    The first of the names imports that module, and with it all of the others: configs name classes by what is imported.
    Modules of the package are found too.

    Args:
        module: it re-exports the names, in `__all__`.
        alone: names that are imported without the others, with the modules that have them.
    """
    package = module.rpartition(".")[0]

    def get(name: str) -> Any:
        if alone is not None and name in alone:
            return getattr(importlib.import_module(alone[name]), name)
        # Names such as __path__ or __wrapped__ are asked for by tools, which expect none.
        if name.startswith("_") and name != "__all__":
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        # Also `from package import module` asks here first.
        if importlib.util.find_spec(f"{package}.{name}") is not None:
            return importlib.import_module(f"{package}.{name}")
        listed = importlib.import_module(module)
        if name != "__all__" and name not in listed.__all__:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(listed, name)

    def names() -> list[str]:
        return list(importlib.import_module(module).__all__)

    return get, names
