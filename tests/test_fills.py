"""Fills without a network, against loops and the properties that define them."""

import warnings
from typing import get_args

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from predictor_toys import noise
from torch import Tensor
from toys import rand

from benchmarks import fills as sheets
from inpaintzoo import fills
from inpaintzoo.fills import (
    FSR,
    Biharmonic,
    Diffusion,
    FSRFast,
    MeanColour,
    NavierStokes,
    ShiftMap,
    Telea,
    biharmonic_fill,
    diffusion_fill,
    fsr_fast_fill,
    fsr_fill,
    mean_fill,
    navier_stokes_fill,
    shiftmap_fill,
    telea_fill,
)
from inpaintzoo.types import FillName, InpaintzooError

SMOOTH = [mean_fill, diffusion_fill, biharmonic_fill]
CLASSICAL = [shiftmap_fill, fsr_fill, fsr_fast_fill, telea_fill, navier_stokes_fill]
FILLS = [*SMOOTH, shiftmap_fill, fsr_fast_fill, telea_fill, navier_stokes_fill]  # fsr_fill takes seconds
pytestmark = pytest.mark.filterwarnings("ignore:shift-map")  # the pictures here are tiny


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


def hole_in(height: int, width: int, *boxes: tuple[int, int, int, int]) -> Tensor:
    mask = torch.zeros(1, 1, height, width)
    for top, left, bottom, right in boxes:
        mask[..., top:bottom, left:right] = 1
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


# -- Telea, Navier-Stokes, frequency-selective reconstruction ----------------------------------------------------------


@pytest.mark.parametrize("fill", [telea_fill, navier_stokes_fill])
def test_marching_fills_are_opencvs_on_8_bits(fill) -> None:
    """OpenCV's own result on the same pixels, up to the rounding that it does and we do not."""
    pixels = (255 * scene(1, 40, 48)).round()
    mask = hole_in(40, 48, (14, 16, 22, 30))
    method = cv2.INPAINT_TELEA if fill is telea_fill else cv2.INPAINT_NS
    bytes_ = pixels[0].permute(1, 2, 0).numpy().astype(np.uint8)
    expected = cv2.inpaint(bytes_, mask[0, 0].numpy().astype(np.uint8), 3, method)
    assert np.abs(255 * fill(pixels / 255, mask)[0].permute(1, 2, 0).numpy() - expected).max() < 6


@pytest.mark.parametrize("fill", CLASSICAL)
def test_classical_fills_use_more_than_8_bits(fill) -> None:
    """A ramp over one 256th of the range: with 8 bits it would have two levels."""
    image = (0.5 + torch.linspace(0, 1 / 256, 96)).expand(1, 3, 96, 96).contiguous()
    mask = hole_in(96, 96, (40, 40, 44, 54))
    filled = fill(image, mask)[0, 0, 40:44, 40:54]
    assert filled.unique().numel() > 8
    assert filled.min() >= image.min() - 1e-6 and filled.max() <= image.max() + 1e-6


@pytest.mark.parametrize("fill", [fsr_fill, fsr_fast_fill])
def test_frequency_selective_reconstruction_continues_waves(fill) -> None:
    """What it assumes of a picture, few frequencies, and diffusion does not."""
    wave = 0.5 + 0.4 * torch.sin(torch.arange(48) * torch.pi / 4)
    image = wave.expand(1, 3, 48, 48).contiguous()
    mask = hole_in(48, 48, (20, 20, 26, 26))
    assert (fill(image, mask) - image).abs().max() < 0.15 < (diffusion_fill(image, mask) - image).abs().max()


def test_channels_keep_their_order() -> None:
    image = torch.tensor([0.9, 0.5, 0.1])[:, None, None].expand(1, 3, 64, 64) + 0.02 * rand(1, 3, 64, 64)
    mask = hole_in(64, 64, (24, 24, 30, 30))
    for fill in CLASSICAL:
        torch.testing.assert_close(fill(image, mask).mean((2, 3)), image.mean((2, 3)), atol=0.01, rtol=0)


def test_a_missing_xphoto_is_said(monkeypatch) -> None:
    monkeypatch.delattr(cv2, "xphoto")
    image, mask = scene(1, 40, 40), hole_in(40, 40, (9, 9, 12, 12))
    for fill in (shiftmap_fill, fsr_fill):
        with pytest.raises(InpaintzooError, match="install opencv-contrib-python-headless"):
            fill(image, mask)


def test_an_error_of_opencv_is_a_sentence(monkeypatch) -> None:
    def fails(*arguments: object) -> None:
        raise cv2.error("(-215:Assertion failed)\n things")

    monkeypatch.setattr(cv2.xphoto, "inpaint", fails)
    for fill in (shiftmap_fill, fsr_fast_fill):
        with pytest.raises(InpaintzooError, match=r"failed: \(-215:Assertion failed\) things; use another fill"):
            fill(scene(1, 40, 40), hole_in(40, 40, (9, 9, 12, 12)))


# -- shift-map ---------------------------------------------------------------------------------------------------------


def bricks(height: int, width: int) -> Tensor:
    """A texture that repeats every 16 pixels across and 12 down, with grain."""
    rows, columns = torch.arange(height)[:, None], torch.arange(width)
    mortar = (rows % 12 < 2) | ((columns + 8 * (rows // 12 % 2)) % 16 < 2)
    colour = torch.where(
        mortar, torch.tensor([0.8, 0.8, 0.75])[:, None, None], torch.tensor([0.6, 0.3, 0.2])[:, None, None]
    )
    return (0.9 * colour + 0.1 * rand(3, height, width))[None]


def colours(image: Tensor, where: Tensor) -> set[tuple[float, ...]]:
    return set(map(tuple, image[0].permute(1, 2, 0)[where[0, 0] > 0].tolist()))


def test_shiftmap_copies_known_pixels_exactly_and_continues_a_texture() -> None:
    image, mask = bricks(128, 128), hole_in(128, 128, (50, 50, 80, 80))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        filled = shiftmap_fill(image, mask)
    assert colours(filled, mask) <= colours(image, 1 - mask)
    error = lambda fill: float((fill - image)[mask.expand_as(image) > 0].abs().mean())  # noqa: E731
    assert error(filled) < 0.5 * error(diffusion_fill(image, mask))


def test_shiftmap_is_the_same_whatever_ran_before() -> None:
    image, mask = bricks(96, 96), hole_in(96, 96, (40, 40, 60, 60))
    cv2.setRNGSeed(1)
    first, threads = shiftmap_fill(image, mask), cv2.getNumThreads()
    cv2.setRNGSeed(99)
    np.random.seed(3)
    try:
        cv2.setNumThreads(3 - min(threads, 2))
        assert torch.equal(shiftmap_fill(image, mask), first)
    finally:
        cv2.setNumThreads(threads)


def test_shiftmap_fills_a_large_hole_with_whole_cells_from_elsewhere(monkeypatch) -> None:
    """Searched at reduced size, the pixels still come from the full picture, and a note says so."""
    monkeypatch.setattr("inpaintzoo.fills.shiftmap.MOST_HOLE", 300)
    image, mask = bricks(200, 200), hole_in(200, 200, (70, 71, 120, 118))
    with pytest.warns(UserWarning, match="shift-map: .* reduced size"):
        filled = shiftmap_fill(image, mask)
    assert torch.equal(filled * (1 - mask), image * (1 - mask))
    assert colours(filled, mask) <= colours(image, 1 - mask)


def test_shiftmap_sees_a_window_around_each_hole(monkeypatch) -> None:
    sizes = []
    inpaint = cv2.xphoto.inpaint
    monkeypatch.setattr(cv2.xphoto, "inpaint", lambda src, *rest: (sizes.append(src.shape[:2]), inpaint(src, *rest)))
    image, mask = bricks(300, 900), hole_in(300, 900, (20, 20, 30, 30), (200, 800, 220, 830))
    filled = shiftmap_fill(image, mask)
    assert len(sizes) == 2 and max(max(size) for size in sizes) < 240
    alone = shiftmap_fill(image[..., :300], mask[..., :300])
    assert torch.equal(filled[..., :300], alone)


@pytest.mark.parametrize("box", [(0, 0, 96, 50), (30, 0, 60, 96)])
def test_shiftmap_fills_holes_that_touch_the_frame(box) -> None:
    """One pass of OpenCV's leaves parts of them empty, which must not become black."""
    image, mask = bricks(96, 96), hole_in(96, 96, box)
    filled = shiftmap_fill(image, mask)
    assert filled[mask.expand_as(filled) > 0].min() > 0.1


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (8, 8), (9, 9), (20, 300), (40, 40)])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.97])
def test_shiftmap_takes_any_size_and_says_what_telea_filled(size, share) -> None:
    """OpenCV's crashes the process for pictures of a few pixels."""
    image, mask = 0.2 + 0.8 * scene(1, *size), (rand(1, 1, *size, seed=4) < share).float()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        filled = shiftmap_fill(image, mask)
    assert filled.min() >= 0.19
    if mask.any() and min(size) < 32 and not mask.all():
        assert any("Telea" in str(warning.message) for warning in caught)


# -- what all of them keep ---------------------------------------------------------------------------------------------


def test_the_command_line_offers_all_fills():
    assert set(fills.FILLS) == set(get_args(FillName))


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


@pytest.mark.parametrize("fill", SMOOTH)
def test_a_turned_picture_is_filled_alike(fill) -> None:
    image, mask = scene(5, 16, 18), masks(16, 18)
    turned = fill(image.rot90(dims=(2, 3)), mask.rot90(dims=(2, 3))).rot90(-1, dims=(2, 3))
    torch.testing.assert_close(turned, fill(image, mask), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("generator", "fill"),
    [
        (MeanColour(), mean_fill),
        (Diffusion(), diffusion_fill),
        (Biharmonic(), biharmonic_fill),
        (ShiftMap(), shiftmap_fill),
        (FSR(), fsr_fill),
        (FSRFast(), fsr_fast_fill),
        (Telea(), telea_fill),
        (NavierStokes(), navier_stokes_fill),
    ],
)
def test_generators_are_the_functions_without_parameters(generator, fill) -> None:
    image, mask = scene(2, 16, 16), hole_in(16, 16, (5, 5, 8, 9)).repeat(2, 1, 1, 1)
    assert torch.equal(generator(image, mask).image, fill(image, mask))
    assert list(generator.parameters()) == [] and generator.state_dict() == {}
    with pytest.raises(ValueError, match="the mask must be"):
        generator(image, mask[:1])


def test_the_sheet_of_the_docs_can_be_drawn_again(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(sheets, "SHEET", ("telea", "diffusion"))
    monkeypatch.setattr(sheets, "SIDE", 200)
    noise("RGB", 150, 200).save(tmp_path / "a.png")
    sheets.sheet(tmp_path, tmp_path / "sheet.jpg")
    assert Image.open(tmp_path / "sheet.jpg").size == (4 * sheets.CELL, sheets.CELL + 16)
    assert capsys.readouterr().out.startswith("a.png: telea ")
