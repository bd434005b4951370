"""Packages that import their public names when one is first used, so that small commands start at once."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from typing import Any


def exports_of(
    module: str, alone: Mapping[str, str] | None = None
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` for a package whose public names are listed in one of its modules.

    The first name that is used imports that module, and all other names with it, because configs can name only classes
    that are imported. The package's modules are found too.

    Args:
        module: Re-exports the names, in `__all__`.
        alone: Names that are imported without the others, with the modules that define them.
    """
    package = module.rpartition(".")[0]

    def get(name: str) -> Any:
        if alone is not None and name in alone:
            return getattr(importlib.import_module(alone[name]), name)
        # Tools look for names such as __path__ or __wrapped__ and expect none.
        if not name.startswith("_") or name == "__all__":
            # `from package import module` asks here before it looks for the module.
            if importlib.util.find_spec(f"{package}.{name}") is not None:
                return importlib.import_module(f"{package}.{name}")
            listed = importlib.import_module(module)
            if name in ("__all__", *listed.__all__):
                return getattr(listed, name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return get, lambda: list(importlib.import_module(module).__all__)
