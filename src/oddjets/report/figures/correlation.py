"""The correlation matrix of the fitted parameters."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from oddjets.report import style
from oddjets.report.artifacts import Artifacts
from oddjets.report.intervals import finite

__all__ = ["data", "draw"]

#: parameters shown: those with the strongest correlations
MAX_PARAMETERS = 24


def data(artifacts: Artifacts) -> dict[str, dict[str, Any]]:
    """Return the correlations of the parameter of interest and of the most correlated other parameters."""
    found = artifacts.results.get("correlation") or {}
    names = list(found.get("names") or [])
    if len(names) < 2:
        return {}
    matrix = np.asarray(found["matrix"], dtype=float)
    strength = np.nanmax(np.abs(matrix - np.diag(np.diag(matrix))), axis=1)
    poi = (artifacts.results.get("poi") or {}).get("name")
    if poi in names:
        strength[names.index(poi)] = np.inf
    kept = sorted(np.argsort(-strength, kind="stable")[:MAX_PARAMETERS].tolist())
    shown = matrix[np.ix_(kept, kept)]
    labels = [names[i] for i in kept]
    upper = np.where(np.triu(np.ones_like(shown), 1) > 0, shown, 0)
    row, column = np.unravel_index(np.nanargmax(np.abs(upper)), upper.shape)
    return {
        "correlation": {
            "kind": "correlation",
            "name": "correlation",
            "title": "Correlations",
            "header": artifacts.header,
            "labels": labels,
            "matrix": [finite(line) for line in shown],
            "alt": (
                f"Correlation matrix of {len(labels)} of {len(names)} fitted parameters; the strongest is "
                f"{upper[row, column]:+.2f}, between {labels[row]} and {labels[column]}."
            ),
            "caption": f"Correlations of the fitted parameters, the {MAX_PARAMETERS} most correlated at most.",
            "sources": [{"file": "results.json", "key": "correlation"}],
        }
    }


def draw(drawn: dict[str, Any]) -> Figure:
    """Draw the matrix, with numbers where they can be read."""
    matrix = np.asarray(drawn["matrix"], dtype=float)
    number = len(matrix)
    size = float(np.clip(3.5 + 0.42 * number, 7, 9.5))
    made = style.figure(size + 1.2, size)
    axes = made.subplots()
    image = axes.imshow(matrix, cmap="RdBu_r", vmin=-1, vmax=1)
    labels = [label if len(label) <= 26 else f"{label[:12]}…{label[-12:]}" for label in drawn["labels"]]
    axes.set_xticks(range(number), labels, rotation=90, fontsize=11)
    axes.set_yticks(range(number), labels, fontsize=11)
    axes.tick_params(which="both", length=0)
    axes.minorticks_off()
    if number <= 16:
        for i, j in np.ndindex(matrix.shape):
            if abs(matrix[i, j]) >= 0.005:
                color = "white" if abs(matrix[i, j]) > 0.6 else "black"
                axes.text(j, i, f"{matrix[i, j]:.2f}", ha="center", va="center", fontsize=9, color=color)
    bar = made.colorbar(image, ax=axes, shrink=0.85, pad=0.02)
    bar.ax.tick_params(labelsize=12)
    bar.set_label("Correlation", fontsize=14)
    style.header(axes, drawn["header"]["label"], drawn["header"]["right"])
    return made
