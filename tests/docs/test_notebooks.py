"""The notebooks of the documentation run from top to bottom in an empty folder, and are kept without outputs."""

from __future__ import annotations

import html
import importlib.util
import json
import re
from types import ModuleType
from typing import Any

import pytest
from helpers.pages import DOCS

NOTEBOOKS = ("tour", "own_selection", "fast_fit", "coffea")


@pytest.fixture(scope="module")
def pages() -> ModuleType:
    """`docs/notebook_pages.py`."""
    pytest.importorskip("nbformat", reason="needs nbformat, of the extra docs")
    spec = importlib.util.spec_from_file_location("notebook_pages", DOCS / "notebook_pages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def content_of(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((DOCS / "notebooks" / f"{name}.ipynb").read_text(encoding="utf-8"))
    return content


def test_these_are_all(pages: ModuleType) -> None:
    assert sorted(file.stem for file in (DOCS / "notebooks").iterdir()) == sorted(NOTEBOOKS)
    assert pages.NOTEBOOKS == NOTEBOOKS


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_is_kept_without_what_a_machine_left_in_it(name: str) -> None:
    content = content_of(name)
    assert set(content["metadata"]) == {"kernelspec", "language_info"}
    assert content["metadata"]["language_info"] == {"name": "python"}
    for cell in content["cells"]:
        assert cell["metadata"] == {}
        if cell["cell_type"] == "code":
            assert (cell["execution_count"], cell["outputs"]) == (None, [])
            # a notebook speaks Python, not to a shell
            assert not re.search(
                r"^\s*[!]|%%(bash|sh|script)|subprocess|CliRunner", "".join(cell["source"]), re.MULTILINE
            )


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_links_of_a_notebook_lead_somewhere(name: str) -> None:
    text = "".join("".join(c["source"]) for c in content_of(name)["cells"] if c["cell_type"] == "markdown")
    for link in re.findall(r"\]\(([^)#]+)", text):
        assert link.startswith("https://") or (DOCS / "notebooks" / link).is_file(), link


@pytest.mark.slow
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_runs(name: str, pages: ModuleType) -> None:
    """A cell that fails is an exception here; what is said in words is looked for in what was printed."""
    if name != "fast_fit":
        pytest.importorskip("pythia8mc", reason="needs Pythia 8: pip install 'oddjets[simulate]'")
    notebook = pages.executed(name)
    page = html.unescape(pages.page_of(name, notebook))
    assert "Traceback" not in page
    said = {
        "tour": ["6 of 8 stages done", "upper limit", "B x C / D: ", "<progress"],
        "own_selection": ["did you mean 'three_prongs'", "blinded in", "unblinded", "expected limit:"],
        "coffea": [
            "the same with dask",
            "the same histograms",
            "upper limit:",
            "not normalised, because not all events were read",
        ],
        "fast_fit": ["pyhf's CLs: 0.0500, expected 0.0500", "is about half of"],
    }
    for words in said[name]:
        assert words in page, words
    figures = sum("image/png" in o.get("data", {}) for c in notebook.cells if c.cell_type == "code" for o in c.outputs)
    assert page.count("data:image/png") == figures >= 2
    errors = [o.text for c in notebook.cells if c.cell_type == "code" for o in c.outputs if o.get("name") == "stderr"]
    assert errors == []
