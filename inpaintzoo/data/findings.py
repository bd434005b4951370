"""Findings of the data checks, printed by `inpaintzoo doctor` and before training starts."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Literal

from inpaintzoo.types import DataError


@dataclasses.dataclass(frozen=True)
class Finding:
    """One sentence about the data.

    Attributes:
        level: `error` stops training from starting, `ok` and `warning` do not.
        text: names the thing, the value and, unless it is ok, the remedy.
    """

    level: Literal["ok", "warning", "error"]
    text: str


def act_upon(findings: Iterable[Finding]) -> None:
    """Print a line for each finding that is not an error; raise one `DataError` with all that are."""
    from lightning.pytorch.utilities import rank_zero_info  # here, so that drawing masks does not import Lightning

    findings = list(findings)
    for finding in findings:
        if finding.level != "error":
            rank_zero_info(f"data: {'WARNING: ' if finding.level == 'warning' else ''}{finding.text}")
    errors = [finding.text for finding in findings if finding.level == "error"]
    if errors:
        raise DataError("\n".join(errors))
