"""Real pictures and fills as a classifier sees them: SPN's figure 9, by t-SNE.

    python -m benchmarks.tsne figure9.png real=DIR spn=DIR edges=DIR

Every folder has pictures of the same names: the truth, and fills (`inpaintzoo predict`) of networks that learned from
different teachers. A point is a picture, and its colour the class: the part of its name before the first `_`. All
pictures are placed together, so that the panels can be compared: fills that keep the meaning of their picture form the
clusters of the real ones.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image
from sklearn.manifold import TSNE

from inpaintzoo.pictures.images import image_to_tensor, list_images, read_image
from inpaintzoo.teachers import EfficientNetTeacher, Teacher


@torch.no_grad()
def describe(paths: Sequence[Path], teacher: Teacher, side: int = 128) -> np.ndarray:
    """`(pictures, features)`: mean and deviation of each of the teacher's channels over a picture of `side` pixels."""
    rows = []
    for path in paths:
        picture = Image.fromarray(read_image(path)).resize((side, side), Image.Resampling.BICUBIC)
        levels = teacher(image_to_tensor(picture)[None])
        rows.append(torch.cat([torch.cat([x.mean((2, 3)), x.std((2, 3))], dim=1) for x in levels], dim=1)[0])
    return torch.stack(rows).numpy()


def places(features: Sequence[np.ndarray]) -> list[np.ndarray]:
    """`(pictures, 2)` for each set of `(pictures, features)`, all by one t-SNE of standardised features."""
    joined = np.concatenate(features)
    joined = (joined - joined.mean(axis=0)) / np.maximum(joined.std(axis=0), 1e-8)
    found = TSNE(perplexity=min(30.0, (len(joined) - 1) / 3), random_state=0).fit_transform(joined)
    return np.split(found, np.cumsum([len(each) for each in features])[:-1])


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("sets", nargs="+", metavar="NAME=DIR")
    given = parser.parse_args(arguments)
    paths = {name: list_images(folder) for name, _, folder in (each.partition("=") for each in given.sets)}
    stems = [[path.stem for path in each] for each in paths.values()]
    if any(each != stems[0] for each in stems):
        parser.error("the folders must hold pictures of the same names")
    classes = [stem.split("_")[0] for stem in stems[0]]
    colours = [sorted(set(classes)).index(each) for each in classes]
    found = places([describe(each, EfficientNetTeacher()) for each in paths.values()])
    figure = Figure(figsize=(4 * len(paths), 4), layout="constrained")
    for axes, name, points in zip(figure.subplots(1, len(paths), squeeze=False)[0], paths, found, strict=True):
        axes.scatter(*points.T, c=colours, cmap="tab10", s=12)
        axes.set(title=name, xticks=[], yticks=[])
    figure.savefig(given.out, dpi=150)


if __name__ == "__main__":
    main()
