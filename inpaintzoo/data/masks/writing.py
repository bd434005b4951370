"""Masks as files, and tables of mask files."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from torch import Tensor

from inpaintzoo.files.writing import write_whole
from inpaintzoo.ops import mask_ratio, ratio_bin
from inpaintzoo.pictures.images import write_image


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
        write_image(mask, Path(folder) / f"{index:05d}.png")
        ratios.append(mask_ratio(mask[None]).item())
    return ratios


def write_ratios(files: Sequence[str], ratios: Sequence[float], path: str | Path) -> None:
    """Write a CSV table of mask files: name, hole ratio and its bin.

    Args:
        files: Names, such as `MaskFolder.files`.
        ratios: Hole ratio of each in [0, 1], such as `MaskFolder.ratios` gives.
        path: The table; its folder is made if it is missing, and an existing file is replaced.
    """
    rows = [(file, ratio, ratio_bin(ratio)) for file, ratio in zip(files, ratios, strict=True)]

    def write(file: str) -> None:
        with open(file, "w", newline="", encoding="utf-8") as table:
            csv.writer(table).writerows([("file", "ratio", "bin"), *rows])

    Path(path).parent.mkdir(parents=True, exist_ok=True)
    write_whole(Path(path), write)
