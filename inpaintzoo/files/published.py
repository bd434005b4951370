"""Published weights of teachers, metrics, losses and segmenters: found or downloaded, read safely, loaded."""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from inpaintzoo.files.download import download_file
from inpaintzoo.files.pickled import load_arrays, load_pickled
from inpaintzoo.types import WeightsError
from inpaintzoo.words import some

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def published_file(url: str, owner: str, weights: str | Path | None = None) -> Path:
    """Find a published file: a local copy, or torch hub's cache (`$TORCH_HOME`), downloading into it if needed.

    Args:
        url: address; if the file name contains the start of a SHA-256, as torchvision's do, a download must match it.
        owner: who needs the weights, for error messages.
        weights: path of a local copy, used instead of the cache.

    Raises:
        WeightsError: there is no such file, or the download fails.
    """
    if weights is not None:
        file = Path(weights).expanduser()
        if not file.is_file():
            raise WeightsError(f"{owner}: there is no weight file {file}; download it from {url}")
        return file
    file = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[-1]
    if file.is_file():
        return file
    digest = re.search(r"-([0-9a-f]{8,})\.", url)
    try:
        download_file(url, file, digest.group(1) if digest else None)
    except (OSError, WeightsError) as error:
        raise WeightsError(
            f"{owner} needs the weights {file.name}, and downloading them failed ({error}); download {url} elsewhere "
            f"and put the file at {file}, or give the path of a copy as `weights`"
        ) from error
    return file


def read_file(file: Path, owner: str) -> dict[str, Any]:
    """Read a `.safetensors` or `torch.save` file, or a `.pkl` of arrays, without ever running code in it.

    Args:
        file: where it is.
        owner: who needs it, for error messages.

    Raises:
        WeightsError: the file is missing or damaged, or holds more than tensors and plain values.
    """
    if not file.is_file():
        raise WeightsError(f"{owner}: there is no weight file {file}; give the path of one as `weights`")
    try:
        if file.suffix == ".safetensors":
            return dict(safetensors.torch.load_file(str(file)))
        content = load_arrays(file) if file.suffix == ".pkl" else load_pickled(file)
    except pickle.UnpicklingError as error:
        # torch's own message is long, and recommends running the code.
        raise WeightsError(
            f"{owner}: {file} is not a readable weight file: it is damaged, or holds objects other than tensors, such "
            f"as a pickled module, whose code is never run; download it again, or save its state_dict() and give that"
        ) from error
    except Exception as error:  # zip and safetensors each raise their own
        # The first clause: libraries may raise a whole paragraph.
        said = re.split(r"[.:;\n] |\n", str(error) or type(error).__name__)[0][:120]
        raise WeightsError(
            f"{owner}: {file} is not a readable weight file ({said if file.stat().st_size else 'it is empty'}); delete "
            f"a broken download and download it again"
        ) from error
    if not isinstance(content, Mapping):
        raise WeightsError(f"{owner}: {file} holds a {type(content).__name__} instead of a state dict")
    return dict(content)


def read_state(file: Path, owner: str, key: str | None = None) -> dict[str, Tensor]:
    """Read a state dict from a file, which may hold it under `key`.

    Raises:
        WeightsError: as `read_file`, or the content is not a state dict.
    """
    content = read_file(file, owner)
    return plain_state(content.get(key, content) if key else content, file, owner)


def plain_state(content: Any, file: Path, owner: str) -> dict[str, Tensor]:
    """Return the content of a file, or a part of it, if it is a plain state dict.

    Raises:
        WeightsError: it is something else.
    """
    if not isinstance(content, Mapping):
        raise WeightsError(f"{owner}: {file} holds a {type(content).__name__} instead of a state dict")
    other = [name for name, value in content.items() if not isinstance(value, Tensor)]
    if other:
        raise WeightsError(f"{owner}: {file} must hold a plain state dict (names and tensors), but has {some(other)}")
    return dict(content)


def load_state(network: nn.Module, state: Mapping[str, Tensor], owner: str) -> None:
    """Load weights into a network (also one on the meta device) as float32.

    Batch norm's `num_batches_tracked` is not a weight: it may be missing, or present where a norm has none.

    Args:
        network: takes the tensors as they are, without copying them.
        state: names and tensors.
        owner: whose weights these are, for error messages.

    Raises:
        WeightsError: a tensor is missing, unknown, or has another shape or kind of numbers.
    """
    wanted = network.state_dict()
    filled = {key: torch.zeros((), dtype=torch.long) for key in wanted if key.endswith("num_batches_tracked")}
    for key, value in state.items():
        if key in wanted or not key.endswith("num_batches_tracked"):
            filled[key] = value.float() if value.dtype in FLOATS else value
    check_fit(filled, wanted, owner)
    network.load_state_dict(filled, assign=True)


def check_fit(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor], owner: str) -> None:
    """Raise `WeightsError` unless both have the same names, shapes and kinds of numbers."""
    missing, unknown = ([name for name in a if name not in b] for a, b in ((wanted, state), (state, wanted)))
    if missing or unknown:
        raise WeightsError(
            f"{owner} does not fit its network: of {len(wanted)} tensors {len(missing)} are missing "
            f"({some(missing)}) and {len(unknown)} are unknown ({some(unknown)})"
        )
    wrong = [name for name in wanted if state[name].shape != wanted[name].shape]
    if wrong:
        given, expected = tuple(state[wrong[0]].shape), tuple(wanted[wrong[0]].shape)
        raise WeightsError(
            f"{owner} does not fit its network: {len(wrong)} of {len(wanted)} tensors have another shape, such as "
            f"{wrong[0]}, which is {given} instead of {expected}"
        )
    check_kinds(state, wanted, owner)


def check_kinds(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor], owner: str) -> None:
    """Raise `WeightsError` unless all tensors are dense, and floating-point exactly where the network's are."""
    for key, value in state.items():
        if key not in wanted:
            continue
        # Complex, 8-bit and quantised tensors do not load, or load as something else.
        plain = value.layout == torch.strided and not value.is_quantized and not value.is_meta
        floats = wanted[key].is_floating_point()
        if not plain or (value.dtype not in FLOATS if floats else value.is_floating_point() or value.is_complex()):
            kind = "floating-point numbers of 16, 32 or 64 bits" if floats else "whole numbers"
            raise WeightsError(f"{owner}: {key} holds {str(value.dtype).removeprefix('torch.')} and not {kind}")
