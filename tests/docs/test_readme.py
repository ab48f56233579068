"""The README stays one screen, and leads to pages that are there."""

import re

from .pages import REPOSITORY


def test_the_readme_is_one_screen():
    lines = (REPOSITORY / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 50
    assert max(map(len, lines)) <= 128


def test_the_readmes_links_lead_somewhere():
    links = re.findall(r"\]\((?!https?:)([^)#]+)", (REPOSITORY / "README.md").read_text(encoding="utf-8"))
    assert len(links) > 5
    assert not [link for link in links if not (REPOSITORY / link).is_file()]
