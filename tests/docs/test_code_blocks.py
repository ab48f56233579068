"""Every code block of the documentation runs, or says why it cannot."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from helpers.pages import examples, pages, run_page, text_of

#: pages whose blocks use the files of the tour
AFTER_THE_TOUR = (
    *("first_selection.md", "extending.md", "scoring.md", "figures.md", "processing.md", "python.md", "coffea.md"),
    "inspecting.md",
    "comparing_scores.md",
    "rescoring.md",
)
#: pages whose blocks simulate collisions
SLOW = ("simulation.md",)
#: at most so many blocks run nowhere but at a user's; each has its reason before it
SKIPPED = 65

LANGUAGES = {"python", "yaml", "json", "console", "text"}


@pytest.fixture(scope="session")
def after_the_tour(tmp_path_factory) -> Path:
    """The folder of somebody who has followed the tour."""
    pytest.importorskip("pythia8mc", reason="needs Pythia 8: pip install 'oddjets[simulate]'")
    folder = tmp_path_factory.mktemp("tour")
    run_page("tour.md", folder)
    return folder


QUICK = [
    page
    for page in pages()
    if page not in ("tour.md", "how_sure.md", *AFTER_THE_TOUR, *SLOW) and "```" in text_of(page)
]


@pytest.mark.parametrize("page", [*QUICK, *(pytest.param(page, marks=pytest.mark.slow) for page in SLOW)])
def test_the_blocks_of_a_page_run(page, tmp_path):
    run_page(page, tmp_path)


@pytest.mark.slow
def test_the_tour_runs(after_the_tour):
    assert (after_the_tour / "output" / "demo_small" / "report.html").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("page", AFTER_THE_TOUR)
def test_what_follows_the_tour_runs(page, after_the_tour):
    run_page(page, after_the_tour)


@pytest.mark.slow
def test_the_numbers_of_the_first_selection_are_those_that_it_prints(after_the_tour, capsys):
    run_page("first_selection.md", after_the_tour)
    lines = [line for line in capsys.readouterr().out.splitlines() if "expected before the fit" in line]
    assert len(lines) == 2
    assert "\n".join(["```text", *lines, "```"]) in text_of("first_selection.md")


def test_where_pyhf_stops_short_is_what_the_page_says(tmp_path, capsys):
    """pyhf's own minimisers end above the fast fit, and from another start its minimiser finds the same minimum."""
    run_page("minimiser.md", tmp_path)
    assert f"```text\n{capsys.readouterr().out}```" in text_of("minimiser.md")


def test_how_wrong_the_obvious_answers_are_is_what_the_page_says(tmp_path, capsys):
    run_page("how_sure.md", tmp_path)
    printed = re.findall(r"```text\n(.*?)```", text_of("how_sure.md"), re.DOTALL)
    assert "".join(printed) == capsys.readouterr().out


@pytest.mark.parametrize("page", pages())
def test_every_block_says_what_it_is(page):
    """A fence with a language that is run, or `text`; indented blocks would escape."""
    text = text_of(page)
    fences = re.findall(r"^```(.*)$", text, re.MULTILINE)
    assert set(fences[::2]) <= LANGUAGES
    assert set(fences[1::2]) <= {""}
    outside = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    indented = re.findall(r"\n(?![-*|\d ])[^\n]*\n\n( {4}[^\n]+)", outside)
    assert not indented


def test_few_blocks_do_not_run_and_each_says_why(tmp_path):
    reasons = [
        f"{page}, line {example.line}: {example.parsed[1]}"
        for page in pages()
        for example in examples(page, tmp_path)
        if isinstance(example.parsed, tuple)
    ]
    assert len(reasons) <= SKIPPED, "\n".join(reasons)
    assert all(len(reason.split('"')[1].split()) >= 2 for reason in reasons)
