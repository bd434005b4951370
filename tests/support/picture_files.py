"""Writes small pictures and label maps for tests of what reads folders."""

from pathlib import Path

import numpy as np
from PIL import Image


def write_image(path: Path, seed: int = 0, size: tuple[int, int] = (32, 40)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)).save(path)
    return path


def write_labels(path: Path, values: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values.astype(np.uint8)).save(path)
    return path


def write_folder(folder: Path, count: int, first_seed: int = 0) -> Path:
    for number in range(count):
        write_image(folder / f"{number:03}.png", first_seed + number)
    return folder


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-800])


def texts(findings, level: str) -> str:
    return "\n".join(finding.text for finding in findings if finding.level == level)
