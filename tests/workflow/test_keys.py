"""Content keys: what changes them, and what does not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import oddjets
from oddjets.core import provenance

PACKAGE = Path(oddjets.__file__).parent


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package's files, to be changed."""
    return Path(
        shutil.copytree(
            PACKAGE, tmp_path_factory.mktemp("code") / "oddjets", ignore=shutil.ignore_patterns("__pycache__")
        )
    )


def test_the_same_code_elsewhere_has_the_same_key(copy: Path) -> None:
    assert provenance.code_of("oddjets.selection.histogramming", copy) == provenance.code_of(
        "oddjets.selection.histogramming"
    )


@pytest.mark.parametrize(
    ("module", "changed", "counts"),
    [
        ("oddjets.selection.histogramming", "selection/histogramming.py", True),
        ("oddjets.selection.histogramming", "io/histograms.py", True),  # imported by it
        ("oddjets.selection.histogramming", "report/html.py", False),
        ("oddjets.report", "report/figures/pulls.py", True),
        ("oddjets.report.html", "report/html.py", True),
        ("oddjets.report.html", "report/templates/report.css", True),
        ("oddjets.simulation.run", "simulation/processes.yaml", True),
        ("oddjets.simulation.run", "simulation/taggers.json", True),
        ("oddjets.simulation.run", "stats/histfactory/newton.py", False),
        ("oddjets.workflow.stages.process", "workflow/stages/process.py", True),
        ("oddjets.workflow.stages.process", "selection/processor.py", True),
        ("oddjets.workflow.stages.process", "workflow/pipeline.py", False),  # imported for its types alone
        ("oddjets.workflow.stages.process", "report/figures/pulls.py", False),
        ("oddjets.workflow.stages.simulate", "simulation/detector.py", True),
        ("oddjets.workflow.stages.simulate", "selection/histogramming.py", False),
        ("oddjets.workflow.stages.fit", "stats/histfactory/newton.py", True),
        ("oddjets.workflow.stages.fit", "selection/processor.py", False),
    ],
)
def test_a_key_changes_with_the_code_that_decides_the_result_and_with_no_other(
    module: str, changed: str, counts: bool, copy: Path
) -> None:
    provenance.code_of.cache_clear()
    before = provenance.code_of(module, copy)
    file = copy / changed
    original = file.read_text(encoding="utf-8")
    try:
        file.write_text(original + "\n", encoding="utf-8")
        provenance.code_of.cache_clear()
        assert (provenance.code_of(module, copy) != before) is counts
    finally:
        file.write_text(original, encoding="utf-8")


def test_a_key_does_not_depend_on_the_order_of_names() -> None:
    assert provenance.content_key({"a": 1, "b": [1, 2]}) == provenance.content_key({"b": [1, 2], "a": 1})
    assert provenance.content_key([1, 2]) != provenance.content_key([2, 1])
