"""What a check of the data found, for `inpaintzoo doctor` and for the lines before training starts."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Literal

from inpaintzoo.types import DataError


@dataclasses.dataclass(frozen=True)
class Finding:
    """One sentence about the data.

    Attributes:
        level: `ok` and `warning` let training start, `error` does not.
        text: names the thing, the value and, unless all is well, the remedy.
    """

    level: Literal["ok", "warning", "error"]
    text: str


def act_upon(findings: Iterable[Finding]) -> None:
    """Print a line for each finding that lets a run start, and raise one `DataError` that lists the others, if any."""
    from lightning.pytorch.utilities import rank_zero_info  # here: who draws masks need not wait for Lightning

    findings = list(findings)
    for finding in findings:
        if finding.level != "error":
            rank_zero_info(f"data: {'WARNING: ' if finding.level == 'warning' else ''}{finding.text}")
    errors = [finding.text for finding in findings if finding.level == "error"]
    if errors:
        raise DataError("\n".join(errors))
