"""Fixtures of fits to a small analysis."""

from __future__ import annotations

import os

# matrices of a few dozen rows only lose by threads
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import logging
from collections.abc import Callable
from typing import Any

import pytest
from helpers.small_fit import make_analysis, make_histograms, put

from oddjets.config.analysis import Analysis
from oddjets.io.histograms import HistogramSet

logging.getLogger("pyhf").setLevel(logging.WARNING)


@pytest.fixture(scope="session")
def histograms() -> HistogramSet:
    """Histograms with the signal at its stated cross section."""
    return make_histograms()


@pytest.fixture(scope="session")
def analysis() -> Analysis:
    """The analysis that goes with them."""
    return make_analysis()


@pytest.fixture
def edit() -> Callable[..., HistogramSet]:
    """Return fresh histograms with one template replaced."""

    def change(region: str, process: str, letter: str, values: Any, variation: str = "nominal") -> HistogramSet:
        result = make_histograms()
        old = result.variances(region, "mass", process, letter, variation)
        put(result.histograms[region, "mass"], process, letter, variation, values, old)
        return result

    return change
