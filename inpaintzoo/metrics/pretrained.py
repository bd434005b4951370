"""Finds the published weights that a metric needs, or says how to get them."""

from __future__ import annotations

import http.client
import re
import urllib.request
from pathlib import Path
from typing import Any

import torch

from inpaintzoo.types import WeightsError

_PROBE_SECONDS = 20  # a machine without a way out should say so, not hang


def pretrained_state(what: str, url: str, weights: str | Path | None = None) -> dict[str, Any]:
    """The state dict behind an address: from a file that is given, from torch hub's cache, or fetched into it.

    Args:
        what: names the user of the weights in errors.
        url: address; its file name ends in the start of the file's SHA-256, which a download must match.
        weights: a local copy, used instead.

    Raises:
        WeightsError: the file is missing and cannot be fetched, or is not a plain state dict.
    """
    path = _local_file(what, url, weights)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds here, from zip to unpickling errors
        raise WeightsError(f"{what}: {path} cannot be read as a state dict; fetch {url} again") from error
    if not isinstance(state, dict):
        raise WeightsError(f"{what}: {path} holds a {type(state).__name__}, not a state dict; fetch {url} again")
    return state


def hub_file(url: str) -> Path:
    """Where torch hub keeps the file of an address (`$TORCH_HOME` decides)."""
    return Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[-1]


def _local_file(what: str, url: str, weights: str | Path | None) -> Path:
    if weights is not None:
        path = Path(weights).expanduser()
        if not path.is_file():
            raise WeightsError(f"{what}: weights={str(weights)!r} is no file; fetch it from {url}")
        return path
    path = hub_file(url)
    if not path.is_file():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            download(url, path)
        except (OSError, RuntimeError, http.client.HTTPException) as error:
            raise WeightsError(
                f"{what} needs the weights {path.name}, and fetching them failed ({error}); download {url} elsewhere "
                f"and put the file at {path}, or give its path as `weights`"
            ) from error
    return path


def download(url: str, path: Path) -> None:
    """Fetch a file whose name carries the start of its SHA-256.

    Raises:
        OSError: no connection, or no such address.
        RuntimeError: what came has another hash.
    """
    urllib.request.urlopen(url, timeout=_PROBE_SECONDS).close()
    found = re.search(r"-([0-9a-f]{8,})\.", url)
    torch.hub.download_url_to_file(url, str(path), hash_prefix=found.group(1) if found else None)
