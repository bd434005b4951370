"""SGENet: its modules against slow references and hand values, and its three variants."""

import re

import pytest
import torch
import torch.nn.functional as F
import yaml
from golden_recipe import golden_keys, golden_tensors, recipe_weights
from places import CONFIGS
from safetensors.torch import save_file
from sgenet_toys import small, small_case

from inpaintzoo.adversary import MultiScaleAdversary
from inpaintzoo.commands.training import ZooCLI
from inpaintzoo.discriminators import PatchDiscriminator
from inpaintzoo.losses import VGGFeatures
from inpaintzoo.models import SGENet
from inpaintzoo.models.sgenet import (
    DilatedContext,
    Encoder,
    FullyConnectedContext,
    InferenceModule,
    evaluate_confidence,
    probabilities,
)
from inpaintzoo.objectives import NonSaturating

# --- the confidence evaluation --------------------------------------------------------------------------------------


def test_pixels_below_the_proportion_of_the_greatest_confidence_are_unreliable():
    # Two samples of 1 x 4 pixels, three classes; the greatest confidences are 0.9 and 0.5, the thresholds 0.72 and 0.4.
    first = [[0.90, 0.05, 0.05], [0.05, 0.73, 0.22], [0.10, 0.20, 0.70], [1 / 3, 1 / 3, 1 / 3]]
    second = [[0.50, 0.25, 0.25], [0.30, 0.41, 0.29], [0.39, 0.31, 0.30], [0.30, 0.20, 0.50]]
    chances = torch.tensor([first, second]).transpose(1, 2).unsqueeze(2)
    confidence, unreliable = evaluate_confidence(chances, 0.8)
    expected = torch.tensor([[0.9, 0.73, 0.7, 1 / 3], [0.5, 0.41, 0.39, 0.5]])
    torch.testing.assert_close(confidence, expected.view(2, 1, 1, 4))
    assert unreliable.flatten(1).tolist() == [[0, 0, 1, 1], [0, 0, 1, 0]]
    # Equation 4: above the threshold is reliable, on it is not. 0.5 and 0.25 are exact.
    halves = torch.tensor([[0.5, 0.25]]).view(1, 1, 1, 2).expand(1, 2, 1, 2)
    assert evaluate_confidence(halves, 0.5)[1].flatten().tolist() == [0, 1]


@pytest.mark.parametrize("rho", [0.1, 0.5, 0.9])
def test_evaluation_equals_a_loop(rho):
    chances = torch.softmax(3 * torch.randn(3, 5, 6, 7, generator=torch.Generator().manual_seed(0)), dim=1)
    _, unreliable = evaluate_confidence(chances, rho)
    for sample, found in zip(chances.tolist(), unreliable.tolist(), strict=True):
        best = [[max(c[y][x] for c in sample) for x in range(7)] for y in range(6)]
        threshold = rho * max(map(max, best))
        assert found[0] == [[0.0 if value > threshold else 1.0 for value in row] for row in best]


def test_a_greater_rho_never_trusts_more():
    chances = torch.softmax(2 * torch.randn(1, 5, 20, 20, generator=torch.Generator().manual_seed(0)), dim=1)
    shares = [evaluate_confidence(chances, rho)[1].mean().item() for rho in (0.2, 0.4, 0.6, 0.8, 0.95)]
    assert shares == sorted(shares) and shares[0] < 0.3 and shares[-1] > 0.9


def test_no_gradient_passes_the_evaluation():
    logits = torch.randn(1, 3, 4, 4, requires_grad=True)
    confidence, unreliable = evaluate_confidence(probabilities(logits), 0.8)
    assert not confidence.requires_grad and not unreliable.requires_grad
    # With SPADE's weights at 0, all that could come back to the logits comes through the mask.
    module = InferenceModule(4, 4, 4, 3, 4, corrects=True)
    for parameter in module.spade.parameters():
        parameter.data.zero_()
    unreliable = F.interpolate(evaluate_confidence(probabilities(logits), 0.8)[1], scale_factor=2.0)
    result = module(torch.randn(1, 4, 4, 4), torch.randn(1, 4, 8, 8), probabilities(logits), unreliable)
    result.square().sum().backward()
    assert logits.grad.abs().sum() == 0


# --- the inference modules ------------------------------------------------------------------------------------------


def conv(features, layer):
    return F.conv2d(features, layer.weight, layer.bias, padding=layer.kernel_size[0] // 2)


def slow_inference(module, features, skip, chances, unreliable, statistics):
    """Equations 2, 3 and 6 as they are written, one sample at a time, gamma and beta from convolutions of their own."""
    results = []
    larger = F.interpolate(features, size=skip.shape[-2:], mode="bilinear", align_corners=False)
    everything = conv(torch.cat([larger, skip], dim=1), module.merge)
    for i in range(len(features)):
        larger = F.interpolate(features[i : i + 1], size=skip.shape[-2:], mode="bilinear", align_corners=False)
        merged = conv(torch.cat([larger, skip[i : i + 1]], dim=1), module.merge)
        over = everything if statistics == "batch" else merged
        mean = over.mean(dim=(0, 2, 3), keepdim=True)
        deviation = ((over - mean).square().mean(dim=(0, 2, 3), keepdim=True) + 1e-5).sqrt()
        # In Base-Net and at the coarsest scale, which have no labels, SPADE's statistics have no place.
        modulated = merged if statistics == "batch" and chances is None else (merged - mean) / deviation
        if chances is not None:
            doubled = chances[i : i + 1].repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
            hidden = conv(doubled, module.spade.hidden.convolution).clamp(min=0)
            affine = module.spade.modulation.affine
            half = len(affine.weight) // 2
            gamma = F.conv2d(hidden, affine.weight[:half], affine.bias[:half], padding=1)
            beta = F.conv2d(hidden, affine.weight[half:], affine.bias[half:], padding=1)
            modulated = (1 + gamma) * modulated + beta
        result = conv(conv(modulated, module.base_net[0]).clamp(min=0), module.base_net[2])
        if unreliable is not None:
            marks = conv(unreliable[i : i + 1], module.mask_net).clamp(min=0)
            both = torch.cat([modulated, marks], dim=1)
            result = result + conv(conv(both, module.bias_net[0]).clamp(min=0), module.bias_net[2])
        results.append(result)
    return torch.cat(results)


@pytest.mark.parametrize("statistics", ["batch", "instance"])
@pytest.mark.parametrize("labels", [True, False])
@pytest.mark.parametrize("corrects", [True, False])
def test_inference_equals_the_slow_one(labels, corrects, statistics):
    torch.manual_seed(0)
    module = InferenceModule(6, 5, 4, 3 if labels else 0, 7, corrects, statistics).double()
    features, skip = torch.randn(2, 6, 4, 5).double(), torch.randn(2, 5, 8, 10).double()
    chances = torch.softmax(torch.randn(2, 3, 4, 5).double(), dim=1) if labels else None
    unreliable = (torch.rand(2, 1, 8, 10) > 0.5).double() if corrects else None
    expected = slow_inference(module, features, skip, chances, unreliable, statistics)
    torch.testing.assert_close(module(features, skip, chances, unreliable), expected, atol=1e-12, rtol=1e-10)


def test_modulation_is_the_released_spade():
    # The golden tensors of SPADE, through the module: merge passes the features, the base-net shows the modulated ones.
    golden = golden_tensors("layers/spade.safetensors")
    weights = recipe_weights(golden_keys("layers/spade_keys.json")["spade_instance"])
    hidden, classes = weights["mlp_shared.0.weight"].shape[:2]
    channels = weights["mlp_gamma.weight"].shape[0]
    module = InferenceModule(1, channels, channels, classes, hidden, corrects=False, statistics="instance")
    torch.nn.init.zeros_(module.merge.weight)
    module.merge.weight.data[:, 1:, 1, 1] = torch.eye(channels)
    for kind in ("weight", "bias"):
        getattr(module.spade.hidden.convolution, kind).data.copy_(weights[f"mlp_shared.0.{kind}"])
        both = torch.cat([weights[f"mlp_gamma.{kind}"], weights[f"mlp_beta.{kind}"]])
        getattr(module.spade.modulation.affine, kind).data.copy_(both)
    module.base_net = torch.nn.Identity()
    x, labels = golden["in_x"], golden["in_seg"]
    coarse = torch.zeros(len(x), 1, x.shape[2] // 2, x.shape[3] // 2)
    with torch.no_grad():
        found = module(coarse, x, labels, None)
    torch.testing.assert_close(found, golden["out_spade_instance"], atol=1e-5, rtol=1e-5)


def test_the_network_feeds_each_scale_as_figure_3():
    """The whole forward again, from its parts: labels and masks of a scale go to the next finer one."""
    network, (image, mask) = small(), small_case()
    with torch.no_grad():
        output = network(image, mask)
        skips = network.encoder(torch.cat([torch.where(mask.bool(), 0.0, 2 * image - 1), mask], dim=1))
        features, chances = network.context(skips[5]), None
        unreliable = F.max_pool2d(mask, 16)  # at the coarsest scale: the hole
        for scale in (4, 3, 2, 1, 0):
            features = network.decoder[scale](features, skips[scale], chances, unreliable)
            torch.testing.assert_close(output.pyramid[scale], (network.image_heads[scale](features).tanh() + 1) / 2)
            torch.testing.assert_close(output.segmentations[scale], network.label_heads[scale](features))
            assert torch.equal(output.unreliable[scale], unreliable)
            chances = torch.softmax(output.segmentations[scale], dim=1)
            best = chances.amax(dim=1, keepdim=True)
            torch.testing.assert_close(output.confidences[scale], best)
            doubtful = best <= 0.8 * best.flatten(1).amax(dim=1).view(-1, 1, 1, 1)
            unreliable = doubtful.float().repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    assert all(0.02 < unsure.mean() < 0.98 for unsure in output.unreliable), "a constant mask would test nothing"
    assert output.pyramid[0] is output.image


@pytest.mark.parametrize("variant", ["guided", "evaluated"])
def test_the_picture_teaches_the_labels_that_guide_it(variant):
    network, (image, mask) = small(variant=variant), small_case()
    network(image, mask).image.square().sum().backward()
    taught = [any(p.grad is not None and p.grad.abs().sum() > 0 for p in h.parameters()) for h in network.label_heads]
    assert taught == [False, True, True, True, True], "the finest labels guide nothing"


def test_encoder_by_hand():
    torch.manual_seed(0)
    encoder, picture = Encoder(4), torch.randn(2, 4, 64, 96)
    features = F.leaky_relu(F.conv2d(picture, encoder.levels[0].weight, encoder.levels[0].bias, padding=2), 0.2)
    shapes = []
    for found, level in zip(encoder(picture), [None, *list(encoder.levels)[1:]], strict=True):
        if level is not None:
            features = F.conv2d(features, level.weight, stride=2, padding=1)
            features = F.leaky_relu(F.instance_norm(features), 0.2)
        torch.testing.assert_close(found, features, atol=1e-5, rtol=1e-4)
        shapes.append(tuple(found.shape[1:]))
    assert shapes == [(4, 64, 96), (8, 32, 48), (16, 16, 24), (32, 8, 12), (64, 4, 6), (64, 2, 3)]


def reach(module, side, channels=2):
    """Whether the result in the middle depends on each cell."""
    features = torch.randn(1, channels, side, side, dtype=torch.float64, requires_grad=True)
    module.double()(features)[0, 0, side // 2, side // 2].backward()
    return features.grad.abs().sum(dim=(0, 1)) > 0


def test_dilated_context_sees_nine_cells_around(monkeypatch):
    torch.manual_seed(0)
    # Without the normalisation, through which each cell depends on all.
    monkeypatch.setattr("inpaintzoo.models.sgenet.instance_normalize", lambda features: features)
    seen = reach(DilatedContext(2), 25)
    expected = torch.zeros(25, 25, dtype=torch.bool)
    expected[12 - 9 : 12 + 10, 12 - 9 : 12 + 10] = True  # 1 + 2 + 4 + 2
    assert torch.equal(seen, expected)


def test_dilated_context_by_hand():
    torch.manual_seed(0)
    context, features = DilatedContext(3).double(), torch.randn(2, 3, 5, 6, dtype=torch.float64)
    expected = features
    for convolution, dilation in zip(context.convolutions, (1, 2, 4, 2), strict=True):
        inferred = F.conv2d(F.pad(expected, (dilation,) * 4), convolution.weight, dilation=dilation)
        expected = expected + F.leaky_relu(F.instance_norm(inferred), 0.2)
    torch.testing.assert_close(context(features), expected)


def test_fully_connected_context_sees_everything_and_equals_a_loop():
    torch.manual_seed(0)
    context = FullyConnectedContext(2, 4)
    features = torch.randn(3, 2, 4, 4)
    mixed = torch.stack([features[:, c].flatten(1) @ context.weight[c].T + context.shift[c, :, 0] for c in (0, 1)], 1)
    expected = F.leaky_relu(context.across(F.leaky_relu(mixed.view(3, 2, 4, 4), 0.2)), 0.2)
    torch.testing.assert_close(context(features), expected)
    assert reach(context, 4).all()


# --- variants -------------------------------------------------------------------------------------------------------


def test_a_colour_cast_survives_batch_statistics_only():
    """The average colour of a picture is what instance normalisation removes."""
    torch.manual_seed(0)
    features, skip = torch.randn(1, 4, 4, 4).repeat(2, 1, 1, 1), torch.randn(1, 4, 8, 8).repeat(2, 1, 1, 1)
    chances = torch.full((2, 3, 4, 4), 1 / 3)
    features[1] += 5.0
    skip[1] += 5.0
    for statistics, seen in (("batch", True), ("instance", False)):
        module = InferenceModule(4, 4, 4, 3, 4, False, statistics)
        one, other = module(features, skip, chances, None)[:, :, 3:5, 3:5]
        assert (not torch.allclose(one, other, atol=0.2)) is seen


@pytest.mark.parametrize(
    ("variant", "count"), [("base", 32_947_407), ("guided", 37_276_437), ("evaluated", 43_707_381)]
)
def test_parameters(variant, count):
    # By hand, for a 3x3 convolution from a to b channels, with bias: 9ab + b.
    def conv3(before, after):
        return 9 * before * after + after

    deep, channels = 512, (32, 64, 128, 256, 512)
    total = 25 * 4 * 32 + 32 + sum(16 * a * b for a, b in ((32, 64), (64, 128), (128, 256), (256, 512), (512, 512)))
    total += 4 * 9 * deep**2
    for i, c in enumerate(channels):
        merge = conv3((*channels, deep)[i + 1] + c, c)
        total += merge - (c if variant != "base" and c < deep else 0)  # no bias before SPADE
        total += 2 * conv3(c, c)  # base-net
        total += conv3(c, c) + conv3(c, 3)  # image head
        if variant != "base":
            total += conv3(c, c) + 14 * c + 14  # label head
            total += (conv3(14, 128) + conv3(128, 2 * c)) if c < deep else 0  # SPADE
        if variant == "evaluated":
            total += conv3(1, 16) + conv3(c + 16, c) + conv3(c, c)  # bias-net
    assert total == count
    with torch.device("meta"):
        assert sum(p.numel() for p in SGENet(variant).parameters()) == count


def test_variants_share_names_and_differ_in_pictures():
    image, mask = small_case()
    networks = {variant: small(variant=variant) for variant in ("base", "guided", "evaluated")}
    names = {variant: set(network.state_dict()) for variant, network in networks.items()}
    # Where SPADE normalises, the convolution before it needs no bias.
    unbiased = {f"decoder.{scale}.merge.bias" for scale in range(4)}
    assert names["base"] - names["guided"] == unbiased and names["guided"] < names["evaluated"]
    assert {name.split(".")[0] for name in names["guided"] - names["base"]} == {"decoder", "label_heads"}
    assert {name.split(".")[2] for name in names["evaluated"] - names["guided"]} == {"mask_net", "bias_net"}
    assert {variant: network.needs_labels for variant, network in networks.items()} == {
        "base": False,
        "guided": True,
        "evaluated": True,
    }
    # With the same weights where they share them, only what a variant adds can make the difference.
    for smaller, larger in (("base", "guided"), ("guided", "evaluated")):
        networks[larger].load_state_dict(networks[smaller].state_dict(), strict=False)
        with torch.no_grad():
            one, other = networks[smaller](image, mask), networks[larger](image, mask)
        assert not torch.equal(one.image, other.image)
        assert torch.equal(one.pyramid[4], other.pyramid[4]) is (larger == "guided"), "no labels guide the coarsest"


def test_a_bias_net_that_says_nothing_makes_it_sg_net():
    image, mask = small_case()
    evaluated, guided = small(), small(variant="guided")
    guided.load_state_dict({n: v for n, v in evaluated.state_dict().items() if n in guided.state_dict()})
    for module in evaluated.decoder:
        torch.nn.init.zeros_(module.bias_net[2].weight)
        torch.nn.init.zeros_(module.bias_net[2].bias)
    with torch.no_grad():
        assert torch.equal(evaluated(image, mask).image, guided(image, mask).image)


def test_rho_decides_what_is_corrected():
    image, mask = small_case()
    with torch.no_grad():
        low, high = (small(rho=rho)(image, mask) for rho in (0.3, 0.95))
    assert low.unreliable[3].mean() < high.unreliable[3].mean()
    assert torch.equal(low.unreliable[4], high.unreliable[4])
    assert not torch.equal(low.image, high.image)


# --- the config ---


def test_the_header_tells_how_to_get_the_papers_features(tmp_path):
    text = (CONFIGS / "sgenet.yaml").read_text()
    header = " ".join(line.lstrip("# ") for line in text.splitlines() if line.startswith("#"))
    (flags,) = re.findall(r"The paper's: (--model.losses.perceptual.network .*?\])", header.replace('"', ""))
    with pytest.warns(UserWarning, match="random"):
        network = VGGFeatures("vgg16", ("relu4_3",), weights=None)
    save_file(
        {f"features.{name}": value for name, value in network.features.state_dict().items()}, tmp_path / "f.safetensors"
    )
    name, values = flags.split(" [")
    options = [
        *name.split(),
        f"[{values}",
        "--model.losses.perceptual.network.weights",
        str(tmp_path / "f.safetensors"),
    ]
    options = ["--config", str(CONFIGS / "sgenet.yaml"), *options]
    small = ["--model.generator.width", "4", "--model.generator.hidden", "4", "--data.num_workers", "0"]
    loss = ZooCLI([*options, *small], run=False).model.losses["perceptual"]
    assert loss.teacher.module.layers == ("relu2_2", "relu3_3", "relu4_3") and loss.which == "pyramid"
    assert torch.equal(loss.teacher.module.features[0].weight, network.features[0].weight)


# --- the discriminator ----------------------------------------------------------------------------------------------


def test_golden_multi_scale_discriminator():
    """SPADE's released code: three discriminators of four layers, and how the picture gets smaller."""
    networks = [PatchDiscriminator(padding=2, norm="spectral+instance", plain_first=True) for _ in range(3)]
    weights = recipe_weights(golden_keys("discriminators/multiscale_patchgan.json"))
    for scale, network in enumerate(networks):
        for i, layer in enumerate([*(layer[0] for layer in network.layers), network.classifier]):
            name = f"discriminator_{scale}.model{i}.0"
            if i in (0, 4):
                layer.weight.data.copy_(weights.pop(f"{name}.weight"))
                layer.bias.data.copy_(weights.pop(f"{name}.bias"))
                continue
            layer.parametrizations.weight.original.data.copy_(weights.pop(f"{name}.0.weight_orig"))
            layer.parametrizations.weight[0]._u.copy_(weights.pop(f"{name}.0.weight_u"))
            layer.parametrizations.weight[0]._v.copy_(weights.pop(f"{name}.0.weight_v"))
    assert not weights, "every released tensor has its place"
    adversary = MultiScaleAdversary(networks, NonSaturating()).eval()
    assert sum(p.numel() for p in adversary.parameters()) == 8_291_523
    golden = golden_tensors("discriminators/multiscale_patchgan.safetensors")
    image = (golden["in_image"] + 1) / 2
    with torch.no_grad():
        scales = adversary.judge(image, torch.zeros_like(image[:, :1]))
    for scale, features in enumerate(scales):
        torch.testing.assert_close(features[-1], golden[f"out_scale{scale}"], atol=1e-5, rtol=1e-5)
        assert len(features) == 5


def test_sgnets_config_is_sgenets_but_for_the_variant():
    """A config cannot include another, and each must run alone: the copy may not drift."""
    guided, evaluated = (yaml.safe_load((CONFIGS / f"{name}.yaml").read_text()) for name in ("sgnet", "sgenet"))
    generators = [config["model"]["init_args"]["generator"]["init_args"] for config in (guided, evaluated)]
    assert [generator.pop("variant") for generator in generators] == ["guided", "evaluated"]
    assert [config["trainer"].pop("default_root_dir") for config in (guided, evaluated)] == [
        "runs/sgnet",
        "runs/sgenet",
    ]
    assert guided == evaluated
