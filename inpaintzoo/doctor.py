"""`inpaintzoo doctor`: everything that can be checked before a run."""

from __future__ import annotations

from typing import Any

from inpaintzoo.data.findings import Finding
from inpaintzoo.inpainter import Inpainter
from inpaintzoo.training_module import TrainingModule
from inpaintzoo.types import InpaintzooError

MARKS = {"ok": "ok     ", "warning": "WARNING", "error": "ERROR  "}


def examine(model: TrainingModule, data: Any) -> int:
    """Check data, masks, sizes and weights, and print a line per finding.

    Returns:
        1 if training could not start, else 0.
    """
    data.loads_labels = model.reads_labels
    findings = [*_weights(model), *(_size(model, data) or _data(data))]
    if not any(finding.level == "error" for finding in findings):
        findings += model.rehearse(data)
    for finding in findings:
        print(f"{MARKS[finding.level]}  {finding.text}")
    errors = sum(finding.level == "error" for finding in findings)
    warnings = sum(finding.level == "warning" for finding in findings)
    print(f"{errors} errors, {warnings} warnings")
    return 1 if errors else 0


def _weights(model: TrainingModule) -> list[Finding]:
    """Load `init_from`, if there is one, as a fit would."""
    if model.init_from is None:
        return []
    try:
        return [Finding("ok", report) for report in model.initialise()]
    except InpaintzooError as error:
        return [Finding("error", str(error))]


def _size(model: TrainingModule, data: Any) -> list[Finding]:
    """Ask the networks about the size of the pictures, before any is read or painted."""
    size = getattr(data, "picture_size", None)
    try:
        if size and isinstance(model, Inpainter):
            model.check_size(*size)
    except InpaintzooError as error:
        return [Finding("error", str(error))]
    return []


def _data(data: Any) -> list[Finding]:
    try:
        findings: list[Finding] = data.check(thorough=True)
        return findings
    except InpaintzooError as error:
        return [Finding("error", str(error))]
