"""Contact sheets: many pictures in one."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PIL import Image, ImageDraw
from torch import Tensor

from inpaintzoo.ops import mask_ratio
from inpaintzoo.pictures.images import tensor_to_image

LINE = 14
"""Height of a line of text, in pixels."""


def contact_sheet(
    pictures: Sequence[Image.Image | None],
    columns: int,
    gap: int = 2,
    background: tuple[int, int, int] = (255, 255, 255),
    captions: Sequence[str] = (),
) -> Image.Image:
    """Pictures in reading order, in cells of the largest one's size.

    Args:
        pictures: RGB or greyscale; None leaves a cell empty.
        columns: pictures in a row.
        gap: between and around them, in pixels.
        background: its colour; captions are white.
        captions: a line below each picture; nothing leaves no room for them.

    Raises:
        ValueError: no pictures, or another number of captions.
    """
    sizes = [picture.size for picture in pictures if picture is not None]
    if not sizes or len(captions) not in (0, len(pictures)):
        raise ValueError(
            f"contact_sheet: {len(sizes)} pictures and {len(captions)} captions; give at least one picture, and a "
            "caption for each or none at all"
        )
    columns = min(columns, len(pictures))
    width = max(width for width, _ in sizes) + gap
    height = max(height for _, height in sizes) + gap + (LINE if captions else 0)
    rows = math.ceil(len(pictures) / columns)
    sheet = Image.new("RGB", (columns * width + gap, rows * height + gap), background)
    pen = ImageDraw.Draw(sheet)
    for number, picture in enumerate(pictures):
        left, top = gap + number % columns * width, gap + number // columns * height
        if picture is not None:
            sheet.paste(picture.convert("RGB"), (left, top))
        if captions:
            pen.text((left, top + height - gap - LINE + 1), captions[number], fill=(255, 255, 255))
    return sheet


def mask_sheet(masks: Sequence[Tensor], captions: Sequence[str], columns: int = 8, cell: int = 128) -> Image.Image:
    """A contact sheet of masks, white = hole, with a caption and the hole ratio below each.

    Args:
        masks: `(1, H, W)` each, of any size.
        captions: one for each mask, kept short since the ratio follows it.
        columns: masks in a row.
        cell: longest side of a mask on the sheet, in pixels.
    """
    pictures = []
    for mask in masks:
        height, width = mask.shape[-2:]
        shrink = cell / max(height, width)
        size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
        pictures.append(tensor_to_image(mask).resize(size, Image.Resampling.BOX))
    lines = [
        f"{caption} {mask_ratio(mask[None]).item():.3f}".strip() for mask, caption in zip(masks, captions, strict=True)
    ]
    return contact_sheet(pictures, columns, gap=6, background=(90, 90, 110), captions=lines)
