"""Converts a checkpoint of `benchmarks.teacher.train` into the file that `BuiltinTeacher` reads.

python -m benchmarks.teacher.export CHECKPOINT OUT.safetensors
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from inpaintzoo.files.published import load_state, read_file
from inpaintzoo.teachers.builtin import TagNetwork
from inpaintzoo.types import InpaintzooError, WeightsError
from inpaintzoo.weights.checkpoints import settings_beside

_PREFIX = "network."


def export(checkpoint: Path, out: Path) -> dict[str, str]:
    """Write the classifier of a checkpoint as float16 weights, with its settings and the facts of its training.

    Args:
        checkpoint: written by `python -m benchmarks.teacher.train`.
        out: new `.safetensors` file.

    Returns:
        The metadata: `network` (JSON of `TagNetwork`'s arguments), `iterations`, `torch`, and `config`: the model, data
        and precision of the run's `config.yaml` (JSON), if the checkpoint still lies in its run's folder.

    Raises:
        WeightsError: the checkpoint is from another program, or `out` exists or has another suffix.
    """
    if out.exists() or out.suffix != ".safetensors":
        raise WeightsError(f"{out} must be a new file that ends in .safetensors")
    content = read_file(checkpoint, "export")
    if "tag_classifier" not in content:
        raise WeightsError(
            f"{checkpoint} is not from a TagClassifier: it has no `tag_classifier` state; use benchmarks.teacher.train"
        )
    state = {k.removeprefix(_PREFIX): v for k, v in content["state_dict"].items() if k.startswith(_PREFIX)}
    settings: dict[str, Any] = content["tag_classifier"]["network"]
    network = TagNetwork(**settings)
    load_state(network, state, str(checkpoint))
    weights = {k: v.half() if v.is_floating_point() else v for k, v in network.state_dict().items()}
    weights = {key: value for key, value in weights.items() if not key.endswith("num_batches_tracked")}
    overflow = [key for key, value in weights.items() if not torch.isfinite(value).all()]
    if overflow:
        raise WeightsError(f"{checkpoint}: {overflow[0]} does not fit into float16; train with a smaller learning rate")
    metadata = {
        "network": json.dumps(settings),
        "iterations": str(content["tag_classifier"]["iteration"]),
        "torch": torch.__version__,
        "config": json.dumps(settings_beside(checkpoint)),
    }
    save_file(weights, str(out), metadata=metadata)
    return metadata


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and write the file; 1 for an error that the user can fix."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.teacher.export", description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path, help="last.ckpt of a run of benchmarks/teacher/teacher.yaml")
    parser.add_argument("out", type=Path, help="the .safetensors file to write")
    options = parser.parse_args(arguments)
    try:
        metadata = export(options.checkpoint, options.out)
    except InpaintzooError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{options.out}: {options.out.stat().st_size:,} bytes, trained for {metadata['iterations']} iterations")
    return 0


if __name__ == "__main__":
    sys.exit(main())
