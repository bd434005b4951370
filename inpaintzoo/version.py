"""The version, and those of the packages that results depend on."""

from __future__ import annotations

import platform

__version__ = "0.1.0"

PACKAGES = (
    "inpaintzoo",
    "torch",
    "torchvision",
    "lightning",
    "torch-fidelity",
    "lpips",
    "scikit-image",
    "scikit-learn",
    "scipy",
    "timm",
    "kornia",
    "numpy",
    "pillow",
)


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that results depend on; `not installed` for one that is missing."""
    from importlib.metadata import distributions  # takes 20 ms, which a reader of the help need not wait for

    found = {"python": platform.python_version()}
    for name in PACKAGES:
        found[name] = next((one.version for one in distributions(name=name)), "not installed")
    return found
