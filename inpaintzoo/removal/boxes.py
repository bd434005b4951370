"""A detector's boxes, and a segmenter that finds the pixels within them (section 5.3 of the dissertation)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from inpaintzoo.ops import evaluating, find_device
from inpaintzoo.pictures.boxes import Box
from inpaintzoo.removal.grabcut import GrabCut
from inpaintzoo.removal.segmenter import Instance, Prompt, Segmentation, Segmenter
from inpaintzoo.types import WeightsError


class DetectedBoxes(Segmenter):
    """Finds objects and their classes by a detector, and the pixels in their boxes by another segmenter.

    Args:
        network: maps a list of `(3, H, W)` in [0, 1] to a list of dictionaries with `boxes`, `labels` and `scores`, as
            torchvision's detectors do.
        classes: name of each label from 1 on.
        within: finds the pixels of an object in its box.
        threshold: detections with a smaller score do not count.
        device: where the network runs.

    Raises:
        ValueError: the threshold is not in 0..1.
    """

    finds_all = True

    def __init__(
        self,
        network: nn.Module,
        classes: tuple[str, ...],
        within: Segmenter | None = None,
        threshold: float = 0.5,
        device: str = "auto",
    ) -> None:
        if not 0 <= threshold <= 1:
            raise ValueError(f"DetectedBoxes: threshold must lie in 0..1, got {threshold}")
        self.device = find_device(device)
        self.network = network.to(self.device)
        self.classes = classes
        self.within = within or GrabCut()
        self.threshold = threshold

    @classmethod
    def pretrained(cls, weights: str | Path | None = None, **arguments: Any) -> DetectedBoxes:
        """With a detector of your own training; none is published.

        Args:
            weights: a detector's weight file, checkpoint or run folder.
            arguments: see the class.

        Raises:
            WeightsError: no file is given, or it cannot be read.
        """
        from inpaintzoo.removal.detection import read_detector  # here: it takes seconds to import

        if weights is None:
            raise WeightsError(
                "the segmenter mpssd has no published weights; train it with `inpaintzoo fit --config "
                "configs/mpssd.yaml` and give --weights RUN (GrabCut needs no weights)"
            )
        network = read_detector(weights)
        return cls(network, network.classes, **arguments)

    def open(self, image: Tensor) -> Segmentation:
        """Find the objects of a picture, `(3, H, W)` in [0, 1]."""
        with torch.inference_mode(), evaluating(self.network):
            (found,) = self.network([image.to(self.device)])
        inner = self.within.open(image)
        height, width = inner.size
        instances = []
        for corners, label, score in zip(*(found[key].tolist() for key in ("boxes", "labels", "scores")), strict=True):
            left, top, right, bottom = map(round, corners)
            box = Box(max(top, 0), max(left, 0), min(bottom, height), min(right, width))
            if score < self.threshold or box.top >= box.bottom or box.left >= box.right:
                continue
            if (instance := inner.select(Prompt(box=box))) is not None:
                instances.append(Instance(instance.mask, self.classes[label - 1], score))
        return _InBoxes(inner, instances)


class _InBoxes(Segmentation):
    """Answers clicks by the detected objects, and where there is none, and for drawn boxes, by the inner segmenter."""

    def __init__(self, inner: Segmentation, instances: list[Instance]) -> None:
        super().__init__(inner.size, instances)
        self.inner = inner

    def _select(self, prompt: Prompt) -> Instance | None:
        return super()._select(prompt) or self.inner.select(prompt)
