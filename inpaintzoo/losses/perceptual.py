"""Perceptual and style losses on the features of a VGG network that was trained on ImageNet.

Sources:
    Johnson et al. 2016, https://arxiv.org/abs/1603.08155; Gatys et al. 2016 (Gram matrices);
    Liu et al. 2018, https://arxiv.org/abs/1804.07723 (L1 of both, on the prediction and on the composite);
    VGG, Simonyan and Zisserman 2015, https://arxiv.org/abs/1409.1556, with torchvision's weights.

Cost: every picture takes one VGG forward pass and, except for the truth, one backward pass to the input. At 256x256 a
forward pass is 24 GMAC up to `relu5_1` of VGG19 and 12 GMAC up to `pool3` of VGG16: the network ends at the deepest
layer in use. `Perceptual` and `Style` as two losses pay twice, `PerceptualStyle` once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from inpaintzoo.files.published import load_state, published_file, read_state
from inpaintzoo.losses.base import Frozen, Loss, at_least_float32
from inpaintzoo.losses.reconstruction import Pictures, select_pictures
from inpaintzoo.ops import IMAGENET_MEAN, IMAGENET_STD
from inpaintzoo.teachers.base import Teacher
from inpaintzoo.teachers.random_weights import warn_random
from inpaintzoo.types import Batch, Output, WeightsError
from inpaintzoo.words import some

Architecture = Literal["vgg16", "vgg19"]

_CONVOLUTIONS: dict[str, tuple[int, ...]] = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
_WIDTHS = (64, 128, 256, 512, 512)
_FIRST_OF_BLOCKS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")


# -- the network -----------------------------------------------------------------------------------------------------


def layer_names(architecture: Architecture) -> list[str]:
    """The layers in order: `conv1_1`, `relu1_1`, ..., `pool1`, `conv2_1`, ...; positions are torchvision's."""
    names = []
    for block, count in enumerate(_CONVOLUTIONS[architecture], start=1):
        for index in range(1, count + 1):
            names += [f"conv{block}_{index}", f"relu{block}_{index}"]
        names.append(f"pool{block}")
    return names


class VGGFeatures(nn.Module):
    """The features of a VGG network at chosen layers; it ends at the deepest of them.

    Args:
        architecture: `vgg16` or `vgg19`, the ones without batch normalisation.
        layers: names such as `relu1_1` to `relu5_3` (VGG16) or `relu5_4` (VGG19); `conv…` and `pool1` to `pool5` too.
        weights: `torchvision`: the ImageNet weights, from torch hub's cache or downloaded into it; a path: a local file
            with torchvision's names (`.pth`, or `.safetensors`; the `features.*` part is enough); None: random
            features, the same in every process, for tests only; it warns.
        normalise: standardise the input by ImageNet's mean and deviation, as the weights expect. SPN's released code
            does not.

    Raises:
        ValueError: an unknown layer, a repeated layer, or no layers.
        WeightsError: the weights cannot be found or do not fit.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        architecture: Architecture = "vgg19",
        layers: tuple[str, ...] = _FIRST_OF_BLOCKS,
        weights: str | None = "torchvision",
        normalise: bool = True,
    ) -> None:
        super().__init__()
        names = layer_names(architecture)
        _check_layers(layers, architecture, names)
        self.layers = tuple(layers)
        self.normalise = normalise
        self.names = names[: 1 + max(names.index(layer) for layer in layers)]
        # Without storage at first: default initialisation would cost time and draw from the global random state.
        with torch.device("meta"):
            self.features = _stack(self.names)
        _load_weights(self.features, architecture, weights)
        # Constants made in each pass, as `ops.normalise` does, would be copied to the GPU each time and wait for it.
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=False)
        self.eval().requires_grad_(False)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Features of `(B, 3, H, W)` in [0, 1], in the order of `layers`."""
        hidden = (image - self.mean) / self.std if self.normalise else image
        found: dict[str, Tensor] = {}
        for name, layer in zip(self.names, self.features, strict=True):
            hidden = layer(hidden)
            if name in self.layers:
                found[name] = hidden
        return [found[name] for name in self.layers]


def _check_layers(layers: Sequence[str], architecture: str, names: Sequence[str]) -> None:
    if isinstance(layers, str) or not layers or len(set(layers)) < len(layers):
        raise ValueError(f"layers must be a list of one or more different layer names, got {layers!r}")
    for layer in layers:
        if layer not in names:
            raise ValueError(f"{architecture} has no layer {layer!r}; it has {', '.join(names)}")


def _stack(names: Sequence[str]) -> nn.Sequential:
    """The layers of these names, at torchvision's positions."""
    modules: list[nn.Module] = []
    channels = 3
    for name in names:
        if name.startswith("conv"):
            width = _WIDTHS[int(name[4]) - 1]
            modules.append(nn.Conv2d(channels, width, kernel_size=3, padding=1))
            channels = width
        else:
            # Not in place, which would overwrite the features of a `conv` layer.
            modules.append(nn.ReLU() if name.startswith("relu") else nn.MaxPool2d(2))
    return nn.Sequential(*modules)


# -- its weights -----------------------------------------------------------------------------------------------------


def _load_weights(features: nn.Sequential, architecture: Architecture, weights: str | None) -> None:
    """Load weights into the truncated network."""
    if weights is None:
        warn_random(architecture)
        features.load_state_dict(_random(features), assign=True)
        return
    url = torchvision.models.get_model_weights(architecture)["IMAGENET1K_V1"].url
    file = published_file(url, architecture, None if weights == "torchvision" else weights)
    state, names = read_state(file, architecture), layer_names(architecture)
    convolutions = [f"features.{position}" for position, name in enumerate(names) if name.startswith("conv")]
    known = {f"{convolution}.{kind}" for convolution in convolutions for kind in ("weight", "bias")}
    unknown = [key for key in state if key not in known and not key.startswith("classifier.")]
    if unknown:  # VGG16 and VGG19 share their first layers; the ones after the last used layer differ
        raise WeightsError(
            f"{architecture}: {file} does not fit: {len(unknown)} of its tensors are unknown ({some(unknown)}); is it "
            f"another network, or the variant with batch norm?"
        )
    wanted = {key: state[f"features.{key}"] for key in features.state_dict() if f"features.{key}" in state}
    load_state(features, wanted, f"{architecture}: {file}")


def _random(features: nn.Sequential) -> dict[str, Tensor]:
    """He initialisation from a fixed seed, so that all processes agree; no draw from the global random state."""
    generator = torch.Generator().manual_seed(0)
    state = {}
    for name, parameter in features.state_dict().items():
        if name.endswith("bias"):
            state[name] = torch.zeros(parameter.shape)
        else:
            fan_in = math.prod(parameter.shape[1:])
            state[name] = torch.randn(parameter.shape, generator=generator) * math.sqrt(2 / fan_in)
    return state


# -- arithmetic ------------------------------------------------------------------------------------------------------


def feature_distance(fake: Sequence[Tensor], real: Sequence[Tensor], layer_weights: Sequence[float]) -> Tensor:
    """Weighted sum over layers of the mean absolute difference of `(B, C, H, W)` features, a scalar."""
    layers = zip(layer_weights, fake, real, strict=True)
    return torch.stack([w * F.l1_loss(at_least_float32(f), at_least_float32(r)) for w, f, r in layers]).sum()


def gram(features: Tensor) -> Tensor:
    """Gram matrices `(B, C, C)` of `(B, C, H, W)`, divided by C * H * W; at least float32, also under autocast."""
    with torch.autocast(features.device.type, enabled=False):
        flat = at_least_float32(features).flatten(2)
        return flat @ flat.transpose(1, 2) / (flat.shape[1] * flat.shape[2])


def style_distance(fake: Sequence[Tensor], real: Sequence[Tensor], layer_weights: Sequence[float]) -> Tensor:
    """Weighted sum over layers of the mean absolute difference of Gram matrices (Liu et al. 2018), a scalar."""
    return feature_distance([gram(f) for f in fake], [gram(r) for r in real], layer_weights)


# -- losses ----------------------------------------------------------------------------------------------------------


def layer_count(network: VGGFeatures | Teacher) -> int:
    """The number of features that a network returns."""
    return len(network.layers if isinstance(network, VGGFeatures) else network.channels)


class _VGGLoss(Loss):
    """Compares VGG features of the output's pictures with those of the truth; a subclass says how."""

    def __init__(
        self,
        weight: float,
        architecture: Architecture,
        layers: tuple[str, ...],
        layer_weights: tuple[float, ...] | None,
        weights: str | None,
        normalise: bool,
        which: Pictures,
        network: VGGFeatures | Teacher | None = None,
    ) -> None:
        super().__init__(weight)
        count = len(layers) if network is None else layer_count(network)
        if layer_weights is not None and (len(layer_weights) != count or min(layer_weights) < 0):
            raise ValueError(
                f"{type(self).__name__}: layer_weights must give one number of 0 or more for each of the "
                f"{count} layers, got {layer_weights}"
            )
        self.layer_weights = tuple(layer_weights) if layer_weights is not None else (1.0,) * count
        self.which: Pictures = which
        if network is None:
            network = VGGFeatures(architecture, layers, weights, normalise)
        self.teacher = Frozen(network)

    def compare(self, fake: list[Tensor], real: list[Tensor]) -> Tensor:
        """The weighted distance of two lists of features, a scalar."""
        raise NotImplementedError

    def forward(self, output: Output, batch: Batch) -> Tensor:
        """The weighted loss as a scalar: the sum over the pictures that `which` selects.

        Raises:
            ConfigError: the output has no such picture.
        """
        pictures = select_pictures(output, batch, self.which)
        with torch.no_grad():
            real = self.teacher(batch["image"])
        return torch.stack([self.compare(self.teacher(picture), real) for picture in pictures]).sum()


class Perceptual(_VGGLoss):
    """L1 of a frozen network's features, VGG's by default.

    Args:
        weight: factor, 0 or more.
        architecture: `vgg16` or `vgg19`.
        layers: see `VGGFeatures`; by default the first of each block, as SPN.
        layer_weights: one per layer; None: 1 each (a sum over layers). SPN's code: 1/32, 1/16, 1/8, 1/4, 1; its paper's
            mean over five layers: 0.2 each.
        weights: `torchvision`, a path, or None for random features; see `VGGFeatures`.
        normalise: standardise the input by ImageNet's statistics.
        which: pictures to compare, see `select_pictures`; several are summed, and each costs one more pass.
        network: a `Teacher` or `VGGFeatures` to use instead; leave out `architecture`, `layers`, `weights` and
            `normalise` then.
    """

    def __init__(
        self,
        weight: float = 1.0,
        architecture: Architecture = "vgg19",
        layers: tuple[str, ...] = _FIRST_OF_BLOCKS,
        layer_weights: tuple[float, ...] | None = None,
        weights: str | None = "torchvision",
        normalise: bool = True,
        which: Pictures = "prediction",
        network: VGGFeatures | Teacher | None = None,
    ) -> None:
        described = (architecture, tuple(layers), weights, normalise)
        if network is not None and described != ("vgg19", _FIRST_OF_BLOCKS, "torchvision", True):
            raise ValueError(
                f"Perceptual: network is {type(network).__name__}, so architecture, layers, weights and normalise must "
                f"be left out; give them to a VGGFeatures as the network, or leave out the network"
            )
        super().__init__(weight, architecture, layers, layer_weights, weights, normalise, which, network)

    def compare(self, fake: list[Tensor], real: list[Tensor]) -> Tensor:
        """The weighted distance of two lists of features, a scalar."""
        return self.weight * feature_distance(fake, real, self.layer_weights)


class Style(_VGGLoss):
    """L1 of the Gram matrices of VGG features.

    Args:
        weight: factor, 0 or more; Liu et al.'s is 120, on both pictures, with VGG16's `pool1` to `pool3`.
        architecture: `vgg16` or `vgg19`.
        layers: see `VGGFeatures`.
        layer_weights: one per layer; None: 1 each (a sum over layers).
        weights: `torchvision`, a path, or None for random features; see `VGGFeatures`.
        normalise: standardise the input by ImageNet's statistics.
        which: pictures to compare, see `select_pictures`; several are summed, and each costs one more VGG pass.
    """

    def __init__(
        self,
        weight: float = 1.0,
        architecture: Architecture = "vgg16",
        layers: tuple[str, ...] = ("pool1", "pool2", "pool3"),
        layer_weights: tuple[float, ...] | None = None,
        weights: str | None = "torchvision",
        normalise: bool = True,
        which: Pictures = "prediction",
    ) -> None:
        super().__init__(weight, architecture, layers, layer_weights, weights, normalise, which)

    def compare(self, fake: list[Tensor], real: list[Tensor]) -> Tensor:
        """The weighted distance of two lists of features, a scalar."""
        return self.weight * style_distance(fake, real, self.layer_weights)


class PerceptualStyle(_VGGLoss):
    """`Perceptual` and `Style` on the same layers and pictures, at the cost of one; logged as one sum.

    The defaults are those of Liu et al. 2018.

    Args:
        weight: factor of the perceptual part, 0 or more.
        style_weight: factor of the style part, 0 or more.
        architecture: `vgg16` or `vgg19`.
        layers: see `VGGFeatures`.
        layer_weights: one per layer, for both parts; None: 1 each (a sum over layers).
        weights: `torchvision`, a path, or None for random features; see `VGGFeatures`.
        normalise: standardise the input by ImageNet's statistics.
        which: pictures to compare, see `select_pictures`; several are summed, and each costs one more VGG pass.
    """

    def __init__(
        self,
        weight: float = 0.05,
        style_weight: float = 120.0,
        architecture: Architecture = "vgg16",
        layers: tuple[str, ...] = ("pool1", "pool2", "pool3"),
        layer_weights: tuple[float, ...] | None = None,
        weights: str | None = "torchvision",
        normalise: bool = True,
        which: Pictures = "both",
    ) -> None:
        if style_weight < 0:
            raise ValueError(f"PerceptualStyle: style_weight must be 0 or more, got {style_weight}")
        super().__init__(weight, architecture, layers, layer_weights, weights, normalise, which)
        self.style_weight = style_weight

    @property
    def active(self) -> bool:  # noqa: D102
        return self.weight > 0 or self.style_weight > 0

    def compare(self, fake: list[Tensor], real: list[Tensor]) -> Tensor:
        """The weighted distance of two lists of features, a scalar."""
        loss = fake[0].new_zeros(())
        if self.weight > 0:
            loss = loss + self.weight * feature_distance(fake, real, self.layer_weights)
        if self.style_weight > 0:
            loss = loss + self.style_weight * style_distance(fake, real, self.layer_weights)
        return loss
