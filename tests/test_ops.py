"""Shared operations against hand values."""

import pytest
import torch

from inpaintzoo.ops import (
    RATIO_EDGES,
    bin_labels,
    composite,
    count_bins,
    find_device,
    hole_box,
    mask_ratio,
    pad_to_multiple,
    ratio_bin,
    resize_mask,
    show_hole,
)


def test_composite_keeps_known_pixels_bit_identical():
    image, prediction = torch.rand(2, 3, 8, 8), torch.full((2, 3, 8, 8), float("nan"))
    mask = torch.zeros(2, 1, 8, 8)
    mask[0, 0, 2:4, 2:4] = 1
    result = composite(image, prediction, mask)
    assert torch.equal(result[1], image[1])
    assert result[0, :, 2:4, 2:4].isnan().all()
    assert not result[0].masked_fill(mask[0].bool(), 0).isnan().any()


def test_a_hole_is_shown_white():
    image, mask = torch.full((3, 1, 2), 0.25), torch.tensor([[[1.0, 0.0]]])
    assert show_hole(image, mask).tolist() == [[[1.0, 0.25]]] * 3


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
    assert torch.equal(padded[..., : original[0], : original[1]], image)


@pytest.mark.parametrize(
    ("ratio", "label"),
    [
        (0.0, "0-0.01"),
        (0.01, "0-0.01"),
        (0.010001, "0.01-0.1"),
        (0.1, "0.01-0.1"),
        (0.100001, "0.1-0.2"),
        (0.2, "0.1-0.2"),
        (0.25, "0.2-0.3"),
        (0.3, "0.2-0.3"),
        (0.5, "0.4-0.5"),
        (0.6, "0.5-0.6"),
        (0.600001, "0.6-1"),
        (1.0, "0.6-1"),
    ],
)
def test_bins_are_open_on_the_left_and_closed_on_the_right(ratio, label):
    assert ratio_bin(ratio) == label


@pytest.mark.parametrize("edge", RATIO_EDGES)
def test_a_float32_ratio_stays_on_its_side_of_an_edge(edge):
    assert ratio_bin(float(torch.tensor(edge, dtype=torch.float32))) == ratio_bin(edge)


def test_other_edges_and_their_labels():
    assert bin_labels() == ["0-0.01", "0.01-0.1", "0.1-0.2", "0.2-0.3", "0.3-0.4", "0.4-0.5", "0.5-0.6", "0.6-1"]
    assert bin_labels((0.0, 0.5, 1.0)) == ["0-0.5", "0.5-1"]
    assert ratio_bin(0.0, (0.0, 0.5, 1.0)) == "0-0.5"
    assert ratio_bin(0.45, (0.2, 0.4, 0.6)) == "0.4-0.6"
    counts = count_bins([0.15, 0.9, 0.2])
    assert list(counts) == bin_labels() and {label for label in counts if counts[label]} == {"0.1-0.2", "0.6-1"}
    assert (counts["0.1-0.2"], sum(counts.values())) == (2, 3)


@pytest.mark.parametrize("ratio", [-0.01, 1.01, float("nan")])
def test_a_ratio_out_of_range_is_refused(ratio):
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\]"):
        ratio_bin(ratio)


@pytest.mark.parametrize("edges", [(), (0.3, 0.2), (0.2, 0.2), (-0.1, 0.5), (0.5, 1.5)])
def test_edges_out_of_order_are_refused(edges):
    with pytest.raises(ValueError, match="increase strictly"):
        ratio_bin(0.2, edges)


def test_mask_ratio_counts_each_sample_exactly():
    mask = torch.zeros(3, 1, 10, 10)
    mask[1, 0, 0] = 1
    mask[2] = 1
    ratio = mask_ratio(mask)
    assert ratio.tolist() == [0.0, 0.1, 1.0]  # 0.1 exactly, so that it falls below the edge
    assert ratio_bin(ratio[1].item()) == "0.01-0.1"


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"), [(False, True, "mps"), (True, True, "cuda:0"), (False, False, "cpu")]
)
def test_auto_takes_the_gpu_of_the_machine(monkeypatch, cuda, mps, expected):
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    zeros, asked = torch.zeros, []
    monkeypatch.setattr(torch, "zeros", lambda shape, device: asked.append(device) or zeros(shape))
    find_device("auto")
    assert asked == [expected]
