"""The pinned pairs of a benchmark, dealt out in batches that do not depend on who computes them."""

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
    """The test pictures of a data module with the masks of its manifest; without a manifest, pinned now.

    Args:
        name: as the user calls the set.
        data: pictures and masks; its `batch_size` is not used.

    Attributes:
        remarks: warnings about the data, to be printed.

    Raises:
        DataError: pictures that cannot be used, or a manifest that pins others.
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
        """The positions of each batch: consecutive ones, the last batch shorter."""
        return [range(start, min(start + size, len(self))) for start in range(0, len(self), size)]

    def loader(self, batches: Sequence[Sequence[int]]) -> DataLoader[Any]:
        """Loads these batches."""
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
        """In words, that the output folder pins other pairs than these; None where it does not."""
        path = self._path(out)
        if self.data.manifest or not path.exists():
            return None
        try:
            same = type(self.manifest).load(path).digest() == self.digest
        except InpaintzooError as error:
            return f"its manifest cannot be read ({error})"
        return None if same else f"pictures or masks are not those that {path} pins"

    def pin(self, out: Path) -> None:
        """Write a manifest that was made now into the output folder, in place of one that says otherwise.

        Whether that one may be replaced is to be asked before, by `differs`. A manifest that was given stays as it is.
        """
        if not self.data.manifest and (not self._path(out).exists() or self.differs(out)):
            self.manifest.save(self._path(out), overwrite=True)

    def described(self, out: Path) -> PairSet:
        """What the tables say of this set, once `pin` was called."""
        path = self._path(out)
        shown = path if self.data.manifest else path.relative_to(out)
        return PairSet(
            self.name, self._words(), len(self), self.height, self.width, shown.as_posix(), file_digest(path)
        )

    def _path(self, out: Path) -> Path:
        return Path(self.data.manifest).expanduser() if self.data.manifest else out / "manifests" / f"{self.name}.jsonl"

    def _words(self) -> str:
        masks = "the manifest" if self.data.manifest else type(self.data.test_masks).__name__
        source = self.manifest.source or type(self.data).__name__
        return f"{source}, {self.manifest.split} pictures, {self.height}x{self.width}; masks: {masks}"
