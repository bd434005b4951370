"""SPN and SPL as their authors release them: checkpoints of generator, discriminator and teacher in one."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import torch
from torch import Tensor

from inpaintzoo.discriminators import SPNDiscriminator, SPNProbabilisticDiscriminator
from inpaintzoo.models.released.names import Names, Released, spectral_names, with_kinds
from inpaintzoo.models.spl import SPL
from inpaintzoo.models.spn import SPN
from inpaintzoo.types import WeightsError

# What checkpoints of the whole model hold besides the generator and the discriminator.
_OTHER_PARTS = ("tresnet_xL_hold.", "adversarial_loss.", "vgg_loss.vgg.")


def _generator(state_dict: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    return _part(state_dict, "generator.", "discriminator.")


def _discriminator(state_dict: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    return _part(state_dict, "discriminator.", "generator.")


def _part(state_dict: Mapping[str, Tensor], wanted: str, other: str) -> Mapping[str, Tensor]:
    """The generator or discriminator in a checkpoint of the whole model; bare names are returned as they are.

    Networks that were trained on several GPUs have `module.` after their name.
    """
    if not any(name.startswith((wanted, other)) for name in state_dict):
        return state_dict
    return {
        name.removeprefix(wanted).removeprefix("module."): tensor
        for name, tensor in state_dict.items()
        if not name.startswith((other, *_OTHER_PARTS))
    }


def _discriminator_without_alias(state_dict: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """The released discriminator stores its first layer twice, as `conv1` and as `features`; the latter is dropped."""
    state_dict = _discriminator(state_dict)
    twins = {name: f"conv1.{name.removeprefix('features.')}" for name in state_dict if name.startswith("features.")}
    aliases = {name: twin for name, twin in twins.items() if twin in state_dict}
    for name, twin in aliases.items():
        if not torch.equal(state_dict[name], state_dict[twin]):
            raise WeightsError(f"this is not the state dict of SPN's discriminator: {name} and {twin} must be equal")
    return {name: tensor for name, tensor in state_dict.items() if name not in aliases}


def _spade_names(block: str, theirs: tuple[str, ...]) -> Mapping[str, tuple[str, ...]]:
    """A block's modulations; ours joins the hidden convolutions that read the same prior, and gamma with beta."""
    modules = {f"{block}.hidden.convolution": tuple(f"{spade}.mlp_shared.0" for spade in theirs)}
    for i, spade in enumerate(theirs):
        modules[f"{block}.modulations.{i}.affine"] = (f"{spade}.mlp_gamma", f"{spade}.mlp_beta")
    return modules


def _residual_names(ours: str, theirs: str, shortcut: bool) -> Mapping[str, tuple[str, ...]]:
    modules = {f"{ours}.first": (f"{theirs}.conv_block.1",), f"{ours}.second": (f"{theirs}.conv_block.4",)}
    return modules | ({f"{ours}.shortcut": (f"{theirs}.shortcut.1",)} if shortcut else {})


def _shared_names(stochastic: bool = False) -> Names:
    """Names shared by SPN and SPL: the prior learner at a quarter of the size, the image encoder, the middle blocks."""
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
    names = with_kinds(modules)
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
    return _shared_names(stochastic) | with_kinds(modules)


def _spl_names() -> Names:
    modules: dict[str, tuple[str, ...]] = {"heads.0": ("feature_mapping",), "output": ("decoder.9",)}
    names: Names = {}
    for i in range(2):
        modules[f"decoder.{i}.convolution"] = (f"decoder.{4 * i}",)
        attention = f"decoder.{4 * i + 2}.sa"
        modules[f"norms.{i}.affine"] = (f"{attention}.gamma_conv", f"{attention}.beta_conv")
        names[f"norms.{i}.attention.weight"] = (f"{attention}.conv1.weight",)
    return _shared_names() | with_kinds(modules) | names


def _discriminator_names() -> Names:
    names = spectral_names("classifier", "conv5.0")
    for i in range(4):
        names |= spectral_names(f"layers.{i}", f"conv{i + 1}.0")
    return names


def _probabilistic_discriminator_names() -> Names:
    names = with_kinds({"layers.0": ("conv1.0",), "classifier": ("conv5.0",)})
    for i in range(1, 4):
        names |= spectral_names(f"layers.{i}.0", f"conv{i + 1}.0")
    return names


_DISCRIMINATOR = Released(SPNDiscriminator, _discriminator_names, _discriminator_without_alias)

NETWORKS = {
    "spn": Released(SPN, functools.partial(_spn_names, False), _generator),
    "spn-probabilistic": Released(
        functools.partial(SPN, stochastic=True), functools.partial(_spn_names, True), _generator
    ),
    "spl": Released(SPL, _spl_names, _generator),
    "spn-discriminator": _DISCRIMINATOR,
    "spn-probabilistic-discriminator": Released(
        SPNProbabilisticDiscriminator, _probabilistic_discriminator_names, _discriminator
    ),
    "spl-discriminator": _DISCRIMINATOR,
}
