"""The built documentation in a real browser, opened from a folder: no errors, nothing fetched, a search that finds."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.browser import CHROMIUM, Browser
from helpers.pages import REPOSITORY

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs the browser Chromium (Debian's package chromium)"),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as `make docs` does: a warning is an error."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return folder


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("profile")) as started:
        yield started


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        loaded = re.findall(r"<(?:script|link|img|iframe)\b[^>]*?\b(?:src|href)=\"([^\"]+)\"", page.read_text("utf-8"))
        assert not [url for url in loaded if url.startswith(("http:", "https:", "//"))], page


def test_pages_open_without_errors_and_overflow_nowhere(site: Path, browser: Browser) -> None:
    for page in sorted(site.rglob("*.html")):
        if page.name == "404.html":
            continue
        browser.open(page)
        assert browser.complaints == [], page
        for width in (360, 1600):
            browser.size(width, 900)
            assert browser.run("document.documentElement.scrollWidth") <= width, page
        assert browser.run("[...document.images].every((image) => image.complete && image.naturalWidth)"), page


def test_the_search_finds_an_error_message_without_a_server(site: Path, browser: Browser) -> None:
    browser.open(site / "index.html")
    browser.click("[data-md-component=search-query]")
    browser.ask("Input.insertText", text="worker processes were killed")
    # the index is read first, which takes long on a busy machine; results come in parts
    found = """new Promise((done) => { let left = 600; const look = () => {
      const links = [...document.querySelectorAll(".md-search-result__link")].map((a) => a.href);
      links.some((link) => link.includes("faq.html")) || !left-- ? done(links) : setTimeout(look, 100); }; look(); })"""
    assert any("faq.html" in link for link in browser.run(found))
