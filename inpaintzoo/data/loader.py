"""A sampler and a loader whose order depends only on (seed, epoch), and which can resume in the middle of an epoch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from torch.utils.data import DataLoader, Dataset
from torch.utils.data.distributed import DistributedSampler

from inpaintzoo.data.dataset import SampleKey


class EpochSampler(DistributedSampler[Any]):
    """Yields `SampleKey(epoch, sample)` for one of several ranks.

    A `DistributedSampler` by type, so that Lightning leaves it in place and calls `set_epoch`. Ranks take turns
    (rank r gets positions r, r + N, …), so the batches of N ranks together are the batch of a single process.
    Shuffled for training, the incomplete tail is dropped; otherwise the first samples are repeated until all ranks
    have the same number, and metrics drop the repeats by `index`.

    Args:
        dataset: only its length is read.
        shuffle: a new order each epoch.
        seed: seed of the order.
        rank: this process.
        world_size: number of processes.
    """

    def __init__(self, dataset: Dataset[Any], shuffle: bool, seed: int = 0, rank: int = 0, world_size: int = 1) -> None:
        super().__init__(dataset, world_size, rank, shuffle=shuffle, seed=seed, drop_last=shuffle)
        self.start = 0  # samples of this rank to skip when an interrupted epoch is resumed:
        self.start_epoch = 0  # this one

    @property
    def skipped(self) -> int:
        """Samples that the next iteration skips."""
        return self.start if self.epoch == self.start_epoch else 0

    def __iter__(self) -> Iterator[SampleKey]:  # type: ignore[override]
        length = len(self.dataset)  # type: ignore[arg-type]
        order = np.random.default_rng([self.seed, self.epoch]).permutation(length) if self.shuffle else range(length)
        # Repeats come from the front, several times over if there are fewer samples than ranks.
        positions = range(self.rank, self.total_size, self.num_replicas)
        start, self.start = self.skipped, 0
        for position in positions[start:]:
            yield SampleKey(self.epoch, int(order[position % length]))


class ResumableLoader(DataLoader[Any]):
    """A `DataLoader` that Lightning can stop and resume between any two batches of an epoch.

    Lightning saves `state_dict()` in each checkpoint and restores it before the first batch of a resumed run. The
    arguments are those of `DataLoader`; the sampler must be an `EpochSampler`.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._batches = 0  # handed out in this epoch

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        self._batches = self.sampler.skipped // (self.batch_size or 1) if isinstance(self.sampler, EpochSampler) else 0
        for batch in super().__iter__():
            self._batches += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        """The epoch, and how many of its batches have been handed out."""
        epoch = self.sampler.epoch if isinstance(self.sampler, EpochSampler) else 0
        return {"epoch": epoch, "batches": self._batches % max(len(self), 1)}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Start the next iteration after the batches that have been handed out."""
        if isinstance(self.sampler, EpochSampler):  # Lightning replaces it to overfit a few batches
            self.sampler.set_epoch(state["epoch"])
            self.sampler.start = state["batches"] * (self.batch_size or 1)
            self.sampler.start_epoch = state["epoch"]
