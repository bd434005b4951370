"""The documentation site: `sphinx-build -W docs docs/_build`."""

import re
from typing import Any

from sphinx.application import Sphinx

from inpaintzoo.version import __version__

project = "inpaintzoo"
author = "The inpaintzoo authors"
version = release = __version__
html_title = f"inpaintzoo {__version__}"
html_theme = "furo"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
exclude_patterns = ["_build"]
myst_heading_anchors = 3  # so that `page.md#a-heading` works as on GitHub
napoleon_use_ivar = True  # or the attributes of a named tuple are described twice
autodoc_default_options = {"members": True, "show-inheritance": True, "member-order": "bysource"}
autodoc_typehints_format = "short"


def link_files(app: Sphinx, name: str, source: list[str]) -> None:
    """Offer Markdown pages outside `docs` as files, since the site has no page for them."""
    source[0] = re.sub(r"\]\((\.\./[^)#]+\.md)", r"](path:\1", source[0])


def shorten(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Keep the first line of a module's docstring: the rest, with its Markdown tables, is for readers of the code."""
    if what == "module":
        del lines[1:]


def setup(app: Sphinx) -> None:
    """Connect the two."""
    app.connect("source-read", link_files)
    app.connect("autodoc-process-docstring", shorten)
