"""Classes of label maps: their names and colours, and the class that each value in a data set's files stands for."""

from __future__ import annotations

import colorsys
from collections.abc import Iterable
from typing import Literal

import numpy as np

from inpaintzoo.types import IGNORE, DataError

Colour = tuple[int, int, int]
VOID_COLOUR: Colour = (0, 0, 0)


class LabelClasses:
    """The classes of a data set's label maps.

    Args:
        names: of the classes, by index.
        colours: RGB from 0 to 255, one a class; None spreads them over the hues.
        values: the class of each value that files hold; values left out turn into 255. None: files hold classes.

    Raises:
        DataError: no names, too many, other than one colour a class, or values of classes that do not exist.
    """

    def __init__(
        self,
        names: tuple[str, ...],
        colours: tuple[tuple[int, int, int], ...] | None = None,
        values: dict[int, int] | None = None,
    ) -> None:
        owner = type(self).__name__
        if not 1 <= len(names) <= IGNORE:
            raise DataError(f"{owner}: names must be 1 to {IGNORE} names of classes, got {len(names)}")
        if colours is not None and len(colours) != len(names):
            raise DataError(f"{owner}: colours must be one a class, got {len(colours)} for {len(names)} classes")
        indices = range(len(names))
        if wrong := {value: index for value, index in (values or {}).items() if value < 0 or index not in indices}:
            raise DataError(f"{owner}: values must lead from 0 or more to the {len(names)} classes, got {wrong}")
        self.names = tuple(names)
        self.colours = spread_colours(len(names)) if colours is None else tuple(colours)
        self.values = values

    def __len__(self) -> int:
        return len(self.names)

    def of_values(self, labels: np.ndarray) -> np.ndarray:
        """The classes of a map as files hold it: `(H, W)` integers from 0, 255 = ignore."""
        if self.values is None:
            return labels
        table = np.full(max(IGNORE, *self.values) + 1, IGNORE, dtype=np.int64)
        table[list(self.values)] = list(self.values.values())
        return np.where(labels < len(table), table[np.minimum(labels, len(table) - 1)], IGNORE)

    def value_of(self, index: int) -> int:
        """The smallest value by which files say a class.

        Raises:
            DataError: no value stands for it.
        """
        if self.values is None:
            return index
        values = [value for value, of_value in self.values.items() if of_value == index]
        if not values:
            raise DataError(f"{type(self).__name__}: no value stands for the class {index}, {self.names[index]}")
        return min(values)

    def of_set(self, values: Iterable[int]) -> frozenset[int]:
        """The classes that some values of files stand for."""
        return frozenset(map(int, self.of_values(np.array(sorted(values), dtype=np.int64))))


def spread_colours(count: int) -> tuple[Colour, ...]:
    """Colours spread over the hues, neighbours of different brightness."""
    hues = [colorsys.hsv_to_rgb(i / count, 0.65, 0.95 - 0.25 * (i % 2)) for i in range(count)]
    return tuple((round(255 * r), round(255 * g), round(255 * b)) for r, g, b in hues)


def colour_labels(labels: np.ndarray, colours: tuple[Colour, ...]) -> np.ndarray:
    """A label map in colours, `(H, W)` to `(H, W, 3)` uint8; black where the label is 255, or has no colour."""
    table = np.zeros((256, 3), dtype=np.uint8)
    table[: len(colours)] = colours
    return table[np.minimum(labels, IGNORE)]


# Class: (labelId in the files, colour); the order is that of the trainIds.
_CITYSCAPES: dict[str, tuple[int, Colour]] = {
    "road": (7, (128, 64, 128)),
    "sidewalk": (8, (244, 35, 232)),
    "building": (11, (70, 70, 70)),
    "wall": (12, (102, 102, 156)),
    "fence": (13, (190, 153, 153)),
    "pole": (17, (153, 153, 153)),
    "traffic light": (19, (250, 170, 30)),
    "traffic sign": (20, (220, 220, 0)),
    "vegetation": (21, (107, 142, 35)),
    "terrain": (22, (152, 251, 152)),
    "sky": (23, (70, 130, 180)),
    "person": (24, (220, 20, 60)),
    "rider": (25, (255, 0, 0)),
    "car": (26, (0, 0, 142)),
    "truck": (27, (0, 0, 70)),
    "bus": (28, (0, 60, 100)),
    "train": (31, (0, 80, 100)),
    "motorcycle": (32, (0, 0, 230)),
    "bicycle": (33, (119, 11, 32)),
}


class CityscapesClasses(LabelClasses):
    """The 19 classes of Cityscapes' benchmark, in the order of its trainIds, and what lies outside of it.

    Source: Cordts et al. 2016, https://arxiv.org/abs/1604.01685.

    Args:
        files: what label maps hold: `labelIds`, as the download does, or `trainIds`, which the set's scripts make.
        void: classes outside the benchmark, such as the own car, are class 19 (`class`: 20 categories, as SGE-Net
            counts them) or left out (`ignore`).
    """

    def __init__(
        self, files: Literal["labelIds", "trainIds"] = "labelIds", void: Literal["class", "ignore"] = "class"
    ) -> None:
        if files not in ("labelIds", "trainIds") or void not in ("class", "ignore"):
            raise DataError(
                f"CityscapesClasses: files must be labelIds or trainIds and void class or ignore, got {files}, {void}"
            )
        self.files, self.void = files, void
        names, colours = list(_CITYSCAPES), [colour for _, colour in _CITYSCAPES.values()]
        rest = IGNORE if void == "ignore" else len(names)
        values = dict.fromkeys(range(256), rest)
        trained = [value for value, _ in _CITYSCAPES.values()] if files == "labelIds" else range(len(names))
        values.update({value: index for index, value in enumerate(trained)})
        if void == "class":
            names, colours = [*names, "void"], [*colours, (81, 0, 81)]
        else:
            values = {value: index for value, index in values.items() if index != IGNORE}
        super().__init__(tuple(names), tuple(colours), values)


class OutdoorScenesClasses(LabelClasses):
    """The eight classes of Outdoor Scenes (Wang et al. 2018, https://arxiv.org/abs/1804.02815); 255 is void."""

    def __init__(self) -> None:
        colours: dict[str, Colour] = {
            "background": (128, 128, 128),
            "sky": (135, 206, 235),
            "water": (30, 110, 200),
            "grass": (150, 220, 90),
            "mountain": (150, 110, 80),
            "building": (220, 120, 60),
            "plant": (30, 120, 50),
            "animal": (230, 60, 160),
        }
        super().__init__(tuple(colours), tuple(colours.values()))


class VOCClasses(LabelClasses):
    """Background and the 20 classes of Pascal VOC in the set's own colours: what torchvision's segmenters predict."""

    def __init__(self) -> None:
        names = (
            "background aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike "
            "person pottedplant sheep sofa train tvmonitor"
        )
        super().__init__(tuple(names.split()), tuple(map(_voc_colour, range(21))))


def _voc_colour(index: int) -> Colour:
    """The bits of the index, three at a time, from the highest bit of red, green and blue downwards."""
    colour = [0, 0, 0]
    for place in range(8):
        for channel in range(3):
            colour[channel] |= (index >> (3 * place + channel) & 1) << (7 - place)
    return colour[0], colour[1], colour[2]
