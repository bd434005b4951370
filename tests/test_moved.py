"""Modules under their old names."""

import importlib
import sys

import pytest

from inpaintzoo.moved import MOVED


@pytest.mark.parametrize("old", MOVED)
def test_the_old_name_imports_the_same_things_and_warns(old):
    sys.modules.pop(f"inpaintzoo.{old}", None)
    with pytest.warns(DeprecationWarning, match=f"inpaintzoo.{old} has moved to inpaintzoo.{MOVED[old]}"):
        moved = importlib.import_module(f"inpaintzoo.{old}")
    new = importlib.import_module(f"inpaintzoo.{MOVED[old]}")
    names = [name for name in vars(new) if not name.startswith("_")]
    assert names and all(getattr(moved, name) is getattr(new, name) for name in names)
