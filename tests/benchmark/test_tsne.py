"""The figure of real pictures and fills by t-SNE."""

import numpy as np
import pytest
from PIL import Image

from benchmarks import tsne
from inpaintzoo.teachers import BuiltinTeacher


def test_the_classes_are_apart_in_every_panel(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tsne, "EfficientNetTeacher", BuiltinTeacher)
    draw = np.random.default_rng(0)
    for part in ("real", "fill"):
        (tmp_path / part).mkdir()
        for number in range(6):
            for name, low in (("dark", 0), ("light", 180)):
                pixels = draw.integers(low, low + 60, (32, 32, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / part / f"{name}_{number}.png")
    sets = [f"{part}={tmp_path / part}" for part in ("real", "fill")]
    tsne.main([str(tmp_path / "figure.png"), *sets])
    assert Image.open(tmp_path / "figure.png").size[0] == 1200
    features = [tsne.describe(sorted((tmp_path / part).iterdir()), BuiltinTeacher(), 32) for part in ("real", "fill")]
    for points in tsne.places(features):
        dark, light = points[:6], points[6:]
        apart = np.linalg.norm(dark.mean(axis=0) - light.mean(axis=0))
        assert apart > 2 * max(np.linalg.norm(each - each.mean(axis=0), axis=1).mean() for each in (dark, light))
    (tmp_path / "fill" / "dark_0.png").unlink()
    with pytest.raises(SystemExit):
        tsne.main([str(tmp_path / "figure.png"), *sets])
    assert "the folders must hold pictures of the same names" in capsys.readouterr().err
