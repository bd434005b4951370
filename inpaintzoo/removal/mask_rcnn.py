"""Mask R-CNN: finds the objects of a picture, with COCO's 80 classes.

He, Gkioxari, Dollar, Girshick: "Mask R-CNN", ICCV 2017, https://arxiv.org/abs/1703.06870; network and weights are
torchvision's.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from inpaintzoo.files.published import published_file, read_file
from inpaintzoo.ops import evaluating, find_device
from inpaintzoo.removal.segmenter import Instance, Segmentation, Segmenter
from inpaintzoo.types import WeightsError

Version = Literal["v1", "v2"]


class InstanceDetector(Segmenter):
    """Finds the objects of a picture with a network in the form of torchvision's detectors.

    Args:
        network: maps a list of `(3, H, W)` in [0, 1] to a list of dictionaries with `masks` `(N, 1, H, W)` (bool, or in
            [0, 1]), `labels` and `scores`, as torchvision's do.
        classes: name of each label.
        threshold: instances with a smaller score do not count.
        device: where the network runs.
    """

    finds_all = True

    def __init__(
        self, network: nn.Module, classes: tuple[str, ...], threshold: float = 0.5, device: str = "auto"
    ) -> None:
        if not 0 <= threshold <= 1:
            raise ValueError(f"{type(self).__name__}: threshold must lie in 0..1, got {threshold}")
        self.device = find_device(device)
        self.network = network.to(self.device)
        self.classes = classes
        self.threshold = threshold

    def open(self, image: Tensor) -> Segmentation:
        """Find the instances of a picture, `(3, H, W)` in [0, 1]."""
        with torch.inference_mode(), evaluating(self.network):
            (found,) = self.network([image.to(self.device)])
        masks = (found["masks"][:, 0] > 0.5).cpu().numpy()
        instances = [
            Instance(np.ascontiguousarray(mask), self.classes[int(label)], float(score))
            for mask, label, score in zip(masks, found["labels"], found["scores"], strict=True)
            if score >= self.threshold and mask.any()
        ]
        return Segmentation((image.shape[1], image.shape[2]), instances)


class MaskRCNN(InstanceDetector):
    """Finds the objects of a picture; `MaskRCNN.pretrained()` has COCO's 80 classes."""

    @classmethod
    def pretrained(
        cls,
        version: Version = "v2",
        weights: str | Path | None = None,
        threshold: float = 0.5,
        device: str = "auto",
    ) -> MaskRCNN:
        """The ResNet-50 FPN with torchvision's weights for COCO, downloaded on first use (about 180 MB).

        Args:
            version: torchvision's first or its better second one.
            weights: path of a local copy of the file.
            threshold: see the class.
            device: see the class.

        Raises:
            WeightsError: the weights are not there and cannot be downloaded, or do not fit.
        """
        if version not in get_args(Version):
            raise ValueError(f"MaskRCNN: version must be 'v1' or 'v2', got {version!r}")
        from torchvision.models import detection  # here: it takes a second to import

        build, published = {
            "v1": (detection.maskrcnn_resnet50_fpn, detection.MaskRCNN_ResNet50_FPN_Weights.COCO_V1),
            "v2": (detection.maskrcnn_resnet50_fpn_v2, detection.MaskRCNN_ResNet50_FPN_V2_Weights.COCO_V1),
        }[version]
        owner = f"the segmenter MaskRCNN {version} (GrabCut needs no weights)"
        file = published_file(published.url, owner, weights)
        network = build(weights=None, weights_backbone=None)
        try:
            network.load_state_dict(read_file(file, owner))
        except RuntimeError as error:
            raise WeightsError(f"{owner}: the tensors of {file} are not those of {published.url}") from error
        return cls(network, tuple(published.meta["categories"]), threshold, device)
