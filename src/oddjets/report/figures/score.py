"""The smaller score of the two jets, per process and in data, with the threshold."""

from __future__ import annotations

from typing import Any

import numpy as np

from oddjets.report.artifacts import Artifacts
from oddjets.report.figures import distribution
from oddjets.report.modelled import normalisation_text

__all__ = ["data"]

#: bins, with few and with many events
BINS = (25, 50)
MANY = 2000


def data(artifacts: Artifacts) -> dict[str, dict[str, Any]]:
    """Return the distribution of min(s1, s2) after the base selection."""
    threshold = artifacts.histograms.threshold
    name = threshold.score
    table = artifacts.table([f"score_{name}_1", f"score_{name}_2"])
    smaller = {p: np.minimum(c[f"score_{name}_1"], c[f"score_{name}_2"]) for p, c in table.items()}
    everything = np.concatenate([s[np.isfinite(s)] for s in smaller.values()]) if smaller else np.zeros(0)
    low, high = (float(everything.min()), float(everything.max())) if len(everything) else (0.0, 1.0)
    bins = BINS[len(everything) > MANY]
    # scores are ratios of probabilities; one outside [0, 1] is another kind of number and shows its own range
    low, high = (0.0, 1.0) if low >= 0 and high <= 1 else (low, high)
    edges = np.linspace(low, high if high > low else low + 1, bins + 1)
    stack = distribution.stack(artifacts, smaller, {p: c["weight"] for p, c in table.items()}, edges)
    if artifacts.blinded and stack["data"] is not None:
        _blind(stack, int(np.searchsorted(edges, threshold.value, side="right")) - 1)
    label = artifacts.analysis.score_label(name, in_text=True)
    seen = artifacts.data_name.lower()
    found = "" if threshold.efficiency_found is None else f"; {100 * threshold.efficiency_found:.3g} % of {seen} pass"
    return {
        "score": {
            "kind": "score",
            "name": "score",
            "title": "Score and threshold",
            "header": artifacts.header,
            "text": ["After the base selection", *(["A is blinded"] if artifacts.blinded else [])],
            "x": {"label": f"Smaller {label} of the two jets", "edges": [float(e) for e in edges]},
            "y": {"label": "Events / bin", "log": True},
            **stack,
            "mark": {"value": threshold.value, "text": f"threshold {threshold.value:.4g}"},
            "alt": (
                f"Distribution of the smaller {label} of the two jets for {len(set(smaller) - {'data'})} simulated "
                f"processes{f' and {seen}' if 'data' in smaller else ''}, with the threshold at {threshold.value:.5g}{found}."
            ),
            "caption": (
                f"The smaller {label} of the two jets after the base selection. {normalisation_text(artifacts)}"
                f" Dashed: the threshold {threshold.value:.5g}{found}."
            ),
            "sources": [
                {"file": "events/", "key": f"min(score_{name}_1, score_{name}_2)"},
                {"file": "histograms/index.json", "key": "threshold.value"},
            ],
        }
    }


def _blind(stack: dict[str, Any], first: int) -> None:
    """Take the data out of the bins from the threshold's on."""
    for entry in (stack["data"], *([stack["ratio"]] if stack["ratio"] is not None else [])):
        for key in ("values", "down", "up"):
            entry[key] = [*entry[key][:first], *([None] * len(entry[key][first:]))]
