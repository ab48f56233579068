"""The yields of all regions and letters: fitted stack and data."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from oddjets.report import panels, style
from oddjets.report.artifacts import Artifacts

__all__ = ["data", "draw"]


def data(artifacts: Artifacts) -> dict[str, dict[str, Any]]:
    """Return the summed yields of every region and letter, with the fit's errors of the sums (bins are correlated)."""
    labels: list[str] = []
    summed: dict[str, dict[str, list[float]]] = {}
    counts: list[float | None] = []
    cells = [
        (region, letter, entry)
        for region, letters in artifacts.results.get("yields", {}).items()
        for letter, entry in letters.items()
        if "signal_plus_background" in entry
    ]
    for index, (region, letter, entry) in enumerate(cells):
        labels.append(f"{region} {letter}")
        counts.append(None if entry.get("data") is None else float(np.sum(entry["data"])))
        for process, numbers in entry["signal_plus_background"].items():
            one = summed.setdefault(process, {"values": [0.0] * len(cells), "errors": [0.0] * len(cells)})
            one["values"][index], one["errors"][index] = numbers["sum"]["value"], numbers["sum"]["error"]
    if not cells:
        return {}
    observed = None if any(c is None for c in counts) else counts
    stack = panels.stack_data(artifacts, summed, observed)
    totals = ", ".join(f"{label} {value:.4g}" for label, value in zip(labels, stack["total"]["values"], strict=True))
    return {
        "yields": {
            "kind": "yields",
            "name": "yields",
            "title": "Yields",
            "header": artifacts.header,
            "labels": labels,
            **stack,
            "alt": f"Fitted yields of {len(labels)} regions and letters against data: {totals}.",
            "caption": (
                "All regions and letters, summed over the observable, signal + background fit. "
                "The band is the error of the sum, with the bins' covariance." + artifacts.blinded_points
            ),
            "sources": [{"file": "results.json", "key": "yields"}],
        }
    }


def draw(drawn: dict[str, Any]) -> Figure:
    """Draw the yields with their ratio."""
    number = len(drawn["labels"])
    made = style.figure(width=float(np.clip(3 + 0.62 * number, 8, 24)))
    main, below = style.ratio_axes(made, ratio=drawn["data"] is not None)
    edges = [i - 0.5 for i in range(number + 1)]
    highest = panels.draw_stack(main, drawn, edges=edges, log=True)
    main.set_ylabel("Events")
    main.set_xlim(edges[0], edges[-1])
    taken = panels.legend(main, drawn)
    totals = [t for t in drawn["total"]["values"] if t]
    low = min([0.02 * t for t in totals] + [0.3 * highest])
    style.headroom(main, highest, max(taken, 0.2), log=True, lowest=max(low, highest * 1e-7))
    style.text_block(main, ["Signal + background fit"])
    style.header(main, drawn["header"]["label"], drawn["header"]["right"])
    bottom = main
    if below is not None:
        panels.draw_ratio(below, drawn, edges=edges)
        bottom = below
    bottom.set_xticks(
        range(number), drawn["labels"], rotation=45 if number > 8 else 0, ha="right" if number > 8 else "center"
    )
    for axes in (main, bottom):
        axes.tick_params(axis="x", which="minor", bottom=False, top=False)
    return made
