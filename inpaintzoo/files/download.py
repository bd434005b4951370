"""Files from the web: whole or not at all, resumed, checked before anything reads them."""

from __future__ import annotations

import email.utils
import http.client
import os
import urllib.error
import urllib.request
from pathlib import Path

from tqdm import tqdm

from inpaintzoo.files.locks import taking_turns
from inpaintzoo.files.writing import file_digest
from inpaintzoo.types import WeightsError

ATTEMPTS = 5
"""How often a download that is cut off is continued before it is given up."""

_SECONDS = 20  # a machine without a connection should say so, not hang
_BLOCK = 2**18


def download_file(url: str, target: Path, sha256: str | None = None) -> None:
    """Download a file.

    What has arrived is kept beside the target, as `NAME.part`, and continued by the next call, unless the server's file
    has changed since. Libraries do not do all of this: `torch.hub` takes a file that was cut off for a whole one, and
    `huggingface_hub` resumes only files of its hub.

    An existing target is kept.

    Args:
        url: The address.
        target: The file; its folder is made if necessary.
        sha256: What the file's digest must begin with; None: anything.

    Raises:
        OSError: The server cannot be reached, has no such file, or keeps ending early; `HF_HUB_OFFLINE` is set.
        WeightsError: The file has another digest; it is deleted.
    """
    import huggingface_hub.constants as hub  # here: most commands download nothing

    if hub.HF_HUB_OFFLINE:
        raise OSError("HF_HUB_OFFLINE is set in the environment")
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    with taking_turns(part):
        if not target.exists():  # or another process was faster
            _fetch_all(url, part, sha256)
            os.replace(part, target)


def _fetch_all(url: str, part: Path, sha256: str | None) -> None:
    for attempt in range(1, ATTEMPTS + 1):
        missing = _fetch(url, part)
        if not missing:
            break
        if attempt == ATTEMPTS:
            raise OSError(f"{url} ended after {missing}; the next try continues there")
    if sha256 is not None and not (found := file_digest(part)).startswith(sha256):
        part.unlink()
        raise WeightsError(f"{url} has the SHA-256 {found} instead of {sha256}, so it is not used; it may be damaged")


def _fetch(url: str, part: Path) -> str | None:
    """Continue a download until the server ends it; returns how much has arrived if that is not all."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "inpaintzoo"})
    if have:  # the part's time is that of the server's file: another version is sent whole
        request.add_header("Range", f"bytes={have}-")
        request.add_header("If-Range", email.utils.formatdate(part.stat().st_mtime, usegmt=True))
    try:
        answer = urllib.request.urlopen(request, timeout=_SECONDS)
    except urllib.error.HTTPError as error:
        if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        part.unlink()  # it was complete, but never checked
        return _fetch(url, part)
    with answer:
        start = have if answer.status == http.HTTPStatus.PARTIAL_CONTENT else 0
        length = answer.headers.get("Content-Length")
        size = start + int(length) if length else None
        bar = tqdm(total=size, initial=start, desc=part.stem, unit="B", unit_scale=True, disable=None, leave=False)
        cut = False
        try:
            with open(part, "ab" if start else "wb") as file, bar:
                while block := answer.read(_BLOCK):
                    file.write(block)
                    bar.update(len(block))
        except (http.client.HTTPException, TimeoutError, ConnectionError):
            cut = True
        finally:
            changed = answer.headers.get("Last-Modified")
            os.utime(part, (0, email.utils.parsedate_to_datetime(changed).timestamp() if changed else 0))
    have = part.stat().st_size
    if size is None:
        return f"{have:,} bytes" if cut else None
    return f"{have:,} of {size:,} bytes" if have < size else None
