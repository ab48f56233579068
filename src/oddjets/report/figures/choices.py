"""Correlations of the significances of several choices, in experiments without signal."""

from __future__ import annotations

from typing import Any

import numpy as np

from oddjets.report.artifacts import Artifacts
from oddjets.report.figures.correlation import draw
from oddjets.report.finished_studies import current_study
from oddjets.report.intervals import finite

__all__ = ["data", "draw"]

#: more choices are no readable matrix: the first ones are drawn
MOST = 24


def data(artifacts: Artifacts) -> dict[str, dict[str, Any]]:
    """Return the correlation matrix of the study of choices; nothing without one of the current workspace."""
    found = current_study(artifacts, "choices")
    if found is None:
        return {}
    names = list(found["choices"])[:MOST]
    matrix = np.asarray(found["correlation"], dtype=float)[: len(names), : len(names)]
    pairs = matrix[np.triu_indices(len(names), 1)]
    omitted = "" if len(found["choices"]) <= MOST else f" The first {MOST} of {len(found['choices'])} choices."
    return {
        "choices": {
            "kind": "choices",
            "name": "choices",
            "title": "Correlation of the choices",
            "header": artifacts.header,
            "labels": names,
            "matrix": [finite(line) for line in matrix],
            "alt": (
                f"Correlation matrix of the significances of {len(names)} choices in {found['complete']} experiments without"
                f" signal: from {pairs.min():+.2f} to {pairs.max():+.2f}."
            ),
            "caption": (
                f"Correlation of the significances of all choices in {found['complete']} experiments without signal, as normal"
                f" scores of their ranks. Choices with a large one are tried twice in name only.{omitted}"
            ),
            "sources": [{"file": "study/choices.json", "key": "correlation"}],
        }
    }
