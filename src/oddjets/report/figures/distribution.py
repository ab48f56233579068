"""Distributions of event-table quantities after the base selection: stack, data and a marked cut."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from oddjets.report import panels, style
from oddjets.report.artifacts import Artifacts

__all__ = ["BAND", "draw", "stack"]

#: what the hatched band is called
BAND = "Simulation stat."


def stack(
    artifacts: Artifacts,
    values: Mapping[str, np.ndarray],
    weights: Mapping[str, np.ndarray],
    edges: Sequence[float] | np.ndarray,
) -> dict[str, Any]:
    """Return the stack of simulated processes and the data, see `panels.stack_data`.

    Args:
        artifacts: for labels and colours.
        values: process (``data`` for data) to the quantity, shape (events,).
        weights: likewise, normalised to the luminosity.
        edges: bin edges; the last bin includes its upper edge.
    """
    simulated = [p for p in artifacts.analysis.processes if p in values]
    fitted: dict[str, dict[str, np.ndarray]] = {}
    for process in simulated:
        fitted[process] = {
            "values": np.histogram(values[process], edges, weights=weights[process])[0],
            "errors": np.sqrt(np.histogram(values[process], edges, weights=weights[process] ** 2)[0]),
        }
    empty = np.zeros(len(edges) - 1)
    fitted["total"] = {
        "values": np.sum([fitted[p]["values"] for p in simulated], axis=0) if simulated else empty,
        "errors": np.sqrt(np.sum([fitted[p]["errors"] ** 2 for p in simulated], axis=0)) if simulated else empty,
    }
    counts = np.histogram(values["data"], edges)[0] if "data" in values else None
    return panels.stack_data(artifacts, fitted, counts)


def draw(drawn: dict[str, Any]) -> Figure:
    """Draw a distribution with data over simulation below, and the cut ``mark`` as a dashed line."""
    made = style.figure()
    main, below = style.ratio_axes(made, ratio=drawn["ratio"] is not None)
    edges, log = drawn["x"]["edges"], drawn["y"]["log"]
    highest = panels.draw_stack(main, drawn, edges=edges, log=log)
    main.set_ylabel(drawn["y"]["label"])
    main.set_xlim(edges[0], edges[-1])
    taken = style.words(main, drawn["text"], panels.handles([drawn], band=BAND, log=log))
    style.headroom(main, highest, taken, log=log, lowest=max(0.3, highest * 1e-6))
    _mark(main, below, drawn, 1 - taken)
    style.header(main, drawn["header"]["label"], drawn["header"]["right"])
    if below is not None:
        panels.draw_ratio(below, drawn, edges=edges, label="Ratio to sim.")
    (below if below is not None else main).set_xlabel(drawn["x"]["label"])
    return made


def _mark(main: Axes, below: Axes | None, drawn: dict[str, Any], top: float) -> None:
    value, edges = drawn["mark"]["value"], drawn["x"]["edges"]
    for axes, end in ((main, top), (below, 1.0)):
        if axes is not None:
            axes.axvline(value, 0, end, color="black", linestyle=(0, (5, 3)), linewidth=1.6, zorder=4)
    right = value > (edges[0] + edges[-1]) / 2
    main.annotate(
        drawn["mark"]["text"],
        (value, 0.04),
        (-6 if right else 6, 0),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        ha="right" if right else "left",
        fontsize=13.5,
        bbox={"boxstyle": "round,pad=0.2", "facecolor": "white", "edgecolor": "none", "alpha": 0.85},
        zorder=7,
    )
