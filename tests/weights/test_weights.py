"""Released state dicts: names and shapes of the released networks, converted, loaded, and refused when they differ."""

import pytest
import torch
from golden_recipe import golden_keys, recipe_weights

from inpaintzoo.discriminators import PENNetDiscriminator
from inpaintzoo.models import PENNet
from inpaintzoo.teachers.asl import Trunk
from inpaintzoo.types import WeightsError
from inpaintzoo.weights import convert_state_dict

CASES = [
    ("pennet", "pennet/keys_generator.json", PENNet),
    ("pennet-discriminator", "pennet/keys_discriminator.json", PENNetDiscriminator),
]


@pytest.mark.parametrize(("source", "keys", "network"), CASES)
def test_every_released_tensor_arrives(source, keys, network):
    released = recipe_weights(golden_keys(keys))
    converted = convert_state_dict(source, released)
    assert sorted(id(t) for t in converted.values()) == sorted(id(t) for t in released.values())
    network().load_state_dict(converted, strict=True)


@pytest.mark.parametrize(("source", "keys", "network"), CASES)
def test_wrong_state_dicts_are_refused_by_name(source, keys, network):
    released = recipe_weights(golden_keys(keys))
    first, *_, last = released
    with pytest.raises(WeightsError, match=f"missing: {first}"):
        convert_state_dict(source, {key: value for key, value in released.items() if key != first})
    with pytest.raises(WeightsError, match=r"unknown: extra\.weight"):
        convert_state_dict(source, released | {"extra.weight": torch.zeros(1)})
    with pytest.raises(WeightsError, match=rf"{last} is \(7,\) instead of"):
        convert_state_dict(source, released | {last: torch.zeros(7)})


def test_unknown_source():
    with pytest.raises(WeightsError, match=r"no converter for 'penet'; known sources: pennet, pennet-discriminator"):
        convert_state_dict("penet", {})


def test_the_published_teacher_arrives():
    shapes = golden_keys("spn/keys_tresnet_l_features.json")
    released = recipe_weights({key: shape for key, shape in shapes.items() if "num_batches" not in key})
    behind = {"body.layer3.0.conv1.0.weight": torch.zeros(4), "head.fc.weight": torch.zeros(2, 2)}
    converted = convert_state_dict("tresnet-asl", {f"module.{k}": v for k, v in (released | behind).items()})
    missing, unexpected = Trunk().load_state_dict(converted, strict=False)
    assert unexpected == [] and all(name.endswith("num_batches_tracked") for name in missing)
    with pytest.raises(WeightsError, match=r"1 are missing .* and 0 are unknown"):
        convert_state_dict("tresnet-asl", {k: v for k, v in released.items() if k != next(iter(released))})
