"""LPIPS: distance between deep features (Zhang et al. 2018, https://arxiv.org/abs/1801.03924)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import lpips
import torch
from torch import Tensor, nn
from torchvision.models import AlexNet_Weights, VGG16_Weights

from inpaintzoo.files.published import published_file, read_state
from inpaintzoo.metrics.base import ImageMetric, check_pictures
from inpaintzoo.metrics.extractors import Extractor
from inpaintzoo.types import WeightsError

_BACKBONE_URL = {"alex": AlexNet_Weights.IMAGENET1K_V1.url, "vgg": VGG16_Weights.IMAGENET1K_V1.url}


class LPIPSNetwork(Extractor):
    """Backbone and heads of LPIPS.

    Args:
        net: the backbone.
        weights: local file with torchvision's ImageNet weights of the backbone, as in `LPIPS`.
    """

    def __init__(self, net: str, weights: str | Path | None = None) -> None:
        self.net = net
        self.weights = weights
        self.key = f"lpips_{net}:{weights or ''}"
        self.network: Any = None

    def prepare(self, what: str, device: torch.device) -> None:  # noqa: D102
        if self.network is None:
            owner = f"LPIPS(net={self.net!r})"
            file = published_file(_BACKBONE_URL[self.net], owner, self.weights)
            self.network = _network(self.net, read_state(file, owner))
        self.network.to(device)

    def __call__(self, images: Tensor) -> list[Tensor]:
        """Features of `(B, 3, H, W)` images in [0, 1]: `(B, C, h, w)` for each layer, of length 1 over the channels."""
        layers = self.network.net(self.network.scaling_layer(2 * images - 1))
        return [lpips.normalize_tensor(layer) for layer in layers]

    def distance(self, a: Sequence[Tensor], b: Sequence[Tensor]) -> Tensor:
        """Zhang et al. 2018, equation 1: `(B,)` distances between features of two batches."""
        heads = zip(self.network.lins, a, b, strict=True)
        terms = [head((x - y) ** 2).mean(dim=(2, 3)) for head, x, y in heads]
        return sum(terms, start=torch.zeros_like(terms[0])).flatten()


class LPIPS(ImageMetric):
    """Learned perceptual distance, version 0.1, with the published linear heads, over the frame.

    LaMa reports the VGG form and MAT the AlexNet form; they are different numbers. Unlike pixel metrics it runs on
    whole batches in float32, so its last digits may depend on the batch.

    Args:
        net: the backbone whose features are compared.
        weights: local file with torchvision's ImageNet weights of the backbone; without one, torch hub's cache is
            used, and filled if necessary.
    """

    better = "lower"
    pretrained = True
    extractor: LPIPSNetwork

    def __init__(self, net: Literal["alex", "vgg"] = "alex", weights: str | Path | None = None) -> None:
        if net not in _BACKBONE_URL:
            raise ValueError(f"LPIPS: net must be one of {', '.join(_BACKBONE_URL)}, got {net!r}")
        self.net = net
        self.extractor = LPIPSNetwork(net, weights)
        self.name = f"lpips_{net}"

    @property
    def definition(self) -> str:
        """Version and backbone."""
        return f"LPIPS 0.1, {self.net} backbone of torchvision, published linear heads"

    def __call__(self, prediction: Tensor, image: Tensor, mask: Tensor) -> Tensor:
        """One distance per image; arguments as in `ImageMetric`."""
        check_pictures(prediction, image, mask)
        self.prepare(prediction.device)  # it may have changed
        return self.extractor.distance(self.extractor(prediction.float()), self.extractor(image.float()))


def _network(net: str, state: dict[str, Any]) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package calls torchvision with deprecated arguments
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
