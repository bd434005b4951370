"""SmoothRefine: its smooth fill against exact diffusion, and what the network adds to it."""

import pytest
import torch
from contract import three_pairs
from torch.nn.functional import interpolate

from inpaintzoo.fills import Diffusion
from inpaintzoo.models import SmoothRefine
from inpaintzoo.models.smooth import smooth_fill
from inpaintzoo.ops import composite


def waves(size):
    generator = torch.Generator().manual_seed(2)
    coarse = torch.rand(3, 3, size // 16, size // 16, generator=generator)
    return interpolate(coarse, (size, size), mode="bicubic").clamp(0, 1)


def test_the_smooth_fill_is_nearly_the_harmonic_one():
    image, (_, mask) = waves(96), three_pairs(96, 96, (20, 70, 30, 75), 30)
    found, exact = smooth_fill(image * (1 - mask), mask), Diffusion()(image, mask).image
    difference = ((found - exact).abs() * mask).sum((1, 2, 3)) / (3 * mask.sum((1, 2, 3)))
    spread = ((exact - exact.mean((2, 3), keepdim=True)).abs() * mask).sum((1, 2, 3)) / (3 * mask.sum((1, 2, 3)))
    assert (difference < 0.2 * spread).all(), difference / spread


@pytest.mark.parametrize(("height", "width"), [(8, 8), (40, 56), (88, 1032)])
def test_a_flat_picture_is_filled_with_its_colour_and_known_pixels_stay(height, width):
    image, mask = torch.full((1, 3, height, width), 0.3), torch.zeros(1, 1, height, width)
    mask[..., 1:, 1:] = 1
    torch.testing.assert_close(smooth_fill(image * (1 - mask), mask), image, atol=1e-5, rtol=0)


def test_without_anything_known_it_is_zero():
    assert (smooth_fill(torch.rand(1, 3, 16, 16), torch.ones(1, 1, 16, 16)) == 0).all()


@torch.no_grad()
def test_an_untrained_network_is_close_to_its_smooth_fill_and_keeps_what_is_known():
    torch.manual_seed(0)
    image, mask = three_pairs(48, 64, (10, 30, 20, 44), 20)
    network = SmoothRefine(width=12).eval()
    smooth = (smooth_fill(torch.where(mask.bool(), 0.0, 2 * image - 1), mask) + 1) / 2
    found = network(image, mask).image
    assert (found - smooth).abs().max() < 0.1
    assert not torch.equal(found, smooth)
    torch.testing.assert_close(found, composite(image, found, mask))


@pytest.mark.parametrize("width", [0, 7])
def test_a_wrong_width_is_refused(width):
    with pytest.raises(ValueError, match=f"SmoothRefine: width must be positive and even, got {width}"):
        SmoothRefine(width=width)
