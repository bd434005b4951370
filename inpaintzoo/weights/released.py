"""Converts the authors' released files into the zoo's weight files, without running code in them."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from inpaintzoo.files.published import load_state, read_file
from inpaintzoo.layers.rebuildable import Rebuildable
from inpaintzoo.models.released import SOURCES, Source, convert_state_dict, fitting_sources, released_network
from inpaintzoo.types import WeightsError
from inpaintzoo.weights.files import save_model
from inpaintzoo.words import listed

# Entries under which training scripts store a state dict.
_GENERATORS, _DISCRIMINATORS = ("netG", "G", "generator"), ("netD", "D", "discriminator")
_WRAPPERS = ("state_dict", "model", "params")

# The authors say that their weights are for square holes only.
_MORE_FACTS = {"pennet": {"masks": "PENNetSquare"}}


def convert_file(
    source: str | None,
    path: str | Path,
    out: str | Path,
    licence: str = "",
    dtype: torch.dtype | None = None,
    overwrite: bool = True,
    facts: Mapping[str, Any] | None = None,
) -> Rebuildable:
    """Convert a released file into one of ours.

    Args:
        source: what the file holds, see `inpaintzoo.weights.convert_state_dict`; None: the only one that fits.
        path: as released: a state dict, or a dictionary with one in it (`netG` of PEN-Net's `gen_*.pth`, and so on).
        out: the new file; ends in `.safetensors`.
        licence: a note on the terms of use; the authors' terms apply to their weights.
        dtype: type of the floating-point tensors in the file; None keeps it.
        overwrite: whether `out` may be replaced.
        facts: what else is known of the weights, see `WeightFile`.

    Returns:
        The network; for `tresnet-asl` the part that the teacher uses, for `ASLTeacher(weights=out)`.

    Raises:
        WeightsError: the file cannot be read safely, or is not what `source` says.
    """
    if not Path(path).is_file():
        raise WeightsError(f"convert: there is no file {path}; give the path of the authors' file")
    content = read_file(Path(path), "convert")
    source = source or _only_source(content, str(path))
    state = unwrapped(content, str(path), _DISCRIMINATORS if "discriminator" in source else _GENERATORS)
    converted = convert_state_dict(source, state)  # type: ignore[arg-type]
    network = released_network(source, state)  # type: ignore[arg-type]
    load_state(network, converted, str(path))
    known = {"converted_from": source, "file": Path(path).name, **_MORE_FACTS.get(source, {}), **(facts or {})}
    note = licence or f"converted from the authors' {source}; their terms hold"
    save_model(network.eval(), out, known, note, dtype, overwrite)
    return network


def _only_source(content: Mapping[str, Any], where: str) -> Source:
    """The source that a file's content fits.

    Raises:
        WeightsError: none does, or several do.
    """
    fitting: list[Source] = []
    for own in (_GENERATORS, _DISCRIMINATORS):
        with contextlib.suppress(WeightsError):
            found = fitting_sources(unwrapped(content, where, own))
            fitting += [source for source in found if ("discriminator" in source) == (own is _DISCRIMINATORS)]
    if len(fitting) != 1:
        reason = f"fits {listed(fitting, 'and')}" if fitting else f"fits none of {', '.join(SOURCES)}"
        raise WeightsError(f"{where} {reason}; say what it holds with --from")
    return fitting[0]


def unwrapped(content: Mapping[str, Any], where: str, own: tuple[str, ...] = _GENERATORS) -> dict[str, Tensor]:
    """Find the state dict in a file's content.

    Args:
        content: a state dict, or a dictionary that contains one.
        where: the file, for errors.
        own: entries that may hold the wanted network if there are several.

    Raises:
        WeightsError: there is none or more than one.
    """
    for _ in range(3):  # wrappers in wrappers: {"state_dict": {"netG": ...}}
        if other := [name for name in content if not isinstance(name, str)]:
            raise WeightsError(f"{where} holds no state dict: an entry is called {other[0]!r}, which is not text")
        if content and all(isinstance(value, Tensor) for value in content.values()):
            return dict(content)
        inner = [name for name in content if isinstance(content[name], Mapping)]
        found = [name for name in inner if name in own] or [name for name in inner if name in _WRAPPERS]
        if len(found) != 1:
            break
        content = content[found[0]]
    raise WeightsError(
        f"{where} holds no state dict: its entries are {', '.join(map(str, list(content)[:5])) or 'none'}; known "
        f"wrappers of one are {', '.join((*own, *_WRAPPERS))}"
    )
