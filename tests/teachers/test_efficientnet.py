"""EfficientNet-Lite0 as a teacher: timm's own feature extractor as the oracle, its file, its package, as a loss."""

import pytest
import timm
import torch
from toys import rand

from inpaintzoo.losses import Perceptual
from inpaintzoo.teachers import EfficientNetTeacher, efficientnet
from inpaintzoo.teachers.base import double
from inpaintzoo.types import Output, WeightsError


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A file in the package's form: the same tensors in the same order under other names."""
    torch.manual_seed(0)
    network = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    path = tmp_path_factory.mktemp("lite") / "lite0.pth"
    torch.save({f"_{i}": value for i, value in enumerate(network.state_dict().values())}, path)
    return path, network.state_dict()


@torch.no_grad()
def test_the_features_are_those_of_timm_for_the_doubled_image_in_minus_one_to_one(published) -> None:
    path, state = published
    oracle = timm.create_model("tf_efficientnet_lite0", pretrained=False, features_only=True, out_indices=(0, 1, 2))
    oracle.load_state_dict({name: state[name] for name in oracle.state_dict()})
    teacher, image = EfficientNetTeacher(str(path)), rand(2, 3, 32, 48)
    expected = oracle.eval()(2 * double(image, "bilinear") - 1)
    features = teacher(image)
    assert [f.shape[1:] for f in features] == [(16, 32, 48), (24, 16, 24), (40, 8, 12)]
    assert teacher.channels == (16, 24, 40)
    for feature, target in zip(features, expected, strict=True):
        torch.testing.assert_close(feature, target)


def test_another_file_is_refused(tmp_path) -> None:
    torch.save({"weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match="holds 1 tensors where EfficientNet-Lite0 has 296"):
        EfficientNetTeacher(str(tmp_path / "other.pth"))


def test_without_the_package_the_error_says_what_to_install(monkeypatch) -> None:
    monkeypatch.setattr(efficientnet, "PACKAGE", "no-such-package-of-weights")
    with pytest.raises(WeightsError, match=r"inpaintzoo\[features\]"):
        EfficientNetTeacher()


def test_it_serves_as_the_network_of_the_perceptual_loss(published) -> None:
    loss = Perceptual(network=EfficientNetTeacher(str(published[0])))
    image, other = rand(1, 3, 32, 32), rand(1, 3, 32, 32, seed=1).requires_grad_()
    batch = {"image": image, "mask": torch.ones(1, 1, 32, 32)}
    assert loss(Output(image), batch) == 0
    loss(Output(other), batch).backward()
    assert other.grad.abs().sum() > 0
