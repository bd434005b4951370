"""The segmenters on photographs with annotated objects: intersection over union by prompt, CPU time and memory.

    python benchmarks/segmenters.py FOLDER [grabcut sam maskrcnn pointrend] [--sheet OUT.jpg]

FOLDER holds `images/`, `inst/` (numbers of instances) and `labels/` (COCO's class numbers minus one; things are below
91), as the samples of COCO-Stuff have them. Objects of at least 1 % of the picture count, two of a picture at most.
Clicks are on the point farthest from the outline, boxes are the annotation's. A segmenter whose weights are not there
says so and is left out. With `--sheet`, the first object of the first ten photographs is removed by each segmenter.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy import ndimage

from inpaintzoo import Predictor
from inpaintzoo.removal import PRETRAINED, GrabCut, Instance, Prompt, Remover, Segmenter
from inpaintzoo.types import DataError, InpaintzooError

LEAST, MOST, THINGS, PERSON = 0.01, 2, 91, 0
PROMPTS = ("a click", "a box", "a click and a box")
CELL = 240  # of the sheet


def objects(folder: Path, stem: str) -> list[tuple[bool, np.ndarray]]:
    """A photograph's largest objects: whether it is a person, and its pixels."""
    numbers, labels = (np.asarray(Image.open(folder / kind / f"{stem}.png")) for kind in ("inst", "labels"))
    found = []
    for number in np.unique(numbers):
        inside = labels[numbers == number]
        label = np.bincount(inside).argmax()
        pixels = (numbers == number) & (labels == label)
        if label < THINGS and pixels.mean() >= LEAST:
            found.append((bool(label == PERSON), pixels))
    return sorted(found, key=lambda each: -each[1].sum())[:MOST]


def prompts(pixels: np.ndarray) -> Iterator[Prompt]:
    """One for each of `PROMPTS`."""
    depth = ndimage.distance_transform_edt(np.pad(pixels, 1))[1:-1, 1:-1]
    y, x = np.unravel_index(depth.argmax(), depth.shape)
    at, box = ((int(x), int(y)),), Instance(pixels).box
    yield from (Prompt(at=at), Prompt(box=box), Prompt(at=at, box=box))


def segmenter(name: str) -> Segmenter | None:
    """Make one; None, with the reason on stderr, if its weights are not there."""
    try:
        return GrabCut() if name == "grabcut" else PRETRAINED[name]()
    except InpaintzooError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return None


def measure(name: str, chosen: Segmenter, folder: Path, stems: list[str]) -> None:
    """Print a row of the table."""
    scores: dict[str, list[tuple[bool, float]]] = {prompt: [] for prompt in PROMPTS}
    opening, asking = [], []
    for stem in stems:
        image = np.asarray(Image.open(folder / "images" / f"{stem}.jpg").convert("RGB"))
        started = time.process_time()
        segmentation = chosen.open(torch.tensor(image).permute(2, 0, 1) / 255)
        opening.append(time.process_time() - started)
        for person, pixels in objects(folder, stem):
            for prompt, given in zip(PROMPTS, prompts(pixels), strict=True):
                started = time.process_time()
                found = segmentation.select(given)
                asking.append(time.process_time() - started)
                overlap = 0.0 if found is None else (found.mask & pixels).sum() / (found.mask | pixels).sum()
                scores[prompt].append((person, float(overlap)))
    columns = []
    for rows in scores.values():
        columns += [np.mean([iou for person, iou in rows if person]), np.mean([iou for _, iou in rows])]
    gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    people, count = sum(person for person, _ in scores[PROMPTS[0]]), len(scores[PROMPTS[0]])
    print(f"{name}: {count} objects, {people} people, {len(stems)} photographs")
    cells = [*(f"{column:.2f}" for column in columns), f"{np.median(opening):.2f} s", f"{np.median(asking):.2f} s"]
    print(f"| {name} | {' | '.join(cells)} | {gib:.2f} GiB |", flush=True)


def sheet(chosen: dict[str, Segmenter], folder: Path, stems: list[str], out: Path) -> None:
    """A row for each photograph, a column for each segmenter, pointed at by a click and a box."""
    rows = []
    for stem in stems[:10]:
        photo = Image.open(folder / "images" / f"{stem}.jpg").convert("RGB")
        *_, prompt = prompts(objects(folder, stem)[0][1])
        cells = [photo]
        for each in chosen.values():
            try:
                cells += Remover(each, Predictor(fill="shiftmap"))(photo, prompt)
            except DataError:
                cells.append(Image.new("RGB", photo.size, "white"))
        rows.append(np.hstack([np.asarray(cell.resize((CELL, CELL * 3 // 4))) for cell in cells]))
    Image.fromarray(np.vstack(rows)).save(out, quality=85)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", default=["grabcut"], choices=["grabcut", *PRETRAINED])
    parser.add_argument("--sheet", type=Path)
    given = parser.parse_args()
    files = [path.stem for path in sorted((given.folder / "images").glob("*.jpg"))]
    files = [stem for stem in files if objects(given.folder, stem)]
    there = {name: found for name in given.names if (found := segmenter(name)) is not None}
    titles = [f"{prompt}, {who}" for prompt in PROMPTS for who in ("people", "all")]
    print(f"| segmenter | {' | '.join(titles)} | to open | to ask | memory |\n|{'---|' * 10}")
    for name, found in there.items():
        measure(name, found, given.folder, files)
    if given.sheet:
        sheet(there, given.folder, files, given.sheet)
