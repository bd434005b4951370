"""Released weights in, ours out: names of the authors' files mapped to the zoo's, nothing dropped silently."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from inpaintzoo.discriminators import (
    PENNetDiscriminator,
    SNPatchDiscriminator,
    SPNDiscriminator,
    SPNProbabilisticDiscriminator,
)
from inpaintzoo.layers.rebuildable import Rebuildable
from inpaintzoo.models.gated import GatedNet
from inpaintzoo.models.pennet import PENNet
from inpaintzoo.models.spl import SPL
from inpaintzoo.models.spn import SPN
from inpaintzoo.teachers import asl
from inpaintzoo.types import WeightsError

Source = Literal[
    "pennet",
    "pennet-discriminator",
    "spn",
    "spn-probabilistic",
    "spl",
    "spn-discriminator",
    "spn-probabilistic-discriminator",
    "spl-discriminator",
    "tresnet-asl",
    "gated",
    "gated-discriminator",
]

SOURCES: tuple[Source, ...] = get_args(Source)

# Our names, each with the released tensors that it holds; several are joined along their first dimension.
Names = dict[str, tuple[str, ...]]


def convert_state_dict(source: Source, state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the tensors of a released state dict to what the zoo's network of that name loads.

    Args:
        source: what the file holds: `pennet` (for `inpaintzoo.models.PENNet()`), `pennet-discriminator` (for
            `inpaintzoo.discriminators.PENNetDiscriminator()`), `spn` (`SPN()`), `spn-probabilistic`
            (`SPN(stochastic=True)`), `spl` (`SPL()`), `spn-discriminator` and `spl-discriminator`
            (`SPNDiscriminator()`), `spn-probabilistic-discriminator` (`SPNProbabilisticDiscriminator()`),
            `tresnet-asl` (the published teacher; `inpaintzoo.teachers.asl.Trunk()`, its beginning), `gated`
            (`GatedNet()`, of a public PyTorch port under either of its two naming schemes; the one that keeps
            TensorFlow's names holds weights for `GatedNet(padding="same_tf")`), `gated-discriminator`
            (`SNPatchDiscriminator()`, same port).
        state_dict: the tensors as released, under the released names. The checkpoints of SPN and SPL hold generator,
            discriminator and pretext network in one: the named part is taken, the others must be known parts.

    Returns:
        The same tensors under our names, where released ones are joined if ours is one; the network loads them with
        `strict=True`.

    Raises:
        WeightsError: if the source is unknown, or names or shapes are not those of the released network.
    """
    if source not in get_args(Source):
        raise WeightsError(f"no converter for {source!r}; known sources: {', '.join(get_args(Source))}")
    if source == "tresnet-asl":
        return asl.convert(state_dict)
    names, build = _CONVERTERS[source]
    ours = names()
    if source == "gated":
        ours, state_dict = _gated(state_dict)
    if source == "gated-discriminator":
        state_dict = _with_spectral_pairs(state_dict)
    if source.startswith("sp"):
        state_dict = _part(source, state_dict)
        if source in ("spn-discriminator", "spl-discriminator"):
            state_dict = _without_alias(source, state_dict)
    _check_names(source, {theirs for parts in ours.values() for theirs in parts}, set(state_dict))
    shapes = {name: tensor.shape for name, tensor in build().state_dict().items()}
    _check_shapes(source, state_dict, shapes, ours)
    return {name: _joined([state_dict[theirs] for theirs in parts]) for name, parts in ours.items()}


def released_network(source: Source, state_dict: Mapping[str, Tensor]) -> Rebuildable:
    """A new network of the kind that the converted state dict fits.

    Args:
        source: what the file holds.
        state_dict: as released. Of the gated network's two naming schemes the one that keeps TensorFlow's names comes
            with TensorFlow's padding.

    Raises:
        WeightsError: the source is unknown.
    """
    if source == "tresnet-asl":
        return asl.Trunk()
    if source not in _CONVERTERS:
        raise WeightsError(f"no converter for {source!r}; known sources: {', '.join(SOURCES)}")
    if source == "gated" and not _named_by_stages(state_dict):
        return GatedNet(padding="same_tf")
    return _CONVERTERS[source][1]()


def _joined(tensors: list[Tensor]) -> Tensor:
    return tensors[0] if len(tensors) == 1 else torch.cat(tensors)


def _check_names(source: str, expected: set[str], found: set[str]) -> None:
    problems = []
    if missing := sorted(expected - found):
        problems.append(f"missing: {_first(missing)}")
    if unknown := sorted(found - expected):
        problems.append(f"unknown: {_first(unknown)}")
    if problems:
        raise WeightsError(f"this state dict is not that of {source}; {'; '.join(problems)}")


def _check_shapes(
    source: str, state_dict: Mapping[str, Tensor], shapes: Mapping[str, torch.Size], names: Names
) -> None:
    problems = []
    for name, shape in shapes.items():
        parts = names[name]
        # Joined tensors are of equal size.
        expected = shape if len(parts) == 1 else torch.Size((shape[0] // len(parts), *shape[1:]))
        problems += [
            f"{theirs} is {tuple(state_dict[theirs].shape)} instead of {tuple(expected)}"
            for theirs in parts
            if state_dict[theirs].shape != expected
        ]
    if problems:
        raise WeightsError(f"this state dict does not fit {source}: {_first(problems, '; ')}")


def _first(texts: list[str], between: str = ", ") -> str:
    """The first three, and how many there are."""
    more = f"{between}… ({len(texts)} in all)" if len(texts) > 3 else ""
    return between.join(texts[:3]) + more


def _with_kinds(modules: Mapping[str, tuple[str, ...]]) -> Names:
    """Weights and biases of the named modules."""
    return {
        f"{ours}.{kind}": tuple(f"{part}.{kind}" for part in theirs)
        for ours, theirs in modules.items()
        for kind in ("weight", "bias")
    }


# --- PEN-Net -------------------------------------------------------------------------------------------------------


def _pennet_names() -> Names:
    """Our names to the released ones, for the PEN-Net generator."""
    modules = {f"encoder.levels.{i}": (f"dw_conv0{i + 1}.0",) for i in range(6)}
    for i in range(4):  # the deepest attention transfer has no parameters
        modules |= {f"context.transfers.{i}.fusion.branches.{j}": (f"at_conv0{i + 1}.conv0{j}.0",) for j in range(4)}
    modules |= {f"decoder.levels.{i}": (f"up_conv0{i + 1}.0",) for i in range(5)}
    modules |= {f"decoder.heads.{i}": (f"torgb{i + 1}.0",) for i in range(5)}
    modules |= {f"decoder.output.{i}": (f"decoder.{i}",) for i in (0, 2)}
    return _with_kinds(modules)


def _spectral_names(ours: str, theirs: str) -> Names:
    """A layer under torch's parametrised spectral norm, and under the older hook that released files come from."""
    parametrised = f"{ours}.parametrizations.weight"
    return {
        f"{parametrised}.original": (f"{theirs}.weight_orig",),
        f"{parametrised}.0._u": (f"{theirs}.weight_u",),
        f"{parametrised}.0._v": (f"{theirs}.weight_v",),
    }


def _pennet_discriminator_names() -> Names:
    names: Names = {}
    for i in range(4):
        names |= _spectral_names(f"layers.{i}", f"encoder.{2 * i}")
    return names | _with_kinds({"classifier": ("classifier",)})


# --- SPN and SPL ---------------------------------------------------------------------------------------------------

# What the checkpoints of the whole models hold beside the generator and the discriminator.
_OTHER_PARTS = ("tresnet_xL_hold.", "adversarial_loss.", "vgg_loss.vgg.")


def _part(source: str, state_dict: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """The generator or discriminator of a whole model's checkpoint; bare names are returned as they are."""
    wanted, other = "generator.module.", "discriminator.module."
    if source.endswith("discriminator"):
        wanted, other = other, wanted
    if not any(name.startswith((wanted, other)) for name in state_dict):
        return state_dict
    return {
        name.removeprefix(wanted): tensor
        for name, tensor in state_dict.items()
        if not name.startswith((other, *_OTHER_PARTS))
    }


def _without_alias(source: str, state_dict: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """The released discriminator stores its first layer twice, as `conv1` and as `features`: one of them is enough."""
    for name, tensor in state_dict.items():
        twin = name.replace("features.", "conv1.", 1)
        if name.startswith("features.") and twin in state_dict and not torch.equal(tensor, state_dict[twin]):
            raise WeightsError(f"this state dict is not that of {source}: {name} and {twin} are one layer, but differ")
    aliases = {name for name in state_dict if name.startswith("features.") and f"conv1.{name[9:]}" in state_dict}
    return {name: tensor for name, tensor in state_dict.items() if name not in aliases}


def _spade_names(block: str, theirs: tuple[str, ...]) -> Mapping[str, tuple[str, ...]]:
    """A block's modulations: hidden convolutions that share a prior are one here, and so are gamma's and beta's."""
    modules = {f"{block}.hidden.convolution": tuple(f"{spade}.mlp_shared.0" for spade in theirs)}
    for i, spade in enumerate(theirs):
        modules[f"{block}.modulations.{i}.affine"] = (f"{spade}.mlp_gamma", f"{spade}.mlp_beta")
    return modules


def _residual_names(ours: str, theirs: str, shortcut: bool) -> Mapping[str, tuple[str, ...]]:
    modules = {f"{ours}.first": (f"{theirs}.conv_block.1",), f"{ours}.second": (f"{theirs}.conv_block.4",)}
    return modules | ({f"{ours}.shortcut": (f"{theirs}.shortcut.1",)} if shortcut else {})


def _shared_names(stochastic: bool = False) -> Names:
    """What SPN and SPL have in common: the prior learner at a quarter of the size, image encoder, middle blocks."""
    modules: dict[str, tuple[str, ...]] = {}
    for i in range(3):
        modules[f"image_encoder.convolutions.{i}"] = (f"encoder_conv{i + 1}",)
    for i in range(4):
        modules[f"prior_encoder.convolutions.{i}"] = (f"encoder_conv{i + 1}_sm",)
    modules["prior_encoder.entry"] = ("encoder_sm_out",)
    for i in range(16):
        modules |= {f"prior_encoder.dense.{i}.layers.{j}": (f"rdbs.{i}.layers.{j}.conv",) for j in range(6)}
        modules[f"prior_encoder.dense.{i}.fusion"] = (f"rdbs.{i}.lff",)
    for i in range(2):
        modules[f"prior_encoder.fusion.{i}"] = (f"gff.{i}",)
    for i in range(4):
        modules |= _residual_names(f"prior_decoder.blocks.{i}", f"feature_recon.{i}", stochastic and i == 0)
    for i in range(8):
        modules |= _spade_names(f"middle.{i}", (f"middle.{i}.conv_block.0", f"middle.{i}.conv_block.4"))
        modules[f"middle.{i}.dilated"] = (f"middle.{i}.conv_block.3",)
        modules[f"middle.{i}.plain"] = (f"middle.{i}.conv_block.7",)
    names = _with_kinds(modules)
    for i in range(3):
        for ours, theirs in (("hole", "foreground"), ("valid", "background")):
            for kind in ("gamma", "beta"):
                names[f"image_encoder.norms.{i}.{ours}_{kind}"] = (f"encoder_in{i + 1}.{theirs}_{kind}",)
    return names


def _spn_names(stochastic: bool) -> Names:
    modules: dict[str, tuple[str, ...]] = {}
    for i, released in enumerate((0, 4)):
        modules[f"prior_decoder.ups.{i}.convolution"] = (f"feature_recon_decoder.{released}",)
        modules |= _residual_names(f"prior_decoder.merges.{i}", f"feature_recon_decoder.{released + 3}", True)
    for i, head in enumerate(("feature_mapping_256", "feature_mapping_128", "feature_mapping")):
        modules[f"heads.{i}"] = (head,)
    for i, block in enumerate(("decoder.1", "decoder.3")):
        spades = (f"{block}.conv_block.0", f"{block}.conv_block.3", f"{block}.SPADE_s")
        modules |= _spade_names(f"decoder.{i}", spades)
        modules[f"decoder.{i}.first"] = (f"{block}.conv_block.2",)
        modules[f"decoder.{i}.second"] = (f"{block}.conv_block.5",)
        modules[f"decoder.{i}.shortcut"] = (f"{block}.conv_s",)
    modules["output"] = ("decoder.6",)
    if stochastic:
        modules |= {f"variational.encoder.{i}": (f"encoder_z.{2 * i}",) for i in range(3)}
        modules |= {f"variational.decoder.{i}.convolution": (f"decoder_z.{3 * i}",) for i in range(3)}
        modules |= {"variational.mean": ("mu",), "variational.std": ("sigma",)}
    return _shared_names(stochastic) | _with_kinds(modules)


def _spl_names() -> Names:
    modules: dict[str, tuple[str, ...]] = {"heads.0": ("feature_mapping",), "output": ("decoder.9",)}
    names: Names = {}
    for i in range(2):
        modules[f"decoder.{i}.convolution"] = (f"decoder.{4 * i}",)
        attention = f"decoder.{4 * i + 2}.sa"
        modules[f"norms.{i}.affine"] = (f"{attention}.gamma_conv", f"{attention}.beta_conv")
        names[f"norms.{i}.attention.weight"] = (f"{attention}.conv1.weight",)
    return _shared_names() | _with_kinds(modules) | names


def _spn_discriminator_names() -> Names:
    names = _spectral_names("classifier", "conv5.0")
    for i in range(4):
        names |= _spectral_names(f"layers.{i}", f"conv{i + 1}.0")
    return names


def _spn_probabilistic_discriminator_names() -> Names:
    names = _with_kinds({"layers.0": ("conv1.0",), "classifier": ("conv5.0",)})
    for i in range(1, 4):
        names |= _spectral_names(f"layers.{i}.0", f"conv{i + 1}.0")
    return names


# --- the gated two-stage network -----------------------------------------------------------------------------------

# The layers of a stage in the order in which both naming schemes of the released port list them.
_ENCODER = ("first", "to_half.0", "to_half.1", "to_quarter.0", "to_quarter.1", "to_quarter.2")
_DILATED = tuple(f"layers.{i}" for i in range(4))
_DECODER = ("ups.0.convolution", "layers.0", "ups.1.convolution", "layers.1", "output")
_PAIR = ("0", "1")


def _in_module(module: str, layers: tuple[str, ...]) -> list[str]:
    return [f"{module}.{layer}" for layer in layers]


def _gated_layers() -> list[str]:
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


def _port_layers() -> list[str]:
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


def _tensorflow_layers() -> list[str]:
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


def _gated_names(theirs: list[str]) -> Names:
    modules: dict[str, tuple[str, ...]] = {}
    for layer, released in zip(_gated_layers(), theirs, strict=True):
        gated = not layer.endswith("output")
        modules[f"{layer}.convolution" if gated else layer] = (f"{released}.conv",)
    return _with_kinds(modules)


# The port stores the 3x3 identity that it sums the diagonals of its scores with; ours sums them without one.
_IDENTITY = "stage2.contextual_attention.fuse_weight"


def _named_by_stages(state_dict: Mapping[str, Tensor]) -> bool:
    """Whether a gated network has the port's own names, and not TensorFlow's."""
    return any(name.startswith("stage") for name in state_dict)


def _gated(state_dict: Mapping[str, Tensor]) -> tuple[Names, Mapping[str, Tensor]]:
    """The names of whichever of the two schemes the file has, and its tensors without the stored identity."""
    if not _named_by_stages(state_dict):
        return _gated_names(_tensorflow_layers()), state_dict
    identity = state_dict.get(_IDENTITY)
    if identity is not None and not torch.equal(identity.flatten().cpu(), torch.eye(3, dtype=identity.dtype).flatten()):
        raise WeightsError(f"this state dict is not that of gated: {_IDENTITY} is not a 3x3 identity")
    return _gated_names(_port_layers()), {name: tensor for name, tensor in state_dict.items() if name != _IDENTITY}


def _gated_discriminator_names() -> Names:
    names: Names = {}
    for i in range(6):
        ours, theirs = f"layers.{i}", f"conv{i + 1}.conv_sn"
        parametrised = f"{ours}.parametrizations.weight"
        names[f"{ours}.bias"] = (f"{theirs}.bias",)
        names[f"{parametrised}.original"] = (f"{theirs}.weight",)
        names[f"{parametrised}.0._u"] = (f"{theirs}.weight_u",)
        names[f"{parametrised}.0._v"] = (f"{theirs}.weight_v",)
    return names


def _with_spectral_pairs(state_dict: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """The port stores one spectral vector, as a column; the other one follows from it and the weight."""
    pairs = dict(state_dict)
    for name, tensor in state_dict.items():
        weight = state_dict.get(name.removesuffix("_u"))
        if name.endswith("weight_u") and weight is not None:
            pairs[name] = u = tensor.flatten()
            fits = weight.ndim == 4 and len(weight) == len(u)
            v = F.normalize(weight.flatten(1).t() @ u, dim=0, eps=1e-12) if fits else u.new_zeros(0)
            pairs.setdefault(name[:-1] + "v", v)
    return pairs


_CONVERTERS: dict[str, tuple[Callable[[], Names], Callable[[], Rebuildable]]] = {
    "pennet": (_pennet_names, PENNet),
    "pennet-discriminator": (_pennet_discriminator_names, PENNetDiscriminator),
    "spn": (functools.partial(_spn_names, False), SPN),
    "spn-probabilistic": (functools.partial(_spn_names, True), functools.partial(SPN, stochastic=True)),
    "spl": (_spl_names, SPL),
    "spn-discriminator": (_spn_discriminator_names, SPNDiscriminator),
    "spn-probabilistic-discriminator": (_spn_probabilistic_discriminator_names, SPNProbabilisticDiscriminator),
    "spl-discriminator": (_spn_discriminator_names, SPNDiscriminator),
    "gated": (lambda: _gated_names(_port_layers()), GatedNet),
    "gated-discriminator": (_gated_discriminator_names, SNPatchDiscriminator),
}
