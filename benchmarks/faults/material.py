"""Small valid inputs for every command, made here so that faults can be put into them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from inpaintzoo.models import PENNet
from inpaintzoo.weights import save_model

_SIDE = 48


def photograph(path: Path, seed: int = 0, mode: str = "RGB", side: int = _SIDE) -> Path:
    """Write a picture of smooth colours with a little noise."""
    chance = np.random.default_rng(seed)
    waves = np.sin(np.linspace(0, 4 + seed, side))[:, None, None] * np.cos(np.linspace(0, 3, side))[None, :, None]
    pixels = 120 + 80 * waves * np.array([1.0, 0.6, -0.7]) + chance.normal(0, 4, (side, side, 3))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).convert(mode).save(path)
    return path


def mask(path: Path, side: int = _SIDE) -> Path:
    """Write a mask with one square hole, 255 = hole."""
    pixels = np.zeros((side, side), np.uint8)
    pixels[12:28, 14:30] = 255
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def pictures(folder: Path, count: int) -> tuple[Path, Path]:
    """A folder of pictures and a folder of their masks."""
    for number in range(count):
        photograph(folder / "images" / f"{number:03d}.png", seed=number)
        mask(folder / "masks" / f"{number:03d}.png")
    return folder / "images", folder / "masks"


def weights(path: Path) -> Path:
    """A weight file of a narrow PEN-Net with random weights."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    save_model(PENNet(width=4), path)
    return path


def benchmark(path: Path, out: Path, fill: str = "MeanColour") -> Path:
    """A benchmark's config on eight small scenes."""
    content = {
        "contenders": {"mean": {"class_path": "Fill", "init_args": {"generator": fill}}},
        "sets": {
            "scenes": {
                "class_path": "ScenesData",
                "init_args": {"test_size": 8, "image_size": 32, "num_workers": 0, "test_masks": "RandomRectangles"},
            }
        },
        "protocols": ["zoo"],
        "out": str(out),
        "batch_size": 2,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path
