"""Metrics of the hole's border, the padded SSIM and the percent forms, against distances, loops and hand values."""

import numpy as np
import pytest
import scipy.ndimage
import torch
from scipy.ndimage import distance_transform_cdt

from inpaintzoo.metrics import L1, MSSSIM, SSIM, L1Border, L1Hole, MetricSuite, PSNRBorder
from inpaintzoo.metrics.pixel import border


def random_blobs(size=40, seed=0):
    noise = np.random.default_rng(seed).normal(size=(size, size))
    return torch.from_numpy(scipy.ndimage.gaussian_filter(noise, 4) > 0)[None].double()


def distances(holes):
    """Chessboard distance of each pixel to the nearest of the other kind; infinite where there is none."""
    far = np.full(holes.shape, np.inf)
    inside = np.where(holes, distance_transform_cdt(holes, "chessboard"), far) if (~holes).any() else far
    outside = np.where(~holes, distance_transform_cdt(~holes, "chessboard"), far) if holes.any() else far
    return np.minimum(inside, outside)


@pytest.mark.parametrize("width", [1, 3, 4])
@pytest.mark.parametrize("seed", [0, 1])
def test_border_is_what_is_near_the_other_kind(width, seed):
    mask = random_blobs(seed=seed)
    expected = distances(mask[0].numpy().astype(bool)) <= width
    assert 0 < expected.sum() < expected.size
    assert np.array_equal(border(mask, width)[0].numpy(), expected)
    batch = torch.stack([mask, 1 - mask])
    assert torch.equal(border(batch, width)[1], border(mask, width)), "a hole and its complement share a border"


def test_the_frames_sides_are_no_border():
    mask = torch.zeros(1, 9, 9)
    mask[:, :3] = 1  # a hole along the upper side
    rows = border(mask, 2)[0].sum(dim=1)
    assert rows.tolist() == [0, 9, 9, 9, 9, 0, 0, 0, 0]
    assert border(torch.ones(1, 9, 9), 2).sum() == border(torch.zeros(1, 9, 9), 2).sum() == 0


def test_border_metrics_by_hand():
    image = torch.full((1, 3, 16, 16), 0.5)
    mask = torch.zeros(1, 1, 16, 16)
    mask[..., 8:] = 1
    prediction = image.clone()
    prediction[..., 8:] += 0.2  # the hole, its border and what lies deep inside
    prediction[..., 12:] += 0.2  # deep inside: no business of the border of 4
    assert L1Border()(prediction, image, mask).item() == pytest.approx(0.1)  # known side 0, hole side 0.2
    assert L1Border(percent=True)(prediction, image, mask).item() == pytest.approx(10)
    assert PSNRBorder()(prediction, image, mask).item() == pytest.approx(-10 * np.log10(0.04 / 2))
    assert L1Border(width=6)(prediction, image, mask).item() == pytest.approx((4 * 0.2 + 2 * 0.4) / 12)
    assert L1Hole()(prediction, image, mask).item() == pytest.approx(0.3)
    assert PSNRBorder(width=1, cap=30)(image, image, mask).item() == 30
    raw = image + 0.2  # a raw prediction errs on the known side too
    assert L1Border()(raw, image, mask).item() == pytest.approx(0.2)


def test_border_names_definitions_and_limits():
    assert (L1Border().name, L1Border(width=2).name) == ("l1_border", "l1_border2")
    assert (PSNRBorder().name, PSNRBorder(width=2).name) == ("psnr_border", "psnr_border2")
    assert "at most 4 px from the hole's edge" in L1Border().definition
    assert "at most 2 px" in PSNRBorder(width=2).definition and "cut to 100 dB" in PSNRBorder(width=2).definition
    with pytest.raises(ValueError, match="L1Border: width must be at least 1 pixel, got 0"):
        L1Border(width=0)
    with pytest.raises(ValueError, match="PSNRBorder: width must be at least 1 pixel, got -1"):
        PSNRBorder(width=-1)


def test_an_image_without_a_hole_has_no_border():
    image = torch.rand(2, 3, 12, 12)
    mask = torch.zeros(2, 1, 12, 12)
    mask[1, :, :6] = 1
    suite = MetricSuite([L1Border(), PSNRBorder()])
    suite.update(image, {"image": image, "mask": mask, "index": torch.arange(2)})
    rows = suite.compute().rows
    assert rows[0]["l1_border"] is None and rows[0]["psnr_border"] is None
    assert rows[1]["l1_border"] == 0 and rows[1]["psnr_border"] == 100


# ---------------------------------------------------------------- SSIM with a window around each pixel


def test_padded_ssim_equals_filters_with_black_borders():
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(1, 3, 24, 31, generator=generator)
    prediction = (image + 0.2 * torch.randn(image.shape, generator=generator)).clamp(0, 1)

    def blur(channel):
        return scipy.ndimage.gaussian_filter(channel, 1.5, radius=5, mode="constant")

    values = []
    for a, b in zip(prediction[0].double().numpy(), image[0].double().numpy(), strict=True):
        mean_a, mean_b = blur(a), blur(b)
        variance_a, variance_b = blur(a * a) - mean_a**2, blur(b * b) - mean_b**2
        covariance = blur(a * b) - mean_a * mean_b
        values.append(
            (2 * mean_a * mean_b + 1e-4)
            * (2 * covariance + 9e-4)
            / ((mean_a**2 + mean_b**2 + 1e-4) * (variance_a + variance_b + 9e-4))
        )
    metric = SSIM(padded=True)
    assert metric.name == "ssim_gaussian11_padded" and "black beyond the frame" in metric.definition
    assert metric(prediction, image, torch.zeros(1, 1, 24, 31)).item() == pytest.approx(np.mean(values), rel=1e-6)
    assert SSIM()(prediction, image, torch.zeros(1, 1, 24, 31)).item() != pytest.approx(np.mean(values), rel=1e-3)


# ---------------------------------------------------------------- percent


def test_percent_forms_are_a_hundred_times_the_plain_ones():
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(1, 3, 48, 48, generator=generator)
    prediction = (image + 0.1 * torch.randn(image.shape, generator=generator)).clamp(0, 1)
    mask = torch.zeros(1, 1, 48, 48)
    mask[..., 20:30] = 1
    plain, percent = MSSSIM(betas=(0.5, 0.5)), MSSSIM(betas=(0.5, 0.5), percent=True)
    for one, hundred in ((plain, percent), (L1(), L1(percent=True)), (L1Border(), L1Border(percent=True))):
        assert (one.name, one.unit, hundred.unit) == (hundred.name, "", "%")
        assert hundred.definition.startswith("100 * ") and not one.definition.startswith("100")
        expected = 100 * one(prediction, image, mask).item()
        assert hundred(prediction, image, mask).item() == pytest.approx(expected, rel=1e-6)


def test_all_hole_and_no_hole_have_no_border_and_do_not_spoil_the_mean():
    images = torch.full((3, 3, 16, 16), 0.5)
    masks = torch.zeros(3, 1, 16, 16)
    masks[1] = 1
    masks[2, ..., 8:] = 1
    suite = MetricSuite([L1Border(), PSNRBorder()])
    suite.update(images + 0.25 * masks, {"image": images, "mask": masks, "index": torch.arange(3)})
    results = suite.compute()
    assert [row["l1_border"] for row in results.rows] == [None, None, 0.125]
    assert results.summary()["all"]["l1_border"] == 0.125
    assert "l1_border: 2 of 3 images have no hole or nothing else and do not count." in results.table()
