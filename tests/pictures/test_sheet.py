"""Contact sheets: where each picture lies, and what is refused."""

import numpy as np
import pytest
import torch
from PIL import Image

from inpaintzoo.pictures.sheet import contact_sheet, mask_sheet


def plain(width, height, colour):
    return Image.new("RGB", (width, height), colour)


def test_pictures_lie_in_reading_order_in_cells_of_the_largest():
    sheet = contact_sheet([plain(10, 6, "red"), None, plain(4, 8, "lime")], columns=2, gap=3, background=(1, 2, 3))
    assert sheet.size == (2 * 13 + 3, 2 * 11 + 3)
    pixels = np.asarray(sheet)
    assert (pixels[3:9, 3:13] == (255, 0, 0)).all() and (pixels[14:22, 3:7] == (0, 255, 0)).all()
    rest = np.ones(pixels.shape[:2], dtype=bool)
    rest[3:9, 3:13] = rest[14:22, 3:7] = False
    assert (pixels[rest] == (1, 2, 3)).all()


def test_fewer_pictures_than_columns_leave_no_room_for_more():
    assert contact_sheet([plain(10, 10, "red")], columns=8, gap=2).size == (14, 14)


def test_captions_lie_below_their_pictures():
    sheet = np.asarray(contact_sheet([plain(40, 10, "red")] * 2, 1, 2, (0, 0, 0), captions=["one", ""]))
    assert sheet.shape == (2 * (10 + 14 + 2) + 2, 44, 3)
    assert (sheet[12:26] > 0).any() and not sheet[38:].any()


def test_bad_numbers_are_refused():
    with pytest.raises(ValueError, match="0 pictures and 0 captions"):
        contact_sheet([None], 1)
    with pytest.raises(ValueError, match="1 pictures and 2 captions"):
        contact_sheet([plain(2, 2, "red")], 1, captions=["a", "b"])


def test_masks_are_white_and_brought_to_one_size():
    mask = torch.zeros(1, 8, 16)
    mask[..., :8] = 1
    sheet = np.asarray(mask_sheet([mask], ["half"], cell=64))
    assert (sheet[6:38, 6:38] == 255).all() and (sheet[6:38, 38:70] == 0).all()
