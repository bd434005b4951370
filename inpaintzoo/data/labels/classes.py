"""Classes of label maps: their names, their colours, and the class that each value in a data set's files stands for."""

from __future__ import annotations

import colorsys
from collections.abc import Iterable
from typing import Literal

import numpy as np
from torchvision.datasets import Cityscapes
from torchvision.models.segmentation import FCN_ResNet50_Weights

from inpaintzoo.types import IGNORE, DataError

Colour = tuple[int, int, int]


_MOST_VALUE = 65_535  # of 16-bit label maps


class LabelClasses:
    """The classes of a data set's label maps.

    Args:
        names: names of the classes, by index.
        colours: RGB from 0 to 255, one per class; None spreads them over the hues.
        values: the class of each value found in files; values left out become 255. None: files hold classes.

    Raises:
        DataError: no names, too many names, a number of colours that differs, or values of classes that do not exist.
    """

    def __init__(
        self,
        names: tuple[str, ...],
        colours: tuple[tuple[int, int, int], ...] | None = None,
        values: dict[int, int] | None = None,
    ) -> None:
        owner = type(self).__name__
        if not 1 <= len(names) <= IGNORE:
            raise DataError(f"{owner}: names must be 1 to {IGNORE} class names, got {len(names)}")
        if colours is not None and len(colours) != len(names):
            raise DataError(f"{owner}: colours must be one per class, got {len(colours)} for {len(names)} classes")
        indices = range(len(names))
        items = (values or {}).items()
        if wrong := {value: index for value, index in items if not 0 <= value <= _MOST_VALUE or index not in indices}:
            raise DataError(
                f"{owner}: values must map numbers from 0 to {_MOST_VALUE} to one of the {len(names)} classes, got "
                f"{wrong}"
            )
        self.names = tuple(names)
        self.colours = spread_colours(len(names)) if colours is None else tuple(colours)
        self.values = values

    def __len__(self) -> int:
        return len(self.names)

    def of_values(self, labels: np.ndarray) -> np.ndarray:
        """The classes of a map as read from a file: `(H, W)` integers from 0, 255 = ignore."""
        if self.values is None:
            return labels
        table = np.full(max(IGNORE, *self.values) + 1, IGNORE, dtype=np.int64)
        table[list(self.values)] = list(self.values.values())
        return np.where(labels < len(table), table[np.minimum(labels, len(table) - 1)], IGNORE)

    def value_of(self, index: int) -> int:
        """The smallest file value that stands for a class.

        Raises:
            DataError: there is none.
        """
        if self.values is None:
            return index
        values = [value for value, of_value in self.values.items() if of_value == index]
        if not values:
            raise DataError(f"{type(self).__name__}: no value stands for the class {index}, {self.names[index]}")
        return min(values)

    def of_set(self, values: Iterable[int]) -> frozenset[int]:
        """The classes that file values stand for."""
        return frozenset(map(int, self.of_values(np.array(sorted(values), dtype=np.int64))))


def spread_colours(count: int) -> tuple[Colour, ...]:
    """Colours spread over the hues; neighbours differ in brightness."""
    hues = [colorsys.hsv_to_rgb(i / count, 0.65, 0.95 - 0.25 * (i % 2)) for i in range(count)]
    return tuple((round(255 * r), round(255 * g), round(255 * b)) for r, g, b in hues)


def colour_labels(labels: np.ndarray, colours: tuple[Colour, ...]) -> np.ndarray:
    """A label map in colours, `(H, W)` to `(H, W, 3)` uint8; black where the label is 255, or has no colour."""
    table = np.zeros((256, 3), dtype=np.uint8)
    table[: len(colours)] = colours
    return table[np.minimum(labels, IGNORE)]


class CityscapesClasses(LabelClasses):
    """The 19 classes of the Cityscapes benchmark, in the order of its trainIds, and what lies outside it.

    Source: Cordts et al. 2016, https://arxiv.org/abs/1604.01685.

    Args:
        files: what label maps hold: `labelIds`, as downloaded, or `trainIds`, which the data set's scripts make.
        void: whether classes outside the benchmark, such as the camera car, become class 19 (`class`: 20 categories,
            as SGE-Net counts them) or are ignored (`ignore`).
    """

    def __init__(
        self, files: Literal["labelIds", "trainIds"] = "labelIds", void: Literal["class", "ignore"] = "class"
    ) -> None:
        if files not in ("labelIds", "trainIds") or void not in ("class", "ignore"):
            raise DataError(
                f"CityscapesClasses: files must be labelIds or trainIds and void class or ignore, got {files}, {void}"
            )
        self.files, self.void = files, void
        benchmark = [entry for entry in Cityscapes.classes if not entry.ignore_in_eval]  # in the order of the trainIds
        names, colours = [entry.name for entry in benchmark], [entry.color for entry in benchmark]
        values = {entry.id if files == "labelIds" else entry.train_id: entry.train_id for entry in benchmark}
        if void == "class":
            values = {value: values.get(value, len(benchmark)) for value in range(IGNORE + 1)}
            names, colours = [*names, "void"], [*colours, (81, 0, 81)]
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
    """Background and the 20 classes of Pascal VOC in their official colours: what torchvision's segmenters predict."""

    def __init__(self) -> None:
        names = [name.strip("_") for name in FCN_ResNet50_Weights.DEFAULT.meta["categories"]]  # of "__background__"
        super().__init__(tuple(names), tuple(map(_voc_colour, range(len(names)))))


def _voc_colour(index: int) -> Colour:
    """VOC spreads the bits of an index over red, green and blue, three at a time, from their highest bits down."""
    colour = [0, 0, 0]
    for place in range(8):
        for channel in range(3):
            colour[channel] |= (index >> (3 * place + channel) & 1) << (7 - place)
    return colour[0], colour[1], colour[2]
