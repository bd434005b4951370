"""`inpaintzoo inpaint`: fill holes in a picture, or in a folder of pictures."""

from __future__ import annotations

import dataclasses
import os
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

from jsonargparse import ArgumentParser, Namespace
from jsonargparse.typing import restricted_number_type
from tqdm import tqdm

from inpaintzoo.commands.run import run_command
from inpaintzoo.fills import Biharmonic, Diffusion, MeanColour
from inpaintzoo.generator import Generator
from inpaintzoo.pictures.images import is_image_name, list_images
from inpaintzoo.predictor import Predictor
from inpaintzoo.predictor.filling import Precision
from inpaintzoo.predictor.holes import PolarityChoice, common_polarity
from inpaintzoo.predictor.ledger import Ledger, stamp
from inpaintzoo.predictor.planning import Strategy
from inpaintzoo.predictor.tasks import FileResult, FileTask, JpegWarning, sample_paths
from inpaintzoo.types import ConfigError, DataError, InpaintzooError
from inpaintzoo.weights.checkpoints import find_checkpoint

ALPHA = "alpha"  # in place of a mask
SETTINGS = "inpaint.json"  # in an output folder: what its pictures were made with
_Seed = restricted_number_type("_Seed", int, [(">=", 0), ("<=", 2**63 - 1)])
_Grow = restricted_number_type("_Grow", int, [(">=", 0), ("<=", 10_000)])
FILLS: dict[str, type[Generator]] = {"mean": MeanColour, "diffusion": Diffusion, "biharmonic": Biharmonic}
_SUFFIXES = ("_mask", "-mask")  # that a mask's name may have behind its picture's


@dataclasses.dataclass(frozen=True)
class Job:
    """One picture to fill.

    Attributes:
        image: the file.
        mask: its mask; None for its own transparency.
        guidance: its map, or None.
        out: what to write.
    """

    image: Path
    mask: Path | None
    guidance: Path | None
    out: Path

    @property
    def sources(self) -> tuple[Path | None, ...]:
        """What the output is made from."""
        return self.image, self.mask, self.guidance


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: what stands after `inpaintzoo inpaint`; None takes it from the process.

    Returns:
        The exit code: 0, 1 if a picture could not be filled (the others are) or nothing could be begun, 2 for wrong
        usage.
    """
    return run_command(_parser(), argv, _inpaint)


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog="inpaintzoo inpaint", description="Fill holes in a picture or a folder of pictures.")
    add = parser.add_argument
    add("image", type=str, help="a picture, or a folder of pictures")
    add("mask", type=str, help=f"its mask, a folder of masks with the pictures' names, or {ALPHA}: transparent is hole")
    add("-o", "--out", type=str, required=True, help="the file or, for a folder, the folder to write")
    add("--model", type=str, help="a weight file (.safetensors), a checkpoint (.ckpt) or a run's folder")
    add("--fill", choices=list(FILLS), help="a plain fill instead of a model")
    add("--samples", type=int, default=1, help="fills of each hole, by a stochastic model: NAME-0.png, NAME-1.png, ...")
    add("--seed", type=_Seed, default=0, help="of stochastic fills")
    add("--grow", type=_Grow, default=0, help="pixels by which holes are enlarged on every side")
    add("--polarity", choices=get_args(PolarityChoice), default="auto", help="the colour of holes; auto: the rarer one")
    guidance = "where may be copied from: white in a greyscale map, the hole's own class in a palette map; or a folder"
    add("--guidance", type=str, help=guidance)
    add("--strategy", choices=get_args(Strategy), default="auto", help="how the model is shown large pictures")
    add("--tile", type=int, help="longest side in pixels that the model is shown at once; by memory if not given")
    add("--overlap", type=int, help="of tiles in pixels; a quarter of a tile if not given")
    add("--max-memory", type=float, help="GiB that may be used; half of what is free if not given")
    add("--batch-size", type=int, default=1, help="tiles, and pictures of one size, filled at once if memory allows")
    add("--device", type=str, default="auto", help="cpu, cuda, cuda:1, ...; auto takes a GPU where there is one")
    add("--precision", choices=get_args(Precision), default="float32", help="in which the model computes")
    add("--format", choices=["keep", "png", "tif", "webp", "jpg", "bmp"], default="keep", help="of a folder's output")
    add("--force", action="store_true", help="overwrite files that are there")
    return parser


def _inpaint(config: Namespace) -> int:
    source, out = Path(config.image), Path(config.out)
    _check_source(source, out)
    _check_model(config)
    jobs, unmatched = _folder_jobs(config) if source.is_dir() else (_single_job(config), [])
    _check_inputs_stay(config, jobs)
    ledger = Ledger(out / SETTINGS, _settings(config), config.force) if source.is_dir() else None
    to_do = jobs if ledger is None else _not_done(ledger, jobs, config.samples)
    polarity = _polarity(config, jobs)
    if len(to_do) < len(jobs):
        print(f"{len(jobs) - len(to_do)} of {len(jobs)} pictures are filled already")
    results = _results(config, to_do, polarity)
    if ledger is not None and to_do:  # only now, so that a mistake leaves no trace
        out.mkdir(parents=True, exist_ok=True)
        ledger.begin(path for job in to_do for path in sample_paths(job.out, config.samples))
        for folder in {job.out.parent for job in to_do}:
            folder.mkdir(parents=True, exist_ok=True)
    for text in unmatched:
        _error(text)
    failed = len(unmatched) + _failures(to_do, results, ledger)
    print(f"{out}: {len(to_do) + len(unmatched) - failed} filled, {failed} failed")
    return 1 if failed else 0


def _polarity(config: Namespace, jobs: list[Job]) -> PolarityChoice:
    """The colour of holes: in a folder of masks that of all of them together."""
    polarity: PolarityChoice = config.polarity
    if polarity == "auto" and (Path(config.image).is_dir() or Path(config.mask).is_dir()):
        masks = sorted({job.mask for job in jobs if job.mask is not None})
        polarity = (common_polarity(masks) if masks else None) or polarity
        if polarity == "black":
            _say("note: black is taken as the hole, the rarer colour of the masks; --polarity white for the other")
    return polarity


def _failures(jobs: list[Job], results: Iterator[FileResult], ledger: Ledger | None) -> int:
    """Say and note what becomes of each picture; how many could not be filled."""
    failed = 0
    try:
        for job, result in zip(jobs, _progress(jobs, results), strict=True):
            _tell(job, result, quiet=() if ledger is None else (JpegWarning,))
            failed += result.error is not None
            if ledger is not None and result.error is None:
                ledger.note(result.files, job.sources)
    finally:  # also where Ctrl-C ends it
        if ledger is not None and jobs:
            ledger.end()
    return failed


def _check_source(source: Path, out: Path) -> None:
    if not source.exists():
        raise DataError(f"{source}: there is no such file or folder")
    if source.is_dir() and (out.is_file() or is_image_name(out)):
        raise ConfigError(f"--out {out} is a file, but {source} is a folder; name a folder")
    if source.is_dir() and out.resolve() == source.resolve():
        raise ConfigError(f"--out {out} is the folder of the pictures; name another, so that they stay as they are")
    if not source.is_dir() and out.exists() and out.resolve() == source.resolve():
        raise ConfigError(f"--out {out} is the picture itself; name another file")


def _check_inputs_stay(config: Namespace, jobs: list[Job]) -> None:
    """Nothing that the command reads may be what it writes, not even with --force."""
    out = Path(config.out)
    folders = {"pictures": config.image, "masks": config.mask, "guidance maps": config.guidance}
    for name, place in folders.items():
        if place is not None and Path(place).is_dir() and out.is_dir() and out.samefile(place):
            raise ConfigError(f"--out {out} is the folder of the {name}; name another, so that they stay as they are")
    read = {_identity(path): path for job in jobs for path in job.sources if path is not None and path.exists()}
    for target in (path for job in jobs for path in sample_paths(job.out, config.samples)):
        if target.exists() and _identity(target) in read:
            raise ConfigError(f"{target} would overwrite {read[_identity(target)]}, which is read; name another --out")


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino


def _check_model(config: Namespace) -> None:
    if (config.model is None) == (config.fill is None):
        raise ConfigError("give either --model FILE or --fill " + "|".join(FILLS))


def _predictor(config: Namespace) -> Predictor:
    return Predictor(
        config.model if config.fill is None else FILLS[config.fill](),
        device=config.device,
        precision=config.precision,
        strategy=config.strategy,
        tile=config.tile,
        overlap=config.overlap,
        max_memory=config.max_memory,
        batch_size=config.batch_size,
    )


def _results(config: Namespace, jobs: list[Job], polarity: PolarityChoice) -> Iterator[FileResult]:
    """Fill the pictures, as they are asked for; the model is loaded at once."""
    if not jobs:
        return iter(())
    predictor = _predictor(config)
    predictor.check_request(config.samples, config.guidance)  # once, and before anything is written
    return predictor.fill_files(
        (FileTask(job.image, job.mask, job.out, job.guidance) for job in jobs),
        samples=config.samples,
        seed=config.seed,
        grow=config.grow,
        polarity=polarity,
        overwrite=config.force or Path(config.image).is_dir(),
    )


def _tell(job: Job, result: FileResult, quiet: tuple[type[Warning], ...]) -> None:
    """Say what became of a picture, but for notes of some kinds, which are said once for all."""
    if result.error is not None:
        if os.environ.get("INPAINTZOO_TRACEBACK"):
            raise result.error
        error = result.error
        kind = "" if isinstance(error, (InpaintzooError, OSError)) else f"{type(error).__name__}: "
        _error(kind + str(error) if str(job.image) in str(error) else f"{job.image}: {kind}{error}")
    for note in result.notes:
        if not isinstance(note, quiet):
            known = any(str(path) in str(note) for path in (job.image, job.mask, job.out))
            _say(f"note: {note}" if known else f"note: {job.image}: {note}")


# -- which picture goes with which mask ------------------------------------------------------------------------------


def _single_job(config: Namespace) -> list[Job]:
    image = Path(config.image)
    mask, guidance = (None if config.mask == ALPHA else Path(config.mask)), config.guidance and Path(config.guidance)
    found = []
    for name, path in (("mask", mask), ("guidance map", guidance)):
        if path is not None and path.is_dir():
            path = _by_name(path, Path(config.out)).get(_composed(image.stem))
            if path is None:
                raise DataError(f"{image}: there is no {name} of this name")
        found.append(path)
    return [Job(image, found[0], found[1], Path(config.out))]


def _folder_jobs(config: Namespace) -> tuple[list[Job], list[str]]:
    """The jobs of a folder, and a sentence for each file without a partner."""
    source, out = Path(config.image), Path(config.out)
    masks = None if config.mask == ALPHA else Path(config.mask)
    guidance = Path(config.guidance) if config.guidance else None
    inner = [folder for folder in (out, masks, guidance) if folder is not None and folder != source]
    images = [path for path in list_images(source, exclude=inner) if path not in inner]
    if not images:
        raise DataError(f"{source} holds 0 pictures, subfolders included")
    partners, unmatched = [], []
    for name, place in (("mask", masks), ("guidance map", guidance)):
        found, texts = _partners(images, source, place, name, out)
        partners.append(found)
        unmatched += texts
    jobs = []
    for image, mask, guide in zip(images, *partners, strict=True):
        if (masks is None or mask) and (guidance is None or guide):
            jobs.append(Job(image, mask, guide, _target(out / image.relative_to(source), config.format)))
    return _without_clashes(jobs, unmatched)


def _partners(
    images: list[Path], source: Path, place: Path | None, name: str, out: Path
) -> tuple[list[Path | None], list[str]]:
    if place is None or place.is_file():
        return [place] * len(images), []
    if not place.is_dir():
        raise DataError(f"{name} {place}: there is no such file or folder")
    by_name = _by_name(place, out)
    keys = [_composed(image.relative_to(source).with_suffix("").as_posix()) for image in images]
    unmatched = [
        f"{image}: there is no {name} {place / key}.*"
        for image, key in zip(images, keys, strict=True)
        if key not in by_name
    ]
    unmatched += [
        f"{path}: there is no picture of this {name}'s name" for key, path in by_name.items() if key not in keys
    ]
    return [by_name.get(key) for key in keys], unmatched


def _by_name(folder: Path, out: Path) -> dict[str, Path]:
    """The pictures of a folder by their path in it without suffix, and without `_mask`; not those of the output.

    Raises:
        DataError: two of them have one name.
    """
    found: dict[str, Path] = {}
    for path in list_images(folder, exclude=[out]):
        key = _composed(path.relative_to(folder).with_suffix("").as_posix())
        for suffix in _SUFFIXES:
            key = key.removesuffix(suffix)
        if key in found:
            raise DataError(f"{found[key]} and {path} have one name, so it is unclear which belongs to the picture")
        found[key] = path
    return found


def _composed(name: str) -> str:
    """One form of a name: systems write letters such as é as one character or as two."""
    return unicodedata.normalize("NFC", name)


def _target(path: Path, form: str) -> Path:
    return path if form == "keep" else path.with_suffix(f".{form}")


def _without_clashes(jobs: list[Job], unmatched: list[str]) -> tuple[list[Job], list[str]]:
    """Pictures that differ by their suffix only must not become one file."""
    kept: dict[Path, Job] = {}
    for job in jobs:
        if job.out in kept:
            unmatched.append(f"{job.image}: {kept[job.out].image} is written to {job.out} already; rename one of them")
        else:
            kept[job.out] = job
    return list(kept.values()), unmatched


# -- going on where a run stopped ------------------------------------------------------------------------------------


def _not_done(ledger: Ledger, jobs: list[Job], samples: int) -> list[Job]:
    to_do = [job for job in jobs if not ledger.made(sample_paths(job.out, samples), job.sources)]
    ledger.check_ours(path for job in to_do for path in sample_paths(job.out, samples))
    return to_do


def _settings(config: Namespace) -> dict[str, Any]:
    """What decides how the pictures of a folder look."""
    names = ("fill", "samples", "seed", "grow", "polarity", "strategy", "tile", "overlap", "precision", "format")
    places = ("image", "mask", "guidance", "model")
    model = None if config.model is None else stamp(Path(find_checkpoint(config.model)))
    return {
        **{name: _place(config[name]) for name in places},
        **{name: config[name] for name in names},
        "model-file": model,
    }


def _place(path: str | None) -> str | None:
    return path if path in (None, ALPHA) else str(Path(str(path)).resolve())


# -- what is said ----------------------------------------------------------------------------------------------------


def _progress(jobs: list[Job], results: Iterator[FileResult]) -> Iterator[FileResult]:
    jpegs = [job for job in jobs if job.out.suffix.lower() in (".jpg", ".jpeg")]
    if len(jobs) > 1 and jpegs:
        _say(f"note: {len(jpegs)} files become JPEGs, which changes known pixels a little; --format png keeps them")
    yield from tqdm(results, total=len(jobs), unit="picture", disable=None if len(jobs) > 1 else True)


def _error(error: object) -> None:
    _say(f"inpaintzoo inpaint: error: {' '.join(str(error).split())}")


def _say(text: str) -> None:
    tqdm.write(text, file=sys.stderr)
