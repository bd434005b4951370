"""Checks by known pixels whether predictions belong to the pictures they are paired with."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from inpaintzoo.benchmark.run.pairs import Pairs
from inpaintzoo.data.checks import in_threads
from inpaintzoo.pictures.images import image_to_tensor, read_image
from inpaintzoo.types import DataError
from inpaintzoo.words import counted, some

KEPT, FOREIGN = 8 / 255, 30 / 255  # mean errors of known pixels: at most from JPEG, at least from another picture
_BATCH = 16
_GRID = 32  # pixels per side that represent a picture when the whole set is searched
_SEARCHED = 256  # suspects that are compared with the whole set, to bound the time for large sets
_LEAST_KNOWN = 16  # grid pixels; fewer could belong to any picture


@dataclasses.dataclass(frozen=True)
class _Suspect:
    file: Path
    name: str
    error: float
    picture: Tensor  # pixels of the grid as bytes, (3, h, w): a set may have many suspects
    known: Tensor  # (1, h, w)


def check_pairing(pairs: Pairs, files: Sequence[Path], fills: int, composites: bool) -> str | None:
    """Compare the known pixels of every file with its picture's, and if they differ, with the whole set's.

    Args:
        pairs: the set.
        files: in the order of the pairs, with the fills of a picture in sequence.
        fills: files per picture.
        composites: whether the known pixels must be kept.

    Returns:
        A remark if files match neither their own nor another picture; None if all is well.

    Raises:
        DataError: a file shows another picture of the set, or is not a composite.
    """
    suspects: list[_Suspect] = []
    broken: _Suspect | None = None
    for batch in pairs.loader(pairs.batches(_BATCH)):
        for row, position in enumerate(batch["index"].tolist()):
            own, known = batch["image"][row], 1 - batch["mask"][row]
            of_picture = files[position * fills : (position + 1) * fills]
            pictures = in_threads(lambda path: image_to_tensor(read_image(path)), of_picture)
            for file, picture in zip(of_picture, pictures, strict=True):
                error = float(((picture - own).abs() * known).sum() / (known.sum().clamp(min=1) * 3))
                pixels = (_grid(picture) * 255).round().byte()
                found = _Suspect(file, batch["name"][row], error, pixels, _grid(known).bool())
                if error > FOREIGN:
                    suspects.append(found)
                if composites and error > KEPT and broken is None:
                    broken = found
    if suspects:
        _search(pairs, [suspect for suspect in suspects if _is_recognisable(suspect)])
    if broken:
        raise DataError(
            f"{broken.file}: known pixels differ from those of picture {broken.name!r} by {broken.error:.3f} on "
            f"average, so it shows another picture or is not a composite (composites: false allows raw predictions)"
        )
    if not suspects:
        return None
    return (
        f"known pixels of {len(suspects)} of {counted(files, 'file')} differ by more than {FOREIGN:.2f} on average "
        f"from their pictures ({some([suspect.file.name for suspect in suspects], 3)}): do they show the same pictures?"
    )


def _search(pairs: Pairs, suspects: list[_Suspect]) -> None:
    """Raise `DataError` if a suspect shows another picture of the set."""
    if not suspects:
        return
    chosen = suspects[:: -(-len(suspects) // _SEARCHED)]
    pictures = torch.stack([suspect.picture for suspect in chosen]) / 255
    known = torch.stack([suspect.known for suspect in chosen]).float()
    areas = known.sum(dim=(1, 2, 3)) * 3
    for batch in pairs.loader(pairs.batches(_BATCH)):
        for row, truth in enumerate(batch["image"]):
            errors = ((pictures - _grid(truth)).abs() * known).sum(dim=(1, 2, 3)) / areas
            nearest = int(errors.argmin())
            if errors[nearest] <= KEPT:
                raise DataError(
                    f"{chosen[nearest].file} is paired with picture {chosen[nearest].name!r} but shows "
                    f"{batch['name'][row]!r}: the predictions are in another order than the pairs"
                )


def _grid(picture: Tensor) -> Tensor:
    """Pixels at regular distances rather than averages, which would mix known pixels with the hole."""
    rows, columns = (torch.linspace(0, size - 1, min(size, _GRID)).round().long() for size in picture.shape[-2:])
    return picture[..., rows[:, None], columns]


def _is_recognisable(suspect: _Suspect) -> bool:
    """Whether there is enough to recognise a picture by: a flat area could belong to any."""
    pixels = suspect.picture[:, suspect.known[0]] / 255
    return pixels.shape[1] >= _LEAST_KNOWN and bool(pixels.std(dim=1).max() > KEPT)
