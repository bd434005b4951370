"""Point at objects; they are removed: segmentation, dilation, fill.

Source: algorithm 1 and section 5.4 of the dissertation that describes the pyramid generator
(`inpaintzoo.models.pyramid`). It dilates by 5x5 pixels in pictures of 640x480; here the window grows with the picture.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from inpaintzoo.data.masks.base import grow_hole, hole_tensor
from inpaintzoo.pictures.boxes import Box
from inpaintzoo.pictures.picture import Picture, PictureLike, picture_from
from inpaintzoo.pictures.picture_file import read_picture
from inpaintzoo.predictor import Predictor
from inpaintzoo.predictor.holes import find_hole
from inpaintzoo.removal.segmenter import Instance, Prompt, Segmentation, Segmenter
from inpaintzoo.types import ConfigError, DataError
from inpaintzoo.words import did_you_mean, listed

_DILATION, _SHORT_SIDE = 2, 480  # pixels on every side, a window of 5x5, in a picture with this short side
_STRONG_EDGE = 0.1  # change of brightness between neighbouring pixels
_MANY_EDGES = 0.3  # share of the rim: more than around nine in ten objects of COCO that are cut out well


@dataclasses.dataclass(frozen=True)
class OpenPicture:
    """A picture and what was found in it.

    Attributes:
        picture: its pixels.
        image: `(3, H, W)` in [0, 1], upright.
        segmentation: what was found, and answers to clicks.
    """

    picture: Picture
    image: Tensor
    segmentation: Segmentation


@dataclasses.dataclass(frozen=True)
class Removal:
    """What is to be removed from a picture.

    Attributes:
        hole: `(H, W)` bool, upright: the objects, grown.
        instances: the objects.
        guidance: `(H, W)` float32, 0 where the fill must not copy from; None if it may copy from everywhere.
        notes: sentences about what the user may not expect.
    """

    hole: np.ndarray
    instances: tuple[Instance, ...]
    guidance: np.ndarray | None
    notes: tuple[str, ...]


class Remover:
    """Removes objects from pictures.

    Args:
        segmenter: finds the pixels of what is pointed at.
        predictor: fills the hole.
    """

    def __init__(self, segmenter: Segmenter, predictor: Predictor) -> None:
        self.segmenter = segmenter
        self.predictor = predictor

    def __call__(
        self, image: PictureLike, *prompts: Prompt, samples: int = 1, seed: int = 0, **selection: Any
    ) -> list[Any]:
        """Remove objects from a picture.

        Args:
            image: see `Predictor`.
            prompts: one for each object.
            samples: how many fills.
            seed: seed of a stochastic model's fills.
            selection: further arguments of `select`.

        Returns:
            The fills, as `Predictor` returns them.

        Raises:
            InpaintzooError: nothing lies under a click, or the hole cannot be filled; the message says why.
        """
        removal = self.select(self.open(image), *prompts, **selection)
        return self.predictor(image, removal.hole, samples=samples, seed=seed, guidance=removal.guidance)

    def open(self, image: PictureLike) -> OpenPicture:
        """Segment a picture; once is enough for any number of selections.

        Raises:
            DataError: the picture cannot be read.
        """
        if isinstance(image, (str, Path)):
            picture = read_picture(image, lambda note: None).picture  # the predictor says what is to be said about it
        else:
            picture = picture_from(image)
        pixels = picture.read(Box(0, 0, *picture.size))
        return OpenPicture(picture, pixels, self.segmenter.open(pixels))

    def select(
        self,
        opened: OpenPicture,
        *prompts: Prompt,
        classes: Collection[str] = (),
        mask: PictureLike | None = None,
        grow: int | None = None,
        keep_neighbours: bool = True,
        guide_away: Collection[str] = (),
    ) -> Removal:
        """The hole that removes objects.

        Args:
            opened: the picture.
            prompts: one for each object.
            classes: names of classes whose objects are all removed.
            mask: a hole drawn by hand in addition, as `Predictor` takes it; it is not grown.
            grow: pixels by which objects are grown on every side; None: 2 for a short side of 480, and in proportion.
            keep_neighbours: whether other instances, which a grown object may touch, stay out of the hole.
            guide_away: names of classes: the fill copies nothing from their instances (section 5.4). The generator must
                have patch attention.

        Raises:
            ConfigError: nothing is asked for, or a class that is not in the picture.
            DataError: nothing lies under a click or in a box, or it lies outside the picture.
        """
        if not (prompts or classes or mask is not None):
            raise ConfigError("nothing to remove: give a click, a box, a class or a mask")
        if grow is not None and (grow < 0 or int(grow) != grow):
            raise ConfigError(f"grow must be a number of pixels, 0 or more, got {grow}")
        found, notes = opened.segmentation.instances, list[str]()
        chosen = [_pointed_at(opened.segmentation, prompt) for prompt in prompts]
        chosen += self._of_classes(found, classes)
        pixels = np.logical_or.reduce([np.zeros(opened.picture.size, bool), *(each.mask for each in chosen)])
        if grow is None:
            grow = max(1, round(_DILATION * min(opened.picture.size) / _SHORT_SIDE))
        hole = grow_hole(hole_tensor(pixels), grow)[0].numpy() > 0
        if keep_neighbours:
            for other in found:
                if not any(other is each for each in chosen):
                    hole &= ~other.mask | pixels  # of two instances that overlap, the chosen one goes
        if any(_ends_in_edges(opened.image, hole, each.box) for each in chosen):
            notes.append(
                "the hole ends in strong edges: part of the object, its shadow or its reflection may be left; "
                "click on it too, or grow the hole"
            )
        if mask is not None:
            hole |= find_hole(mask, opened.picture, "auto", 0, notes.append)
        guidance = None
        if guide_away:
            guidance = np.ones(hole.shape, np.float32)
            for each in self._of_classes(found, guide_away):
                guidance[each.mask] = 0
        return Removal(hole, tuple(chosen), guidance, tuple(notes))

    def _of_classes(self, found: list[Instance], classes: Collection[str]) -> list[Instance]:
        """All instances of these classes."""
        if classes and not self.segmenter.finds_all:
            name = type(self.segmenter).__name__
            raise ConfigError(f"{name} knows no classes such as {listed(list(classes))}; point at the objects instead")
        names = sorted({each.name for each in found if each.name})
        for name in classes:
            if name not in names:
                there = f"; there are: {listed(names)}" if names else ""
                raise ConfigError(f"there is no {name!r} in the picture{did_you_mean(name, names)}{there}")
        return [each for each in found if each.name in classes]


def _pointed_at(segmentation: Segmentation, prompt: Prompt) -> Instance:
    instance = segmentation.select(prompt)
    if instance is None:
        where = " and ".join(f"{x},{y}" for x, y in prompt.at) or "in the box"
        raise DataError(f"no object was found: {where}; click on another place of it, or draw a box around it")
    return instance


def _ends_in_edges(image: Tensor, hole: np.ndarray, box: Box) -> bool:
    """Whether much of a hole's rim, within the box, crosses strong edges: the object then goes on outside."""
    inside, grey = hole[box.slices], image.mean(dim=0).numpy()[box.slices]
    rim = grow_hole(hole_tensor(inside), 1)[0].numpy() > 0
    rim &= ~inside
    if min(rim.shape) < 2 or not rim.any():
        return False
    down, across = np.gradient(grey)
    return bool((np.hypot(down, across)[rim] > _STRONG_EDGE).mean() > _MANY_EDGES)
