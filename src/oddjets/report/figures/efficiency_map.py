"""The probability that single jets pass the threshold, by mass, pT and number of prongs."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from oddjets.report import style
from oddjets.report.artifacts import Artifacts

__all__ = ["data", "draw"]

#: inches
WIDTH, ROW, REST = 11.0, 2.5, 1.6


def data(artifacts: Artifacts) -> dict[str, dict[str, Any]]:
    """Return the map, of the classes of prongs that have jets."""
    if not artifacts.has("efficiency_map"):
        return {}
    found = artifacts.json("efficiency_map.json", "map", "threshold", "check")
    of = found["map"]
    jets = np.asarray(of["jets"], float)
    there = [i for i in range(len(of["prongs"])) if jets[i].sum() > 0]
    label = artifacts.analysis.score_label(found["threshold"]["score"], in_text=True)
    processes = ", ".join(artifacts.process(name)["label"] for name in found["check"])
    return {
        "efficiency_map": {
            "kind": "efficiency_map",
            "name": "efficiency_map",
            "title": "Efficiency of the score",
            "header": artifacts.header,
            "pt": of["pt_edges_GeV"],
            "mass": of["mass_edges_GeV"],
            "prongs": [of["prongs"][i] for i in there],
            **{key: [of[key][i] for i in there] for key in ("efficiency", "down", "up")},
            "alt": (
                f"Probability that a jet passes the threshold of the {label}, in bins of soft-drop mass and pT, for"
                f" {len(there)} classes of prongs."
            ),
            "caption": (
                f"Probability that a jet of an event after the base selection has a {label} of at least"
                f" {found['threshold']['value']:.5g}, by soft-drop mass, pT and number of prongs, in percent; from simulated"
                f" {processes}. Bins without a number have no jets."
            ),
            "sources": [{"file": "efficiency_map.json", "key": "map"}],
        }
    }


def draw(drawn: dict[str, Any]) -> Figure:
    """Draw a panel for each class of prongs, with the efficiency and its error in each bin."""
    count = len(drawn["prongs"])
    made = style.figure(width=WIDTH, height=REST + ROW * count)
    panels = np.atleast_1d(made.subplots(count, sharex=True))
    # bins of equal size, so that the numbers fit
    x, y = (np.arange(len(drawn[key])) for key in ("mass", "pt"))
    for i, axes in enumerate(panels):
        values = np.array(drawn["efficiency"][i], float)
        mesh = axes.pcolormesh(x, y, np.ma.masked_invalid(values), cmap="viridis", vmin=0, vmax=1)
        down, up = np.array(drawn["down"][i], float), np.array(drawn["up"][i], float)
        for row, column in np.argwhere(np.isfinite(values)):
            value, error = values[row, column], 0.5 * (down[row, column] + up[row, column])
            axes.text(
                column + 0.5,
                row + 0.5,
                f"{100 * value:.3g} ± {100 * error:.2g}",
                ha="center",
                va="center",
                fontsize=11.5,
                color="white" if value < 0.6 else "black",
            )
        axes.set_xticks(x, [f"{edge:g}" for edge in drawn["mass"]])
        axes.set_yticks(y, [f"{edge:g}" for edge in drawn["pt"]])
        axes.minorticks_off()
        axes.tick_params(top=False, right=False)
        of = drawn["prongs"][i]
        words = {1: "0 or 1 prong", 4: "4 prongs or more"}.get(of, f"{of} prongs")
        axes.set_ylabel(f"{words}\n$p_T$ [GeV]", loc="center", fontsize=14)
    panels[-1].set_xlabel("Soft-drop mass [GeV]")
    bar = made.colorbar(mesh, ax=list(panels), pad=0.01, aspect=30)
    bar.set_label("Efficiency")
    style.header(panels[0], drawn["header"]["label"], drawn["header"]["right"])
    return made
