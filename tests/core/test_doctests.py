"""The examples in docstrings run, in a folder with a small analysis that has been fitted."""

from __future__ import annotations

import doctest
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers import toy_search

import oddjets

PACKAGE = Path(oddjets.__file__).parent
MODULES = sorted(
    ".".join(("oddjets", *file.relative_to(PACKAGE).with_suffix("").parts))
    for file in PACKAGE.rglob("*.py")
    if ">>> " in file.read_text(encoding="utf-8")
)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[oddjets.Run]:
    """What the examples call ``run``: the analysis ``analysis.yaml`` of the folder that they are in."""
    folder = tmp_path_factory.mktemp("examples")
    toy_search.write(folder)
    with toy_search.inside(folder):
        run = oddjets.Run("analysis.yaml")
        run.up_to("fit", progress=False)
        yield run


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_run(name: str, fitted: oddjets.Run) -> None:
    module = importlib.import_module(name)
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    done = doctest.testmod(module, extraglobs={"run": fitted}, optionflags=options)
    assert done.attempted > 0
    assert done.failed == 0


def test_everything_that_the_front_door_gives_has_an_example() -> None:
    """Of its own names; what it takes from elsewhere, such as `Analysis`, is described there."""
    for member in ("events", "histograms", "workspace", "results", "figure", "status"):
        assert ">>> " in (getattr(oddjets.Run, member).__doc__ or ""), member
    for thing in (oddjets.Run, oddjets.load, oddjets.stats.Model, oddjets.Scorer, oddjets.load_card):
        assert ">>> " in (thing.__doc__ or ""), thing
