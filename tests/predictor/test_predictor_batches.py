"""Several pictures at once: what the generator is shown together, and what becomes of each file."""

import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from predictor_toys import Draws, Limited, Paints, noise, square

from inpaintzoo import ConfigError, DataError, Predictor
from inpaintzoo.predictor import FileTask, PredictorWarning
from inpaintzoo.types import Output


class Mean(Paints):
    """Fills each picture with the mean of what is known of it."""

    def forward(self, image, mask):
        super().forward(image, mask)
        known = (image * (1 - mask)).sum(dim=(2, 3), keepdim=True) / (1 - mask).sum(dim=(2, 3), keepdim=True)
        return Output(known.expand_as(image))


def shown(generator):
    return [tuple(image.shape) for image, _ in generator.shown]


@pytest.mark.parametrize("strategy", ["auto", "resize", "tile"])
def test_each_picture_gets_what_it_gets_alone(strategy):
    sizes = [(40, 50), (90, 200), (40, 50), (33, 41), (90, 200), (40, 50)]
    pictures = [noise("RGB", *size, seed) for seed, size in enumerate(sizes)]
    holes = [square(*size, 5 + seed, 3, 9) for seed, size in enumerate(sizes)]
    holes[3][:] = False
    predictor = Predictor(Mean(), strategy=strategy, tile=64, batch_size=6)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PredictorWarning)
        together = predictor.fill_all(pictures, holes)
        alone = [predictor(picture, hole) for picture, hole in zip(pictures, holes, strict=True)]
    for (one,), (other,), picture, hole in zip(together, alone, pictures, holes, strict=True):
        np.testing.assert_array_equal(np.array(one), np.array(other))
        np.testing.assert_array_equal(np.array(one)[~hole], np.array(picture)[~hole])


def test_pictures_of_one_padded_size_are_shown_together():
    generator = Paints(multiple=16)
    sizes = [(40, 50), (48, 64), (40, 50), (20, 20), (40, 60)]
    Predictor(generator, batch_size=5).fill_all(
        [noise("RGB", *size) for size in sizes], [square(*size, 2, 2, 5) for size in sizes]
    )
    assert sorted(shown(generator)) == [(1, 3, 32, 32), (4, 3, 48, 64)]


def test_holes_of_one_picture_are_shown_together():
    hole = square(900, 1400, 100, 100, 40) | square(900, 1400, 700, 1200, 40)
    generator = Paints()
    (filled,) = Predictor(generator, tile=256, batch_size=4)(np.zeros((900, 1400, 3), np.uint8), hole)
    assert shown(generator) == [(2, 3, 256, 256)] and (filled[hole] == (255, 0, 0)).all()


def test_memory_bounds_how_many_are_shown_together():
    class Heavy(Paints):
        def __init__(self):
            super().__init__(multiple=64)
            self.weight = torch.nn.Parameter(torch.zeros(()))  # a network, and no plain fill

    pictures, holes = [np.zeros((64, 64, 3), np.uint8)] * 7, [square(64, 64)] * 7
    few, many = Heavy(), Heavy()
    gib = 3 * 64 * 64 * 8192 / 1024**3  # for three pictures, at 8 KiB a pixel
    Predictor(few, batch_size=7, max_memory=gib * 1.01).fill_all(pictures, holes)
    Predictor(many, batch_size=7, max_memory=1.0).fill_all(pictures, holes)
    assert [shape[0] for shape in shown(few)] == [3, 3, 1] and [shape[0] for shape in shown(many)] == [7]


class Alone(Limited):
    """Runs out of memory for more than one picture at once, and for a single one that is too large."""

    def forward(self, image, mask):
        if len(image) > 1:
            raise self.error
        return super().forward(image, mask)


def test_too_many_for_memory_are_filled_in_smaller_batches():
    generator = Alone(10**9, torch.OutOfMemoryError("CUDA out of memory"))
    predictor = Predictor(generator, batch_size=2)
    with pytest.warns(PredictorWarning, match="memory ran out for 2 pictures at once; going on with 1"):
        filled = predictor.fill_all([noise("RGB")] * 3, [square()] * 3)
    assert all((np.array(one)[square()] == (255, 0, 0)).all() for (one,) in filled)
    assert shown(generator) == [(1, 3, 40, 56)] * 3 and predictor.batch_size == 1


def test_too_many_tiles_for_memory_are_filled_one_by_one_and_stay_large():
    hole = np.zeros((128, 448), bool)
    hole[60:64] = True
    generator = Alone(10**9, MemoryError())
    (filled,) = Predictor(generator, tile=128, strategy="tile", batch_size=3)(np.zeros((128, 448, 3), np.uint8), hole)
    assert set(shown(generator)) == {(1, 3, 128, 128)} and (filled[hole] == (255, 0, 0)).all()


def test_a_picture_too_large_for_memory_does_not_make_the_others_smaller(tmp_path):
    tasks = []
    for number, size in enumerate([(200, 296), (500, 500), (200, 296)]):
        noise("RGB", *size, number).save(tmp_path / f"{number}.png")
        Image.fromarray(square(*size, 50, 50, 60)).save(tmp_path / f"mask{number}.png")
        tasks.append(FileTask(tmp_path / f"{number}.png", tmp_path / f"mask{number}.png", tmp_path / f"o{number}.png"))
    generator = Limited(200 * 296, MemoryError())
    first, large, last = Predictor(generator, batch_size=3, tile=512).fill_files(tasks)
    assert [shape[2:] for shape in shown(generator)].count((200, 296)) == 3, (
        "once together, before the large one failed"
    )
    assert [str(note) for note in last.notes] == [] and "at once" in str(first.notes[0])
    assert any("memory ran out for 500 pixels a side" in str(note) for note in large.notes)


def test_samples_do_not_depend_on_the_batch():
    pictures, holes = [noise("RGB", seed=seed) for seed in range(3)], [square()] * 3
    alone, together = Predictor(Draws()), Predictor(Draws(), batch_size=3)
    for one, picture, hole in zip(together.fill_all(pictures, holes, samples=2, seed=4), pictures, holes, strict=True):
        for fill, other in zip(one, alone(picture, hole, samples=2, seed=4), strict=True):
            np.testing.assert_array_equal(np.array(fill), np.array(other))


@pytest.mark.parametrize("kinds", [("ids", "permissions"), ("ids", "bool"), ("permissions", None), (None, "ids")])
def test_guidance_of_different_kinds_is_not_mixed(kinds):
    class Guided(Paints):
        accepts_guidance = True

        def forward(self, image, mask, guidance=None):
            self.maps.append(None if guidance is None else (guidance.dtype, tuple(guidance.shape)))
            return super().forward(image, mask)

    maps = {"ids": np.ones((40, 50), np.int64), "permissions": np.ones((40, 50), np.float32), None: None}
    maps["bool"] = np.ones((40, 50), bool)
    generator = Guided()
    generator.maps = []
    kinds = [*kinds, kinds[0]]
    Predictor(generator, batch_size=3).fill_all([noise("RGB")] * 3, [square()] * 3, guidance=[maps[k] for k in kinds])
    types = {"ids": torch.int64, "permissions": torch.float32, "bool": torch.bool}
    expected = [None if k is None else (types[k], (n, 1, 40, 56)) for k, n in ((kinds[0], 2), (kinds[1], 1))]
    assert generator.maps == expected


def test_errors_say_which_picture():
    pictures = [noise("RGB"), np.full((40, 50), np.nan, np.float32), noise("RGB")]
    with pytest.raises(DataError, match="picture 1: float32 pixels must lie in"):
        Predictor(Paints(), batch_size=2).fill_all(pictures, [square()] * 3)


def test_a_mask_for_each_picture_is_asked_for():
    with pytest.raises(ConfigError, match="3 pictures need as many masks and maps, got 2 and 3"):
        Predictor(Paints()).fill_all([noise("RGB")] * 3, [square()] * 2)


# -- files -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def tasks(tmp_path):
    """Six pictures: one damaged, one whose mask does not fit, one without a hole, one JPEG."""
    for number in range(6):
        noise("RGB", seed=number).save(tmp_path / f"{number}.png")
        Image.fromarray(square()).save(tmp_path / f"mask{number}.png")
    (tmp_path / "1.png").write_bytes(b"no picture")
    Image.fromarray(square(30, 70)).save(tmp_path / "mask2.png")
    Image.fromarray(np.zeros((40, 50), bool)).save(tmp_path / "mask3.png")
    return [
        FileTask(tmp_path / f"{n}.png", tmp_path / f"mask{n}.png", tmp_path / f"out{n}.{'jpg' if n == 4 else 'png'}")
        for n in range(6)
    ]


@pytest.mark.parametrize("batch_size", [1, 2, 4, 6])
def test_each_file_has_its_own_result(tasks, batch_size):
    generator = Mean()
    results = list(Predictor(generator, batch_size=batch_size).fill_files(iter(tasks), polarity="white"))
    assert [result.task for result in results] == tasks
    assert [result.error is None for result in results] == [True, False, False, True, True, True]
    assert "1.png: not an image" in str(results[1].error) and "but its picture is 50 and 40" in str(results[2].error)
    assert [[type(note).__name__ for note in result.notes] for result in results] == [
        [],
        [],
        [],
        ["PredictorWarning"],
        ["JpegWarning"],
        [],
    ]
    for number in (0, 5):
        before, after = (np.array(Image.open(path)) for path in (tasks[number].image, tasks[number].out))
        np.testing.assert_array_equal(after[~square()], before[~square()])
        assert results[number].files == [tasks[number].out] and (after != before).any()
    assert max(shape[0] for shape in shown(generator)) == {1: 1, 2: 2, 4: 2, 6: 3}[batch_size]


def test_one_that_fails_in_a_batch_leaves_the_others_alone(tasks):
    class Picky(Mean):
        def forward(self, image, mask):
            output = super().forward(image, mask)
            spoilt = (image[:, :, 0, 0] - black).abs().amax(dim=1) < 1e-6
            output.image[spoilt] = torch.nan
            return output

    black = torch.tensor(np.array(Image.open(tasks[4].image))[0, 0] / 255, dtype=torch.float32)
    results = list(Predictor(Picky(), batch_size=6).fill_files(tasks, polarity="white"))
    assert [result.error is None for result in results] == [True, False, False, True, False, True]
    assert "not finite" in str(results[4].error) and not tasks[4].out.exists()


def test_two_tasks_for_one_file_do_not_overwrite_each_other(tasks):
    both = [tasks[0], FileTask(tasks[5].image, tasks[5].mask, tasks[0].out)]
    first, second = Predictor(Mean(), batch_size=2).fill_files(both, polarity="white")
    assert first.error is None and "already exists" in str(second.error)
    np.testing.assert_array_equal(
        np.array(Image.open(tasks[0].out))[~square()], np.array(Image.open(tasks[0].image))[~square()]
    )


def test_files_are_taken_as_they_are_needed(tasks):
    taken = []

    def source():
        for task in tasks:
            taken.append(task)
            yield task

    results = Predictor(Mean(), batch_size=2).fill_files(source(), polarity="white")
    assert taken == []
    next(results)
    assert len(taken) == 2
