"""The public names of the package."""

from inpaintzoo.data.folder import FolderData, FolderSource
from inpaintzoo.data.labels.classes import CityscapesClasses, LabelClasses, OutdoorScenesClasses, VOCClasses
from inpaintzoo.data.module import InpaintingData
from inpaintzoo.data.scenes import ScenesData, SceneSource
from inpaintzoo.data.source import ImageSource, Sample

__all__ = [
    "CityscapesClasses",
    "FolderData",
    "FolderSource",
    "ImageSource",
    "InpaintingData",
    "LabelClasses",
    "OutdoorScenesClasses",
    "Sample",
    "SceneSource",
    "ScenesData",
    "VOCClasses",
]
