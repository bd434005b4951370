"""Weights that a recipe makes from their names, so that golden tensors need no stored weights."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping

import torch
from places import TESTS
from safetensors.torch import load_file
from torch import Tensor

GOLDEN = TESTS / "golden"


def recipe_tensor(key: str, shape: tuple[int, ...], gain: float = 1.0) -> Tensor:
    """The tensor that belongs to a key of a released state dict."""
    generator = torch.Generator().manual_seed(zlib.crc32(key.encode()))
    tensor = torch.randn(shape, generator=generator)
    if key.endswith(("weight_u", "weight_v")):
        return tensor / tensor.norm()
    if len(shape) >= 2:
        return tensor * gain / torch.tensor(shape[1:]).prod().item() ** 0.5
    if key.endswith(("bias", "running_mean")):
        return 0.1 * tensor
    if key.endswith("running_var"):
        return tensor.abs() + 0.5
    if key.endswith("weight"):
        return 1 + 0.1 * tensor
    return tensor


def recipe_weights(shapes: Mapping[str, list[int]], gain: float = 1.0) -> dict[str, Tensor]:
    """A whole released state dict."""
    return {key: recipe_tensor(key, tuple(shape), gain) for key, shape in shapes.items()}


def golden_keys(path: str) -> dict[str, list[int]]:
    """Names and shapes of a released state dict stored under `tests/golden`."""
    return json.loads((GOLDEN / path).read_text())


def golden_tensors(path: str) -> dict[str, Tensor]:
    """A stored file of tensors."""
    return load_file(GOLDEN / path)
