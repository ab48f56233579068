"""The pages of the reference can be read without a build, and say what the package says."""

from __future__ import annotations

import importlib.util
import re
from types import ModuleType

import pytest
from helpers.pages import DOCS, REPOSITORY

PAGES = sorted((DOCS / "reference").glob("*.md"))


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference_pages", DOCS / "reference_pages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_pages_are_those_of_todays_package(reference: ModuleType) -> None:
    texts = dict(reference.texts())
    assert sorted(texts) == PAGES
    old = [file.name for file, text in texts.items() if file.read_text(encoding="utf-8") != text]
    assert not old, f"{old} are old: run `python docs/reference_pages.py`"


def test_unbuilt_pages_have_text_for_every_module_and_built_ones_its_docstrings(reference: ModuleType) -> None:
    modules = 0
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        # a mark of mkdocstrings is nothing to read
        assert ":::" not in text
        lines = re.findall(r"^- \[`(oddjets[\w.]+)`\]\((\S+)\): (.+)$", text, re.MULTILINE)
        assert all((page.parent / link).resolve().is_relative_to(REPOSITORY / "src") for _, link, _ in lines)
        assert all(len(words.split()) > 3 for *_, words in lines)
        built = reference.with_docstrings(text)
        assert re.findall(r"^::: (\S+)$", built, re.MULTILINE) == [name for name, *_ in lines]
        # `../../src` is no page of the site
        assert "../../src" not in built
        modules += len(lines)
    assert modules > 100


def test_the_readme_leads_to_the_commands_the_yaml_and_python() -> None:
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert {f"docs/reference/{name}.md" for name in ("commands", "yaml", "python")} <= set(
        re.findall(r"\]\(([^)]+)\)", text)
    )
