"""Networks from weight files, from checkpoints, and by name."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from inpaintzoo.generator import Generator
from inpaintzoo.layers.rebuildable import Rebuildable
from inpaintzoo.weights.files import WeightFile, check_dtype, read_weights
from inpaintzoo.weights.guests import GUEST_SUFFIXES, load_guest
from inpaintzoo.weights.networks import Description, build, load_values
from inpaintzoo.weights.registry import find_checkpoint

_HALVES = (torch.float16, torch.bfloat16)


def load_model(
    path: str | Path, device: str | torch.device = "cpu", dtype: torch.dtype | None = None, raw: bool = False
) -> Generator:
    """Rebuild a generator from a weight file, from a run's checkpoint, or by its name.

    Args:
        path: a `.safetensors` file of the zoo, a `.ckpt` file of a run or the run's folder, or a name: see
            `inpaintzoo.weights.registry.find_checkpoint`. With `inpaintzoo[spandrel]` also LaMa's `.pt` or `.pth`.
        device: where the network goes.
        dtype: type of its floating-point tensors; None turns half precision into float32 and keeps other types.
        raw: use the trained weights of a checkpoint instead of its moving average (`GeneratorEMA`).

    Returns:
        The network in eval mode.

    Raises:
        WeightsError: the file is missing, damaged, not one of the zoo's, or does not fit its own description.
    """
    return load_described(path, device, dtype, raw)[0]


def load_described(
    path: str | Path, device: str | torch.device = "cpu", dtype: torch.dtype | None = None, raw: bool = False
) -> tuple[Generator, WeightFile]:
    """`load_model`, together with what the file says about the network; it is read once.

    Raises:
        WeightsError: as `load_model`.
    """
    check_dtype(dtype)
    file = find_checkpoint(path)
    if file.suffix in GUEST_SUFFIXES:
        guest, about = load_guest(file)
        return guest.to(device, dtype), about
    network, about = _load(file, device, dtype, raw, Generator)
    assert isinstance(network, Generator)
    return network, about


def load_network(
    path: str | Path, device: str | torch.device = "cpu", dtype: torch.dtype | None = None, raw: bool = False
) -> Rebuildable:
    """`load_model` for any network: a `.safetensors` file may also hold a discriminator or a teacher's trunk.

    Raises:
        WeightsError: as `load_model`.
    """
    check_dtype(dtype)
    return _load(find_checkpoint(path), device, dtype, raw, Rebuildable)[0]


def _load(
    path: Path, device: str | torch.device, dtype: torch.dtype | None, raw: bool, kind: type[Rebuildable]
) -> tuple[Rebuildable, WeightFile]:
    about, state = read_weights(path, raw)
    description = Description(class_path=about.class_path, init_args=about.init_args)
    network = build(description, str(path), state, kind)
    state = {name: _wanted(tensor, dtype) for name, tensor in state.items()}
    return load_values(network, description, state, str(path)).to(device), about


def _wanted(tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    if not tensor.is_floating_point():
        return tensor
    return tensor.to(dtype or (torch.float32 if tensor.dtype in _HALVES else tensor.dtype))
