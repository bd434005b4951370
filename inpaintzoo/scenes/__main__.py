"""Writes a contact sheet of scenes: `python -m inpaintzoo.scenes --out sheet.png --count 64 --size 128`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from inpaintzoo.pictures.sheet import contact_sheet
from inpaintzoo.scenes import SCENE_CLASSES, SCENE_COLOURS, paint_scene
from inpaintzoo.scenes.parts import PART_CLASS
from inpaintzoo.types import SPLITS, Split


def scene_sheet(
    indices: Sequence[int], split: Split, size: tuple[int, int], seed: int, columns: int, labels: bool
) -> Image.Image:
    """Scenes in rows, each followed by its labels if asked."""
    tiles = []
    for index in indices:
        canvas = paint_scene((seed, SPLITS.index(split), index), *size)
        tiles.append((canvas.image * 255.0).round().astype(np.uint8))
        if labels:
            tiles.append(np.array(SCENE_COLOURS, np.uint8)[PART_CLASS[canvas.parts]])
    return contact_sheet([Image.fromarray(tile) for tile in tiles], columns)


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line and write the sheet."""
    parser = argparse.ArgumentParser(prog="python -m inpaintzoo.scenes", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="picture to write (PNG)")
    parser.add_argument("--count", type=int, default=64, help="scenes")
    parser.add_argument("--first", type=int, default=0, help="index of the first scene")
    parser.add_argument("--size", type=int, nargs="+", default=[128], help="side, or height and width, in pixels")
    parser.add_argument("--columns", type=int, default=8, help="tiles in a row")
    parser.add_argument("--split", choices=SPLITS, default="train")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--labels", action="store_true", help=f"show the labels too ({', '.join(SCENE_CLASSES)})")
    options = parser.parse_args(arguments)
    if options.count < 1 or options.first < 0 or options.columns < 1 or options.seed < 0:
        parser.error("--count and --columns must be at least 1, --first and --seed at least 0")
    if len(options.size) > 2 or min(options.size) < 32:
        parser.error(f"--size must be one side or two, each from 32 pixels, got {options.size}")
    indices = range(options.first, options.first + options.count)
    size = (options.size[0], options.size[-1])
    scene_sheet(indices, options.split, size, options.seed, options.columns, options.labels).save(options.out)


if __name__ == "__main__":
    main()
