"""The subjettiness ratio that separates the regions: the larger tau21 of the two jets."""

from __future__ import annotations

from typing import Any

import numpy as np

from oddjets.report.artifacts import Artifacts
from oddjets.report.figures import distribution
from oddjets.report.intervals import ratio
from oddjets.report.modelled import normalisation_text

__all__ = ["data"]

BINS = 40


def data(artifacts: Artifacts) -> dict[str, dict[str, Any]]:
    """Return the distribution of max(tau21) after the base selection; below the cut both jets are low."""
    table = artifacts.table([f"tau{n}_{j}" for n in (1, 2) for j in (1, 2)])
    larger = {
        p: np.maximum(*(np.nan_to_num(ratio(c[f"tau2_{j}"], c[f"tau1_{j}"])) for j in (1, 2))) for p, c in table.items()
    }
    edges = np.linspace(0, 1, BINS + 1)
    stack = distribution.stack(artifacts, larger, {p: c["weight"] for p, c in table.items()}, edges)
    cut = artifacts.analysis.selection.tau21_max
    return {
        "tau21": {
            "kind": "tau21",
            "name": "tau21",
            "title": "Subjettiness",
            "header": artifacts.header,
            "text": ["After the base selection"],
            "x": {"label": r"Larger $\tau_{21}$ of the two jets", "edges": [float(e) for e in edges]},
            "y": {"label": "Events / bin", "log": True},
            **stack,
            "mark": {"value": cut, "text": f"cut {cut:g}"},
            "alt": f"Distribution of the larger tau21 of the two jets after the base selection, with the cut at {cut:g}.",
            "caption": (
                f"The larger $\\tau_{{21}}$ of the two jets after the base selection; below the cut {cut:g} both are low. "
                f"{normalisation_text(artifacts)}{artifacts.blinded_events}"
            ),
            "sources": [{"file": "events/", "key": "tau2_j / tau1_j"}],
        }
    }
