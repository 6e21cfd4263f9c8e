"""`make docs` builds the site without a network, and nothing in it is fetched from elsewhere."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mkdocs")
HOUSE = Path(__file__).parents[2]
FETCHED = re.compile(
    r"<(?:script|img|iframe|source)[^>]* src=\"?https?:[^>]*>"
    r"|<link[^>]*rel=\"?(?:stylesheet|preconnect|preload)[^>]*>"
)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built where any connection would fail."""
    folder = tmp_path_factory.mktemp("site")
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder]
    done = subprocess.run(
        words, cwd=HOUSE, env={**os.environ, **nowhere, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_every_document_has_a_page(site):
    pages = {path.relative_to(site).as_posix() for path in site.rglob("*.html")}
    documents = {path.relative_to(HOUSE / "docs").with_suffix(".html").as_posix() for path in HOUSE.glob("docs/*/*.md")}
    elsewhere = {"index.html", "guide/tutorial.html", "guide/runbook.html", "about/security.html"}
    assert documents | elsewhere | {"api/data-cases.html", "about/changelog.html"} <= pages


def test_nothing_is_fetched_from_elsewhere(site):
    fetched = []
    for page in site.rglob("*.html"):
        for found in FETCHED.finditer(page.read_text(encoding="utf-8")):
            fetched += re.findall(r"https?://[^\">\s]+", found[0])
    assert fetched == []
    styles = [path.read_text(encoding="utf-8") for path in site.rglob("*.css")]
    assert not [found for text in styles for found in re.findall(r"url\([\"']?https?:[^)]*\)|@import[^;]*http", text)]


def test_the_api_has_a_function_with_its_docstring(site):
    text = (site / "api" / "data-volumes.html").read_text() if (site / "api" / "data-volumes.html").exists() else ""
    text += (site / "api" / "data.html").read_text(encoding="utf-8")
    assert 'id="fedbrats.data.volumes.read_volume"' in text
