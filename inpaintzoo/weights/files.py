"""The zoo's weight files: safetensors whose metadata describes the network, so that it can be rebuilt.

The metadata of format 1, all text: `inpaintzoo_format`, `class_path`, `init_args` (JSON), `facts` (JSON),
`licence`. No file is ever unpickled: safetensors hold no code, and checkpoints are read with `weights_only=True`.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import save_file
from torch import Tensor

from inpaintzoo.files.published import FLOATS
from inpaintzoo.files.writing import new_file, write_whole
from inpaintzoo.layers.rebuildable import Rebuildable
from inpaintzoo.types import WeightsError
from inpaintzoo.version import __version__
from inpaintzoo.weights.checkpoints import CHECKPOINT_SUFFIX, read_checkpoint
from inpaintzoo.weights.networks import build, check_state, describe, not_finite

SUFFIX = ".safetensors"
FORMAT = "1"
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


@dataclasses.dataclass(frozen=True)
class WeightFile:
    """The metadata of a weight file.

    Attributes:
        class_path: class of the network.
        init_args: the network's constructor arguments.
        facts: how the weights were made, as far as known: `iterations`, `data`, `masks`, `config`, `weights` (`average`
            or `trained`), `converted_from`, `inpaintzoo` (the version that wrote the file).
        licence: a note on the terms of use; may be empty.
    """

    class_path: str
    init_args: dict[str, Any]
    facts: dict[str, Any]
    licence: str = ""


def save_model(
    model: Rebuildable,
    path: str | Path,
    facts: Mapping[str, Any] | None = None,
    licence: str = "",
    dtype: torch.dtype | None = None,
    overwrite: bool = True,
) -> None:
    """Write a network's weights and its description into one safetensors file.

    Args:
        model: a generator or discriminator of the zoo, or a teacher's `Trunk`.
        path: ends in `.safetensors`; written atomically.
        facts: how the weights were made, plain values; see `WeightFile`.
        licence: a note on the terms of use.
        dtype: type of the floating-point tensors in the file, such as `torch.float16`; None keeps it.
        overwrite: whether an existing file may be replaced.

    Raises:
        WeightsError: the network cannot be rebuilt from its arguments, a value is not finite (in `dtype`), or the path
            cannot be written.
    """
    check_dtype(dtype)
    description = describe(model)
    check_state(model.state_dict(), build(description, type(model).__name__).state_dict(), type(model).__name__)
    state = {name: _stored(tensor, dtype) for name, tensor in model.state_dict().items()}
    if dtype is not None and (bad := not_finite(state)):
        raise WeightsError(f"{bad[0]} does not fit into {dtype}: use bfloat16, whose range is that of float32")
    metadata = {
        "inpaintzoo_format": FORMAT,
        "class_path": description["class_path"],
        "init_args": json.dumps(description["init_args"]),
        "facts": _json({**(facts or {}), "inpaintzoo": __version__}),
        "licence": licence,
    }
    if not isinstance(licence, str) or any("\ud800" <= letter <= "\udfff" for letter in licence):
        raise WeightsError(f"licence must be a text, got {licence!r}")
    target = new_file(path, (SUFFIX,), overwrite)
    write_whole(target, lambda file: save_file(state, file, metadata=metadata))


def read_weights(path: str | Path, raw: bool = False) -> tuple[WeightFile, dict[str, Tensor]]:
    """Read the metadata and the tensors of a weight file, or of a checkpoint's generator.

    Raises:
        WeightsError: the file is missing, damaged or not one of the zoo's.
    """
    path = Path(path)
    if path.suffix == CHECKPOINT_SUFFIX:
        checkpoint = read_checkpoint(path)
        description = checkpoint.description("generator")
        return WeightFile(**description, facts=checkpoint.facts(raw)), checkpoint.generator_state(raw)
    with _opened(path) as file:
        about = _parse_metadata(file.metadata(), path, raw)
        try:
            return about, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a dict)
        except Exception as error:  # safetensors raises whatever the bytes lead to
            raise WeightsError(f"{path}: the file is damaged ({error})") from error


def read_about(path: str | Path, raw: bool = False) -> WeightFile:
    """Read the metadata of a weight file or checkpoint, without the tensors of a `.safetensors` file.

    Raises:
        WeightsError: as `read_weights`.
    """
    path = Path(path)
    if path.suffix == CHECKPOINT_SUFFIX:
        return read_weights(path, raw)[0]
    with _opened(path) as file:
        return _parse_metadata(file.metadata(), path, raw)


def _stored(tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    # Copied: safetensors refuses tensors that share memory.
    wanted = dtype if dtype is not None and tensor.is_floating_point() else tensor.dtype
    return tensor.detach().to("cpu", wanted, copy=True).contiguous()


def check_dtype(dtype: torch.dtype | None) -> None:
    """Raise `WeightsError` unless tensors can be stored as this; None is allowed."""
    if dtype is not None and dtype not in FLOATS:
        raise WeightsError(f"dtype must be one of {', '.join(map(str, FLOATS))} or None, got {dtype!r}")


def _json(facts: dict[str, Any]) -> str:
    try:
        return json.dumps(facts)
    except (TypeError, ValueError) as error:
        raise WeightsError(f"facts must be plain values such as numbers and texts ({error})") from error


def _opened(path: Path) -> Any:
    if not path.is_file():
        raise WeightsError(f"{path}: there is no such weight file")
    if path.suffix != SUFFIX:
        raise WeightsError(
            f"{path} is neither {SUFFIX} nor {CHECKPOINT_SUFFIX}; convert authors' released files with "
            f"`inpaintzoo convert`"
        )
    try:
        return safetensors.safe_open(str(path), "pt")
    except Exception as error:  # safetensors raises whatever the bytes lead to
        raise WeightsError(f"{path}: the file is not a safetensors file, or it is damaged ({error})") from error


def _parse_metadata(metadata: Mapping[str, str] | None, path: Path, raw: bool) -> WeightFile:
    found = (metadata or {}).get("inpaintzoo_format")
    if found is None:
        raise WeightsError(
            f"{path} is not a weight file of inpaintzoo: it does not say which network it holds; convert "
            "authors' released files with `inpaintzoo convert`"
        )
    if found != FORMAT:
        raise WeightsError(f"{path} has format {found}, and this version reads format {FORMAT}; update inpaintzoo")
    assert metadata is not None
    try:
        init_args, facts = json.loads(metadata["init_args"]), json.loads(metadata["facts"])
        about = WeightFile(metadata["class_path"], init_args, facts, metadata.get("licence", ""))
    except (KeyError, ValueError, RecursionError) as error:
        raise WeightsError(
            f"{path}: what the file says about its network is incomplete or damaged ({error})"
        ) from error
    if not isinstance(init_args, dict) or not isinstance(facts, dict):
        raise WeightsError(f"{path}: what the file says about its network is damaged: arguments and facts have names")
    if raw and facts.get("weights") == "average":
        raise WeightsError(f"{path} holds the moving average only; the trained weights are in the run's checkpoint")
    return about
