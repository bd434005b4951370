"""Writes a contact sheet of scenes: `python -m inpaintzoo.data.scenes --out sheet.png --count 64 --size 128`."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from inpaintzoo.data.scenes.parts import SCENE_CLASSES
from inpaintzoo.data.scenes.source import SceneSource

LABEL_COLOURS = np.array(
    [
        [160, 205, 240], [125, 115, 120], [150, 190, 90], [235, 215, 160], [50, 110, 190], [40, 105, 55], [85, 85, 90],
        [190, 185, 175], [205, 150, 110], [160, 65, 50], [60, 60, 110], [225, 170, 60], [230, 60, 140], [200, 30, 30],
    ],
    dtype=np.uint8,
)  # fmt: skip
"""One colour for each of `SCENE_CLASSES`."""


def contact_sheet(source: SceneSource, first: int, columns: int, labels: bool) -> np.ndarray:
    """All pictures of a source from `first` on, in rows, as `(H, W, 3)` uint8; with labels beside them if asked."""
    tiles = []
    for index in range(first, len(source)):
        sample = source.load(index)
        picture = (sample.image.permute(1, 2, 0).numpy() * 255.0).round().astype(np.uint8)
        tiles.append(picture)
        if labels and sample.labels is not None:
            tiles.append(LABEL_COLOURS[sample.labels.numpy()])
    height, width, _ = tiles[0].shape
    rows = -(-len(tiles) // columns)
    sheet = np.full((rows * (height + 2) - 2, columns * (width + 2) - 2, 3), 255, dtype=np.uint8)
    for number, tile in enumerate(tiles):
        top, left = number // columns * (height + 2), number % columns * (width + 2)
        sheet[top : top + height, left : left + width] = tile
    return sheet


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line and write the sheet."""
    parser = argparse.ArgumentParser(prog="python -m inpaintzoo.data.scenes", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="picture to write (PNG)")
    parser.add_argument("--count", type=int, default=64, help="scenes")
    parser.add_argument("--first", type=int, default=0, help="index of the first scene")
    parser.add_argument("--size", type=int, nargs="+", default=[128], help="side, or height and width, in pixels")
    parser.add_argument("--columns", type=int, default=8, help="tiles in a row")
    parser.add_argument("--split", choices=("train", "val", "test"), default="train")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--labels", action="store_true", help=f"show the labels too ({', '.join(SCENE_CLASSES)})")
    options = parser.parse_args(arguments)
    size = options.size[0] if len(options.size) == 1 else tuple(options.size)
    try:
        source = SceneSource(options.split, options.first + options.count, size, options.seed)
        if options.count < 1 or options.first < 0 or options.columns < 1:
            raise ValueError("--count and --columns must be at least 1, --first at least 0")
    except ValueError as error:
        parser.error(str(error))
    sheet = contact_sheet(source, options.first, options.columns, options.labels)
    Image.fromarray(sheet).save(options.out)


if __name__ == "__main__":
    main()
