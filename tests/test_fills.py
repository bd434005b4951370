"""Fills without a network, against loops and the properties that define them."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from toys import rand

from inpaintzoo.fills import Biharmonic, Diffusion, MeanColour, biharmonic_fill, diffusion_fill, mean_fill

FILLS = [mean_fill, diffusion_fill, biharmonic_fill]


def scene(batch: int, height: int, width: int) -> Tensor:
    """Noise on a gradient, so that fills differ from place to place."""
    return (rand(batch, 3, height, width) + torch.linspace(0, 1, width)) / 2


def masks(height: int, width: int) -> Tensor:
    """Five holes: a square, one from edge to edge, scattered pixels, blobs, all but two pixels."""
    mask = torch.zeros(5, 1, height, width)
    mask[0, :, height // 4 : 3 * height // 4, width // 4 : 3 * width // 4] = 1
    mask[1, :, :, width // 3 :] = 1
    mask[2] = rand(1, height, width, seed=1) < 0.6
    mask[3] = F.interpolate(rand(1, 1, 9, 9, seed=2), size=(height, width), mode="bilinear")[0] > 0.5
    mask[4] = 1
    mask[4, :, 0, 0] = mask[4, :, height // 2, width // 3] = 0
    return mask


# -- mean --------------------------------------------------------------------------------------------------------------


def test_mean_fill_against_a_loop() -> None:
    image, mask = scene(5, 12, 10), masks(12, 10)
    filled = mean_fill(image, mask)
    for b in range(5):
        hole = mask[b, 0] == 1
        for c in range(3):
            torch.testing.assert_close(
                filled[b, c][hole], torch.full((int(hole.sum()),), float(image[b, c][~hole].mean()))
            )


# -- diffusion ---------------------------------------------------------------------------------------------------------


def off_the_mean_of_neighbours(picture: Tensor) -> Tensor:
    """How far each pixel of `(C, H, W)` is from the mean of its neighbours within the frame."""
    total, count = torch.zeros_like(picture), torch.zeros_like(picture)
    for here, there in ((slice(1, None), slice(None, -1)), (slice(None, -1), slice(1, None))):
        total[:, here] += picture[:, there]
        total[:, :, here] += picture[:, :, there]
        count[:, here] += 1
        count[:, :, here] += 1
    return (picture - total / count).abs()


@pytest.mark.parametrize("size", [(64, 64), (67, 93), (160, 161), (16, 5)])
def test_diffusion_makes_every_pixel_the_mean_of_its_neighbours(size) -> None:
    """The discrete Laplace equation has one solution, which defines the fill."""
    image, mask = scene(5, *size).double(), masks(*size).double()
    filled = diffusion_fill(image, mask)
    assert (filled - mean_fill(image, mask)).abs().max() > 0.05
    for b in range(5):
        assert off_the_mean_of_neighbours(filled[b])[:, mask[b, 0] == 1].max() < 1e-10
    torch.testing.assert_close(diffusion_fill(image.float(), mask.float()).double(), filled, atol=1e-6, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_diffusion_in_half_precision_is_the_exact_one_rounded(dtype) -> None:
    image, mask = scene(5, 20, 24).to(dtype), masks(20, 24).to(dtype)
    filled, exact = diffusion_fill(image, mask), diffusion_fill(image.double(), mask.double())
    assert filled.dtype == dtype
    assert torch.equal(filled, exact.to(dtype))


def test_fills_carry_no_gradient() -> None:
    image, mask = scene(1, 16, 16).requires_grad_(), masks(16, 16)[:1]
    assert not diffusion_fill(image, mask).requires_grad and not biharmonic_fill(image, mask).requires_grad


def test_diffusion_continues_a_ramp() -> None:
    """A linear function is harmonic: a square inside is restored."""
    image = (torch.linspace(0, 1, 40) + torch.linspace(0, 1, 32)[:, None]).expand(1, 3, 32, 40) / 2
    mask = masks(32, 40)[:1]
    torch.testing.assert_close(diffusion_fill(image, mask), image, atol=1e-6, rtol=0)


def test_diffusion_keeps_within_the_known_range_of_each_sample_and_channel() -> None:
    image, mask = 0.2 + 0.5 * scene(5, 32, 32), masks(32, 32)
    filled = diffusion_fill(image, mask)
    for b in range(5):
        known = image[b][:, mask[b, 0] == 0]
        assert (filled[b].flatten(1).amin(1) >= known.amin(1) - 1e-6).all()
        assert (filled[b].flatten(1).amax(1) <= known.amax(1) + 1e-6).all()


def test_diffusion_under_autocast_is_the_same() -> None:
    image, mask = scene(2, 32, 32), masks(32, 32)[:2]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        filled = diffusion_fill(image, mask)
    assert torch.equal(filled, diffusion_fill(image, mask))


@pytest.mark.parametrize("settings", [{"tolerance": 1e-3}, {"max_iterations": 500}])
def test_settings_of_the_iterative_solver_are_accepted_and_ignored(settings) -> None:
    with pytest.warns(FutureWarning, match="have no effect, the solution is exact; leave them out"):
        generator = Diffusion(**settings)
    image, mask = scene(1, 16, 16), masks(16, 16)[:1]
    assert torch.equal(generator(image, mask).image, diffusion_fill(image, mask))


# -- biharmonic --------------------------------------------------------------------------------------------------------


def test_biharmonic_continues_slopes_where_diffusion_does_not() -> None:
    """A parabola is biharmonic, not harmonic."""
    image = (torch.linspace(-1, 1, 24) ** 2).expand(1, 3, 24, 24)
    mask = torch.zeros(1, 1, 24, 24)
    mask[..., 8:16, 8:16] = 1
    torch.testing.assert_close(biharmonic_fill(image, mask), image, atol=1e-4, rtol=0)
    assert (diffusion_fill(image, mask) - image).abs().max() > 0.02


def test_biharmonic_has_a_vanishing_bilaplacian_inside() -> None:
    image, mask = scene(1, 20, 20), torch.zeros(1, 1, 20, 20)
    mask[..., 6:14, 6:14] = 1
    stencil = torch.tensor([[0, 0, 1, 0, 0], [0, 2, -8, 2, 0], [1, -8, 20, -8, 1], [0, 2, -8, 2, 0], [0, 0, 1, 0, 0.0]])
    filled = biharmonic_fill(image, mask).double()
    result = F.conv2d(filled.transpose(0, 1), stencil.double()[None, None], padding=2)[..., 6:14, 6:14]
    inside = (filled > filled.amin()) & (filled < filled.amax())  # the fill is clipped to the known range
    assert inside[..., 6:14, 6:14].all()
    assert result.abs().max() < 1e-4


# -- what all of them keep ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fill", FILLS)
def test_known_pixels_stay_and_the_hole_is_never_read(fill) -> None:
    image, mask = scene(5, 16, 18), masks(16, 18)
    hole = mask.bool().expand_as(image)
    filled = fill(image, mask)
    assert torch.equal(filled[~hole], image[~hole])
    assert filled[hole].ne(image[hole]).float().mean() > 0.9
    for poison in (0.0, 1e9, torch.nan, torch.inf):
        assert torch.equal(fill(image.masked_fill(hole, poison), mask), filled)
    assert filled.min() >= 0 and filled.max() <= 1


@pytest.mark.parametrize("fill", FILLS)
def test_no_hole_returns_the_image_and_all_hole_mid_grey(fill) -> None:
    image, mask = scene(3, 16, 16), torch.zeros(3, 1, 16, 16)
    mask[1], mask[2, :, 4:8, 4:8] = 1, 1
    filled = fill(image, mask)
    assert torch.equal(filled[0], image[0])
    assert torch.equal(filled[1], torch.full((3, 16, 16), 0.5))
    assert torch.equal(filled[2:], fill(image[2:], mask[2:]))


@pytest.mark.parametrize("fill", FILLS)
def test_samples_do_not_see_each_other(fill) -> None:
    image, mask = scene(5, 16, 18), masks(16, 18)
    together = fill(image, mask)
    alone = torch.cat([fill(image[b : b + 1], mask[b : b + 1]) for b in range(5)])
    torch.testing.assert_close(together, alone, atol=1e-6, rtol=0)


@pytest.mark.parametrize("fill", FILLS)
def test_a_turned_picture_is_filled_alike(fill) -> None:
    image, mask = scene(5, 16, 18), masks(16, 18)
    turned = fill(image.rot90(dims=(2, 3)), mask.rot90(dims=(2, 3))).rot90(-1, dims=(2, 3))
    torch.testing.assert_close(turned, fill(image, mask), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("generator", "fill"), [(MeanColour(), mean_fill), (Diffusion(), diffusion_fill), (Biharmonic(), biharmonic_fill)]
)
def test_generators_are_the_functions_without_parameters(generator, fill) -> None:
    image, mask = scene(2, 16, 16), masks(16, 16)[:2]
    assert torch.equal(generator(image, mask).image, fill(image, mask))
    assert list(generator.parameters()) == [] and generator.state_dict() == {}
    with pytest.raises(ValueError, match="the mask must be"):
        generator(image, mask[:1])
