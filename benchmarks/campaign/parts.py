"""Results as a few files of limited size, and back into a folder."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

PARTS, PART_SIZE = 8, 16 * 2**20
_BLOCK = tarfile.BLOCKSIZE
_PREFIX = "campaign.tar."


def split(folder: Path, jobs: list[str], parts: Path) -> list[str]:
    """Write the files of a folder into parts, what matters most first, and return the names of those left out.

    Tables, figures and pictures come first, then weights and checkpoints by job, small ones first. A checkpoint of a
    finished training is left out, since its weights are there.

    Args:
        folder: the campaign's output.
        jobs: its jobs, the most valuable first.
        parts: where the parts go; earlier ones are replaced.
    """

    def rank(file: Path) -> tuple[int, int, int, str]:
        job = file.relative_to(folder).parts[0]
        heavy = file.suffix in (".ckpt", ".safetensors")
        return heavy, jobs.index(job) if heavy and job in jobs else 0, file.stat().st_size, str(file)

    files = [file for file in folder.rglob("*") if file.is_file() and not file.is_relative_to(parts)]
    room, left_out, stream = PARTS * PART_SIZE - tarfile.RECORDSIZE, [], io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for file in sorted(files, key=rank):
            size = 4 * _BLOCK + -(-file.stat().st_size // _BLOCK) * _BLOCK  # four blocks for a long name
            if size > room or _finished(file, folder):
                left_out.append(str(file.relative_to(folder)))
                continue
            archive.add(file, str(file.relative_to(folder)))
            room -= size
    parts.mkdir(parents=True, exist_ok=True)
    for old in parts.glob(f"{_PREFIX}*"):
        old.unlink()
    content = stream.getbuffer()
    for number, start in enumerate(range(0, len(content), PART_SIZE)):
        (parts / f"{_PREFIX}{number}").write_bytes(content[start : start + PART_SIZE])
    return left_out


def _finished(file: Path, folder: Path) -> bool:
    if file.suffix != ".ckpt":
        return False
    above = [parent for parent in file.parents if parent.is_relative_to(folder)]
    return any((parent / "weights.safetensors").is_file() for parent in above)


def join(parts: Path, folder: Path) -> None:
    """Unpack what `split` has written.

    Raises:
        FileNotFoundError: there are no parts, or one is missing.
    """
    found = sorted(parts.glob(f"{_PREFIX}*"))
    if [file.name for file in found] != [f"{_PREFIX}{number}" for number in range(len(found))] or not found:
        raise FileNotFoundError(
            f"{parts} must hold {_PREFIX}0, {_PREFIX}1 and so on, but has {[f.name for f in found]}"
        )
    stream = io.BytesIO(b"".join(file.read_bytes() for file in found))
    with tarfile.open(fileobj=stream) as archive:
        archive.extractall(folder, filter="data")
