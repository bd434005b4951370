"""Label maps of folders: which one belongs to an image, messages about them, and what is loaded."""

import numpy as np
import pytest
import torch
from picture_files import texts, write_folder, write_image, write_labels
from PIL import Image

from inpaintzoo.data import LabelClasses
from inpaintzoo.data.checks import by_reason
from inpaintzoo.data.folder import FolderData, FolderSource
from inpaintzoo.data.transforms import RandomCrop, ResizeTo
from inpaintzoo.types import DataError


def test_labels_follow_crop_and_flip_of_the_image(tmp_path):
    """The red channel is the label: after any crop and flip both must still be equal."""
    values = np.random.default_rng(0).integers(0, 200, (40, 50), np.uint8)
    Image.fromarray(np.repeat(values[..., None], 3, -1)).save(tmp_path / "a.png")
    write_labels(tmp_path / "labels" / "a.png", values)
    (tmp_path / "images").mkdir()
    (tmp_path / "a.png").rename(tmp_path / "images" / "a.png")
    source = FolderSource(tmp_path / "images", tmp_path / "labels", RandomCrop(24), flip=True)
    plain = FolderSource(tmp_path / "images", tmp_path / "labels", RandomCrop(24))
    flipped = 0
    for seed in range(12):
        sample = source.load(0, np.random.default_rng(seed))
        assert sample.labels is not None and sample.labels.dtype == torch.int64
        torch.testing.assert_close((sample.image[0] * 255).round().long(), sample.labels)
        flipped += not torch.equal(sample.image, plain.load(0, np.random.default_rng(seed)).image)
    assert 2 <= flipped <= 10


def test_labels_match_by_path_then_by_stem(tmp_path):
    for number, name in enumerate(("x/1.png", "y/1.png", "y/2.png")):
        write_image(tmp_path / "images" / name, number)
    for value, name in enumerate(("x/1.png", "y/1.png", "2.png")):
        write_labels(tmp_path / "labels" / name, np.full((32, 40), value))
    source = FolderSource(tmp_path / "images", tmp_path / "labels", ResizeTo(8))
    assert [int(source.load(index).labels[0, 0]) for index in range(3)] == [0, 1, 2]


def test_images_without_labels_are_named(tmp_path):
    write_folder(tmp_path / "images", 9)
    write_labels(tmp_path / "labels" / "000.png", np.zeros((32, 40)))
    with pytest.raises(DataError, match=r"8 of 9 images have no label map in .*: 001, 002, .*\(3 more\)"):
        FolderSource(tmp_path / "images", tmp_path / "labels")
    with pytest.raises(DataError, match=r"folder .*nowhere does not exist"):
        FolderSource(tmp_path / "images", tmp_path / "nowhere")


def test_two_label_maps_for_one_image(tmp_path):
    write_image(tmp_path / "images" / "a.png")
    for suffix in ("png", "tif"):
        write_labels(tmp_path / "labels" / f"a.{suffix}", np.zeros((32, 40)))
    with pytest.raises(DataError, match=r"more than one label map .*a\.png, .*a\.tif"):
        FolderSource(tmp_path / "images", tmp_path / "labels")


def test_label_range_and_ignored_labels(tmp_path):
    images, labels = tmp_path / "images", tmp_path / "labels"
    write_image(images / "a.png")
    values = np.zeros((32, 40))
    values[:, :10], values[:, 10:20] = 11, 255
    write_labels(labels / "a.png", values)
    with pytest.raises(DataError, match=r"a\.png: label 11, but num_classes=11 allows 0\.\.10"):
        FolderSource(images, labels, num_classes=11).load(0)
    sample = FolderSource(images, labels, ResizeTo((32, 40)), num_classes=11, ignore_labels=(11,)).load(0)
    assert sample.labels[0, [0, 9, 15, 20]].tolist() == [255, 255, 255, 0]
    data = FolderData(train=images, labels=labels, num_classes=11, batch_size=1)
    assert "label 11, but num_classes=11" in texts(data.check(("train",)), "error")
    data = FolderData(train=images, labels=labels, num_classes=11, ignore_labels=(11,), batch_size=1)
    findings = data.check(("train",))
    assert not texts(findings, "error")
    assert "1 class, from 0 to 0; ignored: 11, 255" in texts(findings, "ok")


def test_labels_of_half_size_fit_and_of_other_proportions_do_not(tmp_path):
    images, labels = tmp_path / "images", tmp_path / "labels"
    write_image(images / "a.png", size=(64, 64))
    quarters = np.kron([[1, 2], [3, 4]], np.ones((16, 16)))
    write_labels(labels / "a.png", quarters)
    np.testing.assert_array_equal(FolderSource(images, labels, ResizeTo(2)).load(0).labels, [[1, 2], [3, 4]])
    write_labels(labels / "a.png", np.zeros((32, 48)))
    with pytest.raises(DataError, match=r"label map is 32x48, its image .*a\.png 64x64"):
        FolderSource(images, labels).load(0)
    data = FolderData(train=images, labels=labels, batch_size=1)
    assert "label map is 32x48" in texts(data.check(("train",)), "error")


def test_halved_labels_may_be_rounded_up(tmp_path):
    write_image(tmp_path / "images" / "a.png", size=(41, 200))
    write_labels(tmp_path / "labels" / "a.png", np.zeros((21, 100)))
    assert FolderSource(tmp_path / "images", tmp_path / "labels").load(0).labels.shape == (256, 256)


def test_num_classes_leaves_room_for_the_ignored_label(tmp_path):
    with pytest.raises(ValueError, match=r"num_classes must lie in 1\.\.255.*got 256"):
        FolderSource(write_folder(tmp_path, 1), num_classes=256)


def test_labels_without_any_class(tmp_path):
    write_image(tmp_path / "images" / "a.png")
    write_labels(tmp_path / "labels" / "a.png", np.full((32, 40), 255))
    data = FolderData(tmp_path, train="images", labels="labels", batch_size=1)
    assert "no class at all" in texts(data.check(("train",)), "warning")


def test_label_folder_inside_the_folder_of_images_is_not_taken_for_images(tmp_path):
    for number in range(4):
        write_image(tmp_path / f"{number}.png", number)
        write_labels(tmp_path / "labels" / f"{number}.png", np.zeros((32, 40)))
    data = FolderData(root=tmp_path, labels="labels", fractions=(0.5, 0.25, 0.25))
    assert sum(len(data.source(split)) for split in ("train", "val", "test")) == 4
    assert data.source("test").load(0).labels is not None
    assert len(FolderData(train=tmp_path, labels=tmp_path / "labels").source("train")) == 4


def pairs_in(folder, *names):
    """Pictures in `images` and flat label maps of their names in `labels`."""
    for number, name in enumerate(names):
        write_image(folder / "images" / f"{name}.png", number)
        write_labels(folder / "labels" / f"{name}.png", np.full((32, 40), number))
    return folder


def test_images_and_maps_may_share_a_folder(tmp_path):
    for number in range(3):
        write_image(tmp_path / f"{number}.jpg", number)
        write_labels(tmp_path / f"{number}_seg.png", np.full((32, 40), number))
    with_root = FolderData(tmp_path, labels=".", label_ends=("", "_seg"), batch_size=1)
    split = FolderData(tmp_path, train=".", labels_train=".", label_ends=("", "_seg"), batch_size=1)
    assert sum(len(with_root.source(split)) for split in ("train", "val", "test")) == 3
    alone = FolderSource(tmp_path, tmp_path, ResizeTo(8), label_ends=("", "_seg"))
    for source in (split.source("train"), alone):
        assert list(source.names) == ["0", "1", "2"]
        assert [int(source.load(index).labels[0, 0]) for index in range(3)] == [0, 1, 2]
    with pytest.raises(DataError, match=r"3 of 3 images have .* \(0 other image files that end in _ids\): 0, 1, 2; a"):
        (tmp_path / "maps").mkdir()
        FolderSource(split.files("train"), tmp_path, label_ends=("", "_ids"))
    with pytest.raises(DataError, match=r"6 of 6 images have no label map in .* \(0 other image files\): 0, 0_seg"):
        FolderSource(tmp_path, tmp_path)
    with pytest.raises(DataError, match=r"\(0 image files, images without their _rgb\)"):
        FolderSource(split.files("train"), tmp_path / "maps", label_ends=("_rgb", ""))


def test_matches_by_name_only_are_counted(tmp_path):
    for name in ("x/1", "y/2", "3"):
        write_image(tmp_path / "images" / f"{name}.png")
    for name in ("z/1", "2", "3"):
        write_labels(tmp_path / "labels" / f"{name}.png", np.ones((32, 40)))
    data = FolderData(train=tmp_path / "images", labels=tmp_path / "labels", batch_size=1)
    assert "train: 2 of 3 images matched with a label map by name only" in texts(data.check(("train",)), "ok")
    straight = pairs_in(tmp_path / "other", "1", "2")
    data = FolderData(straight, train="images", labels="labels", batch_size=1)
    assert "by name only" not in texts(data.check(("train",)), "ok")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"train": "a", "labels_train": "l", "labels_val": "l"}, "labels_val is for images of val, and none are given"),
        ({"labels": "l", "fractions": (0.5, 0.5, 0.0), "labels_test": "l"}, "labels_test is for images of test"),
        ({"train": "a", "test": "b", "labels": "l", "labels_train": "l", "labels_test": "l"}, "nothing reads `labels`"),
        ({"num_classes": 3}, "num_classes describe label maps, but no folder of label maps is given"),
        ({"ignore_labels": (1,), "label_ends": ("", "_x")}, "ignore_labels, label_ends describe label maps"),
        ({"classes": LabelClasses(("a",))}, "classes describe label maps"),
    ],
)
def test_label_settings_that_would_do_nothing_are_refused(arguments, message, tmp_path):
    with pytest.raises(DataError, match=message):
        FolderData(tmp_path, **arguments)


def test_label_settings_that_do_something_are_taken(tmp_path):
    shared = FolderData(tmp_path, train="a", test="b", labels="l", labels_train="m")
    own = FolderData(tmp_path, train="a", test="b", labels_train="m", labels_test="n", num_classes=3)
    named = FolderData(tmp_path, labels="l", label_ends=("", "_x"), ignore_labels=(3,))
    assert [shared.label_paths[split] for split in ("train", "test")] == [tmp_path / "m", tmp_path / "l"]
    assert (own.label_paths["test"], own.num_classes) == (tmp_path / "n", 3)
    assert (named.label_ends, named.ignore_labels) == (("", "_x"), (3,))


def test_reasons_are_told_once_and_files_are_few(tmp_path):
    pairs_in(tmp_path, *map(str, range(60)))
    for number in range(60):
        Image.new("RGB", (40, 32)).save(tmp_path / "labels" / f"{number}.png")
    (tmp_path / "images" / "7.png").write_text("no")
    data = FolderData(tmp_path, train="images", labels="labels", batch_size=1)
    findings = data.check(("train",))
    text = texts(findings, "error")
    assert "60 of 60 images looked at cannot be used" in text and "7.png: not an image" in text
    assert text.count("this file is RGB") == 1 and "… (55 more): a label map has one channel" in text
    assert len(text) < 1200, "as long as four paths and two reasons"
    assert "no class at all" not in texts(findings, "warning"), "no map could be read, and that has been said"


def test_maps_of_other_proportions_are_one_reason():
    problems = [f"/l/{i}.png: the label map is 3x4, its image /i/{i}.png 5x4 (height x width)" for i in range(9)]
    assert by_reason(problems).count("the label map is") == 1
    many = [f"/l/{i}.png: reason {i}" for i in range(9)]
    assert by_reason(many).endswith("/l/4.png: reason 4; and 4 more reasons")


def test_prediction_needs_no_label_maps(tmp_path):
    data = FolderData(test=write_folder(tmp_path, 2), labels=tmp_path / "nowhere", batch_size=1, num_workers=0)
    data.setup("predict")
    assert "labels" not in next(iter(data.predict_dataloader()))
    with pytest.raises(DataError, match="nowhere does not exist"):
        data.setup("test")
