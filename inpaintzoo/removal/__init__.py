"""Object removal: point at an object, and the picture without it comes back."""

from collections.abc import Callable

from inpaintzoo.removal.boxes import DetectedBoxes
from inpaintzoo.removal.grabcut import GrabCut
from inpaintzoo.removal.instance_map import InstanceMap
from inpaintzoo.removal.mask_rcnn import MaskRCNN
from inpaintzoo.removal.point_rend import PointRend
from inpaintzoo.removal.remover import OpenPicture, Removal, Remover
from inpaintzoo.removal.sam import SAM
from inpaintzoo.removal.segmenter import Instance, Prompt, Segmentation, Segmenter

__all__ = [
    "PRETRAINED",
    "SAM",
    "DetectedBoxes",
    "GrabCut",
    "Instance",
    "InstanceMap",
    "MaskRCNN",
    "OpenPicture",
    "PointRend",
    "Prompt",
    "Removal",
    "Remover",
    "Segmentation",
    "Segmenter",
]

PRETRAINED: dict[str, Callable[..., Segmenter]] = {
    "maskrcnn": MaskRCNN.pretrained,
    "pointrend": PointRend.pretrained,
    "mpssd": DetectedBoxes.pretrained,
    "sam": SAM.pretrained,
}
"""Segmenters with published weights, by their names on the command line; they take `weights` and `device`."""
