"""The README stays one screen, and it and the navigation lead to all pages."""

import re

from helpers.pages import AT_THE_TOP, DOCS, REPOSITORY, pages, text_of


def test_the_readme_is_one_screen():
    lines = (REPOSITORY / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 50
    assert max(map(len, lines)) <= 128


def test_the_readmes_links_lead_somewhere():
    links = re.findall(r"\]\((?!https?:)([^)#]+)", (REPOSITORY / "README.md").read_text(encoding="utf-8"))
    assert len(links) > 5
    assert not [link for link in links if not (REPOSITORY / link).is_file()]


def test_every_page_is_in_the_navigation():
    """mkdocs.yml; those of notebooks are no Markdown."""
    text = (REPOSITORY / "mkdocs.yml").read_text(encoding="utf-8")
    listed = re.findall(r"^ +- .*: ([\w/]+\.md)$", text, re.MULTILINE)
    notebooks = {f"notebooks/{file.stem}.md" for file in (DOCS / "notebooks").glob("*.ipynb")}
    assert sorted(listed) == sorted({*pages(), *notebooks} - {f"../{name}" for name in AT_THE_TOP})


def test_links_between_pages_lead_to_files_that_are_there():
    """In a clone, too."""
    for page in pages():
        folder = (DOCS / page).parent
        links = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", text_of(page))
        assert not [link for link in links if not (folder / link).exists()], page
