"""`grid.png`: a row per image, with what was given, each method's fill, and the truth."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from inpaintzoo.benchmark.report.gallery import PICTURE_SIDE, Gallery, Pixels, Shown

GAP = 8  # pixels between cells and around them
_HEAD, _CAPTION, _TITLE = 26, 22, 34
_INK, _PALE, _BEST = (34, 34, 34), (110, 110, 110), (0, 114, 60)


def draw_sheet(gallery: Gallery, positions: Sequence[int], title: str) -> Image.Image:
    """The grid: images down, methods across.

    Small pictures are enlarged by a whole factor, so that their pixels stay sharp.

    Args:
        gallery: the pictures.
        positions: images from top to bottom.
        title: above the grid.
    """
    height, width = next(iter(gallery.shown.values())).truth.shape[:2]
    factor = max(1, PICTURE_SIDE // max(height, width))
    cell = (width * factor, height * factor)
    heads = ["given", *gallery.names, "truth"]
    corner = cell_corner(len(heads), len(positions), *cell)
    sheet = Image.new("RGB", corner, "white")
    draw = ImageDraw.Draw(sheet)
    draw.text((GAP, GAP), _fitted(title, _font(15, bold=True), sheet.width - 2 * GAP), _INK, _font(15, bold=True))
    for column, head in enumerate(heads):
        x, y = cell_corner(column, 0, *cell)
        draw.text((x, y - _HEAD + 6), _fitted(head, _font(13, bold=True), cell[0]), _INK, _font(13, bold=True))
    for row, position in enumerate(positions):
        _draw_row(sheet, draw, gallery, gallery.shown[position], row, cell)
    return sheet


def cell_corner(column: int, row: int, width: int, height: int) -> tuple[int, int]:
    """Where a cell's picture begins: x and y of its upper left pixel.

    Args:
        column: from 0, the given picture.
        row: from 0.
        width: width of a cell, in pixels.
        height: height of a cell, in pixels.
    """
    return GAP + column * (width + GAP), GAP + _TITLE + _HEAD + row * (height + _CAPTION + GAP)


def encode_png(image: Image.Image) -> bytes:
    """The file's content."""
    file = io.BytesIO()
    image.save(file, format="PNG", optimize=True)
    return file.getvalue()


def _draw_row(
    sheet: Image.Image, draw: ImageDraw.ImageDraw, gallery: Gallery, shown: Shown, row: int, cell: tuple[int, int]
) -> None:
    captions = {name: shown.scores[name] for name in gallery.names}
    pictures: list[Pixels] = [shown.masked, *(shown.composites[name] for name in gallery.names), shown.truth]
    texts = [f"{100 * shown.ratio:.0f} % hole", *(captions[name].text for name in gallery.names), shown.name]
    best = [False, *(captions[name].best for name in gallery.names), False]
    for column, (picture, text) in enumerate(zip(pictures, texts, strict=True)):
        x, y = cell_corner(column, row, *cell)
        sheet.paste(enlarged(picture, cell), (x, y))
        font = _font(12, bold=best[column])
        scored = 0 < column <= len(gallery.names)
        colour = _BEST if best[column] else _INK if scored else _PALE
        draw.text((x, y + cell[1] + 3), _fitted(text, font, cell[0]), colour, font)
        draw.rectangle((x - 1, y - 1, x + cell[0], y + cell[1]), outline=(205, 205, 205))


def enlarged(picture: Pixels, size: tuple[int, int]) -> Image.Image:
    """The picture at a whole multiple of its size."""
    factor = max(1, size[0] // picture.shape[1])
    return Image.fromarray(np.repeat(np.repeat(picture, factor, axis=0), factor, axis=1))


def _font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans from matplotlib, so that a sheet looks the same everywhere."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(mpl.get_data_path()) / "fonts" / "ttf" / name), size)


def _fitted(text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """The text on one line, cut in the middle if it is too long: both ends of a file name matter most."""
    text = " ".join(text.split())
    if font.getlength(text) <= width:
        return text
    for kept in range(len(text) - 1, 0, -1):
        short = f"{text[: kept - kept // 2]}…{text[len(text) - kept // 2 :]}"
        if font.getlength(short) <= width:
            return short
    return "…"
