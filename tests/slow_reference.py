"""Makes `benchmarks/reference` importable from the tests."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

from places import ROOT

_FOLDER = ROOT / "benchmarks" / "reference"


def slow_reference(name: str) -> ModuleType:
    """The module `benchmarks/reference/<name>.py`."""
    spec = importlib.util.spec_from_file_location(f"slow_reference_{name}", _FOLDER / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
