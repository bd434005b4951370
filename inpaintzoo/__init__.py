"""inpaintzoo: a Lightning model zoo for image inpainting.

The public names are those of `inpaintzoo.exports`; there is no other registry, and a config can name any of these
classes by its short name. Using one of them imports all, except for the few names that are enough to use a model: these
are imported alone, because the libraries for training take seconds to import.
"""

from typing import TYPE_CHECKING

from inpaintzoo import moved as _moved  # noqa: F401  (old module names still import)
from inpaintzoo.lazy import exports_of
from inpaintzoo.version import __version__ as __version__

if TYPE_CHECKING:
    from inpaintzoo.exports import *  # noqa: F403
else:
    __getattr__, __dir__ = exports_of(
        "inpaintzoo.exports",
        alone={
            **dict.fromkeys(("Predictor", "PredictorWarning"), "inpaintzoo.predictor"),
            **dict.fromkeys(("load_model", "save_model"), "inpaintzoo.weights"),
            **dict.fromkeys(("ConfigError", "DataError", "InpaintzooError", "WeightsError"), "inpaintzoo.types"),
            "list_models": "inpaintzoo.models.catalogue",
        },
    )
