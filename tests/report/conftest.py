"""A made-up output directory for the tests of the figures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers import synthetic
from helpers.pixels import write_pixels

from oddjets.config.analysis import Analysis


@pytest.fixture(scope="module")
def quick_pictures() -> Iterator[None]:
    """Reports with one-pixel figures."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("oddjets.report.html.write_figures", write_pixels)
        yield


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Analysis, Path]:
    """An analysis and a directory in which every stage has run; not to be changed."""
    out = tmp_path_factory.mktemp("finished")
    asked = synthetic.analysis()
    synthetic.fabricate(out, asked)
    return asked, out
