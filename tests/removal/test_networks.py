"""Mask R-CNN and SAM: the weight files they take, and what their outputs become."""

import numpy as np
import pytest
import torch
from kornia.models.sam import Sam, SamConfig
from torch import nn

from inpaintzoo.pictures.boxes import Box
from inpaintzoo.removal import SAM, MaskRCNN, Prompt
from inpaintzoo.types import WeightsError


class Detector(nn.Module):
    """A network in torchvision's form that always finds the same."""

    def forward(self, images):
        (image,) = images
        masks = torch.zeros(3, 1, *image.shape[1:])
        masks[0, :, 2:6, 2:6] = 0.9
        masks[1, :, 4:8, 8:12] = 0.8
        masks[2, :, :1] = 1.0
        return [{"masks": masks, "labels": torch.tensor([1, 2, 1]), "scores": torch.tensor([0.9, 0.7, 0.4])}]


def test_mask_rcnn_gives_the_instances_above_the_threshold():
    found = MaskRCNN(Detector(), ("nothing", "person", "dog"), device="cpu").open(torch.zeros(3, 16, 16))
    assert [(each.name, each.box) for each in found.instances] == [
        ("person", Box(2, 2, 6, 6)),
        ("dog", Box(4, 8, 8, 12)),
    ]
    assert found.select(Prompt(at=((9, 5),))).name == "dog"
    assert found.select(Prompt(at=((0, 0),))) is None
    assert (
        len(MaskRCNN(Detector(), ("nothing", "person", "dog"), 0.3, "cpu").open(torch.zeros(3, 16, 16)).instances) == 3
    )


@pytest.mark.parametrize("pretrained", [MaskRCNN.pretrained, SAM.pretrained])
def test_weights_that_are_missing_or_of_another_network(pretrained, tmp_path):
    with pytest.raises(WeightsError, match=r"GrabCut needs no weights.*there is no .*download it from http"):
        pretrained(weights=tmp_path / "no.pth")
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match="are not those of"):
        pretrained(weights=tmp_path / "other.pth")


class Encoder(nn.Module):
    """In place of SAM's image encoder, which takes seconds: a grid of colours."""

    img_size = 1024

    def forward(self, image):
        return torch.nn.functional.avg_pool2d(image, 16).repeat(1, 86, 1, 1)[:, :256]


@pytest.fixture(params=[Encoder(), pytest.param(None, marks=pytest.mark.slow)], ids=["stub", "real"])
def sam(request, tmp_path):
    torch.manual_seed(0)
    torch.save(Sam.from_config(SamConfig("mobile_sam")).state_dict(), tmp_path / "mobile_sam.pt")
    sam = SAM.pretrained(weights=tmp_path / "mobile_sam.pt", device="cpu")
    if request.param is not None:
        sam.prompter.model.image_encoder = request.param
    return sam


def test_sam_answers_clicks_and_boxes_and_keeps_earlier_pictures_open(sam):
    torch.manual_seed(0)
    image = torch.rand(3, 40, 60)
    first = sam.open(image)
    prompt = Prompt(at=((30, 20),), away=((2, 2),), box=Box(5, 5, 35, 50))
    before = first.select(prompt)
    second = sam.open(1 - image[:, :30])
    assert second.size == (30, 60)
    after = first.select(prompt)
    assert (before is None) == (after is None)
    if before is not None:
        assert before.mask.shape == (40, 60)
        assert np.array_equal(before.mask, after.mask)
    assert any(first.select(Prompt(at=((x, 20),))) for x in range(0, 60, 10))
