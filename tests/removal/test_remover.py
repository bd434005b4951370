"""From clicks to the picture without the object, with a segmenter that knows the answer."""

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

from inpaintzoo import Predictor
from inpaintzoo.fills import Diffusion
from inpaintzoo.pictures.boxes import Box
from inpaintzoo.removal import InstanceMap, Prompt, Remover
from inpaintzoo.types import ConfigError, DataError

IDS = np.zeros((60, 80), np.int64)
IDS[10:30, 10:30] = 1  # a person
IDS[10:30, 30:40] = 2  # who touches another
IDS[40:50, 50:70] = 3  # a dog
NAMES = {1: "person", 2: "person", 3: "dog"}
IMAGE = np.random.default_rng(0).integers(90, 110, (60, 80, 3), dtype=np.uint8)
IMAGE[IDS > 0] += 100


@pytest.fixture
def remover():
    return Remover(InstanceMap(IDS, NAMES), Predictor(Diffusion(), device="cpu"))


def select(remover, *prompts, **options):
    return remover.select(remover.open(IMAGE), *prompts, **options)


def test_a_click_removes_the_instance_under_it(remover):
    removal = select(remover, Prompt(at=((55, 45),)), grow=2)
    assert (removal.hole == ndimage.binary_dilation(IDS == 3, np.ones((5, 5)))).all()
    (filled,) = remover(IMAGE, Prompt(at=((55, 45),)), grow=2)
    assert (filled[~removal.hole] == IMAGE[~removal.hole]).all()
    assert (filled[removal.hole] < 115).all()  # of the background


def test_growth_follows_the_short_side_and_is_5x5_at_480():
    for short, window in [(480, 5), (960, 9), (60, 3)]:
        ids = np.zeros((short, short + 20), np.int64)
        ids[short // 2, short // 2] = 1
        image = np.zeros((*ids.shape, 3), np.uint8)
        remover = Remover(InstanceMap(ids), Predictor(Diffusion(), device="cpu"))
        hole = remover.select(remover.open(image), Prompt(at=((short // 2, short // 2),))).hole
        assert hole.sum() == window**2


def test_a_grown_object_stops_at_its_neighbour_unless_asked(remover):
    prompt = Prompt(at=((12, 12),))
    assert not select(remover, prompt, grow=5).hole[IDS == 2].any()
    assert select(remover, prompt, grow=5).hole[IDS == 1].all()
    assert select(remover, prompt, grow=5, keep_neighbours=False).hole[12:28, 30:35].all()


def test_several_objects_classes_and_a_drawn_mask_in_one_pass(remover):
    drawn = np.zeros(IDS.shape, bool)
    drawn[55:58, 2:5] = True
    removal = select(remover, Prompt(at=((55, 45),)), classes=["person"], mask=drawn, grow=0)
    assert (removal.hole == ((IDS > 0) | drawn)).all()
    assert sorted(each.name for each in removal.instances) == ["dog", "person", "person"]


def test_boxes_and_clicks_away():
    ids = np.zeros((20, 20), np.int64)
    ids[2:18, 2:18] = 1
    ids[8:12, 8:12] = 2  # in front of it
    remover = Remover(InstanceMap(ids), Predictor(Diffusion(), device="cpu"))
    opened = remover.open(np.zeros((20, 20, 3), np.uint8))
    at = lambda prompt: int(ids[remover.select(opened, prompt, grow=0).hole].max())  # noqa: E731
    assert at(Prompt(at=((9, 9),))) == 2  # the smallest one under the click
    assert at(Prompt(box=Box(7, 7, 13, 13))) == 2
    assert remover.select(opened, Prompt(box=Box(1, 1, 19, 19)), grow=0).hole.sum() == 16**2 - 4**2
    with pytest.raises(DataError, match="no object was found"):
        remover.select(opened, Prompt(at=((4, 4),), away=((5, 5),)))


def test_guidance_forbids_other_instances_of_a_class(remover):
    guidance = select(remover, Prompt(at=((55, 45),)), guide_away=["person"]).guidance
    assert (guidance == np.where((IDS == 1) | (IDS == 2), 0, 1)).all()


def test_what_cannot_be_removed_is_said(remover):
    for error, words, arguments, options in [
        (DataError, "no object was found: 0,0; click", [Prompt(at=((0, 0),))], {}),
        (DataError, "80,3 lies outside the picture, which is 80 wide and 60 high", [Prompt(at=((80, 3),))], {}),
        (DataError, "left,top,right,bottom must be in order", [Prompt(box=Box(9, 9, 5, 20))], {}),
        (ConfigError, "nothing to remove", [], {}),
        (ConfigError, "no 'persn' in the picture; did you mean person", [], {"classes": ["persn"]}),
        (ConfigError, "grow must be", [Prompt(at=((55, 45),))], {"grow": -1}),
    ]:
        with pytest.raises(error, match=words):
            select(remover, *arguments, **options)
    with pytest.raises(ValueError, match="needs a click"):
        Prompt()
    with pytest.raises(DataError, match="80 pixels wide and 60 high, but the picture is 9 and 7"):
        remover.open(np.zeros((7, 9, 3), np.uint8))


def test_a_hole_that_cuts_through_an_object_is_noted():
    image = np.zeros((60, 60, 3), np.uint8)
    image[10:50, 10:50] = np.random.default_rng(0).integers(0, 2, (40, 40, 1)) * 255
    ids = np.zeros((60, 60), np.int64)
    ids[10:50, 10:30] = 1
    ids[49, 49] = 1  # the box holds all of it, the mask half
    remover = Remover(InstanceMap(ids), Predictor(Diffusion(), device="cpu"))
    assert any("strong edges" in note for note in remover.select(remover.open(image), Prompt(at=((12, 12),))).notes)
    ids[10:50, 10:50] = 1
    remover = Remover(InstanceMap(ids), Predictor(Diffusion(), device="cpu"))
    assert not remover.select(remover.open(image), Prompt(at=((12, 12),))).notes


def test_any_kind_of_picture_keeps_its_known_pixels(remover, tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(IMAGE).convert("L").save(path)
    (filled,) = remover(path, Prompt(at=((55, 45),)))
    assert filled.mode == "L"
    (filled,) = remover(torch.from_numpy(IMAGE).permute(2, 0, 1), Prompt(at=((55, 45),)))
    assert filled.shape == (3, 60, 80)
