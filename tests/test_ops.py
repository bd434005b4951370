"""Shared operations against hand values."""

import pytest
import torch

from inpaintzoo.ops import composite, hole_box, pad_to_multiple, resize_mask, unpad


def test_composite_keeps_known_pixels_bit_identical():
    image, prediction = torch.rand(2, 3, 8, 8), torch.full((2, 3, 8, 8), float("nan"))
    mask = torch.zeros(2, 1, 8, 8)
    mask[0, 0, 2:4, 2:4] = 1
    result = composite(image, prediction, mask)
    assert torch.equal(result[1], image[1])
    assert result[0, :, 2:4, 2:4].isnan().all()
    assert not result[0].masked_fill(mask[0].bool(), 0).isnan().any()


def test_hole_boxes_of_different_holes():
    mask = torch.zeros(3, 1, 6, 8)
    mask[0, 0, 1:3, 2:7] = 1
    mask[1, 0, 5, 0] = 1
    assert hole_box(mask).tolist() == [[2, 1, 7, 3], [0, 5, 1, 6], [0, 0, 8, 6]]


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("any", [[1.0, 0.0], [0.0, 0.0]]), ("nearest", [[0.0, 0.0], [0.0, 0.0]])],
)
def test_resize_mask_keeps_thin_holes_only_with_any(mode, expected):
    mask = torch.zeros(1, 1, 4, 4)
    mask[0, 0, 1, 1] = 1
    assert resize_mask(mask, (2, 2), mode)[0, 0].tolist() == expected


def test_bilinear_resize_is_corner_aligned():
    mask = torch.tensor([[[[1.0, 0.0, 0.0]]]])
    assert resize_mask(mask, (1, 5), "bilinear")[0, 0, 0].tolist() == [1.0, 0.5, 0.0, 0.0, 0.0]


@pytest.mark.parametrize("size", [(5, 7), (8, 8), (1, 3), (9, 2)])
def test_padding_is_undone(size):
    image = torch.rand(1, 3, *size)
    padded, original = pad_to_multiple(image, 8)
    assert padded.shape[-2] % 8 == padded.shape[-1] % 8 == 0
    assert torch.equal(unpad(padded, original), image)
