"""Holes from a folder of mask files, the NVIDIA irregular masks among them (https://arxiv.org/abs/1804.07723)."""

from __future__ import annotations

import copy
import random
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from torch import Tensor

from inpaintzoo.data.findings import Finding
from inpaintzoo.data.masks.base import (
    MaskGenerator,
    MaskResize,
    check_angle,
    float_range,
    grow_hole,
    int_range,
    resize_hole,
    rotate_hole,
)
from inpaintzoo.data.masks.pairing import is_number, masks_among, named_after, pair_by_name
from inpaintzoo.data.masks.reading import (
    UNCLEAR,
    MaskSurvey,
    Polarity,
    PolarityChoice,
    check_polarity,
    file_ratios,
    is_no_mask,
    list_mask_files,
    rarer_colour,
    read_hole,
    sample_positions,
    survey_files,
)
from inpaintzoo.ops import RATIO_EDGES, count_bins
from inpaintzoo.types import DataError
from inpaintzoo.words import counted, some

NVIDIA_TEST_COUNT = 12_000
NVIDIA_LEVEL_COUNT = 2_000
_MUCH_HOLE = 0.6


class MaskFolder(MaskGenerator):
    """Masks from files, in a folder and its subfolders, in the order of their names.

    `check` reports what looks wrong with the files; data modules and commands call it before they use them.

    A mask is thresholded, resized to the picture (stretched if the proportions differ), flipped, rotated and dilated,
    in this order. PEN-Net's public code augments irregular masks with flips, `max_angle: 45` and `dilation: 1`.

    Args:
        path: The folder.
        polarity: The colour of the hole. `auto` picks the rarer colour of up to 64 files (`check` reports which one)
            and is an error if neither is clearly rarer. The attribute then holds `white` or `black`.
        threshold: A pixel is hole if its grey level is more than this fraction of the way to the hole's colour; use
            0.6 for the NVIDIA training archive.
        dilation: Pixels of the picture by which the hole grows on every side, or a range to draw from.
        flips: Mirror each axis with probability one half.
        ratio: Keep only files with a hole ratio in `(low, high]`, measured at their own size before dilation; this
            reads every file once.
        level: Keep only this level of the NVIDIA test set, from 1 (1 to 10 % hole) to 6 (50 to 60 %). Levels follow
            from the order of the 12,000 files, 2,000 per level.
        order: `random`; `index`: picture i gets file i, starting again if there are more pictures than files; or
            `name`: each picture gets the file of its name, such as `b.png` or `b_mask.png` (see
            `inpaintzoo.data.masks.pairing`). With `name`, the folder may hold the pictures too.
        max_angle: Largest rotation in degrees, 0 to 45, drawn for each mask. The frame is enlarged to hold its corners,
            dilated, and shrunk to the picture's size, so the hole covers less of it.
        count: Keep only this many of the files that `level` and `ratio` leave, drawn with a fixed seed.
        resize: `nearest` keeps the hole ratio, as the papers' code does; `any` keeps even the thinnest hole, but thin
            holes grow.

    Raises:
        DataError: No files, an unreadable file, a photograph among them, an unclear polarity, no file in the `ratio`,
            or a `level` of a folder that is not the NVIDIA test set.
    """

    def __init__(
        self,
        path: str | Path,
        polarity: PolarityChoice = "auto",
        threshold: float = 0.5,
        dilation: int | Sequence[int] = 0,
        flips: bool = False,
        ratio: Sequence[float] | None = None,
        level: int | None = None,
        order: Literal["random", "index", "name"] = "random",
        resize: MaskResize = "nearest",
        max_angle: float = 0.0,
        count: int | None = None,
    ) -> None:
        _check_choices(polarity, threshold, level, order, resize)
        check_angle("MaskFolder", max_angle)
        self.path = Path(path).expanduser()
        self.threshold = threshold
        span = (dilation, dilation) if isinstance(dilation, int) else dilation
        self.dilation = int_range("MaskFolder", "dilation", span, least=0)
        self.flips = flips
        self.ratio = None if ratio is None else float_range("MaskFolder", "ratio", ratio, least=0.0, most=1.0)
        self.level = level
        self.order = order
        self.resize: MaskResize = resize
        self.max_angle = max_angle
        self.count = count
        self._named = False  # whether `files` are those of the pictures, in their order
        self.files = list_mask_files(self.path)
        if order == "name":
            self.files = self._without_pictures()
        survey = survey_files(self.path, self.files)
        name = f"mask folder {self.path}, {len(survey.white)} files"
        self.polarity: Polarity = rarer_colour(survey.mean_white, name) if polarity == "auto" else polarity
        self._findings = _findings(self.path, survey, self.polarity, polarity == "auto", threshold)
        if level is not None:
            self.files = self._files_of_level(level)
        if self.ratio is not None:
            self.files = self._files_of_ratio(*self.ratio)
        if count is not None:
            if not 1 <= count <= len(self.files):
                raise DataError(f"mask folder {self.path}: count {count} of {counted(self.files, 'file')}; lower it")
            self.files = sorted(random.Random(0).sample(self.files, count))
        if len(self.files) < survey.count:
            text = f"mask folder {self.path}: {len(self.files):,} of its files are used, by level, ratio or count"
            self._findings.append(Finding("ok", text))

    def check(self) -> list[Finding]:
        """Polarity, archive, JPEG files: see `MaskGenerator.check`."""
        return list(self._findings)

    def for_pictures(self, names: Sequence[str]) -> MaskFolder:
        """A copy that knows the pictures, for the orders `name` and `index`.

        Raises:
            DataError: With `name`, a picture has no mask or two. With `index`, files that are named after pictures
                would go to others.
        """
        if self.order == "random":
            return self
        if self.order == "index":
            return self._in_order(names)
        found, unused = pair_by_name(names, self.files)
        if missing := [name for name, file in zip(names, found, strict=True) if file is None]:
            raise DataError(
                f"mask folder {self.path}: {len(missing)} of {counted(names, 'picture')} "
                f"{'has' if len(missing) == 1 else 'have'} no mask of {'its' if len(missing) == 1 else 'their'} name: "
                f"{some(missing, 3)}; add masks, or leave out the pictures"
            )
        bound = copy.copy(self)
        bound.files = [file for file in found if file is not None]
        bound._named = True
        if unused:
            text = f"mask folder {self.path}: {counted(unused, 'file')} named after no picture ({some(unused, 3)})"
            bound._findings = [*self._findings, Finding("warning", text)]
        return bound

    def mask_files(self) -> list[Path]:  # noqa: D102
        return [self.path / file for file in self.files]

    def draw(self, height: int, width: int, rng: np.random.Generator, index: int) -> Tensor:  # noqa: D102
        file = self.pick(rng, index)
        mask = resize_hole(read_hole(self.path / file, self.polarity, self.threshold), height, width, self.resize)
        dilation = int(rng.integers(*self.dilation, endpoint=True)) if self.dilation[1] > 0 else 0
        if mirrored := [axis for axis in (1, 2) if self.flips and rng.random() < 0.5]:
            mask = mask.flip(mirrored)
        if self.max_angle > 0.0:
            return rotate_hole(mask, rng.uniform(0.0, self.max_angle), dilation, self.resize)
        return grow_hole(mask, dilation)

    def pick(self, rng: np.random.Generator, index: int) -> str:
        """The file that `draw` uses, relative to the folder."""
        if self.order == "name" and not self._named:
            raise DataError(f"mask folder {self.path}: order: name needs the pictures' names; call for_pictures first")
        position = int(rng.integers(len(self.files))) if self.order == "random" else index % len(self.files)
        return self.files[position]

    def ratios(self) -> list[float]:
        """Each file's hole ratio in [0, 1], at its own size and before dilation."""
        return file_ratios(self.path, self.files, self.polarity, self.threshold)

    def _without_pictures(self) -> list[str]:
        """The masks of a folder that holds pictures too, each named after its picture."""
        masks = masks_among(self.files)
        others = [self.path / file for file in self.files if file not in masks]
        if masks and any(is_no_mask(others[place]) for place in sample_positions(len(others), 8)):
            return [file for file in self.files if file in masks]
        return self.files

    def _in_order(self, names: Sequence[str]) -> MaskFolder:
        """This folder, or a copy that warns of numbers that the order contradicts; other names are refused."""
        pairs = pair_by_name(names, self.files)
        drawn = [self.files[position % len(self.files)] for position in range(len(names))]
        wrong = [
            (name, own, file)
            for name, own, file in zip(names, pairs.masks, drawn, strict=True)
            if own not in (None, file)
        ]
        if not wrong or not named_after(pairs):
            return self
        name, own, file = next((each for each in wrong if not is_number(str(each[1]))), wrong[0])
        text = (
            f"mask folder {self.path}: in order of the files, picture {name!r} would get {file} instead of {own} "
            f"({counted(names, 'picture')}, {counted(self.files, 'mask')})"
        )
        if not is_number(str(own)):
            raise DataError(f"{text}; set order: name")
        warned = copy.copy(self)
        text += "; if masks belong to the pictures of their numbers, set order: name"
        warned._findings = [*self._findings, Finding("warning", text)]
        return warned

    def _files_of_level(self, level: int) -> list[str]:
        if len(self.files) != NVIDIA_TEST_COUNT:
            raise DataError(
                f"mask folder {self.path}: level {level} needs the {NVIDIA_TEST_COUNT:,} files of the NVIDIA test set "
                f"in their order, but here are {len(self.files):,}; give the test archive's folder, or select by "
                "ratio instead of level"
            )
        chosen = self.files[(level - 1) * NVIDIA_LEVEL_COUNT : level * NVIDIA_LEVEL_COUNT]
        ratios = file_ratios(self.path, chosen[:: NVIDIA_LEVEL_COUNT // 20], self.polarity, self.threshold)
        low, high = RATIO_EDGES[level - 1], RATIO_EDGES[level]
        middle = statistics.median(ratios)
        if not low <= middle <= high:
            raise DataError(
                f"mask folder {self.path}: level {level} of the NVIDIA test set has {low:g} to {high:g} hole, but "
                f"these files have {middle:.3f} (median of {len(ratios)}, {self.polarity} = hole): neither its order "
                "nor its polarity, or another archive; select by ratio instead of level"
            )
        return chosen

    def _files_of_ratio(self, low: float, high: float) -> list[str]:
        ratios = self.ratios()
        chosen = [file for file, ratio in zip(self.files, ratios, strict=True) if low < ratio <= high]
        if not chosen:
            bins = ", ".join(f"{label}: {count}" for label, count in count_bins(ratios).items() if count)
            raise DataError(
                f"mask folder {self.path}: none of {len(self.files)} files has a hole ratio in ({low:g}, {high:g}] "
                f"({self.polarity} = hole; files by ratio: {bins})"
            )
        return chosen


def _check_choices(polarity: str, threshold: float, level: int | None, order: str, resize: str) -> None:
    check_polarity(polarity, "MaskFolder")
    if not 0.0 <= threshold < 1.0:
        raise ValueError(f"MaskFolder: threshold must lie in [0, 1), a part of the grey scale, got {threshold}")
    if level is not None and level not in range(1, len(RATIO_EDGES)):
        raise ValueError(f"MaskFolder: level must be 1 to {len(RATIO_EDGES) - 1}, got {level}")
    if order not in ("random", "index", "name"):
        raise ValueError(f"MaskFolder: order must be random, index or name, got {order!r}")
    if resize not in ("nearest", "any"):
        raise ValueError(f"MaskFolder: resize must be nearest or any, got {resize!r}")


def _findings(folder: Path, survey: MaskSurvey, polarity: Polarity, decided: bool, threshold: float) -> list[Finding]:
    hole = [part if polarity == "white" else 1.0 - part for part in survey.white]
    mean = sum(hole) / len(hole)
    where = f"mask folder {folder}"
    why = "the rarer colour" if decided else "as set"
    text = f"{where}: {survey.count:,} files, {polarity} is hole ({why}), {mean:.1%} hole over {len(hole)} files"
    found = [Finding("ok", text + _archive(survey, polarity))]
    if mean > _MUCH_HOLE:
        other = "black" if polarity == "white" else "white"
        found.append(
            Finding("warning", f"{where}: {mean:.0%} hole is a lot; if {other} is the hole, set polarity {other}")
        )
    inverted = sum(part > 0.7 for part in hole)
    if mean <= _MUCH_HOLE and inverted > 0.1 * len(hole):
        text = f"{where}: {inverted} of {len(hole)} files have more than 70 % hole: do some have the other polarity?"
        found.append(Finding("warning", text))
    empty = hole.count(0.0)
    if empty:
        found.append(Finding("warning", f"{where}: {empty} of {len(hole)} files have no hole at all; remove them"))
    if survey.jpegs:
        text = (
            f"{where}: {survey.jpegs:,} files are JPEGs, whose edges are grey; a pixel is hole above {threshold:g} of "
            f"the way to {polarity}. PNG files are exact"
        )
        found.append(Finding("warning", text))
    return found


def _archive(survey: MaskSurvey, polarity: Polarity) -> str:
    """Which of NVIDIA's two archives this looks like, as the end of a sentence."""
    if survey.count == NVIDIA_TEST_COUNT:
        # Order counts, not only number: most sampled files must lie in the bin of their level, give or take a little.
        hits = 0
        for position, white in zip(survey.positions, survey.white, strict=True):
            level = position // NVIDIA_LEVEL_COUNT
            hole = white if polarity == "white" else 1.0 - white
            hits += RATIO_EDGES[level] - 0.01 <= hole <= RATIO_EDGES[level + 1] + 0.01
        if hits >= 0.8 * len(survey.white):
            return "; the NVIDIA test set, by number and order"
        return f"; as many files as the NVIDIA test set, but not its order ({hits} of {len(survey.white)} fit)"
    if survey.count > NVIDIA_TEST_COUNT and survey.mean_white > UNCLEAR[1]:
        return "; many and mostly white, like the NVIDIA training archive: use the test archive to reproduce a table"
    return ""
