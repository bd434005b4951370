"""inpaintzoo: a Lightning model zoo for image inpainting.

Its public names are those of `inpaintzoo.exports`, and that is the whole registry: a config names classes by their
short class names. All are imported when the first of them is asked for; but what it takes to use a model comes alone,
since training's libraries take seconds.
"""

from typing import TYPE_CHECKING

from inpaintzoo import moved as _moved  # noqa: F401  (old module names keep working)
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
