"""SPL: the contract of a generator. Golden values: test_spn_golden.py."""

import pytest
import torch
from contract import (
    COMPILERS,
    assert_layout_and_bfloat16_change_little,
    three_pairs,
)

from benchmarks.reference.spn import plain_forms
from inpaintzoo.models import SPL
from inpaintzoo.models.spn import SPNOutput
from inpaintzoo.types import DataError

TINY = {"width": 8, "growth": 4, "dense_blocks": 2, "hidden": 6, "blocks": 2, "prior_channels": (4,)}


def tiny(training=False, **arguments):
    torch.manual_seed(0)
    # The threshold splits the maps of a network that has not been trained.
    return SPL(**{**TINY, "threshold": 0.5, **arguments}).train(training)


def case(batch=3, height=20, width=32):
    return three_pairs(height, width, (4, 16, 6, 25), 9, batch)


def test_parameters():
    with torch.device("meta"):
        network = SPL()
    assert sum(p.numel() for p in network.parameters()) == 45_597_223
    assert (network.prior_channels, network.prior_strides) == ((152,), (4,))
    assert (network.stochastic, network.training_only) == (False, ("heads",))


@pytest.mark.parametrize("checkpointing", [False, True])
def test_shapes_and_ranges(checkpointing):
    network, (image, mask) = tiny(training=True, checkpointing=checkpointing), case()
    output = network(image, mask)
    assert isinstance(output, SPNOutput)
    assert output.image.shape == image.shape and output.image.min() >= 0 and output.image.max() <= 1
    assert [tuple(prior.shape) for prior in output.priors] == [(3, 4, 5, 8)]
    assert (output.posterior, output.second_sample, output.second_priors) == (None, None, [])


def test_eval_mode_has_no_head():
    network, (image, mask) = tiny(), case()
    del network.heads
    assert network(image, mask).priors == []


def test_equals_the_plain_forms():
    network, (image, mask) = tiny().double(), case()
    image, mask = image.double(), mask.double()
    with torch.no_grad():
        found = network(image, mask).image
        with plain_forms():
            expected = network(image, mask).image
    torch.testing.assert_close(found, expected, atol=1e-10, rtol=0)


def test_channels_last_and_bfloat16():
    network, (image, mask) = tiny(threshold=0.8), case()
    assert_layout_and_bfloat16_change_little(network, image, mask)


@COMPILERS
def test_traces_without_graph_breaks(backend):
    network, (image, mask) = tiny(training=True, threshold=0.8), case()
    compiled = torch.compile(network, fullgraph=True, backend=backend)
    found = compiled(image, mask).image
    torch.testing.assert_close(found, network(image, mask).image, atol=1e-5, rtol=0)
    found.mean().backward()


def test_heads_and_prior_features():
    network, (image, mask) = tiny(training=True), case()
    network.set_prior_channels((6,))
    with torch.no_grad():
        (features,) = network.prior_features(image, mask)
        (prior,) = network(image, mask).priors
        (before,), (after,) = (network.prior_features(image, mask, which=which) for which in ("encoder", "decoder"))
    assert features.shape == (3, 32, 5, 8)
    torch.testing.assert_close(network.heads[0](features), prior, atol=1e-5, rtol=1e-5)
    with torch.no_grad():
        torch.testing.assert_close(network.middle[1](network.middle[0](before, features), features), after)


def test_errors():
    with pytest.raises(
        ValueError, match=r"SPL: prior_channels must be 1 positive numbers, for the strides \(4,\), got"
    ):
        tiny(prior_channels=(4, 5))
    with pytest.raises(ValueError, match="threshold must lie between 0 and 1, got 1"):
        tiny(threshold=1.0)
    with pytest.raises(DataError, match="SPL needs height and width that are multiples of 4, got 22x32"):
        tiny()(torch.zeros(1, 3, 22, 32), torch.zeros(1, 1, 22, 32))
