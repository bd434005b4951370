"""The fills without a network on photographs: a picture sheet, PSNR in the hole, CPU time and memory.

    python benchmarks/fills.py sheet FOLDER docs/images/fills.jpg    # fills the first ten pictures of the folder
    python benchmarks/fills.py cost PICTURE                          # at 1, 12 and 50 megapixels, a process for each

Holes are drawn: a blob and a stroke, the same ones in every run.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from inpaintzoo import Predictor

SHEET = ("shiftmap", "fsr", "telea", "diffusion")
COST = ("shiftmap", "fsr_fast", "telea", "diffusion")
MEGAPIXELS = (1, 12, 50)
SIDE = 640  # the sheet's pictures are scaled to it
CELL = 144  # of the sheet: what lies around the hole


def drawn_hole(size: tuple[int, int], centre: tuple[float, float], scale: float) -> Image.Image:
    """A blob and a stroke that leaves it; `scale` is the blob's width in pixels."""
    mask = Image.new("L", size)
    draw, (x, y) = ImageDraw.Draw(mask), centre
    draw.ellipse((x - scale / 2, y - scale * 0.3, x + scale / 2, y + scale * 0.4), fill=255)
    draw.ellipse((x - scale * 0.25, y - scale * 0.5, x + scale * 0.3, y + scale * 0.1), fill=255)
    stroke = [(x + scale * a, y + scale * b) for a, b in ((0.3, 0.2), (0.6, 0.35), (0.75, 0.1))]
    draw.line(stroke, fill=255, width=max(2, round(scale / 12)), joint="curve")
    return mask


def sheet(folder: Path, out: Path) -> None:
    """Fill ten pictures, write the sheet, and print a table."""
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in (".jpg", ".jpeg", ".png"))[:10]
    columns = ("given", *SHEET, "truth")
    picture = Image.new("RGB", (CELL * len(columns), CELL * len(paths) + 16), "white")
    for column, name in enumerate(columns):
        ImageDraw.Draw(picture).text((CELL * column + 6, 3), name, fill="black")
    psnr: dict[str, list[float]] = {name: [] for name in SHEET}
    seconds = dict.fromkeys(SHEET, 0.0)
    for row, path in enumerate(paths):
        photo = Image.open(path).convert("RGB")
        photo.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
        x, y = np.random.default_rng(row).uniform(0.35, 0.65, 2) * photo.size
        mask = drawn_hole(photo.size, (x, y), 72)
        hole, truth = np.array(mask) > 127, np.array(photo).astype(float)
        cells = [Image.composite(Image.new("RGB", photo.size, "white"), photo, mask)]
        for name in SHEET:
            started = time.process_time()
            (filled,) = Predictor(fill=name)(photo, mask)
            seconds[name] += time.process_time() - started
            error = ((np.array(filled) - truth)[hole] ** 2).mean()
            psnr[name].append(float(20 * np.log10(255 / error**0.5)))
            cells.append(filled)
        left, top = round(x) - CELL // 2 + 10, round(y) - CELL // 2
        for column, cell in enumerate([*cells, photo]):
            picture.paste(cell.crop((left, top, left + CELL, top + CELL)), (CELL * column, CELL * row + 16))
        print(f"{path.name}: " + ", ".join(f"{name} {psnr[name][-1]:.2f} dB" for name in SHEET), flush=True)
    picture.save(out, quality=82, optimize=True)
    for name in SHEET:
        print(f"{name}: {np.mean(psnr[name]):.2f} dB in the hole, {seconds[name] / len(paths):.2f} CPU s a picture")


def cost(path: Path) -> None:
    """Print a table of time and memory, each cell from its own process."""
    for megapixels in MEGAPIXELS:
        for name in COST:
            subprocess.run([sys.executable, __file__, "cell", str(path), str(megapixels), name], check=True)


def cost_cell(path: Path, megapixels: int, name: str) -> None:
    """Fill two far-apart holes, a sixteenth and an eighth of the width, and print what it took."""
    photo = Image.open(path).convert("RGB")
    scale = (megapixels * 1e6 / (photo.width * photo.height)) ** 0.5
    photo = photo.resize((round(photo.width * scale), round(photo.height * scale)), Image.Resampling.BICUBIC)
    mask = drawn_hole(photo.size, (photo.width * 0.3, photo.height * 0.4), photo.width / 8)
    second = drawn_hole(photo.size, (photo.width * 0.75, photo.height * 0.7), photo.width / 16)
    mask.paste(second, mask=second)
    predictor = Predictor(fill=name)
    predictor(photo.crop((0, 0, 64, 64)), np.pad(np.ones((4, 4), bool), 30))  # imports
    before, started = peak(), time.process_time()
    predictor(photo, mask)
    seconds, gib = time.process_time() - started, peak() - before
    share = (np.array(mask) > 127).sum()
    print(f"| {megapixels} | {name} | {share} | {seconds:.1f} s | {gib:.2f} GiB |", flush=True)


def peak() -> float:
    """The most memory that this process has held so far, in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


if __name__ == "__main__":
    warnings.simplefilter("ignore", UserWarning)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    drawing = commands.add_parser("sheet")
    drawing.add_argument("folder", type=Path)
    drawing.add_argument("out", type=Path)
    commands.add_parser("cost").add_argument("path", type=Path)
    cell = commands.add_parser("cell")  # one line of `cost`
    cell.add_argument("path", type=Path)
    cell.add_argument("megapixels", type=int)
    cell.add_argument("name")
    chosen = vars(parser.parse_args())
    {"sheet": sheet, "cost": cost, "cell": cost_cell}[chosen.pop("command")](**chosen)
