"""Masks as files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from PIL import Image
from torch import Tensor

from inpaintzoo.ops import mask_ratio


def write_masks(masks: Iterable[Tensor], folder: str | Path) -> list[float]:
    """Write masks as 00000.png, 00001.png, …, 255 = hole, as `MaskFolder` reads them.

    Args:
        masks: `(1, H, W)` each, 1 = hole; drawn one by one.
        folder: Made when the first mask has been drawn. Files of the same names are replaced.

    Returns:
        Each mask's hole ratio, in [0, 1].
    """
    ratios = []
    for index, mask in enumerate(masks):
        Path(folder).mkdir(parents=True, exist_ok=True)
        Image.fromarray((mask[0] * 255).byte().numpy()).save(Path(folder) / f"{index:05d}.png")
        ratios.append(mask_ratio(mask[None]).item())
    return ratios
