"""Boxes of scenes, VOC and COCO, and the batches made of them."""

import json
import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from inpaintzoo.data.dataset import SampleKey
from inpaintzoo.removal.detection import COCOBoxes, SceneBoxes, VOCBoxes
from inpaintzoo.removal.detection.data import boxes_of_scene
from inpaintzoo.scenes.parts import SCENE_CLASSES
from inpaintzoo.types import DataError


def test_boxes_of_a_scene_are_those_of_its_connected_regions():
    labels = torch.zeros(20, 30, dtype=torch.int64)
    tree, car = SCENE_CLASSES.index("tree"), SCENE_CLASSES.index("car")
    labels[2:6, 3:9] = tree
    labels[6, 9] = tree  # touches at a corner
    labels[10:12, 20:30] = car
    labels[19, 0] = car  # too small
    assert boxes_of_scene(labels, 4) == [((3, 2, 10, 7), 1, False), ((20, 10, 30, 12), 5, False)]


def test_augmented_samples_depend_on_seed_epoch_and_index_alone():
    data = SceneBoxes(4, 1, 1, image_size=64, batch_size=2, num_workers=0, least=50)
    data.trainer = None
    dataset = data.train_dataloader().dataset
    assert pickle.loads(pickle.dumps(dataset.source)).load(0).name == "scene-train-000000"
    pickle.dumps(dataset)  # for the loading processes of other systems than Linux
    torch.manual_seed(1)
    one = dataset[SampleKey(3, 1)]
    torch.manual_seed(2)
    before = torch.random.get_rng_state()
    again = dataset[SampleKey(3, 1)]
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(one["image"], again["image"])
    assert torch.equal(one["target"]["boxes"], again["target"]["boxes"])
    others = [dataset[SampleKey(epoch, 1)]["image"] for epoch in range(4, 8)]
    assert any(other.shape != one["image"].shape or not torch.equal(other, one["image"]) for other in others)
    for epoch in range(20):
        sample = dataset[SampleKey(epoch, 1)]
        boxes, (height, width) = sample["target"]["boxes"], sample["image"].shape[1:]
        assert len(boxes) == len(sample["target"]["labels"]) == len(sample["target"]["ignored"])
        assert (boxes[:, 2:] > boxes[:, :2]).all() and (boxes >= 0).all()
        assert (boxes <= torch.tensor([width, height] * 2)).all()
        assert type(boxes) is torch.Tensor and type(sample["image"]) is torch.Tensor


def voc(folder):
    root = folder / "VOCdevkit" / "VOC2012"
    for name in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (root / name).mkdir(parents=True)
    Image.fromarray(np.full((40, 60, 3), 200, np.uint8)).save(root / "JPEGImages" / "a.jpg")
    objects = "".join(
        f"<object><name>{name}</name><difficult>{difficult}</difficult><bndbox><xmin>1</xmin><ymin>5</ymin>"
        f"<xmax>{right}</xmax><ymax>40</ymax></bndbox></object>"
        for name, difficult, right in (("dog", 0, 60), ("person", 1, 30))
    )
    (root / "Annotations" / "a.xml").write_text(f"<annotation>{objects}</annotation>")
    (root / "ImageSets" / "Main" / "trainval.txt").write_text("a\n")


def test_voc(tmp_path):
    voc(tmp_path)
    data = VOCBoxes(str(tmp_path), ("2012 trainval",), ("2012 trainval",), batch_size=1, num_workers=0)
    (batch,) = data.val_dataloader()
    assert batch["image"][0].shape == (3, 40, 60) and batch["name"] == ["a"]
    target = batch["target"][0]
    assert target["boxes"].tolist() == [[0, 4, 60, 40], [0, 4, 30, 40]]
    assert [data.classes[label - 1] for label in target["labels"]] == ["dog", "person"]
    assert target["ignored"].tolist() == [False, True]
    assert [finding.level for finding in data.check(("train", "val", "test"), thorough=True)] == ["ok", "ok", "error"]
    with pytest.raises(DataError, match=r"holds no image set test of VOC 2007.*--data.root must be the folder of"):
        data.source("test")
    with pytest.raises(ValueError, match="give a year and an image set, such as '2007 test', got '2007'"):
        VOCBoxes(str(tmp_path), train=("2007",))


def test_coco(tmp_path):
    pytest.importorskip("faster_coco_eval")
    for name in ("annotations", "some"):
        (tmp_path / name).mkdir()
    Image.fromarray(np.full((40, 60), 200, np.uint8)).save(tmp_path / "some" / "000007.jpg")  # grey, as some are
    box = {"image_id": 7, "segmentation": [], "area": 50}
    content = {
        "images": [{"id": 7, "file_name": "000007.jpg", "height": 40, "width": 60}],
        "categories": [{"id": 1, "name": "person"}, {"id": 90, "name": "toothbrush"}],
        "annotations": [
            {**box, "id": 1, "category_id": 90, "bbox": [10, 5, 20, 30], "iscrowd": 0},
            {**box, "id": 2, "category_id": 1, "bbox": [0, 0, 60, 40], "iscrowd": 1},
            {**box, "id": 3, "category_id": 1, "bbox": [3, 3, 0, 5], "iscrowd": 0},
        ],
    }
    (tmp_path / "annotations" / "instances_some.json").write_text(json.dumps(content))
    data = COCOBoxes(str(tmp_path), "some", "some", "none", batch_size=1, num_workers=0)
    sample = data.source("val").load(0)
    assert sample.image.shape == (3, 40, 60) and sample.name == "000007"
    assert sample.boxes.tolist() == [[10, 5, 30, 35], [0, 0, 60, 40]]
    assert sample.labels.tolist() == [80, 1] and sample.ignored.tolist() == [False, True]
    assert data.source("train").load(0).labels.tolist() == [80], "crowds are not trained on"
    with pytest.raises(DataError, match=r"there is no .*instances_none.json; --data.root must be"):
        data.source("test")


def test_wrong_arguments():
    with pytest.raises(ValueError, match="batch_size must be at least 1 and num_workers 0 or more, got 0 and 2"):
        SceneBoxes(batch_size=0)
