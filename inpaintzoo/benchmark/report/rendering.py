"""The templates of a report; every value is escaped for the file that it goes into, unless it is marked as `Markup`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape


def environment(filters: Mapping[str, Any], escape_text: Callable[[str], str] = escape, **syntax: Any) -> Environment:
    """The Jinja environment for one kind of file.

    Args:
        filters: functions that the templates apply to values; one that returns `Markup` does its own escaping.
        escape_text: escapes text for files of this kind; HTML by default.
        syntax: delimiters, where Jinja's own have a meaning in these files.
    """

    def finished(value: Any) -> Any:
        return value if isinstance(value, Markup) else Markup(escape_text(str(value)))

    loader = PackageLoader("inpaintzoo.benchmark.report")
    made = Environment(
        loader=loader,
        autoescape=True,
        finalize=finished,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        **syntax,
    )
    made.filters.update(filters)
    made.globals["source"] = lambda name: Markup(loader.get_source(made, name)[0])
    return made
