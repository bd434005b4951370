"""The built-in teacher: a small network that recognises the tags of the built-in scenes, shipped with the package.

SPN's teacher is a multi-label classifier (ASL, TResNet-L) trained on nine million photographs. This one replaces it
where nothing can be downloaded: the same pretext task and loss on the scenes' tags, in 2.6 MB. It is trained outside
the package, by `python -m benchmarks.teacher.train`.

How it differs, and why: the paper taps the first layers of a deep network, whose semantics come from millions of
images; the first layers of a small network trained for minutes only see edges. So the taps are at the end of a top-down
path (Lin et al. 2017, https://arxiv.org/abs/1612.03144), where every pixel has seen its surroundings. Each level votes
on the tags pixel by pixel, and a soft maximum pools the votes (Pinheiro and Collobert 2015,
https://arxiv.org/abs/1411.6228): to name a tag, the level must find it. Batch norm uses fixed statistics after
training, so an image's features depend on that image alone, at any size.
"""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from inpaintzoo.files.published import load_state, read_state
from inpaintzoo.teachers.base import Teacher, check_image
from inpaintzoo.types import WeightsError

SHIPPED = Path(__file__).parent / "weights" / "builtin.safetensors"


class ConvUnit(nn.Sequential):
    """Convolution, batch norm, ReLU."""

    def __init__(self, channels: int, width: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(channels, width, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(width), nn.ReLU()
        )


class Residual(nn.Module):
    """Residual block of two 3x3 convolutions, with squeeze-and-excitation on the channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = ConvUnit(width, width)
        self.second = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.squeeze = nn.Conv2d(width, width // 4, 1)
        self.excite = nn.Conv2d(width // 4, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, width, H, W)` in and out."""
        hidden = self.norm(self.second(self.first(x)))
        gate = self.excite(torch.relu(self.squeeze(hidden.mean(dim=(2, 3), keepdim=True))))
        return torch.relu(x + hidden * torch.sigmoid(gate))


class TopDown(nn.Module):
    """Merges a level with the coarser one above it."""

    def __init__(self, coarse: int, fine: int, width: int) -> None:
        super().__init__()
        self.reduce = ConvUnit(coarse, width, kernel=1)
        self.lateral = ConvUnit(fine, width, kernel=1)
        self.smooth = ConvUnit(width, width)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """`(B, coarse, h, w)` and `(B, fine, H, W)` to `(B, width, H, W)`."""
        above = F.interpolate(self.reduce(coarse), size=fine.shape[-2:], mode="bilinear", align_corners=False)
        return self.smooth(above + self.lateral(fine))


def soft_maximum(scores: Tensor, sharpness: float = 4.0) -> Tensor:
    """Pool `(B, T, H, W)` scores to `(B, T)` float32 by log-mean-exp, between their mean and their maximum.

    A tag may cover the whole image (sky) or a few pixels (a pole), which a mean would drown out.
    """
    flat = sharpness * scores.float().flatten(2)
    return (torch.logsumexp(flat, dim=2) - math.log(flat.shape[2])) / sharpness


class TagNetwork(nn.Module):
    """Recognises an image's tags from features at three strides.

    Args:
        tags: number of tags.
        widths: channels of the bottom-up path at strides 1, 2, 4, 8 and 16.
        channels: channels of the features at strides 1, 2 and 4.

    Raises:
        ValueError: fewer than 1 tag or 4 channels.
    """

    def __init__(
        self,
        tags: int = 45,
        widths: tuple[int, int, int, int, int] = (24, 48, 96, 128, 96),
        channels: tuple[int, int, int] = (32, 64, 96),
    ) -> None:
        super().__init__()
        if tags < 1 or min(*widths, *channels) < 4:
            raise ValueError(
                f"TagNetwork needs at least 1 tag and 4 channels a level, got {tags}, {widths} and {channels}"
            )
        self.settings = {"tags": tags, "widths": tuple(widths), "channels": tuple(channels)}
        self.tags = tags
        self.channels = tuple(channels)
        self.stem = ConvUnit(3, widths[0])
        pairs = itertools.pairwise(widths)
        self.down = nn.ModuleList(nn.Sequential(ConvUnit(a, b, stride=2), Residual(b)) for a, b in pairs)
        fine, half, quarter = channels
        self.up = nn.ModuleList(
            [
                TopDown(widths[4], widths[3], widths[3]),
                TopDown(widths[3], widths[2], quarter),
                TopDown(quarter, widths[1], half),
                TopDown(half, widths[0], fine),
            ]
        )
        self.votes = nn.ModuleList(nn.Conv2d(width, tags, 1) for width in channels)

    def features(self, image: Tensor) -> list[Tensor]:
        """Features of `(B, 3, H, W)` in [0, 1] at strides 1, 2 and 4."""
        levels = [self.stem(2 * image - 1)]
        for stage in self.down:
            levels.append(stage(levels[-1]))
        top = levels.pop()
        taps = []
        for join in self.up:
            top = join(top, levels.pop())
            taps.append(top)
        return taps[:0:-1]  # without the one at stride 8, finest first

    def scores(self, image: Tensor) -> list[Tensor]:
        """Scores of each tag at each pixel, `(B, tags, H / s, W / s)` per level, finest first."""
        return [vote(level) for vote, level in zip(self.votes, self.features(image), strict=True)]

    def forward(self, image: Tensor) -> Tensor:
        """Logits of the tags, `(levels, B, tags)`, one verdict per level, finest first."""
        check_image("TagNetwork", image)
        return torch.stack([soft_maximum(scores) for scores in self.scores(image)])


class BuiltinTeacher(Teacher):
    """The default teacher, which needs no download.

    Args:
        weights: a file written by `python -m benchmarks.teacher.export`; None uses the one in the package.

    Raises:
        WeightsError: the file is missing or does not hold a `TagNetwork`.
    """

    name = "built-in tag classifier (the paper's teacher is the ASL TResNet-L trained on OpenImages)"

    def __init__(self, weights: str | None = None) -> None:
        super().__init__()
        file = SHIPPED if weights is None else Path(weights).expanduser()
        state = read_state(file, "BuiltinTeacher")
        self.network = TagNetwork(**_settings(file))
        load_state(self.network, state, f"BuiltinTeacher: {file}")
        self.channels = self.network.channels
        self.eval().requires_grad_(False)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Features of `(B, 3, H, W)` in [0, 1] at strides 1, 2 and 4, 0 or more; as shipped 32, 64 and 96 channels."""
        check_image("BuiltinTeacher", image)
        return self.network.features(image)


def _settings(file: Path) -> dict[str, Any]:
    """The network's arguments, from the file's metadata."""
    try:
        with safe_open(str(file), "pt") as content:
            settings = json.loads((content.metadata() or {})["network"])
        return {name: value if name == "tags" else tuple(value) for name, value in settings.items()}
    except (SafetensorError, KeyError, ValueError) as error:
        raise WeightsError(
            f"BuiltinTeacher: {file} does not say which network it is for; make it with "
            f"python -m benchmarks.teacher.export"
        ) from error
