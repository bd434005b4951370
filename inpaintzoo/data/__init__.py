"""Pictures, masks and the data modules that pair them."""

from inpaintzoo.data.folder import FolderData, FolderSource
from inpaintzoo.data.module import InpaintingData
from inpaintzoo.data.scenes import ScenesData, SceneSource
from inpaintzoo.data.source import ImageSource, Sample

__all__ = ["FolderData", "FolderSource", "ImageSource", "InpaintingData", "Sample", "SceneSource", "ScenesData"]
