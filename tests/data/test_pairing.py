"""Which mask belongs to which picture: the rule itself, and every command that follows it."""

import unicodedata

import numpy as np
import pytest
from PIL import Image
from predictor_toys import noise

from inpaintzoo.data import FolderData
from inpaintzoo.data.folder import FolderSource
from inpaintzoo.data.manifest import Manifest, PinnedMasks
from inpaintzoo.data.masks import LimitedMask, MaskFolder, MixedMasks
from inpaintzoo.data.masks.pairing import masks_among, pair_by_name
from inpaintzoo.data.module import InpaintingDataset
from inpaintzoo.predictor import FolderFill
from inpaintzoo.types import DataError

DECOMPOSED = unicodedata.normalize("NFD", "café")
CASES = {
    "exact": {"a.jpg": "a.png", "s/b.jpg": "s/b.png"},
    "exact-first": {"a.jpg": "a.png", "a_mask.jpg": "a_mask.png"},
    "ending": {"a.jpg": "a_mask.png", "b.jpg": "b-mask.png", "c.jpg": "c_Mask.png"},
    "number": {"a.jpg": "a_mask001.png", "b1.jpg": "b1_mask12.png"},
    "two-suffixes": {"a.jpg": "a.jpg.png", "b.jpg": "b.jpg_mask.png"},
    "own-ending": {"b_mask.jpg": "b_mask_mask.png", "c.jpg": "c.png"},
    "unicode": {f"{DECOMPOSED}.jpg": "café.png", "b.jpg": "b.png"},
    "numbers": {"001.jpg": "001.png", "010.jpg": "010.png"},
}


@pytest.mark.parametrize("pairs", CASES.values(), ids=CASES)
@pytest.mark.parametrize("suffix", [True, False])
def test_masks_are_found_by_name(pairs, suffix):
    pictures = [name if suffix else name.removesuffix(".jpg") for name in pairs]
    assert pair_by_name(pictures, sorted(pairs.values())) == (list(pairs.values()), [])


def test_missing_unused_and_ambiguous_masks():
    assert pair_by_name(["a.jpg", "b.jpg"], ["b.png", "c_mask.png"]) == (
        [None, "b.png"],
        ["c_mask.png"],
    )
    assert pair_by_name(["a"], []) == ([None], [])
    assert pair_by_name(["a"], ["a.png", "a_mask.png"]) == (["a.png"], ["a_mask.png"])
    for masks in (["a.png", "a.jpg"], ["a_mask.png", "a-mask.png"], ["a_mask1.png", "a_mask2.png"]):
        with pytest.raises(DataError, match="have one name, so it is unclear which belongs to the picture a"):
            pair_by_name(["a"], masks)


@pytest.mark.parametrize(
    ("names", "masks"),
    [
        ("a.jpg a_mask.png b.jpg b_mask001.png", "a_mask.png b_mask001.png"),
        ("a.jpg a.jpg.png b_mask.jpg", "a.jpg.png"),
        ("b_mask.jpg b_mask_mask.png", "b_mask_mask.png"),
        ("a.jpg a_mask001.png a_mask.jpg a_mask_mask.png", "a_mask001.png a_mask_mask.png"),
        ("a.jpg a.png b_mask.png 1.png 11.png", ""),
    ],
)
def test_pictures_and_masks_in_one_folder_are_told_apart(names, masks):
    assert masks_among(names.split()) == set(masks.split())


def write(folder, pairs, masks):
    """Picture i is noise; its mask has i + 1 rows of hole, so that a ratio says whose mask it is."""
    for i, (picture, mask) in enumerate(pairs.items()):
        (folder / picture).parent.mkdir(parents=True, exist_ok=True)
        noise("RGB", height=40, width=40, seed=i).save(folder / picture)
        hole = np.zeros((40, 40), bool)
        hole[: i + 1] = True
        (masks / mask).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(hole).save(masks / mask)
    return dict(zip((name.removesuffix(".jpg") for name in pairs), range(1, len(pairs) + 1), strict=True))


def rows_by_inpaint(pictures, masks):
    fill = FolderFill(pictures, masks, pictures.parent / "out")
    assert fill.unmatched == []
    return {
        job.image.relative_to(pictures).with_suffix("").as_posix(): int(np.asarray(Image.open(job.mask)).any(1).sum())
        for job in fill.tasks
    }


def rows_by_data(pictures, masks):
    """As `test`, `predict` and `benchmark` load them."""
    data = FolderData(test=pictures, test_masks=MaskFolder(masks, order="name"), num_workers=0, batch_size=1)
    data.transform.size = (40, 40)
    data.setup("test")
    return {batch["name"][0]: int(batch["mask"].sum() / 40) for batch in data.test_dataloader()}


def rows_by_manifest(pictures, masks):
    """As `masks pair` pins them, and as a benchmark reads them back."""
    from inpaintzoo.commands.masks import main

    out = pictures.parent / "pairs.jsonl"
    said = ["pair", "--images", str(pictures), "--masks", str(masks), "--out", str(out), "--size", "40"]
    if pictures == masks:
        said[4] = f"{{class_path: MaskFolder, init_args: {{path: '{masks}', order: name}}}}"
    assert main(said) == 0
    pinned = Manifest.load(out)
    assert [draw_pinned(pinned, i) for i in range(len(pinned))] == [round(pair.ratio * 40) for pair in pinned.pairs]
    return {pair.image: round(pair.ratio * 40) for pair in pinned.pairs}


def draw_pinned(pinned, index):
    return int(PinnedMasks(pinned).draw(40, 40, np.random.default_rng(0), index).sum() / 40)


@pytest.mark.parametrize("rows", [rows_by_inpaint, rows_by_data, rows_by_manifest])
@pytest.mark.parametrize("pairs", CASES.values(), ids=CASES)
def test_every_command_pairs_alike(tmp_path, rows, pairs):
    own = write(tmp_path / "pictures", pairs, tmp_path / "masks")
    assert rows(tmp_path / "pictures", tmp_path / "masks") == own


@pytest.mark.parametrize("rows", [rows_by_inpaint, rows_by_data, rows_by_manifest])
@pytest.mark.parametrize("case", ["ending", "number", "two-suffixes", "own-ending"])
def test_one_folder_may_hold_pictures_and_masks(tmp_path, rows, case):
    pairs = {picture: mask for picture, mask in CASES[case].items() if picture != "c.jpg"}
    own = write(tmp_path / "both", pairs, tmp_path / "both")
    assert rows(tmp_path / "both", tmp_path / "both") == own


def test_a_single_picture_finds_its_mask_in_its_own_folder(tmp_path):
    write(tmp_path / "both", {"a.jpg": "a_mask.png"}, tmp_path / "both")
    (job,) = FolderFill(tmp_path / "both" / "a.jpg", tmp_path / "both", tmp_path / "out.png").tasks
    assert job.mask == tmp_path / "both" / "a_mask.png"


def test_pairs_by_name_survive_flips_mixtures_and_a_manifest(tmp_path):
    own = write(tmp_path / "pictures", {"b.jpg": "b.png", "a.jpg": "a.png"}, tmp_path / "masks")
    source = FolderSource(tmp_path / "pictures")
    folder = MaskFolder(tmp_path / "masks", order="name")
    for masks in (
        MixedMasks([folder]),
        LimitedMask(folder, (0.0, 1.0)),
        MaskFolder(folder.path, order="name", flips=True),
    ):
        dataset = InpaintingDataset(source, masks, seed=0, augment=False)
        drawn = [
            int(masks.draw(40, 40, np.random.default_rng(0), i).sum() / 40)
            for i, masks in [(0, dataset.masks), (1, dataset.masks)]
        ]
        assert drawn == [own["a"], own["b"]]
        pinned = Manifest.make(source, masks, 0, 40, 40)
        assert [draw_pinned(pinned, i) for i in range(2)] == drawn


def test_a_missing_mask_does_not_shift_the_others(tmp_path):
    pairs = {f"{name}.jpg": f"{name}.png" for name in "abcdefgh"}
    write(tmp_path / "pictures", pairs, tmp_path / "masks")
    (tmp_path / "masks" / "c.png").unlink()
    names = FolderSource(tmp_path / "pictures").names
    with pytest.raises(DataError, match=r"1 of 8 pictures has no mask of its name: c; add"):
        MaskFolder(tmp_path / "masks", order="name").for_pictures(names)
    with pytest.raises(DataError, match=r"picture 'd' would get e\.png.*set order: name"):
        MaskFolder(tmp_path / "masks", order="index").for_pictures(names)
    with pytest.raises(DataError, match="order: name needs the pictures' names"):
        MaskFolder(tmp_path / "masks", order="name").draw(40, 40, np.random.default_rng(0), 0)
    MaskFolder(tmp_path / "masks", order="index").for_pictures([f"photo {i}" for i in range(9)])
    MaskFolder(tmp_path / "masks").for_pictures(names)


def test_a_missing_mask_of_a_numbered_picture_shifts_nothing_unsaid(tmp_path):
    from inpaintzoo.commands.masks import main

    write(tmp_path / "pictures", {f"{n:03}.jpg": f"{n:03}.png" for n in range(8)}, tmp_path / "masks")
    (tmp_path / "masks" / "003.png").unlink()
    names = FolderSource(tmp_path / "pictures").names
    found = MaskFolder(tmp_path / "masks", order="index").for_pictures(names).check()
    assert any("picture '004' would get 005.png instead of 004.png" in finding.text for finding in found)
    said = ["pair", "--images", str(tmp_path / "pictures"), "--masks", str(tmp_path / "masks"), "--size", "40"]
    assert main([*said, "--out", str(tmp_path / "pairs.jsonl")]) == 1  # `inpaint` refuses picture 003 too
    (tmp_path / "masks" / "002.png").rename(tmp_path / "masks" / "002_mask.png")
    with pytest.raises(DataError, match="set order: name"):
        MaskFolder(tmp_path / "masks", order="index").for_pictures(["000", "002"])


def test_equal_numbers_of_an_archive_of_masks_mean_nothing(tmp_path):
    write(tmp_path / "pictures", {f"{n:03}.jpg": f"{n + 4:03}.png" for n in range(6)}, tmp_path / "masks")
    names = FolderSource(tmp_path / "pictures").names  # of which two are numbers of masks
    folder = MaskFolder(tmp_path / "masks", order="index")
    assert folder.for_pictures(names) is folder


def test_masks_beside_the_pictures_are_not_trained_on(tmp_path):
    both = tmp_path / "both"
    write(both, {f"{name}.jpg": f"{name}_mask.png" for name in "abcd"}, both)
    with pytest.raises(DataError, match=r"holds 4 masks named after pictures \(a_mask\.png"):
        FolderData(root=both).source("train")
    with pytest.raises(DataError, match="holds 4 masks named after pictures"):
        FolderData(train=both).source("train")
    assert len(FolderData(train=both, masks=MaskFolder(both, order="name")).source("train")) == 4
    for name in "abcd":  # photographs of faces that wear one
        (both / f"{name}_mask.png").unlink()
        noise("RGB", height=40, width=40, seed=9).save(both / f"{name}_mask.jpg")
    assert len(FolderData(train=both).source("train")) == 8
