"""Pinned pairs: which mask goes with which picture, in a JSON-lines file from which a table can be repeated.

The first line is a header, each of the others a pair:

    {"manifest": 1, "inpaintzoo": "0.1.0", "source": "photos", "split": "test", "count": 2, "height": 256, ...}
    {"index": 0, "image": "a/001", "image_sha256": ..., "mask": {...}, "mask_sha256": ..., "ratio": 0.25, "bin": ...}

A mask is either `{"recipe": {"class": ..., "args": ...}, "seed": [...]}`, drawn again each time it is used, or
`{"file": ..., "sha256": ..., "polarity": ..., "threshold": ..., "resize": ...}`. Either way `mask_sha256` covers its
pixels, so it shows if another library version draws another mask.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec
import numpy as np
from torch import Tensor

from inpaintzoo.data.checks import in_threads
from inpaintzoo.data.dataset import MASK_STREAM
from inpaintzoo.data.findings import Finding
from inpaintzoo.data.masks.base import MaskGenerator, MaskResize, resize_hole
from inpaintzoo.data.masks.files import MaskFolder
from inpaintzoo.data.masks.reading import Polarity, read_hole
from inpaintzoo.data.masks.recipes import mask_from_recipe, recipe_classes
from inpaintzoo.data.source import ImageSource
from inpaintzoo.files.reading import parse_json
from inpaintzoo.files.writing import file_digest, new_file, write_text
from inpaintzoo.ops import mask_ratio, ratio_bin
from inpaintzoo.types import DataError
from inpaintzoo.version import __version__

MANIFEST_FORMAT = 1
_NO_NAME = re.compile(r"\\u0000|[\ud800-\udc7f\udd00-\udfff]")  # in JSON; the rest are bytes that are not UTF-8
_Side = Annotated[int, msgspec.Meta(ge=1, le=65_535)]
LineT = TypeVar("LineT")
MANIFEST_SUFFIXES = (".jsonl", ".ndjson")


@dataclasses.dataclass(frozen=True)
class PinnedPair:
    """One picture and its mask.

    Attributes:
        index: the picture's index in its source.
        image: the picture's name.
        image_sha256: its fingerprint, see `ImageSource.fingerprint`.
        mask: recipe and seed, or file, as described above.
        mask_sha256: hash of the mask's pixels, see `mask_hash`.
        ratio: share of the picture that is hole, in [0, 1].
        bin: the ratio's bin, see `inpaintzoo.ops.ratio_bin`.
    """

    index: int
    image: str
    image_sha256: str
    mask: dict[str, Any]
    mask_sha256: str
    ratio: float
    bin: str


@dataclasses.dataclass(frozen=True)
class Manifest:
    """All pairs of one split.

    Attributes:
        pairs: in the order of the source's pictures.
        height: height of pictures and masks, in pixels.
        width: width of pictures and masks, in pixels.
        source: what the pictures are, in words.
        split: which part of them.
        mask_folder: where mask files are, if there are any.
        version: the version of inpaintzoo that made the manifest.
    """

    pairs: Sequence[PinnedPair]
    height: int
    width: int
    source: str = ""
    split: str = "test"
    mask_folder: str | None = None
    version: str = __version__

    def __len__(self) -> int:
        return len(self.pairs)

    @classmethod
    def make(
        cls,
        source: ImageSource,
        masks: MaskGenerator,
        seed: int,
        height: int,
        width: int,
        description: str = "",
        split: str = "test",
    ) -> Manifest:
        """Pair each picture with the mask that evaluation with this seed would draw for it.

        Args:
            source: the pictures.
            masks: its recipe goes into the manifest.
            seed: the data module's, for the masks.
            height: height of the pictures as the source loads them.
            width: width of the pictures as the source loads them.
            description: what the pictures are, in words.
            split: which part of them.

        Raises:
            DataError: the generator cannot be rebuilt from its recipe, or a mask cannot be drawn.
        """
        if height < 1 or width < 1:
            raise DataError(f"manifest: height and width must be at least 1, got {height} and {width}")
        masks = masks.for_pictures(source.names)
        recipe = masks.recipe()
        recipe_classes(recipe)  # a manifest that nobody can read back must not be written
        hashes = in_threads(source.fingerprint, range(len(source)))
        pairs = []
        for index, (name, image_hash) in enumerate(zip(source.names, hashes, strict=True)):
            # The seed that `InpaintingDataset` uses in evaluation, so that pinning a mask does not change it.
            mask, entry = _drawn_mask(masks, recipe, [seed, 0, index, MASK_STREAM], height, width)
            ratio = mask_ratio(mask[None]).item()
            pairs.append(PinnedPair(index, name, image_hash, entry, mask_hash(mask), ratio, ratio_bin(ratio)))
        folder = str(masks.path) if isinstance(masks, MaskFolder) else None
        return cls(pairs, height, width, description, split, folder)

    @classmethod
    def load(cls, path: str | Path) -> Manifest:
        """Read a manifest.

        Raises:
            DataError: the file is missing, or a line is wrong; the message has its number.
        """
        path = Path(path).expanduser()
        if not path.is_file():
            raise DataError(f"manifest {path} does not exist; `inpaintzoo masks pair` makes one")
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError as error:
            raise DataError(f"manifest {path} is not a text file") from error
        if not lines:
            raise DataError(f"manifest {path} is empty; `inpaintzoo masks pair` makes manifests")
        header = _read_line(path, 1, lines[0], _Header)
        pairs = [_read_pair(path, number, line) for number, line in enumerate(lines[1:], start=2)]
        if len(pairs) != header.count:
            raise DataError(f"manifest {path}: its header promises {header.count} pairs, but it holds {len(pairs)}")
        return cls(
            pairs,
            header.height,
            header.width,
            header.source,
            header.split,
            header.mask_folder,
            header.inpaintzoo,
        )

    def save(self, path: str | Path, overwrite: bool = False) -> None:
        """Write the manifest, whole or not at all.

        Args:
            path: the file; its folder is made if it is missing.
            overwrite: replace the file if it exists.

        Raises:
            DataError: the file exists and may not be overwritten.
        """
        path = new_file(Path(path).expanduser(), (), overwrite, DataError, make_folder=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        header = {
            "manifest": MANIFEST_FORMAT,
            "inpaintzoo": self.version,
            "source": self.source,
            "split": self.split,
            "count": len(self.pairs),
            "height": self.height,
            "width": self.width,
            "mask_folder": self.mask_folder,
        }
        lines = [header, *(dataclasses.asdict(pair) for pair in self.pairs)]
        write_text(path, "".join(json.dumps(line) + "\n" for line in lines))

    def verify(self, source: ImageSource) -> None:
        """Check that a source has the pinned pictures, by number, name and content.

        Raises:
            DataError: it does not; the message lists the first differences.
        """
        if len(source) != len(self.pairs):
            raise DataError(f"manifest: {len(self.pairs)} pairs, but {len(source)} images; give the pinned images")
        wrong = [
            f"image {i} is {name!r}, pinned is {pair.image!r}"
            for i, (name, pair) in enumerate(zip(source.names, self.pairs, strict=True))
            if name != pair.image
        ]
        if not wrong:
            wrong = [
                f"{pair.image!r} has changed since it was pinned"
                for pair, found in zip(self.pairs, in_threads(source.fingerprint, range(len(source))), strict=True)
                if found != pair.image_sha256
            ]
        if wrong:
            more = f"; and {len(wrong) - 3} more" if len(wrong) > 3 else ""
            raise DataError(f"manifest: the images are not those that were pinned: {'; '.join(wrong[:3])}{more}")

    def digest(self) -> str:
        """SHA-256 (hex) of the size and of the hashes of pictures and masks, in order.

        Manifests that pin the same pixels have the same digest, whichever version made them, from whichever folder.
        """
        digest = hashlib.sha256(f"{self.height}x{self.width}\n".encode())
        for pair in self.pairs:
            line = f"{pair.index}\t{pair.image}\t{pair.image_sha256}\t{pair.mask_sha256}\n"
            digest.update(line.encode(errors="surrogatepass"))  # names of files need not be UTF-8
        return digest.hexdigest()


class PinnedMasks(MaskGenerator):
    """The masks of a manifest, by the picture's index; each is checked against its hash.

    Args:
        manifest: a manifest or its path.
        mask_folder: where its mask files are on this machine; None uses the folder named in the manifest.
    """

    def __init__(self, manifest: Manifest | str | Path, mask_folder: str | Path | None = None) -> None:
        self.pinned = manifest if isinstance(manifest, Manifest) else Manifest.load(manifest)
        self.manifest = "" if isinstance(manifest, Manifest) else str(manifest)
        folder = self.pinned.mask_folder if mask_folder is None else mask_folder
        self.mask_folder = None if folder is None else Path(folder).expanduser()
        self._generators: dict[str, MaskGenerator] = {}  # by recipe: nearly always one, and a folder is slow to list
        # Never read: a worker process that unpickles them imports a user's own classes.
        recipes = [pair.mask["recipe"] for pair in self.pinned.pairs if "recipe" in pair.mask]
        self._classes = {kind for recipe in recipes for kind in recipe_classes(recipe).values()}

    def check(self) -> list[Finding]:
        """A finding that names the manifest."""
        name = f" {self.manifest}" if self.manifest else ""
        text = f"manifest{name}: {len(self.pinned)} pairs, digest {self.pinned.digest()[:12]}"
        return [Finding("ok", text)]

    def mask_files(self) -> list[Path]:  # noqa: D102
        folder = self.mask_folder or Path()
        return [folder / pair.mask["file"] for pair in self.pinned.pairs if "file" in pair.mask]

    def draw(self, height: int, width: int, rng: np.random.Generator, index: int) -> Tensor:
        """The pinned mask of picture `index`; `rng` is not used.

        Raises:
            DataError: there is no such pair, the size differs, or the mask or its file is missing or has changed.
        """
        pinned = self.pinned
        if not 0 <= index < len(pinned):
            raise DataError(f"manifest: no pair {index}, it holds {len(pinned)}")
        if (height, width) != (pinned.height, pinned.width):
            raise DataError(
                f"manifest: pinned for images of {pinned.height}x{pinned.width}, got one of {height}x{width}; "
                "set the data's size to the manifest's, or make a manifest for this size"
            )
        pair = pinned.pairs[index]
        mask = self._from_file(pair) if "file" in pair.mask else self._from_recipe(pair)
        if mask_hash(mask) != pair.mask_sha256 or abs(mask_ratio(mask[None]).item() - pair.ratio) > 1e-6:
            raise DataError(
                f"manifest: the mask of image {index} ({pair.image!r}) is not the pinned one: the manifest or its mask "
                f"files were changed, or other library versions draw another mask (made by inpaintzoo "
                f"{pinned.version}, this is {__version__})"
            )
        return mask

    def _from_recipe(self, pair: PinnedPair) -> Tensor:
        recipe = pair.mask["recipe"]
        key = json.dumps(recipe, sort_keys=True)
        if key not in self._generators:
            if recipe.get("class") == "MaskFolder" and self.mask_folder is not None:
                recipe = {**recipe, "args": {**recipe["args"], "path": str(self.mask_folder)}}
            names = [pinned.image for pinned in self.pinned.pairs]
            self._generators[key] = mask_from_recipe(recipe).for_pictures(names)
        rng = np.random.default_rng(pair.mask["seed"])
        try:
            return self._generators[key].draw(self.pinned.height, self.pinned.width, rng, pair.index)
        except DataError:
            raise
        except Exception as error:  # arguments that no constructor has checked, or a user's own class
            raise DataError(
                f"manifest: the mask of image {pair.index} cannot be drawn from {key[:200]} ({error})"
            ) from error

    def _from_file(self, pair: PinnedPair) -> Tensor:
        folder = self.mask_folder or Path()
        path = folder / pair.mask["file"]
        if not path.is_file():
            raise DataError(f"manifest: mask file {path} does not exist; set mask_folder to where they are")
        if file_digest(path) != pair.mask["sha256"]:
            raise DataError(f"manifest: mask file {path} has changed since it was pinned to image {pair.image!r}")
        mask = read_hole(path, pair.mask["polarity"], pair.mask["threshold"])
        return resize_hole(mask, self.pinned.height, self.pinned.width, pair.mask["resize"])


def mask_hash(mask: Tensor) -> str:
    """SHA-256 (hex) of a `(1, H, W)` mask: its size and its pixels as bits, row by row."""
    bits = np.packbits(mask[0].numpy() > 0.5)
    return hashlib.sha256(f"{mask.shape[-2]}x{mask.shape[-1]}:".encode() + bits.tobytes()).hexdigest()


def _drawn_mask(
    masks: MaskGenerator, recipe: dict[str, Any], seed: list[int], height: int, width: int
) -> tuple[Tensor, dict[str, Any]]:
    """The mask of a seed, and its entry in the manifest: a file's mask has its file, others have recipe and seed."""
    index = seed[2]
    mask = masks.draw(height, width, np.random.default_rng(seed), index)
    if not isinstance(masks, MaskFolder) or masks.flips or masks.dilation[1] > 0:
        return mask, {"recipe": recipe, "seed": seed}
    file = masks.pick(np.random.default_rng(seed), index)
    reading = {"polarity": masks.polarity, "threshold": masks.threshold, "resize": masks.resize}
    return mask, {"file": file, "sha256": file_digest(masks.path / file), **reading}


class _Header(msgspec.Struct):
    manifest: Literal[1]
    inpaintzoo: str
    source: str
    split: str
    count: int
    height: _Side
    width: _Side
    mask_folder: str | None


class _FileMask(msgspec.Struct):
    file: str
    sha256: str
    polarity: Polarity
    threshold: Annotated[float, msgspec.Meta(ge=0.0, lt=1.0)]
    resize: MaskResize


class _RecipeMask(msgspec.Struct):
    recipe: dict[str, Any]
    seed: list[Annotated[int, msgspec.Meta(ge=0)]]


def _read_pair(path: Path, number: int, line: str) -> PinnedPair:
    pair = _read_line(path, number, line, PinnedPair)
    try:
        if "file" in pair.mask:
            file = Path(msgspec.convert(pair.mask, _FileMask).file)
            if file.is_absolute() or ".." in file.parts:
                raise ValueError(f"mask file {str(file)!r} must lie below the mask folder")
        else:
            recipe_classes(msgspec.convert(pair.mask, _RecipeMask).recipe)
        if not 0.0 <= pair.ratio <= 1.0 or ratio_bin(pair.ratio) != pair.bin:
            raise ValueError(f"ratio {pair.ratio} does not lie in bin {pair.bin!r}")
        if pair.index != number - 2:
            raise ValueError(f"index {pair.index} where {number - 2} must follow")
    except (ValueError, RecursionError) as error:
        raise DataError(f"manifest {path}, line {number}: {error}") from error
    return pair


def _read_line(path: Path, number: int, line: str, kind: type[LineT]) -> LineT:
    try:
        content = parse_json(line, dict[str, Any])
        if _NO_NAME.search(json.dumps(content, ensure_ascii=False)):
            raise ValueError("it has characters that no file name can have")
        return msgspec.convert(content, kind)
    except (ValueError, RecursionError) as error:
        remedy = f"`inpaintzoo masks pair` makes manifests of format {MANIFEST_FORMAT}"
        raise DataError(f"manifest {path}, line {number}: {error}; {remedy}") from error
