"""GrabCut on shapes whose outline is known."""

import numpy as np
import pytest
import torch

from inpaintzoo.pictures.boxes import Box
from inpaintzoo.removal import GrabCut, Prompt
from inpaintzoo.types import DataError

ROWS, COLUMNS = np.mgrid[:120, :160]
DISC = np.hypot(ROWS - 60, COLUMNS - 60) < 30
OTHER = np.hypot(ROWS - 60, COLUMNS - 130) < 20


def opened(scale=1):
    rng = np.random.default_rng(0)
    image = np.where((DISC | OTHER)[..., None], [200.0, 60, 40], [60, 90, 160]) + rng.normal(0, 8, (120, 160, 3))
    image = np.kron(image.clip(0, 255) / 255, np.ones((scale, scale, 1)))
    return GrabCut().open(torch.from_numpy(image).float().permute(2, 0, 1))


def overlap(instance, truth):
    return (instance.mask & truth).sum() / (instance.mask | truth).sum()


@pytest.mark.parametrize(
    "prompt", [Prompt(at=((60, 60),)), Prompt(box=Box(28, 28, 92, 92)), Prompt(at=((60, 60),), box=Box(28, 28, 92, 92))]
)
def test_an_even_object_is_cut_out(prompt):
    assert overlap(opened().select(prompt), DISC) > 0.9


def test_larger_pictures_are_cut_at_their_own_size():
    instance = opened(scale=5).select(Prompt(at=((300, 300),)))
    assert instance.mask.shape == (600, 800)
    assert overlap(instance, np.kron(DISC, np.ones((5, 5), bool))) > 0.9


def test_the_result_depends_on_the_prompt_alone():
    segmentation = opened()
    first = segmentation.select(Prompt(at=((60, 60),))).mask
    segmentation.select(Prompt(at=((130, 60),), away=((60, 60),)))
    assert (segmentation.select(Prompt(at=((60, 60),))).mask == first).all()


def test_a_click_away_excludes():
    both = opened().select(Prompt(at=((60, 60), (130, 60))))
    assert overlap(both, DISC | OTHER) > 0.9
    one = opened().select(Prompt(at=((60, 60),), away=((130, 60),)))
    assert one.mask[60, 60]
    assert not one.mask[60, 130]


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (3, 2), (16, 16)])
def test_tiny_pictures_are_no_error(shape):
    segmentation = GrabCut().open(torch.rand(3, *shape))
    instance = segmentation.select(Prompt(at=((0, 0),)))
    assert instance is None or instance.mask.shape == shape
    segmentation.select(Prompt(box=Box(0, 0, *shape)))


def test_wrong_use_is_said():
    with pytest.raises(ValueError, match="side must be"):
        GrabCut(side=3)
    with pytest.raises(DataError, match="outside"):
        opened().select(Prompt(at=((-1, 0),)))
