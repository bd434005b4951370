"""Pictures as a contender: what a method outside the zoo has predicted for the pinned pairs."""

from __future__ import annotations

import hashlib
import json
import re
import string
from pathlib import Path

import torch

from inpaintzoo.benchmark.run.contenders import BatchFiller, Filled, Method
from inpaintzoo.benchmark.run.pairing import check_pairing
from inpaintzoo.benchmark.run.pairs import Pairs
from inpaintzoo.benchmark.run.processes import Precision
from inpaintzoo.benchmark.run.store import Key
from inpaintzoo.data.checks import in_threads
from inpaintzoo.files.writing import file_digest
from inpaintzoo.pictures.images import image_to_tensor, is_image_name, list_images, open_image, read_image, upright_size
from inpaintzoo.types import Batch, ConfigError, DataError
from inpaintzoo.words import counted, some


class Predictions(Method):
    """Pictures in a folder, paired with the set's pictures by name.

    Their size must be the set's. If the known pixels of a file are those of another picture of the set, the pairing is
    wrong and the benchmark stops; if they match no picture, the tables have a remark.

    Args:
        folder: searched with its sub-folders; `{set}` in it stands for the set's name.
        pattern: path of a prediction below the folder, with or without suffix. `{name}` is the picture's name (with its
            sub-folders), `{index}` its number in the set from 0, also as `{index:05d}`, and `{fill}` the number of the
            fill from 0. The default is `{name}`, or `{name}-{fill}` for several fills, as `inpaintzoo predict` writes
            them.
        fills: pictures per hole, for stochastic methods.
        composites: whether the method keeps the known pixels; if so, every file is checked for it.
    """

    kind = "predictions"

    def __init__(self, folder: str, pattern: str | None = None, fills: int = 1, composites: bool = False) -> None:
        if fills < 1:
            raise ConfigError(f"Predictions: fills must be at least 1, got {fills}")
        self.folder = folder
        self.pattern = pattern or ("{name}" if fills == 1 else "{name}-{fill}")
        self.fills = fills
        self.composites = composites
        self._remarks: dict[str, str] = {}  # by set
        _check_pattern(self.pattern, fills)

    @property
    def source(self) -> str:
        """The folder, as given."""
        return self.folder

    def check(self, pairs: Pairs) -> None:
        """Check that there is a file for each fill and no other, of the set's size and with the right known pixels."""
        files = self._files(pairs)
        wrong = [
            f"{path} is {height}x{width}"
            for path, (height, width) in zip(files, in_threads(_size, files), strict=True)
            if (height, width) != (pairs.height, pairs.width)
        ]
        if wrong:
            raise DataError(
                f"{len(wrong)} of {counted(files, 'prediction')} are not {pairs.height}x{pairs.width} like the set: "
                f"{some(wrong, 3)}; predict at the set's size, as a benchmark does not resize"
            )
        if remark := check_pairing(pairs, files, self.fills, self.composites):
            self._remarks[pairs.name] = remark

    def identity(self, pairs: Pairs) -> Key:
        """A hash over all files, in the order of the pairs."""
        digests = json.dumps(in_threads(file_digest, self._files(pairs)))
        return {"predictions": hashlib.sha256(digests.encode()).hexdigest(), "fills": str(self.fills)}

    def facts(self) -> dict[str, str]:
        """The pattern, the number of fills, and a remark for each set that has one."""
        remarks = {f"remark on {name}": remark for name, remark in self._remarks.items()}
        return {"pattern": self.pattern, "fills": str(self.fills), **remarks}

    def open(self, pairs: Pairs, device: torch.device, precision: Precision, seed: int) -> BatchFiller:
        """A filler that reads the files of each batch."""
        files = self._files(pairs)

        def fill(batch: Batch, n: int) -> Filled:
            count = min(n, self.fills)
            positions = [int(index) for index in batch["index"]]
            chosen = [files[i * self.fills + number] for i in positions for number in range(count)]
            pictures = in_threads(lambda path: image_to_tensor(read_image(path)), chosen)
            images = torch.stack(pictures).unflatten(0, (len(positions), count)).to(device)
            return Filled(images)

        return fill

    def _files(self, pairs: Pairs) -> list[Path]:
        """The file of each picture and fill, fills of a picture one after the other."""
        folder = Path(self.folder.replace("{set}", pairs.name)).expanduser()
        if not folder.is_dir():
            raise DataError(f"there is no folder {folder}")
        found: dict[str, Path] = {}
        exact = is_image_name(self.pattern)
        for path in list_images(folder):
            key = path.relative_to(folder).as_posix() if exact else path.relative_to(folder).with_suffix("").as_posix()
            if key in found:
                raise DataError(f"{path} and {found[key].name} are two files for one prediction; remove one of them")
            found[key] = path
        wanted = [
            self.pattern.format(name=name, index=index, fill=number)
            for index, name in enumerate(pairs.source.names)
            for number in range(self.fills)
        ]
        self._compare(wanted, found, folder)
        return [found[key] for key in wanted]

    def _compare(self, wanted: list[str], found: dict[str, Path], folder: Path) -> None:
        if len(set(wanted)) < len(wanted):
            raise DataError(f"the pattern {self.pattern!r} names the same file for several pictures")
        of_pattern = _expression(self.pattern)
        extra = sorted(key for key in found.keys() - set(wanted) if of_pattern.fullmatch(key))
        if missing := [key for key in wanted if key not in found]:
            there = f"; there are {some(extra or sorted(found), 3)}" if found else "; there are no pictures at all"
            raise DataError(
                f"{len(missing)} of {counted(wanted, 'prediction')} are missing in {folder}: {some(missing, 3)}{there} "
                f"(pattern {self.pattern!r})"
            )
        if extra:
            raise DataError(
                f"{folder} holds {counted(extra, 'prediction')} of pictures that are not in the set: {some(extra, 3)}; "
                f"were they made for other pairs? Remove them, or narrow the pattern {self.pattern!r}"
            )


def _check_pattern(pattern: str, fills: int) -> None:
    try:
        fields = [field for _, field, _, _ in string.Formatter().parse(pattern) if field is not None]
        pattern.format(name="a", index=0, fill=0)
    except (KeyError, IndexError, ValueError) as error:
        raise ConfigError(f"Predictions: pattern {pattern!r} may hold {{name}}, {{index}} and {{fill}} only") from error
    if not {"name", "index"} & set(fields):
        raise ConfigError(f"Predictions: pattern {pattern!r} must hold {{name}} or {{index}}")
    if fills > 1 and "fill" not in fields:
        raise ConfigError(f"Predictions: pattern {pattern!r} must hold {{fill}} to tell {fills} fills apart")


def _expression(pattern: str) -> re.Pattern[str]:
    parts = [
        re.escape(text) + ("" if field is None else ".+" if field == "name" else r"\d+")
        for text, field, _, _ in string.Formatter().parse(pattern)
    ]
    return re.compile("".join(parts), re.DOTALL)  # a name may hold a line break


def _size(path: Path) -> tuple[int, int]:
    with open_image(path, load=False) as image:
        return upright_size(image)
