"""What mkdocs needs beside the pages: formulas as MathML, executed notebooks, the docstrings of the reference."""

from __future__ import annotations

import html
import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import latex2mathml.converter
from mkdocs.structure.files import File, Files

__all__ = ["on_files", "on_page_content", "on_page_markdown"]

_FORMULA = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.DOTALL)


def on_page_content(content: str, **_: Any) -> str:
    """Turn formulas into MathML, which browsers draw by themselves."""

    def mathml(match: re.Match[str]) -> str:
        display = "block" if match[2] == "[" else "inline"
        return latex2mathml.converter.convert(html.unescape(match[3]).strip(), display=display)

    return _FORMULA.sub(mathml, content)


def on_files(files: Files, config: Any) -> Files:
    """Add the pages of the notebooks."""
    notebooks = _beside("notebook_pages")
    for name in notebooks.NOTEBOOKS:
        page = notebooks.page_of(name, notebooks.executed(name))
        files.append(File.generated(config, f"notebooks/{name}.md", content=page))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put docstrings in the place of lists of modules, and let links to notebooks lead to their pages.

    The link of a notebook's own page stays: the file is there to be taken along.
    """
    markdown = _beside("reference_pages").with_docstrings(markdown)
    return re.sub(r"\[(?!\w+\.ipynb\])([^\]]*)\]\(([\w/.]+)\.ipynb\)", r"[\1](\2.md)", markdown)


def _beside(name: str) -> ModuleType:
    """A module beside this one; mkdocs loads hooks by their files."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
