"""Ratio bins: left-open, right-closed, nothing falls out."""

import pytest
import torch

from inpaintzoo.ops import RATIO_EDGES, bin_labels, count_bins, mask_ratio, ratio_bin


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
