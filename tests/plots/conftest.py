"""A made-up output directory for the tests of the figures."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

import synthetic

from oddjets.config import Analysis


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Analysis, Path]:
    """An analysis and a directory in which every stage has run; not to be changed."""
    out = tmp_path_factory.mktemp("finished")
    asked = synthetic.analysis()
    synthetic.fabricate(out, asked)
    return asked, out
