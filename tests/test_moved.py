"""Names of version 0.1, under which everything still imports."""

import importlib
import sys
import warnings
from pathlib import Path
from types import ModuleType

import pytest

from inpaintzoo.moved import MOVED, REMOVED, RENAMED

# Modules, and the public classes, functions and types defined in them, before the rooms were built.
OLD = dict(line.split(":") for line in (Path(__file__).parent / "old_names.txt").read_text().splitlines())


def fresh(module):
    sys.modules.pop(module, None)
    return importlib.import_module(module)


@pytest.mark.parametrize("old", MOVED)
def test_a_moved_module_imports_the_same_things_and_warns(old):
    with pytest.warns(DeprecationWarning, match=f"inpaintzoo.{old} has moved to inpaintzoo.{MOVED[old]}"):
        moved = fresh(f"inpaintzoo.{old}")
    new = importlib.import_module(f"inpaintzoo.{MOVED[old]}")
    names = [name for name, value in vars(new).items() if not (name.startswith("_") or isinstance(value, ModuleType))]
    assert names and all(getattr(moved, name) is getattr(new, name) for name in names)


@pytest.mark.parametrize("module", OLD)
def test_every_old_name_resolves_or_says_what_to_use(module):
    if module.removeprefix("inpaintzoo.") in REMOVED:
        with pytest.raises(ImportError, match=f"{module} was removed: "):
            importlib.import_module(module)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        imported = importlib.import_module(module)
        for name in OLD[module].split():
            if f"{module}.{name}".removeprefix("inpaintzoo.") in REMOVED:
                with pytest.raises(ImportError, match=f"{module}.{name} was removed: "):
                    getattr(imported, name)
            else:
                assert getattr(imported, name) is not None


@pytest.mark.parametrize("old", RENAMED)
def test_a_renamed_thing_is_the_new_one_and_warns(old):
    module, _, name = old.rpartition(".")
    new_module, _, new_name = RENAMED[old].rpartition(".")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        had = importlib.import_module(f"inpaintzoo.{module}")
    with pytest.warns(DeprecationWarning, match=f"inpaintzoo.{old} is now inpaintzoo.{RENAMED[old]}; use that"):
        found = getattr(had, name)
    assert found is getattr(importlib.import_module(f"inpaintzoo.{new_module}"), new_name)


def test_removed_names_say_so_in_from_imports():
    with pytest.raises(ImportError, match=r"inpaintzoo\.teachers\.TagClassifier was removed: the training of"):
        from inpaintzoo.teachers import TagClassifier  # noqa: F401
    with pytest.raises(ImportError, match=r"inpaintzoo\.teachers\.training was removed: the training of the built-in"):
        from inpaintzoo.teachers import training  # noqa: F401


def test_other_names_are_attribute_errors():
    from inpaintzoo import layers, teachers

    for module in (layers, teachers, importlib.import_module("inpaintzoo.data.transforms")):
        with pytest.raises(AttributeError, match=f"module '{module.__name__}' has no attribute 'Nothing'"):
            module.Nothing  # noqa: B018
