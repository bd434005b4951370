"""Order, masks and augmentation depend on (seed, epoch, index) alone."""

import pytest
import torch
from toys import NoiseData, NoiseSource

from inpaintzoo.data.dataset import InpaintingDataset, SampleKey
from inpaintzoo.data.loader import EpochSampler, ResumableLoader
from inpaintzoo.data.masks import RandomRectangles
from inpaintzoo.types import DataError


def dataset(count=10, augment=True):
    return InpaintingDataset(NoiseSource(count), RandomRectangles(), seed=3, augment=augment)


def loader(count=10, workers=0, batch_size=2):
    data = dataset(count)
    return ResumableLoader(data, batch_size, sampler=EpochSampler(data, shuffle=True, seed=3), num_workers=workers)


def epoch(batches):
    return [(b["index"].tolist(), b["image"].sum().item(), b["mask"].sum().item()) for b in batches]


def test_workers_do_not_change_the_samples():
    assert epoch(loader(workers=0)) == epoch(loader(workers=2))


def test_epochs_differ_and_repeat():
    data = loader()
    first = epoch(data)
    data.sampler.set_epoch(1)
    assert epoch(data) != first
    data.sampler.set_epoch(0)
    assert epoch(data) == first


def test_evaluation_is_the_same_in_each_epoch():
    data = dataset(augment=False)
    early, late = data[SampleKey(0, 4)], data[SampleKey(9, 4)]
    assert torch.equal(early["image"], late["image"]) and torch.equal(early["mask"], late["mask"])


@pytest.mark.parametrize("workers", [0, 2])
def test_loader_continues_between_two_batches(workers):
    whole = epoch(loader())
    begun = loader(workers=workers)
    iterator = iter(begun)
    for _ in range(2):
        next(iterator)
    resumed = loader(workers=workers)
    resumed.load_state_dict(begun.state_dict())
    assert epoch(resumed) == whole[2:]
    assert len(epoch(resumed)) == len(whole), "only the interrupted epoch is cut"


def test_two_ranks_make_up_the_batches_of_one_process():
    data = dataset(12)
    one = ResumableLoader(data, 4, sampler=EpochSampler(data, True, seed=3))
    two = [ResumableLoader(data, 2, sampler=EpochSampler(data, True, 3, rank, 2)) for rank in range(2)]
    for whole, *halves in zip(one, *two, strict=True):
        together = sorted(index for half in halves for index in half["index"].tolist())
        assert together == sorted(whole["index"].tolist())


@pytest.mark.parametrize(("count", "ranks"), [(5, 2), (1, 4), (7, 3)])
def test_evaluation_covers_every_index_on_uneven_ranks(count, ranks):
    data = dataset(count, augment=False)
    seen = [[key.sample for key in EpochSampler(data, False, 0, rank, ranks)] for rank in range(ranks)]
    assert {index for part in seen for index in part} == set(range(count))
    assert len({len(part) for part in seen}) == 1, "ranks must run the same number of steps"


def test_a_batch_that_can_never_fill_is_an_error_before_training():
    with pytest.raises(DataError, match=r"3 training images do not fill one batch of 4.*--data.batch_size"):
        NoiseData(count=3, batch_size=4).setup("fit")


@pytest.mark.parametrize(("name", "value"), [("batch_size", 0), ("num_workers", -1)])
def test_bad_numbers_are_named(name, value):
    with pytest.raises(ValueError, match=f"{name} must be .* got {value}"):
        NoiseData(**{name: value})
