"""Maps a released file's tensors to those of the zoo's network: a table of names, and a way to build the network."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

from torch import Tensor

from inpaintzoo.layers.rebuildable import Rebuildable

_WRAPPERS = ("module.", "_orig_mod.", "model.", "generator.", "discriminator.", "netG.", "netD.")

Names = dict[str, tuple[str, ...]]
"""Our names, each with the released tensors that it holds; several are joined along their first dimension."""


def _unchanged(state_dict: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    return state_dict


@dataclasses.dataclass(frozen=True)
class Released:
    """A released network.

    Attributes:
        build: makes the zoo's network.
        names: lists its tensors.
        select: takes this network's tensors from a released state dict.
    """

    build: Callable[[], Rebuildable]
    names: Callable[[], Names]
    select: Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]] = _unchanged


def with_kinds(modules: Mapping[str, tuple[str, ...]]) -> Names:
    """Names of the weights and biases of modules."""
    return {
        f"{ours}.{kind}": tuple(f"{part}.{kind}" for part in theirs)
        for ours, theirs in modules.items()
        for kind in ("weight", "bias")
    }


def without_prefix(state_dict: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """The tensors without a prefix that all names share because the network was wrapped, such as `module.`."""
    first = next(iter(state_dict), "").partition(".")[0] + "."
    if first not in _WRAPPERS or not all(name.startswith(first) for name in state_dict):
        return state_dict
    return without_prefix({name.removeprefix(first): tensor for name, tensor in state_dict.items()})


def spectral_names(ours: str, theirs: str, original: str = "weight_orig") -> Names:
    """Names of a layer with spectral norm: torch's parametrization, and the older hook of released files."""
    parametrised = f"{ours}.parametrizations.weight"
    return {
        f"{parametrised}.original": (f"{theirs}.{original}",),
        f"{parametrised}.0._u": (f"{theirs}.weight_u",),
        f"{parametrised}.0._v": (f"{theirs}.weight_v",),
    }
