"""Using a model: a picture of any kind and size in; the same picture, with its hole filled, out.

A `Predictor` reads a picture and its hole (`holes`), plans which parts to show the network (`planning`, `memory`),
fills them (`filling`) and pastes them; `tasks` are files to fill. `FolderFill` (`folders`) pairs the pictures of a
folder with their masks and continues where an earlier run stopped (`ledger`).
"""

from inpaintzoo.predictor.folders import FolderFill
from inpaintzoo.predictor.predictor import Predictor
from inpaintzoo.predictor.tasks import FileResult, FileTask, JpegWarning, PredictorWarning
from inpaintzoo.types import Strategy

__all__ = ["FileResult", "FileTask", "FolderFill", "JpegWarning", "Predictor", "PredictorWarning", "Strategy"]
