"""LPIPS: distance between deep features (Zhang et al. 2018, https://arxiv.org/abs/1801.03924)."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, Literal

import lpips
import torch
from torch import Tensor, nn
from torchvision.models import AlexNet_Weights, VGG16_Weights

from inpaintzoo.files.published import published_file, read_state
from inpaintzoo.metrics.base import ImageMetric, check_shapes
from inpaintzoo.types import WeightsError

_BACKBONE_URL = {"alex": AlexNet_Weights.IMAGENET1K_V1.url, "vgg": VGG16_Weights.IMAGENET1K_V1.url}


class LPIPS(ImageMetric):
    """Learned perceptual distance, version 0.1, with the published linear heads, over the frame.

    LaMa reports the VGG form and MAT the AlexNet form; they are different numbers. Unlike the metrics of pixels it
    runs on whole batches in float32, so its last digits may depend on the batch.

    Args:
        net: the backbone whose features are compared.
        weights: local file with torchvision's ImageNet weights of the backbone; without it torch hub's cache is
            looked at and, if need be, filled.
    """

    better = "lower"
    pretrained = True

    def __init__(self, net: Literal["alex", "vgg"] = "alex", weights: str | Path | None = None) -> None:
        if net not in _BACKBONE_URL:
            raise ValueError(f"LPIPS: net must be one of {', '.join(_BACKBONE_URL)}, got {net!r}")
        self.net = net
        self.weights = weights
        self.name = f"lpips_{net}"
        self._network: nn.Module | None = None

    @property
    def definition(self) -> str:
        """Version and backbone."""
        return f"LPIPS 0.1, {self.net} backbone of torchvision, published linear heads"

    def prepare(self, device: torch.device) -> None:
        """Load backbone and heads, once.

        Raises:
            WeightsError: the backbone's weights are missing and cannot be fetched, or do not fit.
        """
        if self._network is None:
            owner = f"LPIPS(net={self.net!r})"
            file = published_file(_BACKBONE_URL[self.net], owner, self.weights)
            self._network = _network(self.net, read_state(file, owner))
        self._network.to(device)

    def __call__(self, prediction: Tensor, image: Tensor, mask: Tensor) -> Tensor:
        """One distance an image; arguments as in `ImageMetric`."""
        check_shapes(prediction, image, mask)
        self.prepare(prediction.device)  # the device may have changed since
        assert self._network is not None
        return self._network(prediction.float(), image.float(), normalize=True).flatten()


def _network(net: str, state: dict[str, Any]) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package calls torchvision with arguments of old
        network = lpips.LPIPS(net=net, pnet_rand=True, verbose=False)
    # The package cuts torchvision's `features` into slices and keeps the layers' numbers.
    backbone = network.net.state_dict()
    names = {key: "features." + key.split(".", 1)[1] for key in backbone}
    misfits = [name for key, name in names.items() if name not in state or state[name].shape != backbone[key].shape]
    if misfits:
        raise WeightsError(
            f"LPIPS(net={net!r}): the weights are not torchvision's of this backbone ({misfits[0]} is missing or has "
            f"another shape); fetch {_BACKBONE_URL[net]}"
        )
    network.net.load_state_dict({key: state[name] for key, name in names.items()})
    return network.eval().requires_grad_(False)
