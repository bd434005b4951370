"""The shipped benchmarks of single tables and figures: their sets are those of the paper."""

import pytest
import torch
from places import CONFIGS
from torchvision.utils import save_image

from inpaintzoo.commands.benchmark import make_parser

SWEEPS, TABLE_4_1 = (CONFIGS / "benchmark" / name for name in ("pyramid_sweeps.yaml", "aff_table41.yaml"))


def test_the_sweeps_of_figure_3_7(tmp_path, monkeypatch):
    (tmp_path / "DIV2K_valid_HR").mkdir()
    save_image(torch.rand(3, 80, 90), tmp_path / "DIV2K_valid_HR" / "0801.png")
    monkeypatch.chdir(tmp_path)
    parser = make_parser()
    sets = parser.instantiate_classes(parser.parse_args(["--config", str(SWEEPS)])).sets
    found = {name: data.test_dataloader().dataset[0] for name, data in sets.items()}
    holes = {name: pair["mask"].mean().item() for name, pair in found.items() if name.startswith("hole")}
    assert list(holes) == [f"hole_{percent}" for percent in (15, 25, 35, 45, 55)]
    assert list(holes.values()) == pytest.approx([0.15, 0.25, 0.35, 0.45, 0.55], abs=0.002)
    sizes = {name: tuple(pair["image"].shape[1:]) for name, pair in found.items()}
    assert {sizes[name] for name in holes} == {(512, 512)}
    assert [sizes[f"size_{side}"] for side in (256, 512, 1024)] == [(256, 256), (512, 512), (1024, 1024)]


def test_the_sets_of_table_4_1(tmp_path, monkeypatch):
    for i in range(2):
        path = tmp_path / "irregular_masks" / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        save_image(torch.nn.functional.pad(torch.ones(1, 4, 4), [4, 4, 4, 4]), path)
    (tmp_path / "val_large").mkdir()
    save_image(torch.rand(3, 600, 700), tmp_path / "val_large" / "a.png")
    monkeypatch.chdir(tmp_path)
    parser = make_parser()
    config = parser.parse_args(["--config", str(TABLE_4_1)])
    masks = config.sets["free_form"].init_args.test_masks.init_args
    assert (masks.level, masks.count) == (3, 100)
    masks.level, masks.count = None, 2  # no archive of 12,000 files here
    sets = parser.instantiate_classes(config).sets
    assert {tuple(data.source("test").load(0).image.shape) for data in sets.values()} == {(3, 256, 256)}
    assert sets["free_form"].transform.plan(600, 700, None).box == (44, 94, 556, 606)
    assert sets["centre"].test_dataloader().dataset[0]["mask"].mean() == 0.25
