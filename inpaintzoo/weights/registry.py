"""Weights by name: where each lies, whose terms hold, and what fetches, checks and converts it.

The entries are in `registry.json`. Nothing in a file is ever run, and nothing opens it before its digest is right.
"""

from __future__ import annotations

import functools
import hashlib
import re
import shutil
import sys
from pathlib import Path

import msgspec

from inpaintzoo.files.cache import cache_folder
from inpaintzoo.files.download import download_file
from inpaintzoo.files.locks import taking_turns
from inpaintzoo.files.reading import read_json
from inpaintzoo.files.writing import file_digest, whole_files, write_whole
from inpaintzoo.models.released import Source
from inpaintzoo.types import WeightsError
from inpaintzoo.weights.files import SUFFIX
from inpaintzoo.weights.released import convert_file
from inpaintzoo.words import did_you_mean

REGISTRY = Path(__file__).with_name("registry.json")
HUB = "hf-hub:"
HUB_FILE = f"model{SUFFIX}"
"""The file that `hf-hub:owner/name` stands for."""


class HubFile(msgspec.Struct, forbid_unknown_fields=True):
    """A file of a hub repository.

    Attributes:
        repository: `owner/name`.
        revision: a commit, so that the file cannot change.
        file: its path in the repository.
    """

    repository: str
    revision: str
    file: str = HUB_FILE


class Entry(msgspec.Struct, forbid_unknown_fields=True):
    """Weights that have a name. They lie in exactly one of `bundled`, `hub`, `urls` and `page`.

    Attributes:
        paper: address.
        data: what they were trained on.
        masks: the holes that they were trained on, by the zoo's class if there is one; None: not for filling.
        licence: SPDX identifier; None: not stated.
        commercial: whether commercial use is allowed; None: not known. The data's terms count too.
        released_as: the converter of `inpaintzoo convert`; None: already one of the zoo's files.
        sha256: digest of the file as it is delivered; None: nobody has verified one.
        bytes: its size; None: not known.
        bundled: path within the package.
        hub: a file of the Hugging Face Hub.
        urls: addresses of the same file, tried in this order.
        page: where a browser is needed to download it.
    """

    paper: str
    data: str
    masks: str | None
    licence: str | None
    commercial: bool | None
    released_as: Source | None = None
    sha256: str | None = None
    bytes: int | None = None
    bundled: str | None = None
    hub: HubFile | None = None
    urls: tuple[str, ...] = ()
    page: str | None = None

    def __post_init__(self) -> None:
        """Check that there is one place."""
        if sum(map(bool, (self.bundled, self.hub, self.urls, self.page))) != 1:
            raise ValueError("an entry needs exactly one of bundled, hub, urls and page")

    @property
    def source(self) -> str:
        """Where it comes from, in a word or an address."""
        hub = f"{HUB}{self.hub.repository}@{self.hub.revision}" if self.hub else ""
        return self.page or hub or (self.urls[0] if self.urls else "inpaintzoo")

    @property
    def terms(self) -> str:
        """Licence and commercial use, in a phrase."""
        allowed = {True: "allowed", False: "not allowed", None: "not known to be allowed"}[self.commercial]
        return f"licence {self.licence or 'not stated'}, commercial use {allowed}"


@functools.cache
def entries() -> dict[str, Entry]:
    """All entries by name."""
    return read_json(REGISTRY, dict[str, Entry], "install inpaintzoo again")


def kept_file(name: str) -> Path:
    """The zoo's weight file of an entry; it exists once the entry has been fetched."""
    entry = entries()[name]
    if entry.bundled:
        return Path(__file__).parents[1] / entry.bundled
    place = msgspec.json.encode([entry.source, entry.sha256, entry.released_as])  # another version is another file
    return cache_folder() / f"{name}-{hashlib.sha256(place).hexdigest()[:8]}{SUFFIX}"


def by_hand(name: str) -> Path:
    """Where a file goes that has to be downloaded with a browser."""
    return cache_folder() / "released" / f"{name}.pth"


def fetch(name: str, trust: bool = False) -> Path:
    """Find the weights of a name; the first time they are downloaded, checked, converted, and their licence is told.

    Args:
        name: one of `entries()`.
        trust: accept a file whose digest nobody has verified.

    Returns:
        A weight file of the zoo.

    Raises:
        WeightsError: they cannot be fetched, have another digest, or would need `trust` or a browser.
    """
    entry, kept = entries()[name], kept_file(name)
    if kept.is_file():
        return kept
    kept.parent.mkdir(parents=True, exist_ok=True)
    with taking_turns(kept):
        if kept.is_file():  # another process was faster
            return kept
        delivered = _delivered(name, entry, trust)
        try:
            _make(kept, name, entry, delivered)
        finally:
            if entry.urls:  # a browser's file is the user's, and the hub's cache is shared
                delivered.unlink()
    print(f"{name}: {entry.terms}; trained on {entry.data}; {entry.paper}", file=sys.stderr)
    return kept


def _make(kept: Path, name: str, entry: Entry, delivered: Path) -> None:
    digest = file_digest(delivered)
    if entry.sha256 not in (None, digest):
        raise WeightsError(
            f"{name}: {delivered} has the SHA-256 {digest} instead of {entry.sha256}, so it is not used; delete it and "
            f"fetch it again"
        )
    if entry.released_as:
        facts = {"name": name, "data": entry.data, "masks": entry.masks, "source": entry.source, "sha256": digest}
        convert_file(entry.released_as, delivered, kept, entry.terms, facts=facts)
    else:
        write_whole(kept, lambda file: shutil.copyfile(delivered, file))


def _delivered(name: str, entry: Entry, trust: bool) -> Path:
    """The file as it is released, from where the entry says."""
    if entry.page:
        if not by_hand(name).is_file():
            raise WeightsError(
                f"{name} has to be downloaded with a browser: get the authors' weights for {entry.data} from "
                f"{entry.page}, and put the file at {by_hand(name)}"
            )
        return by_hand(name)
    if entry.sha256 is None and not trust:
        raise WeightsError(
            f"{name}: nobody has verified the digest of {entry.source}; accept the file as it is with `inpaintzoo "
            f"download {name} --trust`"
        )
    if entry.hub:
        return _from_hub(entry.hub.repository, entry.hub.file, entry.hub.revision)
    failed = []
    for url in entry.urls:
        file = cache_folder() / "released" / f"{name}{Path(url).suffix}"
        try:
            download_file(url, file, entry.sha256)
            return file
        except OSError as error:
            failed.append(f"{url}: {error}")
    raise WeightsError(f"{name} cannot be downloaded ({'; '.join(failed)}); try again when there is a connection")


def _from_hub(repository: str, file: str, revision: str | None) -> Path:
    """A file of the Hugging Face Hub, in the cache that all of its libraries share.

    Settings such as `HF_HUB_OFFLINE`, `HF_ENDPOINT`, `HF_HOME` and `HF_TOKEN` are those of `huggingface_hub`.
    """
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):  # here, because without a connection the hub asks six times
        raise WeightsError(f"{HUB}{repository}: give it as {HUB}owner/name, or {HUB}owner/name@revision")
    import huggingface_hub  # here: a path needs none of it
    from huggingface_hub.errors import EntryNotFoundError, HFValidationError

    try:
        return Path(huggingface_hub.hf_hub_download(repository, file, revision=revision))
    except (OSError, HFValidationError, EntryNotFoundError) as error:
        said = str(error.__cause__ or error).strip().splitlines()[0].rstrip(".")
        raise WeightsError(
            f"{HUB}{repository}: {file} cannot be fetched ({said}); check name, revision and connection"
        ) from error


def find_checkpoint(path: str | Path) -> Path:
    """The file that a path or a name stands for.

    Args:
        path: a file, which is returned unchanged; a run's folder, for its `last.ckpt`; a name of `inpaintzoo list
            --weights`; or `hf-hub:owner/name@revision`, for `model.safetensors` of that repository. What exists on disk
            comes first. A path to a file that does not exist is returned unchanged.

    Raises:
        WeightsError: the folder has no `last.ckpt`, or holds several runs; weights cannot be fetched; or there is no
            such name.
    """
    name, path = str(path), Path(path)
    if path.is_dir():
        return _last_checkpoint(path)
    if path.exists():
        return path
    if name.startswith(HUB):
        repository, _, revision = name.removeprefix(HUB).partition("@")
        return _from_hub(repository, HUB_FILE, revision or None)
    if name in entries():
        return fetch(name)
    if path.suffix or path.name != name:
        return path
    meant = did_you_mean(name, entries(), limit=3)
    raise WeightsError(
        f"{name}: there is no such file or folder, and no weights have this name"
        f"{meant or '; `inpaintzoo list --weights` lists the names'}"
    )


def _last_checkpoint(folder: Path) -> Path:
    # A kill may fall between two renames where there are no hard links; then only the previous one is left.
    kept = whole_files(folder, "last*.ckpt") or whole_files(folder, "previous*.ckpt")
    found = sorted(kept, key=lambda file: file.stat().st_mtime)
    if not found:
        raise WeightsError(f"{folder} is a folder without a last.ckpt; name a checkpoint file or a run's folder")
    folders = sorted({str(file.parent) for file in found})
    if len(folders) > 1:
        raise WeightsError(f"{folder} holds the checkpoints of {len(folders)} runs: name one of {', '.join(folders)}")
    return found[-1]
