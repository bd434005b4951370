"""`inpaintzoo doctor`: everything that can be checked before a run."""

from __future__ import annotations

import torch

from inpaintzoo.data.findings import Finding
from inpaintzoo.data.labels.needs import check_labels, require_labels
from inpaintzoo.data.module import InpaintingData
from inpaintzoo.inpainter import Inpainter
from inpaintzoo.metrics.segmentation import predicted_logits
from inpaintzoo.types import Batch, InpaintzooError
from inpaintzoo.weights.initialise import initialise

MARKS = {"ok": "ok     ", "warning": "WARNING", "error": "ERROR  "}


def examine(model: Inpainter, data: InpaintingData) -> int:
    """Check data, masks, sizes and weights, and print a line per finding.

    Returns:
        1 if training could not start, else 0.
    """
    data.loads_labels = model.reads_labels
    findings = [*_weights(model), *(_size(model, data) or _data(data))]
    if not any(finding.level == "error" for finding in findings):
        findings += check_labels(model, data)
    if not any(finding.level == "error" for finding in findings):
        findings.append(_pair(model, data))
        if findings[-1].level != "error":
            findings += [_terms(model, data), _metrics(model, data)]
    for finding in findings:
        print(f"{MARKS[finding.level]}  {finding.text}")
    errors = sum(finding.level == "error" for finding in findings)
    warnings = sum(finding.level == "warning" for finding in findings)
    print(f"{errors} errors, {warnings} warnings")
    return 1 if errors else 0


def _weights(model: Inpainter) -> list[Finding]:
    """Load `init_from`, if there is one, as a fit would."""
    if model.init_from is None:
        return []
    try:
        return [
            Finding("ok", str(report)) for report in initialise(model.generator, model.adversaries, model.init_from)
        ]
    except InpaintzooError as error:
        return [Finding("error", str(error))]


def _size(model: Inpainter, data: InpaintingData) -> list[Finding]:
    """Ask the networks about the size of the pictures, before any is read or painted."""
    try:
        if data.picture_size:
            model.check_size(*data.picture_size)
    except InpaintzooError as error:
        return [Finding("error", str(error))]
    return []


def _data(data: InpaintingData) -> list[Finding]:
    try:
        return data.check(thorough=True)
    except InpaintzooError as error:
        return [Finding("error", str(error))]


def _pair(model: Inpainter, data: InpaintingData) -> Finding:
    """Check the size and labels of one training batch, and report how much of it is hole."""
    try:
        batch = next(iter(data.train_dataloader()))
        model.generator.check_size(batch["image"], batch["mask"])
        require_labels(model.generator, batch)
    except InpaintzooError as error:
        return Finding("error", str(error))
    height, width = batch["image"].shape[-2:]
    hole = float(batch["mask"].mean())
    text = f"first batch: {height}x{width}, fits {type(model.generator).__name__}; {hole:.0%} of it is hole"
    if hole > 0.6:
        return Finding("warning", f"{text}; are the masks inverted (1 = hole)?")
    return Finding("ok", text)


def _terms(model: Inpainter, data: InpaintingData) -> Finding:
    """Run two training pairs through generator, losses and adversaries: finds missing outputs and sizes too small."""
    try:
        batch = next(iter(data.train_dataloader()))
        pairs: Batch = {key: value[:2] for key, value in batch.items()}  # type: ignore[assignment]
        with torch.no_grad():
            output = model.train().predict_frame(pairs)
            for loss in model.losses.values():
                loss(output, pairs)
            for adversary in model.adversaries.values():
                adversary.generator_losses(output, pairs)  # type: ignore[operator]
    except (InpaintzooError, ValueError) as error:
        return Finding("error", f"losses and adversaries: {error}")
    return Finding(
        "ok", f"losses: {', '.join(model.losses) or 'none'}; adversaries: {', '.join(model.adversaries) or 'none'}"
    )


def _metrics(model: Inpainter, data: InpaintingData) -> Finding:
    """Run one test batch through the metrics: finds missing weights and sizes too small."""
    try:
        model.metrics.prepare(torch.device("cpu"))
        batch = next(iter(data.test_dataloader()))
        model.metrics.update(batch["image"], batch)
        if model.metrics.segmentation_metrics:
            pairs: Batch = {key: value[:2] for key, value in batch.items()}  # type: ignore[assignment]
            with torch.no_grad():
                output = model.eval().predict_frame(pairs)
            model.metrics.update(output.image, pairs, predicted_logits(output))
    except InpaintzooError as error:
        return Finding("error", f"metrics: {error}")
    finally:
        model.metrics.reset()
    return Finding("ok", f"metrics: {', '.join(metric.name for metric in model.metrics.metrics)}")
