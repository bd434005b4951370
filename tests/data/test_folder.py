"""FolderSource and FolderData on small files made here: what is found, what is said, and what is loaded."""

import hashlib
import itertools

import numpy as np
import pytest
import torch
from jsonargparse import ArgumentParser
from picture_files import texts, truncate, write_folder, write_image, write_labels
from PIL import Image

from inpaintzoo.data import listing
from inpaintzoo.data.checks import QUICK_FILES
from inpaintzoo.data.folder import FolderData, FolderSource
from inpaintzoo.data.masks import CentreSquare
from inpaintzoo.data.module import InpaintingData
from inpaintzoo.data.transforms import ColourJitter, RandomCrop, ResizeTo
from inpaintzoo.pictures.images import read_image
from inpaintzoo.types import DataError

# ------------------------------------------------------------------------------------------------ what is found


def test_folders_are_searched_with_sub_folders_and_names_are_relative(tmp_path):
    for name in ("b/2.png", "a.png", "b/c/1.JPG"):
        write_image(tmp_path / name)
    (tmp_path / "notes.txt").touch()
    source = FolderSource(tmp_path)
    assert list(source.names) == ["a", "b/2", "b/c/1"] and len(source) == 3
    assert source.load(1).name == "b/2"


def test_names_that_differ_in_the_suffix_only_keep_it(tmp_path):
    for name in ("a.png", "a.jpg", "b.png"):
        write_image(tmp_path / name)
    assert list(FolderSource(tmp_path).names) == ["a.jpg", "a.png", "b"]


def test_list_file_entries_start_at_the_list_or_at_root(tmp_path):
    write_folder(tmp_path / "data" / "images", 3)
    entries = "# my list\nimages/002.png\r\n\nimages/000.png\n"
    (tmp_path / "data" / "train.txt").write_text(entries, encoding="utf-8-sig")
    beside = FolderSource(tmp_path / "data" / "train.txt")
    assert list(beside.names) == ["images/002", "images/000"]  # the list's order
    (tmp_path / "lists").mkdir()
    elsewhere = tmp_path / "lists" / "train.txt"
    elsewhere.write_text(entries)
    data = FolderData(root=tmp_path / "data", train=elsewhere)
    assert list(data.source("train").names) == list(beside.names)


def test_list_file_with_absolute_entries(tmp_path):
    write_folder(tmp_path / "far" / "x", 1)
    write_folder(tmp_path / "far" / "y", 1)
    (tmp_path / "near").mkdir()
    listed = tmp_path / "near" / "list.txt"
    listed.write_text(f"{tmp_path}/far/x/000.png\n{tmp_path}/far/y/000.png\n")
    assert list(FolderSource(listed).names) == ["x/000", "y/000"]


def test_what_cannot_be_found_is_said(tmp_path):
    write_folder(tmp_path / "photos", 2)
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").mkdir()
    for name in ("a.txt", "b.txt", "c.npy"):
        (tmp_path / "text" / name).touch()
    (tmp_path / "list.txt").write_text("photos/000.png\nphotos/no.png\nnope.png\n")
    (tmp_path / "twice.txt").write_text("photos/000.png\nphotos/000.png\n")
    (tmp_path / "blank.txt").write_text("# nothing\n\n")
    cases = {
        "photo": r"photo does not exist; .* holds .*photos",
        "empty": r"no images in .*empty: looked for \.jpg .*it is empty",
        "text": r"no images in .*text.*3 other files \(2 \.txt, 1 \.npy\)",
        "list.txt": r"2 of the 3 entries of .*list\.txt are not files: photos/no\.png, nope\.png",
        "twice.txt": r"twice\.txt lists 1 image more than once: photos/000\.png",
        "blank.txt": r"blank\.txt has no entries",
        "photos/000.png": r"single image",
    }
    for name, message in cases.items():
        with pytest.raises(DataError, match=f"train: .*{message}"):
            FolderData(train=tmp_path / name).source("train")


# ------------------------------------------------------------------------------------------------ one folder split


def test_fractions_divide_without_overlap_whatever_the_order_of_files(tmp_path, monkeypatch):
    write_folder(tmp_path, 40)
    parts = {split: list(FolderData(root=tmp_path).source(split).names) for split in ("train", "val", "test")}
    assert [len(names) for names in parts.values()] == [32, 4, 4]
    assert sorted(itertools.chain(*parts.values())) == [f"{number:03}" for number in range(40)]

    listed = listing.list_images
    monkeypatch.setattr(listing, "list_images", lambda *args: listed(*args)[::-1])
    assert list(FolderData(root=tmp_path).source("val").names) == parts["val"]
    assert list(FolderData(root=tmp_path, split_seed=1).source("val").names) != parts["val"]


def test_a_file_added_later_moves_few_others(tmp_path):
    write_folder(tmp_path, 40)
    before = set(FolderData(root=tmp_path).source("train").names)
    write_image(tmp_path / "new.png")
    after = set(FolderData(root=tmp_path).source("train").names)
    assert len(before ^ after) <= 3


@pytest.mark.parametrize(
    "count, fractions, sizes", [(3, (0.8, 0.1, 0.1), (1, 1, 1)), (10, (0.5, 0.25, 0.25), (5, 3, 2))]
)
def test_fractions_of_few_files(tmp_path, count, fractions, sizes):
    write_folder(tmp_path, count)
    data = FolderData(root=tmp_path, fractions=fractions)
    found = [len(data.source(split)) for split in ("train", "val", "test")]
    assert found[0] == sizes[0] and sorted(found[1:]) == sorted(sizes[1:])


def test_bad_fractions(tmp_path):
    write_folder(tmp_path, 2)
    with pytest.raises(DataError, match=r"add up to 1, got \(0.5, 0.1, 0.1\)"):
        FolderData(root=tmp_path, fractions=(0.5, 0.1, 0.1))
    with pytest.raises(DataError, match=r"fractions divide `root`"):
        FolderData(root=tmp_path, train=tmp_path, fractions=(0.5, 0.25, 0.25))
    with pytest.raises(DataError, match="2 images cannot be split into 3"):
        FolderData(root=tmp_path).source("train")
    assert len(FolderData(root=tmp_path, fractions=(0.5, 0.0, 0.5)).source("val")) == 1


# ------------------------------------------------------------------------------------------------ absent splits


def test_val_and_test_stand_in_for_each_other_and_say_so(tmp_path):
    write_folder(tmp_path / "train", 4)
    write_folder(tmp_path / "test", 2, first_seed=50)
    data = FolderData(root=tmp_path, train="train", test="test", batch_size=2)
    assert data.source("val") is data.source("test")
    assert "val: no images of its own, so those of test are used" in texts(data.check(("train", "val")), "warning")
    other = FolderData(root=tmp_path, train="train", val="test")
    assert other.source("test").files == data.source("test").files


def test_no_images_for_a_split(tmp_path):
    write_folder(tmp_path, 2)
    with pytest.raises(DataError, match="no images given"):
        FolderData()
    with pytest.raises(DataError, match="no images for val; set `val`"):
        FolderData(train=tmp_path).source("val")


def test_source_is_the_same_object_each_time(tmp_path):
    data = FolderData(train=write_folder(tmp_path, 2))
    assert data.source("train") is data.source("train")


# ------------------------------------------------------------------------------------------------ loading


def test_evaluation_is_deterministic_and_training_depends_on_the_generator_only(tmp_path):
    write_image(tmp_path / "a.jpg", size=(90, 70))
    source = FolderSource(tmp_path, transform=RandomCrop(32), flip=True, colour_jitter=ColourJitter())
    again = FolderSource(tmp_path, transform=RandomCrop(32), flip=True, colour_jitter=ColourJitter())
    assert torch.equal(source.load(0).image, again.load(0).image)
    train = [source.load(0, np.random.default_rng(seed)).image for seed in (1, 2)]
    assert torch.equal(train[0], again.load(0, np.random.default_rng(1)).image)
    assert not torch.equal(train[0], train[1])
    assert train[0].shape == (3, 32, 32) and train[0].min() >= 0.0 and train[0].max() <= 1.0


def test_evaluation_is_plain_decode_and_resize(tmp_path):
    path = write_image(tmp_path / "a.jpg", size=(300, 400))
    expected = Image.fromarray(read_image(path)).resize((20, 30), Image.Resampling.BICUBIC)
    image = FolderSource(tmp_path, transform=ResizeTo((30, 20)), flip=True).load(0).image
    np.testing.assert_array_equal((image * 255).round().permute(1, 2, 0), np.asarray(expected))


@pytest.mark.parametrize("size", [(512, 640), (515, 643)])
def test_training_decodes_large_jpegs_smaller_without_moving_anything(tmp_path, size):
    ramp = np.add.outer(np.arange(size[0]) * 0.2, np.arange(size[1]) * 0.2).astype(np.uint8)
    Image.fromarray(np.repeat(ramp[..., None], 3, -1)).save(tmp_path / "a.jpg", quality=95)
    source = FolderSource(tmp_path, transform=ResizeTo(32))
    exact, quick = source.load(0).image, source.load(0, np.random.default_rng(0)).image
    assert not torch.equal(exact, quick)  # or the quick path was not taken
    # One pixel of the result is 3 to 4 grey levels: a shift of a fifth of a pixel would show.
    assert (exact - quick).abs().mean() < 0.6 / 255


def test_exif_rotation_reaches_the_network(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright: stored left to right is shown top to bottom
    stored = np.zeros((32, 64, 3), np.uint8)
    stored[:, 32:] = 255
    Image.fromarray(stored).save(tmp_path / "a.jpg", exif=exif)
    image = FolderSource(tmp_path, transform=ResizeTo((64, 32))).load(0).image
    assert image[:, :24].max() < 0.1 and image[:, 40:].min() > 0.9


def test_fingerprint_follows_the_bytes(tmp_path):
    path = write_image(tmp_path / "a.png")
    assert FolderSource(tmp_path).fingerprint(0) == hashlib.sha256(path.read_bytes()).hexdigest()


# ------------------------------------------------------------------------------------------------ bad files


def test_a_bad_file_raises_with_its_name(tmp_path):
    write_folder(tmp_path, 3)
    truncate(tmp_path / "001.png")
    with pytest.raises(DataError, match=r"001\.png"):
        FolderSource(tmp_path).load(1)


def test_bad_files_are_skipped_counted_and_listed(tmp_path):
    write_folder(tmp_path / "images", 4)
    for number in range(4):
        write_labels(tmp_path / "labels" / f"{number:03}.png", np.full((32, 40), number))
    truncate(tmp_path / "images" / "001.png")
    (tmp_path / "images" / "002.png").write_text("gone")
    data = FolderData(tmp_path, train="images", labels="labels", on_bad_image="skip", batch_size=1)
    source = data.source("train")
    assert list(source.names) == ["000", "003"] and list(source.skipped) == ["001", "002"]
    assert [int(source.load(index).labels[0, 0]) for index in range(2)] == [0, 3]
    findings = data.check(("train",))
    warning = texts(findings, "warning")
    assert "left out 2 images" in warning and "001.png" in warning and "002.png: not an image" in warning
    assert not texts(findings, "error")


def test_nothing_left_after_skipping(tmp_path):
    (tmp_path / "a.jpg").write_text("no")
    with pytest.raises(DataError, match=r"none of the 1 images.*a\.jpg"):
        FolderSource(tmp_path, on_bad_image="skip")
    with pytest.raises(ValueError, match=r"on_bad_image.*ignore"):
        FolderSource(tmp_path, on_bad_image="ignore")


# ------------------------------------------------------------------------------------------------ checks


def test_quick_look_finds_what_is_no_image_and_doctor_finds_the_truncated(tmp_path):
    write_folder(tmp_path, 3)
    Image.fromarray(read_image(tmp_path / "001.png")).save(tmp_path / "001.jpg", quality=95)
    (tmp_path / "001.png").unlink()
    truncate(tmp_path / "001.jpg")
    data = FolderData(train=tmp_path, batch_size=1)
    assert not texts(data.check(("train",)), "error")
    assert "001.jpg: the image cannot be decoded" in texts(data.check(("train",), thorough=True), "error")
    (tmp_path / "000.png").write_text("<html>")
    text = texts(data.check(("train",)), "error")
    assert "1 of 3 images" in text and "000.png: not an image" in text and "on_bad_image: skip" in text


def test_quick_look_is_spread_over_many_files(tmp_path):
    good = write_image(tmp_path / "0000.png").read_bytes()
    for number in range(1, QUICK_FILES + 50):
        (tmp_path / f"{number:04}.png").write_bytes(good if number < QUICK_FILES + 40 else b"no image")
    text = texts(FolderData(train=tmp_path).check(("train",)), "error")
    assert f"of {QUICK_FILES} images looked at" in text and "not an image" in text
    ok = texts(FolderData(test=tmp_path, on_bad_image="skip").check(("test",)), "ok")
    assert f"headers of {QUICK_FILES} of {QUICK_FILES + 40} images" in ok


def test_all_missing_paths_are_said_at_once(tmp_path):
    text = texts(FolderData(tmp_path, train="no", test="nope").check(), "error")
    assert "train: " in text and "test: " in text


def test_sizes_and_small_pictures(tmp_path):
    write_image(tmp_path / "a.png", size=(32, 40))
    write_image(tmp_path / "b.png", size=(300, 280))
    findings = FolderData(train=tmp_path, batch_size=1).check(("train",))
    assert "heights 32 to 300, widths 40 to 280" in texts(findings, "ok")
    assert "1 of 2 images looked at are too small for 256x256" in texts(findings, "warning")
    small = FolderData(train=tmp_path, batch_size=1, transform=ResizeTo(32))
    assert "too small" not in texts(small.check(("train",)), "warning")


def test_transparent_pictures_are_mentioned(tmp_path):
    pixels = np.full((8, 8, 4), 255, np.uint8)
    Image.fromarray(pixels).save(tmp_path / "opaque.png")
    pixels[0, 0, 3] = 0
    Image.fromarray(pixels).save(tmp_path / "holes.png")
    text = texts(FolderData(train=tmp_path, batch_size=1).check(("train",), thorough=True), "warning")
    assert "1 image with transparent parts" in text and "holes.png" in text and "opaque" not in text


def test_leaks_between_train_and_test(tmp_path):
    write_folder(tmp_path / "train", 4)
    write_folder(tmp_path / "test", 2, first_seed=50)
    data = FolderData(tmp_path, train="train", test="test", batch_size=1)
    text = texts(data.check(("train", "val")), "warning")  # also when only training is asked for
    assert "train and test have 2 names in common (000, 001)" in text
    assert "identical" not in texts(data.check(thorough=True), "warning")
    (tmp_path / "test" / "copy.png").write_bytes((tmp_path / "train" / "003.png").read_bytes())
    again = FolderData(tmp_path, train="train", test="test", batch_size=1)
    text = texts(again.check(thorough=True), "warning")
    assert "train and test hold 1 identical image" in text and "003.png = " in text and "copy.png" in text
    same = FolderData(tmp_path, train="train", test="train", batch_size=1)
    assert "train and test share 4 files" in texts(same.check(("train",)), "warning")


def test_sets_in_order_have_no_warnings(tmp_path):
    write_folder(tmp_path, 20)
    for thorough in (False, True):
        findings = FolderData(tmp_path, batch_size=2, transform=ResizeTo(32)).check(thorough=thorough)
        assert {finding.level for finding in findings} == {"ok"}
        assert "train and test" in texts(findings, "ok")


# ------------------------------------------------------------------------------------------------ from the command line


def test_arguments_parse_from_yaml(tmp_path):
    write_folder(tmp_path, 10)
    for number in range(10):
        write_labels(tmp_path / f"{number:03}_ids.png", np.zeros((32, 40)))
    config = tmp_path / "data.yaml"
    config.write_text(
        f"""
data:
  class_path: inpaintzoo.data.folder.FolderData
  init_args:
    root: {tmp_path}
    fractions: [0.6, 0.2, 0.2]
    labels: {tmp_path}
    label_ends: ["", _ids]
    ignore_labels: [0, 11]
    transform:
      class_path: inpaintzoo.data.transforms.ShortSideThenCrop
      init_args: {{short_side: 40, crop: [32, 16]}}
    colour_jitter: {{class_path: inpaintzoo.data.transforms.ColourJitter, init_args: {{hue: 0.1}}}}
    on_bad_image: skip
"""
    )
    parser = ArgumentParser()
    parser.add_argument("--config", action="config")
    parser.add_subclass_arguments(InpaintingData, "data")
    data = parser.instantiate(parser.parse_args([f"--config={config}", "--data.batch_size=3"])).data
    assert isinstance(data, FolderData) and data.batch_size == 3 and data.ignore_labels == (0, 11)
    assert [len(data.source(split)) for split in ("train", "val", "test")] == [6, 2, 2]
    assert data.source("train").load(0, np.random.default_rng(0)).image.shape == (3, 32, 16)


def test_batches_come_through_the_loader_with_workers(tmp_path):
    write_folder(tmp_path / "images", 6)
    for number in range(6):
        write_labels(tmp_path / "labels" / f"{number:03}.png", np.full((32, 40), number))
    both = []
    for workers in (1, 0):
        transform, jitter = RandomCrop(16), ColourJitter()
        data = FolderData(
            tmp_path,
            train="images",
            labels="labels",
            transform=transform,
            colour_jitter=jitter,
            batch_size=3,
            num_workers=workers,
        )
        both.append(list(data.train_dataloader()))
    with_workers, alone = both
    assert [batch["image"].shape for batch in alone] == [(3, 3, 16, 16)] * 2
    for one, other in zip(with_workers, alone, strict=True):
        assert torch.equal(one["image"], other["image"]) and torch.equal(one["labels"], other["labels"])
        assert other["labels"][:, 0, 0].tolist() == [int(name) for name in other["name"]]


def test_pictures_of_other_formats_are_counted(tmp_path):
    write_folder(tmp_path, 2)
    (tmp_path / "a.jxl").touch()
    text = texts(FolderData(train=tmp_path).check(("train",)), "warning")
    assert f"train: {tmp_path}: 1 picture in other formats is left out (1 .jxl)" in text


@pytest.mark.parametrize(
    ("folders", "remedy"),
    [
        (("train", "test"), "--data.train train --data.test test"),
        (("Train", "valid"), "--data.train Train --data.val valid"),
        (("photos", "masks"), "holds masks, whose files would be used as pictures"),
        (("photos", "labels"), "holds labels, whose files would be used as pictures"),
    ],
)
def test_a_root_that_holds_more_than_pictures_is_refused(tmp_path, folders, remedy):
    for folder in folders:
        (tmp_path / folder).mkdir()
        for name in "abc":
            Image.new("RGB", (40, 40)).save(tmp_path / folder / f"{name}.png")
    with pytest.raises(DataError, match=remedy):
        FolderData(root=tmp_path).files("train")


class Wrong(CentreSquare):
    def draw(self, height, width):
        return torch.ones(1, height, width)


class Grey(CentreSquare):
    def draw(self, height, width, rng, index):
        return torch.full((1, height, width), 0.5)


@pytest.mark.parametrize(
    ("masks", "reason"),
    [
        (CentreSquare(99), "a hole of 99 pixels does not fit into 40x40; lower its size"),
        (Wrong(), "Wrong cannot draw a mask of 40x40 .TypeError: .*; correct its settings or its draw method"),
        (Grey(), "a mask must be .1, 40, 40. float32 with 0 and 1"),
    ],
)
def test_masks_that_cannot_be_drawn_are_one_sentence(tmp_path, masks, reason):
    Image.new("RGB", (40, 40)).save(tmp_path / "a.png")
    data = FolderData(test=tmp_path, test_masks=masks, transform=ResizeTo(40))
    with pytest.raises(DataError, match=reason):
        data.setup("test")


def test_too_many_workers():
    with pytest.raises(ValueError, match="num_workers must be 0 to 512 processes, got 100000"):
        FolderData(test="a", num_workers=100_000)
