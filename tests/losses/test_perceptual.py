"""VGG features, perceptual and style losses, against torchvision's stack and slow loops; no network, no big file."""

import itertools
import math
import os
import warnings
from pathlib import Path

import pytest
import safetensors.torch
import torch
import torchvision
from torch import Tensor, nn
from toys import rand

from inpaintzoo.losses import Perceptual, PerceptualStyle, Style, VGGFeatures
from inpaintzoo.losses.perceptual import feature_distance, gram, layer_names, style_distance
from inpaintzoo.types import Output, WeightsError

pytestmark = pytest.mark.filterwarnings("ignore:.*has random weights.*")

CONFIGURATIONS = {"vgg16": "D", "vgg19": "E"}
SMALL = ("relu1_1", "relu2_1")


def torchvision_stack(architecture: str, until: int | None = None) -> nn.Sequential:
    """torchvision's convolutional part with seeded weights, cut after the layer at `until`."""
    with torch.device("meta"):
        layers = torchvision.models.vgg.make_layers(
            torchvision.models.vgg.cfgs[CONFIGURATIONS[architecture]], batch_norm=False
        )
    stack = (layers if until is None else layers[: until + 1]).to_empty(device="cpu")
    generator = torch.Generator().manual_seed(1)
    for parameter in stack.parameters():
        fan_in = parameter[0].numel() if parameter.ndim == 4 else 100
        nn.init.normal_(parameter, std=math.sqrt(2 / fan_in), generator=generator)
    for layer in stack:
        if isinstance(layer, nn.ReLU):
            layer.inplace = False
    return stack.requires_grad_(False)


def save(stack: nn.Module, file: Path) -> Path:
    torch.save({f"features.{key}": value for key, value in stack.state_dict().items()}, file)
    return file


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """The first six layers of VGG16 and VGG19 (they share them): up to relu2_1, in torchvision's names."""
    return save(torchvision_stack("vgg16", until=6), tmp_path / "vgg.pth")


# -- features ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("architecture", ["vgg16", "vgg19"])
def test_every_name_is_at_torchvisions_position(architecture) -> None:
    with torch.device("meta"):
        model = getattr(torchvision.models, architecture)(weights=None)
    names = layer_names(architecture)
    assert len(names) == len(model.features)
    kinds = {"conv": nn.Conv2d, "relu": nn.ReLU, "pool": nn.MaxPool2d}
    assert all(isinstance(layer, kinds[name[:4]]) for name, layer in zip(names, model.features, strict=True))
    deepest = VGGFeatures(architecture, (names[-1],), weights=None).features.state_dict()
    assert {key: value.shape for key, value in deepest.items()} == {
        key: value.shape for key, value in model.features.state_dict().items()
    }
    assert names[-2] == {"vgg16": "relu5_3", "vgg19": "relu5_4"}[architecture]


@pytest.mark.parametrize("architecture", ["vgg16", "vgg19"])
def test_features_equal_torchvisions_stack(architecture, tmp_path) -> None:
    stack = torchvision_stack(architecture)
    wanted = ("relu5_3", "relu1_1", "conv2_2", "pool3", "relu4_1")  # in no particular order
    ours = VGGFeatures(architecture, wanted, weights=str(save(stack, tmp_path / "weights.pth")))
    assert len(ours.features) == 1 + layer_names(architecture).index("relu5_3")
    image = rand(2, 3, 40, 48)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    hidden = (image - mean[:, None, None]) / std[:, None, None]
    expected = {}
    for name, layer in zip(layer_names(architecture), stack, strict=True):
        hidden = expected[name] = layer(hidden)
    torch.testing.assert_close(ours(image), [expected[name] for name in wanted])


def test_without_normalisation_the_picture_enters_as_it_is(weights) -> None:
    image = rand(1, 3, 16, 16)
    (feature,) = VGGFeatures("vgg16", ("relu1_1",), str(weights), normalise=False)(image)
    torch.testing.assert_close(feature, torchvision_stack("vgg16", until=1)(image))


def test_random_features_depend_on_no_seed_and_leave_it_alone() -> None:
    state = torch.get_rng_state()
    with pytest.warns(UserWarning, match=r"vgg19 has random weights \(weights: null\)"):
        features = VGGFeatures("vgg19", SMALL, weights=None)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(123)
    again = VGGFeatures("vgg19", SMALL, weights=None)
    torch.testing.assert_close(again.state_dict(), features.state_dict(), rtol=0, atol=0)


def test_random_features_neither_die_nor_explode() -> None:
    deviations = [float(f.std()) for f in VGGFeatures("vgg19", weights=None)(rand(1, 3, 64, 64))]
    assert min(deviations) > 0.1 and max(deviations) < 10


def test_features_are_frozen_and_carry_no_more_than_the_stack() -> None:
    features = VGGFeatures("vgg16", SMALL, weights=None)
    assert not features.training and not any(p.requires_grad for p in features.parameters())
    assert set(features.state_dict()) == {f"features.{i}.{kind}" for i in (0, 2, 5) for kind in ("weight", "bias")}


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (("relu6_1",), "vgg16 has no layer 'relu6_1'; it has conv1_1, relu1_1"),
        (("relu5_4",), "vgg16 has no layer 'relu5_4'"),
        ((), "one or more different"),
        (("relu1_1", "relu1_1"), "one or more different"),
        ("relu1_1", "must be a list"),
    ],
)
def test_bad_layers_are_refused(layers, message) -> None:
    with pytest.raises(ValueError, match=message):
        VGGFeatures("vgg16", layers, weights=None)


# -- weight files ------------------------------------------------------------------------------------------------------


def test_a_file_may_be_whole_or_cut_pth_or_safetensors(weights, tmp_path) -> None:
    state = torch.load(weights)
    whole = state | {"classifier.0.weight": torch.zeros(1), "classifier.6.bias": torch.zeros(1)}
    torch.save(whole, tmp_path / "whole.pth")
    safetensors.torch.save_file(state, str(tmp_path / "cut.safetensors"))
    torch.save({key: value.half() for key, value in state.items()}, tmp_path / "half.pth")
    image = rand(1, 3, 16, 16)
    expected = VGGFeatures("vgg19", SMALL, str(weights))(image)
    for name in ("whole.pth", "cut.safetensors"):
        torch.testing.assert_close(VGGFeatures("vgg19", SMALL, str(tmp_path / name))(image), expected)
    half = VGGFeatures("vgg19", SMALL, str(tmp_path / "half.pth"))(image)
    assert half[0].dtype == torch.float32
    torch.testing.assert_close(half, expected, rtol=1e-2, atol=1e-2)


def test_files_that_do_not_fit_are_refused(weights, tmp_path) -> None:
    def error(state: dict[str, Tensor], architecture: str = "vgg16") -> str:
        torch.save(state, tmp_path / "bad.pth")
        with pytest.raises(WeightsError, match=rf"{architecture}: .*bad\.pth does not fit") as caught:
            VGGFeatures(architecture, SMALL, str(tmp_path / "bad.pth"))
        return str(caught.value)

    state = torch.load(weights)
    assert "1 are missing (5.bias)" in error({k: v for k, v in state.items() if k != "features.5.bias"})
    batch_norm = state | {"features.1.running_mean": torch.zeros(64)}
    assert "1 of its tensors are unknown (features.1.running_mean)" in error(batch_norm)
    assert "6 of its tensors are unknown" in error({f"module.{key}": value for key, value in state.items()})
    assert "0.weight, which is (64, 1, 3, 3) instead of (64, 3, 3, 3)" in error(
        state | {"features.0.weight": torch.zeros(64, 1, 3, 3)}
    )
    # VGG16 and VGG19 are alike up to relu3_3: deeper keys give the wrong one away.
    vgg16_only = state | {"features.17.weight": torch.zeros(512, 256, 3, 3)}
    assert "1 of its tensors are unknown (features.17.weight)" in error(vgg16_only, "vgg19")


def test_unreadable_files_are_refused(tmp_path) -> None:
    with pytest.raises(WeightsError, match=r"vgg16: there is no weight file .*nowhere\.pth"):
        VGGFeatures("vgg16", SMALL, str(tmp_path / "nowhere.pth"))
    for name in ("broken.pth", "broken.safetensors"):
        (tmp_path / name).write_bytes(b"<html>not found</html>")
        with pytest.raises(WeightsError, match=rf"{name} is not a readable weight file"):
            VGGFeatures("vgg16", SMALL, str(tmp_path / name))
    torch.save([torch.zeros(1)], tmp_path / "list.pth")
    with pytest.raises(WeightsError, match=r"list\.pth holds a list instead of a state dict"):
        VGGFeatures("vgg16", SMALL, str(tmp_path / "list.pth"))


def test_a_pickle_that_would_run_code_is_refused(tmp_path) -> None:
    class Evil:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "executed"),))

    torch.save({"features.0.weight": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(WeightsError, match="not a readable weight file") as refused:
        VGGFeatures("vgg16", SMALL, str(tmp_path / "evil.pth"))
    assert "weights_only" not in str(refused.value), "torch's advice to run the code is not passed on"
    assert not (tmp_path / "executed").exists()


@pytest.fixture
def hub(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "hub" / "checkpoints"


@pytest.mark.parametrize("failure", [OSError("Name or service not known"), WeightsError("another digest")])
def test_offline_says_what_to_fetch_and_where_to_put_it(hub, monkeypatch, failure) -> None:
    def download(url: str, target: Path, sha256: str) -> None:
        assert sha256 == "dcbb9e9d"
        raise failure

    monkeypatch.setattr("inpaintzoo.files.published.download_file", download)
    with pytest.raises(WeightsError) as caught:
        Perceptual()
    message = str(caught.value)
    assert torchvision.models.VGG19_Weights.IMAGENET1K_V1.url in message
    assert str(hub / "vgg19-dcbb9e9d.pth") in message
    assert str(failure) in message and "give the path of a copy as `weights`" in message


def test_the_cache_is_filled_once_and_then_used(hub, monkeypatch, weights) -> None:
    calls = []

    def download(url: str, target: Path, sha256: str) -> None:
        calls.append(url)
        target.parent.mkdir(parents=True)
        target.write_bytes(weights.read_bytes())

    monkeypatch.setattr("inpaintzoo.files.published.download_file", download)
    for _ in range(2):
        features = VGGFeatures("vgg16", SMALL)
    assert calls == [torchvision.models.VGG16_Weights.IMAGENET1K_V1.url]
    torch.testing.assert_close(features.state_dict(), torch.load(weights))


# -- arithmetic --------------------------------------------------------------------------------------------------------


def test_feature_distance_by_hand() -> None:
    fake = [torch.full((2, 3, 4, 4), 1.0), torch.full((2, 5, 2, 2), 3.0)]
    real = [torch.zeros(2, 3, 4, 4), torch.zeros(2, 5, 2, 2)]
    assert feature_distance(fake, real, (1.0, 1.0)) == 4
    assert feature_distance(fake, real, (0.5, 2.0)) == 6.5


def test_gram_against_a_loop() -> None:
    features = rand(2, 3, 4, 5)
    expected = torch.zeros(2, 3, 3)
    for b, i, j in itertools.product(range(2), range(3), range(3)):
        expected[b, i, j] = (features[b, i] * features[b, j]).sum() / (3 * 4 * 5)
    torch.testing.assert_close(gram(features), expected)


def test_style_forgets_places_and_features_do_not() -> None:
    """Gram matrices are the same for any order of the pixels."""
    real = [rand(1, 6, 4, 4, seed=1)]
    order = torch.randperm(16, generator=torch.Generator().manual_seed(0))
    shuffled = [real[0].flatten(2)[..., order].view(1, 6, 4, 4)]
    torch.testing.assert_close(style_distance(shuffled, real, (1.0,)), torch.tensor(0.0), atol=1e-7, rtol=0)
    assert feature_distance(shuffled, real, (1.0,)) > 0.1


def test_gram_is_float32_under_autocast_and_from_half() -> None:
    features = 300 * torch.ones(1, 4, 64, 64)  # the sum over a map is beyond float16's range
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = gram(features)
    assert inside.dtype == torch.float32
    torch.testing.assert_close(inside, torch.full((1, 4, 4), 300.0**2 / 4))
    torch.testing.assert_close(gram(features.half()), inside)


# -- losses ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def batch() -> dict[str, Tensor]:
    mask = torch.zeros(2, 1, 32, 32)
    mask[0, :, 8:24, 8:24], mask[1, :, :, 20:] = 1, 1
    return {"image": rand(2, 3, 32, 32, seed=1), "mask": mask}


@pytest.fixture
def output() -> Output:
    return Output(image=rand(2, 3, 32, 32, seed=2))


def test_losses_are_the_functions_times_their_weights(batch, output, weights) -> None:
    image, mask = batch["image"], batch["mask"]
    pasted = mask * output.image + (1 - mask) * image
    features = VGGFeatures("vgg16", SMALL, str(weights))
    raw, whole, real = features(output.image), features(pasted), features(image)
    scales = (0.5, 2.0)
    settings = {"architecture": "vgg16", "layers": SMALL, "layer_weights": scales, "weights": str(weights)}

    perceptual = feature_distance(raw, real, scales) + feature_distance(whole, real, scales)
    style = style_distance(raw, real, scales) + style_distance(whole, real, scales)
    assert perceptual > 0 and style > 0
    torch.testing.assert_close(Perceptual(3.0, which="both", **settings)(output, batch), 3 * perceptual)
    torch.testing.assert_close(Style(4.0, which="both", **settings)(output, batch), 4 * style)
    both = PerceptualStyle(3.0, 4.0, which="both", **settings)
    torch.testing.assert_close(both(output, batch), 3 * perceptual + 4 * style)
    composite = Perceptual(1.0, which="composite", **settings)
    torch.testing.assert_close(composite(output, batch), feature_distance(whole, real, scales))


@pytest.mark.parametrize("loss", [Perceptual, Style, PerceptualStyle])
def test_a_perfect_prediction_costs_nothing(loss, batch) -> None:
    assert loss(layers=SMALL, weights=None)(Output(batch["image"]), batch) == 0


@pytest.mark.parametrize("loss", [Perceptual, Style, PerceptualStyle])
def test_gradients_reach_the_prediction_only_through_what_is_judged(loss, batch, output) -> None:
    hole = batch["mask"].expand(2, 3, 32, 32) == 1
    output.image.requires_grad_()
    batch["image"].requires_grad_()
    (everywhere, none) = torch.autograd.grad(
        loss(layers=SMALL, weights=None, which="prediction")(output, batch),
        [output.image, batch["image"]],
        allow_unused=True,
    )
    assert none is None
    assert (everywhere[hole] != 0).any() and (everywhere[~hole] != 0).any()
    (inside,) = torch.autograd.grad(loss(layers=SMALL, weights=None, which="composite")(output, batch), output.image)
    assert (inside[hole] != 0).any() and not inside[~hole].any()


def test_the_gradient_is_right(weights) -> None:
    """Finite differences in float64, along one direction."""
    loss = PerceptualStyle(1.0, 10.0, layers=SMALL, weights=str(weights)).double()
    truth, picture = rand(1, 3, 8, 8, seed=1).double(), rand(1, 3, 8, 8, seed=2).double().requires_grad_()
    batch = {"image": truth, "mask": torch.ones(1, 1, 8, 8).double()}
    direction, step = rand(1, 3, 8, 8, seed=3).double() - 0.5, 1e-6
    (gradient,) = torch.autograd.grad(loss(Output(picture), batch), picture)
    with torch.no_grad():
        ahead, behind = (loss(Output(picture + sign * step * direction), batch) for sign in (1, -1))
    torch.testing.assert_close((gradient * direction).sum(), (ahead - behind) / (2 * step), rtol=1e-5, atol=0)


def test_the_truth_goes_through_the_network_once(batch, output) -> None:
    loss = PerceptualStyle(layers=SMALL, weights=None, which="both")
    seen = []
    loss.teacher.module.register_forward_hook(lambda module, args, result: seen.append(args[0] is batch["image"]))
    loss(output, batch)
    assert sorted(seen) == [False, False, True]


def test_the_network_stays_out_of_training_and_checkpoints(weights) -> None:
    loss = Perceptual(layers=SMALL, weights=str(weights))
    loss.train()
    assert list(loss.parameters()) == [] and loss.state_dict() == {}
    assert not loss.teacher.module.training
    loss.to(torch.float64)
    assert loss.teacher.module.mean.dtype == torch.float64
    assert {p.dtype for p in loss.teacher.module.parameters()} == {torch.float64}


def test_autocast_gives_float32_close_to_full_precision(batch, output) -> None:
    loss = PerceptualStyle(1.0, 1.0, layers=SMALL, weights=None)
    expected = loss(output, batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(output, batch)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, expected, rtol=2e-2, atol=0)


@pytest.mark.parametrize("layer_weights", [(1.0,), (1.0, -1.0)])
def test_layer_weights_must_fit_the_layers(layer_weights) -> None:
    with pytest.raises(ValueError, match=r"Style: layer_weights must give one number .* each of the 2 layers"):
        Style(layers=SMALL, layer_weights=layer_weights, weights=None)


def test_negative_weights_are_refused() -> None:
    with pytest.raises(ValueError, match="weight must be 0 or more"):
        Perceptual(weight=-1, weights=None)
    with pytest.raises(ValueError, match="style_weight must be 0 or more"):
        PerceptualStyle(style_weight=-1, weights=None)


def test_a_weight_file_gives_no_warning(weights) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        Perceptual(layers=SMALL, weights=str(weights))
        assert caught == []
        Perceptual(layers=SMALL, weights=None)
    assert ["random weights" in str(warning.message) for warning in caught] == [True]
