"""Where the zoo keeps what it fetched or made once."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """`$INPAINTZOO_CACHE`, or `inpaintzoo` in the user's cache folder."""
    if own := os.environ.get("INPAINTZOO_CACHE"):
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "inpaintzoo"
