"""Packs the data and the package for a machine without a network: python -m benchmarks.campaign.pack DATA OUT.

DATA is a folder with `photographs_cc0`, `photographs_ccby`, `facade`, `camvid` and `labelmefacade`; wheels to carry are
given with --wheels. OUT should be an ignored folder, such as runs/campaign-data.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from inpaintzoo.teachers.efficientnet import packaged_weights

LIMIT = 64 * 2**20
# Never trained on. The first five are CC0, so that the documentation may show them.
HELD_BACK = ("kitten-on-lawn", "casa-mila", "lake-sherburne", "san-francisco-skyline", "perched-osprey", "friends")
SHORT_SIDES = (1024, 640, 400)
CROPS = 12
ROOT = Path(__file__).parents[2]


def pack_photographs(data: Path, out: Path) -> None:
    """Photographs at several scales for training, and crops of the held-back ones.

    Raises:
        FileNotFoundError: a held-back photograph is not there.
    """
    files = {file.stem: file for kind in ("cc0", "ccby") for file in (data / f"photographs_{kind}").glob("*.jpg")}
    if missing := set(HELD_BACK) - set(files):
        raise FileNotFoundError(f"{data}/photographs_cc0 and photographs_ccby lack {', '.join(sorted(missing))}")
    for stem, file in sorted(files.items()):
        scales = [_shrunk(Image.open(file).convert("RGB"), short) for short in SHORT_SIDES]
        if stem not in HELD_BACK:
            for short, picture in zip(SHORT_SIDES, scales, strict=True):
                _save(picture, out / "train" / f"{stem}-{short}.jpg", quality=85)
            continue
        rng = np.random.default_rng(HELD_BACK.index(stem))
        for number in range(CROPS):
            picture = scales[number % len(scales)]
            left, top = (int(rng.integers(side - 256 + 1)) for side in picture.size)
            _save(picture.crop((left, top, left + 256, top + 256)), out / "held_back" / f"{stem}-{number:02d}.jpg", 95)


def pack_streets(data: Path, out: Path, test: str, every: int = 1) -> None:
    """Pictures at a short side of 256 with their label maps; without a test folder, a tenth of them is for tests."""
    for part in sorted(folder.name for folder in data.iterdir() if (folder / "images").is_dir()):
        for number, file in enumerate(sorted((data / part / "images").iterdir())[::every]):
            split = test if part == "train" and not (data / test).is_dir() and number % 10 == 9 else part
            _save(_shrunk(Image.open(file).convert("RGB"), 256), out / split / "images" / f"{file.stem}.jpg", 80)
            labels = _shrunk(Image.open(data / part / "labels" / f"{file.stem}.png"), 256, Image.Resampling.NEAREST)
            (out / split / "labels").mkdir(parents=True, exist_ok=True)
            labels.save(out / split / "labels" / f"{file.stem}.png", optimize=True)


def _shrunk(image: Image.Image, short: int, filter: Image.Resampling = Image.Resampling.LANCZOS) -> Image.Image:
    scale = min(1.0, short / min(image.size))
    return image.resize([round(side * scale) for side in image.size], filter)


def _save(image: Image.Image, path: Path, quality: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, quality=quality)


def pack_package(out: Path) -> None:
    """The tracked files that the campaign needs."""
    listing = ["git", "ls-files", "-z", "inpaintzoo", "benchmarks", "configs", "pyproject.toml"]
    listed = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, out / name)


def main(argv: Sequence[str] | None = None) -> int:
    """Pack, print the size of each part, and return 1 if the whole is larger than 64 MiB."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--wheels", type=Path, nargs="*", default=[], help="wheels that the machine lacks")
    args = parser.parse_args(argv)
    if args.out.exists():
        parser.error(f"{args.out} exists; give a new folder, so that nothing of an earlier packing stays in it")
    pack_photographs(args.data, args.out / "photographs")
    shutil.copytree(args.data / "facade", args.out / "facade", ignore=shutil.ignore_patterns("void", "labels"))
    pack_streets(args.data / "camvid", args.out / "camvid", "val")
    pack_streets(args.data / "labelmefacade", args.out / "labelmefacade", "test", every=2)
    weights = torch.load(packaged_weights("the pack"), map_location="cpu", weights_only=True)
    halved = {name: value.half() if value.is_floating_point() else value for name, value in weights.items()}
    torch.save(halved, args.out / "efficientnet-lite0.pth")
    pack_package(args.out / "package")
    for wheel in args.wheels:
        (args.out / "wheels").mkdir(exist_ok=True)
        shutil.copy(wheel, args.out / "wheels")
    total = 0
    for part in sorted(args.out.iterdir()):
        size = sum(file.stat().st_size for file in (part, *part.rglob("*")) if file.is_file())
        total += size
        print(f"{part.name:24} {size / 2**20:6.1f} MiB")
    print(f"{'all':24} {total / 2**20:6.1f} MiB of {LIMIT / 2**20:.0f}")
    return 0 if total <= LIMIT else 1


if __name__ == "__main__":
    raise SystemExit(main())
