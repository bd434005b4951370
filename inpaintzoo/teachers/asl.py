"""The paper's teacher: TResNet-L, trained on OpenImages with the asymmetric loss, cut after its second stage.

Ridnik et al.: "Asymmetric Loss For Multi-Label Classification", https://arxiv.org/abs/2009.14119; "TResNet",
https://arxiv.org/abs/2003.13630. The network is timm's, the weights are the authors'.

SPN's equation 1 doubles the image first: the stem folds 4x4 pixels into channels, so that from a doubled image its
features lie at half the image's size. As in SPN's released code, the targets are those of the stem (doubled by
nearest), of the first stage and of the second: 76, 76 and 152 channels at strides 1, 2 and 4. That code resizes the
file once more, to twice the size; here the batch's image is doubled.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from inpaintzoo.files.published import check_fit, load_state, published_file, read_state
from inpaintzoo.layers.rebuildable import Rebuildable
from inpaintzoo.teachers.base import Doubling, Teacher, check_image, double
from inpaintzoo.types import WeightsError
from inpaintzoo.words import some

PUBLISHED = "https://miil-public-eu.oss-eu-central-1.aliyuncs.com/model-zoo/ASL/Open_ImagesV6_TRresNet_L_448.pth"
"""The authors' OpenImages weights; the state dict is under the key `model`."""

_AFTER_THE_CUT = ("body.layer3.", "body.layer4.", "head.")
_OURS = {"body.conv1.": "stem.", "body.layer1.": "first.", "body.layer2.": "second."}


class Trunk(Rebuildable):
    """The beginning of TResNet-L: stem, first stage (4 blocks) and second (5 blocks)."""

    channels = (76, 76, 152)

    def __init__(self) -> None:
        super().__init__()
        import timm  # here: importing it takes a second, and other teachers do not need it

        with torch.random.fork_rng(devices=[]):  # timm's initial weights are replaced anyway
            whole = timm.create_model("tresnet_l", pretrained=False, layers=[4, 5, 0, 0], num_classes=0)
        parts = (whole.get_submodule(f"body.{name}") for name in ("s2d", "conv1", "layer1", "layer2"))
        self.fold, self.stem, self.first, self.second = parts

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`(B, 3, H, W)` in [0, 1], sides multiples of 8, to features at strides 4, 4 and 8."""
        stem = self.stem(self.fold(image))
        first = self.first(stem)
        return stem, first, self.second(first)


def targets(network: Trunk, image: Tensor, upsample: Doubling) -> list[Tensor]:
    """Features of an image at strides 1, 2 and 4, from its doubled copy."""
    stem, first, second = network(double(image, upsample))
    return [F.interpolate(stem, scale_factor=2, mode="nearest"), first, second]


def check_upsample(owner: str, upsample: str) -> None:
    """Raise `ValueError` for an unknown way of doubling."""
    if upsample not in get_args(Doubling):
        raise ValueError(f"{owner}: upsample must be one of {', '.join(get_args(Doubling))}, got {upsample!r}")


def convert(released: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the released state dict (file key `model`) for `Trunk`.

    Tensors after the cut are dropped. The authors' batch norm uses |weight| + 1e-5, which is applied here.

    Args:
        released: names may begin with the `module.` of multi-GPU training.

    Raises:
        WeightsError: tensors before the cut are missing, unknown or of another shape.
    """
    bare = {re.sub(r"^module\.", "", key): value for key, value in released.items()}
    before = {key: value for key, value in bare.items() if not key.startswith(_AFTER_THE_CUT)}
    wanted = Trunk().state_dict()
    names = {_released_name(key): key for key in wanted}
    # A file may lack the counters of batch norm.
    missing = [key for key in names if key not in before and not key.endswith("num_batches_tracked")]
    unknown = [key for key in before if key not in names]
    if missing or unknown:
        raise WeightsError(
            f"this is not the state dict of ASL's TResNet-L: of {len(wanted)} tensors {len(missing)} are missing "
            f"({some(missing)}) and {len(unknown)} are unknown ({some(unknown)})"
        )
    converted = {names[key]: value for key, value in before.items()}
    check_fit(converted, {key: wanted[key] for key in converted}, "this state dict of ASL's TResNet-L")
    for key in wanted:
        if key.endswith("bn.weight"):
            converted[key] = converted[key].abs() + 1e-5
    return converted


def _released_name(ours: str) -> str:
    prefix = ours.split(".", 1)[0] + "."
    released = next(old for old, new in _OURS.items() if new == prefix) + ours.removeprefix(prefix)
    # The strided convolution is followed by a blur, so it is one level deeper.
    deeper = "0." if released.startswith("body.layer2.0.conv1.") else ""
    return re.sub(r"\b(conv|bn)\.(?=\w+$)", lambda found: deeper + {"conv": "0.", "bn": "1."}[found[1]], released)


class ASLTeacher(Teacher):
    """TResNet-L by ASL, as in the paper: its first three features, 76, 76 and 152 channels.

    Args:
        weights: the authors' file (`Open_ImagesV6_TRresNet_L_448.pth`), or what `inpaintzoo convert --from tresnet-asl`
            made from it; None uses torch hub's cache, downloading into it if needed.
        upsample: how the image is doubled. `nearest` is how the released code doubles the prior learner's input; its
            teacher sees the file, resized to twice the size, to which `bilinear` comes closer.

    Raises:
        WeightsError: the file is missing, unreadable or from another network.
    """

    name = "TResNet-L trained on OpenImages with the asymmetric loss (ASL), the paper's teacher"
    channels = Trunk.channels

    def __init__(self, weights: str | None = None, upsample: Doubling = "nearest") -> None:
        super().__init__()
        check_upsample("ASLTeacher", upsample)
        file = published_file(PUBLISHED, "ASLTeacher", weights)
        self.upsample = upsample
        self.network = Trunk()
        state = read_state(file, "ASLTeacher", "model")
        converted = bool(state) and all(key.startswith(tuple(_OURS.values())) for key in state)
        load_state(self.network, state if converted else convert(state), f"ASLTeacher: {file}")
        self.eval().requires_grad_(False)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Features of `(B, 3, H, W)` at strides 1, 2 and 4; the weights expect [0, 1], not standardised."""
        check_image("ASLTeacher", image)
        return targets(self.network, image, self.upsample)
