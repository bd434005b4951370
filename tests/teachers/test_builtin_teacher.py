"""The built-in teacher: what its shipped weights know, and messages about other files."""

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torchmetrics.functional.classification import multilabel_average_precision
from toys import rand

from inpaintzoo.data.scenes import SCENE_TAGS, SceneSource
from inpaintzoo.teachers import (
    BuiltinTeacher,
    RandomTeacher,
    TagNetwork,
    Teacher,
)
from inpaintzoo.teachers.builtin import SHIPPED, soft_maximum
from inpaintzoo.types import WeightsError


def test_shipped_weights_are_small_and_name_their_network_and_training() -> None:
    assert SHIPPED.stat().st_size <= 3_000_000
    with safe_open(str(SHIPPED), "pt") as file:
        facts = file.metadata()
    assert {"network", "iterations", "torch", "config"} <= facts.keys()
    assert BuiltinTeacher().network.tags == len(SCENE_TAGS)


@torch.no_grad()
def test_the_shipped_network_tells_the_tags_of_scenes_it_has_not_seen() -> None:
    """Each level alone is far better than chance: the mean average precision of a guess is the tags' share, 0.3."""
    source = SceneSource("test", 64, 64)
    samples = [source.load(i) for i in range(64)]
    images, tags = torch.stack([s.image for s in samples]), torch.stack([s.tags for s in samples]).long()
    seen = tags.any(dim=0) & ~tags.all(dim=0)
    for verdict in BuiltinTeacher().network(images):
        assert multilabel_average_precision(verdict.sigmoid()[:, seen], tags[:, seen], int(seen.sum())) > 0.6
    assert tags[:, seen].float().mean() < 0.4


@torch.no_grad()
def test_features_tell_what_each_pixel_is_better_than_random_ones() -> None:
    """A linear probe for the pixels' classes, fitted on 20 scenes and judged on 10 others, at every level."""
    source = SceneSource("test", 30, 64)
    samples = [source.load(i) for i in range(30)]
    images, labels = torch.stack([s.image for s in samples]), torch.stack([s.labels for s in samples])

    def accuracies(teacher: Teacher) -> list[float]:
        found = []
        for stride, features in zip((1, 2, 4), teacher(images), strict=True):
            x = features.permute(0, 2, 3, 1)[:, :: 4 // stride, :: 4 // stride].flatten(1, 2)
            x = (x - x.mean(dim=(0, 1))) / (x.std(dim=(0, 1)) + 1e-6)
            y = labels[:, stride // 2 :: 4, stride // 2 :: 4].flatten(1)
            known, classes = x[:20].flatten(0, 1), torch.nn.functional.one_hot(y[:20].flatten(), 14).float()
            ridge = 1e-3 * len(known) * torch.eye(known.shape[1])
            weights = torch.linalg.solve(known.T @ known + ridge, known.T @ classes)
            found.append(((x[20:] @ weights).argmax(-1) == y[20:]).float().mean().item())
        return found

    margins = [a - b for a, b in zip(accuracies(BuiltinTeacher()), accuracies(RandomTeacher()), strict=True)]
    assert min(margins) > 0.05


def test_soft_maximum_lies_between_mean_and_maximum() -> None:
    scores = torch.tensor([[[[0.0, 0.0], [0.0, 2.0]]]])
    # By hand: log((3 + e^8) / 4) / 4.
    torch.testing.assert_close(soft_maximum(scores), torch.tensor([[1.653679]]), atol=1e-5, rtol=0)
    torch.testing.assert_close(soft_maximum(torch.full((1, 1, 3, 3), 7.0)), torch.tensor([[7.0]]))
    assert soft_maximum(torch.full((1, 1, 512, 512), 30.0).half()).item() == pytest.approx(30.0)


def test_gradients_reach_every_weight_of_the_tag_network() -> None:
    torch.manual_seed(0)
    network = TagNetwork(tags=3, widths=(8, 16, 16, 16, 16), channels=(8, 8, 8))
    network(rand(4, 3, 32, 32)).square().sum().backward()
    assert [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_a_file_of_another_kind_is_refused(tmp_path) -> None:
    save_file({"x": torch.zeros(1)}, str(tmp_path / "other.safetensors"))
    with pytest.raises(WeightsError, match="does not say which network it is for; make it with python -m"):
        BuiltinTeacher(str(tmp_path / "other.safetensors"))
    with pytest.raises(ValueError, match="at least 1 tag and 4 channels"):
        TagNetwork(tags=0)
