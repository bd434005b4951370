"""Colour maps of SPN's features by K-means (figures 10 to 12)."""

from __future__ import annotations

from typing import Any, Literal, Protocol, get_args, runtime_checkable

import numpy as np
import torch
import torch.nn.functional as F
from lightning import Trainer
from scipy.cluster.vq import kmeans2
from torch import Tensor
from torchvision.utils import make_grid

from inpaintzoo.callbacks.sheets import ValidationSheet, as_evaluated
from inpaintzoo.data.labels.classes import spread_colours
from inpaintzoo.ops import composite, show_hole
from inpaintzoo.teachers import EdgeTeacher
from inpaintzoo.types import ConfigError

Show = Literal["pyramid", "samples", "refinement"]


@runtime_checkable
class HasPriorFeatures(Protocol):
    """A generator with a prior pyramid to show."""

    def prior_features(self, image: Tensor, mask: Tensor) -> list[Tensor]:
        """`(B, C_l, h_l, w_l)`, finest first."""


def cluster_map(features: Tensor, clusters: int = 8, seed: int = 0, most: int = 4096) -> Tensor:
    """Each cell's K-means cluster of a feature map, numbered by size.

    Args:
        features: `(C, h, w)`; each channel is standardised first.
        clusters: the number of clusters; SPN's figures have 8.
        seed: seeds the start; the same features and seed give the same map.
        most: the means are fitted to at most this many cells, drawn at random.

    Returns:
        `(h, w)` int64, 0 = the largest cluster.
    """
    channels, height, width = features.shape
    cells = features.detach().float().cpu().reshape(channels, -1).t().numpy().astype(np.float64)
    cells = (cells - cells.mean(axis=0)) / np.maximum(cells.std(axis=0), 1e-8)
    draw = np.random.default_rng(seed)
    sample = cells if len(cells) <= most else cells[draw.choice(len(cells), most, replace=False)]
    distinct = len(np.unique(sample, axis=0))  # of more clusters than these some stay empty
    centres, _ = kmeans2(sample, min(clusters, distinct), minit="++", seed=draw, missing="warn")
    # |a - b|² without a², which does not change the order
    label = torch.from_numpy((np.square(centres).sum(axis=1) - 2 * cells @ centres.T).argmin(axis=1))
    order = torch.bincount(label, minlength=len(centres)).argsort(descending=True, stable=True)
    return order.argsort()[label].view(height, width)


def colour_maps(features: Tensor, size: tuple[int, int], clusters: int = 8) -> Tensor:
    """K-means colour maps of `(B, C, h, w)` features, clustered picture by picture: `(B, 3, *size)` in [0, 1]."""
    colours = torch.tensor(spread_colours(clusters)) / 255.0
    maps = torch.stack([colours[cluster_map(sample, clusters)] for sample in features]).permute(0, 3, 1, 2)
    return F.interpolate(maps, size=size, mode="nearest")


class PriorMaps(ValidationSheet):
    """After each validation writes features as colour maps, beside masked input, composite and truth.

    For a stochastic generator the maps are those of the latent's mean, and the composite is the first fill.

    Args:
        count: how many validation pictures.
        clusters: number of clusters; 8 in the paper.
        show: `pyramid`: the priors from coarse to fine (figure 10); `samples`: the finest prior and the fill of two
            samples of a stochastic generator (figure 11); `refinement`: the image generator's features before the
            middle blocks, the coarsest prior, and the features after them (figure 12).
        edges: also draw the composite's Canny edges, as figure 10 does for comparison.
    """

    name = "priors"
    title = "priors"

    def __init__(self, count: int = 2, clusters: int = 8, show: Show = "pyramid", edges: bool = False) -> None:
        if count < 1 or clusters < 2:
            raise ValueError(f"PriorMaps: count must be 1 or more and clusters 2 or more, got {count} and {clusters}")
        if show not in get_args(Show):
            raise ValueError(f"PriorMaps: show must be one of {', '.join(get_args(Show))}, got {show!r}")
        super().__init__(count)
        self.clusters = clusters
        self.show: Show = show
        self.edges = EdgeTeacher() if edges else None
        columns = {"pyramid": "priors", "samples": "prior, composite, prior", "refinement": "encoder, prior, decoder"}
        self.title = f"masked, {columns[show]}, composite, {'edges, ' if edges else ''}truth"

    def check(self, pl_module: Any) -> None:
        """Raise `ConfigError` for a generator without a prior pyramid, or without samples to show."""
        name, stochastic = type(pl_module.generator).__name__, pl_module.generator.stochastic
        if not isinstance(pl_module.generator, HasPriorFeatures):
            raise ConfigError(
                f"PriorMaps shows the prior pyramid of SPN or SPL, and {name} has none; remove this callback from the "
                f"config"
            )
        if self.show == "samples" and not stochastic:
            raise ConfigError(
                f"PriorMaps: {name} is deterministic and has no samples to show; choose show 'pyramid' or 'refinement'"
            )

    def draw(self, trainer: Trainer, pl_module: Any, batch: Any) -> Tensor:
        """A row of pictures for each sample."""
        with as_evaluated(trainer, pl_module):
            rows = self.rows(pl_module, batch)
        return make_grid(rows, nrow=len(rows) // len(batch["image"]))

    def rows(self, pl_module: Any, batch: Any) -> Tensor:
        """The pictures of a batch in reading order, `(B * columns, 3, H, W)`."""
        image, mask = batch["image"].float().cpu(), batch["mask"].float().cpu()
        hidden = batch["image"].masked_fill(batch["mask"].bool(), 0.0)
        size = (image.shape[-2], image.shape[-1])

        def maps(**options: Any) -> list[Tensor]:
            found = pl_module.generator.prior_features(hidden, batch["mask"], **options)
            return [colour_maps(features, size, self.clusters) for features in found]

        def filled(prediction: Tensor) -> Tensor:
            return composite(image, prediction.float().clamp(0, 1).cpu(), mask)

        if self.show == "samples":
            columns = []
            source = torch.Generator().manual_seed(0)
            shape = (len(image), *pl_module.generator.noise_shape(*size))
            for noise in (torch.randn(shape, generator=source).to(hidden) for _ in range(2)):
                prediction = pl_module.generator(hidden, batch["mask"], noise=[noise]).image
                columns += [maps(noise=noise)[0], filled(prediction)]
            last = columns[-1]
        else:
            priors = maps()
            if self.show == "refinement":
                priors = [*maps(which="decoder"), priors[-1], *maps(which="encoder")]
            last = filled(pl_module.fills(batch)[:, 0])
            columns = [*reversed(priors), last]
        if self.edges is not None:
            columns.append(self.edges(last)[0].expand(-1, 3, -1, -1))
        return torch.stack([show_hole(image, mask), *columns, image], dim=1).flatten(0, 1)
