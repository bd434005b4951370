"""Modules that have moved: until version 0.3 the old names still import, with a deprecation warning."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from types import ModuleType

_RUN, _REPORT = "contenders cost pairing pairs predictions processes runner store", "bootstrap charts comparison"
MOVED = {
    "bins": "ops",
    "cli": "commands",
    "labels": "data.labels.needs",
    "listing": "models.catalogue",
    "modes": "ops",
    "rebuildable": "layers.rebuildable",
    "layers.attention_tiles": "layers.attention.tiles",
    "layers.contextual": "layers.attention.contextual",
    "layers.guidance": "layers.attention.guidance",
    "layers.tiled_attention": "layers.attention.operator",
    "data.classes": "data.labels.classes",
    "data.images": "pictures.images",
    "teachers.files": "files.published",
    "weights.conversion": "models.released",
    **{f"benchmark.{name}": f"benchmark.run.{name}" for name in _RUN.split()},
    **{f"benchmark.{name}": f"benchmark.report.{name}" for name in _REPORT.split()},
    "benchmark.judges": "benchmark.run.fitting",
    "benchmark.protocol": "benchmark.protocols.protocol",
    "benchmark.published": "benchmark.protocols.paper_tables",
}
"""Old and new names of public modules, without the leading `inpaintzoo.`."""


class MovedModules(MetaPathFinder, Loader):
    """Imports a moved module under its old name, with a warning."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Handle the names in `MOVED`."""
        return spec_from_loader(name, self) if name.removeprefix("inpaintzoo.") in MOVED else None

    def exec_module(self, module: ModuleType) -> None:
        """Copy the new module's names into the old one."""
        old, new = module.__name__, f"inpaintzoo.{MOVED[module.__name__.removeprefix('inpaintzoo.')]}"
        warnings.warn(f"{old} has moved to {new}; import it from there", DeprecationWarning, stacklevel=2)
        names = vars(importlib.import_module(new))
        vars(module).update({name: value for name, value in names.items() if not name.startswith("__")})


sys.meta_path.append(MovedModules())
