"""Structure images: against exact solutions, without looking into the hole; the loss that learns them."""

import pytest
import torch
import torch.nn.functional as F
from golden_recipe import golden_tensors

from inpaintzoo.layers.structure import (
    BilateralStructure,
    Links,
    RelativeTotalVariation,
    StructureFilter,
    solve_smoothing,
)
from inpaintzoo.losses import StructureL1
from inpaintzoo.models.pyramid import PyramidGenerator, PyramidGeneratorOutput
from inpaintzoo.types import ConfigError, DataError

FILTERS = [RelativeTotalVariation(), RelativeTotalVariation(hole_border="flat"), BilateralStructure()]
PAPER = {"strength": 0.01, "sharpness": 0.02, "iterations": 4}


def golden(name, dtype=torch.float64):
    tensor = golden_tensors("layers/rtv.safetensors")[name].to(dtype)
    return tensor[None, None] if tensor.ndim == 2 else tensor.permute(2, 0, 1)[None]


def pictures(count=2, height=24, width=32):
    """Coarse areas with fine noise."""
    generator = torch.Generator().manual_seed(3)
    areas = F.interpolate(torch.rand(count, 3, 3, 4, generator=generator), size=(height, width), mode="nearest")
    image = (areas + 0.2 * torch.rand(count, 3, height, width, generator=generator)).clamp(0, 1)
    mask = torch.zeros(count, 1, height, width)
    mask[0, :, 5:15, 8:20] = 1
    mask[1:, :, :, :6] = 1
    return image, mask


# --- oracles -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("arguments", "name"), [({}, "out_structureflow_params"), (PAPER, "out_paper_defaults")])
def test_whole_pictures_equal_the_exact_solution(arguments, name):
    exact = golden(name)
    tight = RelativeTotalVariation(**arguments, tolerance=1e-8)(golden("in_image_hwc"))
    torch.testing.assert_close(tight, exact, atol=1e-7, rtol=0)
    usual = RelativeTotalVariation(**arguments)(golden("in_image_hwc", torch.float32)).double()
    assert (usual - exact).abs().max() < 3e-3 and (usual - exact).abs().mean() < 6e-4


def test_a_flat_hole_equals_the_exact_solution_where_the_picture_is_known():
    known = 1 - golden("in_mask")
    structure = RelativeTotalVariation(tolerance=1e-8, hole_border="flat")(golden("in_image_hwc"), golden("in_mask"))
    torch.testing.assert_close(structure, golden("out_masked_input") * known, atol=1e-7, rtol=0)


def dense_solution(image, links):
    """The same system, written out."""
    height, width = image.shape[2:]
    number = torch.arange(height * width).view(height, width)
    solutions = []
    for sample in range(len(image)):
        matrix = torch.eye(height * width, dtype=image.dtype)
        pairs = [(number[:, :-1], number[:, 1:], links.right), (number[:-1], number[1:], links.down)]
        for first, second, weights in pairs:
            for a, b, weight in zip(first.flatten(), second.flatten(), weights[sample].flatten(), strict=True):
                matrix[a, a] += weight
                matrix[b, b] += weight
                matrix[a, b] -= weight
                matrix[b, a] -= weight
        solutions.append(torch.linalg.solve(matrix, image[sample].flatten(1).T).T.view_as(image[sample]))
    return torch.stack(solutions)


@pytest.mark.parametrize("size", [(6, 9), (1, 12), (12, 1), (1, 1)])
def test_the_solver_equals_a_dense_one(size):
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(2, 3, *size, dtype=torch.float64, generator=generator)
    image[1, 2] = 0  # solved from the start
    weights = torch.rand(2, 1, *size, dtype=torch.float64, generator=generator)
    links = Links(1e3 * weights[..., 1:], 1e-2 / weights[..., 1:, :])
    solved = solve_smoothing(image, links, image.flip(3), 1e-12)
    torch.testing.assert_close(solved, dense_solution(image, links), atol=1e-9, rtol=0)


def test_a_system_that_cannot_be_solved_is_said():
    image, mask = pictures(1)
    with pytest.raises(ConfigError, match="cannot be solved in this precision; use a smaller strength"):
        RelativeTotalVariation(strength=1.0, sharpness=1e-25, epsilon=1e-25)(image, mask)  # weights of 1e50
    image[0, 1, 2, 3] = torch.nan
    with pytest.raises(DataError, match="a picture with NaN or infinite pixels is not defined"):
        RelativeTotalVariation()(image, mask)
    image[0, 1, 2, 3] = torch.inf
    with pytest.raises(DataError, match="a picture with NaN or infinite pixels is not defined"):
        RelativeTotalVariation()(image)


def test_a_solver_that_runs_out_of_steps_says_how_far_it_came():
    image, links = torch.rand(1, 1, 2, 3), Links(1e4 * torch.rand(1, 1, 2, 2), torch.rand(1, 1, 1, 3))
    with pytest.warns(UserWarning, match=r"solved to a tolerance of \d.*e-\d+ instead of 1e-20; raise"):
        solved = solve_smoothing(image, links, image, 1e-20)
    torch.testing.assert_close(solved, dense_solution(image, links), atol=1e-3, rtol=0)


def test_a_cut_hole_is_a_frame_of_its_own():
    image, mask = pictures(1, 24, 40)
    mask = torch.zeros_like(mask)
    mask[..., 12:28] = 1  # wider than any window
    filtered = RelativeTotalVariation(tolerance=1e-8)(image.double(), mask)
    changed = image.double().clone()
    changed[..., 28:] = 1 - changed[..., 28:]
    again = RelativeTotalVariation(tolerance=1e-8)(changed, mask)
    torch.testing.assert_close(again[..., :12], filtered[..., :12], atol=1e-7, rtol=0)
    assert (again[..., 28:] - filtered[..., 28:]).abs().max() > 0.1


def test_a_cut_hole_does_not_darken_its_surroundings():
    grey, (_, mask) = torch.full((2, 3, 24, 32), 0.7), pictures()
    cut = RelativeTotalVariation()(grey, mask)
    torch.testing.assert_close(cut, grey * (1 - mask), atol=1e-6, rtol=0)
    flat = RelativeTotalVariation(hole_border="flat")(grey, mask)
    assert (flat - grey * (1 - mask)).min() < -0.3, "what `cut` is there for"
    torch.testing.assert_close(BilateralStructure()(grey, mask), grey * (1 - mask), atol=1e-6, rtol=0)


# --- what every filter promises -------------------------------------------------------------------------------------


@pytest.mark.parametrize("structure_filter", FILTERS)
def test_texture_goes_and_edges_stay(structure_filter):
    image = torch.zeros(1, 3, 32, 32)
    image[..., 16:] = 0.8
    checks = 0.05 * ((torch.arange(32)[:, None] + torch.arange(32)) % 2)
    structure = structure_filter(image + checks)
    texture = structure[..., 4:12].std() / checks.std()
    edge = (structure[..., 16] - structure[..., 15]).mean()
    assert texture < 0.25 and edge > 0.5


@pytest.mark.parametrize("structure_filter", FILTERS)
def test_the_hole_is_not_seen_and_stays_empty(structure_filter):
    image, mask = pictures()
    expected = structure_filter(image, mask)
    assert (expected * mask == 0).all() and (expected * (1 - mask)).std() > 0.05
    for content in (torch.rand_like(image), torch.full_like(image, torch.nan), torch.full_like(image, torch.inf)):
        assert torch.equal(structure_filter(torch.where(mask.bool(), content, image), mask), expected)


@pytest.mark.parametrize("structure_filter", FILTERS)
def test_a_sample_does_not_depend_on_its_batch(structure_filter):
    image, mask = pictures(3)
    image[1] = 0.0
    together = structure_filter(image, mask)
    for i in range(3):
        assert torch.equal(structure_filter(image[i : i + 1], mask[i : i + 1]), together[i : i + 1])


@pytest.mark.parametrize("structure_filter", FILTERS)
def test_no_hole_nothing_but_hole_and_odd_sizes(structure_filter):
    image, _ = pictures(2, 17, 13)
    none = torch.zeros_like(image[:, :1])
    assert torch.equal(structure_filter(image, none), structure_filter(image))
    assert (structure_filter(image, 1 - none) == 0).all()
    assert structure_filter(image).min() >= -1e-2 and structure_filter(image).max() <= 1 + 1e-2


@pytest.mark.parametrize("structure_filter", FILTERS)
def test_no_gradient_and_no_half_precision(structure_filter):
    image, mask = pictures()
    expected = structure_filter(image, mask)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(structure_filter(image.requires_grad_(), mask), expected)
    assert not structure_filter(image, mask).requires_grad
    assert structure_filter(image.detach().bfloat16(), mask.bfloat16()).dtype == torch.float32
    assert list(structure_filter.state_dict()) == []


def test_compiled_networks_leave_the_solver_alone():
    image, mask = pictures()
    twice = torch.compile(lambda image, mask: 2 * FILTERS[0](image, mask), backend="eager")
    assert torch.equal(twice(image, mask), 2 * FILTERS[0](image, mask))


def test_errors():
    with pytest.raises(ValueError, match=r"must be \(B, C, H, W\) and \(B, 1, H, W\), got \(1, 3, 8, 8\) and \(1, 1"):
        RelativeTotalVariation()(torch.zeros(1, 3, 8, 8), torch.zeros(1, 1, 4, 4))
    with pytest.raises(ValueError, match="hole_border must be 'cut' or 'flat', got 'open'"):
        RelativeTotalVariation(hole_border="open")
    for name in ("strength", "sigma", "sharpness", "iterations", "epsilon", "tolerance"):
        with pytest.raises(ValueError, match=f"RelativeTotalVariation: {name} must be above 0, got 0"):
            RelativeTotalVariation(**{name: 0})
        with pytest.raises(ValueError, match=f"RelativeTotalVariation: {name} must be above 0, got nan"):
            RelativeTotalVariation(**{name: float("nan")})
    with pytest.raises(ValueError, match=r"strength must be at most 1, got 1000; the paper's are from 0\.01"):
        RelativeTotalVariation(strength=1e3)
    with pytest.raises(ValueError, match="BilateralStructure: kernel must be odd and 3 or more, got 4"):
        BilateralStructure(kernel=4)
    with pytest.raises(ValueError, match="BilateralStructure: sigma_colour must be above 0, got -1"):
        BilateralStructure(sigma_colour=-1)


# --- the loss ------------------------------------------------------------------------------------------------------


class CountingFilter(StructureFilter):
    """Half the picture; keeps count of the pictures."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def smooth(self, image, mask):
        self.count += len(image)
        return image / 2


def output(structure):
    return PyramidGeneratorOutput(torch.zeros(2, 3, 24, 32), [], coarse=None, structure=structure)


def test_loss_by_hand():
    image, mask = pictures()
    predicted = torch.rand(2, 3, 6, 8)
    cells = image.view(2, 3, 6, 4, 8, 4).mean(dim=(3, 5))
    expected = 3 * (predicted - RelativeTotalVariation()(cells)).abs().mean()
    loss = StructureL1(3.0)
    torch.testing.assert_close(loss(output(predicted), {"image": image, "mask": mask}), expected)
    assert list(loss.state_dict()) == []


def test_loss_trains_the_prediction_only():
    image, mask = pictures()
    predicted = torch.rand(2, 3, 6, 8, requires_grad=True)
    StructureL1()(output(predicted), {"image": image, "mask": mask}).backward()
    torch.testing.assert_close(predicted.grad.abs(), torch.full_like(predicted, 1 / predicted.numel()))


def test_loss_without_a_structure():
    image, mask = pictures()
    with pytest.raises(ConfigError, match="this PyramidGeneratorOutput has none; use PyramidGenerator with structure"):
        StructureL1()(output(None), {"image": image, "mask": mask})


def test_the_target_is_made_with_the_generators_filter():
    image, mask = pictures()
    predicted, smooth, own = torch.rand(2, 3, 6, 8), BilateralStructure(), CountingFilter()
    losses = [StructureL1(), StructureL1(structure_filter=own), StructureL1(structure_filter=smooth)]
    for loss in losses[:2]:
        loss.attach(PyramidGenerator(width=2, structure_filter=smooth))
    first, second, third = (loss(output(predicted), {"image": image, "mask": mask}) for loss in losses)
    assert torch.equal(first, third) and not torch.equal(first, second) and own.count == 2
    losses[2].attach(torch.nn.Identity())  # of a kind that says nothing about structure
    with pytest.raises(ConfigError, match="this PyramidGenerator has structure: false; set structure: true"):
        StructureL1().attach(PyramidGenerator(width=2, structure=False))


def test_configs_that_ask_for_a_memory_still_load():
    with pytest.warns(DeprecationWarning, match="memory is 512 and has no effect"):
        StructureL1(memory=512.0)
