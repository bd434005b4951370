"""Weight files of teachers: where they are looked for, how they are read, and what is said when they do not fit."""

from __future__ import annotations

import http.client
import pickle
import re
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from inpaintzoo.types import WeightsError

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_PROBE_SECONDS = 20  # a machine without a way out should say so, not hang


def published_file(url: str, owner: str) -> Path:
    """The file behind an address in torch hub's cache (`$TORCH_HOME` decides where), downloaded where it is missing.

    Args:
        url: address; where its name ends in the start of the file's SHA-256, a download must match it.
        owner: names the user of the weights in errors.

    Raises:
        WeightsError: the file is not there and cannot be fetched.
    """
    file = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[-1]
    if file.is_file():
        return file
    digest = re.search(r"-([0-9a-f]{8,})\.", url)
    try:
        urllib.request.urlopen(url, timeout=_PROBE_SECONDS).close()
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(file), hash_prefix=digest.group(1) if digest else None)
    except (OSError, RuntimeError, http.client.HTTPException) as error:
        raise WeightsError(
            f"{owner} needs the weights {file.name}, and fetching them failed ({error}); download {url} elsewhere and "
            f"put the file at {file}, or give the path of a copy as `weights`"
        ) from error
    return file


def read_file(file: Path, owner: str) -> dict[str, Any]:
    """What a `.safetensors` or a `torch.save` file holds; no code in it is ever run.

    Raises:
        WeightsError: it is missing, damaged, or holds more than tensors and plain values.
    """
    if not file.is_file():
        raise WeightsError(f"{owner}: there is no weight file {file}; give the path of one as `weights`")
    try:
        if file.suffix == ".safetensors":
            return dict(safetensors.torch.load_file(str(file)))
        content = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # What torch says here is long, and advises to run the code.
        raise WeightsError(
            f"{owner}: {file} is no readable weight file: it is damaged, or holds other objects than tensors, such as "
            f"a pickled module, whose code is never run; fetch it again, or save its state_dict() and give that"
        ) from error
    except Exception as error:  # zip and safetensors each raise their own
        reason = "it is empty" if file.stat().st_size == 0 else _first_clause(error)
        raise WeightsError(
            f"{owner}: {file} is no readable weight file ({reason}); delete a broken download and fetch it again"
        ) from error
    if not isinstance(content, Mapping):
        raise WeightsError(f"{owner}: {file} holds a {type(content).__name__} instead of a state dict")
    return dict(content)


def _first_clause(error: Exception) -> str:
    """The beginning of what a library says, which may be a whole paragraph."""
    return re.split(r"[.:;\n] |\n", str(error) or type(error).__name__)[0][:120]


def check_state(content: Any, file: Path, owner: str) -> dict[str, Tensor]:
    """What a file holds, or a part of it, if that is a plain state dict.

    Raises:
        WeightsError: it is something else.
    """
    if not isinstance(content, Mapping):
        raise WeightsError(f"{owner}: {file} holds a {type(content).__name__} where a state dict was expected")
    other = [str(name) for name, value in content.items() if not isinstance(value, Tensor)]
    if other:
        raise WeightsError(
            f"{owner}: {file} must hold a plain state dict (names and tensors), but not so {some(other)}"
        )
    return dict(content)


def read_state(file: Path, owner: str, key: str | None = None) -> dict[str, Tensor]:
    """Names and tensors of a file that holds a state dict, under `key` if it has such an entry.

    Raises:
        WeightsError: as `read_file`, or what is there is no state dict.
    """
    content = read_file(file, owner)
    return check_state(content.get(key, content) if key else content, file, owner)


def load_state(network: nn.Module, state: Mapping[str, Tensor], owner: str) -> None:
    """Put weights into a network (also one on the meta device), as float32, and count what does not fit.

    Batch norm's `num_batches_tracked` is no weight: it may be missing, or left over where a norm has none.

    Raises:
        WeightsError: a tensor is missing, unknown or of another shape.
    """
    wanted = network.state_dict()
    filled = {key: torch.zeros((), dtype=torch.long) for key in wanted if key.endswith("num_batches_tracked")}
    for key, value in state.items():
        if key in wanted or not key.endswith("num_batches_tracked"):
            filled[key] = value.float() if value.dtype in FLOATS else value
    missing = [key for key in wanted if key not in filled]
    unknown = [key for key in filled if key not in wanted]
    if missing or unknown:
        raise WeightsError(
            f"{owner} does not fit: of {len(wanted)} tensors {len(missing)} are missing ({some(missing)}) and "
            f"{len(unknown)} are unknown ({some(unknown)})"
        )
    check_shapes(filled, wanted, owner)
    check_kinds(filled, wanted, owner)
    network.load_state_dict(filled, assign=True)


def check_shapes(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor], owner: str) -> None:
    """Raise `WeightsError` unless the tensors of both have the same shapes."""
    wrong = [
        f"{key} is {tuple(state[key].shape)}, expected {tuple(value.shape)}"
        for key, value in wanted.items()
        if key in state and state[key].shape != value.shape
    ]
    if wrong:
        raise WeightsError(f"{owner} does not fit: {len(wrong)} of {len(wanted)} tensors differ, such as {wrong[0]}")


def check_kinds(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor], owner: str) -> None:
    """Raise `WeightsError` unless all tensors are plain ones, of floating-point numbers where these are wanted."""
    for key, value in state.items():
        if key not in wanted:
            continue
        # Those of complex numbers, eight bits or quantised ones load into nothing here, or as something else.
        plain = value.layout == torch.strided and not value.is_quantized and not value.is_meta
        floats = wanted[key].is_floating_point()
        if not plain or (value.dtype not in FLOATS if floats else value.is_floating_point() or value.is_complex()):
            kind = "floating-point numbers of 16, 32 or 64 bits" if floats else "whole numbers"
            raise WeightsError(f"{owner}: {key} holds {str(value.dtype).removeprefix('torch.')} and not {kind}")


def some(names: Sequence[str]) -> str:
    """The first three of some names."""
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "") if names else "none"
