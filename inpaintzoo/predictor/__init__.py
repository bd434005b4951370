"""Using a model: a picture of any kind and size in, the same picture out but for the hole."""

from inpaintzoo.predictor.planning import Strategy
from inpaintzoo.predictor.predictor import Predictor
from inpaintzoo.predictor.tasks import FileResult, FileTask, PredictorWarning

__all__ = ["FileResult", "FileTask", "Predictor", "PredictorWarning", "Strategy"]
