"""The report in a real browser: no errors, tabs, zoom and sorting work, nothing overflows, contrast is enough."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import synthetic

from oddjets.config import Analysis
from oddjets.paper import index
from oddjets.paper.make import analyses
from oddjets.plots import make, report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs the browser Chromium (Debian's package chromium)"),
]

#: WCAG 2.2, level AA, text of normal size
CONTRAST_AA = 4.5


@pytest.fixture(scope="module")
def found(
    finished: tuple[Analysis, Path], quick_pictures: None, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """What the checks inside the report say."""
    return checked(report.write(*finished), tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def found_in_index(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What they say inside the index of `oddjets paper`, of one set-up and of all that is missing."""
    out = tmp_path_factory.mktemp("paper")
    asked = analyses(1.0, ["hh=20"])
    synthetic.fabricate(out / "paper_top", synthetic.analysis())
    make(synthetic.analysis(), out / "paper_top", ["closure_SR", "gof", "bump"])
    (out / "paper_top" / "report.html").write_text("<html></html>")
    return checked(index.write(asked, out), tmp_path_factory.mktemp("index"))


def checked(file: Path, folder: Path) -> dict[str, Any]:
    """Open a page in the browser, with the checks in it."""
    page = file.read_text(encoding="utf-8")
    checks = (Path(__file__).parent / "browser_checks.js").read_text(encoding="utf-8")
    whole = json.dumps(page).replace("</", "<\\/").replace("<!--", "<\\!--")
    listen = 'window.found_errors = []; addEventListener("error", (e) => found_errors.push(String(e.message)));'
    file = folder / "checked.html"
    file.write_text(
        page.replace("<head>", f"<head><script>{listen} window.found_page = {whole};</script>", 1).replace(
            "</body>", f"<script>{checks}</script></body>"
        ),
        encoding="utf-8",
    )
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    options += ["--disable-component-update", "--disable-sync", f"--user-data-dir={folder / 'profile'}"]
    options += [
        "--virtual-time-budget=20000",
        "--window-size=1280,900",
        "--hide-scrollbars",
        "--dump-dom",
        file.as_uri(),
    ]
    dumped = subprocess.run([str(CHROMIUM), *options], capture_output=True, text=True, timeout=180, check=True).stdout
    match = re.search(r'<pre id="found">(.*?)</pre>', dumped, re.DOTALL)
    assert match, dumped[-2000:]
    content: dict[str, Any] = json.loads(html.unescape(match[1]))
    return content


def test_opens_without_an_error(found: dict[str, Any]) -> None:
    assert found["errors"] == []


def test_tabs_follow_mouse_and_arrows(found: dict[str, Any]) -> None:
    assert found["tabs"] == [["panel-SR"], ["panel-VR1"], ["panel-SR"]]
    assert found["focused"] == "tab-SR"


def test_a_link_to_a_figure_behind_a_tab_shows_it(found: dict[str, Any]) -> None:
    assert found["linked"] == ["panel-VR1"]


def test_figures_enlarge_and_give_the_focus_back(found: dict[str, Any]) -> None:
    assert found["opened"]
    assert found["stepped"]
    assert found["returned"]


def test_tables_sort_by_number(found: dict[str, Any]) -> None:
    assert found["falling"] == sorted(found["falling"], reverse=True)
    assert found["rising"] == sorted(found["falling"])
    assert len(set(found["rising"])) > 1


@pytest.mark.parametrize("scheme", [0, 1])
def test_text_has_contrast_in_both_schemes(found: dict[str, Any], scheme: int) -> None:
    worst = found["contrast"][scheme]
    assert worst["ratio"] >= CONTRAST_AA, worst


def test_nothing_overflows_at_any_width(found: dict[str, Any]) -> None:
    for asked, inside, needed in found["widths"]:
        assert inside == asked
        assert needed <= asked


def test_the_index_opens_has_contrast_and_overflows_nowhere(found_in_index: dict[str, Any]) -> None:
    assert found_in_index["errors"] == []
    assert all(worst["ratio"] >= CONTRAST_AA for worst in found_in_index["contrast"]), found_in_index["contrast"]
    for asked, inside, needed in found_in_index["widths"]:
        assert inside == asked
        assert needed <= asked
