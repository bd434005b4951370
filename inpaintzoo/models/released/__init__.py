"""Released weights: the authors' names for tensors mapped to the zoo's, nothing dropped silently."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Literal, get_args

import torch
from torch import Tensor

from inpaintzoo.layers.rebuildable import Rebuildable
from inpaintzoo.models.released import gated, pennet, spn
from inpaintzoo.models.released.names import Names, Released, without_prefix
from inpaintzoo.teachers import asl
from inpaintzoo.types import WeightsError
from inpaintzoo.words import some

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
_NETWORKS = {**pennet.NETWORKS, **spn.NETWORKS, **gated.NETWORKS}


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
            discriminator and pretext network in one: the named part is taken, the others must be known parts. A prefix
            that all names share because the network was wrapped (`module.`, `generator.`, `model.`) is left out.

    Returns:
        The same tensors under our names, some of them joined; the network loads them with `strict=True`.

    Raises:
        WeightsError: the source is unknown, or names or shapes are not those of the released network.
    """
    state_dict = without_prefix(state_dict)
    if source == "tresnet-asl":
        return asl.convert(state_dict)
    released = _released(source, state_dict)
    names, theirs = released.names(), released.select(state_dict)
    _check(source, names, theirs, released.build().state_dict())
    return {
        name: torch.cat([theirs[part] for part in parts]) if len(parts) > 1 else theirs[parts[0]]
        for name, parts in names.items()
    }


def released_network(source: Source, state_dict: Mapping[str, Tensor]) -> Rebuildable:
    """Build the network that the converted state dict fits.

    Args:
        source: what the file holds.
        state_dict: as released; it decides the padding of `gated`.

    Raises:
        WeightsError: the source is unknown.
    """
    return asl.Trunk() if source == "tresnet-asl" else _released(source, without_prefix(state_dict)).build()


def fitting_sources(state_dict: Mapping[str, Tensor]) -> list[Source]:
    """The sources whose converter takes this released state dict."""
    fitting: list[Source] = []
    for source in SOURCES:
        with contextlib.suppress(WeightsError):
            convert_state_dict(source, state_dict)
            fitting.append(source)
    return fitting


def _released(source: Source, state_dict: Mapping[str, Tensor]) -> Released:
    if source not in _NETWORKS:
        raise WeightsError(f"no converter for {source!r}; known sources: {', '.join(SOURCES)}")
    if source == "gated" and not gated.named_by_stages(state_dict):
        return gated.TENSORFLOW
    return _NETWORKS[source]


def _check(source: str, names: Names, theirs: Mapping[str, Tensor], ours: Mapping[str, Tensor]) -> None:
    """Raise `WeightsError` unless a released state dict has exactly the tensors that ours is made of."""
    expected = {part for parts in names.values() for part in parts}
    found = {"missing": sorted(expected - theirs.keys()), "unknown": sorted(theirs.keys() - expected)}
    if wrong := [f"{kind}: {some(tensors)}" for kind, tensors in found.items() if tensors]:
        raise WeightsError(f"this state dict is not that of {source}; {'; '.join(wrong)}")
    for name, tensor in ours.items():
        # Joined tensors are of equal size.
        shape = torch.Size((tensor.shape[0] // len(names[name]), *tensor.shape[1:])) if tensor.ndim else tensor.shape
        wrong += [
            f"{part} is {tuple(theirs[part].shape)} instead of {tuple(shape)}"
            for part in names[name]
            if theirs[part].shape != shape
        ]
    if wrong:
        shown, more = "; ".join(wrong[:3]), f"; … ({len(wrong)} in all)" if len(wrong) > 3 else ""
        raise WeightsError(f"this state dict does not fit {source}: {shown}{more}")
