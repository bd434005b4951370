"""PyramidGenerator: what each level sees, its top against the gated network, its ablations, the contract."""

import pytest
import torch
import torch.nn.functional as F
from contract import (
    assert_layout_and_bfloat16_change_little,
    three_pairs,
    without_gradient,
)
from places import CONFIGS

from inpaintzoo.commands import main
from inpaintzoo.commands.training import ZooCLI
from inpaintzoo.layers.structure import BilateralStructure, RelativeTotalVariation
from inpaintzoo.models import GatedNet, PyramidGenerator
from inpaintzoo.models.pyramid import PyramidGeneratorOutput
from inpaintzoo.types import PyramidOutput

FUSIONS = ("image", "attention", "convolution", "coarse", "feature_coarse", "feature_refine")
VARIANTS = [
    {},
    {"levels": (4, 2)},
    {"levels": (2, 1), "structure": False},
    {"structure": False},
    {"levels": (8, 4, 2, 1), "structure_filter": BilateralStructure()},
    *({"fusion": fusion} for fusion in FUSIONS[1:]),
]


def small(**arguments):
    torch.manual_seed(0)
    return PyramidGenerator(**{"width": 4, **arguments})


def case(batch=3, height=64, width=96):
    return three_pairs(height, width, (8, 40, 20, 70), 30, batch)


def tensors(output):
    return [t for t in (output.image, *output.pyramid, output.coarse, output.structure) if t is not None]


# --- the network's wiring ------------------------------------------------------------------------------------------


def inputs(network, *pair):
    """The output, and what went into each encoder and each decoder."""
    seen, hooks = {}, []
    for name, module in network.named_modules():
        if name.endswith(("encoder", "decoder")):
            hooks.append(module.register_forward_pre_hook(lambda _, given, name=name: seen.update({name: given[0]})))
    with torch.no_grad():
        output = network(*pair)
    for hook in hooks:
        hook.remove()
    return output, seen


def cells(picture, side):
    return picture.unflatten(3, (-1, side)).unflatten(2, (-1, side))


def test_what_the_small_levels_see():
    (image, mask), network = case(), small()
    mask = F.interpolate(F.max_pool2d(mask, 3), size=(64, 96))  # holes that do not fill whole cells
    output, seen = inputs(network, image, mask)
    for name, side in (("small.0.encoder", 4), ("small.1.encoder", 2)):
        hole = cells(mask, side).amax(dim=(3, 5))
        assert 0.2 < hole.mean() < 0.95
        mean = cells(image * (1 - mask), side).mean(dim=(3, 5))  # no cell that is not hole has a hole pixel
        torch.testing.assert_close(seen[name][:, :3], (2 * mean - 1) * (1 - hole), atol=1e-6, rtol=0)
        assert torch.equal(seen[name][:, 3:5], torch.cat([torch.ones_like(hole), hole], dim=1))
        if side == 4:
            structure = 2 * RelativeTotalVariation()(mean, hole) - 1
            torch.testing.assert_close(seen[name][:, 5:], structure * (1 - hole), atol=1e-5, rtol=0)
    below = F.interpolate(2 * output.structure - 1, scale_factor=2, mode="bilinear")
    torch.testing.assert_close(seen["small.1.encoder"][:, 5:], below, atol=1e-6, rtol=0)


def test_what_the_bottom_sees_without_structure():
    (image, mask), network = case(), small(structure=False)
    output, seen = inputs(network, image, mask)
    assert seen["small.0.encoder"].shape == (3, 5, 16, 24) and output.structure is None
    below = F.interpolate(2 * output.pyramid[1] - 1, scale_factor=2, mode="bilinear")
    torch.testing.assert_close(seen["small.1.encoder"][:, 5:], below, atol=1e-6, rtol=0)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_where_the_level_below_comes_in(fusion):
    (image, mask), network = case(), small(fusion=fusion)
    output, seen = inputs(network, image, mask)
    below = F.interpolate(2 * output.pyramid[0] - 1, scale_factor=2, mode="bilinear")
    known = (2 * image - 1) * (1 - mask)
    base = torch.cat([known, torch.ones_like(mask), mask], dim=1)
    pasted = torch.cat([known + mask * (2 * output.coarse - 1), mask], dim=1)
    places = {
        "full.coarse.encoder": (base, fusion == "coarse"),
        "full.refine.encoder": (pasted, fusion in ("image", "convolution")),
        "full.refine.attention_encoder": (pasted, fusion in ("image", "attention")),
    }
    for name, (picture, joined) in places.items():
        expected = torch.cat([picture, below], dim=1) if joined else picture
        torch.testing.assert_close(seen[name], expected, atol=1e-6, rtol=0, msg=name)
    features = F.interpolate(network.small[1].encoder(seen["small.1.encoder"])[-1], size=(16, 24), mode="bilinear")
    for stage in ("coarse", "refine"):
        given = seen[f"full.{stage}.decoder"]
        if fusion == f"feature_{stage}":
            torch.testing.assert_close(given[:, 16:], features, atol=1e-5, rtol=0)
        else:
            assert given.shape[1] == 16


@pytest.mark.parametrize("fusion", FUSIONS)
def test_blind_to_the_level_below_the_top_is_the_gated_network(fusion):
    gated = GatedNet(width=4)
    (image, mask), network = case(), small(fusion=fusion, dilations=[[2]] * 2 + [[2, 4, 8, 16]])
    weights = network.full.state_dict()
    for key, tensor in gated.state_dict().items():
        more = weights[key].shape[1] - tensor.shape[1] if tensor.ndim > 1 else 0
        weights[key] = F.pad(tensor, (0, 0, 0, 0, 0, more)) if more else tensor
    network.full.load_state_dict(weights)
    with torch.no_grad():
        output, expected = network(image, mask), gated(image, mask)
    torch.testing.assert_close(output.coarse, expected.coarse, atol=1e-6, rtol=0)
    torch.testing.assert_close(output.image, expected.image, atol=1e-5, rtol=0)


@pytest.mark.parametrize("fusion", ["image", "attention", "convolution", "feature_refine"])
def test_with_a_single_stage_the_refine_stage_fills_the_masked_picture(fusion):
    (image, mask), network = case(), small(fusion=fusion, coarse_stage=False)
    output, seen = inputs(network, image, mask)
    assert output.coarse is None and network.full.coarse is None
    masked = torch.cat([(2 * image - 1) * (1 - mask), mask], dim=1)
    assert torch.equal(seen["full.refine.encoder"][:, :4], masked)
    assert torch.equal(seen["full.refine.attention_encoder"][:, :4], masked)
    shared = small(fusion=fusion).state_dict()
    assert set(network.state_dict()) == {name for name in shared if not name.startswith("full.coarse.")}


@pytest.mark.parametrize(("level", "trained"), [(4, "small.0."), (2, "small.1."), (1, "full.")])
def test_layer_by_layer_one_level_learns_and_the_pictures_stay(level, trained):
    (image, mask), network, together = case(), small(train_level=level), small()
    network.load_state_dict(together.state_dict())
    output, expected = network(image, mask), together(image, mask)
    for found, same in zip(tensors(output), tensors(expected), strict=True):
        assert torch.equal(found, same)
    sum(tensor.mean() for tensor in tensors(output) if tensor.requires_grad).backward()
    for name, parameter in network.named_parameters():
        assert (parameter.grad is not None) is name.startswith(trained), name
    learns = [tensor.requires_grad for tensor in (output.structure, *output.pyramid, output.image, output.coarse)]
    assert learns == [level == 4, level == 2, level == 1, level == 1]


def test_layer_by_layer_without_a_full_size_level_the_enlarged_picture_learns():
    (image, mask), network = case(), small(levels=(4, 2), train_level=2)
    network(image, mask).image.mean().backward()
    assert without_gradient(network.small[1]) == [] and network.small[0].decoder.output.weight.grad is None


def test_without_a_full_size_level_the_finest_picture_is_enlarged():
    network, (image, mask) = small(levels=(4, 2)), case()
    output = network(image, mask)
    assert output.coarse is None and len(output.pyramid) == 1 and output.structure.shape == (3, 3, 16, 24)
    assert torch.equal(output.image, F.interpolate(output.pyramid[0], scale_factor=2, mode="bilinear"))
    complete = small()
    network.load_state_dict({k: v for k, v in complete.state_dict().items() if not k.startswith("full.")})
    assert torch.equal(network(image, mask).pyramid[0], complete(image, mask).pyramid[0]), "the same two levels"


def gated_layers(*layers):
    return sum(kernel**2 * before * 2 * after + 2 * after for kernel, before, after in layers)


def coarse_stage(channels, dilated, features=0):
    encoder = [(5, channels, 24), (3, 24, 48), (3, 48, 48), (3, 48, 96), (3, 96, 96), (3, 96, 96)]
    decoder = [(3, 96 + features, 48), (3, 48, 48), (3, 48, 24), (3, 24, 12)]
    return gated_layers(*encoder, *[(3, 96, 96)] * (dilated + 2), *decoder) + 9 * 12 * 3 + 3


def refine_stage(convolution, attention, dilated, features=0):
    first = [(5, convolution, 24), (3, 24, 24), (3, 24, 48), (3, 48, 48), (3, 48, 96), (3, 96, 96)]
    second = [(5, attention, 24), (3, 24, 24), (3, 24, 48), (3, 48, 96), (3, 96, 96), (3, 96, 96)]
    rest = [*[(3, 96, 96)] * (dilated + 2), (3, 192, 96), (3, 96, 96)]
    decoder = [(3, 96 + features, 48), (3, 48, 48), (3, 48, 24), (3, 24, 12)]
    return gated_layers(*first, *second, *rest, *decoder) + 9 * 12 * 3 + 3


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        ({}, coarse_stage(8, 3) + coarse_stage(8, 4) + coarse_stage(5, 5) + refine_stage(7, 7, 5)),
        ({"levels": (4, 2)}, coarse_stage(8, 3) + coarse_stage(8, 4)),
        (
            {"levels": (2, 1), "structure": False},
            coarse_stage(5, 4) + coarse_stage(5, 5) + refine_stage(7, 7, 5),
        ),
        (
            {"fusion": "feature_refine", "dilations": [[2, 4, 8, 16]] * 3},
            2 * coarse_stage(8, 4) + coarse_stage(5, 4) + refine_stage(4, 4, 4, 96),
        ),
        (
            {"fusion": "feature_coarse", "structure": False},
            coarse_stage(5, 3) + coarse_stage(8, 4) + coarse_stage(5, 5, 96) + refine_stage(4, 4, 5),
        ),
    ],
)
def test_parameters(arguments, count):
    assert coarse_stage(5, 4) + refine_stage(3, 3, 4) == 4_052_478, "the gated network"
    with torch.device("meta"):
        network = PyramidGenerator(**arguments)
    assert sum(p.numel() for p in network.parameters()) == count
    if not arguments:
        assert count == 7_497_660


def test_variants_differ():
    image, mask = case()
    with torch.no_grad():
        images = [small(**arguments)(image, mask).image for arguments in VARIANTS]
    for i, first in enumerate(images):
        assert all(not torch.equal(first, second) for second in images[i + 1 :])


# --- the contract of a generator -----------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", VARIANTS)
def test_shapes_ranges_and_gradients(arguments):
    network, (image, mask) = small(**arguments), case()
    output = network(image, mask)
    assert isinstance(output, PyramidOutput) and output.image.shape == image.shape
    structured, levels = arguments.get("structure", True), arguments.get("levels", (4, 2, 1))
    pictures = [level for level in levels[structured:] if level > 1][::-1]  # finest first
    assert [tuple(p.shape) for p in output.pyramid] == [(3, 3, 64 // level, 96 // level) for level in pictures]
    assert (output.coarse is not None) == (levels[-1] == 1) and (output.structure is not None) == structured
    for tensor in tensors(output):
        assert tensor.min() >= 0 and tensor.max() <= 1
    output.image.square().sum().backward()
    missed = without_gradient(network)
    # Features pass the decoder of the level below, which learns from its own picture only.
    assert all("decoder" in n or "dilated" in n or "bottleneck" in n for n in missed)
    assert bool(missed) == arguments.get("fusion", "").startswith("feature")
    sum(tensor.square().sum() for tensor in tensors(network(image, mask))).backward()
    assert without_gradient(network) == []


def test_layout_and_reduced_precision():
    assert_layout_and_bfloat16_change_little(small(), *case())


def test_training_under_autocast():
    network, (image, mask) = small(), case()
    with torch.autocast("cpu", torch.bfloat16):
        loss = sum(tensor.float().mean() for tensor in tensors(network(image, mask)))
    loss.backward()
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters())


@pytest.mark.slow
def test_compiled_it_computes_the_same():
    network, (image, mask) = small(levels=(4, 2)), case(batch=1)
    compiled = torch.compile(network, backend="eager")  # the structure filter stays outside
    with torch.no_grad():
        torch.testing.assert_close(compiled(image, mask).image, network(image, mask).image, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("levels", "multiple"), [((4, 2, 1), 16), ((2, 1), 8), ((4, 2), 16), ((3, 1), 24), ((8, 1), 32), ((4, 3), 48)]
)
def test_every_multiple_of_the_declared_size(levels, multiple):
    network = small(levels=levels)
    assert network.size_multiple == multiple
    for size in ((multiple, 3 * multiple), (2 * multiple, multiple)):
        image, mask = three_pairs(*size, (2, 6, 3, 7), 4, 1)
        with torch.no_grad():
            assert network(image, mask).image.shape == (1, 3, *size)
    with pytest.raises(ValueError, match=f"multiples of {multiple}, got {multiple + 4}x{multiple}"):
        network(torch.zeros(1, 3, multiple + 4, multiple), torch.zeros(1, 1, multiple + 4, multiple))


def test_an_output_can_be_cut_from_the_graph():
    output = small(levels=(4, 2))(*case())
    cut = output.detach()
    assert isinstance(cut, PyramidGeneratorOutput) and cut.coarse is None
    assert all(not tensor.requires_grad for tensor in tensors(cut)) and torch.equal(cut.structure, output.structure)


def test_errors():
    for levels in ((1,), (1, 2), (2, 2, 1), (2, 0)):
        with pytest.raises(ValueError, match=r"levels must be two or more decreasing integers such as \[4, 2, 1\]"):
            PyramidGenerator(levels=levels)
    with pytest.raises(ValueError, match="structure_filter is used with structure: true only"):
        PyramidGenerator(structure=False, structure_filter=BilateralStructure())
    with pytest.raises(ValueError, match="width must be positive and even, got 5"):
        PyramidGenerator(width=5)
    with pytest.raises(ValueError, match="one list for each of the 3 levels, got 2"):
        PyramidGenerator(dilations=[[2], [4]])
    with pytest.raises(ValueError, match="dilations must be one or more numbers from 1 up"):
        PyramidGenerator(width=4, dilations=[[2], [4], []])
    with pytest.raises(ValueError, match=r"fusion must be one of image, attention, .*, got 'sum'"):
        PyramidGenerator(fusion="sum")
    for fusion in ("coarse", "feature_coarse"):
        with pytest.raises(ValueError, match=f"fusion '{fusion}' feeds the coarse stage, and coarse_stage: false"):
            PyramidGenerator(fusion=fusion, coarse_stage=False)
    with pytest.raises(ValueError, match=r"coarse_stage: false drops a stage of the full-size level, and \[4, 2\] has"):
        PyramidGenerator(levels=(4, 2), coarse_stage=False)
    with pytest.raises(ValueError, match=r"train_level must be one of the levels \[4, 2, 1\], got 3"):
        PyramidGenerator(train_level=3)
    with pytest.raises(ValueError, match=r"fusion 'coarse' applies to the full-size level, and \[4, 2\] has none"):
        PyramidGenerator(levels=(4, 2), fusion="coarse")


# --- configs -------------------------------------------------------------------------------------------------------

SIZES = {"image_size": 64, "batch_size": 2, "num_workers": 0, "train_size": 4, "val_size": 2}
SMALL = [f"--data.{name}={value}" for name, value in SIZES.items()]
SMALL += ["--model.generator.width=4", "--trainer.accelerator=cpu"]
STANDARD = (2, 4, 8, 16)
ADAPTIVE = ((2, 4, 8), STANDARD, (2, 4, 8, 12, 16))
ROWS = {  # levels, structure, fusion, dilations, losses, adversaries
    None: ((4, 2, 1), True, "image", ADAPTIVE, "structure half_size image coarse", "half_size full_size"),
    "s_256": ((4, 2), True, None, ADAPTIVE[:2], "structure half_size", "half_size"),
    "256_512": ((2, 1), False, "image", ADAPTIVE[1:], "half_size image coarse", "half_size full_size"),
    "128_256_512": (
        (4, 2, 1),
        False,
        "image",
        ADAPTIVE,
        "small_sizes image coarse",
        "quarter_size half_size full_size",
    ),
    "standard_dilation": ((4, 2, 1), True, "image", (STANDARD,) * 3),
    "fusion_attention": ((4, 2, 1), True, "attention", ADAPTIVE),
    "fusion_convolution": ((4, 2, 1), True, "convolution", ADAPTIVE),
    "fusion_coarse": ((4, 2, 1), True, "coarse", ADAPTIVE),
    "fusion_feature_coarse": ((4, 2, 1), True, "feature_coarse", ADAPTIVE),
    "fusion_feature_refine": ((4, 2, 1), True, "feature_refine", ADAPTIVE),
    "single_stage": ((4, 2, 1), True, "image", ADAPTIVE, "structure half_size image", "half_size full_size"),
    "layer_by_layer_1": ((4, 2, 1), True, "image", ADAPTIVE, "structure", ""),
    "layer_by_layer_2": ((4, 2, 1), True, "image", ADAPTIVE, "half_size", "half_size"),
    "layer_by_layer_3": ((4, 2, 1), True, "image", ADAPTIVE, "image coarse", "full_size"),
}


def whole_row(row):
    """Where it says nothing of losses and adversaries it has those of the full model."""
    return ROWS[row] + ROWS[None][len(ROWS[row]) :]


def layers(row, base="pyramid"):
    files = [CONFIGS / f"{base}.yaml", *([CONFIGS / "ablations" / f"pyramid_{row}.yaml"] if row else [])]
    return [argument for file in files for argument in ("--config", str(file))]


def dilations(network):
    full = network.full
    stages = [*network.small, *([full.coarse or full.refine, full.refine] if full else [])]
    found = [tuple(layer.convolution.dilation[0] for layer in stage.dilated.layers) for stage in stages]
    assert not network.full or found[-2] == found[-1], "both stages of the full-size level"
    return tuple(found[:-1] if network.full else found)


def test_every_ablation_is_listed():
    assert {path.stem for path in (CONFIGS / "ablations").glob("pyramid_*.yaml")} == {
        f"pyramid_{row}" for row in ROWS if row
    }


@pytest.mark.parametrize("row", ROWS)
def test_rows_of_the_tables(row):
    model = ZooCLI([*layers(row), *SMALL], run=False).model
    network = model.generator
    found = (network.levels, network.structure_filter is not None, network.full and network.full.fusion)
    terms = (" ".join(model.losses), " ".join(model.adversaries))
    assert (*found, dilations(network), *terms) == whole_row(row)


# The other rows change what the tests above look at.
QUICK = (None, "s_256", "256_512", "128_256_512")
TOGETHER = [row for row in ROWS if not (row or "").startswith("layer_by_layer")]


@pytest.mark.parametrize("row", [pytest.param(r, marks=() if r in QUICK else pytest.mark.slow) for r in TOGETHER])
def test_two_steps_of_training_reach_every_parameter(row, tmp_path):
    folder = f"--trainer.default_root_dir={tmp_path}"
    narrow = [f"--model.adversaries.{name}.discriminator.width=4" for name in whole_row(row)[5].split()]
    run = ["--model.max_iterations=2", folder, "--trainer.limit_val_batches=0", "--trainer.callbacks=toys.UpdateWatch"]
    assert main(["fit", *layers(row), *SMALL, *narrow, *run]) == 0
    state = torch.load(next(tmp_path.rglob("last.ckpt")), weights_only=True)
    assert state["inpainter"]["iteration"] == 2
    assert not any("memory" in key or "filter" in key for key in state["state_dict"])


def test_layer_by_layer_a_level_learns_from_the_one_below_as_it_was_trained(tmp_path):
    states = []
    for step in (1, 2):
        run = [f"--trainer.default_root_dir={tmp_path / str(step)}", "--trainer.limit_val_batches=0"]
        narrow = ["--model.adversaries.half_size.discriminator.width=4"] if step == 2 else []
        start = [f"--model.init_from.generator={tmp_path / '1'}"] if step == 2 else []
        options = [*SMALL, *narrow, *start, *run, "--model.max_iterations=1"]
        assert main(["fit", *layers(f"layer_by_layer_{step}"), *options]) == 0
        state = torch.load(next((tmp_path / str(step)).rglob("last.ckpt")), weights_only=True)["state_dict"]
        states.append({name: value for name, value in state.items() if name.startswith("generator.")})
    changed = {name for name, value in states[0].items() if not torch.equal(value, states[1][name])}
    assert changed and all(name.startswith("generator.small.1.") for name in changed)


def test_the_small_config_differs_in_size_only():
    large, small_one = (ZooCLI(layers(None, base), run=False).config for base in ("pyramid", "pyramid_256"))
    assert large["model"] == small_one["model"]
    assert (large["data"]["init_args"]["image_size"], small_one["data"]["init_args"]["image_size"]) == (512, 256)
