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
#: inches of a cell at least, so that its number fits, and at most
CELL = (0.42, 1.25)


def data(artifacts: Artifacts) -> dict[str, dict[str, Any]]:
    """Return the correlations of the parameters of interest, which come first, and of the most correlated other ones.

    The others stand in the order of their correlation with the first parameter of interest, the strongest first.
    """
    found = artifacts.results.get("correlation") or {}
    names = list(found.get("names") or [])
    if len(names) < 2:
        return {}
    matrix = np.asarray(found["matrix"], dtype=float)
    largest = np.nanmax(np.abs(matrix - np.diag(np.diag(matrix))), axis=1)
    asked = [artifacts.results.get("poi") or {}, *(artifacts.results.get("pois") or [])]
    pois = list(dict.fromkeys(names.index(p["name"]) for p in asked if p.get("name") in names))
    largest[pois] = np.inf
    kept = np.argsort(-largest, kind="stable")[:MAX_PARAMETERS].tolist()
    others = [i for i in kept if i not in pois]
    if pois:
        others.sort(key=lambda i: -abs(np.nan_to_num(matrix[pois[0], i])))
    kept = [*pois, *others]
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
            "caption": (
                f"Correlations of the fitted parameters, the {MAX_PARAMETERS} most correlated at most: the strength first, "
                "then by correlation with it. No number: smaller than 0.005."
            ),
            "sources": [{"file": "results.json", "key": "correlation"}],
        }
    }


def draw(drawn: dict[str, Any]) -> Figure:
    """Draw the matrix with its numbers."""
    matrix = np.asarray(drawn["matrix"], dtype=float)
    number = len(matrix)
    cell = float(np.clip(5.0 / number, *CELL))
    made = style.figure(cell * number + 3.6, cell * number + 2.4)
    axes = made.subplots()
    image = axes.imshow(matrix, cmap="RdBu_r", vmin=-1, vmax=1)
    labels = [label if len(label) <= 26 else f"{label[:12]}…{label[-12:]}" for label in drawn["labels"]]
    axes.set_xticks(range(number), labels, rotation=90, fontsize=12)
    axes.set_yticks(range(number), labels, fontsize=12)
    axes.tick_params(which="both", length=0)
    axes.minorticks_off()
    size = float(np.clip(cell * 72 / 3.1, 9.5, 14))
    for i, j in np.ndindex(matrix.shape):
        if abs(matrix[i, j]) >= 0.005:
            color = "white" if abs(matrix[i, j]) > 0.6 else "black"
            text = f"{matrix[i, j]:.2f}".replace("-", "\N{MINUS SIGN}")
            axes.text(j, i, text, ha="center", va="center", fontsize=size, color=color)
    bar = made.colorbar(image, ax=axes, shrink=0.85, pad=0.02)
    bar.ax.tick_params(labelsize=12)
    bar.set_label("Correlation", fontsize=14)
    style.header(axes, drawn["header"]["label"], drawn["header"]["right"])
    return made
