"""Sheets of PEN-Net's and SRPNet's scales and attention: what is drawn where, and who is refused."""

import pytest
import torch
import torch.nn.functional as F
from toys import NoiseData, NormFreeGenerator, quiet_trainer

from inpaintzoo import Inpainter
from inpaintzoo.callbacks import AttentionMaps, PyramidPictures
from inpaintzoo.callbacks.pyramids import attention_pictures, scale_pictures
from inpaintzoo.losses import HoleL1, PyramidL1
from inpaintzoo.models import PENNet
from inpaintzoo.ops import composite, show_hole
from inpaintzoo.types import ConfigError


def pairs(size=64):
    image = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    mask = torch.zeros(2, 1, size, size)
    mask[0, :, 8:24, 40:56] = 1
    return {"image": image, "mask": mask}


@pytest.mark.parametrize(("faithful", "sides"), [("released", (2, 4, 8, 16, 32)), ("paper", (4, 8, 16, 32))])
def test_scales_stand_from_coarse_to_fine_between_input_and_composite(faithful, sides):
    batch = pairs()
    with torch.no_grad():
        output = PENNet(4, faithful)(batch["image"], batch["mask"])
    rows = scale_pictures(batch, output).unflatten(0, (2, -1))
    assert rows.shape[1] == len(sides) + 4
    assert torch.equal(rows[:, 0], show_hole(batch["image"], batch["mask"]))
    assert torch.equal(rows[:, -1], batch["image"])
    assert torch.equal(rows[:, -2], composite(batch["image"], output.image, batch["mask"]))
    assert torch.equal(rows[:, -3], output.image)
    scales = list(reversed(output.pyramid))[: len(sides)]
    for column, (side, level) in enumerate(zip(sides, scales, strict=True), start=1):
        assert torch.equal(rows[:, column, :, :: 64 // side, :: 64 // side], level)


def test_attention_shows_where_a_place_in_the_middle_of_the_hole_copies_from():
    """A map of two materials: the hole is in the left one, so it copies from there."""
    batch, network = pairs(), PENNet(4, "paper", scale=50.0)
    batch["mask"] = batch["mask"].flip(-1)  # the hole's middle is at row 16, column 16
    batch["image"][..., :32] *= 0.1
    layer = network.context.transfers[2]
    deep = F.avg_pool2d(batch["image"], 8)[:, :1].repeat(1, 4, 1, 1)
    deep[:, 1] = 0.5
    with torch.no_grad():
        weights = layer.attention(deep, batch["mask"], torch.tensor([18, 0]))
    keys = layer.keys(batch["mask"], (8, 8))
    unit = F.normalize(F.unfold(deep, 3, padding=1), dim=1)
    scores = 50 * torch.stack([unit[0, :, 18] @ unit[0], unit[1, :, 0] @ unit[1]])
    expected = torch.softmax(scores.masked_fill(keys.flatten(1) == 0, -torch.inf), dim=1).view(2, 8, 8)
    torch.testing.assert_close(weights, expected)
    assert weights[0, :, :3].sum() > 0.9

    with torch.no_grad():
        rows = attention_pictures(network, batch["image"], batch["mask"])
    assert rows.shape == (2 * 3 * 6, 3, 64, 64) and rows.min() >= 0 and rows.max() <= 1
    red = torch.tensor([1.0, 0.0, 0.0]).view(3, 1, 1)
    for column, cell in ((4, 8), (5, 4)):  # the hole's middle is pixel 15, 15
        assert (rows[12 + column, :, 16 - cell : 16, 16 - cell : 16] == red).all()
        assert not (rows[12 + column, :, 15 - cell, 15] == red[:, 0, 0]).all()


@pytest.mark.parametrize("attention", ["none", "patch_swap", "contextual"])
def test_networks_without_attention_transfer_show_their_maps(attention):
    batch = pairs()
    with torch.no_grad():
        rows = attention_pictures(PENNet(4, attention=attention), batch["image"], batch["mask"])
    assert rows.shape == (2 * 2 * 6, 3, 64, 64), "no row of attention"


def fit(folder, callbacks, generator):
    losses = {"hole": HoleL1()} if isinstance(generator, NormFreeGenerator) else {"pyramid": PyramidL1()}
    trainer = quiet_trainer(callbacks=callbacks, default_root_dir=folder, limit_val_batches=1)
    trainer.fit(Inpainter(generator, losses, max_iterations=1), NoiseData(size=64, count=2))


def test_both_are_drawn_after_a_validation(tmp_path):
    fit(tmp_path, [PyramidPictures(count=1), AttentionMaps(count=1)], PENNet(4))
    assert {path.name[:-12] for path in tmp_path.rglob("*.png")} == {"scales", "attention"}


@pytest.mark.parametrize("callback", [PyramidPictures, AttentionMaps])
def test_what_cannot_be_drawn_is_refused(tmp_path, callback):
    with pytest.raises(ConfigError, match=f"{callback.__name__} .* NormFreeGenerator has none; remove this callback"):
        fit(tmp_path, [callback()], NormFreeGenerator())
    with pytest.raises(ValueError, match=f"{callback.__name__}: count must be at least 1, got 0"):
        callback(count=0)
