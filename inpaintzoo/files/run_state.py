"""Where the checkpoint of a run keeps the tensors of its networks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor


def part_state(state: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
    """The tensors of a part of the Inpainter, such as `generator` or `adversaries.image`, by their names in it."""
    prefix = f"{part}."
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}


def average_state(content: Mapping[str, Any]) -> dict[str, Tensor]:
    """The generator's moving average, as the callback `GeneratorEMA` stores it; empty without one."""
    callbacks = content.get("callbacks")
    kept = callbacks.get("GeneratorEMA") if isinstance(callbacks, dict) else None
    average: dict[str, Tensor] = kept.get("average", {}) if isinstance(kept, dict) else {}
    return average
