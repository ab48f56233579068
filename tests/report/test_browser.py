"""The report in a real browser: no errors, tabs, zoom and sorting by mouse and keyboard, no overflow, enough contrast."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers import synthetic
from helpers.browser import CHROMIUM, CONTRAST_AA, Browser

from oddjets.config.analysis import Analysis
from oddjets.report import html, layout
from oddjets.report.figure_files import make
from oddjets.report.paper.page import write
from oddjets.workflow.paper import analyses

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs the browser Chromium (Debian's package chromium)"),
]

#: CSS pixels: a telephone, a tablet, a desk
WIDTHS = (360, 800, 1600)

PANELS = "[...document.querySelectorAll('[role=tabpanel]')].filter((p) => !p.hidden).map((p) => p.id)"
FOCUSED = "document.activeElement.id"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("profile")) as started:
        yield started


@pytest.fixture(scope="module")
def file(finished: tuple[Analysis, Path], quick_pictures: None) -> Path:
    return html.write(*finished)


@pytest.fixture
def page(browser: Browser, file: Path) -> Iterator[Browser]:
    """The report, just opened."""
    browser.media()
    browser.open(file)
    yield browser
    assert browser.complaints == []


@pytest.fixture(scope="module")
def index_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The index of `oddjets paper`, of one set-up and of all that is missing."""
    out = tmp_path_factory.mktemp("paper")
    asked = analyses(1.0, ["hh=20"])
    synthetic.fabricate(out / "paper_top", synthetic.analysis())
    make(synthetic.analysis(), out / "paper_top", ["closure_SR", "gof", "bump"])
    (out / "paper_top" / "report.html").write_text("<html></html>")
    return write(asked, out)


def test_opens_without_an_error(page: Browser) -> None:
    assert page.run("document.readyState") == "complete"
    assert page.complaints == []


def test_complaints_are_heard(page: Browser) -> None:
    page.run("console.error('heard')")
    assert len(page.complaints) == 1
    page.events.clear()


@pytest.mark.parametrize("size", [(1600, 1000), (800, 1100), (360, 780)])
def test_question_answer_and_health_are_on_the_first_screen(page: Browser, size: tuple[int, int]) -> None:
    page.size(*size)
    # the health in full where there is room beside the result, else its sum
    for what in (".question", ".headline", ".health" if size[0] == 1600 else ".pulse"):
        bottom = page.run(f"document.querySelector('{what}').getBoundingClientRect().bottom")
        assert 0 < bottom <= size[1], what


def test_tabs_follow_the_mouse(page: Browser) -> None:
    assert page.run(PANELS) == ["panel-SR"]
    page.click("#tab-VR1")
    assert page.run(PANELS) == ["panel-VR1"]


def test_tabs_follow_the_keyboard(page: Browser) -> None:
    page.run("document.getElementById('tab-SR').focus()")
    for key, panel in (
        ("ArrowRight", "VR1"),
        ("ArrowRight", "SR"),
        ("End", "VR1"),
        ("Home", "SR"),
        ("ArrowLeft", "VR1"),
    ):
        page.press(key)
        assert page.run(PANELS) == [f"panel-{panel}"]
        assert page.run(FOCUSED) == f"tab-{panel}"


def test_a_link_to_a_figure_behind_a_tab_shows_it(page: Browser) -> None:
    page.run("location.hash = 'figure-closure_VR1'; new Promise((done) => setTimeout(done, 100))")
    assert page.run(PANELS) == ["panel-VR1"]


OPEN = "document.getElementById('viewer').open"
LARGE = "document.getElementById('large').alt"
FIGURES = "[...document.querySelectorAll('.zoom')].filter((b) => b.offsetParent).map((b) => b.querySelector('img').alt)"


def test_figures_enlarge_by_mouse(page: Browser) -> None:
    first, second = page.run(FIGURES)[:2]
    page.click(".zoom")
    assert page.run(OPEN)
    assert page.run(LARGE) == first
    page.click("#after")
    assert page.run(LARGE) == second
    page.click("#close")
    assert not page.run(OPEN)


def test_figures_enlarge_by_keyboard_and_give_the_focus_back(page: Browser) -> None:
    shown = page.run(FIGURES)
    page.run("document.querySelector('.zoom').focus()")
    page.press("Enter")
    assert page.run(OPEN)
    page.press("ArrowRight")
    assert page.run(LARGE) == shown[1]
    page.press("ArrowLeft", "ArrowLeft")
    assert page.run(LARGE) == shown[-1]
    page.press("Escape")
    assert not page.run(OPEN)
    # the dialogue says that it is closed a moment after it is
    focused = page.run(
        "new Promise((done) => setTimeout(() => done(document.activeElement.querySelector('img').alt), 300))"
    )
    assert focused == shown[-1]


def test_figures_enlarge_on_a_telephone_too(page: Browser) -> None:
    page.size(360, 780)
    # as wide as a real figure: those here are of one pixel
    drawing = "data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' width='880' height='814'/>"
    page.run(f"document.querySelector('.zoom img').src = `{drawing}`")
    page.click(".zoom")
    width = "new Promise((done) => setTimeout(() => done(document.getElementById('large').offsetWidth), 100))"
    assert page.run(width) == 880
    assert page.run("document.getElementById('viewer').getBoundingClientRect().right") <= 360
    assert page.run("document.documentElement.scrollWidth") <= 360


COLUMN = "[...document.querySelector('.sortable').tBodies[0].rows].map((r) => Number(r.cells[1].dataset.value))"
HEAD = ".sortable thead th:nth-child(2) button"


def test_tables_sort_numbers_by_mouse_and_keyboard(page: Browser) -> None:
    before = page.run(COLUMN)
    assert len(set(before)) > 1
    page.click(HEAD)
    assert page.run(COLUMN) == sorted(before, reverse=True)
    page.press("Enter")
    assert page.run(COLUMN) == sorted(before)
    assert (
        page.run("document.querySelector('.sortable thead th:nth-child(2)').getAttribute('aria-sort')") == "ascending"
    )


def test_everything_is_reached_by_tab_and_the_focus_is_seen(page: Browser) -> None:
    seen = []
    for _ in range(8):
        page.press("Tab")
        width = page.run("getComputedStyle(document.activeElement).outlineWidth")
        assert float(width.removesuffix("px")) >= 2
        seen.append(page.run("document.activeElement.outerHTML.slice(0, 60)"))
    assert len(set(seen)) == len(seen)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast_in_both_schemes(page: Browser, scheme: str) -> None:
    page.media(scheme=scheme)
    page.run("document.getElementById('sources').click()")
    dark: str = page.run("getComputedStyle(document.body).backgroundColor")
    assert (sum(int(n) for n in dark[4:-1].split(",")) < 384) is (scheme == "dark")
    worst = page.worst_contrast()
    assert worst["ratio"] >= CONTRAST_AA, worst


def test_the_button_changes_the_scheme_and_it_stays(page: Browser) -> None:
    page.click("#theme")
    assert page.run("document.documentElement.dataset.theme") == "dark"
    assert page.worst_contrast()["ratio"] >= CONTRAST_AA
    page.ask("Page.reload")
    page.run("new Promise((done) => setTimeout(done, 500))")
    assert page.run("document.documentElement.dataset.theme") == "dark"
    page.run("localStorage.clear()")


#: elements that reach beyond the window, but for those inside something that scrolls by itself
BEYOND = """[...document.querySelectorAll("body *")].filter((e) => e.offsetParent && !e.closest(".scroll, pre, .sr, dialog")
  && e.getBoundingClientRect().right > innerWidth + 1).map((e) => e.outerHTML.slice(0, 80))"""


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_overflows(page: Browser, width: int) -> None:
    page.click("#sources")
    page.run("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    page.size(width, 900)
    assert page.run("innerWidth") == width
    assert page.run("document.documentElement.scrollWidth") <= width
    assert page.run(BEYOND) == []


@pytest.mark.parametrize("width", [1280, 1600])
def test_figures_have_the_width_that_their_text_is_made_for(page: Browser, width: int) -> None:
    page.size(width, 900)
    # those here are of one pixel, and so of one column
    for number, name in {1: "", 2: "broad", 3: "wide"}.items():
        shown = page.run(
            f"(() => {{ const f = document.querySelector('.figures > figure'); f.className = '{name}';"
            " return f.querySelector('img').getBoundingClientRect().width; })()"
        )
        assert shown >= layout.COLUMN_PIXELS[number]


@pytest.mark.parametrize("width", [1279, 1000, 840, 832, 831, 700, 375])
def test_figures_of_several_columns_do_not_overflow(page: Browser, width: int) -> None:
    page.size(width, 900)
    page.run(
        "document.querySelectorAll('.figures > figure').forEach((f, k) => { f.className = ['broad', 'wide', ''][k % 3]; })"
    )
    assert page.run("document.documentElement.scrollWidth") <= width
    assert page.run(BEYOND) == []


def test_print_shows_all_regions_and_no_buttons(page: Browser) -> None:
    page.media(kind="print", scheme="dark")
    shown = "[...document.querySelectorAll('{}')].every((e) => getComputedStyle(e).display {} 'none')"
    assert page.run(shown.format("[role=tabpanel]", "!=="))
    assert page.run(shown.format(".tools, nav, [role=tablist], dialog", "==="))
    assert page.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.worst_contrast()["ratio"] >= CONTRAST_AA


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_index_opens_has_contrast_and_overflows_nowhere(browser: Browser, index_file: Path, scheme: str) -> None:
    browser.media(scheme=scheme)
    browser.open(index_file)
    assert browser.complaints == []
    assert browser.worst_contrast()["ratio"] >= CONTRAST_AA
    for width in WIDTHS:
        browser.size(width, 900)
        assert browser.run("document.documentElement.scrollWidth") <= width
