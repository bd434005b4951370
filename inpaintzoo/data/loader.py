"""A sampler and a loader whose order depends on (seed, epoch) only, and which can continue in mid-epoch."""

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
    (rank r gets the positions r, r + N, …), so that the batches of N ranks together are one batch of one process.
    When shuffling for training the incomplete tail is dropped; otherwise the first samples are repeated to even
    out the ranks, and whoever measures drops repeats by `index`.

    Args:
        dataset: only its length is read.
        shuffle: a new order each epoch.
        seed: of the order.
        rank: this process.
        world_size: number of processes.
    """

    def __init__(self, dataset: Dataset[Any], shuffle: bool, seed: int = 0, rank: int = 0, world_size: int = 1) -> None:
        super().__init__(dataset, world_size, rank, shuffle=shuffle, seed=seed, drop_last=shuffle)
        self.start = 0  # samples of this rank to leave out, when an interrupted epoch continues, of
        self.start_epoch = 0  # this epoch

    @property
    def skipped(self) -> int:
        """Samples that the next iteration leaves out."""
        return self.start if self.epoch == self.start_epoch else 0

    def __iter__(self) -> Iterator[SampleKey]:  # type: ignore[override]
        length = len(self.dataset)  # type: ignore[arg-type]
        order = np.random.default_rng([self.seed, self.epoch]).permutation(length) if self.shuffle else range(length)
        # Repeats that even out the ranks come from the front; with a set smaller than the ranks, several times.
        positions = range(self.rank, self.total_size, self.num_replicas)
        start, self.start = self.skipped, 0
        for position in positions[start:]:
            yield SampleKey(self.epoch, int(order[position % length]))


class ResumableLoader(DataLoader[Any]):
    """A `DataLoader` that Lightning can stop and continue between any two batches of an epoch.

    Lightning saves `state_dict()` in each checkpoint and hands it back before the first batch after a resume. Its
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
        """Where this loader is: epoch and batches handed out."""
        epoch = self.sampler.epoch if isinstance(self.sampler, EpochSampler) else 0
        return {"epoch": epoch, "batches": self._batches % max(len(self), 1)}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Let the next iteration begin after the batches already handed out."""
        if isinstance(self.sampler, EpochSampler):  # Lightning puts in another one to overfit a few batches
            self.sampler.set_epoch(state["epoch"])
            self.sampler.start = state["batches"] * (self.batch_size or 1)
            self.sampler.start_epoch = state["epoch"]
