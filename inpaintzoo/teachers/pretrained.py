"""Torchvision's classifiers, detectors and segmenters as teachers: other supervision, as in the paper's figure 8.

There the detector is YOLOv5 (COCO) and the segmenter HRNet (ADE20K); torchvision has neither, but ResNet-based ones
trained on COCO. All networks here begin with a ResNet, whose stem (before its pooling) and first two stages are used:
on the doubled image (the paper's equation 1) their features are exactly at strides 1, 2 and 4.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models import ResNet
from torchvision.ops import FrozenBatchNorm2d

from inpaintzoo.files.published import load_state, published_file, read_state
from inpaintzoo.ops import normalise
from inpaintzoo.teachers.asl import check_upsample
from inpaintzoo.teachers.base import Doubling, Teacher, check_image, double
from inpaintzoo.teachers.random_weights import random_state, warn_random
from inpaintzoo.types import WeightsError

TorchvisionNetwork = Literal[
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "fasterrcnn_resnet50_fpn",
    "maskrcnn_resnet50_fpn",
    "retinanet_resnet50_fpn",
    "fcn_resnet50",
    "deeplabv3_resnet50",
    "deeplabv3_resnet101",
]

_STAGES = ("conv1", "bn1", "layer1", "layer2")


class ResNetTrunk(nn.Module):
    """Stem and first two stages of a torchvision ResNet: features at strides 2, 4 and 8.

    Args:
        architecture: `resnet18` and so on.
        frozen_norm: use the frozen batch norm of torchvision's detectors, whose published weights need an epsilon
            of 0.
    """

    def __init__(self, architecture: str, frozen_norm: bool = False) -> None:
        super().__init__()
        norm = FrozenBatchNorm2d if frozen_norm else nn.BatchNorm2d
        with torch.device("meta"):  # the initial weights are replaced
            whole: ResNet = getattr(torchvision.models, architecture)(weights=None, norm_layer=norm)
        self.conv1, self.bn1 = whole.conv1, whole.bn1
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1, self.layer2 = whole.layer1, whole.layer2
        for module in self.modules():
            if isinstance(module, FrozenBatchNorm2d):
                module.eps = 0.0
        wide = 4 if architecture in ("resnet50", "resnet101") else 1  # bottleneck blocks
        self.channels = (64, 64 * wide, 128 * wide)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Features of a standardised `(B, 3, H, W)`, sides multiples of 8."""
        stem = torch.relu(self.bn1(self.conv1(image)))
        first = self.layer1(self.maxpool(stem))
        return [stem, first, self.layer2(first)]


class TorchvisionTeacher(Teacher):
    """Stem and two stages of a torchvision network.

    Args:
        network: `resnet…` classify (ImageNet), `…rcnn…` and `retinanet…` detect (COCO), `fcn…` and `deeplabv3…` segment
            (COCO images with the classes of Pascal VOC). `resnet18` and `resnet34` give 64, 64 and 128 channels, all
            others 64, 256 and 512.
        weights: `torchvision`: its default weights, from torch hub's cache or downloaded into it; a path: a file with
            torchvision's names; None: random weights, the same in every process, for tests; warns.
        upsample: how the image is doubled.

    Raises:
        ValueError: for an unknown network or way of doubling.
        WeightsError: the weights cannot be found or do not fit.
    """

    def __init__(
        self,
        network: TorchvisionNetwork = "resnet50",
        weights: str | None = "torchvision",
        upsample: Doubling = "bilinear",
    ) -> None:
        super().__init__()
        if network not in get_args(TorchvisionNetwork):
            raise ValueError(
                f"TorchvisionTeacher: network must be one of {', '.join(get_args(TorchvisionNetwork))}, got {network!r}"
            )
        check_upsample("TorchvisionTeacher", upsample)
        self.upsample = upsample
        architecture = next(part for part in network.split("_") if part.startswith("resnet"))
        self.network = ResNetTrunk(architecture, frozen_norm=network.endswith("_fpn"))
        self.channels = self.network.channels
        purpose = "classification of ImageNet" if network.startswith("resnet") else "segmentation on COCO"
        purpose = "detection on COCO" if network.endswith("_fpn") else purpose
        self.name = f"torchvision's {network} ({purpose}; the paper's teacher is the ASL TResNet-L)"
        self._load(network, weights)
        self.eval().requires_grad_(False)

    def _load(self, network: str, weights: str | None) -> None:
        owner = f"TorchvisionTeacher ({network})"
        if weights is None:
            warn_random(owner)
            self.name = f"torchvision's {network} with random weights, which teach nothing"
            self.network.load_state_dict(random_state(self.network, 0), assign=True)
            return
        url = torchvision.models.get_model_weights(network).DEFAULT.url
        file = published_file(url, owner, None if weights == "torchvision" else weights)
        load_state(self.network, _beginning(read_state(file, owner), network, f"{owner}: {file}"), f"{owner}: {file}")

    def forward(self, image: Tensor) -> list[Tensor]:
        """Features of `(B, 3, H, W)` in [0, 1] at strides 1, 2 and 4, all at least 0."""
        check_image("TorchvisionTeacher", image)
        return self.network(normalise(double(image, self.upsample)))


def _beginning(state: Mapping[str, Tensor], network: str, owner: str) -> dict[str, Tensor]:
    """The tensors of the stem and the first two stages, without the prefix that detectors and segmenters add."""
    prefix = "" if network.startswith("resnet") else "backbone.body." if network.endswith("_fpn") else "backbone."
    kept = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    kept = {key: value for key, value in kept.items() if key.split(".")[0] in _STAGES}
    if not kept:
        raise WeightsError(
            f"{owner} does not fit: none of its {len(state)} tensors is named {prefix}conv1.weight or the like"
        )
    return kept
