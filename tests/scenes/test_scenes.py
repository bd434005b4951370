"""Built-in scenes: determinism, disjoint splits, labels and tags that agree with the picture, any size."""

from __future__ import annotations

import hashlib
import itertools
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from inpaintzoo.data.scenes import SCENE_CLASSES, SCENE_TAGS, SCENES_VERSION, ScenesData, SceneSource
from inpaintzoo.scenes import SCENE_COLOURS
from inpaintzoo.scenes.__main__ import main
from inpaintzoo.scenes.canvas import Canvas, line
from inpaintzoo.scenes.compose import paint_scene
from inpaintzoo.scenes.parts import PART_CLASS, PART_IDS, tag_vector
from inpaintzoo.scenes.stage import Camera
from inpaintzoo.scenes.walls import Wall


def digest(source: SceneSource, index: int) -> str:
    sample = source.load(index)
    return hashlib.sha256(sample.image.numpy().tobytes() + sample.labels.numpy().tobytes()).hexdigest()


@pytest.fixture(scope="module", autouse=True)
def every_scene_is_painted():
    """Here nothing is taken from what conftest.py keeps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("inpaintzoo.data.scenes.paint_scene", paint_scene)
        yield


@pytest.fixture(scope="module")
def many() -> list:
    source = SceneSource("train", 300, 40)
    return [source.load(index) for index in range(300)]


class TestSample:
    def test_shapes_types_and_ranges(self, many):
        for sample in many[:40]:
            assert sample.image.shape == (3, 40, 40) and sample.image.dtype == torch.float32
            assert sample.labels.shape == (40, 40) and sample.labels.dtype == torch.int64
            assert sample.tags.shape == (len(SCENE_TAGS),) and sample.tags.dtype == torch.float32
            assert torch.isfinite(sample.image).all()
            assert sample.image.min() >= 0 and sample.image.max() <= 1
            assert sample.labels.min() >= 0 and sample.labels.max() < len(SCENE_CLASSES)
            assert set(sample.tags.tolist()) <= {0.0, 1.0}

    def test_pictures_are_not_flat_nor_noise(self, many):
        neighbours = torch.stack([(s.image[..., 1:] - s.image[..., :-1]).abs().mean() for s in many])
        contrast = torch.stack([s.image.std() for s in many])
        assert contrast.min() > 0.02  # fog is pale, but something can be seen
        assert contrast.median() > 0.12
        assert (neighbours < 0.55 * contrast).all()  # structure: neighbours are far more alike than strangers

    def test_class_tags_agree_with_labels(self, many):
        for sample in many:
            present = torch.bincount(sample.labels.flatten(), minlength=len(SCENE_CLASSES)) > 0
            assert torch.equal(sample.tags[: len(SCENE_CLASSES)] > 0, present)

    def test_every_tag_is_neither_rare_nor_universal(self, many):
        share = torch.stack([sample.tags for sample in many]).mean(0)
        off = {tag: float(p) for tag, p in zip(SCENE_TAGS, share, strict=True) if not 0.03 <= p <= 0.93}
        assert not off

    def test_one_hour_each(self, many):
        hours = [SCENE_TAGS.index(hour) for hour in ("day", "sunset", "night", "overcast")]
        assert all(sample.tags[hours].sum() == 1 for sample in many)

    def test_nights_are_darker_than_days(self, many):
        night, day = SCENE_TAGS.index("night"), SCENE_TAGS.index("day")
        mean = {tag: np.mean([float(s.image.mean()) for s in many if s.tags[tag] > 0]) for tag in (night, day)}
        assert mean[night] < 0.6 * mean[day]

    def test_labels_follow_the_edges_of_the_picture(self):
        """Across label borders colours jump more than inside of regions: labels are not shifted against the image."""
        source = SceneSource("val", 12, 96)
        ratios = []
        for index in range(12):
            sample = source.load(index)
            jump = (sample.image[..., 1:] - sample.image[..., :-1]).abs().mean(0)
            border = sample.labels[:, 1:] != sample.labels[:, :-1]
            if border.any():
                ratios.append(float(jump[border].mean() / jump[~border].mean()))
        assert len(ratios) > 8 and np.median(ratios) > 3

    def test_names(self):
        assert SceneSource("val", 3, 32).names == [f"scene-val-00000{i}" for i in range(3)]
        assert len(SceneSource("train", 7, 32)) == 7


class TestDeterminism:
    def test_twice_the_same_to_the_bit(self):
        for index in range(6):
            assert digest(SceneSource("train", 6, 48), index) == digest(SceneSource("train", 9, 48), index)

    def test_another_process_with_another_thread_count(self):
        script = (
            "import hashlib\n"
            "from inpaintzoo.scenes.compose import paint_scene\n"
            "for i in (3, 1):\n"
            "    canvas = paint_scene((5, 1, i), 64, 64)\n"
            "    print(hashlib.sha256(canvas.image.tobytes() + canvas.parts.tobytes()).hexdigest())\n"
        )
        threads = {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2", "PYTHONHASHSEED": "7"}
        found = subprocess.run(
            [sys.executable, "-c", script], env=os.environ | threads, capture_output=True, text=True, check=True
        )
        painted = [paint_scene((5, 1, i), 64, 64) for i in (3, 1)]
        here = [hashlib.sha256(canvas.image.tobytes() + canvas.parts.tobytes()).hexdigest() for canvas in painted]
        assert found.stdout.split() == here

    def test_splits_and_seeds_share_no_picture(self):
        sources = [SceneSource(split, 12, 32, seed) for split in ("train", "val", "test") for seed in (0, 1)]
        pictures = [digest(source, index) for source in sources for index in range(12)]
        assert len(set(pictures)) == len(pictures)

    def test_recipes_are_pinned_to_the_version(self):
        """If this fails, scenes have changed: give SCENES_VERSION a new number, so that fingerprints change too."""
        means = [SceneSource("val", 4, 48).load(index).image.mean((1, 2)) for index in range(4)]
        pinned = [[0.343, 0.314, 0.291], [0.514, 0.475, 0.424], [0.503, 0.439, 0.376], [0.528, 0.586, 0.523]]
        assert SCENES_VERSION == "scenes-1"
        assert torch.allclose(torch.stack(means), torch.tensor(pinned), atol=4e-3)

    def test_leaves_the_global_random_state(self):
        state = np.random.get_state()[1].copy(), torch.random.get_rng_state()
        SceneSource("train", 1, 32).load(0)
        assert (np.random.get_state()[1] == state[0]).all() and torch.equal(torch.random.get_rng_state(), state[1])

    def test_fingerprints_name_the_recipe(self):
        base = SceneSource("train", 4, 32)
        others = [SceneSource("val", 4, 32), SceneSource("train", 4, 33), SceneSource("train", 4, 32, seed=1)]
        prints = [base.fingerprint(0), base.fingerprint(1), *(other.fingerprint(0) for other in others)]
        assert len(set(prints)) == 5
        assert prints[0] == SceneSource("train", 99, (32, 32)).fingerprint(0)
        assert len(prints[0]) == 64 and int(prints[0], 16) >= 0


class TestFlip:
    def test_mirrors_image_and_labels_together_about_half_of_the_time(self):
        source = SceneSource("train", 3, 32)
        plain, mirrored = source.load(2), 0
        for seed in range(24):
            sample = source.load(2, np.random.default_rng(seed))
            flipped = not torch.equal(sample.image, plain.image)
            mirrored += flipped
            assert torch.equal(sample.image, plain.image.flip(-1) if flipped else plain.image)
            assert torch.equal(sample.labels, plain.labels.flip(-1) if flipped else plain.labels)
            assert torch.equal(sample.tags, plain.tags)
            assert sample.image.is_contiguous() and sample.labels.is_contiguous()
        assert 5 <= mirrored <= 19

    def test_can_be_switched_off(self):
        source = SceneSource("train", 1, 32, flip=False)
        plain = source.load(0)
        assert all(torch.equal(source.load(0, np.random.default_rng(s)).image, plain.image) for s in range(8))


class TestSize:
    @pytest.mark.parametrize("size", [32, (32, 47), (63, 33), (40, 96), (97, 41)])
    def test_odd_and_oblong(self, size):
        height, width = (size, size) if isinstance(size, int) else size
        source = SceneSource("test", 10, size)
        for index in range(10):
            sample = source.load(index)
            assert sample.image.shape == (3, height, width) and sample.labels.shape == (height, width)
            assert sample.image.std() > 0.02

    def test_another_resolution_shows_the_same_scene(self):
        small, large = SceneSource("train", 24, 64), SceneSource("train", 24, 192)
        for index in range(24):
            first, second = small.load(index), large.load(index)
            reduced = torch.nn.functional.avg_pool2d(second.image[None], 3)[0]
            assert (reduced - first.image).abs().mean() < 0.035
            shares = [
                torch.bincount(s.labels.flatten(), minlength=len(SCENE_CLASSES)) / s.labels.numel()
                for s in (first, second)
            ]
            assert (shares[0] - shares[1]).abs().sum() / 2 < 0.1

    def test_other_scenes_differ_by_more_than_that(self):
        source = SceneSource("train", 13, 64)
        images = [source.load(index).image for index in range(13)]
        differences = [(a - b).abs().mean() for a, b in itertools.pairwise(images)]
        assert min(differences) > 0.06

    def test_wide_picture_is_a_window_of_the_square(self):
        square, wide = paint_scene((0, 0, 3), 96, 96), paint_scene((0, 0, 3), 56, 96)
        top = round(wide.top * 96)
        assert wide.top * 96 == pytest.approx(top)
        agree = (PART_CLASS[square.parts[top : top + 56]] == PART_CLASS[wide.parts]).mean()
        assert agree > 0.99


class TestErrors:
    @pytest.mark.parametrize("size", [31, 0, -5, 5000, (64,), (64, 16), (64, 64, 3), 64.0, (64, 64.5), True])
    def test_bad_sizes(self, size):
        if size == 64.0 and isinstance(size, float):
            size = (64.0, 64.0)
        with pytest.raises(ValueError, match="size must be one side or"):
            SceneSource("train", 1, size)
        with pytest.raises(ValueError, match="image_size must be one side or"):
            ScenesData(image_size=size)

    def test_bad_counts_seeds_and_splits(self):
        with pytest.raises(ValueError, match="count must be at least 1, got 0"):
            SceneSource("train", 0)
        with pytest.raises(ValueError, match="seed must be 0 or more, got -1"):
            SceneSource("train", 1, seed=-1)
        with pytest.raises(ValueError, match="train, val, test, got 'dev'"):
            SceneSource("dev", 1)
        for name in ("train_size", "val_size", "test_size"):
            with pytest.raises(ValueError, match=f"{name} must be at least 1"):
                ScenesData(**{name: 0})
        with pytest.raises(ValueError, match="seed must be 0 or more"):
            ScenesData(seed=-3)
        with pytest.raises(ValueError, match="batch_size"):
            ScenesData(batch_size=0)

    @pytest.mark.parametrize("index", [-1, 4])
    def test_bad_index(self, index):
        source = SceneSource("train", 4, 32)
        with pytest.raises(IndexError, match="there are 4"):
            source.load(index)
        with pytest.raises(IndexError, match="there are 4"):
            source.fingerprint(index)


class TestModule:
    def test_sources_by_split_cached(self):
        data = ScenesData(train_size=5, val_size=3, test_size=2, image_size=(32, 48), seed=4)
        for split, count in (("train", 5), ("val", 3), ("test", 2)):
            source = data.source(split)
            assert len(source) == count and source is data.source(split)
            assert source.load(count - 1).image.shape == (3, 32, 48)
            assert source.fingerprint(0) == SceneSource(split, 1, (32, 48), 4).fingerprint(0)


class TestTables:
    def test_classes_and_tags(self):
        assert 8 <= len(SCENE_CLASSES) <= 14 and len(set(SCENE_TAGS)) == len(SCENE_TAGS) >= 24
        assert SCENE_TAGS[: len(SCENE_CLASSES)] == SCENE_CLASSES
        assert len(SCENE_COLOURS) == len(SCENE_CLASSES) == len({tuple(colour) for colour in SCENE_COLOURS})
        assert set(PART_CLASS.tolist()) == set(range(len(SCENE_CLASSES)))

    def test_tags_are_read_off_the_parts(self):
        parts = np.full((4, 4), PART_IDS["lake"], dtype=np.uint8)
        parts[0] = PART_IDS["cloud"]
        found = {tag for tag, on in zip(SCENE_TAGS, tag_vector(parts, {"fog"}), strict=True) if on}
        assert found == {"water", "lake", "sky", "clouds", "fog"}


class TestCanvas:
    def test_coverage_of_a_rectangle_is_its_area(self):
        canvas = Canvas(40, 40)
        corners = np.array([[10.5, 8.0], [30.25, 8.0], [30.25, 20.0], [10.5, 20.0]]) / 40
        patch = canvas.cover([corners])
        assert patch.cover.sum() == pytest.approx(19.75 * 12.0, rel=0.05)
        whole = np.zeros((40, 40))
        whole[patch.rows, patch.columns] = patch.cover
        assert whole[14, 10] == pytest.approx(0.5, abs=0.26) and whole[14, 20] == 1 and whole[14, 32] == 0

    def test_culled_batches_equal_lists(self):
        canvas, rng = Canvas(50, 30), np.random.default_rng(0)
        triangles = rng.uniform(-1, 2, (60, 1, 2)) + rng.uniform(-0.2, 0.2, (60, 3, 2))
        batch, single = canvas.cover(triangles), canvas.cover(list(triangles))
        pictures = []
        for patch in (batch, single):
            whole = np.zeros((50, 30), dtype=np.float32)
            whole[patch.rows, patch.columns] = patch.cover
            pictures.append(whole)
        assert np.abs(pictures[0] - pictures[1]).max() < 0.26  # a sliver on the very border at most
        assert np.abs(pictures[0] - pictures[1]).mean() < 1e-3

    def test_paint_lays_colour_and_part_together(self):
        canvas = Canvas(32, 32)
        patch = canvas.cover([np.array([[0.25, 0.25], [0.75, 0.25], [0.75, 0.75], [0.25, 0.75]])])
        canvas.paint(patch, (1.0, 0.5, 0.25), "car")
        assert np.allclose(canvas.image[16, 16], (1.0, 0.5, 0.25)) and canvas.parts[16, 16] == PART_IDS["car"]
        assert (canvas.image[2, 2] == 0).all() and canvas.parts[2, 2] == 0
        assert ((canvas.image[..., 0] >= 0.5) == (canvas.parts == PART_IDS["car"])).all()
        canvas.paint(patch, (0.0, 0.0, 0.0))
        assert canvas.parts[16, 16] == PART_IDS["car"] and canvas.image[16, 16].sum() == 0

    def test_outside_is_none(self):
        canvas = Canvas(32, 32)
        assert canvas.cover([np.array([[1.2, 0], [1.5, 0], [1.5, 0.5]])]) is None
        assert canvas.cover(np.array([[[1.2, 0], [1.5, 0], [1.5, 0.5]]])) is None
        assert canvas.cover([]) is None and canvas.disc(3.0, 3.0, 0.2) is None
        canvas.paint(None, (1, 1, 1), "car")
        assert canvas.image.sum() == 0

    def test_stroke_has_its_width(self):
        outline = line(np.array([[0.1, 0.5], [0.9, 0.5]]), 0.1)
        assert outline[:, 1].min() == pytest.approx(0.45) and outline[:, 1].max() == pytest.approx(0.55)


class TestPerspective:
    def test_points_straight_away_meet_at_the_vanishing_point(self):
        camera = Camera(horizon=0.4, eye=2.0, vanish=0.3, focal=0.9)
        far = camera.project(np.array([-5.0, 5.0]), 0.0, 1e6)
        assert np.allclose(far, (0.3, 0.4), atol=1e-4)
        assert camera.project(0.0, 2.0, 10.0)[1] == pytest.approx(0.4)  # eye level is the horizon
        assert camera.project(0.0, 0.0, camera.depth(0.7))[1] == pytest.approx(0.7)

    @pytest.mark.parametrize("ends", [((-4, 9), (5, 9)), ((3, 30), (3, 6)), ((-6, 8), (4, 14))])
    def test_wall_coordinates_invert_its_projection(self, ends):
        camera = Camera(horizon=0.5, eye=2.0, vanish=0.4, focal=0.9)
        wall = Wall(*ends, 8.0)
        along, height = np.array([0.5, 2.0, wall.length - 0.1]), np.array([0.0, 1.7, 7.5])
        seen = wall.project(camera, along, height)
        for point, u, v in zip(seen, along, height, strict=True):
            found = wall.coordinates(camera, point[None, :1], point[None, 1:])
            assert found[0][0, 0] == pytest.approx(u) and found[1][0, 0] == pytest.approx(v)
        assert wall.normal[0] ** 2 + wall.normal[1] ** 2 == pytest.approx(1.0)
        middle = (np.array(wall.start) + wall.end) / 2
        assert np.dot(wall.normal, middle) < 0  # painted walls face the viewer


class TestSheet:
    def test_writes_pictures_and_labels(self, tmp_path):
        out = tmp_path / "sheet.png"
        main(["--out", str(out), "--count", "3", "--size", "32", "48", "--columns", "2", "--labels"])
        with Image.open(out) as sheet:
            assert sheet.size == (2 * 50 + 2, 3 * 34 + 2)
            first = np.asarray(sheet)[2:34, 2:50]
        expected = SceneSource("train", 1, (32, 48)).load(0).image.permute(1, 2, 0).numpy()
        assert np.abs(first / 255.0 - expected).max() < 0.51 / 255

    def test_bad_arguments_end_with_a_sentence(self, tmp_path, capsys):
        with pytest.raises(SystemExit):
            main(["--out", str(tmp_path / "x.png"), "--size", "8"])
        assert "each from 32" in capsys.readouterr().err


@pytest.mark.parametrize("workers", [0, 2])
def test_kept_pictures_are_the_painted_ones(workers):
    painted, kept = SceneSource("train", 5, 32), SceneSource("train", 5, 32)
    kept.keep(workers)
    for index in range(5):
        for rng in (None, 0, 1):
            one = painted.load(index, None if rng is None else np.random.default_rng(rng))
            two = kept.load(index, None if rng is None else np.random.default_rng(rng))
            assert one.name == two.name and torch.equal(one.image, two.image)
            assert torch.equal(one.labels, two.labels) and torch.equal(one.tags, two.tags)


def test_cached_data_paints_before_training_only(monkeypatch):
    data = ScenesData(train_size=4, val_size=2, image_size=32, batch_size=2, num_workers=0, cache=True)
    data.setup("fit")
    painted = []
    monkeypatch.setattr(SceneSource, "_paint", lambda self, index: painted.append(index))
    assert len([batch for batch in data.train_dataloader()]) == 2 and painted == []
