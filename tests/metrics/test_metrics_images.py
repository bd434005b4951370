"""Metrics of single images against hand values, scikit-image and slow references."""

import math

import numpy as np
import pytest
import scipy.ndimage
import torch
from metric_toys import pairs
from skimage.metrics import structural_similarity

from inpaintzoo.metrics import (
    L1,
    MSSSIM,
    PSNR,
    SSIM,
    L1Grey,
    L1Hole,
    L1Relative,
    PSNRHole,
)

# ---------------------------------------------------------------- pixels


def test_constant_offset_by_hand():
    image = torch.full((2, 3, 8, 8), 0.5)
    mask = torch.zeros(2, 1, 8, 8)
    mask[0, :, :4] = 1  # half of the first image
    mask[1, :, :2] = 1  # a quarter of the second
    prediction = image + torch.tensor([0.1, -0.2]).view(2, 1, 1, 1) * mask

    def check(metric, expected):
        torch.testing.assert_close(metric(prediction, image, mask), torch.tensor(expected), rtol=1e-5, atol=0)

    check(L1(), [0.05, 0.05])
    check(L1(percent=True), [5.0, 5.0])
    check(L1Hole(), [0.1, 0.2])
    check(L1Hole(percent=True), [10.0, 20.0])
    check(L1Relative(percent=True), [100 * 0.05 / 1.05, 100 * 0.05 / 0.95])
    check(PSNR(), [-10 * math.log10(0.01 / 2), -10 * math.log10(0.04 / 4)])
    check(PSNRHole(), [20.0, -10 * math.log10(0.04)])


def test_published_forms_of_l1_by_hand():
    image, mask = torch.full((1, 3, 2, 2), 0.4), torch.ones(1, 1, 2, 2)
    prediction = image.clone()
    prediction[:, 0] += 0.3
    prediction[:, 1] -= 0.15  # channels cancel in the grey form: 0.3 - 0.15 of 3 channels
    assert L1Grey()(prediction, image, mask).item() == pytest.approx(0.05)
    assert L1()(prediction, image, mask).item() == pytest.approx(0.15)
    assert L1Relative()(prediction, image, mask).item() == pytest.approx(0.45 / (3 * 0.8 + 0.15))
    assert L1Relative()(0 * image, 0 * image, mask).item() == 0


def test_identical_image_has_the_capped_psnr():
    image = torch.rand(2, 3, 8, 8)
    mask = torch.zeros(2, 1, 8, 8)
    mask[0, :, :4] = 1
    assert PSNR()(image, image, mask).tolist() == [100.0, 100.0]
    assert PSNR(cap=60)(image + 1e-4, image, mask).tolist() == [60.0, 60.0]
    hole = PSNRHole()(image, image, mask)
    assert hole[0] == 100.0
    assert hole[1].isnan() and L1Hole()(image, image, mask)[1].isnan()
    with pytest.raises(ValueError, match="cap must be a positive, finite number of dB, got inf"):
        PSNR(cap=math.inf)


def test_shapes_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match=r"got \(1, 3, 8, 8\), \(2, 3, 8, 8\) and \(2, 1, 8, 8\)"):
        L1()(torch.rand(1, 3, 8, 8), torch.rand(2, 3, 8, 8), torch.zeros(2, 1, 8, 8))


# ---------------------------------------------------------------- similarity


@pytest.mark.parametrize(
    ("metric", "options"),
    [
        (SSIM(), {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}),
        (SSIM(sample_covariance=True), {"gaussian_weights": True, "sigma": 1.5}),
        (SSIM("uniform", 11, sample_covariance=True), {"win_size": 11}),
        (SSIM("uniform", 51, sample_covariance=True), {"win_size": 51}),
        (SSIM("uniform", 7), {"win_size": 7, "use_sample_covariance": False}),
    ],
)
def test_ssim_equals_scikit_image(metric, options):
    prediction, image, mask = pairs(count=2, size=61)
    expected = [
        structural_similarity(a.double().numpy(), b.double().numpy(), channel_axis=0, data_range=1.0, **options)
        for a, b in zip(prediction, image, strict=True)
    ]
    np.testing.assert_allclose(metric(prediction, image, mask), expected, rtol=1e-6)


def test_ssim_names_and_limits():
    assert SSIM().name == "ssim"
    assert SSIM("uniform", 51).name == "ssim_uniform51"
    assert "sample covariance" in SSIM("uniform", 51, sample_covariance=True).definition
    with pytest.raises(ValueError, match="at least 11x11, got 10x20"):
        SSIM()(torch.rand(1, 3, 10, 20), torch.rand(1, 3, 10, 20), torch.zeros(1, 1, 10, 20))
    with pytest.raises(ValueError, match="odd side of at least 3 pixels, got 10"):
        SSIM("uniform", 10)
    with pytest.raises(ValueError, match="got 'box'"):
        SSIM("box")
    with pytest.raises(ValueError, match="sigma must be a positive number of pixels, got 0"):
        SSIM(sigma=0)


def slow_ms_ssim(a, b, betas):
    """MS-SSIM of one `(H, W)` channel by Wang et al. 2003, with scipy's filters."""
    product = 1.0
    for scale, beta in enumerate(betas):
        if scale:
            odd = [(0, side % 2) for side in a.shape]
            a, b = (np.pad(x, odd, mode="symmetric") for x in (a, b))
            a, b = ((x[::2, ::2] + x[1::2, ::2] + x[::2, 1::2] + x[1::2, 1::2]) / 4 for x in (a, b))

        def blur(x):
            return scipy.ndimage.gaussian_filter(x, 1.5, radius=5)[5:-5, 5:-5]

        mean_a, mean_b = blur(a), blur(b)
        contrast = (2 * (blur(a * b) - mean_a * mean_b) + 9e-4) / (
            blur(a * a) - mean_a**2 + blur(b * b) - mean_b**2 + 9e-4
        )
        luminance = (2 * mean_a * mean_b + 1e-4) / (mean_a**2 + mean_b**2 + 1e-4)
        last = scale == len(betas) - 1
        product *= max((luminance * contrast if last else contrast).mean(), 0.0) ** beta
    return product


@pytest.mark.parametrize("size", [(161, 176), (192, 201)])
def test_ms_ssim_equals_a_slow_reference(size):
    generator = torch.Generator().manual_seed(1)
    image = torch.rand(1, 3, *size, generator=generator)
    prediction = (image + 0.2 * torch.randn(image.shape, generator=generator)).clamp(0, 1)
    metric = MSSSIM()
    expected = np.mean(
        [
            slow_ms_ssim(a.numpy(), b.numpy(), metric.betas)
            for a, b in zip(prediction[0].double(), image[0].double(), strict=True)
        ]
    )
    assert metric(prediction, image, torch.zeros(1, 1, *size)).item() == pytest.approx(expected, rel=1e-6)
    assert metric(image, image, torch.zeros(1, 1, *size)).item() == pytest.approx(1.0, abs=1e-7)


def test_ms_ssim_of_small_images_needs_an_explicit_choice():
    prediction, image, mask = pairs(count=1, size=160)
    with pytest.raises(ValueError, match="5 scales needs images of at least 161x161, got 160x160; give fewer `betas`"):
        MSSSIM()(prediction, image, mask)
    fewer = MSSSIM(betas=(0.5, 0.5))
    assert fewer.name == "ms_ssim_2" and "betas 0.5, 0.5" in fewer.definition
    expected = np.mean(
        [slow_ms_ssim(a, b, (0.5, 0.5)) for a, b in zip(prediction[0].numpy(), image[0].numpy(), strict=True)]
    )
    assert fewer(prediction, image, mask).item() == pytest.approx(expected, rel=1e-4)
    with pytest.raises(ValueError, match="betas must be positive"):
        MSSSIM(betas=())


def test_negative_structure_counts_as_zero_not_nan():
    image = torch.rand(1, 3, 161, 161)
    assert MSSSIM()(1 - image, image, torch.zeros(1, 1, 161, 161)).item() == 0.0
