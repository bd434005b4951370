"""The classes of the data sets that detectors are trained on, without background."""

from __future__ import annotations

from torchvision.models.detection import MaskRCNN_ResNet50_FPN_Weights

from inpaintzoo.data.labels.classes import VOCClasses

SCENE_THINGS = ("tree", "building", "fence", "pole", "car")
"""The classes of built-in scenes that have a shape of their own."""

_CATEGORIES = MaskRCNN_ResNet50_FPN_Weights.COCO_V1.meta["categories"]
_COCO = tuple(name for name in _CATEGORIES if name not in ("__background__", "N/A"))

CLASSES: dict[str, tuple[str, ...]] = {"voc": VOCClasses().names[1:], "coco": _COCO, "scenes": SCENE_THINGS}
