"""The built-in teacher: a small network that tells the tags of the built-in scenes, shipped with the package.

SPN's teacher is a multi-label classifier (ASL, TResNet-L) trained on nine million photographs. This one plays its part
where nothing may be downloaded: the same pretext task and loss on the scenes' tags, in 2.6 MB.

What differs, and why. The paper taps the first layers of a deep network, whose semantics come from millions of images;
the first layers of a small one trained for minutes are edges. So the taps lie at the end of a top-down path (Lin et al.
2017, https://arxiv.org/abs/1612.03144), where every pixel has seen its surroundings, and each level votes on the tags
pixel by pixel, the votes pooled by a soft maximum (Pinheiro and Collobert 2015, https://arxiv.org/abs/1411.6228): to
name a tag, the level must find it. Batch norm has fixed statistics once trained, so a picture's features depend on that
picture alone, at any size.
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
    """Two 3x3 convolutions beside an identity; squeeze-and-excitation lets the whole picture weigh the channels."""

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
    """Joins a level with the coarser one above it."""

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
    """Pools `(B, T, H, W)` scores to `(B, T)`, between their mean and their maximum: log-mean-exp, float32.

    A tag's evidence may fill the picture (sky) or a few pixels (a pole): a mean would drown the latter.
    """
    flat = sharpness * scores.float().flatten(2)
    return (torch.logsumexp(flat, dim=2) - math.log(flat.shape[2])) / sharpness


class TagNetwork(nn.Module):
    """Tells an image's tags, and keeps the features that it tells them by.

    Args:
        tags: how many.
        widths: channels on the way down, at strides 1, 2, 4, 8 and 16.
        channels: of the features at strides 1, 2 and 4.
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
        return taps[:0:-1]  # all but the one at stride 8, finest first

    def scores(self, image: Tensor) -> list[Tensor]:
        """Each level's score of each tag at each pixel, `(B, tags, H / s, W / s)`, finest first."""
        return [vote(level) for vote, level in zip(self.votes, self.features(image), strict=True)]

    def check_size(self, image: Tensor, mask: Tensor | None = None) -> None:
        """Raise `DataError` unless the image's shape fits; the mask, which generators check too, plays no part."""
        check_image("TagNetwork", image)

    def forward(self, image: Tensor) -> Tensor:
        """Logits of the tags, `(levels, B, tags)`: each level's own verdict, finest first."""
        self.check_size(image)
        return torch.stack([soft_maximum(scores) for scores in self.scores(image)])


class BuiltinTeacher(Teacher):
    """The default teacher: needs no download.

    Args:
        weights: a file written by `python -m benchmarks.teacher.export`; None takes the one in the package.

    Raises:
        WeightsError: the file is missing or not one of a `TagNetwork`.
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
        """Features of `(B, 3, H, W)` in [0, 1] at strides 1, 2 and 4, at least 0; shipped: 32, 64 and 96 channels."""
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
