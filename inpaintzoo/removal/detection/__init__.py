"""Object detection: MPSSD and its baselines, their training and their data."""

from inpaintzoo.removal.detection.data import COCOBoxes, DetectionData, SceneBoxes, VOCBoxes
from inpaintzoo.removal.detection.detector import Detector, read_detector
from inpaintzoo.removal.detection.network import FSSD, MPSSD, SSD, DetectionNetwork

__all__ = [
    "FSSD",
    "MPSSD",
    "SSD",
    "COCOBoxes",
    "DetectionData",
    "DetectionNetwork",
    "Detector",
    "SceneBoxes",
    "VOCBoxes",
    "read_detector",
]
