"""SRPNet: its blocks against slow references, its ablations against PEN-Net, and the contract of a generator."""

import pytest
import torch
from contract import COMPILERS, three_pairs

from benchmarks.reference import attention as reference
from inpaintzoo.layers.attention.transfer import AttentionTransfer
from inpaintzoo.layers.pyramid import PyramidEncoder, ResidualBlock
from inpaintzoo.models import PENNet, SRPNet
from inpaintzoo.types import PyramidOutput

# --- oracles -------------------------------------------------------------------------------------------------------


def mirrored(index, length):
    """Where a position beyond the border is read: the border cell itself is not repeated."""
    index = abs(index)
    return index if index < length else 2 * (length - 1) - index


def slow_convolution(features, weight, dilation):
    """A 3x3 convolution with mirrored borders, cell by cell."""
    height, width = features.shape[1:]
    result = torch.zeros(weight.shape[0], height, width, dtype=features.dtype)
    for y in range(height):
        for x in range(width):
            for dy in range(3):
                for dx in range(3):
                    row = mirrored(y + (dy - 1) * dilation, height)
                    column = mirrored(x + (dx - 1) * dilation, width)
                    result[:, y, x] += weight[:, :, dy, dx] @ features[:, row, column]
    return result


def slow_norm(features):
    mean = features.mean(dim=(1, 2), keepdim=True)
    variance = (features - mean).square().mean(dim=(1, 2), keepdim=True)
    return (features - mean) / (variance + 1e-5).sqrt()


def slow_residual(features, block, dilation):
    inner = slow_norm(slow_convolution(features, block.dilated.weight, dilation)).clamp(min=0)
    return features + slow_norm(slow_convolution(inner, block.plain.weight, 1))


@pytest.mark.parametrize(
    ("size", "dilation", "used"), [((6, 5), 2, 2), ((4, 7), 1, 1), ((5, 5), 4, 4), ((2, 2), 2, 1), ((3, 8), 4, 2)]
)
def test_residual_block_equals_the_slow_one(size, dilation, used):
    torch.manual_seed(0)
    block = ResidualBlock(3, dilation).double()
    features = torch.randn(2, 3, *size, dtype=torch.float64)
    with torch.no_grad():
        expected = torch.stack([slow_residual(sample, block, used) for sample in features])
        torch.testing.assert_close(block(features), expected, atol=1e-12, rtol=1e-10)


@pytest.mark.parametrize("kernel", [1, 3])
def test_attention_equals_the_slow_one(kernel):
    generator = torch.Generator().manual_seed(0)
    deep, shallow = torch.randn(2, 6, 10, 12, generator=generator), torch.randn(2, 5, 20, 24, generator=generator)
    mask = torch.zeros(2, 1, 80, 96)
    mask[0, :, 20:50, 10:60], mask[1, :, :37] = 1, 1
    layer = SRPNet(4, kernel=kernel).context.transfers[3]
    assert layer.kernel == kernel
    layer.fusion = torch.nn.Identity()
    slow = reference.cosine_transfer_per_sample(shallow, deep, mask, kernel)
    torch.testing.assert_close(layer(shallow, deep, mask), slow, atol=1e-5, rtol=1e-5)


def test_all_levels_compare_single_cells():
    # Table A1: "kernel: 1" in all five.
    transfers = SRPNet(4).context.transfers
    assert [(type(transfer), transfer.kernel) for transfer in transfers] == [(AttentionTransfer, 1)] * 5


@pytest.mark.parametrize(("blocks", "count"), [(0, 10_231_538), (1, 21_235_442), (2, 32_239_346)])
def test_parameters(blocks, count):
    # By hand: a block holds two 3x3 convolutions without bias at 32, 64, 128, 256, 512 and 512 channels.
    assert count == 10_231_538 + blocks * sum(2 * 9 * c**2 for c in (32, 64, 128, 256, 512, 512))
    assert sum(p.numel() for p in SRPNet(num_residual_blocks=blocks).parameters()) == count


def test_without_residual_blocks_and_with_pennets_attention_it_is_pennet():
    image, mask = small_case()
    released = {"normalize_query": False, "hole_keys": "zero_score", "fill": "everywhere", "mask_resize": "bilinear"}
    ablated = SRPNet(8, 0, kernel=3, border="zeros", starved="zeros", **released)
    ablated.load_state_dict(small_pennet().state_dict())
    with torch.no_grad():
        assert torch.equal(ablated(image, mask).image, small_pennet()(image, mask).image)


def test_encoder_follows_table_a1():
    torch.manual_seed(0)
    encoder, features = PyramidEncoder(4, num_residual_blocks=2), torch.randn(1, 4, 128, 192)
    maps, shapes = encoder(features), []
    for i, level in enumerate(encoder.levels):
        features = torch.nn.functional.leaky_relu(level(features), 0.2)
        for block in encoder.blocks[i]:
            features = block(features)
        torch.testing.assert_close(maps[i], features)
        shapes.append(tuple(features.shape[1:]))
    assert shapes == [(4, 64, 96), (8, 32, 48), (16, 16, 24), (32, 8, 12), (64, 4, 6), (64, 2, 3)]


# --- the contract of a generator -----------------------------------------------------------------------------------

VARIANTS = [
    {},
    {"num_residual_blocks": 2, "dilation": 1},
    {"num_residual_blocks": 0},
    {"kernel": 3, "mask_resize": "any"},
    {"hole_keys": "zero_score", "fill": "everywhere", "normalize_query": False, "mask_resize": "bilinear"},
]


def small(**arguments):
    torch.manual_seed(0)
    network = SRPNet(width=8, **arguments)
    for parameter in network.parameters():  # at its initial deviation a network barely reacts to its input
        parameter.data.mul_(2)
    return network


def small_pennet():
    torch.manual_seed(0)
    return PENNet(width=8)


def small_case(batch=3, height=128, width=192):
    return three_pairs(height, width, (20, 80, 40, 150), 70, batch)


@pytest.mark.parametrize("arguments", VARIANTS)
def test_shapes_and_ranges(arguments):
    network, (image, mask) = small(**arguments), small_case()
    output = network(image, mask)
    assert isinstance(output, PyramidOutput)
    assert output.image.shape == image.shape
    assert [tuple(level.shape[2:]) for level in output.pyramid] == [(128 // 2**i, 192 // 2**i) for i in range(1, 6)]
    for tensor in (output.image, *output.pyramid):
        assert tensor.min() >= 0 and tensor.max() <= 1


@pytest.mark.parametrize("size", [(128, 128), (128, 320), (192, 128), (256, 192)])
def test_every_multiple_of_64_from_128_up(size):
    image, mask = small_case(1, *size)
    with torch.no_grad():
        assert small()(image, mask).image.shape == (1, 3, *size)


def test_variants_differ():
    image, mask = small_case()
    with torch.no_grad():
        images = [small(**arguments)(image, mask).image for arguments in VARIANTS]
    for i, first in enumerate(images):
        assert all(not torch.equal(first, second) for second in images[i + 1 :])


def test_training_under_autocast():
    network, (image, mask) = small(), small_case()
    with torch.autocast("cpu", torch.bfloat16):
        output = network(image, mask)
        loss = output.image.float().mean() + sum(level.float().mean() for level in output.pyramid)
    loss.backward()
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters())


@COMPILERS
def test_traces_without_graph_breaks(backend):
    network, (image, mask) = small(), small_case()
    compiled = torch.compile(network, fullgraph=True, backend=backend)
    with torch.no_grad():
        torch.testing.assert_close(compiled(image, mask).image, network(image, mask).image, atol=1e-5, rtol=0)


def test_errors():
    for size, text in ((64, "at least 128, got 64x64"), (160, "multiples of 64, got 160x160")):
        with pytest.raises(ValueError, match=text):
            SRPNet(8)(torch.zeros(1, 3, size, size), torch.zeros(1, 1, size, size))
    assert SRPNet(8, 0)(torch.zeros(1, 3, 64, 64), torch.zeros(1, 1, 64, 64)).image.shape == (1, 3, 64, 64)
    with pytest.raises(ValueError, match="width must be a positive multiple of 4, got 6"):
        SRPNet(width=6)
    with pytest.raises(ValueError, match="num_residual_blocks must be 0 or more, got -1"):
        SRPNet(8, num_residual_blocks=-1)
    with pytest.raises(ValueError, match="dilation must be 1 or more, got 0"):
        SRPNet(8, dilation=0)
    with pytest.raises(ValueError, match="kernel must be 1 or 3, got 2"):
        SRPNet(8, kernel=2)
