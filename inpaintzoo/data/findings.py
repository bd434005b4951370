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


def raise_errors(findings: Iterable[Finding]) -> None:
    """Raise one `DataError` that lists all findings of level `error`, if there are any."""
    errors = [finding.text for finding in findings if finding.level == "error"]
    if errors:
        raise DataError("\n".join(errors))
