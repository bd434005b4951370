"""Who takes part in a benchmark: networks from checkpoints and weight files, and plain fills."""

from __future__ import annotations

import dataclasses
import json
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Protocol

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
from inpaintzoo.weights import load_model, read_about
from inpaintzoo.weights.checkpoints import find_checkpoint


@dataclasses.dataclass(frozen=True)
class Filled:
    """What a contender makes of a batch.

    Attributes:
        images: `(B, n, 3, H, W)` float32, raw predictions; n is 1 unless the contender has several fills.
        logits: of labels, `(B, classes, h, w)`, where it predicts them.
    """

    images: Tensor
    logits: Tensor | None = None


class Filler(Protocol):
    """Fills batches of one set, always in the same way."""

    def __call__(self, batch: Batch, n: int) -> Filled:
        """Fill a batch whose tensors are on the device.

        Args:
            batch: pairs with `index` and `name`.
            n: most fills an image that are wanted.
        """
        ...


class Method(ABC):
    """A contender, as a config describes it.

    Attributes:
        kind: what it is, in a word.
        deterministic: whether the same hole is always filled alike, so that seeds do not matter; known after `check`.
    """

    kind: str
    deterministic: bool = True

    @property
    @abstractmethod
    def source(self) -> str:
        """Path, or class."""

    @abstractmethod
    def check(self, pairs: Pairs) -> None:
        """Make sure that it can fill every pair of a set, before anything runs.

        Raises:
            InpaintzooError: it cannot; the message says why.
        """

    @abstractmethod
    def identity(self, pairs: Pairs) -> Key:
        """What decides its fills of a set, beside the benchmark's own settings: hashes and arguments."""

    @abstractmethod
    def open(self, pairs: Pairs, device: torch.device, precision: Precision, seed: int) -> Filler:
        """Make ready to fill a set."""

    def sha256(self) -> str | None:
        """Of the weight file, where there is one."""
        return None

    def facts(self) -> dict[str, str]:
        """What the report shows of it."""
        return {}


class NetworkFiller:
    """A generator that fills as `inpaintzoo test` does, through the Inpainter.

    Args:
        generator: the network.
        device: where it runs.
        precision: in which it computes.
        seed: of a stochastic generator's fills; an image's depend on this and the image's index only.
    """

    def __init__(self, generator: Generator, device: torch.device, precision: Precision, seed: int) -> None:
        # The loss is a formality: an Inpainter without anything to learn from is refused.
        inpainter = Inpainter(generator.requires_grad_(False), {"valid": ValidL1()}, sample_seed=seed)
        self.inpainter = inpainter.to(device).eval()
        self.device = device
        self.precision = precision

    @torch.no_grad()
    def __call__(self, batch: Batch, n: int) -> Filled:
        """Fill a batch; see `Filler`."""
        with arithmetic(self.device, self.precision):
            if self.inpainter.generator.stochastic:
                return Filled(self.inpainter.fills(batch, n).float())
            output = self.inpainter.predict_frame(batch)
            return Filled(output.image.float().unsqueeze(1), predicted_logits(output))


class NetworkMethod(Method):
    """A contender with a generator; a subclass says where it comes from."""

    @abstractmethod
    def generator(self) -> Generator:
        """The generator, ready to fill."""

    def check(self, pairs: Pairs) -> None:
        """Load it, and compare its sizes with the set's."""
        generator = self.generator()
        self.deterministic = not generator.stochastic
        size = (pairs.height, pairs.width)
        generator.check_size(torch.zeros(1, 3, *size), torch.zeros(1, 1, *size))

    def open(self, pairs: Pairs, device: torch.device, precision: Precision, seed: int) -> Filler:
        """A filler around a generator of its own."""
        return NetworkFiller(self.generator(), device, precision, seed)


class Weights(NetworkMethod):
    """A weight file of the zoo.

    Args:
        path: a `.safetensors` file, as `inpaintzoo export` and `inpaintzoo convert` write it.
    """

    kind = "weights"

    def __init__(self, path: str) -> None:
        self.path = Path(path).expanduser()

    @property
    def source(self) -> str:
        """The path, as it was given."""
        return str(self.path)

    @property
    def file(self) -> Path:
        """The weight file."""
        return self.path

    def generator(self) -> Generator:
        """Rebuilt from the file."""
        return load_model(self.file)

    def identity(self, pairs: Pairs) -> Key:
        """The file's hash."""
        return {"weights": self.sha256()}

    def sha256(self) -> str:
        """Of the file."""
        return file_digest(self.file)

    def facts(self) -> dict[str, str]:
        """Class, arguments, and how the weights came about."""
        about = read_about(self.file)
        known = {key: str(value) for key, value in about.facts.items() if isinstance(value, (str, int, float))}
        arguments = {"arguments": json.dumps(about.init_args)} if about.init_args else {}
        licence = {"licence": about.licence} if about.licence else {}
        return {"network": about.class_path.rpartition(".")[2], **arguments, **known, **licence}


class Checkpoint(Weights):
    """A checkpoint of a run.

    Args:
        path: a `.ckpt` file, or the folder of a run, whose `last.ckpt` is then taken.
        raw: take the trained weights where there is a moving average of them too.
    """

    kind = "checkpoint"

    def __init__(self, path: str, raw: bool = False) -> None:
        super().__init__(path)
        self.raw = raw

    @property
    def file(self) -> Path:
        """The checkpoint file; in a run's folder the last one."""
        return find_checkpoint(self.path)

    def generator(self) -> Generator:
        """Rebuilt from the checkpoint: the moving average where there is one, unless `raw`."""
        return load_model(self.file, raw=self.raw)

    def identity(self, pairs: Pairs) -> Key:
        """The file's hash, and which weights in it."""
        return {"weights": self.sha256(), "raw": str(self.raw)}


class Fill(NetworkMethod):
    """A fill that learns nothing: `MeanColour`, `Diffusion`, `Biharmonic`, or a generator of your own like them.

    Args:
        generator: without parameters.
    """

    kind = "fill"

    def __init__(self, generator: Generator) -> None:
        if any(True for _ in generator.parameters()):
            raise ConfigError(
                f"Fill: a {type(generator).__name__} has weights, and these would be random ones; take Weights or "
                f"Checkpoint"
            )
        self._generator = generator

    @property
    def source(self) -> str:
        """The class."""
        return type(self._generator).__name__

    def generator(self) -> Generator:
        """The one that was given."""
        return self._generator

    def identity(self, pairs: Pairs) -> Key:
        """Class and arguments."""
        return {"fill": self._generator.class_path, "arguments": json.dumps(self._generator.settings, default=repr)}

    def facts(self) -> dict[str, str]:
        """Arguments, where there are any."""
        settings = self._generator.settings
        return {"arguments": json.dumps(settings, default=repr)} if settings else {}
