"""The papers' data sets: each config reads a tiny folder made as docs/datasets.md says, and checks know the sets."""

import re
import subprocess

import numpy as np
import pytest
from PIL import Image
from places import ROOT

from inpaintzoo.commands.training import ZooCLI
from inpaintzoo.data import FolderData
from inpaintzoo.data.known import KNOWN_SETS
from inpaintzoo.data.transforms import RandomCrop
from inpaintzoo.types import DataError

PAGE = ROOT / "docs" / "datasets.md"
METHOD = str(ROOT / "configs" / "quickstart.yaml")
LISTS = {
    "list_eval_partition.txt": "000001.jpg 0\n000002.jpg 0\n000003.jpg 1\n000004.jpg 2\n000005.jpg 2\n",
    "CelebA-HQ-to-CelebA-mapping.txt": "idx orig_idx orig_file\n0 0 000001.jpg\n1 3 000004.jpg\n28000 2 000003.jpg\n",
}
# How many pictures of the page's layout train and test, and the size that the config brings them to.
EXPECTED = {
    "places2": (2, 2, (256, 256)),
    "celeba": (2, 2, (256, 256)),
    "celebahq": (2, 1, (256, 256)),
    "paris_streetview": (1, 1, (256, 256)),
    "dtd": (1, 1, (256, 256)),
    "div2k": (1, 1, (512, 512)),
    "facade": (1, 1, (256, 256)),
    "cityscapes": (1, 1, (256, 256)),
    "outdoor_scenes": (1, 1, (256, 256)),
}


def section(name):
    """The part of the page about one set."""
    (found,) = [part for part in PAGE.read_text().split("\n## ") if f"`{name}.yaml`" in part.splitlines()[0]]
    return found


def fenced(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def make(folder, name):
    """The layout of the page, with the lists that its commands write."""
    for line in "\n".join(fenced(section(name), "text")).splitlines():
        path = folder / line.split()[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".txt":
            path.write_text(LISTS[path.name])
        elif "gtFine" in path.parts or "labels" in path.parts:
            Image.fromarray(np.full((60, 90), 7, np.uint8)).save(path)
        elif path.parts[-2].startswith("irregular"):
            Image.fromarray(np.pad(np.full((8, 8), 255, np.uint8), 8)).save(path)
        else:
            Image.fromarray(np.random.default_rng(len(line)).integers(0, 255, (60, 90, 3), np.uint8)).save(path)
    for script in fenced(section(name), "bash"):
        lines = [line for line in script.splitlines() if not line.startswith("inpaintzoo ")]
        subprocess.run(["bash", "-ec", "\n".join(lines)], cwd=folder, check=True)
    return folder


def read(folder, name, *options):
    layers = ["--config", METHOD, "--config", str(ROOT / "configs" / "data" / f"{name}.yaml")]
    return ZooCLI([*layers, "--data.root", str(folder), "--data.batch_size", "1", *options], run=False).datamodule


def test_every_set_of_the_papers_has_a_config_a_section_and_an_entry():
    configs = {path.stem for path in (ROOT / "configs" / "data").glob("*.yaml")} - {"folder"}
    assert configs >= EXPECTED.keys() and KNOWN_SETS.keys() == EXPECTED.keys()
    for name, known in KNOWN_SETS.items():
        text = section(name)
        assert known.page in text and "Terms:" in text and "Papers:" in text
        for counts in (known.train, known.test):
            assert any(f"{count:,}" in text for count in counts)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_config_reads_the_folder_that_the_page_describes(name, tmp_path, monkeypatch):
    make(tmp_path, name)
    monkeypatch.chdir(tmp_path)  # where a path to the irregular masks starts
    data = read(tmp_path, name)
    assert isinstance(data, FolderData) and data.dataset == name
    train, test, size = EXPECTED[name]
    assert (len(data.source("train")), len(data.source("test"))) == (train, test)
    rng = np.random.default_rng(0)
    assert data.source("train").load(0, rng).image.shape == (3, *size) == data.source("test").load(0).image.shape
    texts = [(finding.level, finding.text) for finding in data.check()]
    known = KNOWN_SETS[name]
    assert any(level == "warning" and f"train: {train} " in text and known.page in text for level, text in texts)
    assert not [text for level, text in texts if level == "error"]


@pytest.mark.parametrize("name", EXPECTED)
def test_a_missing_part_is_named_with_its_archive_and_address(name, tmp_path):
    data = FolderData(tmp_path, train="nothing_here", test="nor_here", dataset=name)
    train, *_ = (finding.text for finding in data.check() if finding.level == "error")
    known = KNOWN_SETS[name]
    assert "nothing_here does not exist" in train and known.archives in train and known.page in train


def test_the_full_number_of_pictures_is_no_warning(monkeypatch, tmp_path):
    make(tmp_path, "dtd")
    monkeypatch.setitem(KNOWN_SETS, "dtd", KNOWN_SETS["dtd"]._replace(train=(9, 1), test=(1,)))
    levels = {finding.text: finding.level for finding in read(tmp_path, "dtd").check() if "DTD" in finding.text}
    assert set(levels.values()) == {"ok"} and len(levels) == 2
    assert any(text.startswith("train: 1 image, as many as") for text in levels)


def test_an_unknown_set_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"dataset 'placse2' is unknown.*did you mean places2\?"):
        FolderData(test=tmp_path, dataset="placse2")


def test_spns_lists_of_celebahq_follow_celebas_own_split(tmp_path):
    make(tmp_path, "celebahq")
    data = read(tmp_path, "celebahq", "--data.train", "spn_train.txt", "--data.test", "spn_test.txt")
    assert data.source("train").names == ["CelebA-HQ-img/0", "CelebA-HQ-img/28000"]
    assert data.source("test").names == ["CelebA-HQ-img/1"]


def test_celeba_is_cut_to_a_centre_square_and_masks_are_flipped(tmp_path, monkeypatch):
    make(tmp_path, "celeba")
    monkeypatch.chdir(tmp_path)
    data = read(tmp_path, "celeba")
    assert data.transform.plan(218, 178, None).box == (20, 0, 198, 178)
    assert data.masks.flips and not data.test_masks.flips and data.test_masks.order == "random"
    assert data.source("test").names == ["img_align_celeba/000004", "img_align_celeba/000005"]


def test_a_crop_can_be_resized_as_in_table_4_1():
    policy = RandomCrop(512, resize=256)
    crop = policy.plan(1024, 768, None)
    assert crop.box == (256, 128, 768, 640) and crop.size == policy.size == (256, 256)
    with pytest.raises(ValueError, match="RandomCrop: resize must be at least 1 pixel, got 0"):
        RandomCrop(512, resize=0)
