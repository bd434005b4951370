"""The documentation site: every page is in its contents, and it builds without a warning."""

import os
import re
import resource
import subprocess
import sys

import pytest
from places import ROOT

DOCS = ROOT / "docs"


def test_every_page_is_in_the_contents():
    listed = set(re.findall(r"(?m)^   ([\w/-]+)$", (DOCS / "index.rst").read_text(encoding="utf-8")))
    assert listed == {path.stem for path in DOCS.glob("*.md")} | {"api/index"}


def test_every_page_of_the_reference_is_in_its_contents():
    listed = set(re.findall(r"(?m)^   (\w+)$", (DOCS / "api" / "index.rst").read_text(encoding="utf-8")))
    assert listed == {path.stem for path in (DOCS / "api").glob("*.rst")} - {"index"}


@pytest.mark.slow
def test_the_site_builds_without_a_warning_in_a_minute(tmp_path):
    pytest.importorskip("furo", reason="needs the extra docs")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", str(DOCS), str(tmp_path)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    built = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert built.returncode == 0, built.stderr
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before < 60
    page = (tmp_path / "api" / "models.html").read_text(encoding="utf-8")
    assert "inpaintzoo.models.PENNet" in page and "Encoder" in page
    assert (tmp_path / "faq.html").is_file()
