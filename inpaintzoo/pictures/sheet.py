"""Contact sheets: many masks in one picture, each with its hole ratio."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PIL import Image, ImageDraw
from torch import Tensor

from inpaintzoo.ops import mask_ratio

_GAP, _CAPTION = 6, 14  # pixels


def contact_sheet(masks: Sequence[Tensor], captions: Sequence[str], columns: int = 8, cell: int = 128) -> Image.Image:
    """Masks side by side, white = hole, with a caption and the ratio below each.

    Args:
        masks: `(1, H, W)` each, of any size.
        captions: one a mask, kept short: the ratio follows it.
        columns: masks a row.
        cell: longest side of a mask on the sheet, in pixels.
    """
    if not masks or len(masks) != len(captions):
        raise ValueError(
            f"contact_sheet: {len(masks)} masks and {len(captions)} captions; give as many, and one at least"
        )
    columns = min(columns, len(masks))
    step_x, step_y = cell + _GAP, cell + _CAPTION + _GAP
    rows = math.ceil(len(masks) / columns)
    sheet = Image.new("RGB", (columns * step_x + _GAP, rows * step_y + _GAP), (90, 90, 110))
    pen = ImageDraw.Draw(sheet)
    for position, (mask, caption) in enumerate(zip(masks, captions, strict=True)):
        left, top = _GAP + position % columns * step_x, _GAP + position // columns * step_y
        height, width = mask.shape[-2:]
        shrink = cell / max(height, width)
        picture = Image.fromarray((mask[0] * 255).byte().numpy())
        size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
        sheet.paste(picture.resize(size, Image.Resampling.BOX).convert("RGB"), (left, top))
        ratio = mask_ratio(mask[None]).item()
        pen.text((left, top + cell + 1), f"{caption} {ratio:.3f}".strip(), fill=(255, 255, 255))
    return sheet
