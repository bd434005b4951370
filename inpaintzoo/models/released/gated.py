"""The gated two-stage network (DeepFill v2) as a public PyTorch port releases it, in either of its naming schemes."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from inpaintzoo.discriminators import SNPatchDiscriminator
from inpaintzoo.models.gated import GatedNet
from inpaintzoo.models.released.names import Names, Released, spectral_names, with_kinds
from inpaintzoo.types import WeightsError

# The layers of a stage in the order in which both naming schemes of the released port list them.
_ENCODER = ("first", "to_half.0", "to_half.1", "to_quarter.0", "to_quarter.1", "to_quarter.2")
_DILATED = tuple(f"layers.{i}" for i in range(4))
_DECODER = ("ups.0.convolution", "layers.0", "ups.1.convolution", "layers.1", "output")
_PAIR = ("0", "1")


def _in_module(module: str, layers: tuple[str, ...]) -> list[str]:
    return [f"{module}.{layer}" for layer in layers]


def gated_layers() -> list[str]:
    """Our layers in the released order."""
    return [
        *_in_module("coarse.encoder", _ENCODER),
        *_in_module("coarse.dilated", _DILATED),
        *_in_module("coarse.bottleneck", _PAIR),
        *_in_module("coarse.decoder", _DECODER),
        *_in_module("refine.encoder", _ENCODER),
        *_in_module("refine.dilated", _DILATED),
        *_in_module("refine.attention_encoder", _ENCODER),
        *_in_module("refine.attended", _PAIR),
        *_in_module("refine.merge", _PAIR),
        *_in_module("refine.decoder", _DECODER),
    ]


def _port_encoder(prefix: str, last: str) -> list[str]:
    downs = [f"{prefix}down_block{i}.{layer}" for i in (1, 2) for layer in ("conv1_downsample", "conv2")]
    return [f"{prefix}conv1", *downs, f"{prefix}{last}"]


def _port_decoder(stage: str) -> list[str]:
    ups = [f"{stage}.up_block{i}.{layer}" for i in (1, 2) for layer in ("conv1_upsample.conv", "conv2")]
    return [*ups, f"{stage}.conv_to_rgb"]


def port_layers() -> list[str]:
    """The names of the port's own network, stage by stage."""
    return [
        *_port_encoder("stage1.", "conv_bn1"),
        *(f"stage1.conv_bn{i}" for i in range(2, 8)),
        *_port_decoder("stage1"),
        *_port_encoder("stage2.conv_", "conv_bn1"),
        *(f"stage2.conv_conv_bn{i}" for i in range(2, 6)),
        *_port_encoder("stage2.ca_", "conv_bn1"),
        *(f"stage2.ca_conv_bn{i}" for i in (4, 5)),
        *(f"stage2.conv_bn{i}" for i in (6, 7)),
        *_port_decoder("stage2"),
    ]


def tensorflow_layers() -> list[str]:
    """The names of the port's other network, which are those of the authors' graph."""
    kinds = {2: "_downsample", 4: "_downsample", 13: "_upsample.conv", 15: "_upsample.conv"}
    kinds |= {i: "_atrous" for i in range(7, 11)}
    numbered = [f"conv{i}{kinds.get(i, '')}" for i in range(1, 18)]
    return [
        *numbered,
        *(f"x{name}" for name in numbered[:10]),
        *(f"pm{name}" for name in numbered[:6]),
        *("pmconv9", "pmconv10"),
        *(f"all{name}" for name in numbered[10:]),
    ]


def _generator_names(theirs: list[str]) -> Names:
    modules: dict[str, tuple[str, ...]] = {}
    for layer, released in zip(gated_layers(), theirs, strict=True):
        gated = not layer.endswith("output")
        modules[f"{layer}.convolution" if gated else layer] = (f"{released}.conv",)
    return with_kinds(modules)


def named_by_stages(state_dict: Mapping[str, Tensor]) -> bool:
    """Whether a state dict has the port's own names rather than TensorFlow's."""
    return any(name.startswith("stage") for name in state_dict)


# The port stores the 3x3 identity matrix with which it sums the diagonals of its scores; ours needs none.
_IDENTITY = "stage2.contextual_attention.fuse_weight"


def _without_identity(state_dict: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    identity = state_dict.get(_IDENTITY)
    if identity is not None and not torch.equal(identity.flatten().cpu(), torch.eye(3, dtype=identity.dtype).flatten()):
        raise WeightsError(f"this is not the state dict of gated: {_IDENTITY} must be a 3x3 identity matrix")
    return {name: tensor for name, tensor in state_dict.items() if name != _IDENTITY}


def _discriminator_names() -> Names:
    names: Names = {}
    for i in range(6):
        ours, theirs = f"layers.{i}", f"conv{i + 1}.conv_sn"
        names |= spectral_names(ours, theirs, original="weight") | {f"{ours}.bias": (f"{theirs}.bias",)}
    return names


def _with_spectral_pairs(state_dict: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """The port stores one spectral vector only, as a column; the other is computed from it and the weight."""
    pairs = dict(state_dict)
    for name, tensor in state_dict.items():
        weight = state_dict.get(name.removesuffix("_u"))
        if name.endswith("weight_u") and weight is not None:
            pairs[name] = u = tensor.flatten()
            fits = weight.ndim == 4 and len(weight) == len(u)
            v = F.normalize(weight.flatten(1).t() @ u, dim=0, eps=1e-12) if fits else u.new_zeros(0)
            pairs.setdefault(name[:-1] + "v", v)
    return pairs


NETWORKS = {
    "gated": Released(GatedNet, lambda: _generator_names(port_layers()), _without_identity),
    "gated-discriminator": Released(SNPatchDiscriminator, _discriminator_names, _with_spectral_pairs),
}
TENSORFLOW = Released(functools.partial(GatedNet, padding="same_tf"), lambda: _generator_names(tensorflow_layers()))
"""The same generator with the names, and therefore the padding, of the authors' TensorFlow graph."""
