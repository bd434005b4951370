"""AFFNet: its wiring against the gated network it is made of, its ablations, and the contract of a generator."""

import pytest
import torch
import yaml
from contract import (
    assert_layout_and_bfloat16_change_little,
    three_pairs,
    without_gradient,
)
from places import CONFIGS

from inpaintzoo.commands import main
from inpaintzoo.commands.training import ZooCLI
from inpaintzoo.layers.fusion import AFF
from inpaintzoo.layers.gated import GatedEncoder
from inpaintzoo.models import AFFNet, GatedNet
from inpaintzoo.models.aff import PlainSkip
from inpaintzoo.models.gated import GatedOutput
from inpaintzoo.types import ConfigError

OFF = {"skip": "none", "dcr": False}
VARIANTS = [
    {},
    {"norm": "group"},
    {"norm": "group", "skip": "attention", "dcr": False},
    {"norm": "group", "skip": "none"},
    {"skip": "concat", "dcr": False},
]


def small(network=AFFNet, **arguments):
    torch.manual_seed(0)
    return network(**{"width": 12, **arguments}).eval()


def case(batch=3, height=40, width=64):
    return three_pairs(height, width, (8, 28, 12, 50), 20, batch)


def picture(network, image, mask):
    with torch.no_grad():
        output = network(image, mask)
    return torch.cat([output.image, output.coarse])


# --- the network's wiring ------------------------------------------------------------------------------------------


def test_without_additions_it_is_the_gated_network():
    gated, plain, (image, mask) = small(GatedNet), small(**OFF), case()
    for parameter in plain.parameters():
        parameter.data.normal_()
    plain.load_state_dict(gated.state_dict())
    assert torch.equal(picture(plain, image, mask), picture(gated, image, mask))


@pytest.mark.parametrize(
    ("arguments", "added"),
    [
        (OFF, 0),
        ({"skip": "concat", "dcr": False}, 93_312),
        ({"skip": "attention", "dcr": False}, 93_312 + 6_840),
        ({"skip": "none", "dcr": True}, 19_872),
        ({"skip": "concat", "dcr": True}, 93_312 + 19_872),
        ({}, 120_024),
        ({"norm": "group"}, 120_024),
    ],
)
def test_parameters(arguments, added):
    # By hand, in each of two stages: the gated layers after the skips read twice as much, each AFF has c^2 + 7.5 c.
    assert 93_312 == 2 * 9 * (48 * 2 * 48 + 24 * 2 * 12)
    assert 6_840 == 2 * (24 * 24 + 180 + 48 * 48 + 360)
    assert 19_872 == 2 * (96 * 96 + 720)
    with torch.device("meta"):
        network = AFFNet(**arguments)
    assert sum(p.numel() for p in network.parameters()) == 4_052_478 + added


@pytest.mark.parametrize("skip", ["concat", "attention"])
def test_places_of_the_fusions(skip):
    network, seen = small(skip=skip), {}
    for name, module in network.named_modules():
        if isinstance(module, (AFF, PlainSkip, GatedEncoder)):
            module.register_forward_hook(lambda _, given, result, name=name: seen.update({name: (given, result)}))
    picture(network, *case())
    for stage in ("coarse", "refine"):
        encoded = seen.pop(f"{stage}.encoder")[1]  # full size, half, quarter
        fused = [seen.pop(f"{stage}.{place}")[0] for place in ("decoder.skips.1", "decoder.skips.0", "dilated.fusion")]
        assert [tuple(first.shape) for first, _ in fused] == [(3, 12, 40, 64), (3, 24, 20, 32), (3, 48, 10, 16)]
        assert all(first is its for (first, _), its in zip(fused, encoded, strict=True))
        assert all(first.shape == second.shape and not torch.equal(first, second) for first, second in fused)
    assert seen.keys() == {"refine.attention_encoder"}, "and nowhere else"


def decided(network, choice):
    """The network in double with fusions that all take their first map (1) or their second (0)."""
    for name, parameter in network.named_parameters():
        if name.endswith("overall.4.bias"):
            parameter.data.fill_(1e4 if choice else -1e4)
    return network.double()


def test_skips_that_take_the_encoders_map_are_plain_skips():
    fused, plain, (image, mask) = small(dcr=False), small(skip="concat", dcr=False), case()
    plain.load_state_dict({k: v for k, v in fused.state_dict().items() if k in plain.state_dict()})
    expected = picture(plain.double(), image.double(), mask)
    torch.testing.assert_close(picture(decided(fused, 1), image.double(), mask), expected, atol=1e-10, rtol=0)


def test_skips_that_weigh_nothing_leave_the_gated_network():
    gated, network, (image, mask) = small(GatedNet), small(dcr=False), case()
    weights = gated.state_dict()
    for key, tensor in network.state_dict().items():
        if key not in weights:
            weights[key] = tensor
        elif tensor.shape != weights[key].shape:  # the decoder's map comes first
            weights[key] = torch.cat([weights[key], torch.zeros_like(weights[key])], dim=1)
    network.load_state_dict(weights)
    torch.testing.assert_close(picture(network, image, mask), picture(gated, image, mask), atol=1e-5, rtol=0)


def test_residual_that_takes_the_output_is_none():
    network, gated, (image, mask) = small(skip="none"), small(GatedNet), case()
    gated.load_state_dict({k: v for k, v in network.state_dict().items() if k in gated.state_dict()})
    expected = picture(gated.double(), image.double(), mask)
    torch.testing.assert_close(picture(decided(network, 0), image.double(), mask), expected, atol=1e-10, rtol=0)


def test_residual_that_takes_the_input_leads_round_the_dilated_layers():
    network, gated, (image, mask) = small(skip="none"), small(GatedNet), case()
    gated.load_state_dict({k: v for k, v in network.state_dict().items() if k in gated.state_dict()})
    for stage in (gated.coarse, gated.refine):
        stage.dilated = torch.nn.Identity()
    expected = picture(gated.double(), image.double(), mask)
    torch.testing.assert_close(picture(decided(network, 1), image.double(), mask), expected, atol=1e-10, rtol=0)


def test_variants_differ():
    pictures = [picture(small(**arguments), *case()) for arguments in VARIANTS]
    for i, first in enumerate(pictures):
        assert all(not torch.equal(first, second) for second in pictures[i + 1 :])


# --- the contract of a generator -----------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", VARIANTS)
def test_shapes_and_ranges(arguments):
    output, image = small(**arguments)(*case()), case()[0]
    assert isinstance(output, GatedOutput)
    for tensor in (output.image, output.coarse):
        assert tensor.shape == image.shape and tensor.min() >= 0 and tensor.max() <= 1


def test_layout_and_reduced_precision():
    assert_layout_and_bfloat16_change_little(small(), *case())
    assert_layout_and_bfloat16_change_little(small(norm="group"), *case())


def test_training_under_autocast():
    network, (image, mask) = small().train(), case()
    with torch.autocast("cpu", torch.bfloat16):
        output = network(image, mask)
        loss = output.image.float().mean() + output.coarse.float().mean()
    loss.backward()
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters())


def test_a_batch_of_one_trains_with_group_normalisation():
    image, mask = case(batch=1)
    network = small(norm="group").train()

    def loss():
        output = network(image, mask)
        return (output.image - image).abs().mean() + (output.coarse - image).abs().mean()

    before = loss()
    before.backward()
    assert without_gradient(network) == []
    torch.optim.SGD(network.parameters(), lr=0.02).step()
    assert loss() < before


def test_a_batch_of_one_is_refused_where_it_cannot_be_normalised():
    image, mask = case(batch=1)
    for arguments in ({}, {"skip": "none"}, {"dcr": False}):
        with pytest.raises(ConfigError, match="cannot train with a batch of one; use norm 'group'"):
            small(**arguments).train()(image, mask)
        assert small(**arguments)(image, mask).image.isfinite().all()
    assert small(skip="concat", dcr=False).train()(image, mask).image.isfinite().all(), "nothing to normalise"


def test_errors():
    with pytest.raises(ValueError, match="AFFNet: skip must be 'none', 'concat' or 'attention', got 'add'"):
        AFFNet(skip="add")
    with pytest.raises(ValueError, match="norm must be 'batch' or 'group', got 'layer'"):
        AFFNet(norm="layer")
    with pytest.raises(ValueError, match=r"channels must be 4 or more .* got 2; use a wider network"):
        AFFNet(width=2)
    assert AFFNet(width=2, skip="none").coarse.dilated.fusion is not None, "8 channels are enough for DCR"


# --- configs -------------------------------------------------------------------------------------------------------

SMALL = [
    "--data.image_size=64",
    "--data.batch_size=2",
    "--data.num_workers=0",
    "--data.train_size=4",
    "--data.val_size=2",
    "--model.generator.width=12",
    "--trainer.accelerator=cpu",
]
ROWS = [
    ([], ("attention", True)),
    (["aff_skip"], ("concat", False)),
    (["aff_scaf"], ("attention", False)),
    (["aff_dcr"], ("concat", True)),
    (["aff_wgan"], ("attention", True)),
]


def layers(rows):
    files = [CONFIGS / "aff.yaml", *(CONFIGS / "ablations" / f"{row}.yaml" for row in rows)]
    return [argument for file in files for argument in ("--config", str(file))]


@pytest.mark.parametrize(("rows", "additions"), ROWS)
def test_rows_of_the_ablation(rows, additions):
    model = ZooCLI([*layers(rows), *SMALL], run=False).model
    skips = model.generator.refine.decoder.skips
    skip = "attention" if isinstance(skips[0], AFF) else "concat"
    assert (skip, model.generator.refine.dilated.fusion is not None) == additions
    objective = type(model.adversaries["global"].objective).__name__
    assert (objective, model.generator_every) == (("WassersteinGP", 5) if rows == ["aff_wgan"] else ("Hinge", 1))


ONE = ["--data.batch_size=1"]


@pytest.mark.parametrize(
    ("rows", "options"), [([], []), ([], [*ONE, "--model.generator.norm=group"]), (["aff_wgan"], [])]
)
def test_a_step_of_training(rows, options, tmp_path):
    run = ["--model.max_iterations=1", "--model.generator_every=1", f"--trainer.default_root_dir={tmp_path}"]
    assert main(["fit", *layers(rows), *SMALL, *run, *options, "--trainer.limit_val_batches=0"]) == 0
    state = torch.load(next(tmp_path.rglob("last.ckpt")), weights_only=True)
    assert state["inpainter"]["iteration"] == 1


def test_a_batch_of_one_says_what_to_change(tmp_path, capsys):
    run = [f"--trainer.default_root_dir={tmp_path}", "--trainer.limit_val_batches=0"]
    assert main(["fit", *layers([]), *SMALL, *ONE, *run]) != 0
    assert "use norm 'group' (AFFNet: --model.generator.norm group)" in capsys.readouterr().err


def test_the_penalty_is_that_of_the_hole():
    arguments = yaml.safe_load((CONFIGS / "ablations" / "aff_wgan.yaml").read_text())["model"]["init_args"]
    objective = arguments["adversaries"]["global"]["init_args"]["objective"]
    assert objective == {"class_path": "WassersteinGP", "init_args": {"penalty_weight": 5.0, "hole_only": True}}
