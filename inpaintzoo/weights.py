"""Released weights in, ours out: names of the authors' files mapped to the zoo's, nothing dropped silently."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, get_args

from torch import Tensor, nn

from inpaintzoo.discriminators import PENNetDiscriminator
from inpaintzoo.models.pennet import PENNet
from inpaintzoo.types import WeightsError

Source = Literal["pennet", "pennet-discriminator"]


def convert_state_dict(source: Source, state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the tensors of a released state dict to what the zoo's network of that name loads.

    Args:
        source: what the file holds: `pennet` (for `inpaintzoo.models.PENNet()`), `pennet-discriminator` (for
            `inpaintzoo.discriminators.PENNetDiscriminator()`).
        state_dict: the tensors as released, under the released names.

    Returns:
        The same tensors under our names; the network loads them with `strict=True`.

    Raises:
        WeightsError: if the source is unknown, or names or shapes are not those of the released network.
    """
    if source not in _CONVERTERS:
        raise WeightsError(f"no converter for {source!r}; known sources: {', '.join(get_args(Source))}")
    names, build = _CONVERTERS[source]
    ours = {theirs: name for name, theirs in names().items()}
    _check_names(source, set(ours), set(state_dict))
    converted = {ours[theirs]: tensor for theirs, tensor in state_dict.items()}
    _check_shapes(source, converted, build().state_dict(), names())
    return converted


def _check_names(source: str, expected: set[str], found: set[str]) -> None:
    problems = []
    if missing := sorted(expected - found):
        problems.append(f"missing: {', '.join(missing)}")
    if unknown := sorted(found - expected):
        problems.append(f"unknown: {', '.join(unknown)}")
    if problems:
        raise WeightsError(f"this state dict is not that of {source}; {'; '.join(problems)}")


def _check_shapes(
    source: str, converted: Mapping[str, Tensor], expected: Mapping[str, Tensor], names: Mapping[str, str]
) -> None:
    problems = [
        f"{names[name]} is {tuple(converted[name].shape)} instead of {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if converted[name].shape != tensor.shape
    ]
    if problems:
        raise WeightsError(f"this state dict does not fit {source}: {'; '.join(problems)}")


def _pennet_names() -> dict[str, str]:
    """Our names to the released ones, for the PEN-Net generator."""
    modules = {f"encoder.levels.{i}": f"dw_conv0{i + 1}.0" for i in range(6)}
    for i in range(4):  # the deepest attention transfer has no parameters
        modules |= {f"context.transfers.{i}.fusion.branches.{j}": f"at_conv0{i + 1}.conv0{j}.0" for j in range(4)}
    modules |= {f"decoder.levels.{i}": f"up_conv0{i + 1}.0" for i in range(5)}
    modules |= {f"decoder.heads.{i}": f"torgb{i + 1}.0" for i in range(5)}
    modules |= {f"decoder.output.{i}": f"decoder.{i}" for i in (0, 2)}
    return {f"{ours}.{kind}": f"{theirs}.{kind}" for ours, theirs in modules.items() for kind in ("weight", "bias")}


def _spectral_names(ours: str, theirs: str) -> dict[str, str]:
    """A layer under torch's parametrised spectral norm, and under the older hook that released files come from."""
    parametrised = f"{ours}.parametrizations.weight"
    return {
        f"{parametrised}.original": f"{theirs}.weight_orig",
        f"{parametrised}.0._u": f"{theirs}.weight_u",
        f"{parametrised}.0._v": f"{theirs}.weight_v",
    }


def _pennet_discriminator_names() -> dict[str, str]:
    names: dict[str, str] = {}
    for i in range(4):
        names |= _spectral_names(f"layers.{i}", f"encoder.{2 * i}")
    return names | {f"classifier.{kind}": f"classifier.{kind}" for kind in ("weight", "bias")}


_CONVERTERS: dict[str, tuple[Callable[[], dict[str, str]], Callable[[], nn.Module]]] = {
    "pennet": (_pennet_names, PENNet),
    "pennet-discriminator": (_pennet_discriminator_names, PENNetDiscriminator),
}
