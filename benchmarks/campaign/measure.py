"""The jobs that measure: speed on the GPU, and agreement of GPU and CPU."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import torch
import yaml
from torch import Tensor
from torch.export.passes import move_to_device_pass
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import speed as steps
from benchmarks.campaign.work import Job
from inpaintzoo import load_model, models
from inpaintzoo.generator import Generator
from inpaintzoo.weights.export import export_model

# Dense tensor-core peaks in TFLOP/s by NVIDIA's data sheets: TF32 and bfloat16. Float32 is that of the CUDA cores.
PEAKS = {
    "H100": {"float32": 67.0, "tf32": 495.0, "bf16": 989.0},
    "H200": {"float32": 67.0, "tf32": 495.0, "bf16": 989.0},
}
FORMS = ("float32", "tf32", "bf16", "compiled", "channels_last", "reference")
CONFIGS = Path(__file__).parents[2] / "configs"
BF16_BOUND = 0.02  # mean absolute difference of pictures in [0, 1], of trained weights


@contextlib.contextmanager
def in_form(form: str, device: str) -> Iterator[None]:
    """Number format and compilation of a form; all but `tf32` and `bf16` compute in full float32."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("high" if form == "tf32" else "highest")
    torch.backends.cudnn.allow_tf32 = form == "tf32"
    network = steps._network
    compiled = mock.patch.object(steps, "_network", lambda *args: torch.compile(network(*args)))
    try:
        with contextlib.ExitStack() as stack:
            stack.enter_context(torch.autocast(device, torch.bfloat16, enabled=form == "bf16"))
            if form == "compiled":
                stack.enter_context(compiled)
            yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


def speed(job: Job) -> None:
    """Forward and training step of every method in every form, one table row each, written as they are measured."""
    job.out.mkdir(parents=True, exist_ok=True)
    table = job.out / "speed.md"
    card = torch.cuda.get_device_name() if job.device == "cuda" else "CPU"
    peaks = next((peaks for name, peaks in PEAKS.items() if name in card), {})
    size, batch, runs = (64, 1, 1) if job.smoke else (256, 8, 10)
    table.write_text(
        f"# Speed\n\n{card}, PyTorch {torch.__version__}, {size}x{size} in batches of {batch}, medians of {runs}.\n\n"
        "| method | task | form | images/s | peak GB | TFLOP/s | share of the card's peak |\n|" + 7 * "---|" + "\n"
    )
    methods = ("gated",) if job.smoke else tuple(steps.METHODS)
    for method in methods:
        for task in steps.TASKS:
            for form in FORMS[::5] if job.smoke else FORMS:
                job.attempt(
                    f"{method}-{task}-{form}",
                    lambda row=(method, task, form): _measure(job, table, peaks, *row, batch, size, runs),  # type: ignore[misc]
                )


def _measure(
    job: Job, table: Path, peaks: dict[str, float], method: str, task: str, form: str, batch: int, size: int, runs: int
) -> None:
    known = steps.METHODS[method].variants
    if form in ("reference", "channels_last"):
        if form not in known:
            return
        variant = form
    else:
        variant = next(name for name in reversed(known) if name not in ("channels_last", "checkpointing"))
    if job.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    with in_form(form, job.device):
        (seconds, _), *_ = steps.measure(method, task, [variant], batch, size, job.device, runs).values()
    memory = torch.cuda.max_memory_allocated() / 1e9 if job.device == "cuda" else float("nan")
    with FlopCounterMode(display=False) as counter, in_form("float32", job.device):
        steps.TASKS[task](method, variant, batch, size, job.device)()
    rate = counter.get_total_flops() / seconds / 1e12
    peak = peaks.get(form, peaks.get("float32"))
    share = f"{100 * rate / peak:.1f} %" if peak else "-"
    with table.open("a") as file:
        file.write(f"| {method} | {task} | {form} | {batch / seconds:.2f} | {memory:.2f} | {rate:.2f} | {share} |\n")


# -- parity ------------------------------------------------------------------------------------------------------------

_NETWORKS = {
    "PENNet": lambda: models.PENNet(width=8),
    "SRPNet": lambda: models.SRPNet(width=8),
    "GatedNet": lambda: models.GatedNet(width=8),
    "AFFNet": lambda: models.AFFNet(width=12),
    "PyramidGenerator": lambda: models.PyramidGenerator(width=8),
    "SPN": lambda: models.SPN(width=8, growth=4, hidden=8),
    "SPL": lambda: models.SPL(width=8, growth=4, hidden=8),
    "SGENet": lambda: models.SGENet(num_classes=4, width=8, hidden=16),
}


def parity(job: Job) -> None:
    """On the GPU: float32 equals the CPU's, which golden tests pin; exported programs; bf16; NCCL in one process."""
    job.out.mkdir(parents=True, exist_ok=True)
    rows: dict[str, dict[str, float]] = {}
    for name in ("SPN",) if job.smoke else _NETWORKS:
        job.attempt(name, lambda name=name: rows.update({name: _compare(job, name)}))  # type: ignore[misc]
    (job.out / "parity.yaml").write_text(yaml.safe_dump({"device": job.device, "networks": rows}, sort_keys=False))
    winner = job.out.parent / "general" / "winner"
    if winner.is_file():
        job.attempt("bf16", lambda: _check_bf16(job, winner.parent / winner.read_text()))
    if job.device == "cuda":
        job.attempt("nccl", lambda: _one_process_of_nccl(job))


def _compare(job: Job, name: str) -> dict[str, float]:
    """Largest differences of float32 and of the exported program, 1e-3 allowed, and the mean difference of bf16.

    That of bf16 is not judged here: the attention of random weights may copy from anywhere.
    """
    torch.manual_seed(0)
    network = _NETWORKS[name]().eval()
    image, mask = steps._pair(1, 128, "cpu")
    with torch.inference_mode():
        expected = network(image * (1 - mask), mask).image
    there = image.to(job.device) * (1 - mask.to(job.device)), mask.to(job.device)
    with in_form("float32", job.device):
        full = _picture(network.to(job.device), *there)
        program = torch.export.load(_exported(job, name, network))
        exported = move_to_device_pass(program, job.device).module()(*there)
    with in_form("bf16", job.device):
        half = _picture(network, *there)
    # Outside the hole an exported program returns the known pixels.
    figures = {
        "float32": float((full - expected).abs().max()),
        "exported": float(((exported.cpu() - full).abs() * mask).max()),
        "bf16": float((half - expected).abs().mean()),
    }
    if max(figures["float32"], figures["exported"]) > 1e-3:
        raise RuntimeError(f"{name} on {job.device} differs from the CPU by more than 0.001: {figures}")
    return figures


def _check_bf16(job: Job, training: Path) -> None:
    """Compare bf16 with float32 for the trained winner of the job `general`.

    Raises:
        RuntimeError: they differ by more than `BF16_BOUND` on average.
    """
    checkpoint = max(training.rglob("last*.ckpt"), key=lambda file: file.stat().st_mtime)
    network = load_model(checkpoint, job.device)
    image, mask = (tensor.to(job.device) for tensor in steps._pair(1, 256, "cpu"))
    pictures = []
    for form in ("float32", "bf16"):
        with in_form(form, job.device):
            pictures.append(_picture(network, image * (1 - mask), mask))
    difference = float((pictures[0] - pictures[1]).abs().mean())
    (job.out / "bf16.yaml").write_text(yaml.safe_dump({"mean difference": difference, "bound": BF16_BOUND}))
    if difference > BF16_BOUND:
        raise RuntimeError(f"bf16 differs from float32 by {difference:.4f} on average, more than {BF16_BOUND}")


@torch.inference_mode()
def _picture(network: Generator, image: Tensor, mask: Tensor) -> Tensor:
    return network(image, mask).image.float().cpu()


def _exported(job: Job, name: str, network: Generator) -> str:
    path = job.out / f"{name}.pt2"
    export_model(network.to("cpu"), path)
    network.to(job.device)
    return str(path)


def _one_process_of_nccl(job: Job) -> None:
    options = ["--trainer.strategy", "ddp_find_unused_parameters_true", "--trainer.accelerator", "gpu"]
    options += ["--trainer.devices", "1", "--model.max_iterations", "20", "--data.train_size", "64"]
    folder = job.out / "nccl"
    job.command("fit", "--config", CONFIGS / "quickstart.yaml", *options, "--trainer.default_root_dir", folder)
