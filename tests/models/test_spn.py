"""SPN: the contract of a generator, sampling, heads and ablations. Golden values: test_spn_golden.py."""

import pytest
import torch
import torch.nn.functional as F
from contract import (
    COMPILERS,
    assert_layout_and_bfloat16_change_little,
    three_pairs,
)

from benchmarks.reference.spn import plain_forms
from inpaintzoo.discriminators import SPNDiscriminator, SPNProbabilisticDiscriminator
from inpaintzoo.layers.prior_learner import Posterior
from inpaintzoo.models import SPN
from inpaintzoo.models.spn import SPNOutput
from inpaintzoo.types import DataError

TINY = {"width": 8, "growth": 4, "dense_blocks": 2, "hidden": 6, "latent": 5, "blocks": 2, "prior_channels": (2, 3, 4)}
VARIANTS = [
    {},
    {"stochastic": True},
    {"levels": 2},
    {"levels": 1, "stochastic": True},
    {"conditioning": "concat"},
    {"conditioning": "concat", "levels": 2},
    {"checkpointing": True},
]


def tiny(training=False, **arguments):
    torch.manual_seed(0)
    return SPN(**{**TINY, **arguments}).train(training)


def case(batch=3, height=32, width=64):
    return three_pairs(height, width, (8, 20, 12, 50), 17, batch)


def fixed_noise(network, batch=3, draws=None, height=32, width=64):
    """Keyword arguments that make a forward repeatable."""
    if not network.stochastic:
        return {}
    draws = (2 if network.training else 1) if draws is None else draws
    generator = torch.Generator().manual_seed(9)
    shape = (batch, network.variational.latent, height // 32, width // 32)
    return {"noise": [torch.randn(shape, generator=generator) for _ in range(draws)]}


# --- sizes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        ({}, 50_702_643),
        ({"stochastic": True}, 68_512_883),
        ({"blocks": 4}, 38_898_995),  # table 4: 38 M
        ({"blocks": 12}, 62_506_291),  # table 4: 62 M
    ],
)
def test_parameters(arguments, count):
    with torch.device("meta"):
        network = SPN(**arguments)
    assert sum(p.numel() for p in network.parameters()) == count


def test_discriminators_parameters():
    counts = [
        sum(p.numel() for p in build().parameters()) for build in (SPNDiscriminator, SPNProbabilisticDiscriminator)
    ]
    assert counts == [2_763_776, 2_763_841]


@pytest.mark.parametrize(
    ("arguments", "sizes"),
    [
        ({}, [(12, 12), (16, 20)]),
        ({"stochastic": True}, [(32, 32), (32, 96)]),
        ({"conditioning": "concat"}, [(12, 16)]),
    ],
)
def test_least_sizes(arguments, sizes):
    network = tiny(**arguments)
    assert (network.size_multiple, network.smallest_side) == ((32, 32) if arguments.get("stochastic") else (4, 12))
    for size in sizes:
        image = torch.rand(1, 3, *size)
        assert network(image, (image[:, :1] > 0.5).float()).image.shape == image.shape
    with pytest.raises(DataError, match=f"multiples of {network.size_multiple}"):
        network(torch.zeros(1, 3, 34, 64), torch.zeros(1, 1, 34, 64))
    if not network.stochastic:
        with pytest.raises(DataError, match="at least 12, got 8x16"):
            network(torch.zeros(1, 3, 8, 16), torch.zeros(1, 1, 8, 16))


def test_one_size_multiple_a_network():
    assert (tiny(stochastic=True).size_multiple, tiny().size_multiple, SPN.size_multiple) == (32, 4, 4)


# --- the contract of a generator -----------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", VARIANTS)
def test_shapes_and_ranges(arguments):
    network, (image, mask) = tiny(training=True, **arguments), case()
    output = network(image, mask)
    assert isinstance(output, SPNOutput)
    levels = arguments.get("levels", 3)
    strides = (1, 2, 4)[3 - levels :]
    assert network.prior_strides == strides
    expected = [(3, channels, 32 // s, 64 // s) for channels, s in zip((2, 3, 4)[3 - levels :], strides, strict=True)]
    assert [tuple(prior.shape) for prior in output.priors] == expected
    samples, priors = [output.image], list(output.priors)
    if network.stochastic:
        assert isinstance(output.posterior, Posterior)
        assert [tuple(part.shape) for part in output.posterior] == [(3, 5, 1, 2)] * 2
        assert (output.posterior.std > 0).all()
        assert [tuple(prior.shape) for prior in output.second_priors] == expected
        samples.append(output.second_sample)
        priors += output.second_priors
        assert not torch.equal(*samples)
    else:
        assert (output.posterior, output.second_sample, output.second_priors) == (None, None, [])
    for sample in samples:
        assert sample.shape == image.shape and sample.min() >= 0 and sample.max() <= 1


@pytest.mark.parametrize("stochastic", [False, True])
def test_eval_mode_has_no_heads_and_one_sample(stochastic):
    network, (image, mask) = tiny(stochastic=stochastic), case()
    output = network(image, mask)
    assert (output.priors, output.second_priors, output.second_sample) == ([], [], None)
    assert (output.posterior is not None) is stochastic
    del network.heads  # "removed from SPN during testing" (section 3.1.1)
    assert network.training_only == ("heads",)
    arguments = fixed_noise(network)
    assert network(image, mask, **arguments).image.shape == image.shape


def test_detach_reaches_the_posterior():
    network, (image, mask) = tiny(training=True, stochastic=True), case()
    output = network(image, mask).detach()
    assert isinstance(output.posterior, Posterior)
    tensors = [output.image, output.second_sample, *output.priors, *output.second_priors, *output.posterior]
    assert not any(tensor.requires_grad for tensor in tensors)


def test_variants_differ():
    image, mask = case()
    with torch.no_grad():
        images = [network(image, mask, **fixed_noise(network)).image for network in (tiny(**v) for v in VARIANTS[:-1])]
    for i, first in enumerate(images):
        assert all(not torch.equal(first, second) for second in images[i + 1 :])


@pytest.mark.parametrize("arguments", [{}, {"stochastic": True}])
def test_equals_the_plain_forms(arguments):
    """Filled planes, a convolution each for hidden map, scale and shift, normalisation after the upsampling."""
    network, (image, mask) = tiny(training=True, **arguments).double(), case()
    image, mask = image.double(), mask.double()
    noise = {key: [values.double() for values in pair] for key, pair in fixed_noise(network).items()}
    found = []
    for plain in (False, True):
        network.zero_grad()
        with plain_forms() if plain else torch.enable_grad():
            output = network(image, mask, **noise)
        output.image.square().sum().backward()
        found.append([output.image, *(p.grad for p in network.parameters() if p.grad is not None)])
    for ours, plain in zip(*found, strict=True):
        torch.testing.assert_close(ours, plain, atol=1e-9, rtol=1e-6)


def kept_for_the_backward_pass(network, image, mask):
    """Output, and the bytes of the activations that autograd keeps for it."""
    weights = {p.untyped_storage().data_ptr() for p in network.parameters()}
    kept = {}

    def pack(x):
        if x.untyped_storage().data_ptr() not in weights:
            kept[x.untyped_storage().data_ptr()] = x  # kept alive, so that no address is counted for two tensors
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        output = network(image, mask)
    return output, sum(x.untyped_storage().nbytes() for x in kept.values())


def test_checkpointing_changes_nothing_but_memory():
    image, mask = case()
    networks, sizes = [tiny(training=True, blocks=8, checkpointing=value) for value in (False, True)], []
    for network in networks:
        output, size = kept_for_the_backward_pass(network, image, mask)
        sizes.append(size)
        (output.image.square().sum() + sum(prior.square().sum() for prior in output.priors)).backward()
    for first, second in zip(*(network.parameters() for network in networks), strict=True):
        torch.testing.assert_close(first.grad, second.grad)
    assert sizes[1] < 0.6 * sizes[0]


def test_channels_last_and_bfloat16():
    network, (image, mask) = tiny(), case()
    assert_layout_and_bfloat16_change_little(network, image, mask)


@pytest.mark.parametrize("arguments", [{}, {"stochastic": True}, {"checkpointing": True}])
def test_training_under_autocast(arguments):
    network, (image, mask) = tiny(training=True, **arguments), case()
    with torch.autocast("cpu", torch.bfloat16):
        output = network(image, mask)
    loss = output.image.float().mean() + sum(prior.float().square().mean() for prior in output.priors)
    loss.backward()
    assert all(p.grad.isfinite().all() for p in network.parameters() if p.grad is not None)


@COMPILERS
@pytest.mark.parametrize("arguments", [{}, {"stochastic": True}])
def test_traces_without_graph_breaks(arguments, backend):
    network, (image, mask) = tiny(training=True, **arguments), case(batch=2)
    noise = fixed_noise(network, batch=2)
    compiled = torch.compile(network, fullgraph=True, backend=backend)
    expected = network(image, mask, **noise).image
    found = compiled(image, mask, **noise).image
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    found.mean().backward()
    assert all(p.grad is not None for name, p in network.named_parameters() if not name.startswith("heads"))


def test_initialisation_is_the_default_of_pytorch():
    network = tiny(width=16)
    joined = network.middle[0].hidden.convolution  # two released convolutions of 64 channels each
    bound = (joined.weight[0].numel()) ** -0.5
    for values in (joined.weight, joined.bias):
        assert values.abs().max() <= bound
    assert joined.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.05)


# --- the second sample and sampling --------------------------------------------------------------------------------


def test_the_two_samples_are_those_of_their_noise():
    network, (image, mask) = tiny(training=True, stochastic=True), case()
    noise = fixed_noise(network)["noise"]
    with torch.no_grad():
        both = network(image, mask, noise=noise)
        swapped = network(image, mask, noise=noise[::-1])
        first = network.eval()(image, mask, noise=noise[:1])
    torch.testing.assert_close(both.image, first.image, atol=1e-5, rtol=0)
    torch.testing.assert_close(both.image, swapped.second_sample, atol=1e-5, rtol=0)
    torch.testing.assert_close(both.priors[0], swapped.second_priors[0], atol=1e-5, rtol=1e-5)
    assert (both.image - both.second_sample).abs().max() > 1e-4


def test_the_latent_is_mean_plus_std_times_noise():
    network, (image, mask) = tiny(stochastic=True), case()
    zero = [torch.zeros_like(values) for values in fixed_noise(network)["noise"]]
    with torch.no_grad():
        expected = network(image, mask, noise=zero)
        network.variational.std.weight.zero_()
        network.variational.std.bias.fill_(-40.0)  # softplus: 4e-18
        found = network(image, mask)
    torch.testing.assert_close(found.image, expected.image)
    assert found.posterior.std.max() < 1e-15


def test_sampling_repeats_bit_for_bit():
    network, (image, mask) = tiny(stochastic=True), case()

    def draw(n=3, seed=7):
        return network.sample(image, mask, n, torch.Generator().manual_seed(seed))

    samples = draw()
    assert samples.shape == (3, 3, 3, 32, 64) and not samples.requires_grad
    assert torch.equal(samples, draw())
    assert not torch.equal(samples, draw(seed=8))
    assert not torch.equal(samples[:, 0], samples[:, 1])
    # A longer series begins with the shorter one.
    assert torch.equal(samples[:1, :2], draw(n=2)[:1])


def test_an_image_alone_has_the_samples_that_it_has_in_a_batch():
    network, (image, mask) = tiny(stochastic=True), case()

    def generators(seeds):
        return [torch.Generator().manual_seed(seed) for seed in seeds]

    together = network.sample(image, mask, 2, generators((1, 2, 3)))
    for i, seed in enumerate((1, 2, 3)):
        for source in (generators([seed]), generators([seed])[0]):
            alone = network.sample(image[i : i + 1], mask[i : i + 1], 2, source)
            torch.testing.assert_close(together[i : i + 1], alone, atol=1e-5, rtol=0)
    one = network.sample(image, mask, 2, torch.Generator().manual_seed(1))
    torch.testing.assert_close(one[0], together[0], atol=1e-5, rtol=0)


def test_samples_are_forwards_with_the_same_noise():
    network, (image, mask) = tiny(stochastic=True), case(batch=1)
    source = torch.Generator().manual_seed(4)
    samples = network.sample(image, mask, 2, source)
    source.manual_seed(4)
    for i in range(2):
        noise = torch.randn(5, 1, 2, generator=source)[None]
        with torch.no_grad():
            assert torch.equal(samples[:, i], network(image, mask, noise=[noise]).image)


def test_sampling_encodes_once():
    network, (image, mask) = tiny(stochastic=True), case()
    calls = []
    for name in ("image_encoder", "prior_encoder", "prior_decoder"):
        getattr(network, name).register_forward_hook(lambda *_, name=name: calls.append(name))
    network.sample(image, mask, 4)
    assert sorted(calls) == ["image_encoder", *["prior_decoder"] * 4, "prior_encoder"]


# --- heads and teachers --------------------------------------------------------------------------------------------


def test_the_heads_fit_another_teacher():
    network, (image, mask) = tiny(training=True), case()
    before = network.heads
    network.set_prior_channels([2, 3, 4])
    assert network.heads is before  # trained heads of the same teacher stay
    network.set_prior_channels([7, 1, 5])
    assert network.prior_channels == (7, 1, 5)
    assert [prior.shape[1] for prior in network(image, mask).priors] == [7, 1, 5]


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_fewer_levels_take_the_last_counts(levels):
    network = tiny(levels=levels)
    assert network.prior_channels == (2, 3, 4)[3 - levels :]
    assert tiny(levels=levels, prior_channels=(9,) * levels).prior_channels == (9,) * levels


def test_prior_features_are_the_maps_that_the_heads_read():
    for arguments in ({}, {"stochastic": True}, {"levels": 2}):
        network, (image, mask) = tiny(training=True, **arguments), case()
        noise = {"noise": [torch.zeros(3, 5, 1, 2)] * 2} if network.stochastic else {}
        with torch.no_grad():
            features = network.prior_features(image, mask)
            priors = network(image, mask, **noise).priors
        assert [f.shape[1] for f in features] == [8 * s for s in network.prior_strides]
        for head, feature, prior in zip(network.heads, features, priors, strict=True):
            torch.testing.assert_close(head(feature), prior, atol=1e-5, rtol=1e-5)


def test_prior_features_of_a_sample_are_those_of_its_latent():
    network, (image, mask) = tiny(training=True, stochastic=True), case()
    first, second = torch.randn(2, 3, 5, 1, 2)
    with torch.no_grad():
        output = network(image, mask, noise=[first, second])
        for noise, priors in ((first, output.priors), (second, output.second_priors)):
            features = network.prior_features(image, mask, noise=noise)
            for head, feature, prior in zip(network.heads, features, priors, strict=True):
                torch.testing.assert_close(head(feature), prior, atol=1e-5, rtol=1e-5)
    with pytest.raises(ValueError, match="a deterministic network takes no noise"):
        tiny().prior_features(image, mask, noise=first)


@pytest.mark.parametrize("conditioning", ["spade", "concat"])
def test_features_of_the_image_generator_are_those_around_the_middle_blocks(conditioning):
    network, (image, mask) = tiny(conditioning=conditioning), case()
    seen = []
    network.image_encoder.register_forward_hook(lambda module, arguments, output: seen.append(output))
    network.middle[-1].register_forward_hook(lambda module, arguments, output: seen.append(output))
    with torch.no_grad():
        network(image, mask)
        expected = dict(zip(("encoder", "decoder"), seen, strict=True))
        for which, features in expected.items():
            (found,) = network.prior_features(image, mask, which=which)
            torch.testing.assert_close(found, features)
    with pytest.raises(ValueError, match="which must be one of priors, encoder, decoder, got 'middle'"):
        network.prior_features(image, mask, which="middle")


# --- errors --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"levels": 4}, "levels must be 1, 2 or 3, got 4"),
        ({"blocks": 0}, "blocks must be 1 or more, got 0"),
        ({"conditioning": "add"}, "conditioning must be 'spade' or 'concat', got 'add'"),
        ({"latent": 0}, "latent must be 1 or more, got 0"),
        ({"width": 0}, "width must be 1 or more, got 0"),
        (
            {"prior_channels": (3, 4)},
            r"prior_channels must be 3 positive numbers, for the strides \(1, 2, 4\), got \(3",
        ),
        ({"prior_channels": (3, 0, 4)}, r"prior_channels must be 3 positive numbers.*got \(3, 0, 4\)"),
        ({"levels": 1, "prior_channels": (3, 4)}, r"prior_channels must be 1 positive numbers.*got \(3, 4\)"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        tiny(**arguments)


def test_bad_calls():
    image, mask = case()
    deterministic, stochastic = tiny(), tiny(stochastic=True)
    with pytest.raises(ValueError, match="only a stochastic network has samples"):
        deterministic.sample(image, mask, 2)
    with pytest.raises(ValueError, match="a deterministic network takes no noise"):
        deterministic(image, mask, noise=[torch.zeros(3, 5, 1, 2)])
    with pytest.raises(ValueError, match=r"noise must be 1 x \(3, 5, 1, 2\), got \[\(3, 5, 1, 1\)\]"):
        stochastic(image, mask, noise=[torch.zeros(3, 5, 1, 1)])
    with pytest.raises(ValueError, match=r"noise must be 2 x \(3, 5, 1, 2\)"):
        stochastic.train()(image, mask, noise=[torch.zeros(3, 5, 1, 2)])
    with pytest.raises(ValueError, match="n must be 1 or more, got 0"):
        stochastic.sample(image, mask, 0)
    with pytest.raises(ValueError, match="one random generator per image, got 2 for 3 images"):
        stochastic.sample(image, mask, 1, [torch.Generator(), torch.Generator()])
    with pytest.raises(ValueError, match=r"prior_channels must be 3 positive numbers.*got \(1, 2\)"):
        deterministic.set_prior_channels((1, 2))


# --- discriminators ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("build", "least"), [(SPNDiscriminator, 24), (SPNProbabilisticDiscriminator, 24)])
def test_discriminators(build, least):
    torch.manual_seed(0)
    network = build(width=4).eval()
    assert network.smallest_side == least
    image = torch.rand(2, 3, least, 40).requires_grad_()
    outputs = network(image, image[:, :1])
    assert [x.shape[1] for x in outputs] == [4, 8, 16, 32, 1]
    sum(x.square().mean() for x in outputs).backward()
    assert all(p.grad.abs().sum() > 0 for p in network.parameters())
    assert image.grad.abs().sum() > 0
    # Images are read in [0, 1] as they are.
    first = network.layers[0](image)
    torch.testing.assert_close(outputs[0], F.leaky_relu(first, 0.2))
    with pytest.raises(DataError, match=f"at least {least}x{least}, got {least - 1}x64"):
        network(torch.zeros(1, 3, least - 1, 64), torch.zeros(1, 1, least - 1, 64))
    with pytest.raises(ValueError, match=f"{build.__name__}: width must be 1 or more, got 0"):
        build(width=0)
