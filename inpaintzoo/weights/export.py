"""Exports generators as ONNX or `torch.export` programs for any batch and size, and compares them with the original.

The program takes `image`, `(B, 3, H, W)` in [0, 1], and `mask`, `(B, 1, H, W)`, 1 = hole, and gives `filled`: the
prediction in the hole, the image outside. For a stochastic generator it also takes `noise`, standard normal values of
shape `(B, *Generator.noise_shape(H, W))`, so that the caller draws the samples.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import json
import logging
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from inpaintzoo.files.writing import new_file, write_whole
from inpaintzoo.generator import Generator
from inpaintzoo.ops import composite, evaluating
from inpaintzoo.types import WeightsError
from inpaintzoo.version import __version__
from inpaintzoo.weights.networks import describe

Program = Callable[..., Tensor]
INPUTS = ("image", "mask", "noise")
SUFFIXES = {".onnx": "onnx", ".pt2": "torch.export"}
_TRACED_AT = 256  # approximate side of the example inputs
_HIGHER = 4  # sizes tried from the smallest side upwards before giving up
_TOLERANCE = 1e-3  # of values in [0, 1]: a quarter of a grey level


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Comparison of an exported program with the network on one input.

    Attributes:
        shape: batch, height and width.
        difference: maximum absolute difference, for values in [0, 1].
    """

    shape: tuple[int, int, int]
    difference: float


@dataclasses.dataclass(frozen=True)
class Exported:
    """The result of an export.

    Attributes:
        path: the file.
        kind: `onnx` or `torch.export`.
        multiple: the sides must be multiples of this.
        smallest_side: the sides must be at least this; may be more than the network's own minimum.
        inputs: names of the inputs, in order.
        comparisons: comparisons with the network; empty if onnxruntime is missing.
    """

    path: Path
    kind: str
    multiple: int
    smallest_side: int
    inputs: tuple[str, ...]
    comparisons: list[Comparison]

    @property
    def difference(self) -> float:
        """The maximum over all comparisons; NaN if there are none."""
        return max((comparison.difference for comparison in self.comparisons), default=math.nan)


class Exportable(nn.Module):
    """The exported module: tensors in, the composite of the generator's prediction out.

    Args:
        generator: deterministic, or stochastic with noise as an input.
    """

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs of `forward`."""
        return INPUTS if self.generator.stochastic else INPUTS[:2]

    def forward(self, image: Tensor, mask: Tensor, noise: Tensor | None = None) -> Tensor:
        """Fill the hole and keep the known pixels: `(B, 3, H, W)` in [0, 1]."""
        drawn = {} if noise is None else {"noise": [noise]}
        return composite(image, self.generator(image, mask, **drawn).image, mask)


def export_model(
    model: Generator,
    path: str | Path,
    overwrite: bool = True,
    facts: Mapping[str, Any] | None = None,
    licence: str = "",
) -> Exported:
    """Export a generator as a standalone program, and compare the two.

    Args:
        model: a generator with float32 weights on the CPU; a stochastic one must take noise as an argument.
        path: ends in `.onnx` (needs the extra `onnx`; one file up to ONNX's 2 GB) or in `.pt2` (`torch.export`).
        overwrite: whether an existing file may be replaced.
        facts: how the weights were made, plain values, kept in the file; see `inpaintzoo.weights.WeightFile`.
        licence: a note on the terms of use, kept in the file.

    Returns:
        The sizes that the program accepts, and its differences from the generator at several of them.

    Raises:
        WeightsError: the generator cannot be exported, the program differs from it, or the path cannot be written.
    """
    target = new_file(path, tuple(SUFFIXES), overwrite)
    write, load = _FORMATS[target.suffix]
    _check_exportable(model)
    if target.suffix == ".onnx":
        _need("onnx", "onnxscript")
    filler = Exportable(model)
    done: list[tuple[int, list[Comparison]]] = []

    def write_and_compare(file: str) -> None:
        program = _traced(filler)
        metadata = {**_metadata(model, filler.inputs), "facts": json.dumps(facts or {}), "licence": licence}
        with _beyond_torch(type(model).__name__, SUFFIXES[target.suffix]):
            write(program, file, filler.inputs, metadata)
            run = load(file)
        done.append(_compared(filler, run) if run else (model.smallest_side, []))

    with evaluating(model), torch.no_grad(), _quiet():
        write_whole(target, write_and_compare)
    smallest, comparisons = done[0]
    return Exported(target, SUFFIXES[target.suffix], model.size_multiple, smallest, filler.inputs, comparisons)


def _check_exportable(model: Generator) -> None:
    name = type(model).__name__
    if model.stochastic and model.noise_shape(model.size_multiple, model.size_multiple) is None:
        raise WeightsError(
            f"{name} draws its noise itself: an exported program would draw other noise, so it could not be compared; "
            f"let its forward take noise (Generator.noise_shape), or keep it as safetensors"
        )
    tensors = [*model.parameters(), *model.buffers()]
    if any(tensor.is_floating_point() and tensor.dtype != torch.float32 for tensor in tensors):
        raise WeightsError(f"{name} must have float32 weights to be exported; model.float() makes them so")
    if any(tensor.device.type != "cpu" for tensor in tensors):
        raise WeightsError(f"{name} must be on the CPU to be exported; the program runs on any device afterwards")


def _need(*packages: str) -> None:
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if missing:
        raise WeightsError(f"export to ONNX needs {' and '.join(missing)}; pip install 'inpaintzoo[onnx]'")


def _traced(filler: Exportable) -> ExportedProgram:
    """Trace the program for any batch and all sizes that the generator accepts."""
    generator = filler.generator
    multiple = generator.size_multiple
    least = _least(generator)
    # Different sides, so that the tracer does not assume a square.
    sides = [max(_TRACED_AT // multiple, least + 2) + extra for extra in (0, 1)]
    batch, steps = Dim("batch", min=1), (Dim("height", min=least), Dim("width", min=least))
    sizes = [(multiple, multiple)] * 2
    if noise := generator.noise_shape(multiple, multiple):
        sizes.append((noise[1], noise[2]))
    shapes = tuple({0: batch, 2: _multiple_of(a, steps[0]), 3: _multiple_of(b, steps[1])} for a, b in sizes)
    try:
        examples = _example(generator, 2, sides[0] * multiple, sides[1] * multiple)
        return torch.export.export(filler, examples, dynamic_shapes=shapes, strict=False)
    except Exception as error:  # the exporter raises many kinds
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise WeightsError(f"{type(generator).__name__} cannot be exported for all sizes: {reason[0]}") from error


def _multiple_of(factor: int, steps: Dim) -> Dim:
    return factor * steps if factor > 1 else steps  # torch refuses a factor of 1


def _least(generator: Generator) -> int:
    """The smallest side in units of the multiple."""
    return math.ceil(max(generator.smallest_side, 1) / generator.size_multiple)


def _example(generator: Generator, batch: int, height: int, width: int) -> tuple[Tensor, ...]:
    """Images, masks, and noise if needed; the same for the same size.

    In turn: noise with a box and scattered pixels as the hole; a white page with a dark bar, whose large flat areas are
    hard for float32 sums; and a ramp that is almost all hole.
    """
    source = torch.Generator().manual_seed(batch * 1_000_003 + height * 1009 + width)
    image, mask = torch.rand(batch, 3, height, width, generator=source), torch.zeros(batch, 1, height, width)
    noise = generator.noise_shape(height, width)
    mask[:, :, height // 4 : height // 2, width // 4 : width // 2] = 1
    for sample in range(batch):
        kind = (batch + sample) % 3
        if kind == 0:
            mask[sample].logical_or_(torch.rand(1, height, width, generator=source) > 0.9)
        elif kind == 1:
            image[sample] = 0.98
            image[sample, :, height // 8 : height // 8 + max(1, height // 16)] = 0.1
        else:
            image[sample] = torch.linspace(0.2, 0.8, width)
            mask[sample, :, 1:] = 1
    return (image, mask) if noise is None else (image, mask, torch.randn(batch, *noise, generator=source))


def _compared(filler: Exportable, run: Program) -> tuple[int, list[Comparison]]:
    """The smallest side at which the program works, and comparisons there and at other sizes."""
    generator = filler.generator
    multiple, least = generator.size_multiple, _least(generator)
    for smallest in range(least, least + _HIGHER):
        try:
            first = _difference(filler, run, 1, smallest * multiple, smallest * multiple)
        except Exception:  # programs may refuse one-cell maps that the network accepts
            continue
        break
    else:
        raise WeightsError(f"the exported {type(generator).__name__} runs at none of its smallest sizes")
    sizes = [(3, smallest + 1, smallest), (1, smallest, smallest + 2), (2, smallest + 3, smallest + 1)]
    sizes.append((2, max(smallest, _TRACED_AT // multiple), smallest))
    comparisons = [first, *(_difference(filler, run, b, h * multiple, w * multiple) for b, h, w in sizes)]
    worst = max(comparisons, key=lambda comparison: comparison.difference)
    if not worst.difference <= _TOLERANCE:  # also refuses NaN
        raise WeightsError(
            f"the exported {type(generator).__name__} differs from the network by {worst.difference:.2g} at "
            f"{worst.shape}, so it was not kept"
        )
    return smallest * multiple, comparisons


def _difference(filler: Exportable, run: Program, batch: int, height: int, width: int) -> Comparison:
    example = _example(filler.generator, batch, height, width)
    return Comparison((batch, height, width), float((run(*example) - filler(*example)).abs().max()))


def _metadata(model: Generator, inputs: tuple[str, ...]) -> dict[str, str]:
    description = describe(model)
    return {
        "class_path": description["class_path"],
        "init_args": json.dumps(description["init_args"]),
        "inputs": " ".join(inputs),
        "size_multiple": str(model.size_multiple),
        "inpaintzoo": __version__,
    }


@contextlib.contextmanager
def _beyond_torch(name: str, kind: str) -> Iterator[None]:
    """Report operations that this version of torch cannot convert or read back."""
    try:
        yield
    except (WeightsError, OSError):
        raise
    except Exception as error:  # the converters raise many kinds
        raise WeightsError(
            f"torch {torch.__version__} cannot write {name} as {kind} ({type(error).__name__}); use a newer torch, "
            f"such as 2.14"
        ) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporters' internal warnings."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


# --- the two formats -----------------------------------------------------------------------------------------------


def _write_program(program: ExportedProgram, file: str, inputs: tuple[str, ...], metadata: dict[str, str]) -> None:
    torch.export.save(program, file, extra_files={"inpaintzoo.json": json.dumps(metadata)})


def _load_program(file: str) -> Program:
    return torch.export.load(file).module()


def _write_onnx(program: ExportedProgram, file: str, inputs: tuple[str, ...], metadata: dict[str, str]) -> None:
    converted = torch.onnx.export(program, input_names=inputs, output_names=["filled"], dynamo=True, verbose=False)
    assert converted is not None
    converted.model.metadata_props.update(metadata)
    converted.save(file, external_data=False)


def _load_onnx(file: str) -> Program | None:
    """None without onnxruntime, which is optional."""
    if importlib.util.find_spec("onnxruntime") is None:
        return None
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # refused sizes are tried on purpose
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])

    def run(*example: Tensor) -> Tensor:
        given = {name: values.numpy() for name, values in zip(INPUTS, example, strict=False)}
        return torch.from_numpy(session.run(None, given)[0])

    return run


_Writer = Callable[[ExportedProgram, str, tuple[str, ...], dict[str, str]], None]
_Loader = Callable[[str], Program | None]
_FORMATS: dict[str, tuple[_Writer, _Loader]] = {
    ".onnx": (_write_onnx, _load_onnx),
    ".pt2": (_write_program, _load_program),
}
