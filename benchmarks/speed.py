"""How fast the networks are, against plain reference forms in the same run.

    python benchmarks/speed.py pennet --sizes 256 512 --batches 1 4 --out benchmarks/results/pennet_cpu.md
    python benchmarks/speed.py spn --tasks forward train --variants reference plain channels_last
    python benchmarks/speed.py pyramid --tasks train --batches 2 --sizes 512

The last command shows how much of a training step the structure images take: their filter against one that does
nothing.

The variants of a row run in turn, one run of each per round, so that other load on the machine affects all of them
equally; the table shows medians. Peak memory comes from a separate process that runs one variant only: on a CPU it is
the memory of that process (the header shows the interpreter's share), on a GPU that of PyTorch's allocator.
"""

from __future__ import annotations

import argparse
import datetime
import platform
import resource
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor

from inpaintzoo.data import SceneSource
from inpaintzoo.discriminators import (
    PatchDiscriminator,
    PENNetDiscriminator,
    SNPatchDiscriminator,
    SPNDiscriminator,
    SPNProbabilisticDiscriminator,
    SRPNetDiscriminator,
)
from inpaintzoo.generator import Generator
from inpaintzoo.layers import attention
from inpaintzoo.layers.attention.contextual import ContextualAttention
from inpaintzoo.layers.structure import BilateralStructure, RelativeTotalVariation, StructureFilter
from inpaintzoo.losses import L1, PriorDistillation, SegmentationLoss, StructureL1
from inpaintzoo.models import SPL, SPN, GatedNet, PENNet, PyramidGenerator, SGENet, SRPNet
from inpaintzoo.ops import composite
from inpaintzoo.types import Batch

sys.path.insert(0, str(Path(__file__).parent))
from reference.attention import cosine_transfer_per_sample, transfer_per_sample
from reference.contextual import attend_per_sample
from reference.spn import plain_forms

Step = Callable[[], None]
Term = Callable[[object, Batch], Tensor]  # a loss


@dataclass(frozen=True)
class Method:
    """A method to measure.

    Attributes:
        network: the generator of a variant.
        discriminators: its adversaries in training.
        terms: its losses beside L1 and adversaries, built for a generator.
        reference: the context in which the network computes in its plain form, for the variant `reference`.
        variants: the forms to compare; ratios are relative to the first.
    """

    network: Callable[[str], Generator]
    discriminators: Callable[[], list[torch.nn.Module]]
    terms: Callable[[Generator], Term]
    reference: Callable[[], AbstractContextManager[object]]
    variants: tuple[str, ...]


def _plain_attention(transfer: Callable[..., Tensor]) -> Callable[[], AbstractContextManager[object]]:
    """The same network with the reference's attention."""

    def forward(
        layer: attention.AttentionTransfer, shallow: Tensor, deep: Tensor, mask: Tensor, guidance: None = None
    ) -> Tensor:
        return layer.fusion(transfer(shallow, deep, mask, layer.kernel))

    return lambda: mock.patch.object(attention.AttentionTransfer, "forward", forward)


def _plain_contextual() -> AbstractContextManager[object]:
    """The gated network with the reference's attention."""

    def forward(layer: ContextualAttention, features: Tensor, mask: Tensor, guidance: None = None) -> Tensor:
        return attend_per_sample(features, mask, layer.fuse, layer.scale)

    return mock.patch.object(ContextualAttention, "forward", forward)


def _coarse(generator: Generator) -> Term:
    """L1 of the coarse picture, as in the gated networks."""
    return L1(which="coarse")


def _pyramid(generator: Generator) -> Term:
    """L1 of every level, as in PEN-Net and SRPNet."""

    def term(output: object, batch: Batch) -> Tensor:
        total = batch["image"].new_zeros(())
        for level in output.pyramid:  # type: ignore[attr-defined]
            truth = F.interpolate(batch["image"], size=level.shape[2:], mode="bilinear", align_corners=True)
            total = total + F.l1_loss(level, truth)
        return total

    return term


def _segmentation(generator: Generator) -> Term:
    """L1 and labels of every scale, as in SGE-Net; the labels' values make no difference to the time."""
    scales, labels = _pyramid(generator), SegmentationLoss()

    def term(output: object, batch: Batch) -> Tensor:
        drawn = {**batch, "labels": batch["mask"][:, 0].long()}
        return scales(output, batch) + labels(output, drawn)

    return term


def _distillation(generator: Generator) -> Term:
    """Distillation of the built-in teacher, as in SPN and SPL."""
    loss = PriorDistillation()
    loss.attach(generator)
    return loss.to(next(generator.parameters()).device)


class Unfiltered(StructureFilter):
    """A filter that takes no time: the baseline of the others."""

    def smooth(self, image: Tensor, mask: Tensor) -> Tensor:
        """The image, unchanged."""
        return image


STRUCTURE_FILTERS: dict[str, Callable[[], StructureFilter]] = {
    "unfiltered": Unfiltered,
    "relative_total_variation": RelativeTotalVariation,
    "bilateral": BilateralStructure,
}


def _structure(generator: Generator) -> Term:
    """The L1 of the structure and of the level at half the size."""
    structure, smaller = StructureL1(), _pyramid(generator)
    structure.attach(generator)
    return lambda output, batch: structure(output, batch) + smaller(output, batch)


def _engine(variant: str) -> attention.Engine:
    return "dense" if variant == "dense" else "tiled"


ATTENTION_VARIANTS = ("reference", "dense", "tiled")
SPN_VARIANTS = ("reference", "plain", "channels_last", "checkpointing")


def _spn(network: Callable[..., Generator], discriminator: Callable[[], torch.nn.Module]) -> Method:
    """A network of the SPN family."""
    return Method(
        lambda variant: network(checkpointing=variant == "checkpointing"),
        lambda: [discriminator()],
        _distillation,
        plain_forms,
        SPN_VARIANTS,
    )


METHODS = {
    "pennet": Method(
        lambda variant: PENNet(engine=_engine(variant)),
        lambda: [PENNetDiscriminator()],
        _pyramid,
        _plain_attention(transfer_per_sample),
        ATTENTION_VARIANTS,
    ),
    "srpnet": Method(
        lambda variant: SRPNet(engine=_engine(variant)),
        lambda: [SRPNetDiscriminator(), SRPNetDiscriminator()],
        _pyramid,
        _plain_attention(cosine_transfer_per_sample),
        ATTENTION_VARIANTS,
    ),
    "gated": Method(
        lambda variant: GatedNet(engine=_engine(variant)),
        lambda: [SNPatchDiscriminator()],
        _coarse,
        _plain_contextual,
        (*ATTENTION_VARIANTS, "channels_last"),
    ),
    "spn": _spn(SPN, SPNDiscriminator),
    "spn-probabilistic": _spn(partial(SPN, stochastic=True), SPNProbabilisticDiscriminator),
    "spl": _spn(SPL, SPNDiscriminator),
    "sgenet": Method(
        lambda variant: SGENet(num_classes=20),
        lambda: [PatchDiscriminator(padding=2, norm="spectral+instance", plain_first=True)],  # one of three scales
        _segmentation,
        nullcontext,
        ("plain", "channels_last"),
    ),
    "pyramid": Method(
        lambda variant: PyramidGenerator(structure_filter=STRUCTURE_FILTERS[variant]()),
        lambda: [SNPatchDiscriminator()],  # the one at full size
        _structure,
        nullcontext,
        tuple(STRUCTURE_FILTERS),
    ),
}


def _network(method: str, variant: str, device: str) -> Generator:
    torch.manual_seed(0)
    return METHODS[method].network(variant).to(device, memory_format=_layout(variant))


def _contiguous(variant: str) -> torch.memory_format:
    return torch.channels_last if variant == "channels_last" else torch.contiguous_format


def _layout(variant: str) -> torch.memory_format:
    return torch.channels_last if variant == "channels_last" else torch.preserve_format


def _pair(batch: int, size: int, device: str) -> tuple[Tensor, Tensor]:
    mask = torch.zeros(batch, 1, size, size, device=device)
    mask[:, :, size // 4 : 3 * size // 4, size // 4 : 3 * size // 4] = 1
    # Pictures, not noise: how long a structure image takes depends on what is in it.
    scenes = SceneSource("train", batch, size)
    return torch.stack([scenes.load(i).image for i in range(batch)]).to(device), mask


def _in_form(method: str, variant: str, step: Step) -> Step:
    """The step, in the reference's form where the variant asks for it."""

    def run() -> None:
        with METHODS[method].reference() if variant == "reference" else nullcontext():
            step()

    return run


def forward_step(method: str, variant: str, batch: int, size: int, device: str) -> Step:
    """One forward without gradients."""
    network = _network(method, variant, device).eval()
    image, mask = _pair(batch, size, device)
    image = image.contiguous(memory_format=_contiguous(variant))

    def step() -> None:
        with torch.inference_mode():
            network(image, mask)

    return _in_form(method, variant, step)


def training_step(method: str, variant: str, batch: int, size: int, device: str) -> Step:
    """One update of discriminators and generator: L1, the method's own terms, adversaries that judge the composite.

    PEN-Net's released code, and therefore the reference, also computes gradients of the discriminators from the
    generator's loss, which nothing uses; the zoo freezes the discriminators there.
    """
    generator = _network(method, variant, device)
    term = METHODS[method].terms(generator)
    judges = torch.nn.ModuleList(METHODS[method].discriminators()).to(device, memory_format=_layout(variant))
    optimizers = [torch.optim.Adam(net.parameters(), 1e-4, betas=(0.5, 0.999)) for net in (generator, judges)]
    image, mask = _pair(batch, size, device)
    image = image.contiguous(memory_format=_contiguous(variant))

    def step() -> None:
        output = generator(image, mask)
        filled = composite(image, output.image, mask)
        optimizers[1].zero_grad()
        for judge in judges:
            real, fake = judge(image, mask)[-1], judge(filled.detach(), mask)[-1]
            ((F.relu(1 - real).mean() + F.relu(1 + fake).mean()) / 2).backward()
        optimizers[1].step()
        judges.requires_grad_(variant == "reference")
        loss = F.l1_loss(output.image, image) - 0.1 * sum(judge(filled, mask)[-1].mean() for judge in judges)
        loss = loss + term(output, {"image": image, "mask": mask})
        optimizers[0].zero_grad()
        loss.backward()
        judges.requires_grad_(True)
        optimizers[0].step()

    return _in_form(method, variant, step)


TASKS = {"forward": forward_step, "train": training_step}


def _seconds(step: Step, device: str) -> tuple[float, float]:
    """Wall-clock and processor seconds of one run."""
    if device == "cuda":
        torch.cuda.synchronize()
    start, busy = time.perf_counter(), time.process_time()
    step()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start, time.process_time() - busy


def measure(
    method: str, task: str, variants: list[str], batch: int, size: int, device: str, runs: int
) -> dict[str, list[float]]:
    """Median wall-clock and processor seconds of each variant, measured in turn after one warm-up each."""
    steps = {variant: TASKS[task](method, variant, batch, size, device) for variant in variants}
    for step in steps.values():
        step()
    times: dict[str, list[tuple[float, float]]] = {variant: [] for variant in variants}
    for _ in range(runs):
        for variant, step in steps.items():
            times[variant].append(_seconds(step, device))
    return {v: [statistics.median(column) for column in zip(*pairs, strict=True)] for v, pairs in times.items()}


def peak_gigabytes(method: str, task: str, variant: str, batch: int, size: int, device: str, threads: int) -> float:
    """Peak memory of one variant, measured in a separate process."""
    arguments = ["--peak", task, variant, str(batch), str(size), "--device", device, "--threads", str(threads)]
    done = subprocess.run([sys.executable, __file__, method, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{task} {variant} {batch}x{size} failed:\n{done.stderr[-2000:]}")
    return float(done.stdout.split()[-1])


def _own_peak(method: str, task: str, variant: str, batch: int, size: int, device: str) -> float:
    TASKS[task](method, variant, batch, size, device)()
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 1e9
    return _process_peak()


def _process_peak() -> float:
    """Peak memory of this process in GB."""
    status = Path("/proc/self/status")
    if status.exists():
        # Not getrusage: on Linux its peak starts at that of the parent process.
        (peak,) = [line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM")]
        return int(peak) * 1024 / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e9  # bytes, as macOS counts


def _hardware(device: str) -> str:
    if device == "cuda":
        return torch.cuda.get_device_name()
    info = Path("/proc/cpuinfo")
    names = [line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    return f"{names[0] if names else platform.processor()}, {torch.get_num_threads()} threads"


def table(args: argparse.Namespace) -> str:
    """The whole report in Markdown."""
    base = _process_peak()
    lines = [
        f"# Speed of {args.method}",
        "",
        f"{_hardware(args.device)}; PyTorch {torch.__version__}; Python {platform.python_version()}; "
        f"{datetime.date.today().isoformat()}; medians of {args.runs}; the interpreter alone takes {base:.2f} GB.",
        "",
        f"    python benchmarks/speed.py {shlex.join(sys.argv[1:])}",
        "",
        "| task | size | batch | variant | seconds | CPU seconds | times faster | peak GB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for task in args.tasks:
        for size in args.sizes:
            for batch in args.batches:
                lines += _rows(args, task, size, batch)
    return "\n".join(lines) + "\n"


def _rows(args: argparse.Namespace, task: str, size: int, batch: int) -> list[str]:
    times = measure(args.method, task, args.variants, batch, size, args.device, args.runs)
    slowest = times[args.variants[0]][0]
    rows = []
    for variant, (wall, busy) in times.items():
        peak = (
            peak_gigabytes(args.method, task, variant, batch, size, args.device, args.threads)
            if args.memory
            else float("nan")
        )
        rows.append(
            f"| {task} | {size} | {batch} | {variant} | {wall:.3f} | {busy:.3f} | {slowest / wall:.2f} | {peak:.2f} |"
        )
        print(rows[-1], file=sys.stderr, flush=True)
    return rows


def main() -> None:
    """Read the arguments and print, or write, the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("method", choices=METHODS)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=["forward"])
    parser.add_argument("--sizes", nargs="+", type=int, default=[256])
    parser.add_argument("--batches", nargs="+", type=int, default=[1])
    parser.add_argument("--variants", nargs="+", help="forms to compare; all that the method has by default")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--no-memory", dest="memory", action="store_false", help="leave out the peak memory")
    parser.add_argument("--out", type=Path, help="write the table here instead of printing it")
    parser.add_argument("--peak", nargs=4, metavar=("TASK", "VARIANT", "BATCH", "SIZE"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    known = METHODS[args.method].variants
    args.variants = args.variants or list(known)
    if unknown := set(args.variants) - set(known):
        parser.error(f"{args.method} has the variants {', '.join(known)}, not {', '.join(sorted(unknown))}")
    torch.set_num_threads(args.threads)
    if args.peak:
        task, variant, batch, size = args.peak
        print(_own_peak(args.method, task, variant, int(batch), int(size), args.device))
        return
    report = table(args)
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(report)
    else:
        print(report)


if __name__ == "__main__":
    main()
