"""MPSSD, SSD and FSSD: the released FSSD, slow references of the equations, the arguments of table 5.5."""

import json

import pytest
import torch
from golden_recipe import GOLDEN, golden_tensors, recipe_weights

from inpaintzoo.removal.detection.network import FSSD, MPSSD, SSD, ChannelAttention, FeatureFusion

FSSD_NAMES = {
    "base": "backbone.base.base",
    "ft_module": "backbone.fusion.reduce",
    "pyramid_ext": "backbone.fusion.pyramid",
    "fea_bn": "backbone.fusion.norm",
    "loc": "head.regression_head.module_list",
    "conf": "head.classification_head.module_list",
}


def released_name(key):
    """Our name of a tensor of the released FSSD."""
    part, *rest = key.split(".")
    if part == "extras":  # one list of convolutions there, two in each block here
        number = int(rest[0])
        return f"backbone.base.extras.{number // 2}.{2 * (number % 2)}.{rest[1]}"
    return ".".join([FSSD_NAMES[part], *("0" if name == "conv" else name for name in rest)])


@pytest.mark.slow
def test_fssd_is_the_released_one():
    about = json.loads((GOLDEN / "detection/fssd300.json").read_text())
    golden = golden_tensors("detection/fssd300.safetensors")
    floats = {key: shape for key, shape, kind, _ in about["state_dict"] if kind == "float32"}
    network = FSSD().eval()
    state = {released_name(key): tensor for key, tensor in recipe_weights(floats, about["gain"]).items()}
    network.load_state_dict(state)
    assert sum(parameter.numel() for parameter in network.parameters()) == about["params"]
    with torch.no_grad():
        out = network.raw_outputs(golden["in_image"])
    torch.testing.assert_close(out["bbox_regression"], golden["out_loc"], atol=2e-3, rtol=1e-3)
    torch.testing.assert_close(out["cls_logits"], golden["out_conf"], atol=2e-3, rtol=1e-3)


@pytest.mark.parametrize(
    ("network", "size", "maps", "anchors"),
    [
        (SSD, 300, [38, 19, 10, 5, 3, 1], 8732),
        (SSD, 512, [64, 32, 16, 8, 4, 2, 1], 24564),
        (FSSD, 300, [38, 19, 10, 5, 3, 1], 11620),
        (FSSD, 512, [64, 32, 16, 8, 4, 2, 1], 32756),
        (MPSSD, 300, [38, 19, 10, 5, 3, 1], 8732),
        (MPSSD, 512, [64, 32, 16, 8, 4, 2, 1], 24564),
    ],
)
def test_maps_and_anchors(network, size, maps, anchors):
    network = network(size, ("cat", "dog"), width=2).eval()
    image = torch.zeros(1, 3, size, size)
    with torch.no_grad():
        assert [x.shape[-1] for x in network.backbone(image).values()] == maps
        assert network.raw_outputs(image)["cls_logits"].shape == (1, anchors, 3)
        (found,) = network([torch.rand(3, 40, 60)])
    assert (found["boxes"][:, 2:] <= torch.tensor([60.001, 40.001])).all()


def test_the_rows_of_table_5_5():
    def channels(**arguments):
        with torch.device("meta"):
            return MPSSD(**arguments).backbone.out_channels

    assert channels(modules=1) == [256] * 6
    assert channels(modules=2) == [256, *[512] * 5]
    assert channels(third=256) == [256, 512, *[768] * 4]
    assert channels() == [256, 512, *[640] * 4]
    assert channels(modules=4) == [256, 512, 640, *[768] * 3]


def test_voc_anchors_are_those_of_ssd():
    generator = SSD(width=1).anchor_generator
    assert generator.num_anchors_per_location() == [4, 6, 6, 6, 4, 4]
    widths = generator._wh_pairs[0] * 300
    assert torch.allclose(widths[0], torch.full((2,), 30.0))  # min_sizes 30, 60, 111, 162, 213, 264
    assert torch.allclose(widths[1], torch.full((2,), (30 * 60) ** 0.5))
    assert [round(generator.scales[level] * 300, 3) for level in range(6)] == [30, 60, 112.5, 165, 217.5, 270]


def test_feature_fusion_by_hand():
    torch.manual_seed(0)
    fusion = FeatureFusion((2, 3, 4), 2, (5, 3), [(3, 2, 1)]).double().requires_grad_(False)
    maps = [torch.randn(1, c, s, s, dtype=torch.float64) for c, s in ((2, 5), (3, 3), (4, 2))]
    fused = []
    for (convolution, _), x in zip(fusion.reduce, maps, strict=True):
        weight, bias, side = convolution.weight[:, :, 0, 0], convolution.bias, x.shape[-1]
        for channel in range(2):
            values = [[relu(weight[channel] @ x[0, :, i, j] + bias[channel]) for j in range(side)] for i in range(side)]
            fused.append([[bilinear(values, i, j, 5) for j in range(5)] for i in range(5)])
    x = torch.tensor(fused, dtype=torch.float64)
    expected = []
    for (convolution, _), stride in zip(fusion.pyramid, (1, 2), strict=True):
        x = torch.tensor(
            [
                [
                    [relu(convolved(x, convolution, o, i, j)) for j in range(0, x.shape[2], stride)]
                    for i in range(0, x.shape[1], stride)
                ]
                for o in range(len(convolution.weight))
            ],
            dtype=torch.float64,
        )
        expected.append(x)
    for found, wanted in zip(fusion(maps), expected, strict=True):
        torch.testing.assert_close(found[0], wanted)


def relu(x):
    return max(0.0, float(x))


def bilinear(values, i, j, size):
    """The value at the centre of a cell of a grid that is enlarged to `size`."""
    y, x = (min(max((place + 0.5) * len(values) / size - 0.5, 0), len(values) - 1) for place in (i, j))
    top, left = min(int(y), len(values) - 2), min(int(x), len(values) - 2)
    down, right = y - top, x - left
    upper = values[top][left] * (1 - right) + values[top][left + 1] * right
    lower = values[top + 1][left] * (1 - right) + values[top + 1][left + 1] * right
    return upper * (1 - down) + lower * down


def convolved(x, convolution, o, i, j):
    """One output of a 3x3 convolution with a padding of 1."""
    total = float(convolution.bias[o])
    for c in range(x.shape[0]):
        for a in range(3):
            for b in range(3):
                row, column = i + a - 1, j + b - 1
                if 0 <= row < x.shape[1] and 0 <= column < x.shape[2]:
                    total += float(convolution.weight[o, c, a, b] * x[c, row, column])
    return total


def test_channel_attention_by_hand():
    torch.manual_seed(0)
    attention = ChannelAttention(32).double().requires_grad_(False)
    x = torch.randn(2, 32, 3, 4, dtype=torch.float64)
    first, second = attention.first.weight.tolist(), attention.second.weight.tolist()
    assert len(first) == 2  # C / 16
    for sample, result in zip(x.tolist(), attention(x).tolist(), strict=True):
        z = [sum(map(sum, channel)) / 12 for channel in sample]  # (5.6)
        inner = [relu(sum(w * v for w, v in zip(row, z, strict=True))) for row in first]
        s = [1 / (1 + 2.718281828459045 ** -sum(w * v for w, v in zip(row, inner, strict=True))) for row in second]
        for c in range(32):
            expected = [[s[c] * value for value in row] for row in sample[c]]  # (5.8)
            torch.testing.assert_close(torch.tensor(result[c]), torch.tensor(expected))


@pytest.mark.parametrize("modules", [1, 2, 3, 4])
def test_a_level_of_the_pyramid_is_what_the_paths_have_there(modules):
    """(5.4) and (5.5): path m fuses the base maps from m to m + 2 and has maps from level m on."""
    torch.manual_seed(0)
    pyramid = MPSSD(modules=modules, width=2).eval().backbone
    image = torch.randn(1, 3, 300, 300)
    with torch.no_grad():
        base = pyramid.base(image)
        assert len(base) == modules + 2
        final = list(pyramid(image).values())
        for level in range(6):
            parts = []
            for m in range(min(modules, level + 1)):
                parts.append(pyramid.paths[m]([base[m], base[m + 1], base[m + 2]])[level - m])
            torch.testing.assert_close(final[level], pyramid.aggregation[level](torch.cat(parts, 1)))


@pytest.mark.parametrize("network", [SSD, FSSD, MPSSD])
def test_gradients_reach_every_parameter(network):
    torch.manual_seed(0)
    network = network(classes=("cat",), width=4)
    # Anchors of all maps match one of these; the last map's anchors are as large as the picture.
    boxes = [[0, 0, 300, 300], [0, 0, 150, 150], [10, 10, 40, 40], [100, 100, 190, 190], [20, 200, 80, 260.0]]
    target = {"boxes": torch.tensor(boxes), "labels": torch.ones(5, dtype=torch.long)}
    sum(network([torch.rand(3, 300, 300)], [target]).values()).backward()
    assert [name for name, p in network.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: SSD(size=200), "size must be 300 or 512 and width 1 or more, got 200"),
        (lambda: MPSSD(modules=5), "modules must be 1 to 4"),
        (lambda: MPSSD(classes="imagenet"), "classes must be names, or one of voc, coco, scenes, got 'imagenet'"),
        (lambda: FSSD(classes=()), "one class or more"),
    ],
)
def test_wrong_arguments(build, words):
    with pytest.raises(ValueError, match=words):
        build()
