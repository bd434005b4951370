"""The pinned pairs of a benchmark, in batches that do not depend on which process computes them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader, default_collate

from inpaintzoo.benchmark.results import PairSet
from inpaintzoo.data import InpaintingData
from inpaintzoo.data.dataset import InpaintingDataset
from inpaintzoo.data.manifest import PinnedMasks
from inpaintzoo.files.writing import file_digest
from inpaintzoo.types import Batch, DataError, InpaintzooError


class Pairs:
    """The test pictures of a data module with the masks of its manifest; without a manifest, they are pinned now.

    Args:
        name: the user's name for the set.
        data: pictures and masks; its `batch_size` is not used.

    Attributes:
        remarks: warnings about the data, to be printed.

    Raises:
        DataError: pictures cannot be used, or the manifest pins other ones.
    """

    def __init__(self, name: str, data: InpaintingData) -> None:
        self.name = name
        self.data = data
        try:
            findings = data.check(("test",))
            if errors := [finding.text for finding in findings if finding.level == "error"]:
                raise DataError("; ".join(errors))
            self.manifest = data.pinned
        except InpaintzooError as error:
            raise DataError(f"set {name!r}: {error}") from error
        self.remarks = [finding.text for finding in findings if finding.level == "warning"]
        self.source = data.source("test")
        self.digest = self.manifest.digest()
        self.height, self.width = self.manifest.height, self.manifest.width
        self.dataset = InpaintingDataset(self.source, PinnedMasks(self.manifest), data.seed, augment=False)

    def __len__(self) -> int:
        return len(self.manifest)

    def batches(self, size: int) -> list[range]:
        """The positions of each batch: consecutive, and fewer in the last batch."""
        return [range(start, min(start + size, len(self))) for start in range(0, len(self), size)]

    def loader(self, batches: Sequence[Sequence[int]]) -> DataLoader[Any]:
        """A loader of these batches."""
        return DataLoader(
            self.dataset,
            batch_sampler=[list(batch) for batch in batches],
            num_workers=self.data.num_workers,
            pin_memory=torch.cuda.is_available(),
        )

    def load(self, positions: Sequence[int]) -> Batch:
        """The pairs at these positions as one batch."""
        batch: Batch = default_collate([self.dataset[position] for position in positions])
        return batch

    def differs(self, out: Path) -> str | None:
        """A sentence if the output folder pins other pairs than these, otherwise None."""
        path = self._path(out)
        if self.data.manifest or not path.exists():
            return None
        try:
            same = type(self.manifest).load(path).digest() == self.digest
        except InpaintzooError as error:
            return f"its manifest cannot be read ({error})"
        return None if same else f"pictures or masks are not those that {path} pins"

    def pin(self, out: Path) -> None:
        """Write a manifest that was made now into the output folder, replacing one that differs.

        Ask `differs` first whether one would be replaced. A manifest that was given stays as it is.
        """
        if not self.data.manifest and (not self._path(out).exists() or self.differs(out)):
            self.manifest.save(self._path(out), overwrite=True)

    def described(self, out: Path) -> PairSet:
        """The set as the tables describe it; call `pin` first."""
        path = self._path(out)
        shown = (path if self.data.manifest else path.relative_to(out)).as_posix()
        masks = "the manifest" if self.data.manifest else type(self.data.test_masks).__name__
        source = self.manifest.source or type(self.data).__name__
        words = f"{source}, {self.manifest.split} pictures, {self.height}x{self.width}; masks: {masks}"
        return PairSet(self.name, words, len(self), self.height, self.width, shown, file_digest(path))

    def _path(self, out: Path) -> Path:
        return Path(self.data.manifest).expanduser() if self.data.manifest else out / "manifests" / f"{self.name}.jsonl"
