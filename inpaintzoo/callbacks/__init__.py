"""Lightning callbacks."""

from inpaintzoo.callbacks.checkpoint import Checkpoints
from inpaintzoo.callbacks.comparison import CompareFills
from inpaintzoo.callbacks.ema import GeneratorEMA
from inpaintzoo.callbacks.images import ImageLogger
from inpaintzoo.callbacks.priors import PriorMaps
from inpaintzoo.callbacks.progress import RunProgress
from inpaintzoo.callbacks.pyramids import AttentionMaps, PyramidPictures
from inpaintzoo.callbacks.record import RunRecord
from inpaintzoo.callbacks.report import TestReport
from inpaintzoo.callbacks.schedule import LossSchedule
from inpaintzoo.callbacks.segmentation import ConfidencePlot, SegmentationMaps
from inpaintzoo.callbacks.stopping import StopAtSignal
from inpaintzoo.callbacks.writer import PredictionWriter

__all__ = [
    "AttentionMaps",
    "Checkpoints",
    "CompareFills",
    "ConfidencePlot",
    "GeneratorEMA",
    "ImageLogger",
    "LossSchedule",
    "PredictionWriter",
    "PriorMaps",
    "PyramidPictures",
    "RunProgress",
    "RunRecord",
    "SegmentationMaps",
    "StopAtSignal",
    "TestReport",
]
