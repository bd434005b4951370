"""The contenders of a benchmark: networks from checkpoints and weight files, and plain fills."""

from __future__ import annotations

import dataclasses
import functools
import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from inpaintzoo.benchmark.run.pairs import Pairs
from inpaintzoo.benchmark.run.processes import Precision, arithmetic
from inpaintzoo.benchmark.run.store import Key
from inpaintzoo.files.writing import file_digest
from inpaintzoo.generator import Generator
from inpaintzoo.inpainter import Inpainter
from inpaintzoo.losses import ValidL1
from inpaintzoo.metrics.segmentation import predicted_logits
from inpaintzoo.types import Batch, ConfigError
from inpaintzoo.weights import WeightFile, read_about
from inpaintzoo.weights.guests import GUEST_SUFFIXES
from inpaintzoo.weights.loading import load_described
from inpaintzoo.weights.registry import find_checkpoint


@dataclasses.dataclass(frozen=True)
class Filled:
    """A contender's fills of a batch.

    Attributes:
        images: raw predictions, float32 `(B, n, 3, H, W)`; n is 1 unless the contender has several fills.
        logits: `(B, classes, h, w)` for labels, if it predicts them.
    """

    images: Tensor
    logits: Tensor | None = None


# Fills a batch, whose tensors are on the device, with at most that many fills per image, always the same.
BatchFiller = Callable[[Batch, int], Filled]


class Method(ABC):
    """A contender, as a config describes it.

    Attributes:
        kind: a word for the report.
        deterministic: whether seeds do not matter, because a hole is always filled the same way; known after `check`.
    """

    kind: str
    deterministic: bool = True

    @property
    @abstractmethod
    def source(self) -> str:
        """The path, or the class."""

    @abstractmethod
    def check(self, pairs: Pairs) -> None:
        """Check, before anything runs, that it can fill every pair of a set.

        Raises:
            InpaintzooError: it cannot; the message says why.
        """

    @abstractmethod
    def identity(self, pairs: Pairs) -> Key:
        """Everything that decides its fills of a set, besides the benchmark's settings: hashes and arguments."""

    @abstractmethod
    def open(self, pairs: Pairs, device: torch.device, precision: Precision, seed: int) -> BatchFiller:
        """Prepare to fill a set."""

    def release(self) -> None:  # noqa: B027  (most have nothing to release)
        """Give up the memory of what `check` and `open` have loaded; the next `open` loads it again."""

    def sha256(self) -> str | None:
        """The hash of the weight file, if there is one."""
        return None

    def facts(self) -> dict[str, str]:
        """Facts for the report, by name."""
        return {}


class NetworkFiller:
    """Fills batches as `inpaintzoo test` does, through the Inpainter.

    Args:
        generator: the network.
        device: where it runs.
        precision: number format that it computes in.
        seed: seed of a stochastic generator's fills, which depend only on it and on the image's index.
    """

    def __init__(self, generator: Generator, device: torch.device, precision: Precision, seed: int) -> None:
        # The loss is a formality: the Inpainter refuses to be built without one.
        inpainter = Inpainter(generator.requires_grad_(False), {"valid": ValidL1()}, sample_seed=seed)
        self.inpainter = inpainter.to(device).eval()
        self.device = device
        self.precision = precision

    @torch.no_grad()
    def __call__(self, batch: Batch, n: int) -> Filled:
        """Fill a batch; see `BatchFiller`."""
        with arithmetic(self.device, self.precision):
            if self.inpainter.generator.stochastic:
                return Filled(self.inpainter.fills(batch, n).float())
            output = self.inpainter.predict_frame(batch)
            return Filled(output.image.float().unsqueeze(1), predicted_logits(output))


class NetworkMethod(Method):
    """A contender with a generator; a subclass says where the generator comes from."""

    @abstractmethod
    def generator(self) -> Generator:
        """The generator."""

    def check(self, pairs: Pairs) -> None:
        """Load the generator, and check that it takes pictures of the set's size."""
        generator = self.generator()
        self.deterministic = not generator.stochastic
        size = (pairs.height, pairs.width)
        generator.check_size(torch.zeros(1, 3, *size), torch.zeros(1, 1, *size))

    def open(self, pairs: Pairs, device: torch.device, precision: Precision, seed: int) -> BatchFiller:
        """A filler with its own generator."""
        return NetworkFiller(self.generator(), device, precision, seed)


class Weights(NetworkMethod):
    """A weight file of the zoo, or a guest's.

    Args:
        path: a `.safetensors` file, as `inpaintzoo export` and `inpaintzoo convert` write it; a name of
            `inpaintzoo list --weights`; or LaMa's `.pt` or `.pth` file, whose kind is then `guest`.
    """

    kind = "weights"

    raw = False  # only a checkpoint has a choice

    def __init__(self, path: str) -> None:
        self.path = Path(path).expanduser()
        if self.path.suffix in GUEST_SUFFIXES:
            self.kind = "guest"
        self._generator: Generator | None = None
        self._about: WeightFile | None = None

    @property
    def source(self) -> str:
        """The path, as given."""
        return str(self.path)

    @property
    def file(self) -> Path:
        """The weight file: for a run's folder its last checkpoint, for a name what is fetched."""
        return find_checkpoint(self.path)

    def generator(self) -> Generator:
        """The generator, rebuilt from the file, which is read once for all sets."""
        if self._generator is None:
            self._generator, self._about = load_described(self.file, raw=self.raw)
        return self._generator

    def release(self) -> None:
        """Drop the generator."""
        self._generator = None

    def identity(self, pairs: Pairs) -> Key:
        """The file's hash."""
        return {"weights": self.sha256()}

    @functools.cached_property
    def _digest(self) -> str:
        return file_digest(self.file)

    def sha256(self) -> str:
        """The file's hash, computed once."""
        return self._digest

    def facts(self) -> dict[str, str]:
        """Class, arguments, and where the weights come from."""
        about = self._about or read_about(self.file, self.raw)
        known = {key: str(value) for key, value in about.facts.items() if isinstance(value, (str, int, float))}
        arguments = {"arguments": json.dumps(about.init_args)} if about.init_args else {}
        licence = {"licence": about.licence} if about.licence else {}
        return {"network": about.class_path.rpartition(".")[2], **arguments, **known, **licence}


class Checkpoint(Weights):
    """A checkpoint of a run.

    Args:
        path: a `.ckpt` file, or the folder of a run, which stands for its `last.ckpt`.
        raw: use the trained weights even if there is a moving average of them.
    """

    kind = "checkpoint"

    def __init__(self, path: str, raw: bool = False) -> None:
        super().__init__(path)
        self.raw = raw

    def identity(self, pairs: Pairs) -> Key:
        """The file's hash, and which of its weights."""
        return {"weights": self.sha256(), "raw": str(self.raw)}


class Fill(NetworkMethod):
    """A fill that learns nothing: `MeanColour`, `Diffusion`, `Biharmonic`, or a similar generator of your own.

    Args:
        generator: without parameters.
    """

    kind = "fill"

    def __init__(self, generator: Generator) -> None:
        if any(True for _ in generator.parameters()):
            raise ConfigError(
                f"Fill: a {type(generator).__name__} has weights, which would be random here; use Weights or Checkpoint"
            )
        self._generator = generator

    @property
    def source(self) -> str:
        """The class."""
        return type(self._generator).__name__

    def generator(self) -> Generator:
        """The generator that was given."""
        return self._generator

    def identity(self, pairs: Pairs) -> Key:
        """Class, arguments, and the revision of the class unless it is the first."""
        key = {"fill": self._generator.class_path, "arguments": json.dumps(self._generator.settings, default=repr)}
        revision = self._generator.revision
        return key if revision == 1 else {**key, "revision": str(revision)}

    def facts(self) -> dict[str, str]:
        """The arguments, if there are any."""
        settings = {name: value for name, value in self._generator.settings.items() if value is not None}
        return {"arguments": json.dumps(settings, default=repr)} if settings else {}
