"""Using a model: a picture of any kind and size in, the same picture out but for the hole."""

from inpaintzoo.predictor.folders import FolderFill
from inpaintzoo.predictor.planning import Strategy
from inpaintzoo.predictor.predictor import Predictor
from inpaintzoo.predictor.tasks import FileResult, FileTask, JpegWarning, PredictorWarning

__all__ = ["FileResult", "FileTask", "FolderFill", "JpegWarning", "Predictor", "PredictorWarning", "Strategy"]
