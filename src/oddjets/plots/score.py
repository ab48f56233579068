"""The score that decides: the smaller of the two jets' scores, per process and in data, with the threshold."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from oddjets.plots import panels, style
from oddjets.plots.artifacts import Artifacts

__all__ = ["data", "draw"]

BINS = 50


def data(artifacts: Artifacts) -> dict[str, dict[str, Any]]:
    """Return the distribution of min(s1, s2) after the base selection."""
    threshold = artifacts.histograms.threshold
    name = threshold.score
    table = artifacts.table([f"score_{name}_1", f"score_{name}_2"])
    smaller = {p: np.minimum(c[f"score_{name}_1"], c[f"score_{name}_2"]) for p, c in table.items()}
    everything = np.concatenate([s[np.isfinite(s)] for s in smaller.values()]) if smaller else np.zeros(0)
    low, high = (float(everything.min()), float(everything.max())) if len(everything) else (0.0, 1.0)
    # scores are ratios of probabilities; one outside [0, 1] is another kind of number and shows its own range
    low, high = (0.0, 1.0) if low >= 0 and high <= 1 else (low, high)
    edges = np.linspace(low, high if high > low else low + 1, BINS + 1)
    fitted: dict[str, dict[str, Any]] = {}
    for process in artifacts.analysis.processes:
        if process in smaller:
            weight = table[process]["weight"]
            values = np.histogram(smaller[process], edges, weights=weight)[0]
            errors = np.sqrt(np.histogram(smaller[process], edges, weights=weight**2)[0])
            fitted[process] = {"values": values, "errors": errors}
    fitted["total"] = {
        "values": np.sum([f["values"] for f in fitted.values()], axis=0) if fitted else np.zeros(BINS),
        "errors": np.sqrt(np.sum([f["errors"] ** 2 for f in fitted.values()], axis=0)) if fitted else np.zeros(BINS),
    }
    counts = np.histogram(smaller["data"], edges)[0] if "data" in smaller else None
    label = artifacts.analysis.scores[name].label if name in artifacts.analysis.scores else name
    stack = panels.stack_data(artifacts, fitted, counts)
    found = "" if threshold.efficiency_found is None else f"; {threshold.efficiency_found:.3%} of data pass"
    return {
        "score": {
            "kind": "score",
            "name": "score",
            "title": "Score and threshold",
            "header": artifacts.header,
            "text": ["After the base selection"],
            "x": {"label": f"Smaller {label} of the two jets", "edges": [float(e) for e in edges]},
            "y": {"label": "Events / bin", "log": True},
            **stack,
            "threshold": threshold.value,
            "alt": (
                f"Distribution of the smaller {label} of the two jets for {len(fitted) - 1} simulated processes"
                f"{' and data' if counts is not None else ''}, with the threshold at {threshold.value:.5g}{found}."
            ),
            "caption": (
                f"The smaller {label} of the two jets after the base selection. Simulation is normalised to the "
                "luminosity, not "
                f"fitted. Dashed: the threshold {threshold.value:.5g}{found}."
            ),
            "sources": [
                {"file": "events/", "key": f"min(score_{name}_1, score_{name}_2)"},
                {"file": "histograms/index.json", "key": "threshold.value"},
            ],
        }
    }


def draw(drawn: dict[str, Any]) -> Figure:
    """Draw the score's distribution."""
    made = style.figure()
    main, below = style.ratio_axes(made, ratio=drawn["data"] is not None)
    edges = drawn["x"]["edges"]
    highest = panels.draw_stack(main, drawn, edges=edges, log=True)
    main.set_ylabel(drawn["y"]["label"])
    main.set_xlim(edges[0], edges[-1])
    taken = panels.legend(main, drawn, band="Simulation stat.")
    style.headroom(main, highest, max(taken, 0.2), log=True, lowest=max(0.3, highest * 1e-6))
    for axes, top in ((main, 1 - taken), (below, 1.0)):
        if axes is not None:
            axes.axvline(drawn["threshold"], 0, top, color="black", linestyle=(0, (5, 3)), linewidth=1.6, zorder=4)
    right = drawn["threshold"] > (edges[0] + edges[-1]) / 2
    main.annotate(
        f"threshold {drawn['threshold']:.4g}",
        (drawn["threshold"], 0.04),
        (-6 if right else 6, 0),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        ha="right" if right else "left",
        fontsize=13,
        bbox={"boxstyle": "round,pad=0.2", "facecolor": "white", "edgecolor": "none", "alpha": 0.85},
        zorder=7,
    )
    style.text_block(main, drawn["text"])
    style.header(main, drawn["header"]["label"], drawn["header"]["right"])
    if below is not None:
        panels.draw_ratio(below, drawn, edges=edges, label="Data / sim.")
    (below if below is not None else main).set_xlabel(drawn["x"]["label"])
    return made
