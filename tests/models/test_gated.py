"""The gated two-stage network against golden tensors of a public port, its parts, and the contract of a generator."""

import pytest
import torch
from contract import (
    COMPILERS,
    assert_layout_and_bfloat16_change_little,
    three_pairs,
    without_gradient,
)
from gated_golden import IDENTITY, PADDINGS, pictures, released, released_discriminator
from golden_recipe import golden_tensors
from places import CONFIGS
from torch import nn

from inpaintzoo.commands import main
from inpaintzoo.discriminators import SNPatchDiscriminator
from inpaintzoo.layers.attention.contextual import ContextualAttention
from inpaintzoo.layers.gated import DilatedStack, GatedConv2d, GatedDecoder, SameConv2d
from inpaintzoo.layers.gated_stages import CoarseNetwork, RefineNetwork
from inpaintzoo.losses import L1
from inpaintzoo.models import AFFNet, GatedNet, PyramidGenerator
from inpaintzoo.models.gated import GatedOutput
from inpaintzoo.models.released import gated
from inpaintzoo.types import ConfigError, Output, WeightsError
from inpaintzoo.weights import convert_state_dict

CONFIG = str(CONFIGS / "gated.yaml")


def run_golden(port, **settings):
    """Our network with the port's weights on the golden picture; every layer's output under the released name."""
    weights, facts = released(port)
    network = GatedNet(padding=PADDINGS[port], **settings)
    network.load_state_dict(convert_state_dict("gated", weights))
    names = gated.port_layers() if port == "torch" else gated.tensorflow_layers()
    modules = dict(network.named_modules())
    named = {theirs: modules[ours] for ours, theirs in zip(gated.gated_layers(), names, strict=True)}
    attention = "stage2.contextual_attention" if port == "torch" else "contextual_attention"
    taken = {}
    for name, module in (named | {attention: network.refine.attention}).items():
        module.register_forward_hook(lambda _, args, result, name=name: taken.update({name: result}))
    with torch.no_grad():
        output = network(*pictures())
    return output, taken, facts["taps"]


@pytest.fixture(scope="module", params=["torch", "tf"])
def golden_run(request):
    return request.param, *run_golden(request.param)


def test_parameters():
    assert sum(parameter.numel() for parameter in GatedNet().parameters()) == 4_052_478


def test_golden_images(golden_run):
    port, output, _, _ = golden_run
    golden = golden_tensors(f"deepfillv2/{port}.safetensors")
    torch.testing.assert_close(2 * output.coarse - 1, golden["coarse"], atol=1e-5, rtol=0)
    torch.testing.assert_close(2 * output.image - 1, golden["refined"], atol=1e-5, rtol=0)


def test_golden_stages(golden_run):
    _, _, taken, taps = golden_run
    compared = 0
    for name, (shape, mean, std, _) in taps.items():
        found = taken[name if name in taken else f"{name}.conv"]  # a doubling is stored twice
        assert list(found.shape) == shape, name
        assert found.mean().item() == pytest.approx(mean, abs=2e-6), name
        assert found.std().item() == pytest.approx(std, abs=2e-6), name
        compared += 1
    assert compared == len(taken) + 4


def test_the_two_paddings_differ():
    images = []
    for padding in PADDINGS.values():
        network, (image, mask) = small(padding=padding), small_case()
        with torch.no_grad():
            images.append(network(image, mask).image)
    assert (images[0] - images[1]).abs().max() > 0.01


# --- released weights ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("port", PADDINGS)
def test_every_released_tensor_arrives(port):
    weights, _ = released(port)
    converted = convert_state_dict("gated", weights)
    kept = [tensor for name, tensor in weights.items() if name != IDENTITY]
    assert sorted(map(id, converted.values())) == sorted(map(id, kept))
    GatedNet().load_state_dict(converted, strict=True)


@pytest.mark.parametrize("port", PADDINGS)
def test_wrong_state_dicts_are_refused_by_name(port):
    weights, _ = released(port)
    first, *_, last = weights
    with pytest.raises(WeightsError, match=f"missing: {first}"):
        convert_state_dict("gated", {key: value for key, value in weights.items() if key != first})
    with pytest.raises(WeightsError, match=r"unknown: stage9\.weight|unknown: extra\.weight"):
        convert_state_dict("gated", weights | {"stage9.weight" if port == "torch" else "extra.weight": torch.zeros(1)})
    with pytest.raises(WeightsError, match=rf"{last} is \(7,\) instead of"):
        convert_state_dict("gated", weights | {last: torch.zeros(7)})


def test_a_stored_identity_that_is_none_is_refused():
    weights, _ = released("torch")
    with pytest.raises(WeightsError, match="fuse_weight must be a 3x3 identity matrix"):
        convert_state_dict("gated", weights | {IDENTITY: torch.ones(1, 1, 3, 3)})


@pytest.mark.parametrize("port", PADDINGS)
def test_golden_discriminator(port):
    """One power iteration per forward in training; the port divides its weight in place each time, without effect."""
    golden = golden_tensors(f"discriminators/sn_patchgan_{port}.safetensors")
    network = SNPatchDiscriminator(padding=PADDINGS[port])
    network.load_state_dict(convert_state_dict("gated-discriminator", released_discriminator()))
    with torch.no_grad():
        first, second = (network(*pictures())[-1].flatten(1) for _ in range(2))
    torch.testing.assert_close(first, golden["out_call1"], atol=2e-6, rtol=1e-5)
    torch.testing.assert_close(second, golden["out_call2"], atol=2e-6, rtol=1e-5)


def test_discriminator_in_eval_mode_has_a_norm_from_the_released_vector():
    network = SNPatchDiscriminator()
    network.load_state_dict(convert_state_dict("gated-discriminator", released_discriminator()))
    weights = released_discriminator()
    matrix, u = weights["conv3.conv_sn.weight"].flatten(1), weights["conv3.conv_sn.weight_u"][:, 0]
    expected = weights["conv3.conv_sn.weight"] / (matrix.t() @ u).norm()
    torch.testing.assert_close(network.eval().layers[2].weight, expected)


def test_discriminator_files_are_checked():
    weights = released_discriminator()
    with pytest.raises(WeightsError, match=r"missing: conv2\.conv_sn\.weight"):
        convert_state_dict("gated-discriminator", {k: v for k, v in weights.items() if k != "conv2.conv_sn.weight"})
    with pytest.raises(WeightsError, match=r"conv2\.conv_sn\.weight is \(7, 64, 5, 5\) instead of"):
        convert_state_dict("gated-discriminator", weights | {"conv2.conv_sn.weight": torch.zeros(7, 64, 5, 5)})
    with pytest.raises(ValueError, match="SNPatchDiscriminator: padding must be 'same' or 'same_tf', got 'valid'"):
        SNPatchDiscriminator(padding="valid")


# --- parts ---------------------------------------------------------------------------------------------------------


def test_gated_convolution_by_hand():
    layer = GatedConv2d(1, 1, kernel=1)
    with torch.no_grad():
        layer.convolution.weight.copy_(torch.tensor([1.0, 2.0]).view(2, 1, 1, 1))
        layer.convolution.bias.copy_(torch.tensor([-1.0, 0.5]))
    value = torch.tensor([3.0, -2.0])
    expected = torch.where(value - 1 > 0, value - 1, (value - 1).exp() - 1) / (1 + (-2 * value - 0.5).exp())
    torch.testing.assert_close(layer(value.view(1, 1, 1, 2)).flatten(), expected)
    layer.activation = "relu"
    expected = (value - 1).clamp(min=0) / (1 + (-2 * value - 0.5).exp())
    torch.testing.assert_close(layer(value.view(1, 1, 1, 2)).flatten(), expected)


@pytest.mark.parametrize(
    ("side", "stride", "kernel"), [(8, 2, 3), (9, 2, 3), (8, 2, 5), (7, 2, 5), (10, 3, 3), (8, 1, 5)]
)
def test_same_padding_as_tensorflow_counts_it(side, stride, kernel):
    """TensorFlow's rule: the output has ceil(side / stride) cells, the odd zero comes last."""
    layer = SameConv2d(1, 1, kernel, stride, padding="same_tf")
    nn.init.ones_(layer.weight)
    nn.init.zeros_(layer.bias)
    line = torch.arange(1.0, side + 1)
    picture = line.view(1, 1, 1, side).expand(1, 1, kernel if stride == 1 else side, side)
    missing = max((-(-side // stride) - 1) * stride + kernel - side, 0)
    padded = [0.0] * (missing // 2) + line.tolist() + [0.0] * (missing - missing // 2)
    expected = [sum(padded[i : i + kernel]) for i in range(0, len(padded) - kernel + 1, stride)]
    found = layer(picture)[0, 0]
    row = found[len(found) // 2]  # one that no zero row touches
    torch.testing.assert_close(row / row[0], torch.tensor(expected) / expected[0])
    assert len(expected) == -(-side // stride)


class Recorder(nn.Module):
    """A fusion or skip that keeps the shapes it saw."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, first, second):
        self.seen.append((tuple(first.shape), tuple(second.shape)))
        return first + second


def test_fusion_and_skips_get_the_encoder_and_the_decoder():
    fusion, half, full = Recorder(), Recorder(), Recorder()
    network = CoarseNetwork(width=4, fusion=fusion, skips=[half, full])
    assert network(torch.rand(1, 5, 16, 24)).shape == (1, 3, 16, 24)
    assert fusion.seen == [((1, 16, 4, 6),) * 2]
    assert half.seen == [((1, 8, 8, 12),) * 2] and full.seen == [((1, 4, 16, 24),) * 2]
    plain = sum(p.numel() for p in CoarseNetwork(width=4).parameters())
    # A skip doubles the input of the decoder's next layer.
    assert sum(p.numel() for p in network.parameters()) - plain == 9 * (16 * 8 + 4 * 4)


def test_dilated_stack_without_and_with_fusion():
    features = torch.randn(1, 4, 8, 8)
    plain = DilatedStack(4, (1, 3))
    fused = DilatedStack(4, (1, 3), fusion=Recorder())
    fused.load_state_dict(plain.state_dict())
    assert [layer.convolution.dilation for layer in plain.layers] == [(1, 1), (3, 3)]
    torch.testing.assert_close(fused(features), features + plain(features))


def test_branches_of_the_refine_stage_have_inputs_of_their_own():
    channels = {"convolution_channels": 6, "attention_channels": 4, "feature_channels": 5}
    network = RefineNetwork(ContextualAttention(), **channels, width=4, dilations=(2, 4))
    picture, other = torch.rand(1, 6, 16, 16), torch.rand(1, 4, 16, 16)
    mask, features = torch.zeros(1, 1, 16, 16), torch.rand(1, 5, 4, 4)
    result = network(picture, other, mask, features)
    assert result.shape == (1, 3, 16, 16) and result.abs().max() <= 1
    for i, argument in enumerate((picture, other, None, features)):
        if argument is not None:
            changed = [picture, other, mask, features]
            changed[i] = 1 - argument
            assert not torch.equal(network(*changed), result)


def test_errors_of_the_parts():
    with pytest.raises(ValueError, match="activation must be 'elu' or 'relu', got 'gelu'"):
        GatedConv2d(1, 1, activation="gelu")
    with pytest.raises(ValueError, match="kernel must be odd and positive, got 4"):
        SameConv2d(1, 1, kernel=4)
    with pytest.raises(ValueError, match=r"dilations must be one or more numbers from 1 up, got \(\)"):
        DilatedStack(4, ())
    with pytest.raises(ValueError, match="skips must be two modules, for half and full size, got 1"):
        GatedDecoder(16, 4, skips=[Recorder()])


# --- the contract of a generator -----------------------------------------------------------------------------------


def small(width=8, **arguments):
    torch.manual_seed(0)
    return GatedNet(width, **arguments)


def small_case():
    return three_pairs(40, 56, (8, 24, 16, 40), 24)


@pytest.mark.parametrize("arguments", [{}, {"padding": "same_tf"}, {"fuse": False, "mask_resize": "any"}])
def test_shapes_ranges_and_gradients(arguments):
    network, (image, mask) = small(**arguments), small_case()
    output = network(image, mask)
    assert isinstance(output, GatedOutput)
    for picture in (output.image, output.coarse):
        assert picture.shape == image.shape and picture.min() >= 0 and picture.max() <= 1
    output.image.square().sum().backward()
    assert without_gradient(network) == []  # the coarse stage learns through the refine stage too


def test_the_first_stage_is_pasted_into_the_hole():
    network, (image, mask) = small(), small_case()
    seen = []
    network.refine.register_forward_pre_hook(lambda _, args: seen.append(args))
    with torch.no_grad():
        coarse = network(image, mask).coarse
    picture, attention_picture, _ = seen[0]
    assert picture is attention_picture
    expected = torch.where(mask.bool(), coarse, image)
    torch.testing.assert_close((picture + 1) / 2, expected, atol=1e-6, rtol=0)


def test_channels_last_and_bfloat16():
    assert_layout_and_bfloat16_change_little(small(), *small_case())


@COMPILERS
def test_traces_without_graph_breaks(backend):
    network = small(width=2, dilations=(2,))
    image, mask = torch.rand(1, 3, 16, 24), torch.zeros(1, 1, 16, 24)
    mask[:, :, 4:12, 10:20] = 1
    compiled = torch.compile(network, fullgraph=True, backend=backend)
    expected, found = network(image, mask), compiled(image, mask)
    torch.testing.assert_close(found.image, expected.image, atol=1e-5, rtol=0)
    found.image.sum().backward()
    assert without_gradient(network) == []


def test_initialisation_keeps_the_size_of_a_signal():
    """In every gated layer, whose gate would otherwise halve it."""
    torch.manual_seed(0)
    network, sizes = GatedNet(), []
    layers = [module for module in network.modules() if isinstance(module, GatedConv2d)]
    for layer in layers:
        layer.register_forward_hook(lambda module, inputs, output: sizes.append(output.square().mean().sqrt().item()))
    with torch.no_grad():
        network(*three_pairs(64, 64, (16, 48, 16, 48), 24, batch=1))
    assert len(sizes) == len(layers) > 30
    assert min(sizes) > 0.05 and max(sizes) < 2  # at this size the dilated layers see much of the zeros around
    assert all((p == 0).all() for name, p in network.named_parameters() if name.endswith("bias"))


def test_glorots_initialisation_is_that_of_the_authors_code():
    """TensorFlow's default: uniform, with the variance 2 / (fan_in + fan_out), the gates among the outputs."""
    torch.manual_seed(0)
    weight = GatedNet(init="glorot").refine.merge[0].convolution.weight
    assert weight.shape == (192, 192, 3, 3)
    limit = (6 / (9 * 192 + 9 * 192)) ** 0.5
    assert 0.999 * limit < weight.abs().max() < 1.0001 * limit and abs(weight.std() * 3**0.5 / limit - 1) < 0.01


def test_errors():
    for network in (GatedNet, AFFNet, PyramidGenerator):
        with pytest.raises(ValueError, match=f"{network.__name__}: init must be 'glorot' or 'kaiming', got 'normal'"):
            network(width=12, init="normal")
    with pytest.raises(ValueError, match=r"multiples of 8, got 36x64"):
        small()(torch.zeros(1, 3, 36, 64), torch.zeros(1, 1, 36, 64))
    with pytest.raises(ValueError, match="width must be positive and even, got 7"):
        GatedNet(width=7)
    with pytest.raises(ValueError, match="GatedNet: padding must be 'same' or 'same_tf', got 'valid'"):
        GatedNet(padding="valid")


def test_the_network_of_these_tests_sees_the_picture_and_both_its_holes():
    network, (image, mask) = small(), small_case()
    with torch.no_grad():
        expected = network(image, mask).image
        for changed in (network(image.flip(0), mask), network(image, mask.flip(0))):
            assert (changed.image - expected).abs().max() > 0.1


# --- training ------------------------------------------------------------------------------------------------------


def test_l1_of_the_coarse_picture():
    image, mask = small_case()
    output = GatedOutput(image=image, coarse=image + 0.25)
    batch = {"image": image, "mask": mask}
    assert L1(2.0, which="coarse")(output, batch).item() == pytest.approx(0.5, abs=1e-6)
    with pytest.raises(ConfigError, match=r"reads output\.coarse, but the generator's Output has none"):
        L1(which="coarse")(Output(image=image), batch)


def test_the_shipped_config_trains(tmp_path):
    arguments = ["--model.generator.width", "4", "--model.adversaries.global.discriminator.width", "4"]
    arguments += ["--data.image_size", "64", "--data.batch_size", "2", "--data.num_workers", "0"]
    arguments += ["--data.train_size", "4", "--data.val_size", "2", "--trainer.limit_val_batches", "0"]
    arguments += ["--model.max_iterations", "2", "--trainer.default_root_dir", str(tmp_path)]
    arguments += ["--trainer.accelerator", "cpu", "--trainer.logger", "false", "--trainer.enable_progress_bar", "false"]
    assert main(["fit", "--config", CONFIG, *arguments]) == 0
    assert list(tmp_path.rglob("*.ckpt"))
