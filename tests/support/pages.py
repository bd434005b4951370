"""The pages of the documentation, and what is printed on them."""

import re

from places import ROOT

from inpaintzoo.commands.training import ZooCLI

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page, language):
    """The fenced blocks of a language; `""`: those that name none."""
    fences = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [text for name, text in fences if name == language]


class ParsedOnly(ZooCLI):
    """Parses a command as `inpaintzoo` does, and stops there."""

    def before_instantiate_classes(self):
        pass

    def instantiate_classes(self):
        pass

    def _run_subcommand(self, subcommand):
        pass
