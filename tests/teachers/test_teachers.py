"""Teachers: golden features of the published TResNet, torchvision's own networks as oracles, sizes, errors."""

import numpy as np
import pytest
import torch
import torchvision
from golden_recipe import golden_tensors
from safetensors.torch import save_file
from skimage.feature import canny
from teacher_toys import published_file, released_state
from torch import Tensor, nn
from toys import rand

from inpaintzoo.data.scenes import SceneSource
from inpaintzoo.generator import Generator
from inpaintzoo.teachers import (
    ASLTeacher,
    BuiltinTeacher,
    EdgeTeacher,
    PriorTeacher,
    RandomTeacher,
    Teacher,
    TorchvisionTeacher,
)
from inpaintzoo.teachers.asl import PUBLISHED, convert
from inpaintzoo.teachers.base import double
from inpaintzoo.types import DataError, Output, WeightsError


@pytest.fixture(scope="module")
def asl_file(tmp_path_factory):
    return published_file(tmp_path_factory.mktemp("asl") / "asl.pth")


# -- ASL: golden features ----------------------------------------------------------------------------------------------


@torch.no_grad()
def test_trunk_gives_the_released_features_at_64(asl_file) -> None:
    golden = golden_tensors("spn/tresnet.safetensors")
    features = ASLTeacher(str(asl_file)).network(golden_tensors("spn/inputs.safetensors")["image_64"])
    for number, feature in enumerate(features):
        torch.testing.assert_close(feature, golden[f"64.f{number}"], rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_targets_at_256_are_the_released_features_of_the_doubled_image(asl_file) -> None:
    golden = golden_tensors("spn/tresnet.safetensors")
    teacher = ASLTeacher(str(asl_file))
    full, half, quarter = teacher(golden_tensors("spn/inputs.safetensors")["image_256"])
    assert [tuple(f.shape[1:]) for f in (full, half, quarter)] == [(76, 256, 256), (76, 128, 128), (152, 64, 64)]
    # The finest target is the stem's feature doubled by nearest: every second pixel is that feature.
    f0 = full[..., ::2, ::2]
    assert torch.equal(f0, full[..., 1::2, 1::2])
    for name, feature, step in (("f0", f0, 8), ("f1", half, 8), ("f2", quarter, 4)):
        close = {"rtol": 1e-4, "atol": 1e-4}
        torch.testing.assert_close(feature[0, :8, ::step, ::step], golden[f"512.{name}.sub_c8_s{step}"], **close)
        torch.testing.assert_close(feature[0].mean(dim=(1, 2)), golden[f"512.{name}.ch_mean"], **close)
        std = feature[0].std(dim=(1, 2), correction=0)
        torch.testing.assert_close(std, golden[f"512.{name}.ch_std"], **close)


def test_asl_keeps_the_truncated_part_alone(asl_file) -> None:
    assert sum(parameter.numel() for parameter in ASLTeacher(str(asl_file)).parameters()) == 2_578_192


def test_asl_weights_may_carry_a_prefix(asl_file, tmp_path) -> None:
    plain = ASLTeacher(str(asl_file)).state_dict()
    prefixed = ASLTeacher(str(published_file(tmp_path / "ddp.pth", "module."))).state_dict()
    torch.testing.assert_close(prefixed, plain, rtol=0, atol=0)


def test_batch_norm_weights_are_made_positive() -> None:
    released = released_state() | {"body.conv1.1.weight": -torch.ones(76)}
    assert torch.equal(convert(released)["stem.bn.weight"], torch.full((76,), 1 + 1e-5))


def test_asl_states_that_do_not_fit_are_counted() -> None:
    state = released_state()
    with pytest.raises(WeightsError, match=r"of 156 tensors 136 are missing .* and 156 are unknown"):
        convert({f"tresnet.{key}": value for key, value in state.items()})
    with pytest.raises(WeightsError, match=r"1 are missing \(body.conv1.0.weight\) and 0 are unknown \(none\)"):
        convert({key: value for key, value in state.items() if key != "body.conv1.0.weight"})
    with pytest.raises(WeightsError, match=r"0 are missing \(none\) and 1 are unknown \(body.layer1.9.x\)"):
        convert(state | {"body.layer1.9.x": torch.zeros(1)})
    with pytest.raises(WeightsError, match=r"stem.conv.weight, which is \(1,\) instead of \(76, 48, 3, 3\)"):
        convert(state | {"body.conv1.0.weight": torch.zeros(1)})


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
@pytest.mark.filterwarnings("ignore:TypedStorage is deprecated")
def test_unreadable_asl_weights_are_one_short_sentence(asl_file, tmp_path) -> None:
    (tmp_path / "empty.pth").touch()
    with pytest.raises(WeightsError, match=r"empty\.pth is not a readable weight file \(it is empty\); delete"):
        ASLTeacher(str(tmp_path / "empty.pth"))
    (tmp_path / "cut.pth").write_bytes(asl_file.read_bytes()[:5000])
    with pytest.raises(WeightsError, match=r"cut\.pth is not a readable weight file") as refused:
        ASLTeacher(str(tmp_path / "cut.pth"))
    assert len(str(refused.value)) < 300 + len(str(tmp_path))
    whole = released_state()
    quantised = torch.quantize_per_tensor(torch.rand(whole["body.conv1.0.weight"].shape), 0.1, 0, torch.qint8)
    torch.save({"model": whole | {"body.conv1.0.weight": quantised}}, tmp_path / "quantised.pth")
    with pytest.raises(WeightsError, match=r"stem\.conv\.weight holds qint8 and not floating-point numbers"):
        ASLTeacher(str(tmp_path / "quantised.pth"))


def test_missing_asl_weights_say_what_to_fetch_and_where_to_put_it(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def refuse(url: str, timeout: float) -> None:
        raise OSError("Name or service not known")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    with pytest.raises(WeightsError) as caught:
        ASLTeacher()
    place = tmp_path / "hub" / "checkpoints" / "Open_ImagesV6_TRresNet_L_448.pth"
    message = str(caught.value)
    assert PUBLISHED in message and str(place) in message and "Name or service not known" in message
    place.parent.mkdir(parents=True, exist_ok=True)
    assert ASLTeacher(str(published_file(place))).state_dict().keys() == ASLTeacher().state_dict().keys()


def test_unreadable_files_are_refused(tmp_path) -> None:
    with pytest.raises(WeightsError, match=r"ASLTeacher: there is no weight file .*nowhere\.pth"):
        ASLTeacher(str(tmp_path / "nowhere.pth"))
    (tmp_path / "page.pth").write_bytes(b"<html>not found</html>")
    with pytest.raises(WeightsError, match=r"page\.pth is not a readable weight file"):
        ASLTeacher(str(tmp_path / "page.pth"))
    torch.save({"model": [1, 2]}, tmp_path / "list.pth")
    with pytest.raises(WeightsError, match=r"list\.pth holds a list instead of a state dict"):
        ASLTeacher(str(tmp_path / "list.pth"))
    torch.save({"weights": 3}, tmp_path / "plain.pth")
    with pytest.raises(WeightsError, match=r"must hold a plain state dict \(names and tensors\), but has weights"):
        ASLTeacher(str(tmp_path / "plain.pth"))


def test_a_pickle_that_would_run_code_is_refused(tmp_path) -> None:
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "executed"), "w"))

    torch.save({"model": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(WeightsError, match="not a readable weight file"):
        ASLTeacher(str(tmp_path / "evil.pth"))
    assert not (tmp_path / "executed").exists()


# -- what holds for every teacher --------------------------------------------------------------------------------------


class Priors(Generator):
    """A generator with a prior pyramid, in small."""

    training_only = ("heads",)

    def __init__(self, levels: int = 3) -> None:
        super().__init__()
        self.levels = levels
        self.layers = nn.ModuleList(nn.Conv2d(4, 2 + i, 2**i, stride=2**i) for i in range(levels))
        self.heads = nn.ModuleList(nn.Conv2d(2 + i, 5, 1) for i in range(levels))

    def prior_features(self, image: Tensor, mask: Tensor) -> list[Tensor]:
        assert not mask.any(), "a teacher sees the whole image"
        return [layer(torch.cat([self.hide_hole(image, mask), mask], dim=1)) for layer in self.layers]

    def forward(self, image: Tensor, mask: Tensor) -> Output:
        return Output(image)


def build(name: str, folder) -> Teacher:
    if name == "asl":
        return ASLTeacher(str(published_file(folder / "asl.pth")))
    if name == "prior":
        torch.manual_seed(0)
        save_file(Priors().state_dict(), str(folder / "prior.safetensors"))
        return PriorTeacher(Priors(), str(folder / "prior.safetensors"))
    if name == "torchvision":
        with pytest.warns(UserWarning, match="random weights"):
            return TorchvisionTeacher("resnet18", weights=None)
    return {"random": RandomTeacher, "builtin": BuiltinTeacher, "canny": EdgeTeacher}.get(
        name, lambda: EdgeTeacher("sobel")
    )()


@pytest.fixture(scope="module", params=["builtin", "asl", "random", "torchvision", "canny", "sobel", "prior"])
def teacher(request, tmp_path_factory):
    return build(request.param, tmp_path_factory.mktemp(request.param))


@torch.no_grad()
@pytest.mark.parametrize("size", [(32, 32), (64, 36)])
def test_features_have_the_declared_channels_at_strides_1_2_and_4(teacher, size) -> None:
    source = SceneSource("test", 2, size)
    features = teacher(torch.stack([source.load(i).image for i in range(2)]))
    shapes = [(2, c, size[0] // s, size[1] // s) for c, s in zip(teacher.channels, (1, 2, 4), strict=True)]
    assert [tuple(feature.shape) for feature in features] == shapes
    assert all(torch.isfinite(feature).all() for feature in features) and features[0].std() > 0


@torch.no_grad()
def test_a_picture_is_judged_by_itself_and_the_same_each_time(teacher) -> None:
    pictures = torch.cat([rand(1, 3, 32, 32, seed=1), SceneSource("test", 1, 32).load(0).image[None]])
    together = teacher(pictures)
    for i in range(2):
        torch.testing.assert_close(
            [level[i : i + 1] for level in together], teacher(pictures[i : i + 1]), rtol=1e-4, atol=1e-4
        )
    torch.testing.assert_close(teacher(pictures), together, rtol=0, atol=0)


@torch.no_grad()
def test_autocast_stays_close(teacher) -> None:
    picture = SceneSource("test", 1, 64).load(0).image[None]
    expected = teacher(picture)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        features = teacher(picture)
    for feature, wanted in zip(features, expected, strict=True):
        assert (feature.float() - wanted).abs().mean() < 0.05 * wanted.abs().mean() + 1e-6


def test_a_teacher_is_frozen_and_named(teacher) -> None:
    assert not teacher.training and not any(parameter.requires_grad for parameter in teacher.parameters())
    assert teacher.name and "\n" not in teacher.name


@pytest.mark.parametrize("shape", [(1, 1, 32, 32), (3, 32, 32), (1, 3, 28, 32), (1, 3, 34, 32)])
def test_images_that_do_not_fit_are_refused(teacher, shape) -> None:
    with pytest.raises(DataError, match=r"must be \(B, 3, H, W\)|at least 32 that are multiples of 4"):
        teacher(torch.zeros(shape))


# -- edges -------------------------------------------------------------------------------------------------------------


def test_canny_agrees_with_scikit_image() -> None:
    """EdgeConnect's edge maps: scikit-image with sigma 2 and its default thresholds. Few pixels may differ."""
    source = SceneSource("test", 3, 128)
    for index in range(3):
        image = source.load(index).image[None]
        ours = EdgeTeacher()(image)[0][0, 0].bool().numpy()
        grey = (image[0] * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(0).numpy()
        theirs = canny(grey, sigma=2, mode="reflect")
        assert 2 * (ours & theirs).sum() / (ours.sum() + theirs.sum()) > 0.85


def test_a_straight_edge_is_found_at_every_size() -> None:
    image = torch.zeros(1, 3, 64, 64)
    image[..., 32:] = 1
    for stride, edges in zip((1, 2, 4), EdgeTeacher()(image), strict=True):
        columns = np.flatnonzero(edges[0, 0].any(dim=0).numpy())
        assert len(columns) in (1, 2) and abs(columns.mean() - (32 / stride - 0.5)) <= 0.5
        assert set(edges.unique().tolist()) == {0.0, 1.0}
    assert not any(edges.any() for edges in EdgeTeacher()(torch.full((1, 3, 64, 64), 0.5)))


def test_sobel_is_the_slope_a_pixel() -> None:
    ramp = (torch.arange(64.0) / 100).expand(1, 3, 64, 64)
    full, half, _ = EdgeTeacher("sobel", sigma=0.5)(ramp)
    torch.testing.assert_close(full[..., 8:-8, 8:-8], torch.full((1, 1, 48, 48), 0.01), rtol=1e-3, atol=0)
    torch.testing.assert_close(half[..., 8:-8, 8:-8], torch.full((1, 1, 16, 16), 0.02), rtol=1e-3, atol=0)


# -- the control -------------------------------------------------------------------------------------------------------


@torch.no_grad()
def test_random_features_hang_on_the_seed_alone() -> None:
    state = torch.get_rng_state()
    image = rand(1, 3, 32, 32)
    features = RandomTeacher(3)(image)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(99)
    torch.testing.assert_close(RandomTeacher(3)(image), features, rtol=0, atol=0)
    assert all(not torch.allclose(a, b) for a, b in zip(RandomTeacher(4)(image), features, strict=True))
    # A value of seed 3 written down once: other machines must give the same.
    weight = RandomTeacher(3).network.stem.conv.weight
    torch.testing.assert_close(weight[0, 0, 0, :2], torch.tensor([0.007674, 0.028549]), atol=1e-6, rtol=0)


# -- torchvision -------------------------------------------------------------------------------------------------------


def oracle(network: str, folder):
    """Torchvision's own whole network with lively random weights, saved as published files are."""
    torch.manual_seed(1)
    if network.endswith("_fpn"):
        # With weights torchvision builds detectors on frozen norms with an epsilon of 0.
        norm = torchvision.ops.FrozenBatchNorm2d
        backbone = torchvision.models.resnet50(weights=None, norm_layer=norm)
        extractor = torchvision.models.detection.backbone_utils._resnet_fpn_extractor(backbone, 3)
        model = torchvision.models.detection.FasterRCNN(extractor, num_classes=2)
        torchvision.models.detection._utils.overwrite_eps(model, 0.0)
        resnet = model.backbone.body
    elif network.startswith("resnet"):
        model = resnet = torchvision.models.get_model(network, weights=None)
    else:
        model = torchvision.models.get_model(network, weights=None, weights_backbone=None)
        resnet = model.backbone
    for name, value in model.state_dict().items():
        if name.endswith(("running_mean", "bias")):
            value.normal_(0, 0.1)
        elif name.endswith("running_var"):
            value.uniform_(0.5, 1.5)
    torch.save(model.state_dict(), folder / "whole.pth")
    return resnet.eval(), str(folder / "whole.pth")


@torch.no_grad()
@pytest.mark.parametrize("network", ["resnet18", "resnet50", "fasterrcnn_resnet50_fpn", "fcn_resnet50"])
def test_torchvisions_features_are_those_of_its_own_network(network, tmp_path) -> None:
    resnet, file = oracle(network, tmp_path)
    teacher = TorchvisionTeacher(network, weights=file, upsample="nearest")
    image = rand(1, 3, 32, 40)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    doubled = image.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    stem = resnet.relu(resnet.bn1(resnet.conv1((doubled - mean[:, None, None]) / std[:, None, None])))
    first = resnet.layer1(resnet.maxpool(stem))
    torch.testing.assert_close(teacher(image), [stem, first, resnet.layer2(first)], rtol=1e-4, atol=1e-5)


def test_torchvision_files_that_do_not_fit_are_refused(tmp_path) -> None:
    _, file = oracle("resnet18", tmp_path)
    with pytest.raises(WeightsError, match=r"none of its 122 tensors is named backbone\.conv1\.weight"):
        TorchvisionTeacher("deeplabv3_resnet50", weights=file)
    with pytest.raises(WeightsError, match=r"does not fit its network: of \d+ tensors \d+ are missing"):
        TorchvisionTeacher("resnet50", weights=file)
    with pytest.raises(ValueError, match=r"network must be one of resnet18, .*, got 'vgg16'"):
        TorchvisionTeacher("vgg16", weights=None)


@pytest.mark.parametrize("network", ["resnet50", "retinanet_resnet50_fpn", "deeplabv3_resnet101"])
def test_torchvisions_addresses_are_named_offline(network, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("urllib.request.urlopen", lambda url, timeout: (_ for _ in ()).throw(OSError("offline")))
    url = torchvision.models.get_model_weights(network).DEFAULT.url
    with pytest.raises(WeightsError, match="offline") as caught:
        TorchvisionTeacher(network)
    assert url in str(caught.value) and str(tmp_path / "hub" / "checkpoints") in str(caught.value)


# -- another network's priors ------------------------------------------------------------------------------------------


@torch.no_grad()
def test_priors_are_the_generators_own_for_the_whole_image(tmp_path) -> None:
    torch.manual_seed(5)
    trained = Priors()
    image = rand(1, 3, 32, 32)
    expected = trained.prior_features(image, torch.zeros(1, 1, 32, 32))
    bare, cut, run, averaged = (tmp_path / name for name in ("a.pth", "b.safetensors", "c.ckpt", "d.ckpt"))
    state = trained.state_dict()
    torch.save(state, bare)
    save_file({key: value for key, value in state.items() if not key.startswith("heads")}, str(cut))
    inpainter = {f"generator.{key}": value for key, value in state.items()} | {"adversaries.a.x": torch.zeros(1)}
    torch.save({"state_dict": inpainter, "epoch": 1}, run)
    other = {f"generator.{key}": torch.zeros_like(value) for key, value in state.items()}
    torch.save({"state_dict": other, "callbacks": {"GeneratorEMA": {"average": state, "updates": 9}}}, averaged)
    for file in (bare, cut, run, averaged):
        teacher = PriorTeacher(Priors(), str(file))
        assert teacher.channels == (2, 3, 4)
        torch.testing.assert_close(teacher(image), expected)


def test_what_cannot_teach_priors_is_refused(tmp_path) -> None:
    class Plain(Generator):
        pass

    file = tmp_path / "prior.safetensors"
    save_file(Priors(1).state_dict(), str(file))
    with pytest.raises(ValueError, match="Plain has no prior_features; use a network that learns priors, such as SPN"):
        PriorTeacher(Plain(), str(file))
    with pytest.raises(ValueError, match="needs priors at strides 1, 2 and 4, but Priors has them at 1 only"):
        PriorTeacher(Priors(1), str(file))
    with pytest.raises(WeightsError, match="4 are missing"):
        PriorTeacher(Priors(), str(file))
    torch.save({"state_dict": {"network.x": torch.zeros(1)}}, tmp_path / "classifier.ckpt")
    with pytest.raises(WeightsError, match="is not a checkpoint of an Inpainter"):
        PriorTeacher(Priors(), str(tmp_path / "classifier.ckpt"))


# -- doubling ----------------------------------------------------------------------------------------------------------


def test_doubling_by_hand() -> None:
    image = torch.tensor([[[[0.0, 1.0]]]])
    assert double(image, "nearest").tolist() == [[[[0, 0, 1, 1], [0, 0, 1, 1]]]]
    assert double(image, "bilinear").tolist() == [[[[0, 0.25, 0.75, 1], [0, 0.25, 0.75, 1]]]]
    for owner in (RandomTeacher, ASLTeacher):
        with pytest.raises(ValueError, match="upsample must be one of nearest, bilinear, got 'cubic'"):
            owner(upsample="cubic")


def test_bad_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="seed must be 0 or more, got -1"):
        RandomTeacher(-1)
    with pytest.raises(ValueError, match="method must be one of canny, sobel, got 'hed'"):
        EdgeTeacher("hed")
    with pytest.raises(ValueError, match=r"sigma must be above 0 and at most 2 pixels, got 3"):
        EdgeTeacher(sigma=3)
    with pytest.raises(ValueError, match=r"thresholds must be 0 < low < high, got 0.3 and 0.2"):
        EdgeTeacher(low=0.3)
