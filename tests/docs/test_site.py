"""The site builds without a network and without a warning, and loads nothing from elsewhere."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NEEDED = ("mkdocs", "material", "mkdocstrings", "mkdocstrings_handlers.python")


def _there(name):
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    missing = [name for name in NEEDED if not _there(name)]
    if missing:
        reason = f'{", ".join(missing)} not installed (pip install "livervol[docs]")'
        if os.environ.get("LIVERVOL_CI", "") not in ("", "0"):
            pytest.fail(reason)
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("site") / "site"
    # a proxy nobody answers: whatever wants the network fails
    quiet = {"NO_MKDOCS_2_WARNING": "1", "https_proxy": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"}
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)],
        cwd=ROOT, capture_output=True, text=True, check=False, env={**os.environ, **quiet},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return folder


def test_every_page_is_there(site):
    written = {path.relative_to(site).as_posix() for path in site.rglob("*.html")}
    pages = {path.relative_to(ROOT / "docs").with_suffix(".html").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert pages <= written
    assert {"reference/python/measure.html", "models/liver_v3.html", "changelog.html"} <= written


def test_nothing_is_loaded_from_elsewhere(site):
    loading = re.compile(r'<(?:script|link|img|iframe|source)\b[^>]*\b(?:src|href)="?((?:https?:)?//[^">\s]+)')
    for path in site.rglob("*.html"):
        found = [url for url in loading.findall(path.read_text(encoding="utf-8"))]
        assert found == [], path
    for path in site.rglob("*.css"):
        assert "url(http" not in path.read_text(encoding="utf-8"), path


def test_reference_has_signatures_and_units(site):
    text = (site / "reference" / "python" / "measure.html").read_text(encoding="utf-8")
    assert "livervol.measure.remnant.find_remnants" in text
    assert "flr_of_functional_percent" in text


def test_pictures_have_words(site):
    for path in (ROOT / "docs").rglob("*.md"):
        for words, _ in re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", path.read_text(encoding="utf-8")):
            assert len(words.split()) >= 2, path
