"""SPN and SPL against golden tensors of the released code."""

import pytest
import torch
from golden_recipe import golden_tensors
from spn_golden import FILES, Recorder, inputs, noise, released, released_discriminator, released_weights

from inpaintzoo.types import WeightsError
from inpaintzoo.weights import convert_state_dict

SOURCES = list(FILES)


@pytest.fixture(scope="module", params=SOURCES)
def source(request):
    """Which released network."""
    return request.param


@pytest.fixture(scope="module")
def network(source):
    return released(source)


def run(network, size, mask, dtype=torch.float32):
    """Every stage, the final image and the heads' predictions, under the golden names."""
    network = network.to(dtype)
    image, hole = (x.to(dtype) for x in inputs(size, mask))
    arguments = {}
    if network.stochastic:
        draws = [values.to(dtype) for values in noise(size)]
        arguments["noise"] = [draws[0], draws[-1]]
    network.train()  # for the heads; nothing in these networks behaves differently otherwise
    with torch.no_grad(), Recorder(network) as recorder:
        output = network(image, hole, **arguments)
    found = {name: x[: len(image)] for name, x in recorder.taken.items()}
    for prior in output.priors:
        found[f"prior{prior.shape[-1]}"] = prior
    if network.stochastic:
        found |= {"mean": output.posterior.mean, "std": output.posterior.std}
    return found | {"final": output.image}


def compare(found, golden, prefix, atol, rtol):
    """All golden tensors under a prefix; returns how many there were."""
    names = {key: key.removeprefix(prefix).removeprefix("tap.") for key in golden if key.startswith(prefix)}
    for key, name in names.items():
        stage, _, kind = name.partition(".")
        stage = {"mu": "mean", "sigma": "std"}.get(stage, stage) if not kind else stage
        value, expected = found[stage], golden[key]
        if kind.startswith("ch_"):
            value = value[0].mean((1, 2)) if kind == "ch_mean" else value[0].std((1, 2), correction=0)
        elif kind:
            channels, step = (int(part[1:]) for part in kind.split("_")[1:])
            value = value[0, :channels, ::step, ::step]
        scale = max(expected.abs().max().item(), 1.0)
        message = f"{key}: {(value - expected).abs().max().item():.2e} of {scale:.2e}"
        assert torch.allclose(value.to(expected.dtype), expected, atol=atol * scale, rtol=rtol), message
    return len(names)


@pytest.mark.parametrize("mask", ["centre", "blob"])
def test_double_precision(network, source, mask):
    found = run(network, 64, mask, torch.float64)
    expected = golden_tensors("spn/fp64_64.safetensors")[f"{FILES[source]}.{mask}.pretanh"]
    network.float()
    torch.testing.assert_close(found["pretanh"].float(), expected, atol=2e-6, rtol=0)


@pytest.mark.parametrize("mask", ["centre", "blob"])
def test_single_precision(network, source, mask):
    golden = golden_tensors(f"spn/{FILES[source]}.safetensors")
    found = run(network, 64, mask)
    assert (found["final"] - golden[f"64.{mask}.final"]).abs().max() < 5e-4
    assert (
        compare(found, golden, f"64.{mask}.", atol=5e-5, rtol=1e-4)
        == {
            "spn": {"centre": 11, "blob": 8},
            "spn-probabilistic": {"centre": 11, "blob": 8},
            "spl": {"centre": 4, "blob": 4},
        }[source][mask]
    )


@pytest.mark.slow
def test_every_stage_at_256(network, source):
    golden = golden_tensors(f"spn/{FILES[source]}.safetensors")
    found = run(network, 256, "centre")
    counts = {"spn": 31, "spn-probabilistic": 39, "spl": 17}
    assert compare(found, golden, "256.centre.", atol=5e-5, rtol=1e-4) == counts[source]
    name, step = ("final.sub_c3_s2", 2) if source == "spl" else ("final", 1)
    picture = found["final"][:, :, ::step, ::step]
    assert (picture - golden[f"256.centre.{name}"]).abs().max() < 5e-4


# The golden file of SPL has a quarter of the fake image's pixels.
@pytest.mark.parametrize(
    ("source", "case"),
    [
        (source, case)
        for source in SOURCES
        for case in ("real", "fake_centre")
        if (source, case) != ("spl", "fake_centre")
    ],
)
def test_discriminator(source, case):
    golden = golden_tensors(f"spn/{FILES[source]}.safetensors")
    image, mask = inputs(256)
    if case == "fake_centre":
        image = golden["256.centre.final"]
    with torch.no_grad():
        *features, logits = released_discriminator(source)(image, mask)
    if source == "spn-probabilistic":
        features = features[1:]
    else:
        torch.testing.assert_close(logits, golden[f"256.D_pi10.{case}.logits"], atol=1e-5, rtol=1e-4)
        logits = torch.sigmoid(logits)
    torch.testing.assert_close(logits, golden[f"256.D_pi10.{case}.out"], atol=2e-5, rtol=1e-4)
    assert len(features) == (3 if source == "spn-probabilistic" else 4)
    for i, feature in enumerate(features):
        for kind, found in (("mean", feature[0].mean((1, 2))), ("std", feature[0].std((1, 2), correction=0))):
            expected = golden[f"256.D_pi10.{case}.feat{i}.ch_{kind}"]
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


# --- released state dicts ------------------------------------------------------------------------------------------

PARTS = [(source, part) for source in SOURCES for part in ("generator", "discriminator")]


def name_of(source, part):
    return source if part == "generator" else f"{source}-discriminator"


@pytest.mark.parametrize(("source", "part"), PARTS)
def test_every_released_value_arrives(source, part):
    weights = released_weights(source, part)
    converted = convert_state_dict(name_of(source, part), weights)
    distinct = [tensor for name, tensor in weights.items() if not name.startswith("features.")]
    assert sum(t.numel() for t in converted.values()) == sum(t.numel() for t in distinct)
    found = sum(t.double().square().sum() for t in converted.values())
    assert found.item() == pytest.approx(sum(t.double().square().sum() for t in distinct).item(), rel=1e-12)


@pytest.mark.parametrize(("source", "part"), PARTS)
def test_whole_checkpoints(source, part):
    other = "discriminator" if part == "generator" else "generator"
    bare = released_weights(source, part)
    whole = {f"{part}.module.{name}": tensor for name, tensor in bare.items()}
    whole |= {f"{other}.module.anything": torch.zeros(1), "tresnet_xL_hold.body.conv1.weight": torch.zeros(1)}
    whole |= {"adversarial_loss.real_label": torch.ones(()), "vgg_loss.vgg.slice1.0.weight": torch.zeros(1)}
    converted = convert_state_dict(name_of(source, part), whole)
    expected = convert_state_dict(name_of(source, part), bare)
    assert converted.keys() == expected.keys()
    assert all(torch.equal(converted[name], expected[name]) for name in expected)
    with pytest.raises(WeightsError, match=r"unknown: optimizer\.state"):
        convert_state_dict(name_of(source, part), whole | {"optimizer.state": torch.zeros(1)})


@pytest.mark.parametrize(("source", "part"), PARTS)
def test_wrong_state_dicts_are_refused_by_name(source, part):
    weights, name = released_weights(source, part), name_of(source, part)
    last = list(weights)[-1]
    with pytest.raises(WeightsError, match=f"missing: {last}"):
        convert_state_dict(name, {key: value for key, value in weights.items() if key != last})
    with pytest.raises(WeightsError, match=r"unknown: extra\.weight"):
        convert_state_dict(name, weights | {"extra.weight": torch.zeros(1)})
    with pytest.raises(WeightsError, match=rf"{last} is \(7,\) instead of"):
        convert_state_dict(name, weights | {last: torch.zeros(7)})


def test_joined_tensors_are_checked_one_by_one():
    weights = released_weights("spn")
    gamma, beta = (f"middle.0.conv_block.0.mlp_{kind}.bias" for kind in ("gamma", "beta"))
    swapped = weights | {gamma: torch.zeros(200), beta: torch.zeros(312)}
    with pytest.raises(WeightsError, match=rf"{gamma} is \(200,\) instead of \(256,\); {beta} is \(312,\)"):
        convert_state_dict("spn", swapped)


@pytest.mark.parametrize("source", ["spn", "spl"])
def test_the_discriminators_alias_must_agree(source):
    weights, name = released_weights(source, "discriminator"), f"{source}-discriminator"
    first = "features.0.weight_orig"
    with pytest.raises(WeightsError, match=r"features\.0\.weight_orig and conv1\.0\.weight_orig must be equal"):
        convert_state_dict(name, weights | {first: weights[first] + 1})
    without = {key: value for key, value in weights.items() if not key.startswith("features.")}
    assert convert_state_dict(name, without).keys() == convert_state_dict(name, weights).keys()
    orphan = {key: value for key, value in weights.items() if key != "conv1.0.weight_orig"}
    with pytest.raises(WeightsError, match=r"missing: conv1\.0\.weight_orig; unknown: features\.0\.weight_orig"):
        convert_state_dict(name, orphan)


def test_a_deterministic_file_is_not_a_probabilistic_one():
    with pytest.raises(WeightsError, match="not that of spn-probabilistic; missing: decoder_z"):
        convert_state_dict("spn-probabilistic", released_weights("spn"))
