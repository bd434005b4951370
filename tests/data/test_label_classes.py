"""Classes of label maps, and the shipped data layers on tiny copies of the folders that their headers ask for."""

import re

import numpy as np
import pytest
import torch
from PIL import Image
from places import ROOT

from inpaintzoo.commands.training import ZooCLI
from inpaintzoo.data import (
    CityscapesClasses,
    FolderData,
    FolderSource,
    LabelClasses,
    OutdoorScenesClasses,
    ScenesData,
    VOCClasses,
)
from inpaintzoo.data.labels.classes import colour_labels
from inpaintzoo.data.transforms import ResizeTo
from inpaintzoo.types import DataError


def picture(path, height, width, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (height // 16, width // 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((width, height)).save(path)


def label_map(path, values, height, width):
    """Vertical stripes of some values."""
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = np.arange(width) * len(values) // width
    Image.fromarray(np.tile(np.array(values, dtype=np.uint8)[columns], (height, 1))).save(path)


def layered(layer, folder, *options):
    arguments = ["--config", f"{ROOT}/configs/pennet.yaml", "--config", f"{ROOT}/configs/data/{layer}.yaml"]
    return ZooCLI(
        [*arguments, "--data.root", str(folder), "--data.num_workers", "0", "--data.batch_size", "4", *options],
        run=False,
    ).datamodule


# ---------------------------------------------------------------- classes


def test_cityscapes_values():
    maps = np.array([[0, 7, 8, 23], [26, 33, 3, 255]])
    assert CityscapesClasses().of_values(maps).tolist() == [[19, 0, 1, 10], [13, 18, 19, 19]]
    assert CityscapesClasses(void="ignore").of_values(maps).tolist() == [[255, 0, 1, 10], [13, 18, 255, 255]]
    trained = np.array([[0, 18, 255]])
    assert CityscapesClasses("trainIds").of_values(trained).tolist() == [[0, 18, 19]]
    assert CityscapesClasses("trainIds", "ignore").of_values(trained).tolist() == [[0, 18, 255]]
    assert len(CityscapesClasses()) == 20 and len(CityscapesClasses(void="ignore")) == 19
    assert CityscapesClasses().colours[CityscapesClasses().names.index("sky")] == (70, 130, 180)


def test_class_lists_are_those_of_the_data_sets():
    """torchvision's lists, against the table of Cityscapes' scripts and the classes of Pascal VOC's page."""
    cityscapes = {
        "road": (7, (128, 64, 128)), "sidewalk": (8, (244, 35, 232)), "building": (11, (70, 70, 70)),
        "wall": (12, (102, 102, 156)), "fence": (13, (190, 153, 153)), "pole": (17, (153, 153, 153)),
        "traffic light": (19, (250, 170, 30)), "traffic sign": (20, (220, 220, 0)), "vegetation": (21, (107, 142, 35)),
        "terrain": (22, (152, 251, 152)), "sky": (23, (70, 130, 180)), "person": (24, (220, 20, 60)),
        "rider": (25, (255, 0, 0)), "car": (26, (0, 0, 142)), "truck": (27, (0, 0, 70)), "bus": (28, (0, 60, 100)),
        "train": (31, (0, 80, 100)), "motorcycle": (32, (0, 0, 230)), "bicycle": (33, (119, 11, 32)),
    }  # fmt: skip
    classes = CityscapesClasses(void="ignore")
    assert classes.names == tuple(cityscapes) and classes.colours == tuple(colour for _, colour in cityscapes.values())
    assert classes.values == {value: index for index, (value, _) in enumerate(cityscapes.values())}
    voc = (
        "background aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike person "
        "pottedplant sheep sofa train tvmonitor"
    )
    assert VOCClasses().names == tuple(voc.split())


def test_voc_colours_are_the_sets_own():
    classes = VOCClasses()
    # Read off the set's documentation: aeroplane, person, tvmonitor.
    colours = [classes.colours[classes.names.index(name)] for name in ("aeroplane", "person", "tvmonitor")]
    assert colours == [(128, 0, 0), (192, 128, 128), (0, 64, 128)]
    assert len(classes) == 21


@pytest.mark.parametrize(
    "classes",
    [CityscapesClasses(), OutdoorScenesClasses(), VOCClasses(), ScenesData.classes],
    ids=lambda c: str(len(c)),
)
def test_colours_tell_classes_apart(classes):
    assert len(set(classes.colours)) == len(classes) == len(classes.names)
    labels = np.array([[0, len(classes) - 1, 255]], dtype=np.uint8)
    assert colour_labels(labels, classes.colours)[0].tolist() == [
        list(classes.colours[0]),
        list(classes.colours[-1]),
        [0, 0, 0],
    ]


def test_values_beyond_the_named_ones_are_ignored():
    classes = LabelClasses(("a", "b"), values={3: 0, 300: 1})
    assert classes.of_values(np.array([[3, 300, 0, 4000, 255]])).tolist() == [[0, 1, 255, 255, 255]]
    assert classes.of_set({3, 7}) == {0, 255}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"names": ()}, "names must be 1 to 255 class names, got 0"),
        ({"names": ("a",), "colours": ((0, 0, 0), (1, 1, 1))}, "colours must be one per class, got 2 for 1 classes"),
        (
            {"names": ("a",), "values": {4: 1}},
            r"values must map numbers from 0 to 65535 to one of the 1 classes, got {4: 1}",
        ),
        ({"names": ("a",), "values": {2**31: 0}}, "from 0 to 65535 to one of the 1 classes, got {2147483648: 0}"),
        (
            {"names": ("a",), "values": {0: -1}},
            r"values must map numbers from 0 to 65535 to one of the 1 classes, got {0: -1}",
        ),
    ],
)
def test_classes_refuse(arguments, message):
    with pytest.raises(DataError, match=message):
        LabelClasses(**arguments)
    with pytest.raises(DataError, match="void class or ignore, got labelIds, none"):
        CityscapesClasses(void="none")


# ---------------------------------------------------------------- data layers


@pytest.fixture(scope="module")
def cityscapes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cityscapes")
    for split, cities, count in (("train", ("aachen", "bremen"), 2), ("val", ("lindau",), 2)):
        for city in cities:
            for number in range(count):
                stem = f"{city}_{number:06d}_000019"
                picture(folder / "leftImg8bit" / split / city / f"{stem}_leftImg8bit.png", 512, 1024, number)
                labels = folder / "gtFine" / split / city
                label_map(labels / f"{stem}_gtFine_labelIds.png", [7, 0, 26, 23], 512, 1024)
                label_map(labels / f"{stem}_gtFine_labelTrainIds.png", [0, 255, 13, 10], 512, 1024)
                label_map(labels / f"{stem}_gtFine_instanceIds.png", [7, 0, 26, 23], 512, 1024)
    return folder


@pytest.mark.parametrize(
    "options",
    [(), ("--data.classes.files=trainIds", "--data.label_ends=[_leftImg8bit, _gtFine_labelTrainIds]")],
    ids=["labelIds", "trainIds"],
)
def test_cityscapes_layer(cityscapes, options):
    data = layered("cityscapes", cityscapes, *options)
    assert [finding.text for finding in data.check(thorough=True) if finding.level == "error"] == []
    batch = next(iter(data.train_dataloader()))
    assert batch["image"].shape == (4, 3, 256, 256) and batch["labels"].shape == (4, 256, 256)
    assert set(batch["labels"].unique().tolist()) <= {0, 10, 13, 19} and (batch["labels"] == 19).any()
    test = next(iter(data.test_dataloader()))
    # The centre of 1024 columns: half of the second stripe, half of the third.
    assert test["labels"][0, 0, [0, 127, 128, 255]].tolist() == [19, 19, 13, 13]
    assert test["mask"][0].sum() == 96 * 96
    assert (len(data.source("val")), data.classes.names[19]) == (2, "void")


def test_outdoor_scenes_layer(tmp_path):
    for split, count in (("train", 4), ("test", 2)):
        for number in range(count):
            picture(tmp_path / split / "images" / f"{number}.png", 320, 384, number)
            label_map(tmp_path / split / "labels" / f"{number}.png", [1, 255, 7], 320, 384)
    data = layered("outdoor_scenes", tmp_path)
    assert [finding.text for finding in data.check() if finding.level == "error"] == []
    batch = next(iter(data.train_dataloader()))
    assert set(batch["labels"].unique().tolist()) == {1, 7, 255}
    assert next(iter(data.test_dataloader()))["mask"][0].sum() == 128 * 128
    label_map(tmp_path / "test" / "labels" / "1.png", [8], 320, 384)
    errors = [finding.text for finding in layered("outdoor_scenes", tmp_path).check() if finding.level == "error"]
    assert len(errors) == 1 and "label 8, but num_classes=8 allows 0..7" in errors[0]


@pytest.mark.parametrize("layer", ["cityscapes", "outdoor_scenes"])
def test_headers_command_gives_the_generator_the_datas_classes(layer, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    text = (ROOT / "configs" / "data" / f"{layer}.yaml").read_text()
    ((first, second),) = re.findall(r"^#   inpaintzoo fit (.*) \\\n#     (.*)$", text, re.MULTILINE)
    small = ["--model.generator.width", "2", "--model.generator.hidden", "2"]
    built = ZooCLI([*first.split(), *second.split(), "--data.root", str(tmp_path), *small], run=False)
    logits = built.model.generator.eval()(torch.zeros(1, 3, 64, 64), torch.zeros(1, 1, 64, 64)).segmentations[0]
    assert logits.shape[1] == len(built.datamodule.classes)
    assert built.model.generator.needs_labels and built.datamodule.batch_size == 8


def test_label_ends_that_fit_nothing_are_named(tmp_path):
    picture(tmp_path / "images" / "a_rgb.png", 32, 32, 0)
    label_map(tmp_path / "labels" / "a_ids.png", [1], 32, 32)
    with pytest.raises(DataError, match=r"1 of 1 images have no label map in .* \(0 image files that end in _id where"):
        FolderSource(tmp_path / "images", tmp_path / "labels", label_ends=("_rgb", "_id"))
    source = FolderSource(tmp_path / "images", tmp_path / "labels", ResizeTo(32), label_ends=("_rgb", "_ids"))
    assert torch.equal(source.load(0).labels, torch.ones(32, 32, dtype=torch.int64))


def test_two_numbers_of_classes_are_refused(tmp_path):
    with pytest.raises(DataError, match="num_classes=5, but classes, OutdoorScenesClasses, has 8; leave num_classes"):
        FolderData(train=tmp_path, labels=tmp_path, classes=OutdoorScenesClasses(), num_classes=5)
    with pytest.raises(DataError, match="num_classes=5, but classes, LabelClasses, has 2"):
        FolderSource(tmp_path, tmp_path, classes=LabelClasses(("a", "b")), num_classes=5)
