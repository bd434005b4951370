"""One reader of mask files for the predictor, the data and the commands."""

import io

import numpy as np
import pytest
from mask_toys import draw
from PIL import Image, ImageFilter
from predictor_toys import Paints, noise

from inpaintzoo import Predictor
from inpaintzoo.commands.masks import main
from inpaintzoo.data.masks import FreeForm, MaskFolder
from inpaintzoo.data.masks.reading import mask_levels
from inpaintzoo.types import DataError

HOLE = np.zeros((40, 50), bool)
HOLE[5:20, 10:30] = True


def in_alpha(hole):
    """White everywhere; only the alpha channel knows the hole."""
    return Image.fromarray(np.dstack([np.full((*hole.shape, 3), 255), np.where(hole, 255, 0)]).astype(np.uint8))


def soft(mask, blur, quality):
    data = io.BytesIO()
    mask.filter(ImageFilter.GaussianBlur(blur)).save(data, "jpeg", quality=quality)
    return Image.open(data)


def test_a_hole_in_the_alpha_channel_is_one_for_all_readers(tmp_path, capsys):
    (tmp_path / "masks").mkdir()
    in_alpha(HOLE).save(tmp_path / "masks" / "a.png")
    noise("RGB").save(tmp_path / "a.png")
    masks = MaskFolder(tmp_path / "masks")
    assert (draw(masks, 40, 50)[0].numpy() == HOLE).all()
    assert main(["bin", str(tmp_path / "masks"), "--csv", str(tmp_path / "bins.csv")]) == 0
    assert f"{HOLE.mean()}" in (tmp_path / "bins.csv").read_text()
    filled = np.array(Predictor(Paints())(tmp_path / "a.png", tmp_path / "masks" / "a.png")[0])
    assert ((filled == (255, 0, 0)).all(2) == HOLE).all()


def test_photographs_are_not_masks(tmp_path):
    coloured = np.array(noise("RGB", height=160, width=200))
    coloured[:80] = 0  # half of it is black, as at night
    for name, picture in [("coloured", Image.fromarray(coloured)), ("grey", noise("L", height=160, width=200))]:
        path = tmp_path / name / "a.png"
        path.parent.mkdir()
        picture.save(path)
        with pytest.raises(DataError, match=r"a\.png looks like a photograph: \d+% of its pixels"):
            MaskFolder(path.parent)
        with pytest.raises(DataError, match="if picture and mask are swapped, exchange them"):
            Predictor(Paints())(noise("RGB", height=160, width=200), path)


@pytest.mark.parametrize("blur", [0, 2, 6])
@pytest.mark.parametrize("quality", [20, 95])
def test_soft_and_compressed_masks_are_masks(blur, quality):
    for seed in range(8):
        hole = draw(FreeForm(), seed=seed)[0].numpy() > 0
        mask = soft(Image.fromarray(hole).convert("L"), blur, quality)
        assert mask_levels(mask, "mask").shape == hole.shape
        two_colours = np.where(hole[..., None], (40, 220, 60), (20, 20, 90)).astype(np.uint8)
        mask_levels(Image.fromarray(two_colours), "mask")
