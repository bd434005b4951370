"""The public names of the package. Importing this module lets configs name classes by their short names."""

from inpaintzoo import callbacks, data, losses, metrics, models, teachers, weights
from inpaintzoo.adversary import Adversary, MultiScaleAdversary
from inpaintzoo.discriminators import Discriminator
from inpaintzoo.generator import Generator
from inpaintzoo.inpainter import Inpainter
from inpaintzoo.models.catalogue import list_models
from inpaintzoo.objectives import Objective
from inpaintzoo.predictor import Predictor, PredictorWarning
from inpaintzoo.types import (
    Batch,
    ConfigError,
    DataError,
    InpaintzooError,
    NonFiniteLossError,
    Output,
    PyramidOutput,
    WeightsError,
)
from inpaintzoo.version import __version__
from inpaintzoo.views import View
from inpaintzoo.weights import load_model, save_model

__all__ = [
    "Adversary",
    "Batch",
    "ConfigError",
    "DataError",
    "Discriminator",
    "Generator",
    "Inpainter",
    "InpaintzooError",
    "MultiScaleAdversary",
    "NonFiniteLossError",
    "Objective",
    "Output",
    "Predictor",
    "PredictorWarning",
    "PyramidOutput",
    "View",
    "WeightsError",
    "__version__",
    "callbacks",
    "data",
    "list_models",
    "load_model",
    "losses",
    "metrics",
    "models",
    "save_model",
    "teachers",
    "weights",
]
