"""Metrics that need pretrained networks: errors without them, and their arithmetic with random weights."""

from pathlib import Path

import lpips
import numpy as np
import pytest
import scipy.linalg
import scipy.special
import scipy.stats
import sklearn.svm
import torch
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torchvision.models import alexnet

from inpaintzoo.metrics import (
    FID,
    LPIPS,
    PIDS,
    UIDS,
    DiversityLPIPS,
    InceptionScore,
    MetricSuite,
    SetMetric,
    frechet_distance,
    inception_score,
)
from inpaintzoo.metrics.extractors import BatchFeatures
from inpaintzoo.metrics.ids import paired_score, separating_plane
from inpaintzoo.metrics.inception_network import Inception
from inpaintzoo.metrics.suite import share_extractors
from inpaintzoo.types import WeightsError


@pytest.fixture(autouse=True)
def no_network(monkeypatch, tmp_path):
    """An empty hub cache, and a network that is down."""

    def down(url, timeout):
        raise OSError("no route to host")

    monkeypatch.setattr("urllib.request.urlopen", down)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


def random_batch(count, size):
    """A prediction and a batch whose holes cover 10, 20, 20, ... percent."""
    generator = torch.Generator().manual_seed(0)
    image, prediction = torch.rand(2, count, 3, size, size, generator=generator)
    mask = torch.zeros(count, 1, size, size)
    mask.flatten(1)[:, : round(0.2 * size**2)] = 1
    mask[0].flatten()[round(0.1 * size**2) :] = 0
    return prediction, {"image": image, "mask": mask, "index": torch.arange(count)}


@pytest.mark.parametrize(
    ("metric", "file"),
    [
        (LPIPS("alex"), "alexnet-owt-7be5be79.pth"),
        (LPIPS("vgg"), "vgg16-397923af.pth"),
        (FID(), "weights-inception-2015-12-05-6726825d.pth"),
        (InceptionScore(), "weights-inception-2015-12-05-6726825d.pth"),
        (UIDS(), "weights-inception-2015-12-05-6726825d.pth"),
        (DiversityLPIPS("vgg"), "vgg16-397923af.pth"),
    ],
)
def test_missing_weights_say_where_to_get_and_put_them(metric, file, tmp_path):
    assert metric.pretrained
    with pytest.raises(WeightsError) as error:
        MetricSuite([metric]).prepare("cpu")
    message = str(error.value)
    assert "https://" in message and file in message and "no route to host" in message
    assert str(tmp_path / "torch" / "hub" / "checkpoints" / file) in message
    assert "`weights`" in message


def test_weights_that_are_wrong(tmp_path):
    with pytest.raises(WeightsError, match=r"LPIPS.*no weight file .*nowhere.pth; download it from https://"):
        LPIPS(weights=tmp_path / "nowhere.pth").prepare(torch.device("cpu"))
    garbage = tmp_path / "garbage.pth"
    garbage.write_bytes(b"not weights")
    with pytest.raises(WeightsError, match="is not a readable weight file"):
        FID(weights=garbage).prepare(torch.device("cpu"))
    torch.save({"features.0.weight": torch.zeros(1)}, garbage)
    with pytest.raises(WeightsError, match=r"not torchvision's of this backbone \(features.0.weight"):
        LPIPS(weights=garbage).prepare(torch.device("cpu"))
    with pytest.raises(WeightsError, match="the weights are not torch-fidelity's Inception"):
        FID(weights=garbage).prepare(torch.device("cpu"))
    with pytest.raises(ValueError, match="net must be one of alex, vgg, got 'squeeze'"):
        LPIPS("squeeze")


def test_lpips_with_a_backbone_from_the_cache(tmp_path):
    """The arithmetic of Zhang et al., equation 1, written out with torchvision's own AlexNet (random weights)."""
    torch.manual_seed(0)
    backbone = alexnet().eval()
    cache = Path(torch.hub.get_dir()) / "checkpoints" / "alexnet-owt-7be5be79.pth"
    cache.parent.mkdir(parents=True)
    torch.save(backbone.state_dict(), cache)
    metric = LPIPS("alex")
    suite = MetricSuite([metric], judge="raw")
    suite.prepare("cpu")
    prediction, batch = random_batch(count=2, size=64)
    image, mask = batch["image"], batch["mask"]
    suite.update(prediction, batch)

    heads = torch.load(f"{lpips.__path__[0]}/weights/v0.1/alex.pth", map_location="cpu", weights_only=True)
    shift, scale = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])
    x, y = (((2 * side - 1) - shift.view(3, 1, 1)) / scale.view(3, 1, 1) for side in (prediction, image))
    expected, head = torch.zeros(2), 0
    with torch.no_grad():
        for layer in backbone.features:
            x, y = layer(x), layer(y)
            if isinstance(layer, torch.nn.ReLU):
                unit_x, unit_y = (torch.nn.functional.normalize(side, dim=1) for side in (x, y))
                difference = (unit_x - unit_y) ** 2 * heads[f"lin{head}.model.1.weight"].view(1, -1, 1, 1)
                expected += difference.sum(dim=1).mean(dim=(1, 2))
                head += 1
    assert head == 5
    values = [row["lpips_alex"] for row in suite.compute().rows]
    np.testing.assert_allclose(values, expected, rtol=1e-4)
    assert metric(image, image, mask).tolist() == [0.0, 0.0]


@pytest.mark.parametrize(("n", "m", "d"), [(200, 150, 8), (6, 9, 16), (40, 5, 12)])
def test_frechet_distance_equals_the_matrix_square_root(n, m, d):
    rng = np.random.default_rng(0)
    a = rng.normal(size=(n, d)) @ rng.normal(size=(d, d))
    b = rng.normal(size=(m, d)) @ rng.normal(size=(d, d)) + 0.5
    sigma_a, sigma_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    # The textbook formula needs a nudge where covariances are singular.
    nudge = 1e-10 * np.eye(d) if min(n, m) <= d else 0
    root = scipy.linalg.sqrtm((sigma_a + nudge) @ (sigma_b + nudge)).real
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(sigma_a + sigma_b - 2 * root)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-9 if min(n, m) > d else 1e-3)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)


def test_inception_score_by_hand():
    certain = np.full((8, 4), -1000.0)
    certain[np.arange(8), np.arange(8) % 4] = 1000.0  # each class surely, all equally often
    assert inception_score(certain) == pytest.approx(4.0)
    assert inception_score(certain, splits=4) == pytest.approx(1.0)  # by turns: one class a split
    assert inception_score(np.zeros((6, 5))) == pytest.approx(1.0)
    logits = np.random.default_rng(0).normal(size=(30, 7))
    p = scipy.special.softmax(logits, axis=1)
    expected = np.exp(scipy.stats.entropy(p, p.mean(axis=0, keepdims=True), axis=1).mean())
    assert inception_score(logits) == pytest.approx(expected)


class Pooled(torch.nn.Module):
    """In place of Inception: 8-bit images in, features and logits out; it counts what it gets."""

    def __init__(self):
        super().__init__()
        self.map = torch.randn(27, 11, generator=torch.Generator().manual_seed(0))
        self.seen = []

    def forward(self, images):
        assert images.dtype == torch.uint8
        self.seen.append(len(images))
        return (torch.nn.functional.adaptive_avg_pool2d(images.float() / 128 - 1, 3).flatten(1) @ self.map).split(
            [6, 5], dim=1
        )


def looking_through(network, *metrics):
    """The metrics, with one network in place of Inception."""
    inception = Inception()
    inception.network = network
    for metric in metrics:
        metric.extractor = inception
    return list(metrics)


def test_fid_and_inception_score_follow_bins_and_repeats():
    prediction, batch = random_batch(count=7, size=20)
    network = Pooled()
    suite = MetricSuite(looking_through(network, FID(), InceptionScore(splits=2)), judge="raw")
    suite.prepare("cpu")
    for part in (slice(3, 7), slice(0, 5)):  # 3 and 4 twice
        suite.update(prediction[part], {key: value[part] for key, value in batch.items()})
    summary = suite.compute().summary()
    assert {group: values["count"] for group, values in summary.items()} == {"0.01-0.1": 1, "0.1-0.2": 6, "all": 7}
    levels = (prediction * 255).round().byte(), (batch["image"] * 255).round().byte()
    fake, real = (network(side)[0].numpy() for side in levels)
    assert summary["all"]["fid"] == pytest.approx(frechet_distance(fake, real), rel=1e-5)
    assert summary["0.1-0.2"]["fid"] == pytest.approx(frechet_distance(fake[1:], real[1:]), rel=1e-5)
    logits = network(levels[0])[1].numpy()
    assert summary["all"]["inception_score"] == pytest.approx(inception_score(logits, 2), rel=1e-6)
    assert summary["0.01-0.1"] == {"count": 1, "fid": None, "inception_score": None}
    assert suite.compute().flat().keys() == {"fid", "inception_score"}
    with pytest.raises(ValueError, match="splits must be at least 1, got 0"):
        InceptionScore(splits=0)


def test_inception_features_are_those_of_torch_fidelity(tmp_path):
    with pytest.MonkeyPatch.context() as patch:  # its constructor insists on loading published weights
        patch.setattr(torch, "load", lambda *args, **kwargs: {})
        patch.setattr(FeatureExtractorInceptionV3, "load_state_dict", lambda *args, **kwargs: None)
        network = FeatureExtractorInceptionV3("test", ["2048", "logits_unbiased"], feature_extractor_weights_path="-")
    weights = tmp_path / "inception.pth"
    torch.save(network.state_dict(), weights)
    prediction, _ = random_batch(count=1, size=32)
    pooled, logits = network((prediction * 255).round().byte())
    assert pooled.shape == (1, 2048) and logits.shape == (1, 1008)
    fid, score = FID(weights), InceptionScore(weights=weights)
    for metric in (fid, score):
        metric.prepare(torch.device("cpu"))
    share_extractors([fid, score])
    found = fid.extractor(prediction)
    torch.testing.assert_close(fid.features(found, found)["image"], pooled)
    torch.testing.assert_close(score.features(found, None)["logits"], logits)
    assert fid.extractor is score.extractor and not fid.extractor.network.training


# ---------------------------------------------------------------- one pass for all


def test_four_metrics_look_through_one_network_once():
    prediction, batch = random_batch(count=5, size=20)
    network = Pooled()
    metrics = looking_through(network, FID(), InceptionScore(splits=2), UIDS(), PIDS())
    assert len({metric.family for metric in metrics}) == 1
    suite = MetricSuite(metrics, judge="raw")
    suite.prepare("cpu")
    for part in (slice(0, 3), slice(3, 5)):
        suite.update(prediction[part], {key: value[part] for key, value in batch.items()})
    assert network.seen == [3, 3, 2, 2]  # truths and predictions of two batches
    alone = {}
    for metric in (FID(), InceptionScore(splits=2), UIDS(), PIDS()):
        lone = MetricSuite(looking_through(Pooled(), metric), judge="raw")
        lone.update(prediction, batch)
        alone |= lone.compute().flat()
    assert suite.compute().flat() == pytest.approx(alone, rel=1e-4)
    assert alone.keys() == {"fid", "inception_score", "u_ids", "p_ids"}


def test_metrics_of_a_suite_with_the_same_weights_share_and_others_do_not(tmp_path):
    a, same, other = FID(tmp_path / "a.pth"), UIDS(str(tmp_path / "a.pth")), FID(tmp_path / "b.pth")
    share_extractors([a, same, other])
    assert a.extractor is same.extractor is not other.extractor
    assert a.family == same.family != other.family
    metrics = [FID(), PIDS(), LPIPS("alex"), DiversityLPIPS("alex"), LPIPS("vgg")]
    MetricSuite(metrics)
    inception, also_inception, alex, also_alex, vgg = (metric.extractor for metric in metrics)
    assert inception is also_inception and alex is also_alex and alex is not vgg


def test_pictures_changed_in_place_are_computed_again():
    network = Pooled()
    (fid,) = looking_through(network, FID())
    features, images = BatchFeatures(), torch.rand(2, 3, 8, 8)
    first = features.of(images, fid.extractor)
    assert features.of(images.clone(), fid.extractor) is first and network.seen == [2]
    images[0] = 1 - images[0]
    second = features.of(images, fid.extractor)
    assert network.seen == [2, 2]
    assert torch.equal(first.pooled[1], second.pooled[1]) and not torch.equal(first.pooled[0], second.pooled[0])


def test_a_metric_that_does_not_read_the_truth_does_not_pay_for_it():
    prediction, batch = random_batch(count=2, size=20)
    network = Pooled()
    MetricSuite(looking_through(network, InceptionScore(splits=2)), judge="raw").update(prediction, batch)
    assert network.seen == [2]


# ---------------------------------------------------------------- U-IDS and P-IDS


def features_of_pairs(count, distance, seed=0):
    rng = np.random.default_rng(seed)
    real = rng.normal(size=(count, 6)).astype(np.float32)
    return (real + 0.5 * rng.normal(size=real.shape) + distance).astype(np.float32), real


@pytest.mark.parametrize("distance", [0.0, 0.3, 5.0])
def test_discriminative_scores_equal_scikit_learn_by_hand(distance):
    fake, real = features_of_pairs(60, distance)
    machine = sklearn.svm.LinearSVC(dual=False).fit(np.concatenate([real, fake]), [1] * 60 + [0] * 60)
    wrong = 1 - machine.score(np.concatenate([real, fake]), [1] * 60 + [0] * 60)
    higher = np.mean(machine.decision_function(fake) > machine.decision_function(real))
    features = {"prediction": fake, "image": real}
    assert UIDS().compute(features) == pytest.approx(100 * wrong, abs=1e-9)
    assert PIDS().compute(features) == pytest.approx(100 * higher, abs=1e-9)
    if distance == 5.0:
        assert wrong == higher == 0  # told apart always


def test_perfect_predictions_have_discriminative_scores_of_a_half():
    _, real = features_of_pairs(30, 0.0)
    assert UIDS().compute({"prediction": real.copy(), "image": real}) == 50.0
    assert PIDS().compute({"prediction": real.copy(), "image": real}) == 50.0
    half = np.concatenate([real[:15], features_of_pairs(30, 3.0)[0][15:]])
    assert paired_score(half, real, separating_plane(half, real)) >= 0.25  # the equal half counts a half each


def test_discriminative_scores_of_a_single_pair_are_undefined():
    fake, real = features_of_pairs(1, 0.0)
    assert UIDS().compute({"prediction": fake, "image": real}) is None
    assert PIDS().compute({"prediction": fake, "image": real}) is None


def test_both_scores_need_one_fit(monkeypatch):
    fits = []
    plain = sklearn.svm.LinearSVC.fit
    monkeypatch.setattr(sklearn.svm.LinearSVC, "fit", lambda self, *data: fits.append(1) or plain(self, *data))
    fake, real = features_of_pairs(40, 0.2, seed=7)
    metrics = [UIDS(), PIDS(), UIDS("local.pth")]
    share_extractors(metrics)
    unpaired, paired, other = metrics
    for metric in (unpaired, paired, unpaired):
        metric.compute({"prediction": fake, "image": real})
    assert len(fits) == 1
    paired.compute({"prediction": fake + 1, "image": real})
    assert len(fits) == 2
    other.compute({"prediction": fake, "image": real})
    assert len(fits) == 3, "another network's features, and nothing is kept beyond an extractor's life"


def test_the_family_of_other_metrics_is_their_name():
    class Lone(SetMetric):
        name = "lone"

    assert Lone().family == "lone" and not Lone.pretrained
