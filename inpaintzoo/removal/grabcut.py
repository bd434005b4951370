"""GrabCut: objects from clicks and boxes without a network.

Rother, Kolmogorov, Blake: "GrabCut: Interactive Foreground Extraction using Iterated Graph Cuts", SIGGRAPH 2004; the
implementation is OpenCV's. The paper starts from a box alone. Differences here:

* Clicks are enough. The first guess is made of superpixels that lie closer to a click than to the frame, along the way
  with the smallest colour steps.
* A box starts with its inscribed ellipse as the first guess and the ellipse's core as certain, and only the box's
  surroundings are background: colours from elsewhere in the picture made the cuts worse.
"""

from __future__ import annotations

import cv2
import numpy as np
from scipy import ndimage, sparse
from scipy.sparse.csgraph import dijkstra
from skimage.segmentation import slic
from torch import Tensor

from inpaintzoo.pictures.boxes import Box
from inpaintzoo.removal.segmenter import Instance, Point, Prompt, Segmentation, Segmenter

_CELL, _LEAST_CELLS = 12, 300  # side of a superpixel in pixels; how many a small picture has, of smaller ones
_NEAR, _FAR = 0.5, 0.9  # share of the way from the clicks to the frame: certainly not the object beyond the second
_CORE = 0.6  # radius of a box's certain core, as a share of its ellipse's
_AROUND = 0.3  # how far a box's surroundings reach, as a share of its sides


class GrabCut(Segmenter):
    """Selects an object by clicks or a box; finds none by itself and knows no classes.

    Args:
        side: longest side in pixels at which it works; larger pictures are shrunk.
        iterations: rounds of colour models and cuts.
    """

    def __init__(self, side: int = 320, iterations: int = 5) -> None:
        if side < 2 * _CELL or iterations < 1:
            raise ValueError(
                f"GrabCut: side must be {2 * _CELL} or more, iterations 1 or more, got {side}, {iterations}"
            )
        self.side = side
        self.iterations = iterations

    def open(self, image: Tensor) -> Segmentation:
        """Divide the picture, `(3, H, W)` in [0, 1], into superpixels."""
        return _Cuts(image, self.side, self.iterations)


class _Cuts(Segmentation):
    def __init__(self, image: Tensor, side: int, iterations: int) -> None:
        height, width = image.shape[1:]
        super().__init__((height, width))
        self.scale = min(1.0, side / max(height, width))
        small = max(1, round(width * self.scale)), max(1, round(height * self.scale))
        pixels = (image.permute(1, 2, 0).numpy()[:, :, ::-1] * 255).round().astype(np.uint8)
        self.pixels = cv2.resize(pixels, small, interpolation=cv2.INTER_AREA)
        self.iterations = iterations
        self.cells, self.steps = _superpixels(self.pixels)

    def _select(self, prompt: Prompt) -> Instance | None:
        at, away = ([self._small(point) for point in points] for points in (prompt.at, prompt.away))
        guess, frame = self._box_guess(prompt.box) if prompt.box else (self._click_guess(at, away), self.whole)
        for points, certain in ((at, cv2.GC_FGD), (away, cv2.GC_BGD)):
            guess[np.isin(self.cells, [self.cells[point] for point in points])] = certain
        guess = guess[frame.slices].copy()
        if (guess & 1).any() and not (guess & 1).all():  # the certain and the probable foreground are odd numbers
            cv2.setRNGSeed(0)  # of the colour models' first clusters
            background, foreground = np.zeros((1, 65)), np.zeros((1, 65))
            pixels = np.ascontiguousarray(self.pixels[frame.slices])
            cv2.grabCut(pixels, guess, (0, 0, 0, 0), background, foreground, self.iterations, cv2.GC_INIT_WITH_MASK)
        found = np.zeros(self.cells.shape, bool)
        found[frame.slices] = guess & 1
        return self._instance(found, at)

    @property
    def whole(self) -> Box:
        """The picture at the size that it is cut at."""
        return Box(0, 0, *self.cells.shape)

    def _small(self, point: Point) -> tuple[int, int]:
        """Row and column of a click at that size."""
        height, width = self.cells.shape
        return min(int(point[1] * self.scale), height - 1), min(int(point[0] * self.scale), width - 1)

    def _click_guess(self, at: list[tuple[int, int]], away: list[tuple[int, int]]) -> np.ndarray:
        """By the share of the way from the clicks to the frame, or to a click beside the object."""
        clicked = np.unique([self.cells[point] for point in at])
        frame = [self.cells[0], self.cells[-1], self.cells[:, 0], self.cells[:, -1]]
        other = np.setdiff1d(np.concatenate([*frame, [self.cells[point] for point in away]]), clicked)
        if not len(other):
            return np.full(self.cells.shape, cv2.GC_PR_FGD, np.uint8)
        inside, outside = (dijkstra(self.steps, False, cells, min_only=True) for cells in (clicked, other))
        way = (inside / (inside + outside))[self.cells]
        return np.select([way < _NEAR, way < _FAR], [cv2.GC_PR_FGD, cv2.GC_PR_BGD], cv2.GC_BGD).astype(np.uint8)

    def _box_guess(self, box: Box) -> tuple[np.ndarray, Box]:
        """The box's ellipse and its core; and the box with its surroundings."""
        height, width = self.cells.shape
        top, left = int(box.top * self.scale), int(box.left * self.scale)
        bottom, right = (
            max(first + 1, round(end * self.scale)) for first, end in ((top, box.bottom), (left, box.right))
        )
        rows, columns = np.mgrid[:height, :width] + 0.5
        down, across = (bottom - top) / 2, (right - left) / 2
        radius = np.hypot((rows - top) / down - 1, (columns - left) / across - 1)
        guess = np.select([radius < _CORE, radius < 1], [cv2.GC_FGD, cv2.GC_PR_FGD], cv2.GC_PR_BGD).astype(np.uint8)
        inside = Box(top, left, min(bottom, height), min(right, width))
        beyond = np.ones(self.cells.shape, bool)
        beyond[inside.slices] = False
        guess[beyond] = cv2.GC_BGD
        more = int(2 * down * _AROUND) + 2, int(2 * across * _AROUND) + 2
        around = Box(
            max(top - more[0], 0), max(left - more[1], 0), min(bottom + more[0], height), min(right + more[1], width)
        )
        return guess, around

    def _instance(self, found: np.ndarray, at: list[tuple[int, int]]) -> Instance | None:
        """The pieces under the clicks, or all if there are none, without gaps, at the picture's size."""
        if at:
            pieces, _ = ndimage.label(found, np.ones((3, 3)))
            found = np.isin(pieces, [pieces[point] for point in at]) & found
        found = ndimage.binary_fill_holes(found)
        mask = cv2.resize(found.astype(np.float32), self.size[::-1], interpolation=cv2.INTER_LINEAR) > 0.5
        return Instance(mask) if mask.any() else None


def _superpixels(pixels: np.ndarray) -> tuple[np.ndarray, sparse.csr_array]:
    """Number of each pixel's superpixel `(h, w)`, and the colour steps between neighbouring ones, `(n, n)`."""
    lab = cv2.cvtColor(pixels.astype(np.float32) / 255, cv2.COLOR_BGR2Lab)
    count = max(len(lab) * len(lab[0]) // _CELL**2, min(_LEAST_CELLS, len(lab) * len(lab[0])))
    cells = slic(lab, count, convert2lab=False, start_label=0)  # OpenCV's can crash
    count = int(cells.max()) + 1
    sizes = np.bincount(cells.ravel(), minlength=count)
    colours = np.stack([np.bincount(cells.ravel(), lab[..., c].ravel(), count) / sizes for c in range(3)], axis=1)
    beside, below = (cells[:, 1:], cells[:, :-1]), (cells[1:], cells[:-1])
    pairs = np.concatenate([np.stack([a.ravel(), b.ravel()], axis=1) for a, b in (beside, below)])
    one, other = np.unique(np.sort(pairs[pairs[:, 0] != pairs[:, 1]], axis=1), axis=0).T
    steps = np.linalg.norm(colours[one] - colours[other], axis=1) + 1  # 1: even in a flat area the way has a length
    return cells, sparse.csr_array((steps, (one, other)), shape=(count, count))
