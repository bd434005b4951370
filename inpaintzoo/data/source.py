"""Image sources: the contract of folders and built-in scenes."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from torch import Tensor

from inpaintzoo.types import Split as Split  # where it used to be


@dataclasses.dataclass
class Sample:
    """One picture.

    Attributes:
        image: `(3, H, W)` float32 in [0, 1].
        name: unique within its source, with `/` for folders, usable as a relative file name without suffix.
        labels: `(H, W)` int64 class indices, 255 = ignore, or None.
        tags: `(T,)` float 0/1, or None.
    """

    image: Tensor
    name: str
    labels: Tensor | None = None
    tags: Tensor | None = None


class ImageSource(ABC):
    """A finite, indexable set of pictures.

    Attributes:
        names: the pictures' names, by index.
    """

    names: Sequence[str]

    def __len__(self) -> int:
        return len(self.names)

    @abstractmethod
    def load(self, index: int, rng: np.random.Generator | None = None) -> Sample:
        """The picture at `index`, ready for the network.

        Args:
            index: from 0.
            rng: every random choice (crop, flip, jitter) must come from it. None makes no random choice, for
                evaluation: the picture is the same each time.
        """

    @abstractmethod
    def fingerprint(self, index: int) -> str:
        """SHA-256 (hex) of the file's bytes or of the recipe: it changes when the picture does."""
