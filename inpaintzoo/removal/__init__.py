"""Object removal: point at an object, and the picture without it comes back."""

from inpaintzoo.removal.boxes import DetectedBoxes
from inpaintzoo.removal.grabcut import GrabCut
from inpaintzoo.removal.instance_map import InstanceMap
from inpaintzoo.removal.mask_rcnn import MaskRCNN
from inpaintzoo.removal.remover import OpenPicture, Removal, Remover
from inpaintzoo.removal.sam import SAM
from inpaintzoo.removal.segmenter import Instance, Prompt, Segmentation, Segmenter

__all__ = [
    "SAM",
    "DetectedBoxes",
    "GrabCut",
    "Instance",
    "InstanceMap",
    "MaskRCNN",
    "OpenPicture",
    "Prompt",
    "Removal",
    "Remover",
    "Segmentation",
    "Segmenter",
]
