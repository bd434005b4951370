"""Objects from a detector's boxes, on the command line too."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from inpaintzoo.commands import main
from inpaintzoo.pictures.boxes import Box
from inpaintzoo.removal import DetectedBoxes, Prompt
from inpaintzoo.removal.detection import MPSSD
from inpaintzoo.weights import save_model


class Detector(nn.Module):
    """A network in torchvision's form that always finds the same."""

    def forward(self, images):
        boxes = [[8.6, 8.4, 22.2, 22.4], [30.0, 30.0, 30.2, 44.0], [1.0, 1.0, 9.0, 9.0]]
        return [
            {"boxes": torch.tensor(boxes), "labels": torch.tensor([2, 1, 1]), "scores": torch.tensor([0.9, 0.8, 0.3])}
        ]


def picture():
    pixels = np.random.default_rng(0).integers(60, 90, (48, 64, 3), dtype=np.uint8)
    pixels[10:20, 10:20] = pixels[30:40, 40:55] = [220, 40, 30]
    return pixels


def test_the_pixels_in_a_detected_box():
    image = torch.from_numpy(picture()).permute(2, 0, 1) / 255
    opened = DetectedBoxes(Detector(), ("cat", "dog"), device="cpu").open(image)
    (found,) = opened.instances  # one box is empty, one has a low score
    assert (found.name, found.box, round(found.score, 2)) == ("dog", Box(10, 10, 20, 20), 0.9)
    assert opened.select(Prompt(at=((15, 15),))) is found
    other = opened.select(Prompt(box=Box(28, 38, 42, 57)))
    assert other.name == "" and other.box == Box(30, 40, 40, 55), "what was not detected can still be pointed at"
    with pytest.raises(ValueError, match=r"threshold must lie in 0\.\.1, got 2"):
        DetectedBoxes(Detector(), ("cat", "dog"), threshold=2)


def test_the_command_takes_a_trained_detector(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(picture()).save("photo.png")
    network = MPSSD(classes=("cat", "dog"), width=1, modules=1)
    with torch.no_grad():
        for parameter in network.head.parameters():
            parameter.zero_()
        layers = network.head.classification_head.module_list
        for layer in layers:
            layer.bias[0::3] = 9.0  # background
        layers[5].bias[:3] = torch.tensor([0.0, 0.0, 9.0])  # a dog in the square anchor of the whole picture
    save_model(network, "detector.safetensors")
    options = ["--segmenter", "mpssd", "--weights", "detector.safetensors", "--device", "cpu"]
    assert main(["remove", "photo.png", "--list", *options]) == 0
    assert "dog" in capsys.readouterr().out
    assert main(["remove", "photo.png", "--list", "--segmenter", "mpssd", "--device", "cpu"]) == 1
    error = capsys.readouterr().err
    assert "configs/mpssd.yaml" in error and "GrabCut needs no weights" in error
