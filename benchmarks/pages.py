"""Pages of the documentation that hold what a benchmark measured."""

from __future__ import annotations

from pathlib import Path


def replace_between(page: Path, begin: str, end: str, text: str) -> None:
    """Write a text between two marks of a page, in place of what stands there."""
    before, rest = page.read_text(encoding="utf-8").split(begin)
    page.write_text(f"{before}{begin}\n{text}\n{end}{rest.split(end)[1]}", encoding="utf-8")
