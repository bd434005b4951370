"""Pinned pairs: what is saved is what is drawn, and no change goes unnoticed."""

import hashlib
import json
import pickle

import numpy as np
import pytest
import torch
from PIL import Image

import inpaintzoo
from inpaintzoo.data.dataset import MASK_STREAM, InpaintingDataset, sample_rng
from inpaintzoo.data.manifest import Manifest, PinnedMasks, mask_hash
from inpaintzoo.data.masks import FreeForm, MaskFolder, MaskGenerator, MixedMasks, RandomRectangles, SquareFreeForm
from inpaintzoo.data.source import ImageSource, Sample
from inpaintzoo.ops import ratio_bin
from inpaintzoo.types import DataError


class Pictures(ImageSource):
    def __init__(self, count=5, size=(48, 64)):
        self.names = [f"a/{i:02d}" for i in range(count)]
        self.size = size
        self.content = [f"picture {i}" for i in range(count)]

    def load(self, index, rng=None):
        return Sample(torch.full((3, *self.size), index / 10), self.names[index])

    def fingerprint(self, index):
        return hashlib.sha256(self.content[index].encode()).hexdigest()


@pytest.fixture
def mask_folder(tmp_path):
    folder = tmp_path / "masks"
    (folder / "sub").mkdir(parents=True)
    for i in range(4):
        grey = np.full((30, 30), 255, dtype=np.uint8)
        grey[: 3 * (i + 1)] = 0  # black holes of 10 to 40 %
        Image.fromarray(grey).save(folder / "sub" / f"{i}.png")
    return folder


def evaluated(masks, source, seed=3):
    dataset = InpaintingDataset(source, masks, seed, augment=False)
    return [dataset[i]["mask"] for i in range(len(source))]


def saved(tmp_path, masks=None, source=None, **how):
    path = tmp_path / "pairs.jsonl"
    Manifest.make(source or Pictures(), masks or SquareFreeForm(), 3, 48, 64, **how).save(path, overwrite=True)
    return path


def rewritten(path, number, change):
    """The manifest with one line (counted from 1) changed; `change` gets the entry, or makes a text of it."""
    lines = path.read_text().splitlines()
    entry = json.loads(lines[number - 1])
    result = change(entry)
    lines[number - 1] = result if isinstance(result, str) else json.dumps(entry)
    path.write_text("\n".join(lines) + "\n")
    return path


def test_pinning_does_not_change_what_evaluation_sees(tmp_path):
    masks = evaluated(SquareFreeForm(), Pictures())
    pinned = evaluated(PinnedMasks(saved(tmp_path)), Pictures(), seed=99)  # the data module's seed no longer matters
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(pinned, masks, strict=True))
    assert not torch.equal(masks[0], masks[1])


def test_a_line_tells_all_of_a_pair(tmp_path):
    header, first, *_ = map(json.loads, saved(tmp_path, description="toys", split="val").read_text().splitlines())
    assert header == {
        "manifest": 1,
        "inpaintzoo": inpaintzoo.__version__,
        "source": "toys",
        "split": "val",
        "count": 5,
        "height": 48,
        "width": 64,
        "mask_folder": None,
    }
    mask = evaluated(SquareFreeForm(), Pictures())[0]
    bits = np.packbits(mask[0].numpy().astype(bool)).tobytes()
    assert first == {
        "index": 0,
        "image": "a/00",
        "image_sha256": hashlib.sha256(b"picture 0").hexdigest(),
        "mask": {"recipe": SquareFreeForm().recipe(), "seed": [3, 0, 0, 1]},
        "mask_sha256": hashlib.sha256(b"48x64:" + bits).hexdigest(),
        "ratio": mask.double().mean().item(),
        "bin": ratio_bin(mask.double().mean().item()),
    }


def test_a_round_trip_changes_nothing(tmp_path):
    manifest = Manifest.make(Pictures(), MixedMasks([FreeForm(), RandomRectangles()], [1, 2]), 3, 48, 64, "toys", "val")
    manifest.save(tmp_path / "new" / "pairs.jsonl")
    assert Manifest.load(tmp_path / "new" / "pairs.jsonl") == manifest
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["pairs.jsonl"]  # no partial file left


@pytest.mark.parametrize("how", [{}, {"order": "index"}, {"resize": "any"}, {"flips": True}, {"dilation": (0, 3)}])
def test_masks_from_files_are_pinned_by_file_or_by_recipe(tmp_path, mask_folder, how):
    masks = MaskFolder(mask_folder, **how)
    path = saved(tmp_path, masks)
    assert all(
        torch.equal(ours, theirs)
        for ours, theirs in zip(
            evaluated(PinnedMasks(path), Pictures()), evaluated(MaskFolder(mask_folder, **how), Pictures()), strict=True
        )
    )
    entry = Manifest.load(path).pairs[0].mask
    if "flips" in how or "dilation" in how:
        assert set(entry) == {"recipe", "seed"}
    else:
        assert entry["file"].startswith("sub/") and entry["polarity"] == "black"
        assert entry["sha256"] == hashlib.sha256((mask_folder / entry["file"]).read_bytes()).hexdigest()


@pytest.mark.parametrize("flips", [False, True])
def test_mask_files_may_move(tmp_path, mask_folder, flips):
    path = saved(tmp_path, MaskFolder(mask_folder, flips=flips))
    expected = evaluated(PinnedMasks(path), Pictures())
    mask_folder.rename(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="does not exist"):
        evaluated(PinnedMasks(path), Pictures())
    found = evaluated(PinnedMasks(path, mask_folder=tmp_path / "elsewhere"), Pictures())
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(found, expected, strict=True))


def test_a_changed_mask_file_is_caught(tmp_path, mask_folder):
    path = saved(tmp_path, MaskFolder(mask_folder, order="index"))
    Image.fromarray(np.zeros((30, 30), dtype=np.uint8)).save(mask_folder / "sub" / "1.png")
    masks = PinnedMasks(path)
    masks.draw(48, 64, np.random.default_rng(), 0)
    with pytest.raises(DataError, match=r"1\.png has changed since it was pinned to image 'a/01'"):
        masks.draw(48, 64, np.random.default_rng(), 1)


@pytest.mark.parametrize(
    "change",
    [
        lambda entry: entry["mask"].update(seed=[4, 0, 1, 1]),
        lambda entry: entry["mask"]["recipe"]["args"].update(box=0.6),
        lambda entry: entry.update(mask_sha256="0" * 64),
        lambda entry: entry.update(ratio=0.25, bin="0.2-0.3"),
    ],
)
def test_tampering_with_a_mask_is_caught_when_it_is_drawn(tmp_path, change):
    masks = PinnedMasks(rewritten(saved(tmp_path), 3, change))
    masks.draw(48, 64, np.random.default_rng(), 0)
    with pytest.raises(DataError, match=r"mask of image 1 \('a/01'\) is not the pinned one"):
        masks.draw(48, 64, np.random.default_rng(), 1)


def test_another_drawing_library_is_caught(tmp_path, monkeypatch):
    masks = PinnedMasks(saved(tmp_path, FreeForm()))
    monkeypatch.setattr("inpaintzoo.data.masks.strokes.walk", lambda start, *_: [start, (0, 0)])
    with pytest.raises(DataError, match="other library versions draw another mask"):
        masks.draw(48, 64, np.random.default_rng(), 0)


def test_pinned_masks_refuse_another_size_or_index(tmp_path):
    masks = PinnedMasks(saved(tmp_path))
    with pytest.raises(DataError, match="pinned for images of 48x64, got one of 64x64"):
        masks.draw(64, 64, np.random.default_rng(), 0)
    for index in (5, -1):
        with pytest.raises(DataError, match=f"no pair {index}, it holds 5"):
            masks.draw(48, 64, np.random.default_rng(), index)
    (finding,) = masks.check()
    assert finding.level == "ok" and "5 pairs" in finding.text


def test_the_pictures_are_verified_by_number_name_and_content(tmp_path):
    manifest = Manifest.load(saved(tmp_path))
    manifest.verify(Pictures())
    with pytest.raises(DataError, match="5 pairs, but 4 images"):
        manifest.verify(Pictures(4))
    renamed = Pictures()
    renamed.names = [f"b/{i:02d}" for i in range(5)]
    with pytest.raises(DataError, match=r"image 0 is 'b/00', pinned is 'a/00'; .*; and 2 more"):
        manifest.verify(renamed)
    changed = Pictures()
    changed.content[3] = "retouched"
    with pytest.raises(DataError, match=r"'a/03' has changed since it was pinned$"):
        manifest.verify(changed)


def test_the_digest_is_of_the_pixels_not_of_the_paperwork(tmp_path, mask_folder):
    first = Manifest.make(Pictures(), MaskFolder(mask_folder), 3, 48, 64, "here")
    mask_folder.rename(tmp_path / "elsewhere")
    second = Manifest.make(Pictures(), MaskFolder(tmp_path / "elsewhere", polarity="black"), 3, 48, 64, "there", "val")
    assert first.digest() == second.digest()
    second.save(tmp_path / "pairs.jsonl")
    assert Manifest.load(tmp_path / "pairs.jsonl").digest() == first.digest()
    others = [
        Manifest.make(Pictures(), MaskFolder(tmp_path / "elsewhere"), 4, 48, 64),
        Manifest.make(Pictures(), MaskFolder(tmp_path / "elsewhere"), 3, 48, 60),
        Manifest.make(Pictures(4), MaskFolder(tmp_path / "elsewhere"), 3, 48, 64),
    ]
    assert len({first.digest(), *(other.digest() for other in others)}) == 4


def test_the_mask_hash_tells_transposed_sizes_apart():
    assert mask_hash(torch.ones(1, 4, 8)) != mask_hash(torch.ones(1, 8, 4))
    one = torch.zeros(1, 5, 5)
    one[0, 4, 4] = 1
    assert mask_hash(one) != mask_hash(torch.zeros(1, 5, 5))


def test_saving_never_overwrites_unless_told(tmp_path):
    path = saved(tmp_path)
    before = path.read_text()
    other = Manifest.make(Pictures(), FreeForm(), 4, 48, 64)
    with pytest.raises(DataError, match="already exists; name another file"):
        other.save(path)
    assert path.read_text() == before
    other.save(path, overwrite=True)
    assert Manifest.load(path) == other


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = saved(tmp_path)
    before = path.read_text()

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        Manifest.make(Pictures(), FreeForm(), 4, 48, 64).save(path, overwrite=True)
    assert path.read_text() == before
    assert [file.name for file in tmp_path.iterdir()] == ["pairs.jsonl"]


class OwnMask(MaskGenerator):
    def __init__(self, rows=8):
        self.rows = rows

    def draw(self, height, width, rng, index):
        mask = torch.zeros(1, height, width)
        start = int(rng.integers(height - self.rows))
        mask[:, start : start + self.rows] = 1.0
        return mask


class Forgetful(OwnMask):
    def __init__(self, lines):
        super().__init__(lines)


def test_masks_of_the_users_own_class_are_pinned_and_drawn_again(tmp_path):
    for masks in (OwnMask(5), MixedMasks([FreeForm(), OwnMask(6)])):
        Manifest.make(Pictures(), masks, 3, 48, 64).save(tmp_path / "own.jsonl", overwrite=True)
        pinned = pickle.loads(pickle.dumps(PinnedMasks(tmp_path / "own.jsonl")))
        for index in range(4):
            expected = masks.draw(48, 64, sample_rng(3, 0, index, MASK_STREAM), index)
            assert torch.equal(pinned.draw(48, 64, np.random.default_rng(), index), expected)


def test_a_manifest_imports_nothing(tmp_path, monkeypatch):
    (tmp_path / "own_holes.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    path = tmp_path / "own.jsonl"
    Manifest.make(Pictures(), OwnMask(), 3, 48, 64).save(path)
    name = OwnMask.recipe_name()
    path.write_text(path.read_text().replace(json.dumps(name), '"own_holes.OwnMask"'))
    with pytest.raises(
        DataError,
        match=r"line 2: .*unknown class 'own_holes.OwnMask'; .* import its module first, .*--import own_holes",
    ):
        Manifest.load(path)


def test_a_generator_that_nobody_could_rebuild_is_refused():
    class Local(OwnMask):
        pass

    for masks in (Local(), MixedMasks([FreeForm(), Local()])):
        with pytest.raises(DataError, match=r"unknown class .*Local"):
            Manifest.make(Pictures(), masks, 0, 48, 64)
    with pytest.raises(
        DataError, match=r"Forgetful: .* argument 'lines' cannot be read back .*; keep it in an attribute"
    ):
        Manifest.make(Pictures(), Forgetful(3), 0, 48, 64)
    with pytest.raises(DataError, match=r"argument 'rows' cannot be read back .ndarray is not a JSON type"):
        Manifest.make(Pictures(), OwnMask(np.ones(3)), 0, 48, 64)
    with pytest.raises(DataError, match=r"unknown class 'inpaintzoo.data.manifest.PinnedMasks'"):
        Manifest.make(Pictures(), PinnedMasks(Manifest.make(Pictures(), FreeForm(), 0, 48, 64)), 0, 48, 64)


@pytest.mark.parametrize(
    ("number", "change", "message"),
    [
        (1, lambda entry: "not json", "line 1: not JSON: Expecting value"),
        (1, lambda entry: "[1]", "line 1: Expected `object`, got `array`"),
        (1, lambda entry: entry.update(manifest=2), "line 1: Invalid enum value 2 - at `.*manifest`"),
        (1, lambda entry: entry.pop("height"), "line 1: .*missing required field `height`"),
        (1, lambda entry: entry.update(width="64"), "line 1: Expected `int`, got `str` - at `.*width`"),
        (1, lambda entry: entry.update(count=9), "promises 9 pairs, but it holds 5"),
        (3, lambda entry: "{", "line 3: not JSON: Expecting property name"),
        (3, lambda entry: entry.__delitem__("image_sha256"), "line 3: .*missing required field `image_sha256`"),
        (4, lambda entry: entry.update(index=True), "line 4: Expected `int`, got `bool` - at `.*index`"),
        (4, lambda entry: entry.update(index=0), "line 4: index 0 where 2 must follow"),
        (4, lambda entry: entry.update(bin="0.5-0.6"), "line 4: ratio .* does not lie in bin '0.5-0.6'"),
        (4, lambda entry: entry.update(ratio=2.0), "line 4: ratio 2.0"),
        (5, lambda entry: entry["mask"].pop("seed"), "line 5: .*missing required field `seed`"),
        (5, lambda entry: entry["mask"].update(seed=["x"]), "line 5: Expected `int`, got `str` - at `.*seed"),
        (5, lambda entry: entry["mask"]["recipe"].update({"class": "os.system"}), "line 5: .*unknown class"),
        (5, lambda entry: entry["mask"]["recipe"].pop("args"), "line 5: a mask recipe must be"),
        (6, lambda entry: entry.update(mask={"file": "a.png"}), "line 6: .*missing required field `sha256`"),
        (
            6,
            lambda entry: entry.update(
                mask={"file": "../a.png", "sha256": "", "polarity": "white", "threshold": 0.5, "resize": "any"}
            ),
            "line 6: mask file '../a.png' must lie below the mask folder",
        ),
    ],
)
def test_errors_name_the_file_the_line_and_the_field(tmp_path, number, change, message):
    path = rewritten(saved(tmp_path), number, change)
    with pytest.raises(DataError, match=message) as error:
        Manifest.load(path)
    assert str(path) in str(error.value)


def test_files_that_are_no_manifests(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        Manifest.load(tmp_path / "none.jsonl")
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(DataError, match="is empty"):
        Manifest.load(tmp_path / "empty.jsonl")
    (tmp_path / "binary.jsonl").write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(DataError, match="not a text file"):
        Manifest.load(tmp_path / "binary.jsonl")


def test_names_that_are_not_text_come_back(tmp_path):
    source = Pictures()
    source.names[2:4] = ["line\nbreak", "\udcff\udc80"]  # bytes that are not UTF-8, as Python names them
    assert [pair.image for pair in Manifest.load(saved(tmp_path, source=source)).pairs] == source.names
